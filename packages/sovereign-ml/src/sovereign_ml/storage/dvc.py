"""DVC: versions of the data, and a flow that repeats only stages with changed inputs."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import signal
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

from sovereign_ml import git
from sovereign_ml.config.connections import BUCKET_REMOTE, DataVersions, ObjectStorage
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.git import GitError
from sovereign_ml.storage import s3
from sovereign_ml.storage.artifacts import writing

AGAIN = "Files that arrived are kept: repeat the command."


def data_version(folder: Path) -> str:
    """Return the hash under which DVC stores ``folder``, even before it is committed to DVC."""
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db import HashFileDB
    from dvc_objects.fs.local import LocalFileSystem
    from dvc_objects.fs.memory import MemoryFileSystem

    # DVC's function needs a database. A dry run leaves it empty.
    nowhere = HashFileDB(MemoryFileSystem(), "/nowhere")
    _, _, tree = build(nowhere, str(folder), LocalFileSystem(), "md5", dry_run=True)
    return str(tree.hash_info.value)


def reproduce(root: Path, steps: Mapping[str, Callable[[], None]]) -> None:
    """Run every stage whose inputs, code or parameters have changed, in this project's environment.

    ``steps`` maps commands such as "churn data" to functions. A stage with such a command runs in
    this process, so that the flow imports its libraries once, and its errors are raised. Any other
    stage runs as a process, and its exit code becomes that of a SystemExit. Ctrl-C is raised as
    KeyboardInterrupt, at the latest before the next stage of the mapping and at the end.
    """
    from dvc.exceptions import DvcException

    failures: list[Exception] = []
    with (
        _repo(root) as repo,
        _remembered_interrupt() as raise_again,
        _in_this_process(root, steps, failures, raise_again),
    ):
        try:
            # The graph of stages takes a library that costs more to import than this question.
            if repo.status():
                repo.reproduce()
            raise_again()
        except DvcException as error:
            # DVC wraps the step's own error in texts of its own.
            if failures:
                raise failures[-1] from None
            # Ctrl-C while DVC holds no lock: it reports the lock in place of the interrupt.
            if any(isinstance(cause, KeyboardInterrupt) for cause in _causes(error)):
                raise KeyboardInterrupt from None
            _stop(error)


@contextmanager
def _remembered_interrupt() -> Iterator[Callable[[], None]]:
    """Return a function that raises KeyboardInterrupt if Ctrl-C has been pressed since.

    Python raises it wherever the main thread is. In a finaliser, a callback of C or a bare
    ``except:`` around an optional import it is lost, and a flow of minutes would go on.
    """
    pressed = threading.Event()
    default = signal.getsignal(signal.SIGINT)

    def interrupt(number: int, frame: FrameType | None) -> None:
        pressed.set()
        signal.default_int_handler(number, frame)

    def raise_again() -> None:
        if pressed.is_set():
            raise KeyboardInterrupt

    # Only the main thread may set a handler. A shell has jobs in the background ignore Ctrl-C.
    ours = (
        default is signal.default_int_handler
        and threading.current_thread() is threading.main_thread()
    )
    if ours:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield raise_again
    finally:
        if ours:
            signal.signal(signal.SIGINT, default)


def _causes(error: BaseException, *, implicit: bool = True) -> list[BaseException]:
    """Return the error and the errors behind it, outermost first.

    Errors during whose handling another was raised count too, unless ``implicit`` is off.
    """
    causes = [error]
    while cause := causes[-1].__cause__ or (causes[-1].__context__ if implicit else None):
        causes.append(cause)
    return causes


@contextmanager
def _in_this_process(
    root: Path,
    steps: Mapping[str, Callable[[], None]],
    failures: list[Exception],
    raise_again: Callable[[], None],
) -> Iterator[None]:
    """Make DVC call the functions in ``steps`` where it would start their commands as processes."""
    from dvc.stage import run

    start_process = run._run

    def call(executable: str, command: str, **options: Any) -> None:
        if command not in steps:
            start_process(executable, command, **options)
            return
        raise_again()
        try:
            with chdir(root):
                steps[command]()
        except Exception as error:
            failures.append(error)
            raise

    # DVC has no hook for this, so its own function is replaced until the flow ends.
    run._run = call
    try:
        yield
    finally:
        run._run = start_process


def push(versions: DataVersions) -> int:
    """Copy the data versions of this commit to the profile's remote, and return the file count."""
    return _transfer(versions, "push")


def pull(versions: DataVersions) -> int:
    """Fetch the data versions of this commit into ``data/``, and return the count of changes."""
    return _transfer(versions, "pull")


def pinned(root: Path, revision: str, path: str) -> str:
    """Return the hash of the artifact ``path`` in ``dvc.lock`` at a git revision.

    Raises Misuse if there is none.
    """
    try:
        lock = git.ask(root, "show", "--end-of-options", f"{revision}:./dvc.lock")
    except GitError as error:
        raise Misuse(
            f"No dvc.lock at git revision {revision}: `churn run`, commit, `churn push`, then "
            f"submit. Git says: {error}."
        ) from None
    stages = yaml.safe_load(lock)["stages"].values()
    hashes = [
        out["md5"] for stage in stages for out in stage.get("outs", ()) if out["path"] == path
    ]
    if not hashes:
        raise Misuse(
            f"dvc.lock at git revision {revision} does not list {path}: run `churn run` and "
            "commit dvc.lock."
        )
    return str(hashes[0])


