"""The flow is spelled once, in the table of steps. A wing knows only what lies below it."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest
import yaml
from typer.main import get_command

from churn.project import PROJECT as CHURN
from small_project import PROJECT, make_clone
from sovereign_ml.cli.main import application
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.kubeflow import components
from sovereign_ml.pipeline import stages
from sovereign_ml.project import STANDARD_STEPS as STEPS
from sovereign_ml.project import Step

HERE = Path(__file__).resolve().parents[2]
LIBRARY = HERE / "src/sovereign_ml"
SOURCE = PROJECT / "src/churn"
CONFIG = tomllib.loads((PROJECT / "config.toml").read_text())
STAGES = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
MOST_FILES = 15
"""In one folder of the library."""

WRAPPERS = {
    "duckdb": {"storage/duckdb.py"},
    "feast": {
        "features/feast.py",
        "features/feast_asof.py",  # Feast imports these two by name
        "features/feast_s3.py",
        "features/feast_stores.py",
        "servers/own_servers.py",  # the feature server
    },
    "great_expectations": {"pipeline/great_expectations.py"},
    "mlflow": {
        "data_subjects/stores/mlflow_runs.py",  # erasure and retention, in runs and registry
        "registry/bundle_store.py",  # its exceptions
        "registry/mlflow.py",
        "servers/own_servers.py",  # the tracking server
    },
    "dvc": {"data_subjects/stores/dvc_versions.py", "storage/dvc.py"},
    "dvc_data": {"storage/dvc.py"},
    "dvc_objects": {"storage/dvc.py"},
    "clearml": {"registry/clearml_client.py"},  # runs in an environment of its own
    "hopsworks": {"features/hopsworks_client.py"},  # the same
    "hsfs": {"features/hopsworks_client.py"},
    "confluent_kafka": {"features/hopsworks_client.py"},
    "skops": {"registry/skops.py"},
    "boto3": {"leaving/fetch.py", "storage/s3.py"},
    "ibis": {"features/feast_s3.py"},
    "fairlearn": {"evaluation/metrics.py"},
    "bentoml": set(),  # the service of a project imports it
}
"""The modules that may import a tool. A project's own files import the tools that they show."""

SAME_JOB = {
    "campaign": {"cli/watch", "monitoring"},
    "settings": {"config", "service"},
}
"""Module names in two wings: the commands of a wing, and settings that projects import."""


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def imports(path: Path, *, for_annotations: bool = True) -> set[str]:
    """Return what a file imports, wherever in it; ``if TYPE_CHECKING:`` can be left out."""
    names, tree = set(), ast.parse(path.read_text(encoding="utf-8"))
    for block in (
        [] if for_annotations else [node for node in ast.walk(tree) if isinstance(node, ast.If)]
    ):
        block.body = [] if ast.unparse(block.test) == "TYPE_CHECKING" else block.body
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def top_names(path: Path, *, for_annotations: bool = True) -> set[str]:
    names = imports(path, for_annotations=for_annotations)
    return {name.partition(".")[0] for name in names}


