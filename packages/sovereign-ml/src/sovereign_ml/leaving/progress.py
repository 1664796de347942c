"""Progress of leaving: imported and remaining content."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sovereign_ml import git
from sovereign_ml.audit.pii_scan import bucket
from sovereign_ml.card.schema.facts import MAX_DUMP_AGE_DAYS
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.leaving.catalogue import SEARCHED
from sovereign_ml.leaving.dump import Dump, utc
from sovereign_ml.pipeline.card_facts.left_system import GROUPS, REPORT
from sovereign_ml.privacy.tombstones import write_durably

OLD = timedelta(days=MAX_DUMP_AGE_DAYS)
PLACES = Path(".churn/leaving/places.json")
"""Addresses behind the marks, kept outside git."""
_KINDS = {
    "experiments": ("search/Experiment.json", "Results", False),
    "trials": ("search/ExperimentTrial.json", "Results", False),
    "runs": ("search/ExperimentTrialComponent.json", "Results", True),
    "training jobs": ("search/TrainingJob.json", "Results", True),
    "processing jobs": ("processing-jobs/", "", True),
    "model package groups": ("search/ModelPackageGroup.json", "Results", False),
    "model packages": ("search/ModelPackage.json", "Results", False),
    "model cards": ("search/ModelCard.json", "Results", False),
    "pipelines": ("search/Pipeline.json", "Results", False),
    "feature groups": ("search/FeatureGroup.json", "Results", True),
    "monitoring schedules": ("monitoring/", "", True),
    "endpoints": ("search/Endpoint.json", "Results", True),
    "endpoint configurations": ("endpoint-configs/", "", False),
    "models": ("search/Model.json", "Results", False),
    "domains": ("studio/domains.json", "Domains", True),
    "apps": ("studio/apps.json", "Apps", False),
    "user profiles": ("studio/user-profiles.json", "UserProfiles", True),
    "spaces": ("studio/spaces.json", "Spaces", True),
    "notebook instances": ("studio/notebook-instances.json", "NotebookInstances", True),
    "code repositories": ("studio/code-repositories.json", "CodeRepositorySummaryList", False),
    "lifecycle scripts": ("lifecycle/", "", False),
    "lineage links": ("lineage.json", "AssociationSummaries", False),
    "MLflow servers": ("mlflow/servers.json", "TrackingServerSummaries", True),
    "MLflow apps": ("mlflow/apps.json", "Summaries", True),
}
"""Kinds of resources: the place and list in the dump, and whether they hold data of people.

