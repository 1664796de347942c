"""The flow on Kubeflow: compiles to YAML that installs nothing, with the same steps in the same order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler

from churn.project import PROJECT
from monitor_reports import a_report
from small_project import churn, load
from sovereign_ml.config.connections import DataVersions
from sovereign_ml.config.settings import Settings
from sovereign_ml.errors import Refused
from sovereign_ml.kubeflow import entry_points, local_runner
from sovereign_ml.monitoring.reporting.bucket_copy import MonitorCopy
from sovereign_ml.monitoring.watch import Watch
from sovereign_ml.project import STANDARD_STEPS as STEPS

BY_VERB = {step.verb: step for step in STEPS}


@pytest.fixture(scope="module")
def text(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("compiled") / "pipeline.yaml"
    local_runner.compile_to(path, PROJECT, settings.project, settings.pipeline)
    return path.read_text()


@pytest.fixture(scope="module")
def compiled(text: str) -> dict[str, Any]:
    found: dict[str, Any] = next(iter(yaml.safe_load_all(text)))
    return found


def container(compiled: dict[str, Any], verb: str) -> dict[str, Any]:
    found: dict[str, Any] = compiled["deploymentSpec"]["executors"][f"exec-{verb}"]["container"]
    return found


def test_it_has_the_steps_and_no_other(compiled: dict[str, Any]) -> None:
    assert set(compiled["root"]["dag"]["tasks"]) == {step.verb for step in STEPS}


def test_it_is_named_after_the_project(compiled: dict[str, Any], settings: Settings) -> None:
    assert compiled["pipelineInfo"]["name"] == settings.project.name


@pytest.mark.parametrize("verb", BY_VERB)
def test_a_task_waits_for_the_steps_whose_artifacts_it_reads(
    compiled: dict[str, Any], verb: str
) -> None:
    makers = {step.writes: step.verb for step in STEPS}
    expected = {makers[noun] for noun in BY_VERB[verb].reads if noun in makers}
    assert set(compiled["root"]["dag"]["tasks"][verb].get("dependentTasks", [])) == expected


@pytest.mark.parametrize("verb", BY_VERB)
def test_a_task_runs_in_the_configured_image(
    compiled: dict[str, Any], settings: Settings, verb: str
) -> None:
    assert container(compiled, verb)["image"] == settings.pipeline.image
    assert "@sha256:" in settings.pipeline.image


def test_nothing_is_installed_when_a_task_starts(text: str) -> None:
    for word in ("pip install", "pip ", "ensurepip", "PIP_", "index-url"):
        assert word not in text


def test_a_task_calls_its_step_and_holds_no_logic_of_its_own(compiled: dict[str, Any]) -> None:
    for step in STEPS:
        program = container(compiled, step.verb)["command"][-1]
        assert f'run_step("{step.verb}"' in program
        assert len(program.splitlines()) < 30


def test_no_key_or_folder_of_this_machine_is_in_the_yaml(text: str, project: Path) -> None:
    assert str(project) not in text
    assert "0f0f" not in text


def test_the_library_has_a_pipeline_for_the_monitor_that_is_not_tried_again(
    settings: Settings, tmp_path: Path
) -> None:
    pipeline = local_runner.pipeline_of(
        PROJECT, settings.project, settings.pipeline, "monitor", on_cluster=True
    )
    path = tmp_path / "monitor.yaml"
    compiler.Compiler().compile(pipeline, str(path))
    spec, platform = yaml.safe_load_all(path.read_text())
    tasks = spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    assert set(tasks) == {"pull", "data", "validate", "monitor"}
    assert set(tasks["monitor"]["dependentTasks"]) == {"pull", "validate"}
    assert "retryPolicy" in tasks["validate"]
    # It fails while an alarm has no answer, and a repetition says the same.
    assert "retryPolicy" not in tasks["monitor"]
    assert not tasks["monitor"].get("cachingOptions", {}).get("enableCache")
    program = container(spec, "monitor")["command"][-1]
    assert "watch(bundle.path, valid.path)" in program
    secrets = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-monitor"]
    optional = {s["keyToEnv"][0]["envVar"] for s in secrets["secretAsEnv"] if s.get("optional")}
    assert optional == {"CHURN_SMTP_PASSWORD"}


def test_a_scheduled_run_reads_and_stores_alarms_in_the_bucket(
    project: Path, valid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = load(project)
    calls: list[str] = []
    monkeypatch.setattr("sovereign_ml.config.settings.load", lambda: found)
    monkeypatch.setattr(DataVersions, "from_image", True)
    monkeypatch.setattr(MonitorCopy, "sync", lambda _: calls.append("sync"))
    monkeypatch.setattr(MonitorCopy, "publish", lambda _, day: calls.append(f"publish {day}"))
    monkeypatch.setattr(Watch, "run", lambda self, *_: a_report(day=self.bundle.name))
    with pytest.raises(Refused, match=r"Nobody answered A-2026-06-01-missing"):
        entry_points.watch(str(tmp_path / "2026-06-01"), str(valid))
    assert calls == ["sync", "publish 2026-06-01"]


def test_the_command_writes_yaml_and_refuses_another_ending(project: Path, tmp_path: Path) -> None:
    assert churn(project, "kubeflow", "compile", str(tmp_path / "p.yaml")).returncode == 0
    assert "pipelineInfo" in (tmp_path / "p.yaml").read_text()
    done = churn(project, "kubeflow", "compile", "pipeline.json")
    assert (done.returncode, done.stderr) == (2, "Error: pipeline.json must end in .yaml.\n")


def test_a_component_runs_its_step_on_the_paths_of_kubeflow(
    project: Path, raw: Path, valid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = load(project)
    monkeypatch.setattr("sovereign_ml.config.settings.load", lambda: found)
    entry_points.run_step("validate", {"raw": str(raw)}, str(tmp_path / "valid"))
    for path in valid.iterdir():
        assert (tmp_path / "valid" / path.name).read_bytes() == path.read_bytes(), path.name
