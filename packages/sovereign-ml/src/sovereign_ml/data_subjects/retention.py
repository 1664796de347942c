"""Retention in this project: the keepers of [retention] in order, and a run that a crash cannot break."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from sovereign_ml.config.retention import LOG_MINIMUM, shorter_than_log_minimum
from sovereign_ml.config.settings import Settings
from sovereign_ml.data_subjects import bucket_sync
from sovereign_ml.data_subjects.retention_local import (
    LogEntries,
    NotebookOutputs,
    OldFiles,
    OldModels,
    OldRuns,
    OldVersions,
    Rows,
)
from sovereign_ml.data_subjects.retention_servers import (
    BucketVersions,
    FeastRows,
    OnlineKeys,
    TaskArtifacts,
)
from sovereign_ml.data_subjects.stores import dvc_versions
from sovereign_ml.data_subjects.stores.files import clear_leftovers
from sovereign_ml.errors import Refused
from sovereign_ml.pipeline import source
from sovereign_ml.privacy import corrections, retention_plan
from sovereign_ml.privacy.retention_plan import Due, Keeper
from sovereign_ml.privacy.tombstones import write_durably
from sovereign_ml.storage.artifacts import read_json

NOTES = Path(".churn/rights/retention.json")


def plan(settings: Settings, now: datetime) -> list[Due]:
    """Everything that is past its period at ``now`` (UTC)."""
    tables = [] if dvc_versions.from_image(settings) else _tables(settings)
    return retention_plan.plan([*tables, *_others(settings)], now)


def refuse_short_log(settings: Settings, now: datetime) -> None:
    """Raises Refused if the card says high risk and decisions would be gone before the AI Act's six months."""
    card = settings.path("card") / "card.json"
    risk = read_json(card)["derived"]["ai_act"]["risk_class"] if card.is_file() else ""
    if risk == "high_risk" and shorter_than_log_minimum(settings.retention, now):
        raise Refused(
            f"[retention] decisions is {settings.retention.decisions.period}; the card says high risk, and the AI Act "
            f"(Art. 19(1), 26(6)) asks for logs of at least {LOG_MINIMUM}. Lengthen the period."
        )


def apply(settings: Settings, now: datetime, planned: Sequence[Due] | None = None) -> list[Due]:
    """Delete what is due and record the remaining data as a new version; return what was deleted.

    Without the repository, as on a cluster, that is what lies on the servers: which data versions are still needed
    only git can tell.
    A run that was killed is finished by the next one: what is left is due again.
    """
    if dvc_versions.from_image(settings):
        due = plan(settings, now) if planned is None else list(planned)
        retention_plan.apply(_others(settings), due, now)
        return due
    notes = settings.root / NOTES
    if not notes.is_file():
        write_durably(notes, json.dumps(dvc_versions.clean_stages(settings.root)))
    clear_leftovers(settings.root / "data")
    tables, others = _tables(settings), _others(settings)
    due = plan(settings, now) if planned is None else list(planned)
    retention_plan.apply(tables, due, now)
    source.note_what_is_gone(settings)
    dvc_versions.commit(settings.root, json.loads(notes.read_text(encoding="utf-8")))
    retention_plan.apply(others, due, now)
    retention_plan.note(settings.root / retention_plan.LAST_RUN, now, plan(settings, now))
    bucket_sync.publish(settings)
    notes.unlink()
    return due


def now() -> datetime:
    """UTC."""
    return datetime.now(UTC)


def _tables(settings: Settings) -> list[Keeper]:
    """Files that DVC versions: what is left of them becomes the present version."""
    rule, raw, valid = settings.retention, settings.path("raw"), settings.path("valid")
    features, scores = settings.path("features"), settings.path("scores")
    lines = [
        raw / "transactions.parquet",
        valid / "transactions.parquet",
        valid / "rejected_transactions.parquet",
    ]
    groups = [raw / "groups.parquet", valid / "groups.parquet", valid / "rejected_groups.parquet"]
    return [
        Rows("groups", rule.groups, settings, groups),
        Rows("raw", rule.raw, settings, lines, "event_time"),
        Rows("raw", rule.raw, settings, [raw / corrections.NAME], "purchase"),
        Rows(
            "features", rule.features, settings, [features / "snapshots.parquet"], "event_timestamp"
        ),
        Rows(
            "snapshots",
            rule.snapshots,
            settings,
            [features / "training.parquet"],
            "event_timestamp",
        ),
        Rows("scores", rule.scores, settings, [scores / "scores.parquet"]),
    ]


def _others(settings: Settings) -> list[Keeper]:
    rule, root = settings.retention, settings.root
    models = OldModels("models", rule.models, settings)
    log = [
        LogEntries("decisions", rule.decisions, settings, ("decision", "rectification")),
        LogEntries("reviews", rule.reviews, settings, ("review", "contest", "seed")),
    ]
    servers: list[Keeper] = [
        models,
        OldRuns("runs", rule.runs, settings, models),
        *log,
        *_servers(settings),
    ]
    if dvc_versions.from_image(settings):
        return servers
    copies = [
        root / ".churn/pipeline",
        root / "build",
        settings.path("valid").with_name("2_valid_refused"),
    ]
    backups = [root / rule.backups.folder] if rule.backups.folder else []
    return [
        OldVersions("dvc_versions", rule.dvc_versions, settings),
        NotebookOutputs("notebooks", rule.notebooks, settings, root / "notebooks"),
        OldFiles("copies", rule.copies, settings, copies),
        OldFiles("backups", rule.backups, settings, backups),
        *servers,
    ]


def _servers(settings: Settings) -> list[Keeper]:
    rule, found = settings.retention, list[Keeper]()
    if (
        settings.profile.dvc_remote == dvc_versions.BUCKET
    ):  # first: a file that goes as a whole needs no cleaning
        found.append(BucketVersions("dvc_versions", rule.dvc_versions, settings))
        found.append(TaskArtifacts("copies", rule.copies, settings))
    if settings.profile.offline_store == "s3":
        found.append(FeastRows("features", rule.features, settings))
    if settings.profile.online_store == "redis":
        found.append(OnlineKeys("features", rule.features, settings))
    return found
