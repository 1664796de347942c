"""A team adds a ninth step in its own files; verb, stage and task follow without the library."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from typer.main import get_group

from churn.project import PROJECT
from small_project import PROGRAMS, churn, commit, configure, environment, load, make_clone
from sovereign_ml.cli.main import application
from sovereign_ml.errors import Misuse
from sovereign_ml.pipeline import flow, source
from sovereign_ml.project import STANDARD_STEPS, Project, Step
from sovereign_ml.storage.artifacts import read_json

MOST_CALLS = 5
NOTIFY = '''"""Step 9, notify: whom the shop calls today."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from churn.contract import TARGET
from sovereign_ml.config.tables import TeamSettings
from sovereign_ml.storage.artifacts import need, summarise, writing


def notify(scores: Path, output: Path, *, team: TeamSettings) -> None:
    """Write the customers with the highest scores; [team] most_calls says how many."""
    table = pd.read_parquet(need(scores, "score") / "scores.parquet")
    chosen = table.nlargest(team.most_calls, "score")
    with writing(output) as folder:
        chosen[["customer_id", "score"]].to_csv(folder / "calls.csv", index=False)
        headline = f"{len(chosen)} calls against {TARGET}"
        summarise(folder, rows_in=len(table), rows_out=len(chosen), headline=headline)
