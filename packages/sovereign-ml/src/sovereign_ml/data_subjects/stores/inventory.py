"""Every store of the profile that can hold a person: files, data versions and servers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from sovereign_ml.config.connections import LogLocation, required
from sovereign_ml.data_subjects.project_stores import ProjectStores
from sovereign_ml.data_subjects.stores import dvc_versions, mlflow_runs, redis_postgres, s3_versions
from sovereign_ml.data_subjects.stores.clearml_tasks import CopiedTasks
from sovereign_ml.data_subjects.stores.decision_log import Decisions
from sovereign_ml.data_subjects.stores.feast_sqlite import OnlineRows
from sovereign_ml.data_subjects.stores.files import Files, Versions, held
from sovereign_ml.data_subjects.stores.formats import format_of
from sovereign_ml.data_subjects.stores.hopsworks_rows import PublishedRows
from sovereign_ml.data_subjects.stores.parquet import ParquetRows
from sovereign_ml.data_subjects.stores.protocol import Store
from sovereign_ml.data_subjects.stores.redis_postgres import (
    PostgresDatabase,
    PostgresRows,
    RedisRows,
)
from sovereign_ml.data_subjects.stores.s3_versions import Bucket
from sovereign_ml.decision_log.reading import TABLES
from sovereign_ml.privacy import objections

FORMATS = (ParquetRows(), OnlineRows())
KEY = "customer_id"
LOG_TABLES = ("decision_log", *TABLES.values(), "open_reviews", "erased")


def every(
    stores: ProjectStores, log: Decisions | None, notes: Path, keep: Callable[[], None]
) -> list[Store]:
    """Return the stores in the order of removal.

    The data versions are last, because they record the cleaned files. ``notes`` is the
    folder of the journal, which names the people until the end.
    """
    root = stores.root
    folders = dvc_versions.places(root, stores.versions.remote)
    skip = [root / ".git", root / ".venv", notes, *folders.values()]
    skip += [file for file in (mlflow_runs.database_file(stores.tracking),) if file]
    if log and log.file:
        # The log is searched as a database and not as bytes.
        skip += [
            log.file,
            *(log.file.with_name(f"{log.file.name}-{end}") for end in ("wal", "shm")),
        ]
    # What lies elsewhere in the folder is reported, and left to the people who put it there.
    ours = [root / name for name in ("data", ".churn", ".mlflow", ".dvc", "build")]
    files = Files(root, FORMATS, skip=skip, ours=ours)
    candidates: list[Store | None] = [files, log, mlflow_runs.Runs(stores.tracking)]
    local = [store for store in candidates if store]
    return [*local, *_servers(stores), Versions(folders, FORMATS, keep)]


def _servers(stores: ProjectStores) -> list[Store]:
    """Return what is on servers besides the decision log and MLflow's database."""
    feast = stores.feature_stores
    servers: list[Store] = []
    if feast.on_servers:
        registry = PostgresDatabase("feature_registry", feast.registry)
        servers += [
            PostgresRows("Feast's registry", registry),
            Bucket(stores.storage, stores.project, FORMATS),
        ]
    if feast.online == "redis":
        servers.append(RedisRows(feast))
    elif feast.hopsworks:
        servers.append(PublishedRows(feast.hopsworks))
    elif feast.online == "postgresql":
        servers.append(
            PostgresRows("online store", PostgresDatabase("online_store", feast.online_url))
        )
    if stores.clearml.api:
        servers.append(CopiedTasks(stores.clearml))
    if stores.log.on_server:
        database = redis_postgres.log_database(stores.log)
        servers.append(PostgresRows("other tables beside the log", database, LOG_TABLES))
    return servers


def decisions(log: LogLocation) -> Decisions | None:
    """Return the decision log as a store, None where the service has not made one."""
    if log.on_server:
        database = redis_postgres.log_database(log)
        required(database.url, database.secret)
        return Decisions(log, None, database.vacuum)
    if not log.address:
        return None
    return Decisions(log, Path(log.address.removeprefix("sqlite:///")))


def everybody(stores: ProjectStores) -> set[str]:
    """Return every pseudonym in Parquet files and in the decision log.

    The files are those of the data, its versions and the bucket.
    """
    versions = stores.versions
    paths = [path for path in (versions.root / "data").rglob("*") if path.is_file()]
    for folder in dvc_versions.places(versions.root, versions.remote).values():
        paths += held(folder)
    names = _in_files(paths)
    if stores.feature_stores.on_servers:
        names |= s3_versions.held_in(stores.storage, FORMATS[0], KEY)
    with objections.decision_log(stores.log) as log:
        return names | (log.subjects() if log else set())


def _in_files(paths: Iterable[Path]) -> set[str]:
    rows = FORMATS[0]
    tables = [
        path
        for path in paths
        if format_of(path, FORMATS) is rows and KEY in rows.text_columns(path)
    ]
    return {name for path in tables for name in rows.values(path, KEY)}


def drop(stores: ProjectStores, stages: Sequence[str]) -> None:
    """Remove the outputs of ``stages`` from ``data/`` and wherever DVC keeps them."""
    digests = dvc_versions.drop(stores.root, stores.versions.remote, stages)
    if stores.feature_stores.on_servers:
        s3_versions.drop(stores.storage, digests)
