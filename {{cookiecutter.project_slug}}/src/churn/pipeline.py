"""The flow on Kubeflow Pipelines: all steps on request, and the scheduled runs.

kfp needs annotations as objects, so this file has no `from __future__ import annotations`.
"""

# mypy: disallow-untyped-decorators=False

from collections.abc import Callable
from typing import Any

from kfp import dsl
from sovereign_ml.kubeflow.tasks import Tasks


def whole_flow(task: Tasks) -> Any:
    """Return the pipeline of `churn kubeflow run` and `compile`: from data to scores."""

    @dsl.pipeline(name=task.name, description=f"{task.title}: from data to scores")
    def flow() -> None:
        from_raw(task, task("data"))

    return flow


def from_raw(task: Tasks, raw: Any) -> None:
    """Chain the steps after the first one. An own step gets a line here."""
    valid = task("validate", raw=raw)
    features = task("features", valid=valid)
    model = task("train", features=features)
    metrics = task("evaluate", model=model, features=features, valid=valid)
    card = task("card", model=model, metrics=metrics, features=features, valid=valid)
    bundle = task(
        "register", model=model, metrics=metrics, features=features, valid=valid, card=card
    )
    task("score", bundle=bundle, features=features, valid=valid)


def training(task: Tasks) -> Any:
    """Return the scheduled training: the newest data, read by step 1."""

    @dsl.pipeline(name=f"{task.name}-train")
    def train(version: str, revision: str) -> None:
        with dsl.ExitHandler(task.record(revision, version), name="flow"):  # after a failure too
            from_raw(task, task("data"))

    return train


def pinned_training(task: Tasks) -> Any:
    """Return the training of `churn kubeflow submit`: on the raw data of one git revision."""

    @dsl.pipeline(name=f"{task.name}-train")
    def train(version: str, revision: str) -> None:
        with dsl.ExitHandler(task.record(revision, version), name="flow"):
            from_raw(task, task.pull("raw", version))

    return train


def scoring(task: Tasks) -> Any:
    """Return the daily scoring: today's customers, with the bundle of one git revision."""

    @dsl.pipeline(name=f"{task.name}-score")
    def score(version: str, revision: str) -> None:
        with dsl.ExitHandler(task.record(revision, version), name="flow"):
            bundle = task.pull("bundle", version)
            valid = task("validate", raw=task("data"))
            features = task("features", valid=valid)
            task("score", bundle=bundle, features=features, valid=valid)

    return score


def retention(task: Tasks) -> Any:
    """Return the daily deletion of what is past its retention period."""

    @dsl.pipeline(name=f"{task.name}-retain")
    def retain(version: str, revision: str) -> None:
        with dsl.ExitHandler(task.record(revision, version), name="flow"):
            task.retain()

    return retain


PIPELINES: dict[str, Callable[[Tasks], Any]] = {
    "flow": whole_flow,
    "train": training,
    "train-pinned": pinned_training,
    "score": scoring,
    "retain": retention,
}
