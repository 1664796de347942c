"""Remotes in which versions may be: what cannot be searched is never passed over in silence."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from sovereign_ml.data_subjects.stores import dvc_versions
from sovereign_ml.data_subjects.stores.files import Versions, held
from sovereign_ml.errors import Misuse

PERSON = "0" * 32


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project of DVC beside other folders."""
    root = tmp_path / "acme-churn"
    (root / ".dvc").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    return root


def remotes(root: Path, **urls: str) -> None:
    texts = [f"['remote \"{name}\"']\n    url = {url}\n" for name, url in urls.items()]
    (root / ".dvc/config").write_text("".join(texts))


def stored(remote: Path, content: str, *, below: str = "files/md5", end: str = "") -> Path:
    digest = hashlib.md5(content.encode(), usedforsecurity=False).hexdigest() + end
    path = remote / below / digest[:2] / digest[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def test_a_remote_before_its_first_push_is_no_missing_disk(root: Path) -> None:
    remotes(root, local="../../acme-dvc", eu="s3://acme/dvc")
    assert set(dvc_versions.places(root, "local")) == {"cache"}
    stored(root.parent / "acme-dvc", "rows")
    assert set(dvc_versions.places(root, "local")) == {"cache", "remote"}


@pytest.mark.parametrize(
    ("url", "there"),
    [
        ("../../disk", "disk"),  # the folder on which it is mounted
        ("../../disk/churn", "disk"),
        ("../../disk/churn", None),  # an automatic mount takes that folder away too
        ("../../disk/acme/churn", "disk"),
    ],
)
@pytest.mark.parametrize("name", ["local", "backup"])
def test_a_disk_that_is_not_mounted_is_said(
    root: Path, url: str, there: str | None, name: str
) -> None:
    if there:
        (root.parent / there).mkdir()
    remotes(root, **{"local": "../../disk/acme", name: url})
    with pytest.raises(Misuse, match=r"is missing or empty: mount it, or call `churn push`"):
        dvc_versions.places(root, "local")


@pytest.mark.parametrize(
    "url",
    ["ssh://nas.acme.example/dvc", "file:///mnt/dvc", "s3://other/dvc", "https://acme.example/dvc"],
)
def test_a_second_remote_that_cannot_be_searched_is_said(root: Path, url: str) -> None:
    stored(root.parent / "acme-dvc", "rows")
    remotes(root, local="../../acme-dvc", backup=url, eu="s3://acme/dvc")
    with pytest.raises(Misuse, match=r"remote 'backup' is \w+: .* `dvc remote remove backup`"):
        dvc_versions.places(root, "local")


def test_a_remote_within_another_remote_is_searched(root: Path) -> None:
    stored(root.parent / "acme-dvc/churn", "rows")
    remotes(root, nas="../../acme-dvc", local="remote://nas/churn")
    assert dvc_versions.places(root, "local")["remote"] == root.parent / "acme-dvc/churn"


def test_what_other_programs_have_in_the_folder_of_a_remote_is_never_deleted(root: Path) -> None:
    disk = root.parent / "disk"
    rows = stored(disk, f"rows of {PERSON}")
    listing = json.dumps([{"md5": rows.parent.name + rows.name, "relpath": "rows.csv"}])
    ours = {
        rows,
        stored(disk, listing, end=".dir"),
        stored(disk, f"more rows of {PERSON}", below=""),
    }
    for name in ("files/md5/.cut.tmp", ".cut.tmp"):
        (disk / name).write_text(PERSON)
        ours.add(disk / name)
    theirs = [disk / name for name in ("invoices.csv", "de/index.html", "photos/files/a.jpg")]
    for path in theirs:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PERSON)
    assert set(held(disk)) == ours
    store = Versions({"remote": disk}, (), lambda: None)
    store.remove([PERSON], store.find([PERSON]))
    assert [path for path in theirs if not path.is_file()] == []
    assert held(disk) == [] and store.find([PERSON]) == []
