"""Ways in which git does not answer for a repository. Each returns the folder to ask in."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest


def not_installed(root: Path, patch: pytest.MonkeyPatch) -> Path:
    """The program is on no path."""
    patch.setenv("PATH", str(root / "nothing here"))
    return root


def no_repository(root: Path, _: pytest.MonkeyPatch) -> Path:
    """The folder came without its history."""
    shutil.rmtree(root / ".git")
    return root


def broken(root: Path, _: pytest.MonkeyPatch) -> Path:
    """The repository is damaged."""
    (root / ".git/HEAD").write_text("nonsense")
    return root


def foreign(root: Path, _: pytest.MonkeyPatch) -> Path:
    """The files belong to somebody else, as in a container or on a shared server."""
    if os.getuid():
        pytest.skip("only root can give files to somebody else")
    for path in (root, *root.rglob("*")):
        os.chown(path, 1234, 1234)
    return root
