"""MLflow: runs and the model registry, with models as skops, never as pickle."""

from __future__ import annotations

import json
import logging
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sovereign_ml.config.connections import Tracking
from sovereign_ml.config.settings import ENVIRONMENT
from sovereign_ml.errors import Misuse, Refused

__all__ = ["log_pipeline", "training_run"]

SEAL = "bundle_sha256"
"""Tag of a version: the SHA-256 of its ``bundle.json``, which lists the hash of every file."""
PROMOTED = "promotion_chain"
"""Tag of a version that was promoted, see `aliases`."""


def client(tracking: Tracking) -> Any:
    """Return an MLflow client on the profile's tracking store."""
    import mlflow

    # MLflow's own default tries for four minutes before it says that the server is away.
    ENVIRONMENT.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    if tracking.password:
        ENVIRONMENT.setdefault("MLFLOW_TRACKING_USERNAME", tracking.user)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    if tracking.uri.startswith("sqlite:"):
        # MLflow writes the folder of its default experiment into SQL as it is, quotes and all.
        ENVIRONMENT["_MLFLOW_SERVER_ARTIFACT_ROOT"] = artifact_root(tracking)
    with reached(tracking), _quiet():
        uri = tracking_uri(tracking)
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)  # else MLFLOW_REGISTRY_URI would say where versions go
        return mlflow.MlflowClient()


def tracking_uri(tracking: Tracking) -> str:
    """Return the URI of the tracking store, with a relative SQLite path below the project."""
    uri = tracking.uri
    if not uri.startswith("sqlite:///") or uri.startswith("sqlite:////"):
        return uri
    path = tracking.root / uri.removeprefix("sqlite:///")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        _keep_artifacts_in(tracking, path)
    return f"sqlite:///{path}"


_STORED_LOCATIONS = (
    *(("experiments", "artifact_location"), ("runs", "artifact_uri")),
    ("logged_models", "artifact_location"),
)
_IN_PROJECT = re.compile(r"(?:file:|/).*(/(?:\.mlflow/artifacts|mlruns)(?:/.*)?)", re.DOTALL)


def _keep_artifacts_in(tracking: Tracking, database: Path) -> None:
    """Point the stored locations of artifacts at this folder, after a project was copied or moved.

    MLflow stores absolute paths. A copy would write into the folder of the original, and a moved
    project would not find its artifacts. Raises Misuse for a file that is not an MLflow store.
    """
    own = tracking.root.absolute().as_uri()
    try:
        with closing(sqlite3.connect(database, timeout=30)) as store, store:
            tables = {row[0] for row in store.execute("SELECT name FROM sqlite_master")}
            for table, column in _STORED_LOCATIONS:
                if table not in tables:
                    continue
                select = f"SELECT rowid, {column} FROM {table}"  # noqa: S608
                for row, location in store.execute(select).fetchall():
                    match = _IN_PROJECT.fullmatch(location or "")
                    if match and location != f"{own}{match[1]}":
                        change = f"UPDATE {table} SET {column} = ? WHERE rowid = ?"  # noqa: S608
                        store.execute(change, (f"{own}{match[1]}", row))
    except sqlite3.Error as error:
        raise Misuse(f"MLflow at {tracking.uri} cannot be read: {error}.") from None


def artifact_root(tracking: Tracking) -> str:
    """Return the file URI of the project's artifact folder, for a tracking store on this disk."""
    return (tracking.root.absolute() / ".mlflow/artifacts").as_uri()


