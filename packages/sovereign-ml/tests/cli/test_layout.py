"""One verb a step, one noun an artifact: the same words in every place; tools stay in their folder."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from small_project import PROJECT, environment
from sovereign_ml.cli import main
from sovereign_ml.kubeflow import components
from sovereign_ml.pipeline.flow import STEPS, Step

SOURCE = PROJECT / "src/churn"
CONFIG = tomllib.loads((PROJECT / "config.toml").read_text())
STAGES = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
TOOLS = ("duckdb", "feast", "great_expectations", "mlflow", "dvc", "dvc_data", "skops", "boto3")
PLUMBING = {"artifacts", "errors", "settings", "tables", "source", "lineage", "tools", "commands"}
"""Moves files and reads configuration; what it computes does not depend on it."""


def imports(path: Path, *, for_annotations: bool = True) -> set[str]:
    """Dotted names of what a file imports, wherever in it; those under ``if TYPE_CHECKING:`` can be left out."""
    found, tree = set(), ast.parse(path.read_text(encoding="utf-8"))
    for block in (
        [] if for_annotations else [node for node in ast.walk(tree) if isinstance(node, ast.If)]
    ):
        block.body = [] if ast.unparse(block.test) == "TYPE_CHECKING" else block.body
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_the_steps_are_numbered_in_order_and_each_noun_is_written_once() -> None:
    assert [step.number for step in STEPS] == list(range(1, len(STEPS) + 1))
    assert len({step.writes for step in STEPS}) == len(STEPS)


def test_a_step_reads_only_what_an_earlier_one_wrote() -> None:
    written = {"source"}
    for step in STEPS:
        assert set(step.reads) <= written, step.verb
        written.add(step.writes)


def test_the_files_of_the_steps_are_the_steps() -> None:
    names = {path.stem for path in (SOURCE / "steps").glob("_*.py")} - {"__init__"}
    assert names == {f"_{step.number}_{step.verb}" for step in STEPS}


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.verb)
def test_the_function_of_a_step_takes_its_inputs_its_output_and_settings(step: Step) -> None:
    *inputs, output, settings = inspect.signature(step.function()).parameters.values()
    assert [given.name.removesuffix("_folder") for given in inputs] == list(step.reads)
    assert output.name == "output"
    assert (settings.name, settings.kind) == ("settings", inspect.Parameter.KEYWORD_ONLY)


def test_the_folders_of_the_configuration_carry_number_and_noun() -> None:
    expected = {step.writes: f"data/{step.number}_{step.writes}" for step in STEPS}
    assert CONFIG["paths"] == {"source": "data/source.json", **expected}


def test_the_tables_of_the_configuration_stand_in_the_order_of_the_flow() -> None:
    assert [table for table in CONFIG if table in {step.verb for step in STEPS}] == [
        step.verb for step in STEPS
    ]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.verb)
def test_the_stage_of_dvc_is_the_step(step: Step) -> None:
    stage = STAGES[step.verb]
    nouns = [
        found[1] for given in stage["deps"] if (found := re.fullmatch(r"\$\{paths\.(\w+)\}", given))
    ]
    assert stage["cmd"] == f"churn {step.verb}"
    assert nouns == list(step.reads)
    assert [next(iter(out)) if isinstance(out, dict) else out for out in stage["outs"]] == [
        f"${{paths.{step.writes}}}"
    ]
    assert f"src/churn/steps/_{step.number}_{step.verb}.py" in stage["deps"]


def test_dvc_runs_the_steps_in_their_order() -> None:
    assert list(STAGES) == [step.verb for step in STEPS]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.verb)
def test_a_changed_file_that_a_step_computes_with_makes_dvc_run_it_again(step: Step) -> None:
    used = imports(SOURCE / f"steps/_{step.number}_{step.verb}.py")
    files = {
        SOURCE / f"{name.removeprefix('churn.')}.py" for name in used if name.startswith("churn.")
    }
    needed = {
        f"src/churn/{path.name}" for path in files if path.is_file() and path.stem not in PLUMBING
    }
    assert needed <= set(STAGES[step.verb]["deps"])


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.verb)
def test_every_file_that_a_stage_names_exists(step: Step) -> None:
    named = [given for given in STAGES[step.verb]["deps"] if not given.startswith("$")]
    assert [given for given in named if not (PROJECT / given).exists()] == []


def test_the_command_line_has_each_verb_with_its_number() -> None:
    commands = get_command(main.app).commands  # type: ignore[attr-defined]
    for step in STEPS:
        assert commands[step.verb].help.startswith(f"{step.number}. "), step.verb


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.verb)
def test_the_component_of_kubeflow_takes_and_gives_the_steps_artifacts(step: Step) -> None:
    parameters = inspect.signature(getattr(components, step.verb)).parameters
    assert list(parameters) == [*(noun for noun in step.reads if noun != "source"), step.writes]


def test_the_table_in_the_readme_is_the_flow() -> None:
    rows = re.findall(
        r"^\| (\d) \| (\w+) \| (.+?) \| (.+?) \|", (PROJECT / "README.md").read_text(), re.MULTILINE
    )
    assert [(int(number), verb) for number, verb, _, _ in rows] == [
        (step.number, step.verb) for step in STEPS
    ]
    for step, (_, _, reads, writes) in zip(STEPS, rows, strict=True):
        assert f"`data/{step.number}_{step.writes}`" in writes
        named = set(re.findall(r"\w+", reads)) & {other.writes for other in STEPS}
        assert named <= set(step.reads), step.verb


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_is_imported_in_the_folder_of_the_tools_alone(tool: str) -> None:
    importers = {
        path.relative_to(SOURCE).parts[0]
        for path in SOURCE.rglob("*.py")
        if tool in {name.partition(".")[0] for name in imports(path, for_annotations=False)}
    }
    assert importers == {"tools"}


def test_no_step_imports_another_and_sovereign_knows_nothing_of_churn() -> None:
    command = [
        str(Path(sys.executable).with_name("lint-imports")),
        "--no-cache",
        "--config",
        "pyproject.toml",
    ]
    env = environment(PROJECT, PYTHONPATH=str(PROJECT / "src"))
    done = subprocess.run(
        command, cwd=PROJECT, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_only_settings_reads_the_environment() -> None:
    """With the exceptions switched off: they may write it (silence, PATH of children), never read configuration."""
    command = [
        str(Path(sys.executable).with_name("ruff")),
        "check",
        "--no-cache",
        "--ignore-noqa",
        "--select",
        "TID251",
    ]
    done = subprocess.run(
        [*command, "--output-format", "concise", "src/churn", "serve"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    found = {
        line.partition(":")[0]
        for line in done.stdout.splitlines()
        if "os.environ" in line or "os.getenv" in line
    }
    assert found == {
        "src/churn/settings.py",
        "src/churn/cli.py",
        "src/churn/tools/dvc.py",
        "serve/churn_service/settings.py",
    }


def test_the_service_knows_the_bundle_and_not_the_trainer() -> None:
    banned = {
        "churn",
        "pandas",
        "feast",
        "mlflow",
        "sklearn",
        "pickle",
        "joblib",
        "duckdb",
        "skops",
    }
    for path in (PROJECT / "serve").rglob("*.py"):
        assert not {name.partition(".")[0] for name in imports(path)} & banned, path


def test_no_code_is_rendered() -> None:
    for folder in ("src", "serve"):
        for path in (PROJECT / folder).rglob("*.py"):
            assert "{{ cookie" + "cutter." not in path.read_text(encoding="utf-8"), path
