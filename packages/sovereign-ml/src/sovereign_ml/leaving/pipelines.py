"""Pages about SageMaker's pipelines: ordered steps, each with the step that replaces it here.

No code is translated. The pages help people to plan the move.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sovereign_ml.leaving.dump import Dump, whole_json
from sovereign_ml.leaving.minimise import Minimiser
from sovereign_ml.privacy.tombstones import write_durably

_STEP = re.compile(r"Steps\.([\w-]+)")
_ANSWERS = {
    "Training": "`churn train`: src/churn/steps/_4_train.py",
    "Tuning": "[train] regularisation, by `churn train` or by `churn kubeflow katib` on a cluster",
    "AutoML": "[train] in config.toml, and `churn train`",
    "Processing": "a step of its own, or `churn data`, `churn validate`, `churn features`",
    "Transform": "`churn score`",
    "Model": "no step: the bundle of `churn register` is the model",
    "RegisterModel": "`churn register`",
    "Condition": "the gates of `churn check` and `churn register`",
    "Fail": "a gate that refuses: exit code 1 stops the flow",
    "QualityCheck": "`churn validate` for data, `churn evaluate` for the model",
    "ClarifyCheck": "`churn evaluate`: group gaps and explanations",
    "NotebookJob": "a step with the code of the notebook: `churn leave notebooks`",
}
"""Replacement for each type of step."""
NONE = "nothing: decide on a replacement, or drop it"


@dataclass(frozen=True)
class PipelineStep:
    """A step, its type, and the names of the steps that must run before it."""

    name: str
    kind: str
    after: tuple[str, ...]


def steps_of(definition: Mapping[str, Any]) -> list[PipelineStep]:
    """Return the steps of a definition, each after the steps that it needs.

    A step needs those in ``DependsOn``, those whose results its arguments use, and in a branch the
    condition. Raises ValueError for a circle, or a needed step that does not exist.
    """
    steps = {step.name: step for step in _steps(definition.get("Steps") or (), "")}
    for step in steps.values():
        if unknown := sorted(set(step.after) - steps.keys()):
            raise ValueError(f"step {step.name} needs {unknown[0]}, which does not exist")
    ordered: dict[str, PipelineStep] = {}
    while len(ordered) < len(steps):
        ready = [
            s for s in steps.values() if s.name not in ordered and ordered.keys() >= {*s.after}
        ]
        if not ready:
            raise ValueError("its steps need each other in a circle")
        ordered |= {step.name: step for step in ready}
    return list(ordered.values())


def _steps(rows: Any, branch_of: str) -> Iterator[PipelineStep]:
    for row in rows:
        name, kind, arguments = row["Name"], row["Type"], dict(row.get("Arguments") or {})
        # A condition or a loop does not need the steps in it. They need the condition.
        branches = [arguments.pop(side, ()) for side in ("IfSteps", "ElseSteps", "Steps")]
        own = {key: value for key, value in row.items() if key not in ("Name", "Arguments")}
        needs = [*(row.get("DependsOn") or ()), *_gets(arguments), *_gets(own)]
        needs += [branch_of] if branch_of else []
        yield PipelineStep(name, kind, tuple(dict.fromkeys(needs)))
        for branch in branches:
            yield from _steps(branch, name)


def _gets(value: Any) -> Iterator[str]:
    """Yield the steps whose results a value uses at any depth, as in Std:Join and Std:JsonGet."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            # Parameters and execution variables are read with Get too, but they order no steps.
            if key == "Get" and isinstance(item, str) and (match := _STEP.match(item)):
                yield match[1]
            yield from _gets(item)
    elif isinstance(value, list):
        for item in value:
            yield from _gets(item)


def parameters_of(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the parameters in the definition of a pipeline, none for one that is not readable."""
    try:
        rows = whole_json(answer.get("PipelineDefinition", "")).get("Parameters") or ()
        return [row for row in rows if isinstance(row, Mapping)]
    except (ValueError, TypeError, AttributeError, RecursionError):
        return []


def write_pages(dump: Dump, output: Path, minimiser: Minimiser) -> tuple[list[str], list[str]]:
    """Write a page for each pipeline, and return lines about written and about refused ones."""
    written, refused = [], []
    for name, answer in dump.pipelines().items():
        title = minimiser.title(name, "pipeline")
        if "PipelineDefinition" not in answer:
            refused.append(f"{title}: its definition is not in the dump (describe-pipeline)")
            continue
        try:
            definition = whole_json(answer["PipelineDefinition"])
            steps = steps_of(definition)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            # Other errors come from json or a missing member, and their texts do not help here.
            reason = str(error) if type(error) is ValueError else "its definition is not readable"
            refused.append(f"{title}: {reason}")
            continue
        text = "\n".join(_page(title, definition, steps, minimiser)) + "\n"
        output.mkdir(parents=True, exist_ok=True)
        # The name comes from another machine. With a slash it could lead out of the folder.
        file = re.sub(r"[^\w.-]", "_", title)
        write_durably(output / f"{file}.md", text)
        open_steps = sum(step.kind not in _ANSWERS for step in steps)
        written.append(f"{title}: {len(steps)} steps, {open_steps} without a replacement here")
    return written, refused


def _page(
    title: str, definition: Mapping[str, Any], steps: list[PipelineStep], minimiser: Minimiser
) -> Iterator[str]:
    names = {step.name: minimiser.title(step.name, "step") for step in steps}
    yield from (f"# {title}", "", "| step | type | after | here |", "|---|---|---|---|")
    for step in steps:
        after = ", ".join(names[name] for name in step.after) or "-"
        yield f"| {names[step.name]} | {step.kind} | {after} | {_ANSWERS.get(step.kind, NONE)} |"
    parameters = [str(row.get("Name", "")) for row in definition.get("Parameters") or ()]
    if parameters:
        titles = ", ".join(minimiser.title(name, "parameter") for name in parameters)
        yield from ("", f"Parameters, which become keys of config.toml: {titles}.")
