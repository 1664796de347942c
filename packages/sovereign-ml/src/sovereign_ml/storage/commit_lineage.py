"""Lineage of a model: git commit, authors and lock file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from sovereign_ml import git
from sovereign_ml.bundle.installed_files import sha256_of
from sovereign_ml.config.settings import ENVIRONMENT
from sovereign_ml.git import GitError

UNKNOWN = "unknown"
COVERED = ("src", "serve", "config.toml", "model_card.toml", "pyproject.toml", "dvc.yaml")
"""Files that an approval covers: answers, contract, features, model and configuration."""


class Authors(NamedTuple):
    """Names and e-mails as ``Name <mail>``, or the reason why they are unknown."""

    names: tuple[str, ...]
    unknown_because: str = ""


def git_commit(root: Path) -> str:
    """Return the commit of the project, ``-dirty`` added if it does not hold what runs.

    What runs are the files that an approval covers, new ones too, see `uncommitted`. In an image
    it is the commit that the image was built from. It is ``unknown`` where git does not answer, and
    where the last commit does not hold this project.
    """
    try:
        head = git.ask(root, "rev-parse", "HEAD")
        # It fails where the project is a folder in another repository that does not hold it.
        changed = uncommitted(root)
    except GitError:
        return ENVIRONMENT.get("CHURN_GIT_COMMIT") or UNKNOWN
    return f"{head}-dirty" if changed else head


def authors(root: Path, since: str = "") -> Authors:
    """Return everybody who changed files that an approval covers, see `authors_by_git`.

    In an image, where there is no git, the build recorded them.
    """
    try:
        return Authors(authors_by_git(root, since))
    except GitError as error:
        built = re.split(r"[;\n]", ENVIRONMENT.get("CHURN_GIT_AUTHOR", ""))
        named = tuple(name.strip() for name in built if _names_somebody(name))
        return Authors(named) if named else Authors((), f"git says: {error}")


def uncommitted(root: Path) -> list[str]:
    """Return the files that an approval covers and that differ from the last commit.

    Raises GitError where git does not answer.
    """
    git.ask(root, "rev-parse", "--verify", "HEAD:./config.toml")
    changed = git.ask(root, "status", "--porcelain=v1", "--no-renames", "-uall", "--", *COVERED)
    hidden = git.ask(root, "ls-files", "-v", "--", *COVERED).splitlines()
    # Files that git was told to overlook: `update-index --assume-unchanged` and `--skip-worktree`.
    overlooked = [line[2:] for line in hidden if line[0].islower() or line[0] == "S"]
    return sorted({line[3:].strip() or line for line in changed.splitlines()} | set(overlooked))


def authors_by_git(root: Path, since: str = "") -> tuple[str, ...]:
    """Return everybody who changed files that an approval covers after ``since``, or ever.

    Authors, committers and people in a trailer ``Co-authored-by`` count. Where nothing changed
    since that commit, the last change counts. Where that commit is no ancestor of the present one,
    the whole history counts. Raises GitError where git does not answer.
    """
    git.refuse_shallow(root)
    git.ask(root, "rev-parse", "--verify", "HEAD:./config.toml")
    people = (
        _named(root, f"{since}..HEAD") or _named(root, "HEAD", "-1")
        if since and _leads_to(root, since)
        else _named(root, "HEAD")
    )
    if not people:
        raise GitError("no commit holds this folder")
    if not all(_names_somebody(name) for name in people):
        raise GitError("a commit names no author")
    return tuple(sorted(set(people)))


def _named(root: Path, commits: str, *more: str) -> list[str]:
    """Return the people whom the commits name, as ``Name <mail>``."""
    helpers = "%(trailers:key=Co-authored-by,valueonly)"
    form = f"--format=%x00%e%n%an <%ae>%n%cn <%ce>%n{helpers}"
    # Without --full-history git hides changes that a merge undid.
    text = git.ask(root, "log", "--full-history", form, *more, commits, "--", *COVERED)
    if "\N{REPLACEMENT CHARACTER}" in text:
        raise GitError("a commit names somebody in letters that are not UTF-8")
    people = []
    for entry in text.split("\0")[1:]:
        encoding, *lines = entry.split("\n")
        people += [_as_written(line.strip(), encoding) for line in lines if line.strip()]
    return people


def _as_written(line: str, encoding: str) -> str:
    """Return a line as it is in a commit, which may claim another ``encoding`` than its UTF-8."""
    try:
        return line.encode(encoding or "utf-8").decode("utf-8")
    except (UnicodeError, LookupError):
        return line


def _leads_to(root: Path, commit: str) -> bool:
    try:
        git.ask(root, "merge-base", "--is-ancestor", commit, "HEAD")
    except GitError:
        return False
    return True


def _names_somebody(name: str) -> bool:
    return re.search(r"\w", name) is not None


def lock_sha256(root: Path) -> str:
    """Return the SHA-256 of the lock file from which the training environment was installed."""
    path = root / "requirements/train.lock"
    return sha256_of(path) if path.is_file() else UNKNOWN
