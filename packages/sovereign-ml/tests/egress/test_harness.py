"""The harness sees what is planted, so an empty list means something; without the switches it finds who phones home."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sealing import HARNESS
from small_project import LIBRARY
from sovereign_ml.egress.telemetry import silence

ESCAPED = 97


def watch(
    folder: Path,
    *command: str,
    options: tuple[str, ...] = (),
    environ: dict[str, str] | None = None,
):
    result = folder / "result.json"
    run = subprocess.run(
        [sys.executable, "-B", HARNESS, "--json", result, *options, "--", *command],
        env={
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin",
            "HOME": str(folder),
            "PYTHONPATH": str(LIBRARY),
            **(environ or {}),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return run, json.loads(result.read_text())


def python(folder: Path, code: str, **more):
    return watch(folder, sys.executable, "-c", code, **more)


def test_a_quiet_command_passes_with_its_own_exit_code(tmp_path):
    run, seen = python(tmp_path, "import sys; print('done'); sys.exit(3)")
    assert (run.returncode, run.stdout, seen["hosts"]) == (3, "done\n", {})


def test_loopback_is_not_egress(tmp_path):
    code = (
        "import socket; server = socket.create_server(('127.0.0.1', 0));"
        "socket.create_connection(('localhost', server.getsockname()[1]))"
    )
    run, seen = python(tmp_path, code)
    assert (run.returncode, seen["hosts"]) == (0, {})


def test_a_planted_look_up_is_seen(tmp_path):
    code = "import socket\ntry: socket.getaddrinfo('planted.example', 443)\nexcept OSError: pass"
    run, seen = python(tmp_path, code)
    assert run.returncode == ESCAPED
    assert list(seen["hosts"]) == ["planted.example"]
    assert "planted.example" in run.stderr


def test_a_literal_address_without_a_name_is_seen(tmp_path):
    code = "import socket; socket.socket().connect_ex(('203.0.113.7', 8000))"
    run, seen = python(tmp_path, code)
    assert (run.returncode, list(seen["hosts"])) == (ESCAPED, ["203.0.113.7"])


def test_a_detached_child_is_seen_after_its_parent_has_gone(tmp_path):
    child = "import socket, time; time.sleep(0.5); socket.getaddrinfo('late.example', 1)"
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}], start_new_session=True)"
    run, seen = python(tmp_path, code)
    assert (run.returncode, list(seen["hosts"])) == (ESCAPED, ["late.example"])


def test_an_orphan_that_has_ended_is_gone_as_it_would_be_outside(tmp_path):
    orphan = "sh -c 'sleep 0.1 & echo $!' > pid; sleep 0.6; test ! -e /proc/$(cat pid)"
    run, _ = watch(tmp_path, "sh", "-c", f"cd {tmp_path} && {orphan}")
    assert run.returncode == 0


def test_the_fall_back_says_that_it_sees_python_only_and_still_sees_that(tmp_path):
    code = "import socket; socket.getaddrinfo('planted.example', 443)"
    run, seen = python(tmp_path, code, options=("--recorder",))
    assert run.returncode == ESCAPED
    assert seen["mode"] == "recorder"
    assert list(seen["hosts"]) == ["planted.example"]
    assert "only Python processes are watched" in run.stderr


def test_the_fall_back_also_sees_a_command_that_installs_its_own_guard(tmp_path):
    code = (
        "import os, socket; from sovereign_ml.egress import allow_list;"
        "allow_list.install(os.environ, ['run']);"
        "socket.getaddrinfo('planted.example', 443)"
    )
    run, seen = python(tmp_path, code, options=("--recorder",))
    assert run.returncode == ESCAPED, run.stderr
    assert list(seen["hosts"]) == ["planted.example"]


MLFLOW = """
import mlflow, time
mlflow.set_tracking_uri("sqlite:///mlflow.db")
with mlflow.start_run():
    mlflow.log_param("a", 1)
time.sleep(1)
"""
BENTOML = "import bentoml, time\nwith bentoml.models.create('m'): pass\ntime.sleep(1)"


@pytest.mark.flow
@pytest.mark.parametrize(
    ("code", "phones"),
    [(MLFLOW, "config.mlflow-telemetry.io"), (BENTOML, "t.bentoml.com")],
    ids=["mlflow", "bentoml"],
)
def test_without_the_switches_the_tool_phones_home_and_with_them_it_does_not(
    tmp_path, monkeypatch, code, phones
):
    monkeypatch.chdir(tmp_path)
    loud, seen = python(tmp_path, code, options=("--clean-env",))
    assert loud.returncode == ESCAPED, loud.stderr
    assert phones in seen["hosts"]
    environ: dict[str, str] = {}
    silence(environ)
    quiet, seen = python(tmp_path, code, environ=environ)
    assert (quiet.returncode, seen["hosts"]) == (0, {}), quiet.stderr
