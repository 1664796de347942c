"""A fresh wheel of the library, and locks that name it: the project's vendor/ as it is shipped."""

import subprocess
import sys
from pathlib import Path

from small_project import REPOSITORY
from sovereign_ml.supply_chain.lockfile import library_pin, with_library_pin
from sovereign_ml.supply_chain.wheel import read_wheel


def build_wheel(folder: Path) -> Path:
    """Build the library as `make release` does, into ``folder``; returns the wheel."""
    command = [sys.executable, str(REPOSITORY / "packages/release.py"), "build", str(folder)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Path(printed.strip())


def naming(lock: str, wheel: Path) -> str:
    """The text of a lock with the version and the hash of ``wheel``."""
    library = read_wheel(wheel)
    if library_pin(lock) is None:
        lock += f"sovereign-ml==0 \\\n    --hash=sha256:{'0' * 64}\n"
    return with_library_pin(lock, library.version, library.sha256)
