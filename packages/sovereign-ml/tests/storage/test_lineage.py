"""Who wrote the model and from which commit: where git does not answer, that is an answer of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from small_project import commit, make_project
from sovereign_ml.storage import lineage

AUTHOR = "Test <test@acme.example>"


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def foreign(root: Path, _: pytest.MonkeyPatch) -> Path:
    """The files belong to somebody else, as in a container or on a shared server."""
    for path in (root, *root.rglob("*")):
        os.chown(path, 1234, 1234)
    return root


def not_installed(root: Path, patch: pytest.MonkeyPatch) -> Path:
    patch.setenv("PATH", str(root / "nothing here"))
    return root


def without_repository(root: Path, _: pytest.MonkeyPatch) -> Path:
    shutil.rmtree(root / ".git")
    return root


def broken(root: Path, _: pytest.MonkeyPatch) -> Path:
    (root / ".git/HEAD").write_text("nonsense")
    return root


def without_commit(root: Path, _: pytest.MonkeyPatch) -> Path:
    shutil.rmtree(root / ".git")
    git(root, "init", "--quiet")
    return root


def in_a_strange_repository(root: Path, _: pytest.MonkeyPatch) -> Path:
    """Copied into a repository that knows nothing of it."""
    outer = root.parent / "outer"
    outer.mkdir()
    (outer / "README").write_text("other")
    commit(outer)
    shutil.copytree(root, outer / "copy", ignore=shutil.ignore_patterns(".git"))
    return outer / "copy"


SILENT = {
    foreign: "detected dubious ownership in repository at '.'",
    not_installed: "No such file or directory: git. Is it installed?",
    without_repository: "not a git repository",
    broken: "not a git repository",
    without_commit: "does not have any commits yet",
    in_a_strange_repository: "no commit holds this folder",
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A committed project, with nothing of the user's settings of git."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for name in ("CHURN_GIT_AUTHOR", "CHURN_GIT_COMMIT", "SUDO_UID"):
        monkeypatch.delenv(name, raising=False)
    return make_project(tmp_path / "acme-churn")


def test_git_knows_the_author_and_the_commit(root: Path) -> None:
    assert lineage.author(root) == lineage.Author(AUTHOR)
    assert lineage.git_commit(root) == git(root, "rev-parse", "HEAD")
    (root / "config.toml").write_text("changed")
    assert lineage.git_commit(root) == git(root, "rev-parse", "HEAD") + "-dirty"


@pytest.mark.parametrize("silence", SILENT)
def test_where_git_does_not_answer_its_words_are_kept_and_an_image_knows_by_its_build(
    root: Path, monkeypatch: pytest.MonkeyPatch, silence: Callable[[Path, pytest.MonkeyPatch], Path]
) -> None:
    if silence is foreign and os.getuid():
        pytest.skip("only root can give files to somebody else")
    root = silence(root, monkeypatch)
    who = lineage.author(root)
    assert (who.name, lineage.git_commit(root)) == ("", "unknown")
    assert who.unknown_because.startswith("git says: ")
    assert SILENT[silence] in who.unknown_because
    assert str(root) not in who.unknown_because
    monkeypatch.setenv("CHURN_GIT_AUTHOR", "Ada Lovelace <ada@acme.example>")
    monkeypatch.setenv("CHURN_GIT_COMMIT", "b" * 40)
    assert lineage.author(root) == lineage.Author("Ada Lovelace <ada@acme.example>")
    assert lineage.git_commit(root) == "b" * 40


def test_a_shallow_clone_does_not_take_the_last_committer_for_the_author(root: Path) -> None:
    (root / "governance").mkdir()
    (root / "governance/approvals.json").write_text("[]")
    git(root, "add", "--all")
    git(
        root,
        "-c",
        "user.name=Bob",
        "-c",
        "user.email=bob@acme.example",
        "commit",
        "--quiet",
        "-m",
        "Approvals",
    )
    assert lineage.author(root).name == AUTHOR
    git(root.parent, "clone", "--quiet", "--depth=1", root.as_uri(), "shallow")
    who = lineage.author(root.parent / "shallow")
    assert who == (
        "",
        "git says: the history of this shallow clone is cut off; fetch it with `git fetch --unshallow`",
    )
    git(root.parent / "shallow", "fetch", "--quiet", "--unshallow")
    assert lineage.author(root.parent / "shallow").name == AUTHOR


def test_a_damaged_index_is_not_taken_for_a_clean_state(root: Path) -> None:
    (root / ".git/index").write_bytes(b"nonsense")
    assert lineage.git_commit(root) == "unknown"