@contextmanager
def reached(tracking: Tracking) -> Iterator[None]:
    """Turn errors of MLflow into one line of Misuse, such as no answer or wrong credentials."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except SQLAlchemyError as error:
        reason = str(error).splitlines()[0]
        raise Misuse(f"MLflow at {tracking.uri} cannot be read: {reason}.") from None
    except MlflowException as error:
        uri = tracking.uri
        reason = str(error).strip().splitlines()[0].rstrip(".")
        if error.error_code == "RESOURCE_DOES_NOT_EXIST" and reason.startswith("Run"):
            raise Misuse(
                f"MLflow at {uri}: {reason}. The run was deleted, or the model was trained with "
                "another MLflow, as in another clone: call `churn train` here, then `churn run`."
            ) from None
        if not tracking.on_server:
            raise Misuse(f"MLflow at {uri}: {reason}.") from None
        if "401" in reason:
            reason = (
                "the password is wrong: check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )
        elif "403" in reason or "ermission denied" in reason:
            reason = (
                f"{tracking.user} lacks the permission EDIT: ask the administrator (docs/infra.md)"
            )
        elif "Max retries" in reason or "API request to" in reason:
            reason = "the server does not answer: start it"
        raise Misuse(
            f"MLflow at {uri}: {reason}. Nothing was half registered: repeat the command."
        ) from None


def pages(ask: Callable[[str | None], Any]) -> Iterator[Any]:
    """Yield the entries of all pages. ``ask`` returns the page of a token, None for the first."""
    token = None
    while True:
        page = ask(token)
        yield from page
        token = page.token
        if not token:
            return


def versions(api: Any, name: str) -> Iterator[Any]:
    """Yield every registered version of the model ``name``."""
    return pages(lambda token: api.search_model_versions(f"name = '{name}'", page_token=token))


def artifact(tracking: Tracking, run_id: str, path: str) -> Any:
    """Return the parsed JSON artifact at ``path`` of a run."""
    import mlflow

    client(tracking)
    with _quiet(), TemporaryDirectory() as folder:
        path_on_disk = mlflow.artifacts.download_artifacts(
            run_id=run_id, artifact_path=path, dst_path=folder
        )
        return json.loads(Path(path_on_disk).read_text(encoding="utf-8"))


@contextmanager
def training_run(tracking: Tracking, tags: Mapping[str, str]) -> Iterator[str]:
    """Start a run of the project's experiment with ``tags`` and yield its id.

    MLflow's fluent functions log to this run. Its own messages are kept from the console.
    Raises Misuse where the server does not answer or refuses.
    """
    import mlflow

    # `mlflow run` names a run of its own, in whichever store it uses, for its child to go on with.
    ENVIRONMENT.pop("MLFLOW_RUN_ID", None)
    api = client(tracking)
    with reached(tracking):
        experiment = _experiment(api, tracking)
    with (
        reached(tracking),
        _quiet(),
        mlflow.start_run(experiment_id=experiment, tags=dict(tags)) as active,
    ):
        yield str(active.info.run_id)


@dataclass(frozen=True)
class ImportedRun:
    """A run of another system. Times are in milliseconds since 1970 (UTC).

    Each of ``points`` is a metric's name, value, time and step.
    """

    experiment: str
    name: str
    start: int
    end: int
    status: str
    params: Mapping[str, str]
    points: Sequence[tuple[str, float, int, int]]
    tags: Mapping[str, str]
    record: Mapping[str, Any]


AT_ONCE = 1000
"""Items that MLflow takes in one call, of which 100 may be parameters."""


def log_pipeline(pipeline: Any, example: Any, trusted: Sequence[str]) -> None:
    """Log a fitted pipeline to the open run, as skops, so that reading it runs no code.

    The signature takes column names and types from ``example``. No row of it is stored.
    """
    import mlflow

    mlflow.sklearn.log_model(
        pipeline,
        name="model",
        serialization_format="skops",
        skops_trusted_types=list(trusted),
        signature=mlflow.models.infer_signature(example, [0.5]),
        # MLflow would infer them in a process of its own. The project has a lock.
        pip_requirements=[],
    )


def bring_run(tracking: Tracking, run: ImportedRun, state: str) -> str:
    """Write a run with its original times and return its id.

    The tag ``state`` is "importing" until the whole run is written, then "done".
    """
    from mlflow.entities import Metric, Param, RunTag

    api = client(tracking)
    with reached(tracking), _quiet():
        experiment = _experiment(api, tracking, run.experiment)
        created = api.create_run(
            experiment,
            start_time=run.start,
            run_name=run.name,
            tags={**run.tags, state: "importing"},
        )
        run_id = str(created.info.run_id)
        params = [Param(key, value) for key, value in run.params.items()]
        for start in range(0, len(params), 100):
            api.log_batch(run_id, params=params[start : start + 100])
        points = [Metric(name, value, when, step) for name, value, when, step in run.points]
        for start in range(0, len(points), AT_ONCE):
            api.log_batch(run_id, metrics=points[start : start + AT_ONCE])
        if run.record:
            api.log_dict(run_id, dict(run.record), "sagemaker.json")
        # MLflow takes an end of 0 as "now"
        api.set_terminated(run_id, status=run.status, end_time=max(1, run.end))
        api.log_batch(run_id, tags=[RunTag(state, "done")])
    return run_id


def bring_version(tracking: Tracking, model: str, run_id: str, tags: Mapping[str, str]) -> str:
    """Create a version of ``model`` from ``run_id``, without an alias, and return its number."""
    api = client(tracking)
    with reached(tracking), _quiet():
        with _unless_it_exists():
            api.create_registered_model(model)
        version = api.create_model_version(
            model, f"runs:/{run_id}/sagemaker.json", run_id=run_id, tags=dict(tags)
        )
    return str(version.version)


def _experiment(api: Any, tracking: Tracking, name: str = "") -> str:
    name = name or tracking.project
    if experiment := api.get_experiment_by_name(name):
        return str(experiment.experiment_id)
    local = tracking.uri.startswith("sqlite:")
    with _unless_it_exists():
        api.create_experiment(name, artifact_location=artifact_root(tracking) if local else None)
    return str(api.get_experiment_by_name(name).experiment_id)


@contextmanager
def _unless_it_exists() -> Iterator[None]:
    """Ignore that a name exists already: two pipelines may start at once and then share it."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


