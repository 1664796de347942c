"""The environments of this repository, each built from one lock with a fresh wheel of the library.

    python tests/environments.py test FOLDER       build the environment of `make test`
    python tests/environments.py shipped FOLDER [OPTIONS OF PYTEST]
                                                   build those that a project ships, below FOLDER

The wheel in vendor/ is committed once per piece of work. Between two commits the sources are newer,
so a build of packages/ takes its place here: in a copy of each lock, by its hash.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

from bake import PROJECT, ROOT, fresh_wheel, lock_with

SHIPPED = ("train", "serve")
CLIENTS = ("clearml", "hopsworks", "spark")
"""Environments of clients that only some projects have."""
LOCKS = {
    "test": ROOT / "requirements/test.lock",
    **{name: PROJECT / f"requirements/{name}.lock" for name in (*SHIPPED, *CLIENTS)},
}
WITH_PROJECT = ("test", "train")
"""Environments that have the project in them, as `make setup` installs it."""


def build(name: str, target: Path) -> Path:
    """Build the environment of ``<name>.lock`` in ``target`` and return its Python.

    What the lock does not name is removed. An environment with the same lock, wheel, interpreter
    and place is used again.
    """
    python, stamp = target / "bin/python", target / ".digest"
    lock = lock_with(fresh_wheel(), LOCKS[name].read_text(encoding="utf-8"))
    parts = (lock, (PROJECT / "pyproject.toml").read_text(encoding="utf-8"), sys.version)
    digest = hashlib.sha256("\0".join((*parts, str(target))).encode()).hexdigest()
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == digest:
        return python
    stamp.unlink(missing_ok=True)
    if not python.exists():
        venv.create(target, with_pip=name == "test", symlinks=True)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / LOCKS[name].name
        copy.write_text(lock, encoding="utf-8")
        links = ("--find-links", str(fresh_wheel().parent))
        # The same version with other bytes counts as installed, unless uv is told otherwise.
        again = ("--reinstall-package", "sovereign-ml")
        hashes = ("--require-hashes", "--build-constraints", str(copy))
        _uv("sync", python, *hashes, *links, *again, str(copy))
    if name in WITH_PROJECT:
        local = ("--no-deps", "--no-build-isolation", "--offline")
        _uv("install", python, *local, "-e", str(PROJECT))
    stamp.write_text(digest, encoding="utf-8")
    return python


def _uv(command: str, python: Path, *arguments: str) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    options = ("pip", command, "--quiet", "--python", str(python))
    result = subprocess.run([uv, *options, *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(f"uv pip {command}: exit {result.returncode}\n{result.stderr}")


def usable_clients(options: Sequence[str]) -> tuple[str, ...]:
    """Return the clients that tests use on this machine, with these options of pytest."""
    # Without Java every test of Spark is skipped, and its client is the largest download by far.
    if shutil.which("java") or "--no-skips" in options:
        return CLIENTS
    return tuple(name for name in CLIENTS if name != "spark")


def main(kind: str, folder: Path, options: Sequence[str]) -> None:
    """Build the environment or environments of ``kind``."""
    if kind == "test":
        build("test", folder)
    else:
        for name in (*SHIPPED, *usable_clients(options)):
            build(name, folder / name)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).resolve(), sys.argv[3:])
