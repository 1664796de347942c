"""What is deployed is the bundle of a registry version, to the byte, or nothing."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from small_project import PROJECT
from sovereign_ml.bundle.sealed import read_bundle
from sovereign_ml.config.settings import ENVIRONMENT, Settings
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.registry import bundle_store, mlflow
from sovereign_ml.storage.artifacts import read_json

pytestmark = pytest.mark.flow
BASE_IMAGE = "registry.acme.test/python:3.12-slim@sha256:" + "ab" * 32


@pytest.fixture
def version(bundle: Path) -> str:
    return read_bundle(bundle).manifest.version


@pytest.mark.parametrize("alias", [True, False])
def test_a_version_or_alias_gives_the_sealed_bundle_to_the_byte(
    settings: Settings, bundle: Path, version: str, tmp_path: Path, alias: bool
) -> None:
    found = bundle_store.fetch(
        settings.tracking, "candidate" if alias else version, tmp_path / "bundle"
    )
    files = [*read_bundle(bundle).manifest.files, "bundle.json"]
    assert {path.name for path in found.iterdir()} == set(files)
    assert all((found / name).read_bytes() == (bundle / name).read_bytes() for name in files)


@pytest.mark.parametrize("wanted", ["production", "99"])
def test_a_version_that_is_not_there_is_refused_with_those_that_are(
    settings: Settings, version: str, tmp_path: Path, wanted: str
) -> None:
    with pytest.raises(
        Refused, match=rf"no version '{wanted}' of acme-churn\. It has versions {version}\b"
    ):
        bundle_store.fetch(settings.tracking, wanted, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_registry_that_does_not_answer_says_so_in_one_line(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENVIRONMENT, "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = settings.profile.model_copy(update={"tracking_uri": "http://127.0.0.1:1"})
    with pytest.raises(
        Misuse, match=r"MLflow at http://127\.0\.0\.1:1: the server does not answer"
    ) as caught:
        bundle_store.fetch(
            settings.model_copy(update={"profile": away}).tracking,
            "candidate",
            tmp_path / "bundle",
        )
    assert "\n" not in str(caught.value)


@pytest.fixture
def own(settings: Settings, bundle: Path, tmp_path: Path) -> Settings:
    """The project in a folder of its own, with the registry's files."""
    root = tmp_path / "own"
    shutil.copytree(
        settings.root, root, ignore=shutil.ignore_patterns("1_raw", "2_valid", "3_features", ".dvc")
    )
    with sqlite3.connect(root / ".mlflow/mlflow.db") as connection:
        for table, column in (("runs", "artifact_uri"), ("experiments", "artifact_location")):
            sql = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            connection.execute(sql, (settings.root.as_uri(), root.as_uri()))
    return settings.model_copy(update={"root": root})


def _kept(settings: Settings, version: str) -> Path:
    (found,) = (settings.root / ".mlflow/artifacts").rglob(f"bundle/{version}")
    return found


def test_a_bundle_that_was_changed_in_the_registry_is_refused(
    own: Settings, version: str, tmp_path: Path
) -> None:
    model = _kept(own, version) / "model.json"
    model.write_text(model.read_text().replace("0.", "0.1", 1))
    with pytest.raises(
        Refused, match=r"model\.json: SHA-256 .* changed after the bundle was sealed"
    ):
        bundle_store.fetch(own.tracking, version, tmp_path / "bundle")


def test_a_bundle_that_was_exchanged_as_a_whole_is_refused(
    own: Settings, version: str, tmp_path: Path
) -> None:
    manifest = _kept(own, version) / "bundle.json"
    manifest.write_text(manifest.read_text().replace('"profile": "local"', '"profile": "eu"'))
    with pytest.raises(Refused, match="its bundle was changed after registration"):
        bundle_store.fetch(own.tracking, version, tmp_path / "bundle")


def test_a_version_without_a_bundle_is_refused(own: Settings, version: str, tmp_path: Path) -> None:
    mlflow.client(own.tracking).delete_model_version_tag(own.project.name, version, mlflow.SEAL)
    with pytest.raises(Refused, match=f"Version {version} has no bundle in the registry"):
        bundle_store.fetch(own.tracking, version, tmp_path / "bundle")


