"""Threads of a command do not keep a core that they have no work for."""

import subprocess
import sys

import pytest

SHOWN = """
import os, sys
from sovereign_ml.cli import main
sys.argv = ["churn", "--help"]
try:
    main._run()
except SystemExit:
    print("sklearn" in sys.modules, os.environ["OMP_WAIT_POLICY"])
"""


@pytest.mark.parametrize(
    ("own", "used"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")]
)
def test_waiting_threads_give_their_core_back_unless_the_environment_says_otherwise(
    own: dict[str, str], used: str
) -> None:
    command = [sys.executable, "-c", SHOWN]
    done = subprocess.run(command, env=own, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"False {used}"
