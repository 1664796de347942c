"""Which stored objects a data version still needs: where git does not tell, nothing is deleted."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from silent_git import broken, foreign, no_repository, not_installed
from sovereign_ml import git as library_git
from sovereign_ml.config.connections import DataVersions
from sovereign_ml.data_subjects.stores import dvc_versions, mlflow_runs, s3_versions
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.storage import dvc

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
EARLY, OLD, NEW, SIDE, DROPPED = (f"20{year}-06-01T00:00:00+00:00" for year in range(24, 29))


def git(root: Path, *arguments: str, date: str = NEW) -> None:
    who = ("-c", "user.name=Test", "-c", "user.email=test@acme.example")
    subprocess.run(
        ["git", "-C", str(root), *who, "-c", "commit.gpgsign=false", *arguments],
        check=True,
        capture_output=True,
        env=os.environ | {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date},
    )


def store(cache: Path, content: str, suffix: str = "") -> str:
    """Put an old object into the cache as DVC does; return its hash."""
    digest = hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()
    path = cache / digest[:2] / (digest[2:] + suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, (0, 0))
    return digest + suffix


def version(root: Path, name: str) -> str:
    """Make a data version of one file and name it in dvc.lock; return the hash of its list."""
    file = store(root / "cache", f"rows of {name}")
    listing = json.dumps([{"md5": file, "relpath": "rows.parquet"}])
    digest = store(root / "cache", listing, ".dir")
    (root / "dvc.lock").write_text(f"outs:\n- path: data/1_raw\n  md5: {digest}\n")
    return digest


def record(root: Path, name: str, date: str) -> None:
    version(root, name)
    git(root, "add", "dvc.lock")
    git(root, "commit", "-qm", name, date=date)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository in which commits before and after SINCE name versions, one of them on a side branch."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    root = tmp_path / "acme-churn"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    record(root, "early", EARLY)
    record(root, "old", OLD)
    git(root, "checkout", "-q", "-b", "side")
    record(root, "side", SIDE)
    git(root, "checkout", "-q", "main")
    git(root, "merge", "-q", "-s", "ours", "--no-ff", "-m", "merged away", "side", date=SIDE)
    git(root, "branch", "-qD", "side")
    git(root, "rm", "-q", "dvc.lock")
    git(root, "commit", "-qm", "the lock is taken out", date=DROPPED)
    record(root, "present", DROPPED)
    store(root / "cache", "rows of nobody")
    return root


def unneeded(root: Path) -> set[str]:
    found = dvc_versions.unneeded(root, {"cache": root / "cache"}, SINCE)
    return {path.read_text() for path in found if path.suffix != ".dir"}


def test_every_version_in_force_since_then_is_needed_also_one_that_a_merge_left_out(
    root: Path,
) -> None:
    assert unneeded(root) == {"rows of early", "rows of nobody"}


def again(root: Path, **versions: str) -> None:
    """Start the history anew with these versions, in this order."""
    shutil.rmtree(root / ".git")
    git(root, "init", "-q", "-b", "main")
    for name, date in versions.items():
        record(root, name, date)


@pytest.mark.parametrize("clock", ["1970-01-02T00:00:00+00:00", EARLY])
def test_a_machine_with_a_wrong_clock_makes_no_version_superfluous(root: Path, clock: str) -> None:
    wrong = {f"wrong{number}": clock for number in range(12)}
    again(root, first=EARLY, second=OLD, third=NEW, **wrong)
    needed = {f"rows of {name}" for name in ("second", "third", *wrong)}
    assert not unneeded(root) & needed
    assert "rows of first" in unneeded(root)


def test_a_machine_whose_clock_runs_ahead_keeps_no_version_for_ever(root: Path) -> None:
    again(root, future=DROPPED, first=EARLY, second=OLD)
    assert "rows of first" in unneeded(root)
    assert not unneeded(root) & {"rows of second", "rows of future"}


def test_a_project_in_a_folder_called_runs_has_old_versions_too(root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "runs" / root.name
    elsewhere.parent.mkdir()
    root.rename(elsewhere)
    kept_run = elsewhere / "cache/runs/ab" / ("0" * 64)
    kept_run.parent.mkdir(parents=True)
    kept_run.write_text("a stage and hashes")
    os.utime(kept_run, (0, 0))
    assert unneeded(elsewhere) == {"rows of early", "rows of nobody"}


def test_before_the_first_commit_the_lock_alone_tells(root: Path) -> None:
    shutil.rmtree(root / ".git")
    git(root, "init", "-q")
    assert "rows of old" in unneeded(root) and "rows of present" not in unneeded(root)


def lost_objects(root: Path, _: pytest.MonkeyPatch) -> Path:
    """As after a copy that was cut off, or a full disk."""
    for path in (root / ".git/objects").glob("??/*"):
        path.unlink()
    return root


def unborn_branch(root: Path, _: pytest.MonkeyPatch) -> Path:
    git(root, "checkout", "-q", "--orphan", "empty")
    return root


def shallow(root: Path, _: pytest.MonkeyPatch) -> Path:
    """As most CI services clone."""
    copy = root.with_name("clone")
    git(root, "clone", "-q", "--depth", "1", root.as_uri(), str(copy))
    shutil.copytree(root / "cache", copy / "cache")
    return copy


@pytest.mark.parametrize(
    "silence",
    [not_installed, no_repository, broken, lost_objects, unborn_branch, shallow, foreign],
)
def test_where_git_does_not_tell_no_version_is_deleted(
    root: Path, monkeypatch: pytest.MonkeyPatch, silence: Callable[..., Path]
) -> None:
    root = silence(root, monkeypatch)
    with pytest.raises(
        Refused, match=r"Only git can tell .+ and it says: .+ No version was deleted"
    ):
        unneeded(root)


def test_another_repository_in_the_environment_is_not_asked(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = "stages: {data: {outs: [{path: data/1_raw, md5: f00}]}}\n"
    (root / "dvc.lock").write_text(lock)
    git(root, "commit", "-qam", "as DVC writes it", date=DROPPED)
    expected = unneeded(root)
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    for name in library_git.ELSEWHERE:
        monkeypatch.setenv(name, str(other / ".git"))
    assert unneeded(root) == expected
    assert dvc.pinned(root, "HEAD", "data/1_raw") == "f00"
    with pytest.raises(Misuse, match=r"No dvc.lock at git revision --output=x.*Git says: "):
        dvc.pinned(root, "--output=x", "data/1_raw")
    with pytest.raises(Misuse, match="not a DVC project"):
        dvc_versions.places(root, "local")
    # What DVC starts from here on is not led astray either.
    assert not set(library_git.ELSEWHERE) & set(os.environ)


def test_every_variable_is_known_that_ties_git_to_one_repository() -> None:
    done = subprocess.run(
        ["git", "rev-parse", "--local-env-vars"], capture_output=True, text=True, check=True
    )
    # Settings, such as safe.directory of a CI service, stay; replaced objects are refused anyway.
    stay = {"GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT", "GIT_NO_REPLACE_OBJECTS"}
    assert set(done.stdout.split()) - stay <= set(library_git.ELSEWHERE)


def test_a_damaged_list_of_a_needed_version_is_no_empty_list(root: Path, tmp_path: Path) -> None:
    digest = version(root, "present")
    manifest = root / "cache" / digest[:2] / digest[2:]
    shutil.copytree(root / "cache", tmp_path / "remote")
    folders = {"cache": root / "cache", "remote": tmp_path / "remote"}
    for content in ("", "[]", manifest.read_text()[:-9]):
        manifest.write_text(content)
        with pytest.raises(Refused, match=r"is damaged.+No old version was deleted"):
            unneeded(root)
        kept = dvc_versions.unneeded(root, folders, SINCE)
        assert "rows of present" not in {path.read_text() for path in kept}


def test_a_damaged_list_in_the_bucket_is_no_empty_list() -> None:
    whole = json.dumps([{"md5": "a" * 32, "relpath": "rows.parquet"}])
    digest = hashlib.md5(whole.encode(), usedforsecurity=False).hexdigest()
    key = f"dvc/files/md5/{digest[:2]}/{digest[2:]}.dir"

    def named(*contents: str) -> set[str]:
        texts = dict(enumerate(contents))

        def fetch(_: str, number: str, path: Path) -> bool:
            return bool(path.write_text(texts[int(number)])) or True

        found = [s3_versions.ObjectVersion(key, str(n), "", SINCE, latest=True) for n in texts]
        return s3_versions.named_in(SimpleNamespace(fetch=fetch), found)  # type: ignore[arg-type]

    assert named(whole) == named("[]", whole) == {"a" * 32}
    with pytest.raises(Refused, match=r"in the bucket is damaged"):
        named("[]")


@pytest.mark.parametrize("marker", [".git", "../.git", ".dvc"])
def test_only_without_git_and_dvc_this_is_the_image_on_a_cluster(
    tmp_path: Path, marker: str
) -> None:
    root = tmp_path / "outer/app"
    root.mkdir(parents=True)
    storage: Any = None
    versions = DataVersions(root, "eu", "eu", storage)
    assert versions.from_image
    (root / marker).mkdir()  # whether git can read it does not matter
    assert not versions.from_image


def test_without_its_repository_dvc_says_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    analytics = false\n")
    with pytest.raises(Misuse, match=r"^DVC needs the project's git repository: .*\.$"):
        dvc_versions.places(tmp_path, "local")


def test_a_registry_that_fails_is_not_one_without_aliases(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, RESOURCE_DOES_NOT_EXIST

    one = SimpleNamespace(name="acme-churn", version="7", creation_timestamp=0, tags={})

    class Registry:
        def __init__(self, code: int) -> None:
            self._code = code

        def get_registered_model(self, _: str) -> None:
            raise MlflowException("no answer", error_code=self._code)

        def search_model_versions(self, _: str, **__: Any) -> Any:
            page = [one]
            return type("Page", (list,), {"token": None})(page)

    uri = "http://mlflow.acme.example"
    tracking: Any = SimpleNamespace(project="acme-churn", uri=uri, on_server=True)
    monkeypatch.setattr(mlflow_runs.mlflow, "client", lambda _: Registry(RESOURCE_DOES_NOT_EXIST))
    assert mlflow_runs.old_versions(tracking, SINCE) == [one]
    monkeypatch.setattr(mlflow_runs.mlflow, "client", lambda _: Registry(INTERNAL_ERROR))
    with pytest.raises(Misuse, match="no answer"):
        mlflow_runs.old_versions(tracking, SINCE)