# The table of steps, and everything that is made from it.


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
    assert names == {f"_{step.number}_{step.verb}" for step in CHURN.steps}


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.verb)
def test_the_function_of_a_step_takes_its_inputs_its_output_and_then_keywords(step: Step) -> None:
    parameters = list(inspect.signature(CHURN.function(step)).parameters.values())
    by_position = [p for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    by_name = [p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    nouns = [parameter.name.removesuffix("_folder") for parameter in by_position]
    assert nouns == [*step.reads, "output"]
    assert by_position + by_name == parameters
    assert "Settings" not in {str(parameter.annotation) for parameter in by_name}


def test_the_folders_of_the_configuration_carry_number_and_noun() -> None:
    assert CONFIG["paths"] == {
        "source": "data/source.json",
        **{step.writes: step.folder for step in STEPS},
    }
    assert [step.folder for step in STEPS] == [f"data/{s.number}_{s.writes}" for s in STEPS]


def test_the_tables_of_the_configuration_stand_in_the_order_of_the_flow() -> None:
    assert [table for table in CONFIG if table in {step.verb for step in STEPS}] == [
        step.verb for step in STEPS
    ]


def test_dvc_yaml_is_what_the_steps_and_their_imports_say() -> None:
    stages.check(PROJECT, CHURN)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("cmd: churn train", "cmd: churn train --profile eu"),
        ("- src/churn/model.py\n", ""),
        ("- requirements/train.lock\n", ""),
        ("- data/library.json\n", ""),
        ("persist: true", "persist: false"),
    ],
)
def test_a_dvc_yaml_that_was_written_by_hand_is_refused_and_written_anew(
    tmp_path: Path, before: str, after: str
) -> None:
    root = make_clone(tmp_path / "acme-churn")
    path = root / "dvc.yaml"
    right = path.read_text()
    path.write_text(right.replace(before, after, 1))
    with pytest.raises(Refused, match=r"dvc\.yaml is not what .*`churn stages` writes it anew"):
        stages.check(root, CHURN)
    stages.write(root, CHURN)
    assert path.read_text() == right


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.verb)
def test_the_stage_of_dvc_is_the_step(step: Step) -> None:
    stage = STAGES[step.verb]
    names = [re.fullmatch(r"\$\{paths\.(\w+)\}", entry) for entry in stage["deps"]]
    assert stage["cmd"] == f"churn {step.verb}"
    assert [match[1] for match in names if match] == list(step.reads)
    assert stage["outs"] == [{f"${{paths.{step.writes}}}": {"persist": True}}]
    assert f"src/churn/steps/_{step.number}_{step.verb}.py" in stage["deps"]
    assert {"requirements/train.lock", "data/library.json"} <= set(stage["deps"])


def test_dvc_runs_the_steps_in_their_order() -> None:
    assert list(STAGES) == [step.verb for step in STEPS]


LOADED = """
import importlib, json, sys
files = {}
for name in sys.argv[1:]:
    for module in [module for module in sys.modules if module.partition(".")[0] == "churn"]:
        del sys.modules[module]
    importlib.import_module(name)
    files[name] = [
        module.__file__
        for module in sys.modules.values()
        if module.__name__.startswith("churn.") and not hasattr(module, "__path__")
    ]
print(json.dumps(files))
"""


def test_a_changed_file_that_a_step_computes_with_makes_dvc_run_it_again() -> None:
    """Asked of Python: the project's modules that are loaded after a step was imported alone."""
    names = {step.verb: f"churn.steps._{step.number}_{step.verb}" for step in STEPS}
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *names.values()],
        env={"PYTHONPATH": f"{PROJECT / 'src'}:{HERE / 'src'}"},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = json.loads(done.stdout)
    for verb, name in names.items():
        needed = {Path(path).relative_to(PROJECT).as_posix() for path in loaded[name]}
        assert needed, verb
        assert needed <= set(STAGES[verb]["deps"]), verb


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.verb)
def test_every_file_that_a_stage_names_exists_or_is_written_by_the_flow(step: Step) -> None:
    names = [entry for entry in STAGES[step.verb]["deps"] if not entry.startswith("$")]
    missing = [name for name in names if not (PROJECT / name).exists()]
    assert missing == [stages.LIBRARY]


def test_the_command_line_has_each_verb_with_its_number() -> None:
    commands = get_command(application()).commands  # type: ignore[attr-defined]
    for step in STEPS:
        assert commands[step.verb].help.startswith(f"{step.number}. "), step.verb


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.verb)
def test_the_component_of_kubeflow_takes_and_gives_the_steps_artifacts(step: Step) -> None:
    parameters = inspect.signature(components.of_step(step)).parameters
    assert list(parameters) == [*(noun for noun in step.reads if noun != "source"), step.writes]


def test_a_verb_that_no_row_has_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(Misuse, match=r"No step 'fly': the project has data, validate, .*score"):
        CHURN.step("fly")


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


# The library: who may import whom, and how large a folder may be.


@pytest.mark.parametrize("tool", WRAPPERS)
def test_a_tool_is_imported_in_its_wrapper_alone(tool: str) -> None:
    importers = {
        path.relative_to(LIBRARY).as_posix()
        for path in files(LIBRARY)
        if tool in top_names(path, for_annotations=False)
    }
    assert importers == WRAPPERS[tool]


def test_the_library_imports_no_project() -> None:
    assert [path for path in files(LIBRARY) if "churn" in top_names(path)] == []