@dataclass(frozen=True)
class ModelVersion:
    """Content of a new registry version: the ``files`` of the folder ``card``, plots, metrics.

    An existing version with the same run and ``tags`` is the same version.
    """

    run_id: str
    card: Path
    files: Sequence[str]
    plots: Path
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


def register(tracking: Tracking, new: ModelVersion) -> tuple[str, datetime]:
    """Create a registry version with the alias ``candidate`` and log its card to the run.

    Return the version's number and the time of its creation (UTC). A version of the same run with
    the same tags is reused, so that repeating an interrupted step creates no second one.
    """
    api, name = client(tracking), tracking.project
    with reached(tracking), _quiet():
        with _unless_it_exists():
            api.create_registered_model(name)
        created = _same(api, name, new)
        if created is None:
            _refuse_other_figures(api, name, new)
            for key, value in new.metrics.items():
                api.log_metric(new.run_id, key, value)
            for file in new.files:
                api.log_artifact(new.run_id, str(new.card / file), "card")
            api.log_artifacts(new.run_id, str(new.plots), "plots")
            created = api.create_model_version(
                name, f"runs:/{new.run_id}/model", run_id=new.run_id, tags=dict(new.tags)
            )
        version = str(created.version)
        # The alias comes last: it never points at a version without card and plots.
        api.set_registered_model_alias(name, "candidate", version)
    return version, datetime.fromtimestamp(created.creation_timestamp / 1000, UTC)


def _refuse_other_figures(api: Any, name: str, new: ModelVersion) -> None:
    """Raise Refused where the metrics of a promoted version of this run would change.

    Metrics belong to the run. Other ones would look like a change by hand, and end every promotion
    and every way back.
    """
    promoted = [
        str(version.version)
        for version in versions(api, name)
        if version.run_id == new.run_id and PROMOTED in version.tags
    ]
    recorded = api.get_run(new.run_id).data.metrics if promoted else new.metrics
    changed = sorted(key for key, value in new.metrics.items() if recorded.get(key) != value)
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise Refused(
            f"Not registered: version {', '.join(promoted)} was promoted with the metrics of this "
            f"run, and {', '.join(changed[:3])}{more} would change. Run `churn train` and every "
            "step after it again: that makes a run of its own."
        )


def _same(api: Any, name: str, new: ModelVersion) -> Any:
    for version in versions(api, name):
        if version.run_id == new.run_id and new.tags.items() <= version.tags.items():
            return version
    return None


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop the links and emoji that MLflow prints on both streams. The flow has its own lines."""
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        yield
