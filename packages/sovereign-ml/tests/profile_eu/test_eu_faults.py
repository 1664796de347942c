"""What breaks in the middle: the flow goes on, or stops with one line and nothing half-done."""

from __future__ import annotations

import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import redis

import servers
from bad_storage import bad_storage, busy_for, expired_after
from cloud import Cloud, Done
from small_project import configure
from warm_churn import churn

MODEL = "data/7_bundle/model.json"


@pytest.fixture
def clone(pushed: Path, tmp_path: Path) -> Path:
    """A clone without data; the data is pushed."""
    target = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(pushed), str(target)], check=True)
    return target


def empty_remote(cloud: Cloud) -> None:
    api = cloud.s3()
    for page in api.get_paginator("list_objects_v2").paginate(Bucket=cloud.bucket, Prefix="dvc/"):
        for item in page.get("Contents", []):
            api.delete_object(Bucket=cloud.bucket, Key=item["Key"])


def test_a_push_survives_a_busy_and_slow_storage(copy: Path, cloud: Cloud) -> None:
    empty_remote(cloud)
    with bad_storage(cloud.endpoint, busy_for(3), pause_s=0.05) as endpoint:
        configure(copy, {"s3.endpoint": endpoint})
        done = churn(copy, "push", "--profile", "eu", **cloud.client_environ())
    assert done.returncode == 0, done.stderr


def test_a_pull_survives_a_busy_and_slow_storage(clone: Path, pushed: Path, cloud: Cloud) -> None:
    with bad_storage(cloud.endpoint, busy_for(3), pause_s=0.05) as endpoint:
        configure(clone, {"s3.endpoint": endpoint})
        done = churn(clone, "pull", "--profile", "eu", **cloud.client_environ())
    assert done.returncode == 0, done.stderr
    assert (clone / MODEL).read_bytes() == (pushed / MODEL).read_bytes()


def test_credentials_that_expire_in_a_push_are_said_and_the_next_push_completes_it(
    clone: Path, copy: Path, cloud: Cloud
) -> None:
    empty_remote(cloud)
    with bad_storage(cloud.endpoint, expired_after(6)) as endpoint:
        configure(copy, {"s3.endpoint": endpoint})
        stopped = churn(copy, "push", "--profile", "eu", **cloud.client_environ())
    assert stopped.returncode == 2
    assert "credentials have expired" in stopped.stderr
    configure(copy, {"s3.endpoint": cloud.endpoint})
    assert churn(copy, "push", "--profile", "eu", **cloud.client_environ()).returncode == 0
    assert churn(clone, "pull", "--profile", "eu", **cloud.client_environ()).returncode == 0
    assert (clone / MODEL).read_bytes() == (copy / MODEL).read_bytes()


def test_an_mlflow_server_that_dies_before_register_leaves_nothing_half_registered(
    copy: Path, cloud: Cloud, mlflow: servers.Process
) -> None:
    before = (copy / "data/7_bundle/bundle.json").read_bytes()
    mlflow.kill()
    soon = cloud.client_environ(MLFLOW_HTTP_REQUEST_MAX_RETRIES="1")
    stopped = churn(copy, "register", "--profile", "eu", **soon)
    mlflow.start()
    assert (stopped.returncode, stopped.stderr.count("\n")) == (2, 1), stopped.stderr
    assert "the server does not answer" in stopped.stderr
    assert (copy / "data/7_bundle/bundle.json").read_bytes() == before
    again = churn(copy, "register", "--profile", "eu", **cloud.client_environ())
    assert again.returncode == 0, again.stderr
    assert "version 1," in again.stdout


def registry_is_held(cloud: Cloud) -> bool:
    """Whether a step is writing to the feature registry at this moment."""
    with psycopg.connect(cloud.postgres.url("feast")) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        ).fetchone()
    return bool(row and row[0])


