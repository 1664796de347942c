"""What a model was made from: data version, git commit, lock file."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from sovereign_ml.bundle.installed_files import sha256_of
from sovereign_ml.config.settings import ENVIRONMENT

UNKNOWN = "unknown"


class GitError(Exception):
    """Git does not answer. The message is what git says."""


class Author(NamedTuple):
    """Name and e-mail as ``Name <mail>``; where they are unknown, an empty name and the reason."""

    name: str
    unknown_because: str = ""


def git_commit(root: Path) -> str:
    """Return the commit of the project, ``-dirty`` added if files that git tracks have changed.

    In an image it is the commit that the image was built from. It is ``unknown`` where git does
    not answer, and where the last commit does not hold this project.
    """
    watched = ("src", "config.toml", "model_card.toml")
    try:
        head = _git(root, "rev-parse", "HEAD")
        _git(root, "rev-parse", "--verify", "HEAD:./config.toml")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", *watched)
    except GitError:
        return ENVIRONMENT.get("CHURN_GIT_COMMIT") or UNKNOWN
    return f"{head}-dirty" if changed else head


def author(root: Path) -> Author:
    """Return who last changed code, configuration or answers; in an image, who did when it was built.

    A commit of the approvals alone does not count: it would make the approver the author.
    """
    try:
        return Author(_last_author(root))
    except GitError as error:
        built = ENVIRONMENT.get("CHURN_GIT_AUTHOR", "")
        return Author(built) if _names_somebody(built) else Author("", f"git says: {error}")


def _last_author(root: Path) -> str:
    last = _git(root, "log", "-1", "--format=%P%x00%an <%ae>", "--", ".", ":!governance")
    parents, _, name = last.partition("\0")
    if not last:
        raise GitError("no commit holds this folder")
    # The oldest commit of a shallow clone seems to have written every file that is older.
    if not parents and _git(root, "rev-parse", "--is-shallow-repository") == "true":
        raise GitError(
            "the history of this shallow clone is cut off; fetch it with `git fetch --unshallow`"
        )
    if not _names_somebody(name):
        raise GitError("the last commit names no author")
    return name


def _names_somebody(name: str) -> bool:
    return re.search(r"\w", name) is not None


def _git(root: Path, *arguments: str) -> str:
    """Return what git prints. Raises GitError with the first line of what it says when it fails."""
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            env={**ENVIRONMENT, "LC_ALL": "C"},
        )
    except OSError as error:
        raise GitError(f"{error.strerror}: git. Is it installed?") from None
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise GitError(words[0].replace(str(root), "."))
    return done.stdout.strip()


def lock_sha256(root: Path) -> str:
    """sha256 of the lock file that the training environment was installed from."""
    path = root / "requirements/train.lock"
    return sha256_of(path) if path.is_file() else UNKNOWN
