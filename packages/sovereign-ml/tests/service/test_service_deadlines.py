"""Every request and every connection ends in time, whatever a client or the database does."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from servers import postgres
from service_desk import CUSTOMER, FEATURES, write_bundle
from shipped import service

pytestmark = pytest.mark.servers
ONE = {"customer_id": CUSTOMER, "features": FEATURES}


@contextmanager
def frozen(url: str) -> Iterator[None]:
    """Every backend of the server stands still, as on a stalled disk."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' "
            "AND pid <> pg_backend_pid()"
        ).fetchall()
    for (pid,) in rows:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for (pid,) in rows:
            os.kill(pid, signal.SIGCONT)


def test_on_a_frozen_database_each_request_is_answered_and_the_service_ends(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    with postgres() as server, service(bundle, server.url()) as running:
        assert running.post("/v1/score", ONE).status_code == 200
        with frozen(server.url()):
            assert httpx.get(f"{running.url}/readyz", timeout=5).status_code == 503
            refused = running.post("/v1/score", ONE)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
            assert httpx.get(f"{running.url}/livez", timeout=5).status_code == 200
        assert running.post("/v1/score", ONE).status_code == 200
        with frozen(server.url()):
            started = time.monotonic()
            assert running.process
            running.process.terminate()
            running.process.wait(timeout=25)
            assert time.monotonic() - started < 25


def _ended(connection: socket.socket, seconds: float) -> bytes:
    """What comes until the other side closes."""
    connection.settimeout(seconds)
    said = b""
    try:
        while piece := connection.recv(65_536):
            said += piece
    except ConnectionError:
        pass
    return said


def test_silence_dripping_and_floods_of_headers_end_and_keep_nobody_out(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    with service(bundle, str(tmp_path / "decisions.db")) as running, ExitStack() as stack:

        def opened() -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", running.port)))

        silent, dripping, idle = opened(), opened(), opened()
        idle.sendall(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n")
        flood = opened()
        flood.sendall(b"GET /livez HTTP/1.1\r\n")
        with pytest.raises(OSError):
            for _ in range(1_000):
                flood.sendall(b"X-A: " + b"a" * 100_000 + b"\r\n")
                time.sleep(0.001)
        whole = opened()
        whole.sendall(b"GET /livez HTTP/1.1\r\nX-A: " + b"a" * 70_000 + b"\r\n\r\n")
        assert b" 431 " in _ended(whole, 5)
        started = time.monotonic()
        dripping.sendall(b"GET /")
        with pytest.raises(OSError):
            for _ in range(80):
                dripping.sendall(b"a")
                time.sleep(0.25)
        assert 5 < time.monotonic() - started < 19
        assert _ended(silent, 5) == b""
        assert httpx.get(f"{running.url}/livez").status_code == 200
        idle.sendall(b"GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        assert _ended(idle, 5).count(b" 200 ") == 2