def test_a_postgresql_that_dies_in_the_middle_of_a_step_is_told_in_one_line_and_loses_nothing(
    copy: Path, cloud: Cloud
) -> None:
    before = (copy / "data/3_features/training.parquet").read_bytes()
    with ThreadPoolExecutor(1) as pool:
        step = pool.submit(churn, copy, "features", "--profile", "eu", **cloud.client_environ())
        servers.until(lambda: registry_is_held(cloud))
        cloud.postgres.kill()
        away = step.result()
    cloud.postgres.start()
    assert (away.returncode, away.stderr.count("\n")) == (2, 1), away.stderr
    assert "PostgreSQL (CHURN_FEATURE_REGISTRY_URL) does not answer" in away.stderr
    assert cloud.postgres.url("feast") not in away.stderr
    assert (copy / "data/3_features/training.parquet").read_bytes() == before
    back = churn(copy, "register", "--profile", "eu", **cloud.client_environ())
    assert back.returncode == 0, back.stderr
    assert "version 1," in back.stdout


def test_a_redis_that_goes_away_in_the_middle_is_told_in_one_line_and_filled_again_when_it_is_back(
    copy: Path, cloud: Cloud
) -> None:
    with ThreadPoolExecutor(1) as pool:
        step = pool.submit(
            churn, copy, "servers", "materialise", "--profile", "eu", **cloud.client_environ()
        )
        servers.until(lambda: registry_is_held(cloud))
        cloud.redis.kill()
        away = step.result()
    cloud.redis.start()
    assert (away.returncode, away.stderr.count("\n")) == (2, 1), away.stderr
    assert "Redis (CHURN_ONLINE_STORE_URL) does not answer" in away.stderr
    store = redis.Redis(port=cloud.redis_port, password=cloud.password)
    assert store.dbsize() == 0
    assert (
        churn(
            copy, "servers", "materialise", "--profile", "eu", **cloud.client_environ()
        ).returncode
        == 0
    )
    assert store.dbsize() > 100


def both(roots: tuple[Path, Path], verb: str, cloud: Cloud) -> list[Done]:
    """The same command in two projects at once."""
    with ThreadPoolExecutor(2) as pool:
        return list(
            pool.map(
                lambda root: churn(root, verb, "--profile", "eu", **cloud.client_environ()), roots
            )
        )


def test_two_pipelines_at_once_on_one_feature_registry_both_end_with_the_same_bytes(
    copy: Path, cloud: Cloud, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(copy, tmp_path / "other/acme-churn"))
    before = (copy / "data/3_features/training.parquet").read_bytes()
    done = both((copy, other), "features", cloud)
    assert [one.returncode for one in done] == [0, 0], [one.stderr for one in done]
    assert (copy / "data/3_features/training.parquet").read_bytes() == before
    assert (other / "data/3_features/training.parquet").read_bytes() == before
    assert (
        churn(copy, "servers", "parity", "--profile", "eu", **cloud.client_environ()).returncode
        == 0
    )


def test_two_runs_registered_at_once_become_two_whole_versions(
    copy: Path, cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "churn")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", cloud.password)
    client = MlflowClient(f"http://127.0.0.1:{cloud.mlflow_port}")
    experiment = client.get_experiment_by_name("acme-churn").experiment_id
    roots = copy, Path(shutil.copytree(copy, tmp_path / "other/acme-churn"))
    runs = [client.create_run(experiment).info.run_id for _ in roots]
    for root, run_id in zip(roots, runs, strict=True):
        path = root / "data/4_model/run.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"run_id": run_id}))
    former = client.get_model_version_by_alias("acme-churn", "candidate").version
    done = both(roots, "card", cloud)  # it states the run
    assert [one.returncode for one in done] == [0, 0], [one.stderr for one in done]
    done = both(roots, "register", cloud)
    candidate = client.get_model_version_by_alias("acme-churn", "candidate").run_id
    client.set_registered_model_alias("acme-churn", "candidate", former)  # the other tests read it
    assert [one.returncode for one in done] == [0, 0], [one.stderr for one in done]
    found = {
        v.run_id: v.version
        for v in client.search_model_versions("name = 'acme-churn'")
        if v.run_id in runs
    }
    assert len(set(found.values())) == 2
    for run_id in runs:
        assert {"card/card.json", "card/card.html"} <= {
            item.path for item in client.list_artifacts(run_id, "card")
        }
    assert candidate in runs
