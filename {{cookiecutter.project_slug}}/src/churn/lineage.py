"""What a model was made from: data version, git commit, lock file."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from churn.settings import ENVIRONMENT, Settings


def git_commit(root: Path) -> str:
    """The commit of the project, with ``-dirty`` if files that git tracks have changed; in an image, the image's.

    ``unknown`` where neither is known.
    """
    head = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", "src", "config.toml", "model_card.toml")
    if not head:
        return ENVIRONMENT.get("CHURN_GIT_COMMIT") or "unknown"
    return f"{head}-dirty" if changed else head


def author(root: Path) -> str:
    """Name and e-mail of who last changed code, configuration or answers; in an image, as it was built; else empty.

    A commit of the approvals alone does not count: it would make the approver the author.
    """
    found = _git(root, "log", "-1", "--format=%an <%ae>", "--", ".", ":!governance")
    return found or ENVIRONMENT.get("CHURN_GIT_AUTHOR", "")


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def lock_sha256(settings: Settings) -> str:
    """sha256 of the lock file that the training environment was installed from."""
    path = settings.root / "requirements/train.lock"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "unknown"


def file_sha256(path: Path) -> str:
    """sha256 of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
