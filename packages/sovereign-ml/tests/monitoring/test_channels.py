"""Channels of alarms on loopback: what arrives, and that a dead or slow receiver loses none."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from loopback import Quiet, certificate, listening
from mail_server import Mailbox, mail_server
from monitor_reports import a_report
from servers import free_port, until
from sovereign_ml.config.monitoring import AlarmSettings
from sovereign_ml.monitoring import channels

ALARM = "A-2026-06-01-missing"
PASSWORD = "a password for the tests"


def told(settings: dict[str, Any], folder: Path, **report: Any) -> list[str]:
    """Send a report with one unanswered alarm; return what failed."""
    made = a_report(**report)
    (folder / "metrics.prom").write_text(channels.metrics_text(made), encoding="utf-8")
    return channels.send(made, AlarmSettings(**settings), "acme-churn", PASSWORD, folder)


@contextmanager
def receiver(status: int = 200) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """An HTTP server and what was posted to it: path and content."""
    posted: list[tuple[str, Any]] = []

    class Receiver(Quiet):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            posted.append((self.path, json.loads(content)))
            self.reply(status, b"{}")

    with listening(Receiver) as url:
        yield url, posted


def test_webhook_and_alertmanager_get_each_unanswered_alarm(tmp_path: Path) -> None:
    with receiver() as (url, posted):
        # One address may serve both.
        assert told({"webhook": url, "alertmanager": f"{url}/"}, tmp_path) == []
    content = dict(posted)
    (alarm,) = content["/"]["alarms"]
    assert (alarm["id"], alarm["rule"], alarm["kind"]) == (ALARM, "missing", "data")
    (alert,) = content["/api/v2/alerts"]
    assert alert["labels"]["alarm"] == ALARM
    assert alert["startsAt"] == "2026-06-01T00:00:00Z"
    assert datetime.fromisoformat(alert["endsAt"]) > datetime.now(UTC) + timedelta(days=1)


def test_without_an_unanswered_alarm_nobody_is_told(tmp_path: Path) -> None:
    with receiver() as (url, posted):
        assert told({"webhook": url, "alertmanager": url}, tmp_path, alarms=()) == []
    assert posted == []


def test_a_dead_receiver_stops_no_other_channel(tmp_path: Path) -> None:
    port = free_port()
    dead = {
        "alertmanager": f"http://127.0.0.1:{port}",
        "smtp": f"127.0.0.1:{port}",
        "email_to": ["a@acme.example"],
        "textfile": str(tmp_path / "is not there"),
    }
    with receiver() as (url, posted):
        failed = told(dead | {"webhook": f"{url}/token"}, tmp_path)
    assert [path for path, _ in posted] == ["/token"]
    assert sorted(line.split()[1] for line in failed) == ["alertmanager:", "smtp:", "textfile:"]


def test_a_receiver_that_refuses_is_told_without_its_address(tmp_path: Path) -> None:
    with receiver(403) as (url, _):
        assert told({"webhook": f"{url}/T0KEN"}, tmp_path) == [
            "[monitor.alarm] webhook: it answers 403"
        ]


def test_a_receiver_that_drips_does_not_hold_the_others_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dripping(Quiet):
        def do_POST(self) -> None:
            for _ in range(100):  # each byte comes in time, the answer never
                self.wfile.write(b"H")
                sleep(0.05)

    monkeypatch.setattr(channels, "DEADLINE_S", 1.0)
    with listening(Dripping) as slow, receiver() as (url, posted):
        began = monotonic()
        assert told({"alertmanager": slow, "webhook": url}, tmp_path) == [
            "[monitor.alarm] alertmanager: no answer within 1 s"
        ]
    assert monotonic() - began < 4
    assert len(posted) == 1


def test_the_text_file_holds_every_metric_and_no_person(tmp_path: Path) -> None:
    assert told({"textfile": str(tmp_path)}, tmp_path, alarms=()) == []
    text = (tmp_path / "churn_monitor.prom").read_text(encoding="utf-8")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert set(families) == set(channels.METRICS)
    alarms = {s.labels["rule"]: s.value for s in families["churn_monitor_alarm"].samples}
    assert alarms == {"missing": 1.0, "shift": 0.0}
    assert [path.name for path in tmp_path.glob(".*")] == []


def mail(port: int) -> dict[str, Any]:
    return {"smtp": f"localhost:{port}", "email_to": ["ada@acme.example"]}


def test_mail_goes_over_starttls_with_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = certificate(tmp_path, "localhost", datetime.now(UTC) + timedelta(days=9))
    monkeypatch.setenv("SSL_CERT_FILE", str(pair[0]))
    with mail_server(pair) as (port, mailbox):
        assert told(mail(port), tmp_path) == []
    assert mailbox.steps == ["STARTTLS", "AUTH", "MAIL", "DATA"]
    assert mailbox.login == ("ada@acme.example", PASSWORD)
    assert mailbox.recipients == ["ada@acme.example"]
    (message,) = mailbox.messages
    assert ALARM in message


@pytest.mark.parametrize("takes", [["ada@acme.example"], []])
def test_a_mail_server_that_refuses_a_recipient_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, takes: list[str]
) -> None:
    async def handle_RCPT(
        mailbox: Mailbox, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address not in takes:
            return "550 no such box"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    monkeypatch.setattr(Mailbox, "handle_RCPT", handle_RCPT, raising=False)
    pair = certificate(tmp_path, "localhost", datetime.now(UTC) + timedelta(days=9))
    monkeypatch.setenv("SSL_CERT_FILE", str(pair[0]))
    with mail_server(pair) as (port, mailbox):
        both = {
            "email_to": ["gone@acme.example", "ada@acme.example"],
            "email_from": "m@acme.example",
        }
        (line,) = told(mail(port) | both, tmp_path)
    assert mailbox.recipients == takes
    assert "it refuses gone@acme.example (550 no such box)" in line
    assert line.endswith(": correct email_to")
    assert ("ada@acme.example" in line) == (not takes)


def test_a_text_file_on_a_full_disk_leaves_the_last_one_and_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told({"textfile": str(tmp_path)}, tmp_path) == []
    before = (tmp_path / "churn_monitor.prom").read_bytes()
    whole = Path.write_bytes

    def write_bytes(path: Path, content: bytes) -> int:
        whole(path, content[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    (line,) = told({"textfile": str(tmp_path)}, tmp_path, made_at="2026-06-02T06:00:00Z")
    assert "No space left on device" in line
    assert (tmp_path / "churn_monitor.prom").read_bytes() == before
    assert [path.name for path in tmp_path.glob(".*")] == []


EXIM = """
primary_hostname = localhost
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
spool_directory = {folder}/spool
log_file_path = {folder}/%slog
tls_advertise_hosts = *
tls_certificate = {certificate}
tls_privatekey = {key}
acl_smtp_rcpt = with_login
host_lookup =
helo_lookup_domains =
keep_environment =
queue_only = true
begin acl
with_login:
  deny !encrypted = *
  deny !authenticated = *
  accept
