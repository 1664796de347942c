"""MLflow: runs and registry versions that hold a person or are past their time; deleted with their artifacts."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from sovereign_ml.config.settings import Settings
from sovereign_ml.data_subjects.stores import redis_postgres, s3_versions
from sovereign_ml.data_subjects.stores.base import People, Trace
from sovereign_ml.data_subjects.stores.formats import mentions
from sovereign_ml.errors import Refused
from sovereign_ml.registry import mlflow

SERVER = "tracking_database"
"""The secret that names the database of MLflow's server."""
PROXIED = "mlflow-artifacts:/"
"""Artifacts that pass through MLflow's server to the bucket."""


class Runs:
    """The tracking database as a :class:`~sovereign_ml.data_subjects.stores.base.Store`: a run that names somebody goes as a whole.

    What goes to MLflow is an allow-list without ids, so nothing is found here unless somebody logged more by hand.
    """

    name = "MLflow"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def find(self, people: People) -> list[Trace]:
        """One trace a run; one for the database itself if no run explains the mention."""
        if not self._mentioned(people):
            return []
        runs = [
            run
            for run in _runs(self._settings)
            if any(one in str(run.to_dictionary()) for one in people)
        ]
        found = [
            Trace(
                store=self.name,
                place=f"run {run.info.run_id}",
                count=1,
                unit="run",
                action="run deleted",
            )
            for run in runs
        ]
        elsewhere = Trace(
            store=self.name, place="its database", count=1, unit="mention", action="by hand"
        )
        return found or [elsewhere]

    def remove(self, people: People, traces: Sequence[Trace]) -> None:
        """Delete the runs with their artifacts and registry versions, then the freed pages of the database."""
        ids = [
            trace.place.removeprefix("run ") for trace in traces if trace.action == "run deleted"
        ]
        if ids:
            api = mlflow.client(self._settings.tracking)
            for version in _versions(self._settings):
                if version.run_id in ids:
                    api.delete_model_version(version.name, version.version)
            delete(self._settings, ids)
            self._vacuum()

    def _mentioned(self, people: People) -> bool:
        if (file := database(self._settings)) is None:
            return redis_postgres.mentioned(self._settings, SERVER, people)
        return file.is_file() and mentions(file, people)

    def _vacuum(self) -> None:
        if (file := database(self._settings)) is None:
            redis_postgres.vacuum(self._settings, SERVER)
            return
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("VACUUM")


def database(settings: Settings) -> Path | None:
    """The SQLite file of the tracking store; None where it is a server's."""
    uri = settings.profile.tracking_uri
    return settings.root / uri.removeprefix("sqlite:///") if uri.startswith("sqlite:") else None


def old_versions(settings: Settings, before: datetime) -> list[Any]:
    """Registry versions made before ``before`` that no alias points to, oldest first."""
    aliased = (
        {str(version) for version in _model(settings).aliases.values()}
        if _model(settings)
        else set()
    )
    found = [
        v
        for v in _versions(settings)
        if v.creation_timestamp < _ms(before) and v.version not in aliased
    ]
    return sorted(found, key=lambda version: int(version.version))


def old_runs(settings: Settings, before: datetime, leaving: Iterable[Any]) -> list[str]:
    """Ids of runs that ended before ``before`` and that no registry version but those ``leaving`` stands on."""
    going = {version.version for version in leaving}
    held = {version.run_id for version in _versions(settings) if version.version not in going}
    runs = [run.info for run in _runs(settings)]
    return sorted(
        i.run_id
        for i in runs
        if (i.end_time or i.start_time) < _ms(before) and i.run_id not in held
    )


def delete_version(settings: Settings, version: str) -> None:
    """Take one version out of the registry; its run stays."""
    mlflow.client(settings.tracking).delete_model_version(settings.project.name, version)


def retire(settings: Settings) -> int:
    """Take every version of the model out of the registry, aliases first, and delete the runs; return how many."""
    api, model = mlflow.client(settings.tracking), _model(settings)
    for alias in model.aliases if model else ():
        api.delete_registered_model_alias(settings.project.name, alias)
    versions = _versions(settings)
    for version in versions:
        api.delete_model_version(version.name, version.version)
    delete(settings, sorted({version.run_id for version in versions}))
    return len(versions)


