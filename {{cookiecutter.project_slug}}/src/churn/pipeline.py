"""The flow on Kubeflow: the same steps as thin components, compiled to YAML or run by the local runner."""

from __future__ import annotations

import logging
import shutil
import warnings
from pathlib import Path
from typing import Any

from churn.errors import Refused
from churn.flow import BY_VERB, STEPS
from churn.settings import Settings, pass_on


def run_step_on(verb: str, inputs: dict[str, str], output: str) -> None:
    """What every component calls: the step's function on Kubeflow's paths, with the settings of config.toml."""
    from churn import settings as configuration, source

    settings = configuration.load()
    step = BY_VERB[verb]
    paths = [source.refresh(settings) if noun == "source" else Path(inputs[noun]) for noun in step.reads]
    step.function()(*paths, Path(output), settings=settings)


def build(settings: Settings) -> Any:
    """The pipeline as a kfp object: one component a step, in the order of the flow, joined by artifacts."""
    from kfp import dsl

    from churn import components

    def whole_flow() -> None:
        made: dict[str, Any] = {}
        for step in STEPS:
            # kfp is in the image: without install_kfp_package=False every task installs it from an index.
            wrap = dsl.component(base_image=settings.pipeline.image, install_kfp_package=False)
            component = wrap(getattr(components, step.verb))
            task = component(**{noun: made[noun] for noun in step.reads if noun in made})
            task.set_display_name(f"{step.number} {step.verb}")
            made[step.writes] = task.outputs[step.writes]

    named = dsl.pipeline(name=settings.project.name, description=f"{settings.project.title}: from data to scores")
    return named(whole_flow)


def compile_to(path: Path, settings: Settings) -> None:
    """Write the pipeline as YAML for Kubeflow Pipelines v2."""
    from kfp import compiler

    compiler.Compiler().compile(build(settings), str(path))


def run_locally(settings: Settings) -> Path:
    """Run the pipeline under ``SubprocessRunner``, without cluster, container or index; return where its artifacts are.

    Raises Refused if a task fails; the task's own line stands above.
    """
    from kfp import local

    pass_on(root=str(settings.root))
    where = settings.root / ".churn" / "pipeline"
    shutil.rmtree(where, ignore_errors=True)
    logging.disable(logging.INFO)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*base_image.*")
        local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(where), raise_on_error=False)
        done = build(settings)()
    logging.disable(logging.NOTSET)
    artifacts = {step.writes: _artifact(where, step.verb, step.writes) for step in STEPS}
    if missing := [step.verb for step in STEPS if artifacts[step.writes] is None]:
        raise Refused(f"The pipeline stopped at {missing[0]} ({done}).")
    return where


def _artifact(where: Path, verb: str, noun: str) -> Path | None:
    """The newest artifact of a task: kfp names the folder of each run anew."""
    found = sorted(where.glob(f"*/{verb}/{noun}/summary.json"))
    return found[-1].parent if found else None
