"""DVC: versions of the data, and the flow run through it so that nothing runs twice."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import yaml

from sovereign_ml import git
from sovereign_ml.config.connections import BUCKET_REMOTE, DataVersions, ObjectStorage
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.git import GitError
from sovereign_ml.storage import s3
from sovereign_ml.storage.artifacts import writing

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


def reproduce(root: Path, steps: Mapping[str, Callable[[], None]]) -> None:
    """Run every stage whose inputs, code or parameters have changed, in this project's environment.

    ``steps`` has the work of commands by their text, such as "churn data". A stage with such a command
    runs in this process, so that the flow imports its libraries once. What the work raises is raised.
    Any other stage runs as a process, prints its own lines, and its exit code becomes that of a SystemExit.
    """
    from dvc.exceptions import DvcException

    failures: list[Exception] = []
    with _repo(root) as repo, _in_this_process(root, steps, failures):
        try:
            repo.reproduce()
        except DvcException as error:
            if failures:
                raise failures[-1] from None
            # Ctrl-C while DVC holds no lock: it complains about the lock, in place of the interrupt.
            if _comes_of(error, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            _stop(error)


def _comes_of(error: BaseException | None, kind: type[BaseException]) -> bool:
    """Return whether an error of ``kind`` stands behind ``error``."""
    while error and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error is not None


@contextmanager
def _in_this_process(
    root: Path, steps: Mapping[str, Callable[[], None]], failures: list[Exception]
) -> Iterator[None]:
    """Have DVC call the functions in ``steps`` where it would start their commands as processes."""
    from dvc.stage import run

    start_process = run._run

    def call(executable: str, command: str, **options: Any) -> None:
        if command not in steps:
            start_process(executable, command, **options)
            return
        try:
            with chdir(root):
                steps[command]()
        except Exception as error:
            failures.append(error)
            raise

    run._run = call
    try:
        yield
    finally:
        run._run = start_process


def push(versions: DataVersions) -> int:
    """Copy the data versions of this commit to the profile's remote; return how many files went."""
    return _transfer(versions, "push")


def pull(versions: DataVersions) -> int:
    """Fetch the data versions of this commit from the profile's remote into ``data/``; return how many changed."""
    return _transfer(versions, "pull")


def pinned(root: Path, revision: str, path: str) -> str:
    """Return the hash of the artifact ``path`` in ``dvc.lock`` at a git revision. Raises Misuse if it is not there."""
    try:
        lock = git.ask(root, "show", "--end-of-options", f"{revision}:./dvc.lock")
    except GitError as error:
        raise Misuse(
            f"No dvc.lock at git revision {revision}: `churn run`, commit, `churn push`, then submit. "
            f"Git says: {error}."
        ) from None
    stages = yaml.safe_load(lock)["stages"].values()
    found = [out["md5"] for stage in stages for out in stage.get("outs", ()) if out["path"] == path]
    if not found:
        raise Misuse(
            f"dvc.lock at git revision {revision} knows no {path}: run `churn run` and commit dvc.lock."
        )
    return str(found[0])


def fetch(storage: ObjectStorage, version: str, target: Path) -> None:
    """Write the folder stored under the hash ``version`` to ``target``, each file checked against its own hash.

    Reads DVC's remote as it lies on S3 (files/md5/ab/cdef…; a folder is a JSON list), so that no git is needed.
    """
    listing = json.loads(content(storage, version))
    with writing(target) as folder:
        for entry in listing:
            path = folder / entry["relpath"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content(storage, entry["md5"]))


def stored(storage: ObjectStorage, version: str) -> bool:
    """Whether the remote has ``version``."""
    return s3.fingerprint(storage, storage.address(_key(version))) is not None


def content(storage: ObjectStorage, version: str) -> bytes:
    """The object stored under the hash ``version``, checked against it."""
    found = s3.read(storage, _key(version))
    seen = hashlib.md5(found, usedforsecurity=False).hexdigest()
    if seen != version.removesuffix(".dir"):
        raise Refused(
            f"The object {version} in the DVC remote has the hash {seen}: it was changed or cut off."
        )
    return found


def _key(version: str) -> str:
    return f"dvc/files/md5/{version[:2]}/{version[2:]}"


def _transfer(versions: DataVersions, verb: str) -> int:
    """A file that did not arrive whole is not there: the same command fetches what is missing."""
    from dvc.exceptions import DvcException

    remote = versions.remote
    with _repo(versions.root, _remote(versions)) as repo:
        try:
            done: Any = getattr(repo, verb)(remote=remote)
        except DvcException as error:
            raise Misuse(
                f"dvc {verb} with remote '{remote}': {_innermost(error)}. {AGAIN}"
            ) from None
        except OSError as error:
            raise Misuse(f"dvc {verb} with remote '{remote}': {s3.said(error)}. {AGAIN}") from None
    return (
        int(done)
        if isinstance(done, int)
        else len(done.get("added", [])) + len(done.get("modified", []))
    )


def _remote(versions: DataVersions) -> dict[str, Any] | None:
    """The remote `eu` as ``[s3]`` in config.toml has it, so that the endpoint stands in one place."""
    if not versions.in_bucket:
        return None
    storage = versions.storage
    s3.announce(storage)
    where = {
        "url": storage.address("dvc"),
        "endpointurl": storage.endpoint,
        "region": storage.region,
    }
    return {"remote": {BUCKET_REMOTE: where}}


def _innermost(error: BaseException) -> str:
    """DVC says "3 files failed to upload"; the storage's own word is in the cause."""
    causes = [error]
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    own = " ".join(str(error).partition("Is your cache up to date")[0].split()).rstrip(".")
    said = s3.said(causes[-1]) if isinstance(causes[-1], Exception) else ""
    return own if said in (own, "") else f"{own}: {said}"


def _repo(root: Path, config: dict[str, Any] | None = None) -> Any:
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo
    from dvc.scm import SCMError

    git.forget_other_repositories()
    # Stages call `churn`: the one of this environment, whether or not it is activated.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # noqa: TID251
    for name in ("dvc", "dvc_data", "dvc_objects"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        return Repo(str(root), config=config)
    except NotDvcRepoError:
        raise Misuse(
            f"{root} is not a DVC project: run this in the folder that has .dvc, or `dvc init` there."
        ) from None
    except SCMError as error:
        raise Misuse(f"DVC needs the project's git repository: {error}.") from None


def _stop(error: BaseException) -> None:
    """DVC wraps the stage's failure; the code is only in the text of the innermost one."""
    causes = [error]
    while cause := causes[-1].__cause__:
        causes.append(cause)
    for cause in causes:
        if found := re.search(r"exited with (-?\d+)", str(cause)):
            code = int(found[1])
            raise SystemExit(code if code > 0 else 128 - code)
    raise Misuse(f"DVC cannot run the flow: {' '.join(str(causes[-1]).split())}")
