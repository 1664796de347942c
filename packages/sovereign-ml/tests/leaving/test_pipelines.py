"""Pages of pipelines: the order of the steps is the one that SageMaker runs, in every form of a definition."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sagemaker_double import Account, arn, dumped
from sovereign_ml.leaving.dump import open_dump
from sovereign_ml.leaving.minimise import Minimiser
from sovereign_ml.leaving.pipelines import steps_of, write_pages


def step(name: str, kind: str = "Processing", needs: list[str] | None = None, **arguments: Any) -> dict[str, Any]:  # fmt: skip
    row: dict[str, Any] = {"Name": name, "Type": kind, "Arguments": arguments}
    return {**row, **({"DependsOn": needs} if needs else {})}


def get(path: str) -> dict[str, str]:
    return {"Get": path}


JOIN = {"Std:Join": {"On": "/", "Values": [get("Steps.a.ProcessingJobName"), "x"]}}
JSON_GET = {"Std:JsonGet": {"PropertyFile": get("Steps.a.PropertyFiles.report"), "Path": "auc"}}
DEFINITIONS: dict[str, tuple[list[Any], list[tuple[str, set[str]]]]] = {
    "one": ([step("a")], [("a", set())]),
    "depends on": ([step("b", needs=["a"]), step("a")], [("a", set()), ("b", {"a"})]),
    "a result": (
        [step("a"), step("b", Data=[get("Steps.a.ModelArtifacts.S3ModelArtifacts")])],
        [("a", set()), ("b", {"a"})],
    ),
    "joined": ([step("b", Uri=JOIN), step("a")], [("a", set()), ("b", {"a"})]),
    "a property file": (
        [step("a"), step("c", "Condition", Conditions=[{"LeftValue": JSON_GET, "Type": "Gte"}])],
        [("a", set()), ("c", {"a"})],
    ),
    "branches": (
        [
            step("c", "Condition", IfSteps=[step("y", "RegisterModel")], ElseSteps=[step("n", "Fail")]),
            step("z", needs=["y"]),
        ],
        [("c", set()), ("y", {"c"}), ("n", {"c"}), ("z", {"y"})],
    ),
    "a branch in a branch": (
        [step("c", "Condition", IfSteps=[step("d", "Condition", ElseSteps=[step("e")])])],
        [("c", set()), ("d", {"c"}), ("e", {"d"})],
    ),
    "parameters and executions": (
        [step("a", X=get("Parameters.a"), Y=get("Execution.PipelineName"))],
        [("a", set())],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DEFINITIONS)
def test_each_step_comes_after_those_that_it_needs(case: str) -> None:
    rows, expected = DEFINITIONS[case]
    assert [(s.name, set(s.after)) for s in steps_of({"Steps": rows})] == expected


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([step("a", needs=["b"]), step("b", needs=["a"])], "circle"),
        ([step("a", needs=["a"])], "circle"),
        ([step("a", needs=["gone"])], "needs gone, which does not exist"),
    ],
)
def test_a_definition_that_cannot_run_is_one_line(rows: list[Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        steps_of({"Steps": rows})


def test_a_page_says_what_answers_each_step_and_names_nobody(tmp_path: Path) -> None:
    folder = dumped(Account(runs=0), tmp_path / "dump")
    rows = [step("Train", "Training"), step("score_eu_cohort", "Transform", ["Train"]), step("Ask", "Lambda")]  # fmt: skip
    parameters = [{"Name": "Rounds", "DefaultValue": 5}, {"Name": "Cohort", "DefaultValue": "eu-1"}]
    definitions = {
        "churn": json.dumps({"Parameters": parameters, "Steps": rows}),
        "broken": "{",
        "empty": "",
        "list": "[]",
    }
    (folder / "pipelines").mkdir(exist_ok=True)
    for name, text in definitions.items():
        answer = {"PipelineName": name, "PipelineArn": arn("pipeline", name), "PipelineDefinition": text}  # fmt: skip
        (folder / f"pipelines/{name}.json").write_text(json.dumps(answer))
    written, refused = write_pages(open_dump(folder), tmp_path / "out", Minimiser(bytes(32)))
    assert written == ["churn: 3 steps, 1 without a replacement here"]
    assert [line.partition(":")[0] for line in refused] == ["broken", "empty", "list"]
    page = (tmp_path / "out/churn.md").read_text()
    assert "| Train | Training | - | `churn train`" in page
    assert "| Ask | Lambda | - | nothing: decide" in page
    assert page.count("step-") == 1
    assert "cohort" not in page.lower()
    assert "eu-1" not in page
