"""Every place of the profile that can hold a person: files and data versions here, servers where it has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from sovereign_ml.config.settings import Settings
from sovereign_ml.data_subjects.stores import dvc_versions, mlflow_runs, redis_postgres, s3_versions
from sovereign_ml.data_subjects.stores.base import Store
from sovereign_ml.data_subjects.stores.decision_log import Decisions
from sovereign_ml.data_subjects.stores.feast_sqlite import OnlineRows
from sovereign_ml.data_subjects.stores.files import Files, Versions
from sovereign_ml.data_subjects.stores.formats import format_of
from sovereign_ml.data_subjects.stores.parquet import ParquetRows
from sovereign_ml.data_subjects.stores.s3_versions import Bucket
from sovereign_ml.decision_log import open_log
from sovereign_ml.privacy import objections

FORMATS = (ParquetRows(), OnlineRows())
KEY = "customer_id"
LOG_TABLES = ("decision_log", "objections", "open_reviews", "erased")


def every(
    settings: Settings, log: Decisions | None, notes: Path, keep: Callable[[], None]
) -> list[Store]:
    """In the order of removal: the data versions last, because they take up what the files then are.

    ``notes`` is the folder of the journal, which names the people until the end.
    """
    root = settings.root
    folders = dvc_versions.places(root, settings.profile.dvc_remote)
    skip = [root / ".git", root / ".venv", notes, *folders.values()]
    skip += [file for file in (mlflow_runs.database(settings),) if file]
    if log and log.file:
        skip += [
            log.file,
            *(log.file.with_name(f"{log.file.name}-{end}") for end in ("wal", "shm")),
        ]
    ours = [root / name for name in ("data", ".churn", ".mlflow", ".dvc", "build")]
    files, tracking = Files(root, FORMATS, skip=skip, ours=ours), mlflow_runs.Runs(settings)
    here: list[Store | None] = [files, log, tracking]
    return [*(one for one in here if one), *_servers(settings), Versions(folders, FORMATS, keep)]


def _servers(settings: Settings) -> list[Store]:
    """What the profile keeps on servers besides the decision log and MLflow's database."""
    found: list[Store] = []
    if settings.feature_stores.on_servers:
        found += [
            redis_postgres.PostgresRows("Feast's registry", settings, "feature_registry"),
            Bucket(settings, FORMATS),
        ]
    if settings.profile.online_store == "redis":
        found.append(redis_postgres.RedisRows(settings))
    elif settings.profile.online_store == "postgresql":
        found.append(redis_postgres.PostgresRows("online store", settings, "online_store"))
    if settings.profile.decision_log == "postgresql":
        found.append(
            redis_postgres.PostgresRows(
                "other tables beside the log", settings, "decision_log", LOG_TABLES
            )
        )
    return found


def log(settings: Settings) -> Decisions | None:
    """The profile's decision log; None where the service has not made one."""
    if settings.profile.decision_log == "postgresql":
        url = settings.secrets.need("decision_log")
        return Decisions(
            partial(open_log, url), None, partial(redis_postgres.vacuum, settings, "decision_log")
        )
    file = settings.root / settings.profile.decision_log.removeprefix("sqlite:///")
    return Decisions(partial(open_log, str(file)), file) if file.is_file() else None


def everybody(settings: Settings) -> set[str]:
    """Every pseudonym in a Parquet file of the data, its versions and the bucket, and in the decision log."""
    folders = [
        settings.root / "data",
        *dvc_versions.places(settings.root, settings.profile.dvc_remote).values(),
    ]
    found = _in_files(path for folder in folders for path in folder.rglob("*") if path.is_file())
    if settings.feature_stores.on_servers:
        found |= s3_versions.held_in(settings, FORMATS[0], KEY)
    with objections.decision_log(settings.log_location) as opened:
        return found | (
            {entry.subject for entry in opened.entries() if entry.subject} if opened else set()
        )


def _in_files(paths: Iterable[Path]) -> set[str]:
    rows = FORMATS[0]
    tables = [
        path
        for path in paths
        if format_of(path, FORMATS) is rows and KEY in rows.text_columns(path)
    ]
    return {name for path in tables for name in rows.values(path, KEY)}


def drop(settings: Settings, stages: Sequence[str]) -> None:
    """Remove the outputs of ``stages`` from ``data/`` and wherever DVC keeps them."""
    gone = dvc_versions.drop(settings.root, settings.profile.dvc_remote, stages)
    if settings.feature_stores.on_servers:
        s3_versions.drop(settings, gone)
