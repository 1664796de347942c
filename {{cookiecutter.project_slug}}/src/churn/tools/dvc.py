"""DVC: versions of the data, and the flow run through it so that nothing runs twice."""

from __future__ import annotations

import logging
import os
import re
import sys
from pathlib import Path
from typing import Any

from churn.errors import Misuse
from churn.settings import Settings
from churn.tools import s3

AGAIN = "What arrived is kept; the same command goes on from here."


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


def push(settings: Settings) -> int:
    """Copy the data versions of this commit to the profile's remote; return how many files went."""
    return _transfer(settings, "push")


def pull(settings: Settings) -> int:
    """Fetch the data versions of this commit from the profile's remote into ``data/``; return how many changed."""
    return _transfer(settings, "pull")


def _transfer(settings: Settings, verb: str) -> int:
    """A file that did not arrive whole is not there: the same command fetches what is missing."""
    from dvc.exceptions import DvcException

    remote = settings.profile.dvc_remote
    with _repo(settings.root, _remote(settings)) as repo:
        try:
            done: Any = getattr(repo, verb)(remote=remote)
        except DvcException as error:
            raise Misuse(f"dvc {verb} with remote '{remote}': {_innermost(error)}. {AGAIN}") from None
        except OSError as error:
            raise Misuse(f"dvc {verb} with remote '{remote}': {s3.said(error)}. {AGAIN}") from None
    return int(done) if isinstance(done, int) else len(done.get("added", [])) + len(done.get("modified", []))


def _remote(settings: Settings) -> dict[str, Any] | None:
    """The remote `eu` as ``[s3]`` in config.toml has it, so that the endpoint stands in one place."""
    if settings.profile.dvc_remote != "eu":
        return None
    s3.announce(settings)
    storage = settings.s3
    where = {"url": storage.address("dvc"), "endpointurl": storage.endpoint, "region": storage.region}
    return {"remote": {"eu": where}}


def _innermost(error: BaseException) -> str:
    """DVC says "3 files failed to upload"; the storage's own word is in the cause."""
    causes = [error]
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    own = str(error).splitlines()[0].rstrip(".")
    said = s3.said(causes[-1]) if isinstance(causes[-1], Exception) else ""
    return own if said in (own, "") else f"{own}: {said}"


def _repo(root: Path, config: dict[str, Any] | None = None) -> Any:
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    # Stages call `churn`: the one of this environment, whether or not it is activated.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # noqa: TID251
    logging.getLogger("dvc").setLevel(logging.CRITICAL)
    try:
        return Repo(str(root), config=config)
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
