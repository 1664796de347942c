"""Known vulnerabilities of locked packages, from pip-audit and an OSV service of the team."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from sovereign_ml.errors import Misuse

UNPROVEN = "Nothing is known to be safe."
CANARY = ("pyyaml", "5.3")
"""A release with published advisories, such as CVE-2020-1747. Every working service knows one."""


class Vulnerability(NamedTuple):
    """Locked package with an advisory, and the releases that fix it."""

    package: str
    version: str
    advisory: str
    mended_in: tuple[str, ...]


def vulnerabilities(lock: Path, service: str) -> list[Vulnerability]:
    """Return the vulnerabilities of ``lock``, sorted by package.

    ``service`` is the query address of an OSV service. It receives names and versions only. Raises
    Misuse, in one line, where the service does not answer, skips a package, or does not know the
    canary: without an answer no package counts as safe.
    """
    # A service that finds something has data to answer from, so it needs no proof.
    if findings := _ask(lock, service):
        return findings
    name, version = CANARY
    with tempfile.TemporaryDirectory() as folder:
        canary = Path(folder) / "canary.lock"
        canary.write_text(f"{name}=={version} --hash=sha256:{'0' * 64}\n", encoding="utf-8")
        if not _ask(canary, service):
            raise Misuse(
                f"{service} found nothing in {lock.name}, and nothing in {name} {version}, which "
                f"has known advisories: it has none to answer from. {UNPROVEN} Point [audit] "
                "vulnerability_service at an OSV service with PyPI's advisories."
            )
    return []


def _ask(lock: Path, service: str) -> list[Vulnerability]:
    """Return pip-audit's findings for ``lock``. Raises Misuse where a package was not checked."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "findings.json"
        options = "--require-hashes --disable-pip --vulnerability-service osv --format json"
        command = [sys.executable, "-m", "pip_audit", *options.split()]
        command += ["--progress-spinner", "off", "--desc", "off"]
        command += ["--requirement", str(lock), "--osv-url", service]
        # A cache of its own, or an old answer could stand in for a service that has none.
        command += ["--cache-dir", folder, "--output", str(output)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        # The exit code is 1 for a finding and for an error. Only the file tells them apart.
        if not output.exists():
            reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise Misuse(
                f"{service} could not be asked about {lock.name}: {reason[:200]}. {UNPROVEN}"
            )
        rows = json.loads(output.read_text(encoding="utf-8"))["dependencies"]
    if skipped := [row["name"] for row in rows if "skip_reason" in row]:
        names = ", ".join(skipped)[:200]
        raise Misuse(f"{service} was not asked about {names} of {lock.name}. {UNPROVEN}")
    return sorted(
        Vulnerability(row["name"], row["version"], advisory["id"], tuple(advisory["fix_versions"]))
        for row in rows
        for advisory in row.get("vulns", ())
    )
