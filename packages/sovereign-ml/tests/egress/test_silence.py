"""Telemetry is off with the values that work, here and in child processes."""

import os
import subprocess
import sys

from sovereign_ml.egress.telemetry import SWITCHES, silence


def test_a_value_that_looks_right_but_does_nothing_is_replaced():
    environ = {"DO_NOT_TRACK": "1", "BENTOML_DO_NOT_TRACK": "1"}
    silence(environ)
    assert environ["DO_NOT_TRACK"] == "true"
    assert environ["BENTOML_DO_NOT_TRACK"] == "True"


def test_a_machine_that_needs_its_instance_role_keeps_its_own_setting():
    environ = {"AWS_EC2_METADATA_DISABLED": "false"}
    silence(environ)
    assert environ["AWS_EC2_METADATA_DISABLED"] == "false"
    assert environ["AWS_REQUEST_CHECKSUM_CALCULATION"] == "when_required"


def test_every_switch_is_forced():
    environ = dict.fromkeys(SWITCHES, "0")
    silence(environ)
    assert {name: environ[name] for name in SWITCHES} == dict(SWITCHES)


def run(code: str, environ: dict[str, str]) -> str:
    command = [sys.executable, "-c", code]
    answer = subprocess.run(
        command, cwd="/", env=environ, capture_output=True, text=True, check=True
    )
    return answer.stdout.strip().splitlines()[-1]


def bare_environment(**more: str) -> dict[str, str]:
    return {"PATH": os.defpath, "HOME": "/nonexistent", **more}


def test_children_inherit_the_switches():
    environ = bare_environment()
    silence(environ)
    code = "import os; print(os.environ['MLFLOW_DISABLE_TELEMETRY'], repr(os.environ['MLFLOW_MODEL_CATALOG_URI']))"
    assert run(code, environ) == "true ''"


def test_mlflow_itself_says_that_telemetry_is_off_and_that_do_not_track_1_did_nothing():
    code = "from mlflow.telemetry.utils import is_telemetry_disabled as off; print(off())"
    environ = bare_environment(DO_NOT_TRACK="1")
    assert run(code, environ) == "False"
    silence(environ)
    assert run(code, environ) == "True"


def test_dvc_itself_reads_that_the_update_check_is_off():
    code = "from dvc.config import Config; print(Config.from_cwd(validate=False)['core'].get('check_update'))"
    environ = bare_environment()
    assert run(code, environ) == "None"
    silence(environ)
    assert run(code, environ).lower() == "false"
