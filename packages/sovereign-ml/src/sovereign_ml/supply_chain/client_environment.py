"""Programs that run in an environment of their own, because their client fits no other lock.

``make setup-clearml``, ``make setup-hopsworks`` and ``make setup-spark`` build such environments,
each from the lock of that name in ``requirements/``. Who does not ask for them installs nothing of
them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sovereign_ml.config.settings import ENVIRONMENT
from sovereign_ml.egress import guard
from sovereign_ml.egress.telemetry import SWITCHES
from sovereign_ml.errors import Misuse, Refused

VARIABLE = "CHURN_CLIENTS"
"""Folder of the environments, where it is not ``clients`` in that of the project."""
PASSED_ON = ("PATH", "JAVA_HOME", "LANG", "LC_ALL", "PYTHONPYCACHEPREFIX", "SYSTEMROOT")
"""Variables that a client sees. Others, such as a user's own settings of it, do not reach it."""
LONGEST_S = 3600


def python_of(client: str) -> Path:
    """Return the Python of a client's environment. Raises Misuse where it is not installed."""
    folder = Path(ENVIRONMENT.get(VARIABLE) or Path(sys.prefix, "clients"), client)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.is_file():
        raise Misuse(
            f"The client of {client} is not installed in {folder}: call `make setup-{client}`. It "
            f"needs requirements/{client}.lock, which a project has with the part {client}."
        )
    return python


def ask(
    client: str,
    program: Path,
    job: Mapping[str, Any],
    hosts: Sequence[str],
    within: Path | None = None,
    longest_s: int = LONGEST_S,
) -> Any:
    """Run ``program`` in the environment of ``client`` with ``job`` and return its answer.

    The job, which may hold keys, is sent on standard input and stands in no argument and no
    variable. The program may reach loopback and ``hosts`` only. Its home and its temporary folder
    are a private one, which is removed: below ``within``, or the system's. Raises Misuse with the
    program's own line, or Refused where it broke off.
    """
    python = python_of(client)
    with tempfile.TemporaryDirectory(prefix="churn-", dir=within) as folder:
        answer = Path(folder, "answer.json")
        variables = {name: ENVIRONMENT[name] for name in PASSED_ON if name in ENVIRONMENT}
        variables |= {**SWITCHES, **_authorities(), "HOME": folder, "TMPDIR": folder}
        record = guard.inherited_record(ENVIRONMENT)
        guard.extend_to_children(variables, hosts, record=record)
        try:
            done = subprocess.run(
                # -P: the folder of the program has modules with the names of other packages.
                [str(python), "-P", str(program), str(answer)],
                input=json.dumps(job),
                env=variables,
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=longest_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Refused(
                f"The client of {client} did not end within {longest_s // 60} minutes. "
                "The same command goes on."
            ) from None
        if not answer.is_file():
            last = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
            raise Refused(
                f"The client of {client} broke off: {_without(job, last)[:300]}. "
                "The same command goes on."
            )
        content = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in content:
        raise Misuse(_without(job, str(content["error"])))
    return content["answer"]


def _authorities() -> dict[str, str]:
    """Return the file of the team's own certificate authority, as each client looks for it."""
    named = ENVIRONMENT.get("SSL_CERT_FILE") or ENVIRONMENT.get("REQUESTS_CA_BUNDLE")
    return {"SSL_CERT_FILE": named, "REQUESTS_CA_BUNDLE": named} if named else {}


def _without(job: Mapping[str, Any], text: str) -> str:
    """Return ``text`` on one line and without the keys of the job."""
    for key in (job.get("key"), job.get("secret")):
        text = text.replace(str(key), "…") if key else text
    return " ".join(text.split())
