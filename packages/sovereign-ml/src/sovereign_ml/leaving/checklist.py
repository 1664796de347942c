"""The compliance checklist over a dump: each breach with its article, remedy and command.

A finding holds minimised names of groups, experiments and endpoints, and counts, but no values.
"""

from __future__ import annotations

import base64
import json
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sovereign_ml.audit.notebooks import NO_NOTEBOOK, scan_notebook
from sovereign_ml.audit.pii_scan import special_categories, values_in
from sovereign_ml.audit.secrets import secrets_in
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.leaving import offline_rows
from sovereign_ml.leaving.brought_notebooks import HOMES
from sovereign_ml.leaving.dump import Dump, Record
from sovereign_ml.leaving.findings.experiment_breaches import experiment_breaches
from sovereign_ml.leaving.findings.job_values import job_values
from sovereign_ml.leaving.minimise import (
    Minimiser,
    is_cohort,
    names_people,
    personal_value,
    words_of,
)
from sovereign_ml.leaving.pipelines import parameters_of
from sovereign_ml.leaving.progress import OLD, kinds_with_people
from sovereign_ml.leaving.registered import packages_of
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
    recorded_as_deleted: bool = False,
) -> list[ChecklistFinding]:
    """Return the findings of the checklist by rule and place.

    Rows of features are overdue before ``features_before``, runs if they ended before
    ``runs_before``. ``recorded_as_deleted`` says that an earlier dump showed that nothing was left.
    """
    counts: Counter[tuple[str, str]] = Counter()
    counts.update(("L50", gap) for gap in dump.gaps(now))
    for kind in kinds_with_people(dump):
        if now - dump.made > OLD:
            counts["L54", kind] += 1
        if recorded_as_deleted:
            counts["L55", kind] += 1
    for rule, where, count in _stored(dump, minimiser, features_before):
        counts[rule, where] += count
    counts.update(experiment_breaches(dump, minimiser, runs_before))
    for part in (_groups, _notebooks, _secrets, _cards, _serving):
        counts.update(part(dump, minimiser))
    return sorted(ChecklistFinding(rule, where, n) for (rule, where), n in counts.items())


def _groups(dump: Dump, minimiser: Minimiser) -> Breaches:
    described: dict[str, list[str]] = {}
    for row in dump.found("FeatureMetadata"):
        texts = [p.get(name, "") for p in row.get("Parameters", ()) for name in ("Key", "Value")]
        described.setdefault(row.get("FeatureGroupName", ""), []).extend(
            [row.get("Description", ""), *texts]
        )
    for name, group in dump.feature_groups().items():
        where = minimiser.title(name, "group")
        if dump.is_about_people(group):
            yield "L01", where
        names = [row.get("FeatureName", "") for row in group.get("FeatureDefinitions", ())]
        for feature in names:
            words = set(words_of(feature))
            if words & _INFERRED:
                yield "L02", where
            # `words_of` splits opt_in into two words.
            if words & _CONSENT or "optin" in feature.lower().replace("_", ""):
                yield "L03", where
        tags = [tag.get(part, "") for tag in group.get("Tags", ()) for part in ("Key", "Value")]
        texts = [name, *names, group.get("Description", ""), *tags, *described.get(name, ())]
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
    for name, row in groups.items():
        if "OfflineStoreConfig" in row and not (dump.folder / "offline" / name).is_dir():
            yield "L56", minimiser.title(name, "group"), 1
    for folder in sorted((dump.folder / "offline").glob("*")):
        # A file manager leaves files of its own, such as .DS_Store.
        if not folder.is_dir():
            continue
        where = minimiser.title(folder.name, "group")
        if folder.name not in groups:
            yield "L09", where, 1
            continue
        connection = db.connect()
        try:
            # The kind of the key changes no count here. Without one a doubtful key is refused.
            group = offline_rows.group_of(groups[folder.name], folder, "person")
            connection.execute("SET TimeZone = 'UTC'")
            offline_rows.load(connection, group)
            offline_rows.read_times(connection, group, {}, dump.made)
            deleted = "SELECT key_ FROM timed WHERE deleted"
            still_there = f"NOT deleted AND key_ IN ({deleted})"
            people = dump.is_about_people(groups[folder.name]) and db.count(
                connection,
                f"(SELECT DISTINCT key_ FROM timed WHERE {still_there})",  # noqa: S608
            )
            old = db.count(connection, "timed", f"moment < TIMESTAMP '{before:%Y-%m-%d %H:%M:%S}'")
            yield from ((rule, where, n) for rule, n in (("L05", people), ("L06", old)) if n)
        except Refused as error:
            is_iceberg = "an Iceberg table" in str(error)
            reason = "an Iceberg table, to be exported first" if is_iceberg else "not readable"
            yield "L50", f"{where}: {reason}", 1
        except Misuse:
            yield "L50", f"{where}: no offline store that can be read", 1
        finally:
            connection.close()


