"""Run a command of a render where nothing can leave, with the render's own harness, and judge what it asked for.

Without namespaces the harness falls back to Python's audit hook; the run then ends with a warning that says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

ON_PURPOSE = {"no.such.invalid": "churn doctor says that it does not resolve"}
"""What tests of the project ask for because it must be refused or must fail, and why. Nothing else may appear."""


class Runs(Protocol):
    """A project that can run a command."""

    root: Path

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run it in the project's folder."""


def sealed(project: Runs, *command: str) -> subprocess.CompletedProcess[str]:
    """Run ``command`` sealed; fail if it fails, or if it asks for a name or address that is not ``ON_PURPOSE``."""
    with TemporaryDirectory() as folder:
        result = Path(folder) / "seen.json"
        harness = str(project.root / "tests/egress/harness.py")
        watch = (sys.executable, "-B", harness, "--clean-env", "--json", str(result), "--")
        done = project.run(*watch, *command, check=False)
        assert result.is_file(), done.stdout[-4000:] + done.stderr[-4000:]
        seen = json.loads(result.read_text(encoding="utf-8"))
    if seen["mode"] != "namespace":
        warnings.warn(
            f"No namespaces here: {command} was watched by Python's audit hook only.", stacklevel=2
        )
    assert seen["exit"] == 0, (
        f"{command}: exit {seen['exit']}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    )
    unexpected = {host: how for host, how in seen["hosts"].items() if not allowed(host)}
    assert unexpected == {}, f"{command} asked for what nobody meant to ask for"
    return done


def allowed(host: str) -> bool:
    """Whether a test asks for ``host`` on purpose."""
    return any(fnmatch(host, pattern) for pattern in ON_PURPOSE)
