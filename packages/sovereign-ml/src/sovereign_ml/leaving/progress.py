"""Progress of leaving: imported and remaining content, and the script to delete the latter."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sovereign_ml import git
from sovereign_ml.audit.pii_scan import bucket
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.leaving.dump import Dump, utc
from sovereign_ml.privacy.tombstones import write_durably

REPORT = Path("governance/leaving/report.json")
"""Report of counts (as ranges) and hashes, kept in git for the record of processing."""
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
    return {kind: count for kind, count in counts.items() if count}


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
        raise Misuse(f"{REPORT} is not the report of `churn leave`: restore it from git.") from None


def note(root: Path, dump: Dump, step: str, facts: Mapping[str, Any], now: datetime) -> None:
    """Record the facts of a step and the remaining resources, with counts as ranges."""
    report = read(root)
    last, dump_time = report.get("last_dump_at"), dump.made
    report.setdefault("system", "sagemaker")
    report.setdefault("since", f"{now:%Y-%m-%d}")
    if report.get("account") not in (None, "", dump.account) and dump.account:
        raise Refused(
            f"{dump.folder} is a dump of another account than the one in {REPORT}: "
            "leave one account at a time."
        )
    report["account"] = report.get("account") or dump.account
    # An older dump does not replace the state of a newer one.
    if last is None or dump_time >= (utc(last) or dump_time):
        report["last_dump_at"] = dump_time.isoformat()
        report["dump_sha256"] = dump.digest
        report["remaining"] = [
            {"kind": kind, "count": bucket(count)[0], "personal_data": _KINDS[kind][2]}
            for kind, count in remaining(dump).items()
        ]
    report["state"] = facts.get("state") or _state(report, step)
    report.setdefault("steps", {})[step] = {"on": f"{now:%Y-%m-%d}", **ranges(facts)}
    _write(root, report)


def _write(root: Path, report: Mapping[str, Any]) -> None:
    text = json.dumps(report, indent=2, ensure_ascii=False, sort_keys=True)
    write_durably(root / REPORT, text + "\n")


def _state(report: Mapping[str, Any], step: str) -> str:
    before = str(report.get("state", "planned"))
    if before == "deleted" and report["remaining"]:
        return "both"
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
    if now - dump_time > timedelta(days=90) and report.get("remaining"):
        yield f"  the last dump is {(now - dump_time).days} days old: make a new one"


def finished(root: Path, dump: Dump, now: datetime) -> None:
    """Record that nothing is left. Raises Refused with the remaining content, or other gaps."""
    report = read(root)
    if not report or not report.get("script_at"):
        raise Refused(
            "No deletion script was printed yet: `churn leave finish DUMP` prints it, and a dump "
            "taken after it ran shows that nothing is left."
        )
    if dump.made <= (utc(report["script_at"]) or now):
        raise Refused(
            f"The dump was made {dump.made:%Y-%m-%d %H:%M} UTC, before the deletion script was "
            f"printed ({report['script_at']}): make a new one, then call this again."
        )
    problems = [f"{count} {kind}" for kind, count in remaining(dump).items()]
    problems += dump.gaps(now)
    if stored := sum(any(p.rglob("*.parquet")) for p in (dump.folder / "offline").glob("*")):
        problems.append(f"rows of the offline store in {stored} folders of the dump")
    if problems:
        raise Refused("Not finished:\n" + "\n".join(f"  - {problem}" for problem in problems))
    note(root, dump, "finish", {"state": "deleted"}, now)
    evidence = {"deleted_at": f"{now:%Y-%m-%d}", "evidence_sha256": dump.digest}
    _write(root, read(root) | evidence)


def note_script(root: Path, now: datetime) -> None:
    """Record the time of the deletion script: only a later dump shows its effect."""
    _write(root, read(root) | {"script_at": now.isoformat(timespec="seconds")})


def _word(text: str) -> str:
    """Return a name of AWS as a word of the shell. Raises Refused for an impossible name."""
    # A dump comes from another machine: a name must not become a command or an option.
    if not re.fullmatch(r"[\w:/.@+=,-]+", text) or text.startswith("-"):
        raise Refused(f"{text!r} cannot be a name of SageMaker: check the dump before deleting.")
    return text


def deletion_script(dump: Dump) -> str:
    """Return a script that deletes the dump's resources in the API's order. It is only printed."""
    region = _word(str(dump.about.get("region", "")) or "eu-central-1")
    return "\n".join([_HEAD.format(region=region), *map("run {}".format, _deletions(dump)), _TAIL])


_HEAD = """\
#!/bin/sh
# Deletes the resources in the dump. Read it first, then run it where the AWS CLI has the rights.
# Metadata, rows and files are lost for good. After an interruption, run it again.
set -u
failed=0
run() {{ aws --region {region} "$@" || failed=$((failed + 1)); }}"""
_TAIL = """\
[ "$failed" -eq 0 ] || {
  echo "$failed commands failed, perhaps on deleted resources: make a new dump to check." >&2
  exit 1
}
"""


def _deletions(dump: Dump) -> Iterator[str]:
    search, below = dump.found, dump.below
    yield from _each(below("monitoring").values(), "monitoring-schedule", "MonitoringScheduleName")
    yield from _each(search("Endpoint"), "endpoint", "EndpointName")
    yield from _each(below("endpoint-configs").values(), "endpoint-config", "EndpointConfigName")
    # The search answers with a dashboard model, which contains the model.
    yield from _each((row.get("Model", row) for row in search("Model")), "model", "ModelName")
    yield from _each(search("Pipeline"), "pipeline", "PipelineName")
    for row in dump.answer("lineage.json").get("AssociationSummaries", ()):
        source, target = _word(row["SourceArn"]), _word(row["DestinationArn"])
        yield f"sagemaker delete-association --source-arn {source} --destination-arn {target}"
    for trial in search("ExperimentTrial"):
        for row in trial.get("TrialComponentSummaries", ()):
            yield (
                f"sagemaker disassociate-trial-component --trial-name {_word(trial['TrialName'])} "
                f"--trial-component-name {_word(row['TrialComponentName'])}"
            )
    yield from _each(search("ExperimentTrialComponent"), "trial-component", "TrialComponentName")
    yield from _each(search("ExperimentTrial"), "trial", "TrialName")
    yield from _each(search("Experiment"), "experiment", "ExperimentName")
    for row in search("ModelPackage"):
        yield f"sagemaker delete-model-package --model-package-name {_word(row['ModelPackageArn'])}"
    yield from _each(search("ModelPackageGroup"), "model-package-group", "ModelPackageGroupName")
    yield from _each(search("ModelCard"), "model-card", "ModelCardName")
    yield from _each(below("processing-jobs").values(), "processing-job", "ProcessingJobName")
    yield from _each(search("TrainingJob"), "training-job", "TrainingJobName")
    yield from _each(dump.feature_groups().values(), "feature-group", "FeatureGroupName")
    yield from _data_deletions(dump)
    yield from _studio_deletions(dump)


def _each(rows: Iterable[Mapping[str, Any]], noun: str, key: str) -> Iterator[str]:
    for row in rows:
        if name := row.get(key):
            yield f"sagemaker delete-{noun} --{noun}-name {_word(name)}"


def _data_deletions(dump: Dump) -> Iterator[str]:
    """Yield commands for data that stays when its group or endpoint is deleted.

    Old versions of objects need a lifecycle rule of the bucket.
    """
    for row in dump.feature_groups().values():
        store = row.get("OfflineStoreConfig", {})
        if uri := store.get("S3StorageConfig", {}).get("ResolvedOutputS3Uri"):
            yield f"s3 rm --recursive {_word(uri)}"
        if table := store.get("DataCatalogConfig"):
            database, name = _word(table["Database"]), _word(table["TableName"])
            yield f"glue delete-table --database-name {database} --name {name}"
    for row in dump.below("endpoints").values():
        if uri := row.get("DataCaptureConfig", {}).get("DestinationS3Uri"):
            yield f"s3 rm --recursive {_word(uri)}/{_word(row['EndpointName'])}"


def _studio_deletions(dump: Dump) -> Iterator[str]:
    sm = "sagemaker"
    for row in dump.answer("studio/apps.json").get("Apps", ()):
        owner, name = "space", row.get("SpaceName")
        if not name:
            owner, name = "user-profile", row["UserProfileName"]
        yield (
            f"{sm} delete-app --domain-id {_word(row['DomainId'])} --{owner}-name {_word(name)} "
            f"--app-type {_word(row['AppType'])} --app-name {_word(row['AppName'])}"
        )
    for row in dump.answer("studio/spaces.json").get("Spaces", ()):
        domain, name = _word(row["DomainId"]), _word(row["SpaceName"])
        yield f"{sm} delete-space --domain-id {domain} --space-name {name}"
    for row in dump.answer("studio/user-profiles.json").get("UserProfiles", ()):
        domain, name = _word(row["DomainId"]), _word(row["UserProfileName"])
        yield f"{sm} delete-user-profile --domain-id {domain} --user-profile-name {name}"
    for row in dump.answer("studio/domains.json").get("Domains", ()):
        # By default the home directories would stay.
        yield (
            f"{sm} delete-domain --domain-id {_word(row['DomainId'])} "
            "--retention-policy HomeEfsFileSystem=Delete"
        )
    for row in dump.answer("studio/notebook-instances.json").get("NotebookInstances", ()):
        name = _word(row["NotebookInstanceName"])
        yield f"{sm} stop-notebook-instance --notebook-instance-name {name}"
        yield f"{sm} wait notebook-instance-stopped --notebook-instance-name {name}"
        yield f"{sm} delete-notebook-instance --notebook-instance-name {name}"
    rows = dump.answer("studio/code-repositories.json").get("CodeRepositorySummaryList", ())
    yield from _each(rows, "code-repository", "CodeRepositoryName")
    scripts = list(dump.below("lifecycle").values())
    yield from _each(scripts, "studio-lifecycle-config", "StudioLifecycleConfigName")
    yield from _each(
        *(scripts, "notebook-instance-lifecycle-config", "NotebookInstanceLifecycleConfigName")
    )
    for row in dump.answer("mlflow/servers.json").get("TrackingServerSummaries", ()):
        name = _word(row["TrackingServerName"])
        yield f"{sm} delete-mlflow-tracking-server --tracking-server-name {name}"
    for row in dump.answer("mlflow/apps.json").get("Summaries", ()):
        yield f"{sm} delete-mlflow-app --arn {_word(row['Arn'])}"