def test_no_step_imports_another() -> None:
    for path in files(SOURCE / "steps"):
        assert not [name for name in imports(path) if name.startswith("churn.steps")], path


def test_the_contracts_of_import_linter_hold() -> None:
    """Wings on floors, and nothing of the project half in what a service deploys."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    env = {"PYTHONPATH": str(HERE / "src")}
    done = subprocess.run(command, cwd=HERE, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kept, 0 broken" in done.stdout


@pytest.fixture(scope="module")
def arrows() -> dict[str, set[str]]:
    """The modules of the library with what they import, inside functions too."""
    graph = grimp.build_graph("sovereign_ml", exclude_type_checking_imports=True, cache_dir=None)
    return {name: set(graph.find_modules_directly_imported_by(name)) for name in graph.modules}


def test_no_modules_import_each_other_in_a_circle(arrows: dict[str, set[str]]) -> None:
    assert len(arrows) > 200
    TopologicalSorter(arrows).prepare()  # raises CycleError with the circle


def test_no_wings_import_each_other_in_a_circle(arrows: dict[str, set[str]]) -> None:
    def wing(module: str) -> str:
        return module.split(".")[1] if "." in module else ""

    wings: dict[str, set[str]] = defaultdict(set)
    for module, imported in arrows.items():
        wings[wing(module)] |= {wing(name) for name in imported} - {wing(module), ""}
    TopologicalSorter(wings).prepare()


def classes(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name


def test_no_two_classes_have_one_name() -> None:
    places: dict[str, set[str]] = defaultdict(set)
    for path in files(LIBRARY):
        for name in classes(path):
            places[name].add(path.relative_to(LIBRARY).as_posix())
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_no_two_modules_have_one_name_but_for_one_job_at_two_levels() -> None:
    places: dict[str, set[str]] = defaultdict(set)
    for path in files(LIBRARY):
        if path.stem not in ("__init__", "__main__"):
            places[path.stem].add(path.parent.relative_to(LIBRARY).as_posix())
    assert {name: where for name, where in places.items() if len(where) > 1} == SAME_JOB


def test_no_folder_of_the_library_has_more_files_than_a_reader_can_take_in() -> None:
    folders = Counter(path.parent.relative_to(LIBRARY).as_posix() for path in files(LIBRARY))
    assert {name: count for name, count in folders.items() if count > MOST_FILES} == {}


def test_modules_are_named_in_lower_case_words_and_only_steps_carry_a_number() -> None:
    for path in files(LIBRARY):
        assert re.fullmatch(r"__(init|main)__|_?[a-z]+[a-z0-9]*(_[a-z0-9]+)*", path.stem), path
    for path in files(SOURCE):
        numbered = path.parent.name == "steps"
        pattern = r"__init__|_\d_[a-z]+" if numbered else r"__init__|[a-z]+(_[a-z]+)*"
        assert re.fullmatch(pattern, path.stem), path


def test_only_settings_reads_the_environment() -> None:
    """The others write it (silence, PATH of children), or look before there are settings."""
    readers = {
        path.relative_to(LIBRARY).as_posix()
        for path in files(LIBRARY)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in ("environ", "getenv", "environb")
        and ast.unparse(node.value) == "os"
    }
    assert readers == {
        "cli/main.py",
        "config/settings.py",
        "egress/boot/sitecustomize.py",
        "features/hopsworks_client.py",  # a program: its home is the private folder of the call
        "features/spark_client.py",  # the same
        "git.py",
        "registry/clearml_client.py",  # the same
        "service/settings.py",
        "storage/dvc.py",
    }
    assert [
        path for path in files(SOURCE) if re.search(r"os\.(environ|getenv)", path.read_text())
    ] == []


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
    runtime = ("bundle", "card", "decision_log", "decisions", "egress", "jurisdictions", "model")
    for wing in (*runtime, "service"):
        for path in files(LIBRARY / wing):
            assert not top_names(path) & banned, path


def test_no_code_is_rendered() -> None:
    for folder in (LIBRARY, PROJECT / "src"):
        for path in files(folder):
            assert "{{ cookie" + "cutter." not in path.read_text(encoding="utf-8"), path