def test_signatures_reach_the_bundle_in_the_registry(
    settings: Settings, bundle: Path, version: str, tmp_path: Path
) -> None:
    card = shutil.copytree(settings.path("card"), tmp_path / "card")
    (card / "card.md").write_text("signed")
    bundle_store.sign(settings.tracking, version, card)
    found = bundle_store.fetch(settings.tracking, version, tmp_path / "bundle")
    assert (found / "card.md").read_text() == "signed"
    assert (found / "model.json").read_bytes() == (bundle / "model.json").read_bytes()
    bundle_store.sign(settings.tracking, version, settings.path("card"))
    again = bundle_store.fetch(settings.tracking, version, tmp_path / "bundle")
    assert (again / "bundle.json").read_bytes() == (bundle / "bundle.json").read_bytes()


def test_deploy_stages_the_chosen_version_and_not_what_lies_in_the_data_folder(
    own: Settings, version: str
) -> None:
    for name in ("serve", "deploy", "src", "requirements", "vendor"):
        shutil.copytree(PROJECT / name, own.root / name, dirs_exist_ok=True)
    config = own.root / "config.toml"
    config.write_text(
        config.read_text().replace(
            "registry.example.eu/python:3.12-slim@sha256:" + "0" * 64, BASE_IMAGE
        )
    )
    shutil.rmtree(own.path("bundle"))
    command = [
        sys.executable,
        "-c",
        "from sovereign_ml.cli.main import main; main()",
        "deploy",
        "--dry-run",
        "--version",
        version,
    ]
    env = {**ENVIRONMENT, "PYTHONPATH": str(own.root / "src")}
    done = subprocess.run(
        command, cwd=own.root, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"Bundle of version '{version}' from the registry" in done.stdout
    assert (
        "REFUSED app/bundle: would not start in profile eu: the bundle was made with profile local"
        in done.stdout
    )
    staged = read_json(own.root / "build/deploy/app/bundle/bundle.json")
    assert staged["version"] == version


def artifacts(root: Path) -> dict[Path, int]:
    """Return the files of a project's artifacts, with the time of their last change."""
    folder = root / ".mlflow/artifacts"
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in paths}


@pytest.mark.parametrize("place", ["copy", "it's a copy & Größe/mlruns"])
def test_a_copied_project_finds_its_own_artifacts_and_writes_none_into_the_original(
    settings: Settings, version: str, tmp_path: Path, place: str
) -> None:
    before = artifacts(settings.root)
    root = tmp_path / place / "acme-churn"
    shutil.copytree(settings.root, root, ignore=shutil.ignore_patterns("data"))
    copied = replace(settings.tracking, root=root)
    with mlflow.training_run(copied, {"churn.step": "test"}) as run_id:
        mlflow.client(copied).log_dict(run_id, {"here": True}, "note.json")
    assert mlflow.artifact(copied, run_id, "note.json") == {"here": True}
    assert (root / f".mlflow/artifacts/{run_id}/artifacts/note.json").is_file()
    assert artifacts(settings.root) == before


@pytest.mark.parametrize("first", ["/no/such folder", "/no/such/mlruns"])
def test_a_moved_project_finds_its_bundle(
    settings: Settings, bundle: Path, version: str, tmp_path: Path, first: str
) -> None:
    """The folder of which MLflow's store speaks is gone."""
    root = tmp_path / "moved"
    shutil.copytree(settings.root, root, ignore=shutil.ignore_patterns("data"))
    mine, gone = settings.root.absolute().as_uri(), Path(first).as_uri()
    with closing(sqlite3.connect(root / ".mlflow/mlflow.db")) as store, store:
        for table, column in mlflow._STORED_LOCATIONS:
            store.execute(f"UPDATE {table} SET {column} = replace({column}, '{mine}', '{gone}')")
        (left,) = store.execute("SELECT count(*) FROM runs WHERE artifact_uri LIKE 'file:///no/%'")
    assert left[0] > 0
    moved = replace(settings.tracking, root=root)
    found = bundle_store.fetch(moved, version, tmp_path / "bundle")
    assert (found / "bundle.json").read_bytes() == (bundle / "bundle.json").read_bytes()