def delete(settings: Settings, run_ids: Sequence[str]) -> None:
    """Delete runs for good: logged models, artifacts, then the run. Done twice, it does no harm.

    ``mlflow gc`` is not used: besides the runs that it is told, it deletes all experiments that anybody has put into
    the bin, and it has left artifacts behind (mlflow/mlflow#17240). The calls below are the ones that it makes.
    """
    if not run_ids:
        return
    there = {run.info.run_id: run.info for run in _runs(settings)}
    models = [model for model in _logged_models(settings) if model.source_run_id in run_ids]
    _inside(settings, [i.artifact_uri for i in there.values() if i.run_id in run_ids])
    _inside(settings, [model.artifact_location for model in models])
    store = _database_store(settings)
    for model in models:
        _delete_artifacts(settings, model.artifact_location)
        store._hard_delete_logged_model(model.model_id)
    for run_id in run_ids:
        if run_id in there:
            _delete_artifacts(settings, there[run_id].artifact_uri)
            store._hard_delete_run(run_id)


def _database_store(settings: Settings) -> Any:
    """MLflow's own access to its database: over HTTP nothing can be deleted for good."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    if (file := database(settings)) is not None:
        return SqlAlchemyStore(f"sqlite:///{file}", str(settings.root / ".mlflow/artifacts"))
    url = settings.secrets.need(SERVER).replace("postgresql://", "postgresql+psycopg://", 1)
    return SqlAlchemyStore(url, PROXIED)


def _delete_artifacts(settings: Settings, uri: str) -> None:
    """On a server with every version of each object, which MLflow's own call would leave behind."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    if uri.startswith(PROXIED):
        s3_versions.Objects(settings).clear(f"mlflow{urlparse(uri).path}/")
        return
    get_artifact_repository(uri).delete_artifacts()
    _remove_folder(uri)


def _inside(settings: Settings, uris: Iterable[str]) -> None:
    """MLflow notes absolute paths: in a copied project they still point at the original, which is not ours to empty."""
    for folder in (_folder(uri) for uri in uris if not uri.startswith(PROXIED)):
        if not folder.is_relative_to(settings.root):
            raise Refused(
                f"MLflow says that artifacts lie in {folder}, outside {settings.root}: this project was copied or "
                "moved. Nothing of these runs was deleted; run this where the artifacts are."
            )


def _folder(uri: str) -> Path:
    return Path(unquote(urlparse(uri).path))


def _remove_folder(uri: str) -> None:
    """The folder of the run or model around its artifacts, which MLflow leaves behind empty."""
    folder = _folder(uri)
    shutil.rmtree(folder.parent if folder.name == "artifacts" else folder, ignore_errors=True)


def _runs(settings: Settings) -> Iterator[Any]:
    from mlflow.entities import ViewType

    api = mlflow.client(settings.tracking)
    experiment = api.get_experiment_by_name(settings.project.name)
    if experiment:
        yield from _pages(
            lambda token: api.search_runs(
                [experiment.experiment_id], "", ViewType.ALL, page_token=token
            )
        )


def _logged_models(settings: Settings) -> list[Any]:
    api = mlflow.client(settings.tracking)
    experiment = api.get_experiment_by_name(settings.project.name)
    if not experiment:
        return []
    return list(
        _pages(lambda token: api.search_logged_models([experiment.experiment_id], page_token=token))
    )


def _versions(settings: Settings) -> list[Any]:
    api = mlflow.client(settings.tracking)
    query = f"name = '{settings.project.name}'"
    return list(_pages(lambda token: api.search_model_versions(query, page_token=token)))


def _pages(ask: Any) -> Iterator[Any]:
    token = None
    while True:
        page = ask(token)
        yield from page
        token = page.token
        if not token:
            return


def _model(settings: Settings) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return mlflow.client(settings.tracking).get_registered_model(settings.project.name)
    except MlflowException:
        return None


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
