"""The hooks of `make hooks`: a real commit is refused for what must not leave this machine, and nothing is fetched."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from small_project import environment, make_clone

pytestmark = pytest.mark.flow


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with its hooks installed, as `make hooks` does."""
    root = make_clone(tmp_path_factory.mktemp("hooks") / "acme-churn")
    (root / ".venv").symlink_to(sys.prefix)
    done = subprocess.run(
        [sys.executable, "-m", "pre_commit", "install"],
        cwd=root,
        env=env(root),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return root


def env(root: Path) -> dict[str, str]:
    who = {
        f"GIT_{role}_{what}": "test@acme.example"
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    return environment(root, PRE_COMMIT_HOME=str(root.parent / "fetched"), **who)


def commit(root: Path, **files: str) -> tuple[int, str]:
    """Exit code and words of committing files, named as ``notes_py``; refused ones are taken back."""
    names = {name.replace("_", "."): content for name, content in files.items()}
    for name, content in names.items():
        (root / name).write_text(content)
    subprocess.run(["git", "add", *names], cwd=root, check=True)
    done = subprocess.run(
        ["git", "commit", "-m", "x"],
        cwd=root,
        env=env(root),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        subprocess.run(
            ["git", "rm", "--quiet", "--cached", "--force", *names], cwd=root, check=True
        )
    return done.returncode, done.stdout + done.stderr


def failed(said: str) -> list[str]:
    return [line.split(".")[0] for line in said.splitlines() if line.endswith("Failed")]


def test_a_harmless_file_is_committed_and_nothing_is_fetched(clone: Path) -> None:
    code, said = commit(clone, notes_py='"""Notes."""\n')
    assert code == 0, said
    assert list((clone.parent / "fetched").glob("repo*")) == []


def test_what_must_not_be_committed_is_refused_with_its_place(clone: Path) -> None:
    secret = "AWS_SECRET_ACCESS_KEY=" + "wJalrXUtnFEMI/K7MDENG/bPxRfiCY" + "0123456789\n"
    book = nbformat.v4.new_notebook()
    output = nbformat.v4.new_output("stream", text="customer C0000002 paid 12.50")
    book.cells = [nbformat.v4.new_code_cell("print(rows)", outputs=[output], execution_count=1)]
    code, said = commit(
        clone,
        upload_env="MLFLOW_TRACKING_URI=https://api.wandb.ai\n",
        key_txt=secret,
        broken_py="import os\n\n\ndef f( ) :\n    return 1\n",
        look_ipynb=nbformat.writes(book),
    )
    assert code == 1
    assert failed(said) == [
        "notebooks without outputs",
        "format",
        "lint",
        "addresses, secrets, personal data",
    ], said
    assert "upload.env:1  https://api.wandb.ai" in said
    assert "key.txt:1" in said
    assert "C0000002" not in (clone / "look.ipynb").read_text(), (
        "the output was taken out for the next try"
    )
