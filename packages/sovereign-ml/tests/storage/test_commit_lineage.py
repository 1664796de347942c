"""Who wrote the model and from which commit: where git does not answer, that is an answer of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from silent_git import broken, foreign, no_repository, not_installed
from small_project import PROJECT, commit, make_project
from sovereign_ml.git import GitError, in_repository
from sovereign_ml.storage import commit_lineage

AUTHOR = "Test <test@acme.example>"


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


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
    no_repository: "not a git repository",
    broken: "not a git repository",
    without_commit: "Needed a single revision",
    in_a_strange_repository: "Needed a single revision",
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
    assert commit_lineage.authors(root) == commit_lineage.Authors((AUTHOR,))
    assert commit_lineage.git_commit(root) == git(root, "rev-parse", "HEAD")
    (root / "config.toml").write_text("changed")
    assert commit_lineage.git_commit(root) == git(root, "rev-parse", "HEAD") + "-dirty"


@pytest.mark.parametrize(
    "file",
    [
        *("src/churn/model.py", "serve/service.py", "serve/extra/words.py"),
        *("pyproject.toml", "dvc.yaml", "model_card.toml"),
    ],
)
def test_a_file_that_runs_and_is_not_in_the_commit_shows(root: Path, file: str) -> None:
    head = git(root, "rev-parse", "HEAD")
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    with (root / file).open("a") as opened:
        opened.write("# changed\n")
    assert commit_lineage.git_commit(root) == f"{head}-dirty"
    commit(root)
    assert not commit_lineage.git_commit(root).endswith("-dirty")
    git(root, "update-index", "--skip-worktree", file)
    assert commit_lineage.git_commit(root).endswith("-dirty")


@pytest.mark.parametrize("silence", SILENT)
def test_where_git_does_not_answer_its_words_are_kept_and_an_image_knows_by_its_build(
    root: Path, monkeypatch: pytest.MonkeyPatch, silence: Callable[[Path, pytest.MonkeyPatch], Path]
) -> None:
    root = silence(root, monkeypatch)
    who = commit_lineage.authors(root)
    assert (who.names, commit_lineage.git_commit(root)) == ((), "unknown")
    assert who.unknown_because.startswith("git says: ")
    assert SILENT[silence] in who.unknown_because
    assert str(root) not in who.unknown_because
    monkeypatch.setenv("CHURN_GIT_AUTHOR", "Ada Lovelace <ada@acme.example>")
    monkeypatch.setenv("CHURN_GIT_COMMIT", "b" * 40)
    assert commit_lineage.authors(root) == commit_lineage.Authors(
        ("Ada Lovelace <ada@acme.example>",)
    )
    with pytest.raises(GitError):  # four eyes ask git itself, not a variable
        commit_lineage.authors_by_git(root)
    with pytest.raises(GitError):
        commit_lineage.uncommitted(root)
    assert commit_lineage.git_commit(root) == "b" * 40


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
    assert commit_lineage.authors(root).names == (AUTHOR,)
    git(root.parent, "clone", "--quiet", "--depth=1", root.as_uri(), "shallow")
    who = commit_lineage.authors(root.parent / "shallow")
    assert who == (
        (),
        "git says: the history of this shallow clone is cut off; fetch it with `git fetch --unshallow`",
    )
    git(root.parent / "shallow", "fetch", "--quiet", "--unshallow")
    assert commit_lineage.authors(root.parent / "shallow").names == (AUTHOR,)


def test_a_damaged_index_is_not_taken_for_a_clean_state(root: Path) -> None:
    (root / ".git/index").write_bytes(b"nonsense")
    assert commit_lineage.git_commit(root) == "unknown"


def change(root: Path, file: str, name: str, message: str = "Change", **more: str) -> str:
    """Commit a change of ``file`` as ``name``; return the commit."""
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"# {name} {message}\n" + (path.read_text() if path.exists() else ""))
    mail = f"{name.split(maxsplit=1)[0].lower()}@acme.example"
    who = ("-c", f"user.name={name}", "-c", f"user.email={mail}", "-c", "commit.gpgsign=false")
    git(root, "add", "--all")
    arguments = [f"--{key}={value}" for key, value in more.items()]
    git(root, *who, "commit", "--quiet", "-m", message, *arguments)
    return git(root, "rev-parse", "HEAD")


def test_everybody_who_changed_what_is_approved_since_the_last_version_is_an_author(
    root: Path,
) -> None:
    approved = change(root, "config.toml", "Old Hand")
    change(root, "model_card.toml", "Ada Lovelace")
    change(root, "src/churn/features.py", "Grace Hopper")
    change(root, "README.md", "Rita Reader")
    change(root, "src/churn/model.py", "Alan Turing", author="Ann Other <ann@acme.example>")
    change(root, "serve/own.py", "Max Pair", "Pair\n\nCo-authored-by: Co Writer <co@acme.example>")
    names = {name.partition(" <")[0] for name in commit_lineage.authors_by_git(root, approved)}
    everybody = {
        "Ada Lovelace",
        "Grace Hopper",
        "Ann Other",
        "Alan Turing",
        "Max Pair",
        "Co Writer",
    }
    assert names == everybody
    assert set(commit_lineage.authors_by_git(root)) >= {AUTHOR, "Old Hand <old@acme.example>"}


def test_a_commit_that_leads_nowhere_shortens_no_history_and_no_change_has_its_last_author(
    root: Path,
) -> None:
    change(root, "model_card.toml", "Ada Lovelace")
    assert set(commit_lineage.authors_by_git(root, "f" * 40)) == {
        AUTHOR,
        "Ada Lovelace <ada@acme.example>",
    }
    head = git(root, "rev-parse", "HEAD")
    assert commit_lineage.authors_by_git(root, head) == ("Ada Lovelace <ada@acme.example>",)


def test_another_repository_in_the_environment_does_not_answer(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(root, tmp_path / "other")
    change(root, "model_card.toml", "Ada Lovelace")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    assert "Ada Lovelace <ada@acme.example>" in commit_lineage.authors_by_git(root)


def test_the_build_of_the_image_names_the_same_people(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(root, "dvc.yaml", "Ada Lovelace")
    change(root, "src/churn/model.py", "Alan Turing", author="Ann Other <ann@acme.example>")
    change(root, "serve/own.py", "Max Pair", "Pair\n\nCo-authored-by: Co Writer <co@acme.example>")
    change(root, "documents.toml", "Rita Reader")
    comment = (PROJECT / "infra/Dockerfile").read_text(encoding="utf-8").partition("\nARG")[0]
    text = re.sub(r"\n# +", "\n", comment).replace("\\\n", " ")
    [command] = re.findall(r'GIT_AUTHOR="\$\((.*)\)"', text)
    done = subprocess.run(
        ["sh", "-c", command], cwd=root, capture_output=True, text=True, check=True
    )
    people = commit_lineage.authors_by_git(root)
    assert "Ada Lovelace <ada@acme.example>" in people
    [command] = re.findall(r'GIT_COMMIT="(.*?)" ', text)
    show = ["sh", "-c", f'printf %s "{command}"']
    for expected in (head := git(root, "rev-parse", "HEAD"), f"{head}-dirty"):
        commit_now = subprocess.run(show, cwd=root, capture_output=True, text=True, check=True)
        assert commit_now.stdout == expected
        (root / "serve").mkdir(exist_ok=True)
        (root / "serve/new.py").write_text("changed")
    monkeypatch.setenv("CHURN_GIT_AUTHOR", done.stdout)
    monkeypatch.setenv("PATH", "")
    assert set(commit_lineage.authors(root).names) == set(people)


@pytest.mark.parametrize("header", ["", "ISO-8859-1"], ids=["plain", "claimed"])
@pytest.mark.parametrize("written", ["utf-8", "iso-8859-1"])
@pytest.mark.parametrize("setting", ["i18n.logOutputEncoding", "i18n.commitEncoding"])
def test_an_author_is_known_by_the_same_name_in_every_encoding_of_git(
    root: Path, setting: str, written: str, header: str
) -> None:
    change(root, "config.toml", "Jo M")
    form = git(root, "cat-file", "commit", "HEAD").replace("Jo M", "Jörg Müller")
    if header:
        form = form.replace("\n\n", f"\nencoding {header}\n\n", 1)
    hash_object = ["git", "-C", str(root), "hash-object", "-t", "commit", "-w", "--stdin"]
    done = subprocess.run(hash_object, input=form.encode(written), capture_output=True, check=True)
    git(root, "reset", "--quiet", "--hard", done.stdout.decode().strip())
    git(root, "config", setting, "ISO-8859-1")
    if written == "iso-8859-1" and not header:
        with pytest.raises(GitError, match="letters that are not UTF-8"):
            commit_lineage.authors_by_git(root)
        assert commit_lineage.authors(root).names == ()
    else:
        assert "Jörg Müller <jo@acme.example>" in commit_lineage.authors_by_git(root)


def test_a_link_into_a_repository_is_in_it(root: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(root / "src")
    assert in_repository(link)
    assert not in_repository(tmp_path / "nothing")


@pytest.mark.parametrize("how", ["edited", "staged", "new", "assume-unchanged", "skip-worktree"])
def test_what_is_not_committed_is_named(root: Path, how: str) -> None:
    assert commit_lineage.uncommitted(root) == []
    path = root / ("src/own.py" if how == "new" else "model_card.toml")
    path.parent.mkdir(exist_ok=True)
    if how in ("assume-unchanged", "skip-worktree"):
        git(root, "update-index", f"--{how}", "model_card.toml")
    path.write_text("changed")
    if how == "staged":
        git(root, "add", "model_card.toml")
    assert commit_lineage.uncommitted(root) == [str(path.relative_to(root))]
