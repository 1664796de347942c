"""churn kubeflow submit with the real kfp client against a double of the v2beta1 API; and what a compiled pipeline may hold."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from churn.project import PROJECT
from cloud import Cloud, make_eu_project
from kubeflow_double import Kubeflow, kubeflow
from kubernetes_schema import problems
from small_project import churn, commit, configure, environment
from sovereign_ml.cli.composition import cluster
from sovereign_ml.config.settings import load
from sovereign_ml.kubeflow.submit import check, compile_checked

TOKEN = "t" * 32
RAW, BUNDLE, FEATURES = (
    "ab" + "0" * 30 + ".dir",
    "cd" + "0" * 30 + ".dir",
    "ef" + "0" * 30 + ".dir",
)
STEPS = {"data", "validate", "features", "train", "evaluate", "card", "register", "score"}


@pytest.fixture(scope="module")
def _server() -> Iterator[Kubeflow]:
    with kubeflow(TOKEN) as running:
        yield running


@pytest.fixture
def server(_server: Kubeflow) -> Kubeflow:
    """Kubeflow, on which nothing was made yet."""
    for shelf in _server.made.values():
        shelf.clear()
    return _server


@pytest.fixture(scope="module")
def _project(cloud: Cloud, _server: Kubeflow, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_eu_project(
        tmp_path_factory.mktemp("submit") / "acme-churn",
        cloud,
        **{"pipeline.host": _server.address},
    )
    outs = {"data/1_raw": RAW, "data/7_bundle": BUNDLE, "data/3_features": FEATURES}
    stages = {
        path[7:]: {"cmd": "x", "outs": [{"path": path, "md5": md5}]} for path, md5 in outs.items()
    }
    (root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    commit(root)
    return root


@pytest.fixture
def pushed(_project: Path, cloud: Cloud) -> Path:
    """A project whose dvc.lock names versions that the remote has."""
    for md5 in (RAW, BUNDLE):
        cloud.s3().put_object(
            Bucket=cloud.bucket, Key=f"dvc/files/md5/{md5[:2]}/{md5[2:]}", Body=b"[]"
        )
    return _project


def submit(root: Path, cloud: Cloud, *more: str, token: str = TOKEN) -> Any:
    return churn(
        root,
        "kubeflow",
        "submit",
        "--profile",
        "eu",
        *more,
        **cloud.client_environ(CHURN_KUBEFLOW_TOKEN=token),
    )


def test_a_run_is_submitted_with_the_data_version_of_the_commit(
    pushed: Path, cloud: Cloud, server: Kubeflow
) -> None:
    done = submit(pushed, cloud)
    assert done.returncode == 0, done.stderr
    [run] = server.made["runs"].values()
    assert run["runtime_config"]["parameters"]["version"] == RAW
    assert len(run["runtime_config"]["parameters"]["revision"]) == 40
    assert run["runtime_config"]["pipeline_root"] == f"s3://{cloud.bucket}/pipelines/acme-churn"
    assert [row["display_name"] for row in server.made["experiments"].values()] == ["acme-churn"]
    assert run["run_id"] in done.stdout


def test_schedules_become_recurring_runs_and_replace_the_former_ones(
    pushed: Path, cloud: Cloud, server: Kubeflow
) -> None:
    shelf = server.made["recurringruns"]
    # The runs of others fill more than one page, and ours are behind them.
    others = {f"other-{i}": {"recurring_run_id": f"other-{i}"} for i in range(230)}
    for _ in range(2):
        shelf.update(others)
        done = submit(pushed, cloud, "--schedules")
        assert done.returncode == 0, done.stderr
    assert others.keys() <= shelf.keys()
    for name in others:
        del shelf[name]
    made = {row["display_name"]: row for row in shelf.values()}
    kinds = ("train", "score", "monitor", "retain")
    assert set(made) == {f"acme-churn-{kind}" for kind in kinds}
    assert len(server.made["recurringruns"]) == 4
    assert made["acme-churn-monitor"]["trigger"]["cron_schedule"]["cron"] == "0 0 5 * * *"
    assert made["acme-churn-monitor"]["runtime_config"]["parameters"]["version"] == BUNDLE
    assert made["acme-churn-retain"]["trigger"]["cron_schedule"]["cron"] == "0 0 6 * * *"
    spec, platform = yaml.safe_load_all((pushed / "build/acme-churn-retain.yaml").read_text())
    task = spec["deploymentSpec"]["executors"]["exec-retain"]["container"]
    assert (task["command"], task["image"][-71:]) == (
        ["churn", "retain", "--apply"],
        "sha256:" + "1" * 64,
    )
    secrets = str(
        platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-retain"][
            "secretAsEnv"
        ]
    )
    assert {"DATABASE_URL", "CHURN_ONLINE_STORE_URL", "CHURN_TRACKING_DATABASE_URL"} <= set(
        re.findall(r"[A-Z_]{4,}", secrets)
    )
    assert not spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]["retain"].get(
        "cachingOptions"
    )
    assert made["acme-churn-score"]["trigger"]["cron_schedule"]["cron"] == "0 0 4 * * *"
    assert made["acme-churn-score"]["runtime_config"]["parameters"]["version"] == BUNDLE
    roots = {row["runtime_config"]["pipeline_root"] for row in made.values()}
    assert roots == {f"s3://{cloud.bucket}/pipelines/acme-churn"}
    assert server.made["runs"] == {}


def test_kubeflow_s_launcher_is_told_endpoint_bucket_and_secret(pushed: Path, cloud: Cloud) -> None:
    done = churn(pushed, "kubeflow", "launcher", "--profile", "eu", **cloud.client_environ())
    assert done.returncode == 0, done.stderr
    document = yaml.safe_load((pushed / "build/kfp-launcher.yaml").read_text())
    assert problems(document, "V1ConfigMap", "kfp-launcher") == []
    assert document["data"]["defaultPipelineRoot"] == f"s3://{cloud.bucket}/pipelines"
    provider = yaml.safe_load(document["data"]["providers"])["s3"]["default"]
    assert (provider["endpoint"], provider["region"]) == (cloud.endpoint, cloud.region)
    keys = {
        "secretName": "churn-pipeline",
        "accessKeyKey": "AWS_ACCESS_KEY_ID",
        "secretKeyKey": "AWS_SECRET_ACCESS_KEY",
    }
    assert provider["credentials"] == {"fromEnv": False, "secretRef": keys}


def test_data_that_was_not_pushed_is_refused_before_anything_is_submitted(
    pushed: Path, cloud: Cloud, server: Kubeflow
) -> None:
    cloud.s3().delete_object(Bucket=cloud.bucket, Key=f"dvc/files/md5/{RAW[:2]}/{RAW[2:]}")
    done = submit(pushed, cloud)
    assert (done.returncode, server.made["runs"]) == (1, {})
    assert "churn push --profile eu" in done.stderr


def test_a_refused_token_and_a_server_that_is_away_are_one_line(
    pushed: Path, cloud: Cloud, tmp_path: Path
) -> None:
    refused = submit(pushed, cloud, token="wrong")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
    assert "CHURN_KUBEFLOW_TOKEN" in refused.stderr
    elsewhere = Path(shutil.copytree(pushed, tmp_path / "acme-churn"))
    configure(elsewhere, {"pipeline.host": "http://127.0.0.1:9"})
    away = submit(elsewhere, cloud)
    assert (away.returncode, away.stderr.count("\n")) == (2, 1), away.stderr
    assert "does not answer" in away.stderr


def test_an_unknown_revision_is_one_line(pushed: Path, cloud: Cloud) -> None:
    done = submit(pushed, cloud, "--revision", "v99")
    assert (done.returncode, done.stderr) == (
        2,
        "Error: No git revision v99: give a commit, a tag or a branch, or leave it out for HEAD. "
        "Git says: fatal: Needed a single revision.\n",
    )


@pytest.fixture(scope="module")
def compiled(cloud: Cloud, _project: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Settings and the text of the compiled training pipeline."""
    settings = load("eu", _project, environment(_project, **cloud.client_environ()))
    return settings, compile_checked(
        PROJECT, cluster(settings), "train-pinned", tmp_path_factory.mktemp("compiled")
    ).read_text()


