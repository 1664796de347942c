"""The flow under Kubeflow's local runner, and compiled to YAML, without a cluster or container."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from sovereign_ml.config.settings import pass_on
from sovereign_ml.config.tables import PipelineSettings, ProjectSettings
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.kubeflow.tasks import Tasks
from sovereign_ml.project import Project


def pipeline_of(
    project: Project,
    about: ProjectSettings,
    config: PipelineSettings,
    kind: str,
    *,
    on_cluster: bool,
) -> Any:
    """Return the kfp pipeline ``kind`` that ``pipeline.py`` of the project defines.

    The library has one for "monitor", which the project may replace.
    """
    tasks = Tasks(project, about, config, on_cluster=on_cluster)
    try:
        module = project.module("pipeline")
    except ModuleNotFoundError as error:
        # The file may be there, and a module that it imports may be missing.
        if error.name != f"{project.package}.pipeline":
            raise
        raise Misuse(
            f"This project has no src/{project.package}/pipeline.py, so it has no pipeline for Kubeflow: "
            "take the file from the template, whose question `parts` brings it."
        ) from None
    if kind == "monitor" and kind not in module.PIPELINES:
        from sovereign_ml.kubeflow.scheduled_monitor import monitoring

        return monitoring(tasks)
    return module.PIPELINES[kind](tasks)


def compile_to(
    path: Path, project: Project, about: ProjectSettings, config: PipelineSettings
) -> None:
    """Write the whole flow as YAML for Kubeflow Pipelines v2."""
    from kfp import compiler

    flow = pipeline_of(project, about, config, "flow", on_cluster=False)
    compiler.Compiler().compile(flow, str(path))


def run_locally(
    root: Path, project: Project, about: ProjectSettings, config: PipelineSettings
) -> dict[str, Path]:
    """Run the whole flow under ``SubprocessRunner`` and return each artifact's folder.

    Raises Refused with the reason of the first task that fails.
    """
    from kfp import local

    pass_on(root=str(root))
    where = root / ".churn" / "pipeline"
    # An artifact of an earlier run must not pass for one of this run.
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir(parents=True)
    with _quiet(where / "log.txt"):
        local.init(
            # An environment for each task would be filled from a package index.
            runner=local.SubprocessRunner(use_venv=False),
            pipeline_root=str(where),
            # kfp's own error has no reason. `_reason` reads the one of the task from the log.
            raise_on_error=False,
        )
        pipeline_of(project, about, config, "flow", on_cluster=False)()
    artifacts = {}
    for step in project.steps:
        path = _artifact(where, step.verb, step.writes)
        if path is None:
            reason = _reason(where / "log.txt")
            raise Refused(f"The pipeline stopped at {step.verb}: {reason}")
        artifacts[step.writes] = path
    return artifacts


@contextmanager
def _quiet(log: Path) -> Iterator[None]:
    """Send the output of kfp, which prints every executor input, to the log."""
    with (
        log.open("w", encoding="utf-8") as file,
        redirect_stdout(file),
        redirect_stderr(file),
        warnings.catch_warnings(),
    ):
        # The local runner warns that it does not use the image.
        warnings.filterwarnings("ignore", message=".*base_image.*")
        yield


def _reason(log: Path) -> str:
    """Return the task's own reason, which is the last line of its traceback."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8").splitlines()]
    reasons = [line for line in lines if line.startswith(("sovereign_ml.errors.", "Error:"))]
    return f"{reasons[-1].partition(': ')[2] if reasons else 'no reason given'} (log: {log})"


def _artifact(where: Path, verb: str, noun: str) -> Path | None:
    """Return the newest artifact of a task. kfp names the folder of each run anew."""
    summaries = sorted(where.glob(f"*/{verb}/{noun}/summary.json"))
    return summaries[-1].parent if summaries else None
