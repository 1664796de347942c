"""pip-audit: the known vulnerabilities of what a lock installs, asked of the OSV service that the team names."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from sovereign_ml.errors import Misuse


class Vulnerability(NamedTuple):
    """One finding: the package as locked, the advisory, and the releases that mend it."""

    package: str
    version: str
    advisory: str
    mended_in: tuple[str, ...]


def vulnerabilities(lock: Path, service: str) -> list[Vulnerability]:
    """Findings for ``lock``, by package. ``service`` is an OSV query address; it learns names and versions, no more.

    Raises Misuse in one line when the service cannot be asked: an unanswered question is not an all-clear.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "found.json"
        command = [
            *(
                sys.executable,
                "-m",
                "pip_audit",
                "--requirement",
                str(lock),
                "--require-hashes",
                "--disable-pip",
            ),
            *("--vulnerability-service", "osv", "--osv-url", service, "--cache-dir", folder),
            *(
                "--format",
                "json",
                "--output",
                str(output),
                "--progress-spinner",
                "off",
                "--desc",
                "off",
            ),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not output.exists():
            said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise Misuse(
                f"{service} could not be asked about {lock.name}: {said[:200]}. Nothing is known to be safe."
            )
        return _read(output)


def _read(output: Path) -> list[Vulnerability]:
    rows = json.loads(output.read_text(encoding="utf-8"))["dependencies"]
    return sorted(
        Vulnerability(row["name"], row["version"], found["id"], tuple(found["fix_versions"]))
        for row in rows
        for found in row.get("vulns", ())
    )
