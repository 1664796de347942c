"""The flow on Kubeflow: the same steps as thin components, compiled to YAML or run by the local runner."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from sovereign_ml.config.settings import Settings, pass_on
from sovereign_ml.errors import Refused
from sovereign_ml.pipeline.flow import BY_VERB, STEPS, Step


def run_step_on(verb: str, inputs: dict[str, str], output: str) -> None:
    """What every component calls: the step's function on Kubeflow's paths, with the settings of config.toml."""
    from sovereign_ml.config import settings as configuration
    from sovereign_ml.data_subjects import bucket_sync
    from sovereign_ml.egress import allow_list
    from sovereign_ml.pipeline import source

    with allow_list.task(configuration.ENVIRONMENT):
        settings = configuration.load()
        if verb in bucket_sync.READERS:
            bucket_sync.take(settings)
        step = BY_VERB[verb]
        paths = [
            source.refresh(settings) if noun == "source" else Path(inputs[noun])
            for noun in step.reads
        ]
        step.function()(*paths, Path(output), settings=settings)


def build(settings: Settings) -> Any:
    """The pipeline as a kfp object: one component a step, in the order of the flow, joined by artifacts."""
    from kfp import dsl

    def whole_flow():  # type: ignore[no-untyped-def]  # kfp reads an annotation here as an output
        for _ in chain(settings, STEPS, {}):
            pass

    named = dsl.pipeline(
        name=settings.project.name, description=f"{settings.project.title}: from data to scores"
    )
    return named(whole_flow)


def chain(
    settings: Settings, steps: Iterable[Step], made: dict[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Each of ``steps`` as a task, fed from ``made`` and adding to it: (verb, task), for the caller to set up."""
    from sovereign_ml.kubeflow import components

    for step in steps:
        task = wrap(settings, getattr(components, step.verb))(
            **{noun: made[noun] for noun in step.reads if noun in made}
        )
        task.set_display_name(f"{step.number} {step.verb}")
        made[step.writes] = task.outputs[step.writes]
        yield step.verb, task


def wrap(settings: Settings, function: Any) -> Any:
    """A function as a component. kfp is in the image: without that word every task installs it from an index."""
    from kfp import dsl

    return dsl.component(base_image=settings.pipeline.image, install_kfp_package=False)(function)


def compile_to(path: Path, settings: Settings) -> None:
    """Write the pipeline as YAML for Kubeflow Pipelines v2."""
    from kfp import compiler

    compiler.Compiler().compile(build(settings), str(path))


def run_locally(settings: Settings) -> dict[str, Path]:
    """Run the pipeline under ``SubprocessRunner``, without cluster, container or index; return each artifact's folder.

    Raises Refused with the task's own line if one fails.
    """
    from kfp import local

    pass_on(root=str(settings.root))
    where = settings.root / ".churn" / "pipeline"
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir(parents=True)
    with _quiet(where / "log.txt"):
        local.init(
            runner=local.SubprocessRunner(use_venv=False),
            pipeline_root=str(where),
            raise_on_error=False,
        )
        build(settings)()
    found = {step.writes: _artifact(where, step.verb, step.writes) for step in STEPS}
    if missing := [step.verb for step in STEPS if found[step.writes] is None]:
        raise Refused(f"The pipeline stopped at {missing[0]}: {_reason(where / 'log.txt')}")
    return {noun: path for noun, path in found.items() if path}


@contextmanager
def _quiet(log: Path) -> Iterator[None]:
    """kfp prints every executor input; people get the result, the log gets the rest."""
    with (
        log.open("w", encoding="utf-8") as file,
        redirect_stdout(file),
        redirect_stderr(file),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings(
            "ignore", message=".*base_image.*"
        )  # it says that the image is not used here
        yield


def _reason(log: Path) -> str:
    """The task's own one-line reason, which is the last line of its traceback."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8").splitlines()]
    said = [line for line in lines if line.startswith(("sovereign_ml.errors.", "Error:"))]
    return f"{said[-1].partition(': ')[2] if said else 'no reason given'} (log: {log})"


def _artifact(where: Path, verb: str, noun: str) -> Path | None:
    """The newest artifact of a task: kfp names the folder of each run anew."""
    found = sorted(where.glob(f"*/{verb}/{noun}/summary.json"))
    return found[-1].parent if found else None
