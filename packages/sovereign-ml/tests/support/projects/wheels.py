"""Build the library's wheel, and write wheels of a small library, right or wrong, for tests."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[5]
FILES = {"sovereign_ml/__init__.py": b'"""A library."""\n', "sovereign_ml/rules.py": b"LIMIT = 1\n"}


def record_line(name: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(data)}"


def write_wheel(
    folder: Path,
    version: str = "2026.11.0",
    files: dict[str, bytes] = FILES,
    requires: Sequence[str] = (),
    name: str = "sovereign-ml",
    record: str | None = None,
    extra: Sequence[tuple[str, bytes]] = (),
) -> Path:
    """Write a wheel; ``record`` replaces its RECORD, ``extra`` files are not in RECORD."""
    info = f"sovereign_ml-{version}.dist-info"
    metadata = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {line}\n" for line in requires)
    tags = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    contents = {**files, f"{info}/METADATA": metadata.encode(), f"{info}/WHEEL": tags}
    lines = [*(record_line(*item) for item in contents.items()), f"{info}/RECORD,,"]
    contents[f"{info}/RECORD"] = ("\n".join(lines) + "\n" if record is None else record).encode()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"sovereign_ml-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, data in [*contents.items(), *extra]:
            archive.writestr(entry, data)
    return path


def build_wheel(folder: Path) -> Path:
    """Build the library's wheel into ``folder`` as a release does; return its path."""
    command = [sys.executable, str(REPOSITORY / "packages" / "release.py"), "build", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))