begin routers
all:
  driver = accept
  transport = nowhere
begin transports
nowhere:
  driver = appendfile
  file = /dev/null
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if eq{{$auth2:$auth3}}{{ada@acme.example:{password}}}}}
  server_set_id = $auth2
  server_advertise_condition = ${{if def:tls_in_cipher}}
"""
"""Exim that takes a message over TLS and with the password only, and keeps it in its queue."""


@pytest.mark.servers
@pytest.mark.parametrize("password", [PASSWORD, "another one"])
def test_debian_s_mail_server_takes_the_alarm(
    password: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not shutil.which("exim4") or os.geteuid():
        pytest.skip("needs exim4 (Debian: exim4-daemon-light), and to be root")
    folder = tmp_path_factory.mktemp("exim")
    pair = certificate(folder, "localhost", datetime.now(UTC) + timedelta(days=9))
    # Exim gives its rights up, and must read its files and write its queue without them.
    for path, mode in ((folder, 0o777), *((path, 0o644) for path in pair)):
        path.chmod(mode)
    for parent in folder.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o011)
    port = free_port()
    values = {"port": port, "folder": folder, "certificate": pair[0], "key": pair[1]}
    (folder / "conf").write_text(EXIM.format(**values, password=password), encoding="utf-8")
    monkeypatch.setenv("SSL_CERT_FILE", str(pair[0]))
    with subprocess.Popen(["exim4", "-bdf", "-C", str(folder / "conf")]) as server:
        try:
            until(lambda: socket.create_connection(("localhost", port)).close() is None)
            failures = told(mail(port), folder)
        finally:
            server.terminate()
    queue = [path.read_text(encoding="utf-8") for path in folder.glob("spool/input/**/*-D")]
    if password == PASSWORD:
        assert failures == []
        assert ALARM in queue[0]
    else:
        assert [line.split(":")[0] for line in failures] == ["[monitor.alarm] smtp"]
        assert PASSWORD not in failures[0]
        assert queue == []


@pytest.mark.parametrize("trusted", [True, False])
def test_mail_without_a_safe_line_sends_nothing(trusted: bool, tmp_path: Path) -> None:
    """No STARTTLS, as where somebody strips it, or a certificate that nobody vouches for."""
    tls = None if trusted else certificate(tmp_path, "localhost", datetime.now(UTC))
    with mail_server(tls) as (port, mailbox):
        (line,) = told(mail(port), tmp_path)
    assert line.startswith("[monitor.alarm] smtp: ")
    assert {"AUTH", "MAIL", "DATA"}.isdisjoint(mailbox.steps)


def test_an_address_that_is_none_is_told_as_that(tmp_path: Path) -> None:
    (line,) = told({"webhook": "http://[::1/secret"}, tmp_path)
    assert line.startswith("[monitor.alarm] webhook: this is no address of a web server")
    assert "secret" not in line
