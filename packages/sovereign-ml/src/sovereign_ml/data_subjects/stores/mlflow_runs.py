"""MLflow: delete runs and registry versions that hold a person or are past their time."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from sovereign_ml.config.connections import ObjectStorage, Tracking, database
from sovereign_ml.data_subjects.stores import s3_versions
from sovereign_ml.data_subjects.stores.formats import mentions
from sovereign_ml.data_subjects.stores.protocol import People, Trace
from sovereign_ml.data_subjects.stores.redis_postgres import PostgresDatabase, PostgresRows
from sovereign_ml.errors import Refused
from sovereign_ml.registry import mlflow
from sovereign_ml.registry.aliases import MlflowRegistry

SERVER = "tracking_database"
"""The secret that names the database of MLflow's server."""
PROXIED = "mlflow-artifacts:/"
"""Artifacts that pass through MLflow's server to the bucket."""
ARN_TAG, CREATED_TAG = "sagemaker.arn", "sagemaker.created_ms"
"""Tags of imports by `churn leave`: a mark of the ARN, and the time of creation there."""


class Runs:
    """The tracking database as a :class:`~sovereign_ml.data_subjects.stores.protocol.Store`.

    A run that names somebody is deleted as a whole. What goes to MLflow is an allow-list without
    ids, so nothing is found here unless somebody logged more by hand.
    """

    name = "MLflow"

    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking

    def find(self, people: People) -> list[Trace]:
        """Return one trace for each run, or one for the database if no run explains the mention."""
        if not self._mentioned(people):
            return []
        runs = [
            run
            for run in _runs(self._tracking)
            if any(name in str(run.to_dictionary()) for name in people)
        ]
        traces = [
            Trace(self.name, f"run {run.info.run_id}", 1, "run", "run deleted") for run in runs
        ]
        return traces or [Trace(self.name, "its database", 1, "mention", "by hand")]

    def remove(self, people: People, traces: Sequence[Trace]) -> None:
        """Delete the runs with their artifacts and registry versions."""
        ids = [
            trace.place.removeprefix("run ") for trace in traces if trace.action == "run deleted"
        ]
        if ids:
            api = mlflow.client(self._tracking)
            for version in _versions(self._tracking):
                if version.run_id in ids:
                    api.delete_model_version(version.name, version.version)
            delete(self._tracking, ids)
            # Deleted rows stay readable in freed pages until the database is vacuumed.
            self._vacuum()

    def _mentioned(self, people: People) -> bool:
        if (file := database_file(self._tracking)) is None:
            return bool(PostgresRows("", self._server()).find(people))
        return file.is_file() and mentions(file, people)

    def _vacuum(self) -> None:
        if (file := database_file(self._tracking)) is None:
            self._server().vacuum()
            return
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("VACUUM")

    def _server(self) -> PostgresDatabase:
        return PostgresDatabase(SERVER, self._tracking.database)


def database_file(tracking: Tracking) -> Path | None:
    """Return the SQLite file of the tracking store, None where it is on a server."""
    uri = tracking.uri
    return tracking.root / uri.removeprefix("sqlite:///") if uri.startswith("sqlite:") else None


def old_versions(tracking: Tracking, before: datetime) -> list[Any]:
    """Return registry versions made before ``before`` that no alias points to, oldest first."""
    model = _model(tracking)
    aliased = {str(version) for version in model.aliases.values()} if model else set()
    versions = [
        version
        for version in _versions(tracking)
        if _registered_ms(version) < _ms(before)
        and not (version.name == tracking.project and version.version in aliased)
    ]
    return sorted(versions, key=lambda version: (version.name, int(version.version)))


def _registered_ms(version: Any) -> int:
    """Return the time of registration in ms, for an imported version in its first system."""
    return int(version.tags.get(CREATED_TAG, version.creation_timestamp))


def brought_runs(tracking: Tracking) -> list[Any]:
    """Return the runs that `churn leave` imported, also in part, from another system."""
    return [run for run in _runs(tracking) if ARN_TAG in run.data.tags]


def brought_versions(tracking: Tracking) -> list[Any]:
    """Return the registry versions that `churn leave` imported."""
    return [version for version in _versions(tracking) if ARN_TAG in version.tags]


def old_runs(tracking: Tracking, before: datetime, leaving: Iterable[Any]) -> list[str]:
    """Return the ids of runs that ended before ``before`` and that no registry version needs.

    Versions in ``leaving`` do not count: they are deleted too.
    """
    going = {(version.name, version.version) for version in leaving}
    versions = _versions(tracking)
    held = {version.run_id for version in versions if (version.name, version.version) not in going}
    runs = [run.info for run in _runs(tracking)]
    return sorted(
        i.run_id
        for i in runs
        # A run whose process was killed has no end.
        if (i.end_time or i.start_time) < _ms(before) and i.run_id not in held
    )


def run_ids(tracking: Tracking) -> list[str]:
    """Return the ids of all runs, also of those in MLflow's bin."""
    return [run.info.run_id for run in _runs(tracking)]


def delete_version(tracking: Tracking, version: str, model: str = "") -> None:
    """Delete one version from the registry but not its run. ``model`` defaults to the project's."""
    mlflow.client(tracking).delete_model_version(model or tracking.project, version)