def fetch(storage: ObjectStorage, version: str, target: Path) -> None:
    """Write the folder with the hash ``version`` to ``target``, checking the hash of each file.

    Reads the objects of DVC's remote on S3 (files/md5/ab/cdef…, with a JSON list for a folder), so
    that no git is needed.
    """
    listing = json.loads(content(storage, version))
    with writing(target) as folder:
        for entry in listing:
            path = folder / entry["relpath"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content(storage, entry["md5"]))


def stored(storage: ObjectStorage, version: str) -> bool:
    """Return whether the remote has ``version``."""
    return s3.fingerprint(storage, storage.address(_key(version))) is not None


def content(storage: ObjectStorage, version: str) -> bytes:
    """Return the object with the hash ``version``. Raises Refused if its content was changed."""
    data = s3.read(storage, _key(version))
    # DVC chose md5: it detects damage, but no attack.
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if digest != version.removesuffix(".dir"):
        raise Refused(
            f"The object {version} in the DVC remote has the hash {digest}: it was changed or "
            "cut off."
        )
    return data


def _key(version: str) -> str:
    return f"dvc/files/md5/{version[:2]}/{version[2:]}"


def _transfer(versions: DataVersions, verb: str) -> int:
    """Run ``dvc push`` or ``dvc pull`` with the profile's remote, and return the file count.

    Raises Misuse when files are missing: DVC keeps no partial file, so a repetition is enough.
    """
    from dvc.exceptions import DvcException

    remote = versions.remote
    with _repo(versions.root, _remote(versions)) as repo:
        try:
            result: Any = getattr(repo, verb)(remote=remote)
        except (DvcException, OSError) as error:
            reason = s3.reason_of(error) if isinstance(error, OSError) else _innermost(error)
            raise Misuse(f"dvc {verb} with remote '{remote}': {reason}. {AGAIN}") from None
    if isinstance(result, int):
        return result
    return len(result.get("added", [])) + len(result.get("modified", []))


def _remote(versions: DataVersions) -> dict[str, Any] | None:
    """Return DVC's remote `eu` made from ``[s3]`` in config.toml, the one place of the endpoint."""
    if not versions.in_bucket:
        return None
    storage = versions.storage
    s3.announce(storage)
    remote = {
        "url": storage.address("dvc"),
        "endpointurl": storage.endpoint,
        "region": storage.region,
    }
    return {"remote": {BUCKET_REMOTE: remote}}


def _innermost(error: BaseException) -> str:
    """Return DVC's message and the storage's reason, which is only in the innermost cause."""
    own = " ".join(str(error).partition("Is your cache up to date")[0].split()).rstrip(".")
    cause = _causes(error)[-1]
    reason = s3.reason_of(cause) if isinstance(cause, Exception) else ""
    return own if reason in (own, "") else f"{own}: {reason}"


def _repo(root: Path, config: dict[str, Any] | None = None) -> Any:
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo
    from dvc.scm import SCMError
    from dvc.utils import serialize

    # DVC reads config.toml three times a stage, with a parser that keeps comments and takes thirty
    # times as long.
    serialize.LOADERS[".toml"] = _read_toml
    git.forget_other_repositories()
    # Stages call `churn`: the one of this environment, whether or not it is activated.
    own = Path(sys.executable).parent
    os.environ["PATH"] = f"{own}{os.pathsep}{os.environ.get('PATH', '')}"  # noqa: TID251
    # DVC logs the errors that it also raises.
    for name in ("dvc", "dvc_data", "dvc_objects"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        return Repo(str(root), config=config)
    except NotDvcRepoError:
        raise Misuse(
            f"{root} is not a DVC project: run this in the folder that has .dvc, or `dvc init` "
            "there."
        ) from None
    except SCMError as error:
        raise Misuse(f"DVC needs the project's git repository: {error}.") from None


def _read_toml(path: str, fs: Any = None) -> dict[str, Any]:
    """Return the values of a TOML file, for DVC."""
    from dvc.utils.serialize import TOMLFileCorruptedError

    with fs.open(path, "rb") if fs else Path(path).open("rb") as file:
        try:
            return tomllib.load(file)
        except ValueError as error:
            raise TOMLFileCorruptedError(path) from error


def _stop(error: BaseException) -> None:
    """Raise SystemExit with the code of the failed stage, or Misuse if there is none."""
    causes = _causes(error, implicit=False)
    for cause in causes:
        # DVC wraps the failure of a stage: only the text has its exit code.
        if match := re.search(r"exited with (-?\d+)", str(cause)):
            code = int(match[1])
            # A negative code is the number of a signal, which shells report as 128 more.
            raise SystemExit(code if code > 0 else 128 - code)
    raise Misuse(f"DVC cannot run the flow: {' '.join(str(causes[-1]).split())}")