def test_every_task_has_limits_retries_a_timeout_and_only_its_own_secrets(compiled: Any) -> None:
    spec, platform = yaml.safe_load_all(compiled[1])
    executors = spec["deploymentSpec"]["executors"]
    assert {f"exec-{verb}" for verb in STEPS - {"data"}} | {"exec-pull", "exec-record"} == set(
        executors
    )
    for executor in executors.values():
        assert {"resourceCpuLimit", "resourceMemoryLimit"} <= set(
            executor["container"]["resources"]
        )
        assert executor["container"]["image"].endswith("@sha256:" + "1" * 64)
    set_up = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert {entry["activeDeadlineSeconds"] for entry in set_up.values()} == {"3600"}
    given = {name: str(entry.get("secretAsEnv", "")) for name, entry in set_up.items()}
    assert "CHURN_ONLINE_STORE_URL" in given["exec-features"]
    assert (
        "CHURN_ONLINE_STORE_URL"
        not in given["exec-train"] + given["exec-pull"] + given["exec-score"]
    )
    assert "DATABASE_URL" in given["exec-score"] and "AWS" not in given["exec-score"]
    assert not [
        verb
        for verb, secrets in given.items()
        if "CHURN_PSEUDONYM_KEY" in secrets and verb != "exec-data"
    ]
    assert not given["exec-evaluate"] and not given["exec-validate"]
    tasks = spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    assert all(task["retryPolicy"]["maxRetryCount"] == 2 for task in tasks.values())
    cached = {name for name, task in tasks.items() if task["cachingOptions"].get("enableCache")}
    # A step that fills a store, writes to the registry or reads the log has to run every time.
    assert {name.split("-")[0] for name in cached} == {"pull", "validate", "train", "evaluate"}


