"""A dependency of the service that phones home is refused, and the service's log says so at its end."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from servers import free_port, until
from service_desk import write_bundle
from shipped import environment

PHONING = """
import socket, sys, threading

def phone():
    while "sovereign_ml.service.runtime" not in sys.modules:
        threading.Event().wait(0.02)
    try:
        socket.getaddrinfo("telemetry.example.com", 443)
    except OSError:
        pass

threading.Thread(target=phone, daemon=True).start()
"""


@pytest.mark.servers
def test_the_log_ends_with_what_the_guard_refused(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(PHONING, encoding="utf-8")
    environ = environment(write_bundle(tmp_path / "bundle"), str(tmp_path / "decisions.db"))
    environ["PYTHONPATH"] = f"{tmp_path}:{environ['PYTHONPATH']}"
    port = free_port()
    command = [sys.executable, "-m", "sovereign_ml.service", "--port", str(port)]
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200)
        process.terminate()
        assert process.stderr is not None
        said = process.stderr.read()
    assert "Refused getaddrinfo to telemetry.example.com" in said
    assert (
        "WARNING sovereign_ml.service: The egress guard refused telemetry.example.com once to sitecustomize"
        in said
    )
