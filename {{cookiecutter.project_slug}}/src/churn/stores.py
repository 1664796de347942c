"""Every place of the profile that can hold a person: files and data versions here, servers where it has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from churn import operation
from churn.settings import Settings
from churn.tools import bucket, runs, server_rows, versions
from churn.tools.bucket import Bucket
from churn.tools.feast_stores import remote
from churn.tools.online_rows import OnlineRows
from churn.tools.parquet_rows import ParquetRows
from sovereign.decision_log import open_log
from sovereign.rights.decisions import Decisions
from sovereign.rights.files import Files, Versions
from sovereign.rights.formats import format_of
from sovereign.rights.stores import Store

FORMATS = (ParquetRows(), OnlineRows())
KEY = "customer_id"
LOG_TABLES = ("decision_log", "objections", "open_reviews", "erased")


def every(settings: Settings, log: Decisions | None, notes: Path, keep: Callable[[], None]) -> list[Store]:
    """In the order of removal: the data versions last, because they take up what the files then are.

    ``notes`` is the folder of the journal, which names the people until the end.
    """
    root = settings.root
    folders = versions.places(root, settings.profile.dvc_remote)
    skip = [root / ".git", root / ".venv", notes, *folders.values()]
    skip += [file for file in (runs.database(settings),) if file]
    if log and log.file:
        skip += [log.file, *(log.file.with_name(f"{log.file.name}-{end}") for end in ("wal", "shm"))]
    ours = [root / name for name in ("data", ".churn", ".mlflow", ".dvc", "build")]
    files, tracking = Files(root, FORMATS, skip=skip, ours=ours), runs.Runs(settings)
    here: list[Store | None] = [files, log, tracking]
    return [*(one for one in here if one), *_servers(settings), Versions(folders, FORMATS, keep)]


def _servers(settings: Settings) -> list[Store]:
    """What the profile keeps on servers besides the decision log and MLflow's database."""
    found: list[Store] = []
    if remote(settings):
        found += [
            server_rows.PostgresRows("Feast's registry", settings, "feature_registry"),
            Bucket(settings, FORMATS),
        ]
    if settings.profile.online_store == "redis":
        found.append(server_rows.RedisRows(settings))
    elif settings.profile.online_store == "postgresql":
        found.append(server_rows.PostgresRows("online store", settings, "online_store"))
    if settings.profile.decision_log == "postgresql":
        found.append(server_rows.PostgresRows("other tables beside the log", settings, "decision_log", LOG_TABLES))
    return found


def log(settings: Settings) -> Decisions | None:
    """The profile's decision log; None where the service has not made one."""
    if settings.profile.decision_log == "postgresql":
        url = settings.secrets.need("decision_log")
        return Decisions(partial(open_log, url), None, partial(server_rows.vacuum, settings, "decision_log"))
    file = settings.root / settings.profile.decision_log.removeprefix("sqlite:///")
    return Decisions(partial(open_log, str(file)), file) if file.is_file() else None


def everybody(settings: Settings) -> set[str]:
    """Every pseudonym in a Parquet file of the data, its versions and the bucket, and in the decision log."""
    folders = [settings.root / "data", *versions.places(settings.root, settings.profile.dvc_remote).values()]
    found = _in_files(path for folder in folders for path in folder.rglob("*") if path.is_file())
    if remote(settings):
        found |= bucket.held_in(settings, FORMATS[0], KEY)
    with operation.decision_log(settings) as opened:
        return found | ({entry.subject for entry in opened.entries() if entry.subject} if opened else set())


def _in_files(paths: Iterable[Path]) -> set[str]:
    rows = FORMATS[0]
    tables = [path for path in paths if format_of(path, FORMATS) is rows and KEY in rows.text_columns(path)]
    return {name for path in tables for name in rows.values(path, KEY)}


def drop(settings: Settings, stages: Sequence[str]) -> None:
    """Remove the outputs of ``stages`` from ``data/`` and wherever DVC keeps them."""
    gone = versions.drop(settings.root, settings.profile.dvc_remote, stages)
    if remote(settings):
        bucket.drop(settings, gone)