def test_the_record_is_written_however_the_run_ends(compiled: Any) -> None:
    spec = next(yaml.safe_load_all(compiled[1]))
    assert (
        spec["root"]["dag"]["tasks"]["record"]["triggerPolicy"]["strategy"]
        == "ALL_UPSTREAM_TASKS_COMPLETED"
    )


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("@sha256:" + "1" * 64, ":latest", "has no digest"),
        ("@sha256:" + "1" * 64, "@sha256:" + "0" * 64, "has no digest"),
        ("registry.acme.eu/churn@", "docker.io/churn@", "is not from registry.acme.eu"),
        (
            "from sovereign_ml.kubeflow.entry_points import run_step",
            "import os; os.system('pip install x')",
            "installs packages",
        ),
        (
            "run_step(",
            "open('https://files.example.com/x') and run_step(",
            "files.example.com is none of",
        ),
        ("schemaVersion: 2.1.0", "schemaVersion: 2.1.0\nnoSuchKey: 1", "no pipeline spec"),
    ],
)
def test_what_may_not_run_is_found_in_the_compiled_pipeline(
    compiled: Any, before: str, after: str, said: str
) -> None:
    settings, text = compiled
    image, hosts = settings.pipeline.image, cluster(settings).hosts
    assert check(text, image, hosts) == []
    assert before in text
    assert said in "\n".join(check(text.replace(before, after), image, hosts))


def test_katib_searches_the_same_values_as_step_4(pushed: Path, cloud: Cloud) -> None:
    done = churn(pushed, "kubeflow", "katib", "--profile", "eu", **cloud.client_environ())
    assert done.returncode == 0, done.stderr
    made = yaml.safe_load((pushed / "build/katib.yaml").read_text())
    settings = load("eu", pushed, environment(pushed))
    [parameter] = made["spec"]["parameters"]
    assert tuple(map(float, parameter["feasibleSpace"]["list"])) == settings.train.regularisation
    [container] = made["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"][
        "containers"
    ]
    assert FEATURES in container["command"]
    assert container["image"] == settings.pipeline.image
