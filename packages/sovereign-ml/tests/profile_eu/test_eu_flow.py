"""The whole flow on real servers: PostgreSQL, Redis, S3, MLflow; then DVC, a clone, and the same bytes as locally."""

import json
import subprocess
from pathlib import Path

import psycopg
import pytest
import redis

from cloud import Cloud, Done, make_eu_project
from small_project import churn, environment
from sovereign_ml.config.settings import load
from sovereign_ml.storage import dvc

STEPS = (
    "1 data",
    "2 validate",
    "3 features",
    "4 train",
    "5 evaluate",
    "6 card",
    "7 register",
    "8 score",
)


def test_the_whole_flow_runs_on_servers_and_leaves_nothing_of_the_local_stores(
    flow: Done, root: Path
) -> None:
    assert all(step in flow.stdout for step in STEPS)
    assert json.loads((root / "data/7_bundle/bundle.json").read_text())["profile"] == "eu"
    assert not [path for path in root.rglob("*.db") if "data" in path.parts]
    assert not (root / ".mlflow").exists()


def test_the_model_is_byte_for_byte_the_one_of_the_profile_local(
    flow: Done, root: Path, model: Path
) -> None:
    assert (root / "data/4_model/model.json").read_bytes() == (model / "model.json").read_bytes()


@pytest.mark.usefixtures("flow")
def test_features_stand_on_s3_in_redis_and_in_the_sql_registry(cloud: Cloud) -> None:
    keys = [item["Key"] for item in cloud.s3().list_objects_v2(Bucket=cloud.bucket)["Contents"]]
    assert any(
        key.startswith("feast/acme-churn/") and key.endswith("/snapshots.parquet") for key in keys
    )
    assert redis.Redis(port=cloud.redis_port, password=cloud.password).dbsize() > 100
    with psycopg.connect(cloud.postgres.url("feast")) as connection:
        found = connection.execute("SELECT feature_view_name FROM feature_views").fetchall()
    assert found == [("customer_snapshot",)]


@pytest.mark.usefixtures("flow")
def test_runs_registry_and_artifacts_are_on_the_mlflow_server_and_its_client_has_no_key_of_the_storage(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "churn")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", cloud.password)
    server = f"http://127.0.0.1:{cloud.mlflow_port}"
    client = MlflowClient(server, server)
    version = client.get_model_version_by_alias("acme-churn", "candidate")
    assert client.get_run(version.run_id).data.metrics["roc_auc"] > 0.6
    fetched = client.download_artifacts(version.run_id, "model.json", str(tmp_path))
    assert "log_odds" in Path(fetched).read_text()
    stored = cloud.s3().list_objects_v2(Bucket=cloud.bucket, Prefix="mlflow/")["Contents"]
    assert any(item["Key"].endswith("model.json") for item in stored)


@pytest.mark.usefixtures("flow")
def test_a_second_run_does_nothing(cloud: Cloud, root: Path) -> None:
    done = churn(root, "run", "--profile", "eu", **cloud.client_environ())
    assert done.stdout.count("unchanged") == len(STEPS), done.stdout + done.stderr


def test_what_is_pushed_is_pulled_in_a_fresh_clone_and_nothing_runs_again(
    cloud: Cloud, pushed: Path, tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(pushed), str(clone)], check=True)
    pulled = churn(clone, "pull", "--profile", "eu", **cloud.client_environ())
    assert pulled.returncode == 0, pulled.stderr
    assert (clone / "data/7_bundle/model.json").read_bytes() == (
        pushed / "data/7_bundle/model.json"
    ).read_bytes()
    again = churn(clone, "run", "--profile", "eu", **cloud.client_environ())
    assert again.stdout.count("unchanged") == len(STEPS), again.stdout + again.stderr


def test_a_katib_trial_fetches_the_features_by_their_hash_and_finds_the_figure_of_step_4(
    cloud: Cloud, pushed: Path
) -> None:
    settings = load("eu", pushed, environment(pushed, **cloud.client_environ()))
    version = dvc.pinned(settings.root, "HEAD", str(settings.paths.features))
    arguments = ("--c", "1.0", "--features-version", version, "--profile", "eu")
    done = churn(pushed, "kubeflow", "trial", *arguments, **cloud.client_environ())
    [wanted] = [
        row
        for row in json.loads((pushed / "data/4_model/search.json").read_text())
        if row["c"] == 1.0
    ]
    assert done.stdout == f"log_loss={wanted['log_loss']}\n", done.stderr


@pytest.mark.usefixtures("flow")
def test_an_object_of_the_remote_that_was_cut_off_is_refused(cloud: Cloud, root: Path) -> None:
    version = "aa" + "1" * 30 + ".dir"
    cloud.s3().put_object(
        Bucket=cloud.bucket, Key=f"dvc/files/md5/{version[:2]}/{version[2:]}", Body=b"[]"
    )
    arguments = ("--c", "1.0", "--features-version", version, "--profile", "eu")
    done = churn(root, "kubeflow", "trial", *arguments, **cloud.client_environ())
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "was changed or cut off" in done.stderr


def test_transactions_may_lie_on_s3_and_no_copy_of_them_stays_on_the_disk(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join(f"c{n},2026-01-{n % 28 + 1:02d},9.5,EUR,toys\n" for n in range(400))
    body = f"customer_id,ordered_at,amount,currency,category\n{rows}"
    cloud.s3().put_object(Bucket=cloud.bucket, Key="raw/orders.csv", Body=body.encode())
    where = f"s3://{cloud.bucket}/raw/orders.csv"
    wanted = {"data.transactions": where, "data.customers": "", "data.lawful_basis": "contract"}
    root = make_eu_project(tmp_path / "acme-churn", cloud, **wanted)
    spare = tmp_path / "tmp"
    spare.mkdir()
    done = churn(root, "data", "--profile", "eu", **cloud.client_environ(TMPDIR=str(spare)))
    assert done.returncode == 0, done.stderr
    assert "400 read = 400 kept" in done.stdout
    assert not list(spare.rglob("*.csv"))
    assert not list(root.rglob("orders*"))


def test_an_object_that_is_not_there_is_one_line(cloud: Cloud, tmp_path: Path) -> None:
    wanted = {
        "data.transactions": f"s3://{cloud.bucket}/raw/none.csv",
        "data.customers": "",
        "data.lawful_basis": "contract",
    }
    root = make_eu_project(tmp_path / "acme-churn", cloud, **wanted)
    done = churn(root, "data", "--profile", "eu", **cloud.client_environ())
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "raw/none.csv" in done.stderr
