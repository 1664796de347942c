"""A backup in empty servers serves the same model and the same decision log."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

import servers
from cloud import Cloud
from small_project import configure
from sovereign_ml.errors import Misuse
from warm_churn import churn


@pytest.fixture
def empty(cloud: Cloud) -> tuple[str, dict[str, str]]:
    """A new bucket and new databases: the bucket's name and the environment."""
    bucket = f"{cloud.bucket}-restored"
    cloud.make_bucket(bucket)
    cloud.postgres.create("mlflow2", "feast2", "decisions2")
    urls = {
        "CHURN_TRACKING_DATABASE_URL": cloud.postgres.url("mlflow2"),
        "CHURN_FEATURE_REGISTRY_URL": cloud.postgres.url("feast2"),
        "DATABASE_URL": cloud.postgres.url("decisions2"),
    }
    return bucket, cloud.environ(**urls)


def test_a_restored_backup_serves_the_same_model_and_answers_decisions_verify(
    cloud: Cloud,
    root: Path,
    backup: Path,
    empty: tuple[str, dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket, environ = empty
    copy = tmp_path / "acme-churn"
    shutil.copytree(root, copy)
    configure(copy, {"s3.bucket": bucket})
    since = f"{'f' * 64} 2026-01-01 after-the-backup"
    (copy / "governance").mkdir(exist_ok=True)
    (copy / "governance/tombstones.txt").write_text(f"{since}\n")
    done = churn(copy, "servers", "restore", str(backup), "--profile", "eu", **environ)
    assert done.returncode == 0, done.stderr

    told = (
        cloud.s3()
        .get_object(Bucket=bucket, Key="governance/acme-churn/tombstones.txt")["Body"]
        .read()
    )
    assert since in told.decode(), "a run on the cluster must know who was erased after the backup"
    port = servers.free_port()
    changed = "n" * 24  # a new secret is in force after the start, whatever the backup has
    served = cloud.program(
        copy, "servers", "tracking", port, environ | {"MLFLOW_TRACKING_PASSWORD": changed}
    )
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "churn")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", changed)
    try:
        served.start()
        client = MlflowClient(f"http://127.0.0.1:{port}")
        version = client.get_model_version_by_alias("acme-churn", "candidate")
        fetched = client.download_artifacts(version.run_id, "model.json", str(tmp_path))
    finally:
        served.kill()
    assert Path(fetched).read_bytes() == (root / "data/7_bundle/model.json").read_bytes()
    verified = churn(copy, "decisions", "verify", "--profile", "eu", **environ)
    assert verified.returncode == 0, verified.stderr
    assert (
        verified.stdout
        == churn(root, "decisions", "verify", "--profile", "eu", **cloud.environ()).stdout
    )
    assert verified.stdout.startswith("1 entries")
    again = churn(copy, "servers", "restore", str(backup), "--profile", "eu", **environ)
    assert (again.returncode, again.stderr.count("\n")) == (1, 1)
    assert "restore into an empty" in again.stderr


def test_a_changed_backup_is_refused(
    cloud: Cloud, root: Path, backup: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(backup, changed)
    (changed / "decisions.dump").write_bytes(b"other")
    done = churn(root, "servers", "restore", str(changed), "--profile", "eu", **cloud.environ())
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "decisions.dump" in done.stderr


def test_a_backup_never_overwrites_another(cloud: Cloud, root: Path, backup: Path) -> None:
    done = churn(root, "servers", "backup", str(backup), "--profile", "eu", **cloud.environ())
    assert done.returncode == Misuse.exit_code
    assert "exists already" in done.stderr
