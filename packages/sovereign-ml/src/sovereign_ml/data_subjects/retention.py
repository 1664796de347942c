"""Retention in a project: the keepers of [retention], in an order that a crash cannot break."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sovereign_ml.card.schema import NOT_ANSWERED
from sovereign_ml.config.retention_periods import (
    LOG_MINIMUM,
    RetentionSettings,
    shorter_than_log_minimum,
)
from sovereign_ml.data_subjects.project_stores import ProjectStores
from sovereign_ml.data_subjects.retention_local import (
    LogEntries,
    NotebookOutputs,
    OldFiles,
    OldModels,
    OldReports,
    OldRuns,
    OldVersions,
    Rows,
)
from sovereign_ml.data_subjects.retention_servers import (
    BucketVersions,
    CopiedRuns,
    FeastRows,
    OldObjects,
    OnlineKeys,
    PublishedFeatures,
)
from sovereign_ml.data_subjects.stores import dvc_versions, s3_versions
from sovereign_ml.data_subjects.stores.files import clear_leftovers
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.features import event_tables
from sovereign_ml.git import GitError, ask
from sovereign_ml.monitoring.reporting.bucket_copy import ALARMS, reports_prefix
from sovereign_ml.monitoring.reporting.stored_reports import FOLDER
from sovereign_ml.privacy import corrections, objections, retention_plan
from sovereign_ml.privacy.retention_plan import Due, Keeper
from sovereign_ml.privacy.tombstones import write_durably
from sovereign_ml.storage.artifacts import read_json

NOTES = Path(".churn/rights/retention.json")
OURS = ("data", ".git", ".dvc", ".churn", ".mlflow", "build", "governance")
"""Folders of the project that no other program fills with backups."""
BEHIND, AHEAD = timedelta(days=1), timedelta(days=31)
"""How far the clock may be from what is on record. No default period is shorter than a month."""


def plan(stores: ProjectStores, now: datetime) -> list[Due]:
    """Return everything that is past its period at ``now`` (UTC)."""
    tables = [] if stores.versions.from_image else _tables(stores)
    return retention_plan.plan([*tables, *_others(stores)], now)


def refuse_short_log(policy: RetentionSettings, folder: Path, now: datetime) -> None:
    """Refuse a period for decisions or reviews below the AI Act's six months for logs.

    Raises Refused if the card in ``folder`` says high risk, or does not say the risk class yet.
    """
    card = folder / "card.json"
    risk = read_json(card)["derived"]["ai_act"]["risk_class"] if card.is_file() else ""
    short = shorter_than_log_minimum(policy, now)
    if short and risk in ("high_risk", NOT_ANSWERED):
        periods = " and ".join(f"{name} is {period}" for name, period in short.items())
        stated, way_out = (
            ("says high risk", "Lengthen the period.")
            if risk == "high_risk"
            else ("leaves the risk class open", "Answer [ai_act] first, or lengthen the period.")
        )
        raise Refused(
            f"[retention] {periods}; the card {stated}, and the AI Act (Art. 19(1), 26(6)) asks "
            f"for logs of a high-risk system of at least {LOG_MINIMUM}. {way_out}"
        )


def refuse_wrong_clock(stores: ProjectStores, now: datetime) -> None:
    """Raise Refused where ``now`` fits neither the newest entry of the decision log nor the last commit.

    A clock that is ahead would delete what is not due (GDPR Art. 5(1)(f): loss). Whoever names the
    day by hand has looked at a calendar.
    """
    last = max(_on_record(stores), default=now)
    if not now - AHEAD <= last <= now + BEHIND:
        raise Refused(
            f"This machine's clock says {now:%Y-%m-%d}, and the last entry or commit on record is of "
            f"{last:%Y-%m-%d}. With a wrong clock the wrong things are deleted. Set the clock; "
            "where it is right, name the day: --at YYYY-MM-DD."
        )


def _on_record(stores: ProjectStores) -> list[datetime]:
    """Return when the newest entry of the log and the last commit were made, as far as they are known."""
    moments = []
    with objections.decision_log(stores.log) as log:
        at = log.head()[2] if log else ""
    # An entry with an odd time and a folder without commits say nothing.
    with suppress(ValueError):
        moments.append(datetime.fromisoformat(at).replace(tzinfo=UTC))
    with suppress(GitError, ValueError):
        commit = ask(stores.root, "log", "-1", "--format=%ct")
        moments.append(datetime.fromtimestamp(int(commit), UTC))
    return moments


def apply(stores: ProjectStores, now: datetime, planned: Sequence[Due] | None = None) -> list[Due]:
    """Delete what is due, record the remaining data as a new version, return what was deleted.

    On a cluster there is no repository, and only git can tell which data versions are still
    needed. There only data on the servers is deleted. The next run finishes a run that was
    killed: what remains is due again. Raises Refused after the deletion where copies of the runs
    may remain at ClearML, of which the image has no client.
    """
    if stores.versions.from_image:
        due = plan(stores, now) if planned is None else list(planned)
        retention_plan.apply(_others(stores), due, now)
        runs = sum(item.data_class == "runs" for item in due)
        if runs and stores.clearml.api:
            raise Refused(
                f"All {len(due)} places are deleted, but the copies of {runs} runs may still be at "
                f"{stores.clearml.api}: this image has no client of ClearML. Call "
                "`churn retain --apply` in a clone after `make setup-clearml`."
            )
        return due
    root = stores.root
    # Stages count as clean by their state before the deletion, also after a crash in the middle.
    notes = root / NOTES
    if not notes.is_file():
        write_durably(notes, json.dumps(dvc_versions.clean_stages(root)))
    clear_leftovers(root)
    tables, others = _tables(stores), _others(stores)
    due = plan(stores, now) if planned is None else list(planned)
    retention_plan.apply(tables, due, now)
    stores.source.note_removed_rows()
    # The old versions can only go once the remaining rows are a version of their own.
    dvc_versions.commit(root, json.loads(notes.read_text(encoding="utf-8")))
    retention_plan.apply(others, due, now)
    retention_plan.note(root / retention_plan.LAST_RUN, now, plan(stores, now))
    stores.governance.publish()
    notes.unlink()
    return due


def _tables(stores: ProjectStores) -> list[Keeper]:
    """Return the keepers of files under DVC. The remaining rows become the present version."""
    rule, root, suppression = stores.retention, stores.root, stores.suppression
    raw, valid = stores.artifacts.raw, stores.artifacts.valid
    tables = ("transactions", *event_tables.names(raw), *event_tables.names(valid))
    lines = [
        folder / f"{prefix}{name}.parquet"
        for name in dict.fromkeys(tables)
        for folder, prefix in ((raw, ""), (valid, ""), (valid, "rejected_"))
    ]
    groups = [raw / "groups.parquet", valid / "groups.parquet", valid / "rejected_groups.parquet"]
    snapshots = [stores.artifacts.features / "snapshots.parquet"]
    training = [stores.artifacts.features / "training.parquet"]
    server, features = stores.feature_stores.hopsworks, stores.artifacts.features
    # First: it asks for the customers of the snapshots that are deleted next.
    published: list[Keeper] = []
    if server:
        published = [PublishedFeatures("features", rule.features, root, server, features)]
    return [
        *published,
        Rows("groups", rule.groups, root, groups),
        Rows("raw", rule.raw, root, lines, "event_time", suppression),
        Rows("raw", rule.raw, root, [raw / corrections.NAME], "purchase", suppression),
        Rows("features", rule.features, root, snapshots, "event_timestamp"),
        Rows("snapshots", rule.snapshots, root, training, "event_timestamp"),
        Rows("scores", rule.scores, root, [stores.artifacts.scores / "scores.parquet"]),
    ]


def _others(stores: ProjectStores) -> list[Keeper]:
    rule, root, log = stores.retention, stores.root, stores.log
    models = OldModels("models", rule.models, root, stores.tracking)
    runs = OldRuns("runs", rule.runs, root, models)
    servers: list[Keeper] = [
        models,
        runs,
        LogEntries(
            "decisions", rule.decisions, root, log, ("decision", "rectification", "contact")
        ),
        LogEntries("reviews", rule.reviews, root, log, ("review", "contest", "seed")),
        *_servers(stores),
    ]
    if stores.versions.from_image:
        return servers
    copies = [
        root / ".churn/pipeline",
        root / "build",
        stores.artifacts.valid.with_name("2_valid_refused"),
    ]
    if stores.clearml.api:
        servers.append(CopiedRuns("runs", rule.runs, root, stores.clearml, runs))
    backups = [_backups(root, rule.backups.folder)] if rule.backups.folder else []
    imported = sorted((root / "data/leaving").glob("*/rows.parquet"))
    return [
        OldVersions("dvc_versions", rule.dvc_versions, root, stores.versions),
        Rows("features", rule.features, root, imported, "event_timestamp"),
        OldReports("monitor", rule.monitor, root, root / FOLDER),
        NotebookOutputs("notebooks", rule.notebooks, root, root / "notebooks"),
        OldFiles("copies", rule.copies, root, copies),
        OldFiles("backups", rule.backups, root, backups),
        *servers,
    ]


def _backups(root: Path, name: str) -> Path:
    """Return the folder of backups.

    Raises Misuse if it holds files of the project, all of which would go when they are old, or if
    it is missing, as on a disk that is not mounted.
    """
    folder = (root / name).resolve()
    parts = [(root / part).resolve() for part in OURS]
    try:
        tracked = ask(root, "ls-files", "--", str(folder))
    except GitError:
        # Git answers for no folder outside the project.
        tracked = ""
    within = any(folder.is_relative_to(part) for part in parts)
    if root.resolve().is_relative_to(folder) or within or tracked:
        raise Misuse(
            f"[retention] backups.folder is '{name}', which holds this project or a part of it, and "
            "every old file in it would be deleted: name a folder of nothing but backups."
        )
    if not folder.is_dir():
        raise Misuse(
            f"[retention] backups.folder is '{name}', which is missing: mount its disk, or correct "
            "the name. Old backups may be in it."
        )
    return root / name


def _servers(stores: ProjectStores) -> list[Keeper]:
    rule, root = stores.retention, stores.root
    project, storage, feast = stores.project, stores.storage, stores.feature_stores
    keepers: list[Keeper] = []
    reports = reports_prefix(project)
    if stores.versions.in_bucket:
        # First: a file that is deleted as a whole needs no cleaning of its rows.
        keepers += [
            BucketVersions(
                data_class="dvc_versions",
                rule=rule.dvc_versions,
                root=root,
                project=project,
                versions=stores.versions,
                feature_stores=feast,
                features=stores.artifacts.features,
            ),
            OldObjects("copies", rule.copies, root, storage, s3_versions.tasks(project)),
            OldObjects("monitor", rule.monitor, root, storage, reports, f"{reports}{ALARMS}"),
        ]
    if feast.on_servers:
        keepers.append(FeastRows("features", rule.features, root, project, storage))
    if feast.online == "redis":
        keepers.append(OnlineKeys("features", rule.features, root, feast))
    return keepers
