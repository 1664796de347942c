"""churn doctor on certificates, versions, jurisdiction and latency, against a server of our own on loopback."""

from __future__ import annotations

import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from loopback import certificate
from small_project import environment, make_project
from sovereign_ml.config.settings import load
from sovereign_ml.servers import doctor
from sovereign_ml.servers.doctor import HealthLine, examine

PASSWORD = "p" * 24
DAY = timedelta(days=1)


@contextmanager
def tracking(answer: str, tls: tuple[Path, Path] | None, *, closed: bool = True) -> Iterator[int]:
    """Something that answers as MLflow does, with a version; the port."""
    login = "Basic " + b64encode(f"churn:{PASSWORD}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            refused = closed and self.headers.get("authorization") != login
            self.send_response(401 if refused else 200)
            self.end_headers()
            self.wfile.write(b"" if refused else answer.encode())

        def log_message(self, *_: Any) -> None:
            """Stay quiet."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """A client that does not like the certificate hangs up."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def look(root: Path, **knobs: str) -> HealthLine:
    """The line about runs and registry."""
    image = {"pipeline.image": "registry.acme.eu/churn@sha256:" + "1" * 64}
    make_project(root, **image, **{f"profile.eu.{name}": value for name, value in knobs.items()})
    settings = load("eu", root, environment(root, MLFLOW_TRACKING_PASSWORD=PASSWORD))
    card = root / "model_card.toml"
    lines = examine(settings.profile, settings.secrets, settings.tracking, card)
    [line] = [line for line in lines if line.name == "runs and registry"]
    return line


@pytest.fixture(autouse=True)
def _nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other servers of the profile are not asked."""
    servers = doctor._servers
    monkeypatch.setattr(
        doctor,
        "_servers",
        lambda *profile: {"runs and registry": servers(*profile)["runs and registry"]},
    )


@pytest.mark.parametrize(
    ("name", "ends", "trusted", "found", "do"),
    [
        (
            "localhost",
            datetime.now(UTC) - DAY,
            True,
            "certificate has expired",
            "renew the certificate",
        ),
        (
            "localhost",
            datetime.now(UTC) + 90 * DAY,
            False,
            "self-signed certificate",
            "trust its issuer",
        ),
        ("elsewhere", datetime.now(UTC) + 90 * DAY, True, "Hostname mismatch", "use the host name"),
    ],
)
def test_a_certificate_that_will_not_do_is_told_with_what_to_do(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    ends: datetime,
    trusted: bool,
    found: str,
    do: str,
) -> None:
    pair = certificate(tmp_path, name, ends)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(pair[0]))
    with tracking(version("mlflow"), pair) as port:
        line = look(tmp_path / "acme-churn", tracking_uri=f"https://localhost:{port}")
    assert line.state == "fail"
    assert found in line.found
    assert line.do.startswith(do)


@pytest.mark.parametrize(("days", "state"), [(90, "ok"), (9, "warn")])
def test_a_trusted_certificate_is_told_with_its_end_and_one_that_ends_soon_warns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, state: str
) -> None:
    ends = datetime.now(UTC) + days * DAY
    pair = certificate(tmp_path, "localhost", ends)
    monkeypatch.setenv("SSL_CERT_FILE", str(pair[0]))
    with tracking(version("mlflow"), pair) as port:
        line = look(tmp_path / "acme-churn", tracking_uri=f"https://localhost:{port}")
    assert line.state == state
    assert f"TLS until {ends:%Y-%m-%d}; MLflow {version('mlflow')}" in line.found
    assert ("renew it" in line.do) is (state == "warn")


def test_a_port_without_tls_behind_https_is_one_line(tmp_path: Path) -> None:
    with tracking("3.0", None) as port:
        line = look(tmp_path / "acme-churn", tracking_uri=f"https://localhost:{port}")
    assert line.state == "fail"
    assert line.found.startswith("no TLS: ")


def test_another_version_of_mlflow_and_an_open_server_are_told(tmp_path: Path) -> None:
    with tracking("2.9.0", None, closed=False) as port:
        line = look(tmp_path / "acme-churn", tracking_uri=f"http://127.0.0.1:{port}")
    assert (line.state, line.found) == ("warn", "MLflow 2.9.0")
    assert f"this project has MLflow {version('mlflow')}" in line.do
    assert "answers without a password" in line.do


@pytest.mark.parametrize(
    ("host", "law", "advice", "connections"),
    [
        (
            "mlflow.s3.eu-central-1.amazonaws.com",
            "US_PARENT_EU_REGION",
            "is under US law: choose another one",
            0,
        ),
        ("mlflow.acme-churn.eu", "SELF_DECLARED", "declare it in model_card.toml", 1),
    ],
)
def test_whose_law_it_is_is_told_when_nobody_answers_and_nothing_goes_to_us_law(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    law: str,
    advice: str,
    connections: int,
) -> None:
    tried = []

    def nobody(address: Any, **_: Any) -> Any:
        tried.append(address)
        raise OSError(111, "Connection refused")

    monkeypatch.setattr("socket.create_connection", nobody)
    line = look(tmp_path / "acme-churn", tracking_uri=f"https://{host}")
    assert (line.state, line.jurisdiction, len(tried)) == ("fail", law, connections)
    assert advice in line.do


def test_a_slow_connection_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.create_connection

    def late(*arguments: Any, **more: Any) -> Any:
        time.sleep(0.3)
        return connect(*arguments, **more)

    monkeypatch.setattr("socket.create_connection", late)
    with tracking(version("mlflow"), None) as port:
        line = look(tmp_path / "acme-churn", tracking_uri=f"http://127.0.0.1:{port}")
    assert line.state == "warn"
    assert line.do.startswith("slow, 3")
    assert line.milliseconds >= 300
