"""churn doctor: it finds what is wrong with each server, and leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cloud import Cloud, make_eu_project

import servers
from small_project import churn

NAMES = ["object storage", "feature registry", "runs and registry", "online features", "decision log"]
WRONG = "0" * 32


def test_every_server_gets_one_line(cloud: Cloud, root: Path, mlflow: servers.Process) -> None:
    done = churn(root, "doctor", "--profile", "eu", **cloud.client_environ())
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(lines) == len(NAMES)
    for line, name in zip(lines, NAMES, strict=True):
        assert name in line
        assert "LOCAL" in line and " ms " in line


def test_it_leaves_no_object_behind_and_asks_for_versions_of_the_bucket(
    cloud: Cloud, root: Path, mlflow: servers.Process
) -> None:
    done = churn(root, "doctor", "--profile", "eu", "--json", **cloud.client_environ())
    storage = json.loads(done.stdout)[0]
    assert "versioning is off" in storage["do"]
    keys = cloud.s3().list_objects_v2(Bucket=cloud.bucket, Prefix="churn-doctor-")
    assert keys["KeyCount"] == 0


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("runs and registry", {"MLFLOW_TRACKING_PASSWORD": WRONG}, "check MLFLOW_TRACKING_PASSWORD"),
        ("online features", {"CHURN_ONLINE_STORE_URL": "redis://:{wrong}@127.0.0.1:{redis}/0"}, "password is refused"),
        ("online features", {"CHURN_ONLINE_STORE_URL": "redis://127.0.0.1:{closed}/0"}, "start the server"),
        ("decision log", {"DATABASE_URL": "postgresql://postgres@127.0.0.1:{postgres}/nothing"}, "does not exist"),
        ("decision log", {"DATABASE_URL": "postgresql://postgres@no.such.invalid/x"}, "does not resolve"),
        ("feature registry", {"CHURN_FEATURE_REGISTRY_URL": ""}, "CHURN_FEATURE_REGISTRY_URL is not set"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(
    cloud: Cloud, root: Path, mlflow: servers.Process, name: str, change: dict[str, str], said: str
) -> None:
    ports = {"redis": cloud.redis_port, "postgres": cloud.postgres.port, "closed": servers.free_port(), "wrong": WRONG}
    given = {key: value.format(**ports) for key, value in change.items()}
    done = churn(root, "doctor", "--profile", "eu", **cloud.client_environ(**given))
    assert done.returncode == 1
    [line] = [line for line in done.stdout.splitlines() if line.startswith("fail")]
    assert name in line
    assert said in line


def test_a_bucket_that_is_not_there_is_told_from_a_wrong_endpoint(cloud: Cloud, tmp_path: Path) -> None:
    root = make_eu_project(tmp_path / "acme-churn", cloud, **{"s3.bucket": "nobody-made-this-one"})
    done = churn(root, "doctor", "--profile", "eu", **cloud.client_environ())
    assert "NoSuchBucket" in done.stdout
    assert "create it, or correct [s3] bucket" in done.stdout


def test_in_the_profile_local_nothing_has_to_be_reached(root: Path) -> None:
    done = churn(root, "doctor", "--profile", "local")
    assert done.returncode == 0
    assert all(line.startswith("ok") for line in done.stdout.splitlines())
