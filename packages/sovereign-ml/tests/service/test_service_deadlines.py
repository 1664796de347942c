"""Every request and every connection ends in time, whatever a client does."""

import socket
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from service_desk import write_bundle
from shipped import service

pytestmark = pytest.mark.servers


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
