"""What breaks in the middle: the flow goes on, or stops with one line and nothing half-done."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bad_storage import bad_storage, busy_for, expired_after
from cloud import Cloud, Done

import servers
from small_project import churn, commit, configure

MODEL = "data/7_bundle/model.json"


@pytest.fixture
def copy(root: Path, flow: Done, tmp_path: Path) -> Path:
    """The project after its run, to break."""
    target = tmp_path / "acme-churn"
    shutil.copytree(root, target)
    return target


@pytest.fixture
def clone(copy: Path, cloud: Cloud, tmp_path: Path) -> Path:
    """A clone without data; the data is pushed."""
    assert churn(copy, "push", "--profile", "eu", **cloud.client_environ()).returncode == 0
    commit(copy)
    target = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(copy), str(target)], check=True)
    return target


def empty_remote(cloud: Cloud) -> None:
    api = cloud.s3()
    for page in api.get_paginator("list_objects_v2").paginate(Bucket=cloud.bucket, Prefix="dvc/"):
        for item in page.get("Contents", []):
            api.delete_object(Bucket=cloud.bucket, Key=item["Key"])


def test_a_push_survives_a_busy_and_slow_storage(copy: Path, cloud: Cloud) -> None:
    empty_remote(cloud)
    with bad_storage(cloud.endpoint, busy_for(3), pause_s=0.2) as endpoint:
        configure(copy, {"s3.endpoint": endpoint})
        done = churn(copy, "push", "--profile", "eu", **cloud.client_environ())
    assert done.returncode == 0, done.stderr


def test_a_pull_survives_a_busy_and_slow_storage(clone: Path, copy: Path, cloud: Cloud) -> None:
    with bad_storage(cloud.endpoint, busy_for(3), pause_s=0.2) as endpoint:
        configure(clone, {"s3.endpoint": endpoint})
        done = churn(clone, "pull", "--profile", "eu", **cloud.client_environ())
    assert done.returncode == 0, done.stderr
    assert (clone / MODEL).read_bytes() == (copy / MODEL).read_bytes()


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
    stopped = churn(copy, "register", "--profile", "eu", **cloud.client_environ())
    mlflow.start()
    assert (stopped.returncode, stopped.stderr.count("\n")) == (2, 1), stopped.stderr
    assert "the server does not answer" in stopped.stderr
    assert (copy / "data/7_bundle/bundle.json").read_bytes() == before
    again = churn(copy, "register", "--profile", "eu", **cloud.client_environ())
    assert again.returncode == 0, again.stderr
    assert "version 1," in again.stdout


def test_a_restarted_postgresql_is_told_in_one_line_while_it_is_away_and_loses_nothing(
    copy: Path, cloud: Cloud
) -> None:
    cloud.postgres.kill()
    away = churn(copy, "features", "--profile", "eu", **cloud.client_environ())
    cloud.postgres.start()
    assert (away.returncode, away.stderr.count("\n")) == (2, 1), away.stderr
    assert "PostgreSQL (CHURN_FEATURE_REGISTRY_URL) does not answer" in away.stderr
    assert cloud.postgres.url("feast") not in away.stderr
    assert (copy / "data/3_features/training.parquet").is_file()
    back = churn(copy, "register", "--profile", "eu", **cloud.client_environ())
    assert back.returncode == 0, back.stderr
    assert "version 1," in back.stdout


def test_two_pipelines_at_once_on_one_registry_both_end_with_the_same_bytes(
    copy: Path, cloud: Cloud, tmp_path: Path
) -> None:
    other = tmp_path / "other" / "acme-churn"
    shutil.copytree(copy, other)
    before = (copy / "data/3_features/training.parquet").read_bytes()
    with ThreadPoolExecutor(2) as pool:
        both = list(
            pool.map(lambda root: churn(root, "features", "--profile", "eu", **cloud.client_environ()), (copy, other))
        )
    assert [done.returncode for done in both] == [0, 0], [done.stderr for done in both]
    assert (copy / "data/3_features/training.parquet").read_bytes() == before
    assert (other / "data/3_features/training.parquet").read_bytes() == before
    assert churn(copy, "parity", "--profile", "eu", **cloud.client_environ()).returncode == 0
