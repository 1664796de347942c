"""Git as the library asks it: about one folder, with nothing that another repository could answer for it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sovereign_ml.config.settings import ENVIRONMENT

__all__ = ["ELSEWHERE", "GitError", "ask", "own_environment"]

ELSEWHERE: Final = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"),
    *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE"),
    *("GIT_REPLACE_REF_BASE", "GIT_LITERAL_PATHSPECS", "GIT_ICASE_PATHSPECS", "GIT_PREFIX"),
    *("GIT_CONFIG", "GIT_IMPLICIT_WORK_TREE", "GIT_INTERNAL_SUPER_PREFIX", "GIT_QUARANTINE_PATH"),
)
"""Variables with which git would answer for another repository, or for a history that was bent."""


class GitError(Exception):
    """Git does not answer. The message is what git says."""


def own_environment() -> dict[str, str]:
    """Return the environment for a program that starts git, without variables of another repository."""
    return {name: value for name, value in ENVIRONMENT.items() if name not in ELSEWHERE}


def ask(root: Path, *arguments: str, extra: Mapping[str, str] | None = None) -> str:
    """Return what git prints. Raises GitError with the first line of what it says when it fails."""
    try:
        done = subprocess.run(
            ["git", "-c", "log.showSignature=false", "-C", str(root), *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            env={
                **own_environment(),
                "LC_ALL": "C",
                "GIT_NO_REPLACE_OBJECTS": "1",
                **(extra or {}),
            },
        )
    except OSError as error:
        raise GitError(f"{error.strerror}: git. Is it installed?") from None
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise GitError(words[0].replace(str(root), "."))
    return done.stdout.rstrip()
