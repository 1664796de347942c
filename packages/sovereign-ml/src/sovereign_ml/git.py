"""Git commands about one folder, shielded from variables that name another repository."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

__all__ = [
    "ELSEWHERE",
    "GitError",
    "ask",
    "forget_other_repositories",
    "in_repository",
    "put_back_on_error",
    "refuse_shallow",
]

ELSEWHERE: Final = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"),
    *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE"),
    *("GIT_REPLACE_REF_BASE", "GIT_LITERAL_PATHSPECS", "GIT_ICASE_PATHSPECS", "GIT_PREFIX"),
    *("GIT_CONFIG", "GIT_IMPLICIT_WORK_TREE", "GIT_INTERNAL_SUPER_PREFIX", "GIT_QUARANTINE_PATH"),
)
"""Variables with which git would answer for another repository or a changed history."""

PLAIN: Final = tuple(
    word
    for setting in (
        *("log.showSignature=false", "log.follow=false", "core.commitGraph=false"),
        "i18n.logOutputEncoding=UTF-8",
    )
    for word in ("-c", setting)
)
"""Options with which git reads parents from the commits and lists every commit of a path.

Names come as UTF-8: in another encoding an author would not be known again. They hold whatever the
repository sets.
"""

ENVIRONMENT: Final = os.environ  # noqa: TID251  git is asked below the settings, too


class GitError(Exception):
    """An error of git, with the message of git as its text."""


def in_repository(root: Path) -> bool:
    """Return whether ``root`` is in a git repository, also in one that git refuses to read."""
    # Git follows links, so a link into a repository is in it.
    folders = (root, *root.resolve().parents)
    return any((folder / ".git").exists() for folder in folders)


def refuse_shallow(root: Path) -> None:
    """Raise GitError for a shallow clone: its oldest commit seems to have changed everything."""
    if ask(root, "rev-parse", "--is-shallow-repository") == "true":
        raise GitError(
            "the history of this shallow clone is cut off; fetch it with `git fetch --unshallow`"
        )


def forget_other_repositories() -> None:
    """Remove these variables from this process, for tools that start git: DVC, MLflow, builds."""
    for name in ELSEWHERE:
        ENVIRONMENT.pop(name, None)


def ask(
    root: Path, *arguments: str, extra: Mapping[str, str] | None = None, errors: str = "replace"
) -> str:
    """Return the output of git. Raises GitError with the line that gives the reason.

    ``errors`` decides on bytes that are not UTF-8: ``surrogateescape`` keeps file names.
    """
    own = {name: value for name, value in ENVIRONMENT.items() if name not in ELSEWHERE}
    try:
        done = subprocess.run(
            # Translated messages could not be parsed.
            ["git", *PLAIN, "-C", str(root), *arguments],
            capture_output=True,
            encoding="utf-8",
            errors=errors,
            check=False,
            env={
                **own,
                "LC_ALL": "C",
                # A replacement or a graft would show another history than the commits themselves.
                "GIT_NO_REPLACE_OBJECTS": "1",
                "GIT_GRAFT_FILE": os.devnull,
                **(extra or {}),
            },
        )
    except OSError as error:
        raise GitError(f"{error.strerror}: git. Is it installed?") from None
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        # Others may be traces that somebody switched on (GIT_TRACE).
        reasons = [word for word in words if word.startswith(("fatal: ", "error: "))] or words
        raise GitError(reasons[0].replace(str(root), "."))
    return done.stdout.rstrip()


@contextmanager
def put_back_on_error(root: Path, path: Path) -> Iterator[None]:
    """Put the file ``path`` below ``root`` and its entry in the index back if the block raises.

    So a commit that git refuses, or that somebody interrupts, leaves nothing half done. Raises
    GitError at once where ``root`` is in no repository.
    """
    file = root / path
    before = file.read_bytes() if file.is_file() else None
    has_folder = file.parent.is_dir()
    # Names that are not ASCII come quoted without -z. Stage 0 is a file without a conflict.
    entry = ask(root, "ls-files", "-z", "--stage", "--full-name", "--", str(path)).rstrip("\0")
    try:
        yield
    except BaseException:
        if before is None:
            file.unlink(missing_ok=True)
        else:
            file.write_bytes(before)
        if not has_folder:
            with suppress(OSError):
                file.parent.rmdir()
        # Not `git reset`: it would also take out what the person had staged before.
        with suppress(GitError):
            if entry:
                fields, place = entry.split("\t", 1)
                mode, blob, _ = fields.split()
                ask(root, "update-index", "--add", "--cacheinfo", f"{mode},{blob},{place}")
            else:
                ask(root, "update-index", "--force-remove", "--", str(path))
        raise
