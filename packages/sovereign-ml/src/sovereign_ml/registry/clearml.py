"""ClearML as a second place for runs. MLflow stays the record, and its runs are copied.

Registry, approval, erasure and retention work on MLflow. A copy has no source code, no host name,
no user and no artifact, only addresses of artifacts in MLflow.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sovereign_ml.config.connections import ClearmlServer, Tracking, required
from sovereign_ml.config.tables import FeatureSettings, TrainSettings
from sovereign_ml.errors import Misuse
from sovereign_ml.registry import mlflow
from sovereign_ml.supply_chain import client_environment

PROGRAM = Path(__file__).with_name("clearml_client.py")
PARAMETERS = {"c", *TrainSettings.model_fields, *FeatureSettings.model_fields}
"""Parameters that step 4 logs. Others are sent only where [clearml] names them."""
NAME = re.compile(r"[A-Za-z][\w./ -]{0,99}")
SINGLES_OUT = re.compile(r"[0-9a-f]{32}|@")
"""A pseudonym or an e-mail address: neither a name nor a value with one is sent."""
OPEN = ("RUNNING", "SCHEDULED")


@dataclass(frozen=True)
class Pushed:
    """Result of a copy: tasks that were written, tasks that were there, values left out."""

    written: int
    there: int
    left_out: int


@dataclass(frozen=True)
class Twin:
    """A task of ClearML and the run of MLflow that it copies."""

    task: str
    run: str
    named: bool
    """Whether the task names somebody who was asked for."""


def push(server: ClearmlServer, tracking: Tracking, run_id: str = "") -> Pushed:
    """Copy the finished runs of the project's experiment, or one of them. A repeat adds nothing.

    Raises Misuse where the run does not exist or is not finished, or a server does not answer.
    """
    job = _job(server, do="push")
    runs = [run for run in _runs(tracking) if run.info.status not in OPEN]
    if run_id:
        runs = [run for run in runs if run.info.run_id == run_id]
        if not runs:
            raise Misuse(
                f"MLflow at {tracking.uri} has no finished run {run_id} of {tracking.project}: "
                "take an id of `make ui`, or leave --run out for all runs."
            )
    api = mlflow.client(tracking)
    described = [_described(api, run, server) for run in runs]
    counts = _ask(server, {**job, "runs": [content for content, _ in described]})
    return Pushed(counts["written"], counts["there"], sum(count for _, count in described))


def twins(server: ClearmlServer, people: Sequence[str] = ()) -> list[Twin]:
    """Return all copies at ClearML, each with whether it names one of ``people``."""
    return [Twin(**row) for row in _ask(server, _job(server, do="list", people=list(people)))]


def delete(server: ClearmlServer, tasks: Sequence[str]) -> None:
    """Delete copies for good, with their events."""
    _ask(server, _job(server, do="delete", tasks=list(tasks)))


def _ask(server: ClearmlServer, job: dict[str, Any]) -> Any:
    hosts = [urlsplit(server.api).hostname or ""]
    return client_environment.ask("clearml", PROGRAM, job, hosts)


def _job(server: ClearmlServer, **more: Any) -> dict[str, Any]:
    if not server.api:
        raise Misuse(
            "config.toml names no server of ClearML: set [clearml] api to that of your own, such "
            "as https://clearml-api.your-domain.eu."
        )
    return {
        "api": server.api,
        "project": server.project,
        "key": required(server.key, "clearml_key"),
        "secret": required(server.secret, "clearml_secret"),
        **more,
    }


def _runs(tracking: Tracking) -> list[Any]:
    api = mlflow.client(tracking)
    with mlflow.reached(tracking):
        experiment = api.get_experiment_by_name(tracking.project)
        if experiment is None:
            return []
        ids = [experiment.experiment_id]
        return list(mlflow.pages(lambda token: api.search_runs(ids, page_token=token)))


def _described(api: Any, run: Any, server: ClearmlServer) -> tuple[dict[str, Any], int]:
    """Return what is sent of a run, and how many parameters and metrics are not."""
    names = PARAMETERS.union(server.parameters)
    parameters = {
        name: value
        for name, value in run.data.params.items()
        if name in names and not SINGLES_OUT.search(f"{name} {value}")
    }
    metrics = [
        name for name in run.data.metrics if NAME.fullmatch(name) and not SINGLES_OUT.search(name)
    ]
    points = [
        [name, point.value, point.timestamp, point.step]
        for name in metrics
        for point in api.get_metric_history(run.info.run_id, name)
        if math.isfinite(point.value)  # JSON has no number for the others
    ]
    content = {
        "id": run.info.run_id,
        "status": run.info.status,
        "parameters": parameters,
        "points": points,
        "tags": [],
        # The address within MLflow: that of the file would show folders and user of a machine.
        "artifacts": {
            Path(file.path).name: f"runs:/{run.info.run_id}/{file.path}"
            for file in api.list_artifacts(run.info.run_id)
            if not SINGLES_OUT.search(file.path)
        },
    }
    left_out = len(run.data.params) - len(parameters) + len(run.data.metrics) - len(metrics)
    return content, left_out
