"""DVC: versions of the data, and the flow run through it so that nothing runs twice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


def data_version(folder: Path) -> str:
    """The hash under which DVC stores ``folder``, whether or not it has been committed to DVC yet."""
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db import HashFileDB
    from dvc_objects.fs.local import LocalFileSystem
    from dvc_objects.fs.memory import MemoryFileSystem

    nowhere = HashFileDB(MemoryFileSystem(), "/nowhere")
    _, _, tree = build(nowhere, str(folder), LocalFileSystem(), "md5", dry_run=True)
    return str(tree.hash_info.value)


def reproduce(root: Path) -> Iterator[str]:
    """Run `dvc repro` and give its output line by line; the last item is the exit code as ``exit N``."""
    command = [sys.executable, "-m", "dvc", "repro", "--no-commit" if False else "--quiet"]
    yield str(subprocess.run(command, cwd=root, check=False).returncode)