def retire(tracking: Tracking) -> int:
    """Delete every version of the model and its runs, and return the number of versions."""
    api, model = mlflow.client(tracking), _model(tracking)
    # Aliases first, so that nothing serves a version while it is deleted.
    for alias in model.aliases if model else ():
        api.delete_registered_model_alias(tracking.project, alias)
    versions = [version for version in _versions(tracking) if version.name == tracking.project]
    for version in versions:
        api.delete_model_version(version.name, version.version)
    delete(tracking, sorted({version.run_id for version in versions}))
    MlflowRegistry(tracking).note_retirement(datetime.now(UTC))
    return len(versions)


def delete(tracking: Tracking, run_ids: Sequence[str]) -> None:
    """Delete runs for good: logged models, artifacts, then the run. It can be repeated."""
    # `mlflow gc` makes the calls below too, but it also deletes all experiments in the bin, and it
    # has left artifacts behind (mlflow/mlflow#17240).
    if not run_ids:
        return
    present = {run.info.run_id: run.info for run in _runs(tracking)}
    models = [model for model in _logged_models(tracking) if model.source_run_id in run_ids]
    _inside(tracking.root, [i.artifact_uri for i in present.values() if i.run_id in run_ids])
    _inside(tracking.root, [model.artifact_location for model in models])
    store = _database_store(tracking)
    for model in models:
        _delete_artifacts(tracking.storage, model.artifact_location)
        store._hard_delete_logged_model(model.model_id)
    for run_id in run_ids:
        if run_id in present:
            _delete_artifacts(tracking.storage, present[run_id].artifact_uri)
            store._hard_delete_run(run_id)


def _database_store(tracking: Tracking) -> Any:
    """Return MLflow's own access to its database: over HTTP nothing can be deleted for good."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    if (file := database_file(tracking)) is not None:
        return SqlAlchemyStore(f"sqlite:///{file}", mlflow.artifact_root(tracking))
    return SqlAlchemyStore(database(tracking.database, SERVER).sqlalchemy, PROXIED)


def _delete_artifacts(storage: ObjectStorage, uri: str) -> None:
    """Delete artifacts."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    if uri.startswith(PROXIED):
        # MLflow would leave the old versions of each object in the bucket.
        s3_versions.Objects(storage).clear(f"mlflow{urlparse(uri).path}/")
        return
    get_artifact_repository(uri).delete_artifacts()
    _remove_folder(uri)


def _inside(root: Path, uris: Iterable[str]) -> None:
    """Refuse artifacts outside of the project's folder."""
    # MLflow stores absolute paths: in a copied project they still point at the original.
    for folder in (_folder(uri) for uri in uris if not uri.startswith(PROXIED)):
        if not folder.is_relative_to(root):
            raise Refused(
                f"MLflow says that artifacts are in {folder}, outside {root}: this project was "
                "copied or moved. Nothing of these runs was deleted. Run this where the "
                "artifacts are."
            )


def _folder(uri: str) -> Path:
    return Path(unquote(urlparse(uri).path))


def _remove_folder(uri: str) -> None:
    """Remove the folder around the artifacts, which MLflow leaves behind empty."""
    folder = _folder(uri)
    whole = folder.parent if folder.name == "artifacts" else folder
    if whole.exists():
        shutil.rmtree(whole)


def _runs(tracking: Tracking) -> Iterator[Any]:
    from mlflow.entities import ViewType

    api, experiments = mlflow.client(tracking), _experiments(tracking)
    if experiments:
        yield from mlflow.pages(
            # Runs in MLflow's bin can still be read, so they count too.
            lambda token: api.search_runs(experiments, "", ViewType.ALL, page_token=token)
        )


def _experiments(tracking: Tracking) -> list[str]:
    """Return the ids of the project's experiment and of the imported ones below it."""
    from mlflow.entities import ViewType

    api, own = mlflow.client(tracking), tracking.project
    every = mlflow.pages(lambda token: api.search_experiments(ViewType.ALL, page_token=token))
    return [str(e.experiment_id) for e in every if e.name == own or e.name.startswith(f"{own}/")]


def _logged_models(tracking: Tracking) -> list[Any]:
    api, experiments = mlflow.client(tracking), _experiments(tracking)
    if not experiments:
        return []
    return list(mlflow.pages(lambda token: api.search_logged_models(experiments, page_token=token)))


def _versions(tracking: Tracking) -> list[Any]:
    """Return the versions of the project's model and of the imported models."""
    api, own = mlflow.client(tracking), tracking.project
    every = mlflow.pages(
        # MLflow's filter knows no OR, so a prefix is asked for and the exact names are taken below.
        lambda token: api.search_model_versions(f"name LIKE '{own}%'", page_token=token)
    )
    return [v for v in every if v.name == own or v.name.startswith(f"{own}.sagemaker.")]


def _model(tracking: Tracking) -> Any:
    from mlflow.exceptions import MlflowException

    with mlflow.reached(tracking):
        try:
            return mlflow.client(tracking).get_registered_model(tracking.project)
        except MlflowException as error:
            # Any other failure is no answer: without aliases the version in production would go.
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
