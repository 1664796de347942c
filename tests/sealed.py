"""Run a command where nothing can leave, with the library's harness, and judge what it asked for.

    python tests/sealed.py FOLDER [PYTEST_ARGS]     run the tests of the library sealed

Without namespaces the harness falls back to Python's audit hook. The run then ends with a warning
that says so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from bake import LIBRARY

HARNESS = LIBRARY / "tests/support/projects/harness.py"
ON_PURPOSE = {"no.such.invalid": "churn doctor says that it does not resolve"}
"""Names that tests ask for because they must be refused or must fail, and why."""
FROM_AN_INDEX = "tests/deploy/test_deploy_image.py"
"""It builds the image as the platform does, from the package index: it cannot run sealed."""
SHIPPED = os.environ.get("SHIPPED_ENVIRONMENTS", "")
WORKERS = ("-n", "logical", "--maxprocesses", "4")
"""Each starts processes of its own: more than four would need more than 16 GB."""


class Runs(Protocol):
    """A project that can run a command."""

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the command in the project's folder."""


def watched(*command: str, report: Path) -> tuple[str, ...]:
    """Return the command line that runs ``command`` in the harness."""
    options = ("--clean-env", "--json", str(report), "--")
    return (sys.executable, "-B", str(HARNESS), *options, *command)


def unexpected(report: Path, command: str) -> tuple[int, dict[str, list[str]]]:
    """Return the exit code of a watched command, and the hosts that it asked for by mistake."""
    result = json.loads(report.read_text(encoding="utf-8"))
    if result["mode"] != "namespace":
        text = f"No namespaces here: Python's audit hook alone watched {command}."
        warnings.warn(text, stacklevel=2)
    return result["exit"], {k: v for k, v in result["hosts"].items() if not allowed(k)}


def sealed(project: Runs, *command: str) -> subprocess.CompletedProcess[str]:
    """Run ``command`` sealed.

    Fails if the command fails, or if it asks for a name or address that is not ``ON_PURPOSE``.
    """
    with TemporaryDirectory() as folder:
        report = Path(folder) / "hosts.json"
        result = project.run(*watched(*command, report=report), check=False)
        output = f"{result.stdout[-4000:]}\n{result.stderr[-4000:]}"
        assert report.is_file(), output
        exit_code, hosts = unexpected(report, command[0])
    assert exit_code == 0, f"{command}: exit {exit_code}\n{output}"
    assert hosts == {}, f"{command} asked for hosts that no test asks for on purpose"
    return result


def allowed(host: str) -> bool:
    """Return True for a host that a test asks for on purpose."""
    return any(fnmatch(host, pattern) for pattern in ON_PURPOSE)


def library_tests(folder: Path, arguments: list[str]) -> int:
    """Run the tests of the library, sealed but for the one that builds an image; return the code.

    They run in profile eu with the ``churn`` of the shipped environment (CHURN_SHIPPED).
    """
    # A worker on each core, and one thread each: more threads would only wait for one another.
    env = {**os.environ, "CHURN_SHIPPED": f"{SHIPPED}/train/bin", "OMP_NUM_THREADS": "1"}
    pytest = (sys.executable, "-m", "pytest", *WORKERS, "--dist", "loadfile", *arguments)
    image = [sys.executable, "-m", "pytest", FROM_AN_INDEX]
    image += [option for option in arguments if option == "--no-skips"]
    with TemporaryDirectory() as temporary:
        report, log = Path(temporary) / "hosts.json", Path(temporary) / "image.log"
        # It waits for the index as often as it works, so that it costs less time beside the others.
        with log.open("wb") as file:
            building = subprocess.Popen(image, cwd=folder, env=env, stdout=file, stderr=file)
        command = watched(*pytest, f"--ignore={FROM_AN_INDEX}", report=report)
        subprocess.run(command, cwd=folder, env=env, check=False)
        exit_code, hosts = unexpected(report, "pytest")
        outside = building.wait()
        print(log.read_text(encoding="utf-8"))
    if hosts:
        print(f"The tests asked for hosts outside: {hosts}", file=sys.stderr)
    return exit_code or outside or (1 if hosts else 0)


if __name__ == "__main__":
    sys.exit(library_tests(Path(sys.argv[1]), sys.argv[2:]))
