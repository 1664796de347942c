"""Run `churn` of a small project where nothing can leave; the harness lists what it asked for outside loopback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from small_project import environment

HARNESS = Path(__file__).with_name("harness.py")
Asked = dict[str, list[str]]


def sealed(
    root: Path, *command: str, environ: dict[str, str] | None = None
) -> tuple[subprocess.CompletedProcess[str], Asked]:
    """Run ``command`` in ``root``, with nothing in its environment that quietens a tool; list what it asked for.

    ``environ`` is its environment, if not that of a project in ``root``. The exit code is the harness's: 97 if
    anything outside loopback was asked for, else the command's.
    """
    environ = {**(environ or environment(root))}
    environ["PATH"] += ":/usr/sbin:/sbin"  # where ip is
    with TemporaryDirectory() as folder:
        result = Path(folder) / "seen.json"
        watched = [
            sys.executable,
            "-B",
            str(HARNESS),
            "--clean-env",
            "--json",
            str(result),
            "--",
            *command,
        ]
        done = subprocess.run(
            watched, cwd=root, env=environ, capture_output=True, text=True, timeout=600, check=False
        )
        asked: Asked = (
            json.loads(result.read_text(encoding="utf-8"))["hosts"] if result.exists() else {}
        )
    return done, asked
