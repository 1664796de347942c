"""Version 3 of SageMaker's SDK, which keeps `Run` in another module: the printed file takes it, and both tracks are whole.

SAGEMAKER_SDK_3 names the Python of an environment with sagemaker-core and moto. Without it the last test does not exist.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlflow_here import mlflow_server, variables
from sagemaker_sdk_double import CONTRACT
from small_project import load
from sovereign_ml.data_subjects.stores import mlflow_runs
from sovereign_ml.leaving import runs
from sovereign_ml.leaving.both_tracks.one_file import one_file
from sovereign_ml.registry import mlflow

FAKE = """
import sys, types
for name in {packages}: sys.modules[name] = types.ModuleType(name)
class Run: pass
module = sys.modules["{home}"]
module.Run, module.load_run = Run, lambda: Run()
sys.path.insert(0, {folder!r})
import both_tracks
print(both_tracks.Run.__mro__[1].__module__, issubclass(both_tracks.Run, Run))
"""
V2 = ["sagemaker", "sagemaker.experiments", "sagemaker.experiments.run"]
V3 = ["sagemaker", "sagemaker.core", "sagemaker.core.experiments", "sagemaker.core.experiments.run"]


@pytest.mark.parametrize("packages", [V2, V3], ids=["SDK 2", "SDK 3"])
def test_the_printed_file_takes_run_from_where_the_installed_sdk_has_it(
    tmp_path: Path, packages: list[str]
) -> None:
    (tmp_path / "both_tracks.py").write_text(one_file("acme-churn"))
    code = FAKE.format(packages=packages, home=packages[-1], folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-IS", "-c", code], capture_output=True, text=True, check=False)  # fmt: skip
    assert done.stdout.split() == ["__main__", "True"], done.stderr


def test_a_package_that_the_sdk_lacks_is_named_and_no_other_version_is_tried(
    tmp_path: Path,
) -> None:
    (tmp_path / "both_tracks.py").write_text(one_file("acme-churn"))
    for folder in ("sagemaker", "sagemaker/experiments"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
    (tmp_path / "sagemaker/experiments/run.py").write_text("import a_package_that_is_gone")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import both_tracks"
    done = subprocess.run([sys.executable, "-IS", "-c", code], capture_output=True, text=True, check=False)  # fmt: skip
    assert "No module named 'a_package_that_is_gone'" in done.stderr


TRAIN = """
import inspect, json, sys
import boto3
from moto.server import ThreadedMotoServer
from sagemaker.core.experiments import run as sdk
from sagemaker.core.helper.session_helper import Session
from both_tracks import Run, load_run
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
where = {"region_name": "eu-central-1", "endpoint_url": f"http://{host}:{port}"}
api = boto3.client("sagemaker", **where)
session = Session(boto3.session.Session(region_name="eu-central-1"), sagemaker_client=api,
    sagemaker_metrics_client=boto3.client("sagemaker-metrics", **where), default_bucket="b")
with Run("Churn-Model", "v5-EU", sagemaker_session=session) as run:
    run.log_parameter("n_estimators", 200)
    run.log_parameters({"learning_rate": 0.0003, "optimiser": "adam", "training_users": 847293})
    for step in range(30):
        run.log_metric("auc", 0.5 + step / 100, step=step)
    with load_run(sagemaker_session=session) as inner:
        inner.log_metric("auc", 0.99, step=30)
row = api.describe_trial_component(TrialComponentName="churn-model-v5-eu")
names = {name: [p for p in inspect.signature(getattr(sdk.Run, name, None) or sdk.load_run).parameters]
    for name in json.loads(sys.argv[1])}
print(json.dumps({"same": inner is run, "status": row["Status"]["PrimaryStatus"], "names": names,
    "parameters": len(row["Parameters"]), "start": round(row["StartTime"].timestamp() * 1000)}))
"""
if SDK := os.environ.get("SAGEMAKER_SDK_3"):

    def test_both_tracks_are_whole_with_the_real_sdk_3(new_project: Any, tmp_path: Path) -> None:
        project = load(new_project())
        (tmp_path / "both_tracks.py").write_text(one_file("acme-churn"))
        (tmp_path / "train.py").write_text(TRAIN)
        with mlflow_server(project) as address:
            environ = variables(address) | {
                **{"PATH": os.defpath, "HOME": str(tmp_path), "BOTH_TRACKS_WAIT": "60"},
                **{"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"},
                **{"AWS_DEFAULT_REGION": "eu-central-1", "AWS_EC2_METADATA_DISABLED": "true"},
            }
            program = [SDK, "train.py", json.dumps(list(CONTRACT))]
            done = subprocess.run(
                program, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
            )
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout.splitlines()[-1])
        # what the tracker leans on is the same in both versions
        for name, signature in CONTRACT.items():
            expected = [part.split("=")[0].strip() for part in signature.strip("()").split(",")]
            assert answer["names"][name] == expected, name
        assert (answer["same"], answer["status"], answer["parameters"]) == (True, "Completed", 4)
        (run,) = mlflow_runs.brought_runs(project.tracking)
        assert run.data.tags[runs.STATE_TAG] == "done"
        assert run.data.params["n_estimators"] == "200"
        assert run.data.params["training_users"] == "100,000-999,999"
        points = mlflow.client(project.tracking).get_metric_history(run.info.run_id, "auc")
        assert [point.step for point in points] == list(range(31))
        assert abs(run.info.start_time - answer["start"]) <= 1
