"""The compliance checklist over a dump: each breach with its article, remedy and command.

A finding holds minimised names of groups, experiments and endpoints, and counts, but no values.
"""

from __future__ import annotations

import base64
import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sovereign_ml.audit.notebooks import scan_notebook
from sovereign_ml.audit.pii_scan import special_categories
from sovereign_ml.audit.secrets import secrets_in
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.leaving import offline_rows
from sovereign_ml.leaving.brought_notebooks import HOMES
from sovereign_ml.leaving.dump import Dump, Record
from sovereign_ml.leaving.minimise import (
    Minimiser,
    is_cohort,
    is_person_key,
    personal_value,
    words_of,
)
from sovereign_ml.leaving.registered import packages_of
from sovereign_ml.leaving.runs import past_runs
from sovereign_ml.storage import duckdb as db

PARTS = {
    "features": "Feature Store keyed by person",
    "experiments": "Experiments with cohorts",
    "notebooks": "Notebooks",
    "cards": "Cards of models trained on personal data",
    "serving": "Jobs, pipelines and endpoints",
    "dump": "The dump itself",
    "waivers": "Waivers in config.toml",
}
_INFERRED = {"score", "tier", "segment", "propensity", "risk", "ltv", "likelihood", "affinity"}
_CONSENT = {"consent", "gdpr", "optin", "optout", "objection", "objected"}


@dataclass(frozen=True)
class ChecklistRule:
    """One rule of ``checklist.toml``: severity (error, warning, notice), article and remedy."""

    part: str
    severity: str
    what: str
    article: str
    remedy: str


RULES = {
    number: ChecklistRule(**row)
    for number, row in tomllib.loads(
        Path(__file__).with_name("checklist.toml").read_text(encoding="utf-8")
    ).items()
}
"""Every rule by its number."""
_BY_REASON = {
    "cohort": "L10",
    "number of people, as a range": "L11",
    "address, as a mark": "L12",
    "identifier": "L13",
    "group of a metric, as a mark": "L14",
    "employee": "L16",
}


@dataclass(frozen=True, order=True)
class ChecklistFinding:
    """A broken rule, its place, and the number of cases there."""

    rule: str
    where: str
    count: int = 1


Breaches = Iterator[tuple[str, str]]
"""For each case the number of the rule and the place."""


def audit_dump(
    dump: Dump,
    minimiser: Minimiser,
    *,
    now: datetime,
    features_before: datetime,
    runs_before: datetime,
) -> list[ChecklistFinding]:
    """Return the findings of the checklist by rule and place.

    Rows of features are overdue before ``features_before``, runs if they ended before
    ``runs_before``.
    """
    counts: Counter[tuple[str, str]] = Counter()
    counts.update(("L50", gap) for gap in dump.gaps(now))
    for rule, where, count in _stored(dump, minimiser, features_before):
        counts[rule, where] += count
    counts.update(_experiments(dump, minimiser, runs_before))
    for part in (_groups, _notebooks, _secrets, _cards, _serving):
        counts.update(part(dump, minimiser))
    return sorted(ChecklistFinding(rule, where, n) for (rule, where), n in counts.items())


def _groups(dump: Dump, minimiser: Minimiser) -> Breaches:
    described: dict[str, list[str]] = {}
    for row in dump.found("FeatureMetadata"):
        texts = [p.get("Value", "") for p in row.get("Parameters", ())]
        described.setdefault(row.get("FeatureGroupName", ""), []).extend(
            [row.get("Description", ""), *texts]
        )
    for name, group in dump.feature_groups().items():
        where = minimiser.title(name, "group")
        if is_person_key(group["RecordIdentifierFeatureName"]):
            yield "L01", where
        names = [row.get("FeatureName", "") for row in group.get("FeatureDefinitions", ())]
        for feature in names:
            words = set(words_of(feature))
            if words & _INFERRED:
                yield "L02", where
            if words & _CONSENT or "optin" in feature.lower().replace("_", ""):
                yield "L03", where
        texts = [*names, group.get("Description", ""), *described.get(name, ())]
        if special_categories(texts):
            yield "L04", where
        yield from ((rule, where) for rule in _settings(group))


