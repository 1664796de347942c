"""churn doctor on real servers: it finds what is wrong with each, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import servers
from cloud import Cloud
from small_project import churn, configure, environment, make_project
from sovereign_ml.config.settings import Settings, load
from sovereign_ml.servers import health_checks
from sovereign_ml.servers.doctor import HealthLine, examine

NAMES = [
    "object storage",
    "feature registry",
    "runs and registry",
    "online features",
    "decision log",
]
WRONG = "0" * 32


@pytest.fixture(autouse=True)
def _keys(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """boto reads the keys from this process."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, cloud.environ()[name])


@pytest.fixture(scope="module")
def place(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of which only config.toml is read."""
    return make_project(tmp_path_factory.mktemp("doctor") / "acme-churn", **cloud.knobs())


def look(root: Path, cloud: Cloud, name: str, **given: str) -> HealthLine:
    """The line about ``name``."""
    settings = load("eu", root, environment(root, **cloud.client_environ(**given)))
    [line] = [line for line in lines(settings) if line.name.startswith(name)]
    return line


def lines(settings: Settings) -> list[HealthLine]:
    """Every line of doctor."""
    card = settings.root / "model_card.toml"
    return list(examine(settings.profile, settings.secrets, settings.tracking, card))


def test_every_server_gets_one_line(cloud: Cloud, root: Path, mlflow: servers.Process) -> None:
    done = churn(root, "doctor", "--profile", "eu", **cloud.client_environ())
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(lines) == len(NAMES)
    for line, name in zip(lines, NAMES, strict=True):
        assert name in line
        assert "LOCAL" in line and " ms " in line
    keys = cloud.s3().list_objects_v2(Bucket=cloud.bucket, Prefix="churn-doctor-")
    assert keys["KeyCount"] == 0


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("object storage", {"AWS_SECRET_ACCESS_KEY": ""}, "set AWS_ACCESS_KEY_ID"),
        (
            "runs and registry",
            {"MLFLOW_TRACKING_PASSWORD": WRONG},
            "check MLFLOW_TRACKING_USERNAME",
        ),
        (
            "online features",
            {"CHURN_ONLINE_STORE_URL": "redis://:{wrong}@127.0.0.1:{redis}/0"},
            "password is refused",
        ),
        (
            "online features",
            {"CHURN_ONLINE_STORE_URL": "redis://127.0.0.1:{closed}/0"},
            "start the server",
        ),
        (
            "decision log",
            {"DATABASE_URL": "postgresql://postgres@127.0.0.1:{postgres}/nothing"},
            "does not exist",
        ),
        (
            "decision log",
            {"DATABASE_URL": "postgresql://postgres@no.such.invalid/x"},
            "does not resolve",
        ),
        (
            "feature registry",
            {"CHURN_FEATURE_REGISTRY_URL": ""},
            "CHURN_FEATURE_REGISTRY_URL is not set",
        ),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(
    cloud: Cloud,
    place: Path,
    mlflow: servers.Process,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    change: dict[str, str],
    said: str,
) -> None:
    ports = {
        "redis": cloud.redis_port,
        "postgres": cloud.postgres.port,
        "closed": servers.free_port(),
        "wrong": WRONG,
    }
    given = {key: value.format(**ports) for key, value in change.items()}
    if given.get("AWS_SECRET_ACCESS_KEY") == "":
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.setattr(
            "boto3.DEFAULT_SESSION", None
        )  # it remembers the keys that an earlier test had
    line = look(place, cloud, name, **given)
    assert line.state == "fail"
    assert said in f"{line.found}; {line.do}"
    assert "\n" not in line.found + line.do


def test_a_bucket_that_is_not_there_is_told_from_a_wrong_endpoint(
    cloud: Cloud, tmp_path: Path
) -> None:
    root = make_project(
        tmp_path / "acme-churn", **cloud.knobs(**{"s3.bucket": "nobody-made-this-one"})
    )
    line = look(root, cloud, "object storage")
    assert "NoSuchBucket" in line.found
    assert "create it, or correct [s3] bucket" in line.do
    configure(root, {"s3.endpoint": f"http://127.0.0.1:{servers.free_port()}"})
    assert "start the server" in look(root, cloud, "object storage").do


def test_a_bucket_without_versions_is_told_and_one_with_versions_keeps_none_of_the_probe(
    cloud: Cloud, tmp_path: Path
) -> None:
    bucket = f"{cloud.bucket}-versions"
    cloud.make_bucket(bucket)
    root = make_project(tmp_path / "acme-churn", **cloud.knobs(**{"s3.bucket": bucket}))
    assert "versioning is off" in look(root, cloud, "object storage").do
    cloud.s3().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    line = look(root, cloud, "object storage")
    assert "versions are kept" in line.found
    left: Any = cloud.s3().list_object_versions(Bucket=bucket)
    assert [
        row["Key"] for kind in ("Versions", "DeleteMarkers") for row in left.get(kind, [])
    ] == []


@pytest.mark.parametrize(
    ("name", "known"), [("decision log", "POSTGRES"), ("online features", "REDIS")]
)
def test_a_version_out_of_range_is_told(
    cloud: Cloud, place: Path, monkeypatch: pytest.MonkeyPatch, name: str, known: str
) -> None:
    monkeypatch.setattr(health_checks, known, range(90, 92))
    line = look(place, cloud, name)
    assert (line.state, line.do) == ("warn", "tested with 90 to 91 only")


def test_in_the_profile_local_nothing_has_to_be_reached(place: Path) -> None:
    assert {line.state for line in lines(load("local", place, environment(place)))} == {"ok"}