def _notebooks(dump: Dump, minimiser: Minimiser) -> Breaches:
    for home in (home for name in HOMES for home in sorted((dump.folder / name).glob("*"))):
        where = minimiser.mark("owner", home.name)
        for path in sorted(home.rglob("*.ipynb")):
            # A link may lead out of the dump, to a file of this machine.
            if path.is_symlink() or not path.is_file():
                continue
            text = path.read_text(encoding="utf-8-sig", errors="replace")
            if any(secrets_in(text)):
                yield "L21", f"notebooks of owner-{where}"
            if any(hit.kind != NO_NOTEBOOK for hit in scan_notebook("", text)):
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
    for where, values in job_values(dump):
        text = "\n".join(f"{name} = {str(value)!r}" for name, value in values.items())
        if any(secrets_in(text)):
            yield "L21", where


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text).decode("utf-8", "replace")
    except ValueError:
        return text


def _cards(dump: Dump, minimiser: Minimiser) -> Breaches:
    from sovereign_ml.card.importers.leaves import leaves_of
    from sovereign_ml.card.importers.sagemaker import METADATA_ONLY

    packages = [
        Record({"ModelCardName": f"{row.get('ModelPackageGroupName', '')} package", **card})
        for row in packages_of(dump)
        if (card := row.get("ModelCard"))
    ]
    rows: list[Record] = [*dump.below("cards").values(), *packages]
    described = {(row.get("ModelCardName"), row.get("ModelCardVersion")) for row in rows}
    rows += [
        row
        for row in dump.found("ModelCard")
        if (row.get("ModelCardName"), row.get("ModelCardVersion")) not in described
    ]
    for row in rows:
        where = minimiser.title(str(row.get("ModelCardName", "package")), "card")
        content = str(row.get("Content") or row.get("ModelCardContent") or "{}")
        try:
            leaves = leaves_of(json.loads(content), "")
        except (ValueError, AttributeError, RecursionError):
            yield "L50", f"{where}: its content is no JSON"
            continue
        names = {name.strip(".") for name in leaves}
        if _is_about_people(leaves) and not any(
            "automated" in name or "art_22" in name for name in names
        ):
            yield "L30", where
        if any(kind == "e-mail address" for _, kind in values_in(content)):
            yield "L31", where
        if names <= METADATA_ONLY:
            yield "L32", where
        if "Approved" in (row.get("ModelCardStatus"), row.get("ModelApprovalStatus")):
            yield "L33", where


def _is_about_people(leaves: Mapping[str, Any]) -> bool:
    """Return whether the model of a card is about people, or may be for all that the card says."""
    if any(names_people(str(text)) for text in leaves.values()):
        return True
    has_purpose = any("purpose" in name for name in leaves)
    return not has_purpose and any("training_observations" in name for name in leaves)


def _serving(dump: Dump, minimiser: Minimiser) -> Breaches:
    for where, values in job_values(dump):
        if any(_tells_about_people(name, value) for name, value in values.items()):
            yield "L40", where
    yield from _endpoints(dump, minimiser)
    for path in sorted(dump.folder.glob("baselines/*/*.json")):
        text = path.read_text(encoding="utf-8", errors="replace")
        # These parts of a baseline contain values of single people.
        if '"domains"' in text or '"categorical"' in text:
            yield "L42", minimiser.title(path.parent.name, "schedule")
    for row in dump.found("PipelineExecution"):
        for parameter in row.get("PipelineParameters", ()):
            if is_cohort(f"{parameter.get('Name', '')} {parameter.get('Value', '')}"):
                yield "L43", "pipeline executions"
    for name, row in dump.pipelines().items():
        for parameter in parameters_of(row):
            if is_cohort(f"{parameter.get('Name', '')} {parameter.get('DefaultValue', '')}"):
                yield "L43", minimiser.title(name, "pipeline")


def _endpoints(dump: Dump, minimiser: Minimiser) -> Breaches:
    # An asynchronous endpoint keeps each request and each answer as a file.
    asynchronous = {
        row.get("EndpointConfigName")
        for row in dump.below("endpoint-configs").values()
        if row.get("AsyncInferenceConfig")
    }
    for name, row in dump.endpoints().items():
        where = minimiser.title(name, "endpoint")
        yield "L44", where
        capture = row.get("DataCaptureConfig", {})
        captures = capture.get("EnableCapture") or capture.get("CaptureStatus") == "Started"
        keeps = row.get("AsyncInferenceConfig") or row.get("EndpointConfigName") in asynchronous
        if captures or keeps:
            yield "L41", where
    for path in sorted((dump.folder / "capture").glob("*")):
        for _ in path.rglob("*.jsonl"):
            yield "L41", f"{minimiser.title(path.name, 'endpoint')}: captured files"


def _tells_about_people(name: str, value: Any) -> bool:
    if is_cohort(f"{name} {value}") or personal_value(str(value)):
        return True
    # The scanner of notebooks recognises a query about one person.
    cell = {"cell_type": "code", "source": str(value)}
    hits = scan_notebook("", json.dumps({"cells": [cell]}))
    return any(hit.kind == "filter on one person" for hit in hits)
