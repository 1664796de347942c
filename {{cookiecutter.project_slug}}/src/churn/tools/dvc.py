"""DVC: versions of the data, and the flow run through it so that nothing runs twice."""

from __future__ import annotations

import logging
import os
import re
import sys
from pathlib import Path
from typing import Any

from churn.errors import Misuse


def data_version(folder: Path) -> str:
    """The hash under which DVC stores ``folder``, whether or not it has been committed to DVC yet."""
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db import HashFileDB
    from dvc_objects.fs.local import LocalFileSystem
    from dvc_objects.fs.memory import MemoryFileSystem

    nowhere = HashFileDB(MemoryFileSystem(), "/nowhere")
    _, _, tree = build(nowhere, str(folder), LocalFileSystem(), "md5", dry_run=True)
    return str(tree.hash_info.value)


def reproduce(root: Path) -> None:
    """Run every stage whose inputs, code or parameters have changed, in this project's environment.

    The steps print their own lines. Raises SystemExit with a step's exit code if it stops: its message is out already.
    """
    from dvc.exceptions import DvcException

    with _repo(root) as repo:
        try:
            repo.reproduce()
        except DvcException as error:
            _stop(error)


def push(root: Path, remote: str) -> int:
    """Copy the data versions of this commit to ``remote``; return how many files went."""
    return _transfer(root, "push", remote)


def pull(root: Path, remote: str) -> int:
    """Fetch the data versions of this commit from ``remote`` into ``data/``; return how many files changed."""
    return _transfer(root, "pull", remote)


def _transfer(root: Path, verb: str, remote: str) -> int:
    from dvc.exceptions import DvcException

    with _repo(root) as repo:
        try:
            done: Any = getattr(repo, verb)(remote=remote)
        except DvcException as error:
            raise Misuse(f"dvc {verb} with remote '{remote}': {str(error).splitlines()[0]}") from None
    return int(done) if isinstance(done, int) else len(done.get("added", [])) + len(done.get("modified", []))


def _repo(root: Path) -> Any:
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    # Stages call `churn`: the one of this environment, whether or not it is activated.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # noqa: TID251
    logging.getLogger("dvc").setLevel(logging.CRITICAL)
    try:
        return Repo(str(root))
    except NotDvcRepoError:
        raise Misuse(
            f"{root} is not a DVC project: run this in the folder that has .dvc, or `dvc init` there."
        ) from None


def _stop(error: BaseException) -> None:
    """DVC wraps the stage's failure; the code is only in the text of the innermost one."""
    cause: BaseException | None = error
    while cause:
        if found := re.search(r"exited with (-?\d+)", str(cause)):
            code = int(found[1])
            raise SystemExit(code if code > 0 else 128 - code)
        cause = cause.__cause__
    raise Misuse(f"DVC cannot run the flow: {str(error).splitlines()[0]}")