def _settings(group: Record) -> Iterator[str]:
    online, offline = group.get("OnlineStoreConfig", {}), group.get("OfflineStoreConfig", {})
    if online.get("EnableOnlineStore") and not online.get("TtlDuration"):
        yield "L07"
    keys = []
    if online.get("EnableOnlineStore"):
        keys.append(online.get("SecurityConfig", {}).get("KmsKeyId"))
    if offline:
        keys.append(offline.get("S3StorageConfig", {}).get("KmsKeyId"))
    if not all(keys):
        yield "L08"


def _stored(dump: Dump, minimiser: Minimiser, before: datetime) -> Iterator[tuple[str, str, int]]:
    """Yield the breaches in copied rows of the offline stores, with counts of people or rows."""
    groups = dump.feature_groups()
    for folder in sorted((dump.folder / "offline").glob("*")):
        where = minimiser.title(folder.name, "group")
        if folder.name not in groups:
            yield "L09", where, 1
            continue
        group = offline_rows.group_of(groups[folder.name], folder, "person")
        connection = db.connect()
        try:
            connection.execute("SET TimeZone = 'UTC'")
            offline_rows.load(connection, group)
            offline_rows.read_times(connection, group, {}, dump.made)
            deleted = "SELECT key_ FROM timed WHERE deleted"
            still_there = f"NOT deleted AND key_ IN ({deleted})"
            people = db.count(
                connection,
                f"(SELECT DISTINCT key_ FROM timed WHERE {still_there})",  # noqa: S608
            )
            old = db.count(connection, "timed", f"moment < TIMESTAMP '{before:%Y-%m-%d %H:%M:%S}'")
            yield from ((rule, where, n) for rule, n in (("L05", people), ("L06", old)) if n)
        except (Misuse, Refused):
            yield "L50", f"{where}: its rows cannot be read", 1
        finally:
            connection.close()


def _experiments(dump: Dump, minimiser: Minimiser, before: datetime) -> Breaches:
    """Yield one breach per run and rule."""
    cut = int(before.timestamp() * 1000)
    # Content that minimisation removes from a run is content that the run should not hold.
    before_run = Counter(minimiser.left_out)
    for _, run in past_runs(dump, "dump", minimiser):
        where = run.experiment.removeprefix("dump/")
        for reason in minimiser.left_out - before_run:
            if rule := _BY_REASON.get(reason):
                yield rule, where
        if run.status and run.end < cut:
            yield "L15", where
        before_run = Counter(minimiser.left_out)


def _notebooks(dump: Dump, minimiser: Minimiser) -> Breaches:
    for home in (home for name in HOMES for home in sorted((dump.folder / name).glob("*"))):
        where = minimiser.mark("owner", home.name)
        for path in sorted(home.rglob("*.ipynb")):
            if path.is_symlink() or not path.is_file():
                continue
            text = path.read_text(encoding="utf-8-sig", errors="replace")
            if any(secrets_in(text)):
                yield "L21", f"notebooks of owner-{where}"
            if scan_notebook("", text):
                yield "L20", f"notebooks of owner-{where}"
    # A home directory that was not copied may contain notebooks.
    for profile in dump.below("studio/user-profiles").values():
        if not (dump.folder / "efs" / str(profile.get("HomeEfsFileSystemUid", "-"))).is_dir():
            yield "L22", "user profiles"
    for space in dump.answer("studio/spaces.json").get("Spaces", ()):
        if not (dump.folder / "ebs" / str(space.get("SpaceName", "-"))).is_dir():
            yield "L22", "spaces"


def _secrets(dump: Dump, minimiser: Minimiser) -> Breaches:
    """Yield the scripts and jobs that contain a secret."""
    for name, answer in dump.below("lifecycle").items():
        parts = [answer.get("StudioLifecycleConfigContent", "")]
        parts += [r.get("Content", "") for k in ("OnCreate", "OnStart") for r in answer.get(k, ())]
        if any(any(secrets_in(_decoded(part))) for part in parts):
            yield "L21", minimiser.title(Path(name).stem, "script")
    for where, values in _jobs(dump):
        text = "\n".join(f"{name} = {str(value)!r}" for name, value in values.items())
        if any(secrets_in(text)):
            yield "L21", where


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text).decode("utf-8", "replace")
    except ValueError:
        return text


