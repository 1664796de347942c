"""The scheduled run of the monitor, which needs nothing of the project's own ``pipeline.py``.

kfp needs annotations as objects, so this file has no `from __future__ import annotations`.
"""

# mypy: disallow-untyped-decorators=False

from typing import Any

from sovereign_ml.kubeflow.tasks import Tasks


def monitoring(task: Tasks) -> Any:
    """Return the daily run: today's transactions, and the model that the scores come from."""
    from kfp import dsl

    @dsl.pipeline(name=f"{task.name}-monitor")
    def monitor(version: str, revision: str) -> None:
        with dsl.ExitHandler(task.record(revision, version), name="flow"):
            bundle = task.pull("bundle", version)
            task.monitor(bundle, task("validate", raw=task("data")))

    return monitor
