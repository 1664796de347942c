"""The release of the installed library, and whether it is that release to the byte.

The card, the bundle, the registry and the start of the service name it, so that everybody can tell
by which rules a card was judged (GDPR Articles 5(2) and 24).
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final, Literal

from sovereign_ml import __version__
from sovereign_ml.bundle import installed_files
from sovereign_ml.bundle.installed_files import PACKAGE, is_cache, read_record, sha256_of
from sovereign_ml.errors import Refused

DISTRIBUTION: Final = "sovereign-ml"
AGAIN: Final = (
    "Install it from the lock again: remove .venv and run `make setup`, or build the image again."
)

# The code that decides what a card may do: the rules and all that they import of the card, so
# that a weakened helper (`is_open`) shows as well, the approval, the promotion, and the checks at
# the start of the service.
RULE_CODE: Final = (
    "bundle/installed_files.py",
    "bundle/library_identity.py",
    "bundle/release_check.py",
    "bundle/sealed.py",
    "card/alias_history.py",
    "card/approval.py",
    "card/build.py",
    "card/conditions.py",
    "card/derive.py",
    "card/duties.py",
    "card/person_names.py",
    "card/promotion.py",
    "card/questions.py",
    "card/rules",
    "card/schema",
    "decisions/rule_policy.py",
)

State = Literal["released", "development", "changed"]


@dataclass(frozen=True)
class LibraryIdentity:
    """The installed library: its release, the code of its rules, and each difference."""

    version: str
    wheel_sha256: str  # "" where nothing names the wheel
    rule_digest: str  # SHA-256 over the code of the rules
    state: State
    problems: tuple[str, ...] = ()  # each way in which it is not what was released
    startup_code: tuple[str, ...] = ()  # code of unknown origin that Python runs before it

    def tags(self) -> dict[str, str]:
        """Return what names the library, for the tags of a run or a version and for a bundle."""
        return {
            "library_version": self.version,
            "library_wheel_sha256": self.wheel_sha256 or "unknown",
            "rule_digest": self.rule_digest,
        }

    def objections(self, profile: str) -> list[str]:
        """Return why this library may neither judge a card nor serve one, one sentence each.

        A changed library may not in any profile, a development version only in `local`.
        """
        lines = []
        if self.state == "changed":
            more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
            lines.append(
                f"The installed {DISTRIBUTION} {self.version} is not the released one: "
                f"{self.problems[0]}{more}. {AGAIN}"
            )
        if profile != "local":
            lines += self._only_in_local(f"profile {profile} does not allow it")
        return lines

    def warnings(self, profile: str) -> list[str]:
        """Return what another profile than `local` would refuse."""
        return self._only_in_local("another profile refuses it") if profile == "local" else []

    def _only_in_local(self, reason: str) -> list[str]:
        lines = []
        if self.state == "development":
            lines.append(
                f"{DISTRIBUTION} {self.version} is a development version here, installed from no "
                f"wheel: {reason}. {AGAIN}"
            )
        if self.startup_code:
            lines.append(
                f"{self.startup_code[0]} and belongs to no installed package: {reason}. "
                "Remove it, or take it off PYTHONPATH."
            )
        return lines


def identify(
    wheel: Path | None = None, *, pinned_sha256: str = "", lock_problems: Sequence[str] = ()
) -> LibraryIdentity:
    """Return the identity of the installed library, compared with ``wheel`` where there is one.

    ``pinned_sha256`` is the hash that a lock names, ``lock_problems`` is how the locks disagree.
    """
    try:
        library = distribution(DISTRIBUTION)
    except PackageNotFoundError:
        return LibraryIdentity(__version__, "", rule_digest(), "development")
    origin = json.loads(library.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        return LibraryIdentity(library.version, "", rule_digest(), "development")
    recorded = origin.get("archive_info", {}).get("hashes", {}).get("sha256")
    problems = [*lock_problems, *_problems(library, wheel)]
    return LibraryIdentity(
        version=library.version,
        wheel_sha256=sha256_of(wheel) if wheel else pinned_sha256 or recorded or "",
        rule_digest=rule_digest(),
        state="changed" if problems else "released",
        problems=tuple(problems),
        startup_code=tuple(installed_files.startup_code()),
    )


def identify_in_image(folder: Path) -> LibraryIdentity:
    """Return the identity of the library of a service whose image keeps the wheel in ``folder``.

    Without ``wheels/`` and ``serve.lock`` there, as on a laptop, RECORD alone says what was
    installed.
    """
    wheel = next(iter(sorted((folder / "wheels").glob("sovereign_ml-*.whl"))), None)
    lock = folder / "serve.lock"
    if wheel is None or not lock.is_file():
        return identify(wheel)
    pinned = f"--hash=sha256:{sha256_of(wheel)}" in lock.read_text(encoding="utf-8")
    return identify(
        wheel, lock_problems=() if pinned else (f"{lock.name} does not name {wheel.name} by hash",)
    )


def _problems(library: Distribution, wheel: Path | None) -> list[str]:
    """Return how the installed files differ from ``wheel``, or from RECORD where there is none."""
    if wheel is None:
        return installed_files.problems(library, {})
    info = f"sovereign_ml-{library.version}.dist-info"
    if not wheel.name.startswith(f"sovereign_ml-{library.version}-"):
        return [f"{wheel.name} is the release to use, installed is {library.version}"]
    try:
        with zipfile.ZipFile(wheel) as archive:
            released = read_record(archive.read(f"{info}/RECORD").decode("utf-8"))
    except (zipfile.BadZipFile, KeyError, OSError, ValueError) as error:
        return [f"{wheel.name} cannot be read ({error})"]
    return installed_files.problems(library, released)


def rule_digest(package: Path = PACKAGE) -> str:
    """Return one SHA-256 (hex) over names and contents of the rule code, the same on every machine.

    Raises Refused where a file of `RULE_CODE` is missing.
    """
    files: dict[str, Path] = {}
    for name in RULE_CODE:
        path = package / name
        members = [path] if path.is_file() else sorted(path.rglob("*")) if path.is_dir() else []
        members = [file for file in members if file.is_file() and not is_cache(str(file))]
        if not members:
            raise Refused(f"The rule code {name} is missing in {package}. {AGAIN}")
        files |= {file.relative_to(package).as_posix(): file for file in members}
    lines = [f"{sha256_of(path)}  {name}\n" for name, path in sorted(files.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