For a folder the answers are counted, for a file the rows of its list. Every list of the dump must
be here: otherwise "nothing is left" would ignore it.
"""


def safe_place(root: Path, dump: Path) -> None:
    """Refuse a dump inside the project that git would commit: it is personal data."""
    folder = dump.resolve()
    if not folder.is_relative_to(root.resolve()) or not git.in_repository(root):
        return
    try:
        # A pattern such as data/* ignores the files in a folder, but not the folder.
        git.ask(root, "check-ignore", "-q", str(folder / "about.json"))
    except git.GitError:
        raise Refused(
            f"{dump} is in the project, and git would commit it: a dump is personal data. "
            "Move it out of the project, or below data/, which git ignores."
        ) from None


def remaining(dump: Dump) -> dict[str, int]:
    """Return the number of each kind of resource still in SageMaker, according to the dump."""
    counts = {}
    for kind, (where, member, _) in _KINDS.items():
        rows = dump.answer(where).get(member, ()) if member else dump.below(where).values()
        # Deleted apps stay in the list for a day.
        counts[kind] = sum(row.get("Status") != "Deleted" for row in rows)
    # The account may have refused the search, and answered the descriptions.
    described = {
        "feature groups": dump.feature_groups(),
        "endpoints": dump.endpoints(),
        "pipelines": dump.pipelines(),
        "model packages": dump.packages(),
        "model cards": dump.cards(),
    }
    counts |= {kind: max(counts[kind], len(records)) for kind, records in described.items()}
    counts |= unknown_resources(dump)
    return {kind: count for kind, count in counts.items() if count}


def kinds_with_people(dump: Dump) -> list[str]:
    """Return the kinds of resources that are still in SageMaker and may hold data of people."""
    return [kind for kind in remaining(dump) if _holds_people(kind)]


def unknown_resources(dump: Dump) -> dict[str, int]:
    """Return the number of records of each searched resource that nothing here reads."""
    known = {f"search/{name}.json" for name in SEARCHED}
    return {
        f"{path[7:-5]} (not known here)": len(answer.get("Results", ()))
        for path, answer in dump.below("search").items()
        if path not in known
    }


def read(root: Path) -> dict[str, Any]:
    """Return the report, empty before the first command of leaving."""
    path = root / REPORT
    if not path.is_file():
        return {}
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        utc(report["last_dump_at"])
        return report
    except (ValueError, KeyError, TypeError):
        # A damaged report must not count as none, or the proof of a deletion would be lost.
        raise Misuse(f"{REPORT} is not the report of `churn leave`: restore it from git.") from None


def note(root: Path, dump: Dump, step: str, facts: Mapping[str, Any], now: datetime) -> None:
    """Record the facts of a step and the remaining resources, with counts as ranges."""
    report = read(root)
    last, dump_time = report.get("last_dump_at"), dump.made
    report.setdefault("system", "sagemaker")
    report.setdefault("since", f"{now:%Y-%m-%d}")
    check_origin(report, dump)
    report["account"] = report.get("account") or dump.account
    report["region"] = report.get("region") or dump.region
    # An older dump does not replace the state of a newer one.
    if last is None or dump_time >= (utc(last) or dump_time):
        report["last_dump_at"] = dump_time.isoformat()
        report["dump_sha256"] = dump.digest
        _keep_groups(root, dump)
        report["remaining"] = [
            # The report is in git for good, and a small exact count may point to one person.
            {"kind": kind, "count": bucket(count)[0], "personal_data": _holds_people(kind)}
            for kind, count in remaining(dump).items()
        ]
    report["state"] = facts.get("state") or _state(report, step)
    report.setdefault("steps", {})[step] = {"on": f"{now:%Y-%m-%d}", **ranges(facts)}
    _write(root, report)


def _keep_groups(root: Path, dump: Dump) -> None:
    """Keep the names of the feature groups about people, which an erasure there needs."""
    groups = dump.feature_groups()
    names = [name for name, row in groups.items() if dump.is_about_people(row)]
    # An older list must become shorter too, or an erasure would name groups that do not exist.
    if names or (root / GROUPS).is_file():
        write_durably(root / GROUPS, json.dumps(names, indent=2) + "\n", mode=0o600)


def _holds_people(kind: str) -> bool:
    """Return whether a kind may hold data of people. An unknown one may."""
    return _KINDS[kind][2] if kind in _KINDS else True


def _write(root: Path, report: Mapping[str, Any]) -> None:
    text = json.dumps(report, indent=2, ensure_ascii=False, sort_keys=True)
    write_durably(root / REPORT, text + "\n")


def _state(report: Mapping[str, Any], step: str) -> str:
    before = str(report.get("state", "planned"))
    # Somebody may go on to use SageMaker after the deletion was shown.
    if before == "deleted" and report["remaining"]:
        return "both"
    # An audit only reads. It does not yet begin the time with two systems.
    return "both" if before == "planned" and step != "audit" else before


def ranges(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``facts`` with every count as a range."""
    result: dict[str, Any] = {}
    for name, value in facts.items():
        if isinstance(value, Mapping):
            result[name] = ranges(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            result[name] = bucket(value)[0] if value else "0"
        else:
            result[name] = value
    return result


def keep_places(root: Path, places: Mapping[str, str]) -> None:
    """Add the addresses behind marks to the list outside git."""
    path = root / PLACES
    if places:
        addresses = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        write_durably(path, json.dumps({**addresses, **places}, indent=2) + "\n", mode=0o600)


def lines(report: Mapping[str, Any], now: datetime) -> Iterator[str]:
    """Yield the state of leaving in lines: phase, steps, remaining resources, and an old dump."""
    if not report:
        yield "Nothing was brought from SageMaker yet: start with `churn leave script`."
        return
    dump_time = utc(report["last_dump_at"]) or now
    yield (
        f"State: {report['state']}, since {report['since']}. "
        f"Last dump: {dump_time:%Y-%m-%d %H:%M} UTC."
    )
    for step, facts in report.get("steps", {}).items():
        yield f"  {step}: {facts['on']}" + (f", {facts['made']} made" if "made" in facts else "")
    for row in report.get("remaining", ()):
        people = ", data of people" if row["personal_data"] else ""
        yield f"  still in SageMaker: {row['count']} {row['kind']}{people}"
    if now - dump_time > OLD and report.get("remaining"):
        yield f"  the last dump is {(now - dump_time).days} days old: make a new one"


def finished(root: Path, dump: Dump, now: datetime) -> None:
    """Record that nothing is left. Raises Refused with the remaining content, or other gaps."""
    report = read(root)
    if not report or not report.get("script_at"):
        raise Refused(
            "No deletion script was written yet: `churn leave finish DUMP --script FILE` writes "
            "it, and a dump taken after it ran shows that nothing is left."
        )
    if dump.made <= (utc(report["script_at"]) or now):
        raise Refused(
            f"The dump was made {dump.made:%Y-%m-%d %H:%M} UTC, before the deletion script was "
            f"printed ({report['script_at']}): make a new one, then call this again."
        )
    problems = [f"{count} {kind}" for kind, count in remaining(dump).items()]
    problems += dump.gaps(now)
    # SageMaker leaves these files in S3 when their feature group is deleted.
    if stored := sum(any(p.rglob("*.parquet")) for p in (dump.folder / "offline").glob("*")):
        problems.append(f"rows of the offline store in {stored} folders of the dump")
    if problems:
        raise Refused("Not finished:\n" + "\n".join(f"  - {problem}" for problem in problems))
    note(root, dump, "finish", {"state": "deleted"}, now)
    evidence = {
        "deleted_at": f"{now:%Y-%m-%d}",
        "evidence_made_at": dump.made.isoformat(),
        "evidence_sha256": dump.digest,
    }
    _write(root, read(root) | evidence)


def contradicts_deletion(report: Mapping[str, Any], dump: Dump) -> bool:
    """Return whether the report says deleted, and a later dump shows data of people again."""
    evidence = utc(report.get("evidence_made_at") or report.get("deleted_at"))
    return evidence is not None and dump.made > evidence and bool(kinds_with_people(dump))


def check_origin(report: Mapping[str, Any], dump: Dump) -> None:
    """Refuse a dump of another account than the report's, of another region, or of none it names."""
    # In one report, an emptied account would hide what is left in the other.
    if report.get("account") not in (None, "", dump.account) and dump.account:
        raise Refused(
            f"{dump.folder} is a dump of another account than the one in {REPORT}: "
            "leave one account at a time."
        )
    # SageMaker answers for one region only: an empty one would prove nothing about the other.
    if report.get("region") and report["region"] != dump.region:
        raise Refused(
            f"{dump.folder} is a dump of the region {dump.region or 'unknown'}, and {REPORT} is "
            f"about {report['region']}: make the dump of that region, and leave another one in a "
            "project of its own."
        )


def check_age(dump: Dump, now: datetime) -> None:
    """Refuse a dump that is too old to tell what has to be deleted."""
    if now - dump.made > OLD:
        raise Refused(
            f"The dump is {(now - dump.made).days} days old, and {OLD.days} are allowed for a "
            "deletion script: what was made since would stay. Make a new dump, then call this "
            "again."
        )


def note_script(root: Path, now: datetime) -> None:
    """Record the time of the deletion script: only a later dump shows its effect."""
    _write(root, read(root) | {"script_at": now.isoformat(timespec="seconds")})
