"""Both tracks: a training script that writes to SageMaker and MLflow, whatever MLflow does, and what differs afterwards."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from loopback import Quiet, listening
from mlflow_here import KEY, mlflow_server, variables
from sagemaker_double import dumped
from sagemaker_sdk_double import account_of, sdk
from small_project import load
from sovereign_ml.data_subjects.stores import mlflow_runs
from sovereign_ml.leaving import runs
from sovereign_ml.leaving.both_tracks import one_file, tracker
from sovereign_ml.leaving.both_tracks.new_track import LOST
from sovereign_ml.leaving.both_tracks.track_comparison import compare_tracks
from sovereign_ml.leaving.both_tracks.tracker import tracked
from sovereign_ml.leaving.dump import open_dump
from sovereign_ml.leaving.minimise import Minimiser
from sovereign_ml.registry import mlflow


@pytest.fixture(autouse=True)
def _nothing_was_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker, "_WARNED", set())


def train(run_class: Any, name: str, points: int = 30, **more: Any) -> None:
    """What a training script does."""
    with run_class(experiment_name="Churn-Model", run_name=name) as run:
        run.log_parameter("learning_rate", 0.0003)
        run.log_parameters(
            {"batch_size": 512, "optimiser": "adam", "training_users": 847293, **more}
        )
        run.log_parameter("contact", "jane.doe@acme.example")
        run.log_parameter("training_data", "s3://prod-data-lake/eu/users.parquet")
        for step in range(points):
            run.log_metric("auc", 0.5 + step / 100, step=step)


def test_the_new_track_has_what_the_old_one_has_minimised_and_tracks_names_every_difference(
    new_project: Any, tmp_path: Path
) -> None:
    project, old = load(new_project()), sdk()
    with mlflow_server(project) as address:
        # a machine under load may be slow; the cases below are about time
        patient = variables(address) | {"BOTH_TRACKS_WAIT": "60"}
        run_class, load_run = tracked(old, project.tracking.project, patient)
        for name in ("v1", "v2", "V3-EU", "v4", "v5"):
            train(run_class, name)
        # a job goes on with a run of a notebook, and a run within it is the same one
        with load_run("v1", "churn-model") as run, load_run() as inner:
            assert inner is run
            inner.log_metric("auc", 0.99, step=30)
        with pytest.raises(ZeroDivisionError), run_class("churn-model", "failed"):
            raise ZeroDivisionError
        old.Run("churn-model", "by hand").__enter__().__exit__(None, None, None)
        rules = Minimiser(KEY)
        new = {run.info.run_name: run for run in mlflow_runs.brought_runs(project.tracking)}
        assert len(new) == 6
        first = new["churn-model-v1"]
        assert first.data.params == {
            **{"learning_rate": "0.0003", "batch_size": "512", "optimiser": "adam"},
            "training_users": "100,000-999,999",
            "training_data": rules.place("s3://prod-data-lake/eu/users.parquet"),
        }
        api = mlflow.client(project.tracking)
        assert [p.step for p in api.get_metric_history(first.info.run_id, "auc")] == list(range(31))
        assert {run.data.tags[runs.STATE_TAG] for run in new.values()} == {"done"}
        assert new["churn-model-failed"].info.status == "FAILED"
        assert {api.get_experiment(run.info.experiment_id).name for run in new.values()} == {"acme-churn/churn-model"}  # fmt: skip
        text = str([run.to_dictionary() for run in new.values()])
        assert not re.search("s3://|jane|847293|123456789012", text)
        # the run that only SageMaker has is told, and nothing else differs
        later = datetime.now(UTC) + timedelta(seconds=2)
        dump = open_dump(dumped(account_of(old), tmp_path / "dump", later))
        result = compare_tracks(dump, project.tracking, Minimiser(KEY))
        assert (result.compared, result.differences) == (6, [])
        assert result.only_there == ["churn-model-by hand"]
        assert (result.verdict, result.streak) == ("differs", 0)
        del old.components["churn-model-by hand"]
        dump = open_dump(dumped(account_of(old), tmp_path / "same", later))
        result = compare_tracks(dump, project.tracking, Minimiser(KEY))
        assert (result.verdict, result.streak, result.is_enough(6, 14, later)) == ("same", 6, True)
        assert not result.is_enough(7, 14, later)
        # an import makes none of them twice
        again = runs.bring(dump, project.tracking, Minimiser(KEY))
        assert (again.imported, again.present) == (0, 6)
        # five planted differences, each found once
        components = old.components
        components["churn-model-v1"].parameters["batch_size"] = 513
        components["churn-model-v2"].points["auc"].append((30, 0.79))
        components["churn-model-v3-eu"].points["auc"][-1] = (29, 0.123)
        components["churn-model-v4"].parameters["depth"] = 3
        components["churn-model-v5"].end_time += timedelta(seconds=5)
        dump = open_dump(dumped(account_of(old), tmp_path / "changed", later))
        result = compare_tracks(dump, project.tracking, Minimiser(KEY))
        assert [(row.run, row.what) for row in result.differences] == [
            ("churn-model-v1", "parameter batch_size: another value"),
            ("churn-model-v2", "metric auc: 31 points in SageMaker, 30 in MLflow"),
            ("churn-model-v3-eu", "metric auc: another last value"),
            ("churn-model-v4", "parameter depth: only in SageMaker"),
            ("churn-model-v5", "end: 5.0 s apart"),
        ]
        # a parameter that changes is lost to MLflow: the run is not whole, and the dump mends it
        with run_class("churn-model", "v6") as run:
            run.log_parameter("depth", 3)
            run.log_parameter("depth", 4)
        last = mlflow_runs.brought_runs(project.tracking)[0]
        assert (last.data.tags[runs.STATE_TAG], last.data.tags[LOST]) == ("incomplete", "1")
        dump = open_dump(dumped(account_of(old), tmp_path / "six", later))
        mended = runs.bring(dump, project.tracking, Minimiser(KEY))
        assert (mended.imported, mended.present, mended.repaired) == (1, 6, 1)
        last = next(
            r for r in mlflow_runs.brought_runs(project.tracking) if r.info.run_name.endswith("v6")
        )
        assert last.data.params == {"depth": "4"}


class Answering(Quiet):
    """A server that is no MLflow; ``answers`` says what it does at each question."""

    release = Event()

    def do_POST(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        """Answer as the case says."""


class Hanging(Answering):
    def answer(self) -> None:
        self.release.wait(20)


class Refusing(Answering):
    def answer(self) -> None:
        self.reply(401, b"")


class Html(Answering):
    def answer(self) -> None:
        self.reply(200, b"<html>sign in</html>")


class Broken(Answering):
    def answer(self) -> None:
        self.reply(500, b'{"error_code": []}')


class Dying(Answering):
    """One that answers until the run exists, and then closes every connection."""

    def answer(self) -> None:
        if self.path.endswith("log-batch"):
            self.close_connection = True
            return
        self.reply(200, b'{"experiment": {"experiment_id": "1"}, "run": {"info": {"run_id": "1"}}}')


@pytest.mark.parametrize("case", [Hanging, Refusing, Html, Broken, Dying, "away", "no key", "no address"])  # fmt: skip
def test_whatever_mlflow_does_the_old_track_is_whole_and_training_goes_on(
    case: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    old = sdk()
    Answering.release.clear()
    handler = case if isinstance(case, type) else Refusing
    with listening(handler) as address:
        where = variables("http://127.0.0.1:9" if case == "away" else address)
        if case in ("no key", "no address"):
            where |= {"BOTH_TRACKS_KEY": "ab"} if case == "no key" else {"MLFLOW_TRACKING_URI": "x"}
        run_class, _ = tracked(old, "acme-churn", where)
        began = time.monotonic()
        train(run_class, "v1")
        took = time.monotonic() - began
        Answering.release.set()
    component = old.components["churn-model-v1"]
    assert component.status == "Completed"
    assert len(component.points["auc"]) == 30
    assert len(component.parameters) == 6
    assert took < (4 if case is Hanging else 2)
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if line.startswith("both_tracks:")]) == 1
    assert not re.search("jane|s3://|127.0.0.1", "".join(lines))


def test_values_that_sagemaker_takes_or_refuses_stay_its_own_affair(new_project: Any) -> None:
    """A value of any kind raises what SageMaker raises, and nothing more."""

    class Hostile(float):
        def __float__(self) -> float:
            raise ArithmeticError

        def __str__(self) -> str:
            raise ArithmeticError

    old = sdk()
    run_class, load_run = tracked(old, "acme-churn", variables("http://127.0.0.1:9"))
    with pytest.raises(ValueError, match="length"):
        run_class("e", "r" * 60)
    with pytest.raises(RuntimeError, match="inside context"):
        run_class("e", "r").log_metric("auc", 1.0)
    with pytest.raises(RuntimeError, match="RunName"):
        load_run()
    with run_class("e", "r") as run:
        for value in (None, [], object(), Hostile(1), float("nan"), "x" * 10**6, 10**400, True):
            run.log_parameter("p", value)
        with pytest.raises(ValueError, match="step must be int"):
            run.log_metric("auc", 1.0, step="one")
        with pytest.raises(TypeError):
            run.log_metric("auc")
        with pytest.raises(NotImplementedError):
            run.__getstate__()
        for number in range(30_000):
            run.log_metric("auc", number, step=number)
    assert isinstance(run, old.Run)
    assert len(old.components["e-r"].points["auc"]) == 30_000


def printed(folder: Path) -> Path:
    path = folder / "both_tracks.py"
    path.write_text(one_file.one_file("acme-churn"))
    return path


def test_the_printed_file_needs_only_the_standard_library_and_judges_as_the_import_does(
    tmp_path: Path,
) -> None:
    path = printed(tmp_path)
    tree = ast.parse(path.read_text(), feature_version=(3, 10))
    modules = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
    }  # fmt: skip
    assert modules <= sys.stdlib_module_names
    names = [
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)
    ] + [
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    assert len(names) == len(set(names)) > 40  # no part hides a name of another
    script = "import types, sys; m = types.ModuleType('sagemaker.experiments.run')\n"
    script += "class R: pass\nm.Run, m.load_run = R, lambda: R()\n"
    script += (
        "for n in ('sagemaker', 'sagemaker.experiments'): sys.modules[n] = types.ModuleType(n)\n"
    )
    script += "sys.modules[m.__name__] = m\nfrom both_tracks import Run, load_run, Minimiser\n"
    script += "assert issubclass(Run, R) and type(load_run()) is Run\n"
    values = {
        "training_users": 847293.0,
        "cohort": "eu",
        "lr": 0.1,
        "d": "s3://b",
        "customer": "12",
    }
    script += f"print(Minimiser(bytes(range(32))).values({values!r}))\n"
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{script}"
    program = [sys.executable, "-IS", "-c", script]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(Minimiser(KEY).values(values)), done.stderr


def test_without_the_sdk_the_printed_file_says_so_as_the_old_import_did(tmp_path: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(printed(tmp_path).parent)!r}); import both_tracks"
    done = subprocess.run([sys.executable, "-IS", "-c", code], capture_output=True, text=True, check=False)  # fmt: skip
    assert "No module named 'sagemaker'" in done.stderr
