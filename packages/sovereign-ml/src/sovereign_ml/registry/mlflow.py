"""MLflow: runs and the registry; models as skops, never as pickle."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sovereign_ml.config.settings import ENVIRONMENT, Settings
from sovereign_ml.errors import Misuse
from sovereign_ml.registry.skops import TRUSTED

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Run:
    """What a training run leaves in the tracking store."""

    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    artifacts: Path


def client(settings: Settings) -> Any:
    """An MLflow client on the profile's tracking store."""
    import mlflow

    # MLflow's own default tries for four minutes before it says that the server is away.
    ENVIRONMENT.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    if settings.secrets.tracking_password:
        ENVIRONMENT.setdefault("MLFLOW_TRACKING_USERNAME", settings.secrets.user)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    with _quiet():
        mlflow.set_tracking_uri(tracking_uri(settings))
        return mlflow.MlflowClient()


def tracking_uri(settings: Settings) -> str:
    """The profile's tracking store; a relative SQLite path is taken from the project's folder."""
    uri = settings.profile.tracking_uri
    if not uri.startswith("sqlite:///") or uri.startswith("sqlite:////"):
        return uri
    path = settings.root / uri.removeprefix("sqlite:///")
    path.parent.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{path}"


@contextmanager
def reached(settings: Settings) -> Iterator[None]:
    """One line when the tracking server does not answer or refuses the credentials."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        uri = settings.profile.tracking_uri
        if not uri.startswith("http"):
            raise
        said = str(error).strip().splitlines()[0]
        if "401" in said:
            said = (
                "the password is wrong: check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )
        elif "403" in said or "ermission denied" in said:
            said = f"{settings.secrets.user} may not do this: ask the administrator for EDIT (docs/infra.md)"
        elif "Max retries" in said or "API request to" in said:
            said = "the server does not answer: start it"
        raise Misuse(
            f"MLflow at {uri}: {said}. Nothing is half registered; the same command goes on."
        ) from None


def artifact(settings: Settings, run_id: str, path: str) -> Any:
    """A JSON file that a run holds."""
    import mlflow

    client(settings)
    with _quiet(), TemporaryDirectory() as folder:
        found = mlflow.artifacts.download_artifacts(
            run_id=run_id, artifact_path=path, dst_path=folder
        )
        return json.loads(Path(found).read_text(encoding="utf-8"))


def serve_ui(settings: Settings, port: int) -> None:
    """Run MLflow's pages on 127.0.0.1 until interrupted; the profile eu has a server of its own for this."""
    from sovereign_ml.servers import run as servers

    uri = tracking_uri(settings)
    if not uri.startswith("sqlite:"):
        raise Misuse(
            f"Profile '{settings.profile_name}' has an MLflow server: open {uri} in a browser."
        )
    servers.pages(settings, uri, port)


def log_run(settings: Settings, run: Run, estimator: Any, example: pd.DataFrame) -> str:
    """Log one training run with its fitted ``estimator``; return the run's id.

    ``example`` gives the signature only (names and types); no row of it is stored.
    """
    import mlflow

    api = client(settings)
    with reached(settings):
        experiment = _experiment(api, settings)
    with (
        reached(settings),
        _quiet(),
        mlflow.start_run(experiment_id=experiment, tags=dict(run.tags)) as active,
    ):
        mlflow.log_params({k: str(v) for k, v in run.params.items()})
        mlflow.log_metrics(dict(run.metrics))
        mlflow.log_artifacts(str(run.artifacts))
        mlflow.sklearn.log_model(
            estimator,
            name="model",
            serialization_format="skops",
            skops_trusted_types=list(TRUSTED),
            signature=mlflow.models.infer_signature(example.head(1), [0.5]),
            pip_requirements=[],
        )
        return str(active.info.run_id)


def _experiment(api: Any, settings: Settings) -> str:
    from mlflow.exceptions import MlflowException

    if found := api.get_experiment_by_name(settings.project.name):
        return str(found.experiment_id)
    local = settings.profile.tracking_uri.startswith("sqlite:")
    where = (settings.root / ".mlflow/artifacts").as_uri() if local else None
    try:
        return str(api.create_experiment(settings.project.name, artifact_location=where))
    except MlflowException as error:
        _only_a_twin(error)
    return str(api.get_experiment_by_name(settings.project.name).experiment_id)


def _only_a_twin(error: Any) -> None:
    """Two pipelines may start at once: the one that finds the name taken uses it."""
    if error.error_code != "RESOURCE_ALREADY_EXISTS":
        raise error


@dataclass(frozen=True)
class Version:
    """What a registry version is made of; ``tags`` tell whether it is there already."""

    run_id: str
    card: Path
    plots: Path
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


def register(settings: Settings, new: Version) -> tuple[str, datetime]:
    """Make a registry version with alias ``candidate`` and log its card to the run; return it and when it was made.

    The same run with the same card is found again, so that an interrupted step leaves no twin.
    """
    from mlflow.exceptions import MlflowException

    api, name = client(settings), settings.project.name
    with reached(settings), _quiet():
        try:
            api.create_registered_model(name)
        except MlflowException as error:
            _only_a_twin(error)
        twin = _same(api, name, new)
        if twin is None:
            for key, value in new.metrics.items():
                api.log_metric(new.run_id, key, value)
            api.log_artifacts(new.run_id, str(new.card), "card")
            api.log_artifacts(new.run_id, str(new.plots), "plots")
            twin = api.create_model_version(
                name, f"runs:/{new.run_id}/model", run_id=new.run_id, tags=dict(new.tags)
            )
        version = str(twin.version)
        api.set_registered_model_alias(name, "candidate", version)
    return version, datetime.fromtimestamp(twin.creation_timestamp / 1000, UTC)


def _same(api: Any, name: str, new: Version) -> Any:
    for version in api.search_model_versions(f"name = '{name}'"):
        if version.run_id == new.run_id and new.tags.items() <= version.tags.items():
            return version
    return None


class _quiet(redirect_stdout[StringIO]):  # noqa: N801  reads as a statement
    """MLflow prints links and emoji on both streams; the flow has its own lines."""

    def __init__(self) -> None:
        super().__init__(StringIO())
        self._errors = redirect_stderr(StringIO())

    def __enter__(self) -> StringIO:
        self._errors.__enter__()
        return super().__enter__()

    def __exit__(self, *details: Any) -> None:
        super().__exit__(*details)
        self._errors.__exit__(*details)
