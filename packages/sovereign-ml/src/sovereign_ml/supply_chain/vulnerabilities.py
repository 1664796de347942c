"""pip-audit: the known vulnerabilities of what a lock installs, asked of the OSV service that the team names."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from sovereign_ml.errors import Misuse

CANARY = ("pyyaml", "5.3")
"""A release with published advisories (CVE-2020-1747 among them): a service that knows none of them knows nothing."""


class Vulnerability(NamedTuple):
    """One finding: the package as locked, the advisory, and the releases that mend it."""

    package: str
    version: str
    advisory: str
    mended_in: tuple[str, ...]


def vulnerabilities(lock: Path, service: str) -> list[Vulnerability]:
    """Findings for ``lock``, by package. ``service`` is an OSV query address; it learns names and versions, no more.

    Raises Misuse in one line when the service cannot be asked, skips a package, or does not know the canary: an
    unanswered question is not an all-clear.
    """
    found = _ask(lock, service)
    if found:
        return found
    name, version = CANARY
    with tempfile.TemporaryDirectory() as folder:
        canary = Path(folder) / "canary.lock"
        canary.write_text(f"{name}=={version} --hash=sha256:{'0' * 64}\n", encoding="utf-8")
        if not _ask(canary, service):
            raise Misuse(
                f"{service} found nothing in {lock.name}, and nothing in {name} {version}, which has known advisories: "
                "it has no advisories to answer from. Nothing is known to be safe. Point [audit] "
                "vulnerability_service at an OSV service with PyPI's advisories."
            )
    return found


def _ask(lock: Path, service: str) -> list[Vulnerability]:
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
        return _read(output, lock.name, service)


def _read(output: Path, lock: str, service: str) -> list[Vulnerability]:
    rows = json.loads(output.read_text(encoding="utf-8"))["dependencies"]
    skipped = [row["name"] for row in rows if "skip_reason" in row]
    if skipped:
        raise Misuse(
            f"{service} was not asked about {', '.join(skipped)[:200]} of {lock}. Nothing is known to be safe."
        )
    return sorted(
        Vulnerability(row["name"], row["version"], found["id"], tuple(found["fix_versions"]))
        for row in rows
        for found in row.get("vulns", ())
    )