def _jobs(dump: Dump) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the kind of each job and the values that people wrote into it."""
    for job in dump.found("TrainingJob"):
        yield "training jobs", {**job.get("HyperParameters", {}), **job.get("Environment", {})}
    for job in dump.below("processing-jobs").values():
        values = dict(job.get("Environment", {}))
        arguments = job.get("AppSpecification", {}).get("ContainerArguments", ())
        values |= {f"argument {number}": value for number, value in enumerate(arguments)}
        for row in job.get("ProcessingInputs", ()):
            for definition in row.get("DatasetDefinition", {}).values():
                if isinstance(definition, Mapping) and "QueryString" in definition:
                    values[f"query {len(values)}"] = definition["QueryString"]
        yield "processing jobs", values


def _cards(dump: Dump, minimiser: Minimiser) -> Breaches:
    from sovereign_ml.card.importers.leaves import leaves_of
    from sovereign_ml.card.importers.sagemaker import METADATA_ONLY

    packages = [row["ModelCard"] for row in packages_of(dump) if row.get("ModelCard")]
    cards = {row["ModelCardName"]: row for row in dump.found("ModelCard")}
    rows: Iterable[Record] = [*dump.below("cards").values(), *packages]
    described = {row.get("ModelCardName") for row in rows}
    for row in (*rows, *(row for name, row in cards.items() if name not in described)):
        where = minimiser.title(str(row.get("ModelCardName", "package")), "card")
        content = str(row.get("Content") or row.get("ModelCardContent") or "{}")
        try:
            leaves = leaves_of(json.loads(content), "")
        except (ValueError, AttributeError, RecursionError):
            yield "L50", f"{where}: its content is no JSON"
            continue
        names = {name.strip(".") for name in leaves}
        trained = any("training_observations" in name or "purpose" in name for name in names)
        if trained and not any("automated" in name or "art_22" in name for name in names):
            yield "L30", where
        if personal_value(content):
            yield "L31", where
        if names <= METADATA_ONLY:
            yield "L32", where
        if "Approved" in (row.get("ModelCardStatus"), row.get("ModelApprovalStatus")):
            yield "L33", where


def _serving(dump: Dump, minimiser: Minimiser) -> Breaches:
    for where, values in _jobs(dump):
        if any(_tells_about_people(name, value) for name, value in values.items()):
            yield "L40", where
    for row in dump.below("endpoints").values() or dump.found("Endpoint"):
        where = minimiser.title(row["EndpointName"], "endpoint")
        yield "L44", where
        capture = row.get("DataCaptureConfig", {})
        if capture.get("EnableCapture") or capture.get("CaptureStatus") == "Started":
            yield "L41", where
    for path in sorted((dump.folder / "capture").glob("*")):
        yield "L41", f"{minimiser.title(path.name, 'endpoint')}: captured files"
    for path in sorted(dump.folder.glob("baselines/*/*.json")):
        text = path.read_text(encoding="utf-8", errors="replace")
        # These parts of a baseline contain values of single people.
        if '"domains"' in text or '"categorical"' in text:
            yield "L42", minimiser.title(path.parent.name, "schedule")
    for row in dump.found("PipelineExecution"):
        for parameter in row.get("PipelineParameters", ()):
            if is_cohort(f"{parameter.get('Name', '')} {parameter.get('Value', '')}"):
                yield "L43", "pipeline executions"


def _tells_about_people(name: str, value: Any) -> bool:
    if is_cohort(f"{name} {value}") or personal_value(str(value)):
        return True
    # The scanner of notebooks recognises a query about one person.
    cell = {"cell_type": "code", "source": str(value)}
    hits = scan_notebook("", json.dumps({"cells": [cell]}))
    return any(hit.kind == "filter on one person" for hit in hits)
