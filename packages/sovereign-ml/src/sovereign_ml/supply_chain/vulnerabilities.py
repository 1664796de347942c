"""Known vulnerabilities of locked packages, from pip-audit and an OSV service of the team."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from sovereign_ml.errors import Misuse
from sovereign_ml.supply_chain.lockfile import LockError, Pin, read_lock

UNPROVEN = "Nothing is known to be safe."
CANARY = Pin("pyyaml", "5.3", ("0" * 64,))
"""A release with published advisories, such as CVE-2020-1747. Every working service knows one."""


class Vulnerability(NamedTuple):
    """Locked package with an advisory, and the releases that fix it."""

    package: str
    version: str
    advisory: str
    mended_in: tuple[str, ...]


def vulnerabilities(lock: Path, service: str) -> list[Vulnerability]:
    """Return the vulnerabilities of ``lock``, sorted by package.

    ``service`` is the query address of an OSV service. It receives names and versions only: of all
    packages, also of those that the lock has for another Python or system than this one. Raises
    Misuse, in one line, for a file that is no lock, and where the service does not answer, skips a
    package, or does not know the canary: without an answer no package counts as safe.
    """
    try:
        pins = read_lock(lock)
    except LockError as error:
        raise Misuse(f"{error} {UNPROVEN}") from None
    findings = {row for part in _parts(pins) for row in _ask(part, service, lock.name)}
    # A service that finds something has data to answer from, so it needs no proof.
    if not findings and not _ask([CANARY], service, lock.name):
        raise Misuse(
            f"{without_password(service)} found nothing in {lock.name}, and nothing in "
            f"{CANARY.name} {CANARY.version}, which has known advisories: it has none to answer "
            f"from. {UNPROVEN} Point [audit] vulnerability_service at an OSV service with PyPI's "
            "advisories."
        )
    return sorted(findings)


def without_password(address: str) -> str:
    """Return a text without the user and password of the addresses in it."""
    return re.sub(r"(?<=://)[^/?#\s]*@", "", address)


def _parts(pins: Iterable[Pin]) -> list[list[Pin]]:
    """Return the pins in lists with one version of each package: pip-audit takes no more."""
    versions: dict[str, dict[str, Pin]] = {}
    for pin in pins:
        versions.setdefault(pin.name, {})[pin.version] = pin
    rows = zip_longest(*(pins.values() for pins in versions.values()))
    return [[pin for pin in row if pin] for row in rows]


def _ask(pins: Iterable[Pin], service: str, name: str) -> list[Vulnerability]:
    """Return pip-audit's findings for pins of the lock ``name``.

    Raises Misuse where a package was not checked.
    """
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder) / "packages.lock"
        # Without markers: what is not for this Python may be for that of the image.
        lines = (f"{pin.name}=={pin.version} --hash=sha256:{pin.hashes[0]}\n" for pin in pins)
        lock.write_text("".join(lines), encoding="utf-8")
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
                without_password(
                    f"{service} could not be asked about {name}: {reason[:200]}. {UNPROVEN}"
                )
            )
        rows = json.loads(output.read_text(encoding="utf-8"))["dependencies"]
    if skipped := [row["name"] for row in rows if "skip_reason" in row]:
        names = ", ".join(skipped)[:200]
        shown = without_password(service)
        raise Misuse(f"{shown} was not asked about {names} of {name}. {UNPROVEN}")
    return [
        Vulnerability(row["name"], row["version"], advisory["id"], tuple(advisory["fix_versions"]))
        for row in rows
        for advisory in row.get("vulns", ())
    ]
