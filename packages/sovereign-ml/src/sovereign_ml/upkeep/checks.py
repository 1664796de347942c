"""`churn check --project`: the checks for a stale project, with one line per finding."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from sovereign_ml import git
from sovereign_ml.audit import AuditPolicy, void_because
from sovereign_ml.bundle.installed_files import sha256_of
from sovereign_ml.config.settings import EXAMPLES
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.git import GitError
from sovereign_ml.jurisdictions import providers
from sovereign_ml.privacy.retention_plan import LAST_RUN, last_run
from sovereign_ml.supply_chain.vendored_library import project_identity
from sovereign_ml.upkeep.gates import loosened
from sovereign_ml.upkeep.signing import signing
from sovereign_ml.upkeep.state import CRUFT, Findings, ProjectState, release_day

GUARD: Final = ("sovereign_ml/egress/guard.py", "sovereign_ml/egress/boot/sitecustomize.py")
PROVIDERS: Final = "sovereign_ml/jurisdictions/providers.toml"
REVIEWS: Final = (("model", "review_due"), ("dpia", "review_due"))
# The template's placeholder for the digest of an image.
NO_DIGEST: Final = "0" * 64
UNREADABLE: Final = (
    *(OSError, GitError, Refused, Misuse, zipfile.BadZipFile),
    *(ValueError, TypeError, KeyError, AttributeError),
)
"""Errors of a missing or broken file. A check that cannot be made is a finding, never a pass."""


@dataclass(frozen=True)
class UpkeepFinding:
    """One finding of a check: the actual state, the allowed one, and the next step."""

    check: str
    actual: str
    allowed: str
    next: str


def examine(
    root: Path, today: date, *, template: Path | None = None, is_own: bool = False
) -> list[UpkeepFinding]:
    """Return the findings on the project in ``root`` on the day ``today``.

    ``template`` is a clone of the template to compare with. ``is_own`` says that the running
    environment is the project's. Raises Misuse where ``root`` holds no project.
    """
    if not (root / "config.toml").is_file():
        raise Misuse(f"No config.toml in {root}: name the folder of a project.")
    state = ProjectState(root.resolve(), today, template, is_own)
    return [
        UpkeepFinding(check, *finding)
        for check, part in CHECKS.items()
        for finding in _carefully(part, state)
    ]


def _carefully(part: Callable[[ProjectState], Findings], state: ProjectState) -> Findings:
    """Yield the findings of one check, and a further one if it cannot be made."""
    try:
        yield from part(state)
    except UNREADABLE as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = f"{lines[0]}: {lines[1].strip()}" if len(lines) > 1 else lines[0]
        if isinstance(error, OSError):
            where = Path(error.filename or "").name
            reason = f"{where}: {error.strerror or reason}".removeprefix(": ")
        if isinstance(error, KeyError):
            reason = f"{reason} is missing"
        text = f"cannot be judged: {reason.rstrip('.')}"
        yield text, "a state that can be read", "Correct this, and check again."


def _placeholders(state: ProjectState) -> Findings:
    """Find values of the template that nobody replaced."""
    marks = (NO_DIGEST, *EXAMPLES)
    for name in ("config.toml", "model_card.toml", "documents.toml"):
        if name == "documents.toml" and not (state.root / name).exists():
            continue
        texts = _texts(state.toml(name))
        examples = [where for where, text in texts if any(mark in text for mark in marks)]
        if examples:
            more = f" and {len(examples) - 4} more" if len(examples) > 4 else ""
            yield (
                f"{name}: {', '.join(examples[:4])}{more}",
                "your own values, or none",
                f'Put your own values into {name}; "" where the setting is not used.',
            )


def _texts(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, f"{where}.{key}".lstrip("."))
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, where)
    elif isinstance(value, str):
        yield where, value


def _reviews(state: ProjectState) -> Findings:
    """Find reviews that are past or that nobody planned."""
    card = state.toml("model_card.toml")
    for table, key in REVIEWS:
        answer = card.get(table, {}).get(key, "?" if table == "model" else None)
        # The impact assessment has a day only where one is required.
        if answer is None:
            continue
        where = f"model_card.toml: {table}.{key} is {answer}"
        try:
            day = answer if isinstance(answer, date) else date.fromisoformat(str(answer))
        except ValueError:
            day = None
        # A time of TOML is a date for Python, which then compares it with none.
        if isinstance(day, datetime):
            day = day.date()
        if day is None or day < state.today:
            passed = f", {(state.today - day).days} days ago" if day else ""
            yield (
                f"{where}{passed}",
                "a day in the future",
                "Review the card with those who answer for it, and write the next day.",
            )


def _locks(state: ProjectState) -> Findings:
    """Find locks whose packages are older than the policy allows."""
    most = state.policy.max_lock_age_days
    # One by one, so that a lock of unknown age does not hide the others.
    for lock in state.locks:
        yield from _carefully(partial(_lock, lock=lock, most=most), state)


def _lock(state: ProjectState, lock: Path, most: int) -> Findings:
    try:
        day = state.lock_day(lock)
        days = state.age(day)
    except (Refused, GitError) as error:
        raise Refused(f"{lock.name}: {error}") from None
    if days > most:
        yield (
            f"requirements/{lock.name} has packages of {day}, {days} days old",
            f"{most} days ([upkeep] max_lock_age_days)",
            "make upgrade-locks, then make setup run test.",
        )


def _library(state: ProjectState) -> Findings:
    """Find a release of the library that is older than the policy allows, or was changed."""
    version, most = state.library_version, state.policy.max_library_age_days
    day = release_day(version)
    if day is None:
        raise Refused(f"release {version} names no year and month")
    if (days := state.age(day)) > most:
        yield (
            f"sovereign-ml {version} is {days} days old",
            f"{most} days ([upkeep] max_library_age_days)",
            "make upgrade WHEEL=<the newest wheel of your platform team>.",
        )
    if state.is_own:
        for line in project_identity(state.root).objections("local"):
            yield line, "the released files", "make setup."


def _template(state: ProjectState) -> Findings:
    """Find a project that is behind its template."""
    commit, most = str(state.cruft["commit"]), state.policy.max_template_age_days
    behind = ""
    if state.template:
        count = git.ask(state.template, "rev-list", "--count", f"{commit}..HEAD")
        if git.ask(state.template, "rev-list", "--count", f"HEAD..{commit}") != "0":
            raise Refused(
                "the clone of the template is older than the project, or on another branch"
            )
        # Without new commits, even an old template is the newest one.
        if count == "0":
            return
        behind = f", {count} commits behind"
    if (days := state.age(state.template_day)) > most:
        yield (
            f"{CRUFT}: commit {commit[:12]}, {days} days old{behind}",
            f"{most} days ([upkeep] max_template_age_days)",
            "cruft update, then make lint types test.",
        )


def _gates(state: ProjectState) -> Findings:
    """Find gates that let more pass than those of the release."""
    advice = "Go back to it, or name the setting and a day within a year in [upkeep] accepted."
    for setting, value, allowed in loosened(state):
        yield f"config.toml: {setting} is {value}", allowed, advice
    for waiver in state.table(AuditPolicy, "audit").waivers:
        if void_because(waiver.until, state.today):
            yield (
                f"config.toml: audit.waivers has {waiver.host} for {waiver.payload} until "
                f"{waiver.until}",
                "a day that lies ahead, within a year",
                "Remove the waiver, or let its owner write another day.",
            )


def _retention(state: ProjectState) -> Findings:
    """Find data past its retention period, and a project that does not delete it regularly."""
    most, last = state.policy.max_retention_gap_days, last_run(state.root / LAST_RUN)
    if last is None:
        # Before the first run the age of the project counts.
        since, text = state.first_commit, "`churn retain --apply` never ran"
    else:
        since, text = last.at.date(), f"`churn retain --apply` ran last on {last.at.date()}"
        overdue = {name: count for name, count in last.overdue.items() if count}
        if overdue:
            yield (
                f"overdue and left: {', '.join(f'{n} of {name}' for name, n in overdue.items())}",
                "nothing past its period in [retention]",
                "make retain, and find out why it could not delete them.",
            )
    if (days := state.age(since)) > most:
        yield (
            f"{text}, and the project is older" if last is None else f"{text}, {days} days ago",
            f"every {most} days ([upkeep] max_retention_gap_days)",
            "make retain.",
        )


CHILD: Final = (
    "import sys; guard = sys.modules.get('sovereign_ml.egress.guard'); "
    "sys.exit(0 if guard and guard.is_installed() else 3)"
)


def _guard(state: ProjectState) -> Findings:
    """Find an environment in which processes run without the egress guard.

    The running environment is tested. For another project only the files are compared.
    """
    problem = ""
    if state.is_own:
        # Only a new process shows that the guard starts by itself in every Python.
        done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, check=False)
        if done.returncode:
            problem = "a Python that `churn` starts does not have it"
    elif (state.root / ".venv").exists():
        folders = list((state.root / ".venv").glob("lib/python*/site-packages"))
        for name in GUARD:
            path = next((folder / name for folder in folders if (folder / name).is_file()), None)
            if path is None:
                problem = f".venv has no {name}"
            elif state.wheel and sha256_of(path) != state.wheel.files.get(name):
                problem = f".venv has another {name} than vendor/"
    if problem:
        yield (
            f"egress guard: {problem}",
            "the guard of the release in every Python",
            "make clean setup; remove other sitecustomize.py files from PYTHONPATH.",
        )


def _providers(state: ProjectState) -> Findings:
    """Find a table of providers that nobody has reviewed for long."""
    most = state.policy.max_provider_age_days
    if state.wheel:
        # The project's own release counts, not the one that runs this check.
        with zipfile.ZipFile(state.wheel.path) as archive:
            table = tomllib.loads(archive.read(PROVIDERS).decode("utf-8"))
        days = [row["checked"] for row in table["provider"]]
    else:
        days = [provider.checked for provider in providers()]
    old = [day for day in days if state.age(day) > most]
    if old:
        yield (
            f"{len(old)} of {len(days)} providers were last reviewed on {min(old)} or later",
            f"{most} days ([upkeep] max_provider_age_days)",
            "make upgrade WHEEL=<a release with a newer table of providers>.",
        )


CHECKS: Final[dict[str, Callable[[ProjectState], Findings]]] = {
    "placeholder": _placeholders,
    "review": _reviews,
    "lock": _locks,
    "library": _library,
    "template": _template,
    "gate": _gates,
    "retention": _retention,
    "guard": _guard,
    "providers": _providers,
    "signing": signing,
}