'''
ROW = """steps=(
        *STANDARD_STEPS,
        Step(9, "notify", ("scores",), "notices", "Choose whom to call.", params=("team",)),
    ),"""


def replace(path: Path, before: str, after: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered project with the step, before anything has run."""
    root = make_clone(tmp_path_factory.mktemp("notify") / "acme-churn")
    source = root / "src/churn"
    (source / "steps/_9_notify.py").write_text(NOTIFY, encoding="utf-8")
    replace(source / "project.py", "steps=STANDARD_STEPS,", ROW)
    replace(source / "project.py", "STANDARD_STEPS, Project", "STANDARD_STEPS, Project, Step")
    replace(
        source / "pipeline.py",
        '    task("score", bundle=bundle, features=features, valid=valid)\n\n\ndef training',
        '    scores = task("score", bundle=bundle, features=features, valid=valid)\n'
        '    task("notify", scores=scores)\n\n\ndef training',
    )
    configure(root, {"paths.notices": "data/9_notices", "team.most_calls": MOST_CALLS})
    done = churn(root, "stages")
    assert done.returncode == 0, done.stderr
    commit(root, "A ninth step")
    return root


@pytest.fixture(scope="module")
def scored(root: Path, scores: Path) -> Path:
    """The same project, with the scores of the small one."""
    shutil.copytree(scores, root / "data/8_scores")
    return root


def test_the_command_line_has_the_verb(root: Path) -> None:
    shown = churn(root, "--help").stdout
    assert "notify" in shown
    assert "9. Choose whom to call." in shown


def test_the_command_runs_the_step_with_the_settings_of_the_team(scored: Path) -> None:
    done = churn(scored, "notify")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("9 notify ")
    assert f"{MOST_CALLS} calls against churned" in done.stdout
    calls = pd.read_csv(scored / "data/9_notices/calls.csv")
    assert len(calls) == MOST_CALLS
    table = pd.read_parquet(scored / "data/8_scores/scores.parquet")
    assert calls["score"].min() >= table["score"].nlargest(MOST_CALLS).min() - 1e-9


def test_dvc_has_a_stage_that_watches_what_the_step_uses(root: Path) -> None:
    stage = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]["notify"]
    assert stage == {
        "cmd": "churn notify",
        "deps": [
            "${paths.scores}",
            "src/churn/contract.py",
            "src/churn/steps/_9_notify.py",
            "requirements/train.lock",
            "data/library.json",
        ],
        "params": [{"config.toml": ["team"]}],
        "outs": [{"${paths.notices}": {"persist": True}}],
    }
    assert churn(root, "stages", "--check").returncode == 0


def test_dvc_runs_the_stage(scored: Path) -> None:
    source.refresh(load(scored))
    done = subprocess.run(
        [str(PROGRAMS / "dvc"), "repro", "--single-item", "notify"],
        cwd=scored,
        env=environment(scored),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_json(scored / "data/9_notices/summary.json")["rows_out"] == MOST_CALLS
    lock = yaml.safe_load((scored / "dvc.lock").read_text())
    assert lock["stages"]["notify"]["params"]["config.toml"] == {"team": {"most_calls": MOST_CALLS}}


def test_kubeflow_has_a_task_after_the_one_whose_artifact_it_reads(root: Path) -> None:
    done = churn(root, "kubeflow", "compile", "build/pipeline.yaml")
    assert done.returncode == 0, done.stderr
    compiled: dict[str, Any] = next(
        iter(yaml.safe_load_all((root / "build/pipeline.yaml").read_text()))
    )
    task = compiled["root"]["dag"]["tasks"]["notify"]
    assert task["dependentTasks"] == ["score"]
    assert task["taskInfo"]["name"] == "9 notify"
    container = compiled["deploymentSpec"]["executors"]["exec-notify"]["container"]
    assert container["image"] == load(root).pipeline.image
    assert 'run_step("notify"' in container["command"][-1]


def test_the_task_runs_the_step_on_kubeflows_paths(scored: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from sovereign_ml.kubeflow.entry_points import run_step\n"
        "run_step('notify', {'scores': sys.argv[1]}, sys.argv[2])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(scored / "data/8_scores"), str(tmp_path / "notices")],
        cwd=scored,
        env=environment(scored),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "notices/summary.json").read_text())["rows_out"] == MOST_CALLS


# What a team gets wrong while it adds a step is one line.


def test_a_step_without_a_folder_is_told_where_to_name_one(root: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(root, tmp_path / "own"))
    replace(own / "config.toml", 'notices = "data/9_notices"\n', "")
    done = churn(own, "notify")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "[paths] in config.toml has no 'notices'" in done.stderr


def test_a_step_without_its_file_is_told_which(root: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(root, tmp_path / "own"))
    (own / "src/churn/steps/_9_notify.py").unlink()
    done = churn(own, "notify")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "needs the function notify() in src/churn/steps/_9_notify.py" in done.stderr
    done = churn(own, "stages")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "src/churn/steps/_9_notify.py: No such file" in done.stderr


def test_a_setting_of_the_team_that_is_not_there_is_named(scored: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(scored, tmp_path / "own"))
    replace(own / "config.toml", f"most_calls = {MOST_CALLS}\n", "")
    done = churn(own, "notify")
    assert (done.returncode, done.stderr) == (2, "Error: config.toml lacks 'team.most_calls'.\n")


def test_a_project_that_cannot_be_imported_says_why_and_still_helps(
    root: Path, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(root, tmp_path / "own"))
    (own / "src/churn/project.py").write_text("import nothing_of_this_name\n", encoding="utf-8")
    done = churn(own, "notify")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "cannot be imported: ModuleNotFoundError" in done.stderr
    assert churn(own, "--help").returncode == 0


def step(**changes: Any) -> Step:
    row: dict[str, Any] = {"number": 9, "verb": "notify", "reads": ("scores",), "writes": "notices"}
    return Step(**{**row, "summary": "Choose whom to call.", **changes})


def with_step(row: Step) -> Project:
    return Project("churn", PROJECT.tables, PROJECT.features, "y", steps=(*STANDARD_STEPS, row))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"number": 8}, r"is row 9 of steps"),
        ({"number": 10}, r"is row 9 of steps"),
        ({"verb": "score"}, r"the second step with this verb"),
        ({"verb": "send-mail"}, r"one lower-case word"),
        ({"verb": "../x"}, r"one lower-case word"),
        ({"writes": "scores"}, r"writes 'scores', which an earlier step writes"),
        ({"writes": "source"}, r"writes 'source', which an earlier step writes"),
        ({"writes": "a b"}, r"one lower-case word"),
        (
            {"reads": ("notices",)},
            r"reads 'notices', which no earlier step writes. There are .*raw",
        ),
        ({"reads": ("scroes",)}, r"reads 'scroes', which no earlier step writes"),
    ],
)
def test_a_row_that_cannot_run_is_refused_with_its_reason(
    changes: dict[str, Any], reason: str
) -> None:
    assert with_step(step()).step("notify").number == 9
    with pytest.raises(Misuse, match=reason) as refused:
        with_step(step(**changes))
    assert "\n" not in str(refused.value)


def test_a_verb_that_is_a_command_already_is_refused() -> None:
    commands = set(get_group(application()).commands) - {one.verb for one in STANDARD_STEPS}
    assert {"run", "audit", "campaign", "decisions", "leave"} <= commands
    for verb in commands:
        with pytest.raises(Misuse, match=f"The step '{verb}' has the name of a command"):
            application((*STANDARD_STEPS, step(verb=verb)))


def asks_for_nothing(scores: Path, output: Path) -> None: ...


def asks_for_a_number(scores: Path, output: Path, *, how_many: int) -> None: ...


def asks_for_an_unknown_name(scores: Path, output: Path, *, limits: Limits) -> None: ...  # type: ignore[name-defined]  # noqa: F821


def asks_without_a_type(scores: Path, output: Path, *, limit) -> None: ...  # type: ignore[no-untyped-def]


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (asks_for_a_number, r"asks_for_a_number\(\) asks for how_many: int, which no step"),
        (
            asks_for_an_unknown_name,
            r"types of asks_for_an_unknown_name\(\): name 'Limits' is not defined",
        ),
        (asks_without_a_type, r"asks_without_a_type\(\) asks for limit: None, which no step"),
    ],
)
def test_a_step_that_asks_for_what_there_is_not_is_told_what_there_is(
    function: Callable[..., None], reason: str, project: Path
) -> None:
    known = flow.provided(load(project), PROJECT)
    assert flow.arguments(asks_for_nothing, known) == {}
    with pytest.raises(Misuse, match=reason) as refused:
        flow.arguments(function, known)
    assert "\n" not in str(refused.value)
