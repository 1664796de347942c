"""Kubeflow components made from the table of steps, and three more for a cluster.

kfp ships the source text of each function and reads its annotations as objects, so this file must
not use `from __future__ import annotations`.
"""

import linecache
from typing import Any

from kfp.dsl import Dataset, Input, Output, PipelineTaskFinalStatus

from sovereign_ml.project import Step

BODY = """def {verb}({parameters}) -> None:
    \"\"\"{summary}\"\"\"
    from sovereign_ml.kubeflow.entry_points import run_step

    run_step("{verb}", {{{inputs}}}, {output}.path)
"""


def of_step(step: Step) -> Any:
    """Return the function of the step's component: artifacts in, one artifact out.

    ``source`` is no parameter, because config.toml names that input and no task writes it.
    """
    reads = [noun for noun in step.reads if noun != "source"]
    parameters = [f"{noun}: Input[Dataset]" for noun in reads]
    text = BODY.format(
        verb=step.verb,
        parameters=", ".join([*parameters, f"{step.writes}: Output[Dataset]"]),
        summary=f"Step {step.number}.",
        inputs=", ".join(f'"{noun}": {noun}.path' for noun in reads),
        output=step.writes,
    )
    # kfp asks inspect for the source, and inspect asks linecache.
    name = f"<component {step.number} {step.verb}>"
    # Without a time of change, linecache does not look for a file of that name.
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    scope: dict[str, Any] = {"Dataset": Dataset, "Input": Input, "Output": Output}
    exec(compile(text, name, "exec"), scope)  # noqa: S102  the text above, from our own table
    return scope[step.verb]


def pull(version: str, artifact: Output[Dataset]) -> None:
    """Fetch the artifact that DVC stored under ``version``, without git."""
    from sovereign_ml.kubeflow.entry_points import fetch

    fetch(version, artifact.path)


def monitor(bundle: Input[Dataset], valid: Input[Dataset]) -> None:
    """Watch the model in use. It fails while an alarm has no answer."""
    from sovereign_ml.kubeflow.entry_points import watch

    watch(bundle.path, valid.path)


def record(status: PipelineTaskFinalStatus, revision: str, version: str) -> None:
    """Write the result of the run, also of a failed one."""
    from sovereign_ml.kubeflow.entry_points import write_record

    write_record(
        status.state, status.pipeline_job_resource_name, status.error_message, revision, version
    )
