"""What comes after a body in chunks is neither a header of the request nor kept."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from sovereign_ml.service.bounded_protocol import HEAD_BYTES, BoundedProtocol

HEAD = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
Seen = list[list[tuple[bytes, bytes]]]


async def _answer(scope: Any, receive: Any, send: Any) -> None:
    """Read the body where the address asks for it, as a route without a key does not."""
    if scope["type"] != "http":
        return
    if scope["path"] != "/unread":
        while (await receive()).get("more_body"):
            pass
    scope["state"]["seen"].append(list(scope["headers"]))
    await send(
        {"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]}
    )
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def port() -> Iterator[tuple[int, Seen, uvicorn.Server]]:
    seen: Seen = []
    config = uvicorn.Config(
        _answer, port=0, http=BoundedProtocol, ws="none", lifespan="off", log_level="error"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    server.lifespan.state["seen"] = seen
    yield server.servers[0].sockets[0].getsockname()[1], seen, server
    server.should_exit = True
    thread.join(10)


def _sent_until_closed(port: int, first: bytes, piece: bytes, most: int) -> int:
    """Return how many bytes of ``piece`` after ``piece`` the server took, at most ``most``."""
    sent = 0
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(first)
        try:
            while sent < most:
                connection.sendall(piece)
                sent += len(piece)
        except OSError:
            pass
    return sent


@pytest.mark.parametrize("path", [b"/", b"/unread"])
@pytest.mark.parametrize("piece", [b"x-a: " + b"b" * 995 + b"\r\n", b"b" * 1000])
def test_trailers_without_end_close_the_connection(
    port: tuple[int, Seen, uvicorn.Server], path: bytes, piece: bytes
) -> None:
    """Nobody with a key need have sent them: the answer 401 leaves the rest of the body unread."""
    start = HEAD.replace(b" / ", b" %s " % path) + b"1\r\na\r\n0\r\nx-b: "
    # Buffers of the system hold some megabytes that the service never reads.
    assert _sent_until_closed(port[0], start, piece, most=64_000_000) < 32_000_000


def test_a_long_body_in_chunks_is_no_trailer(port: tuple[int, Seen, uvicorn.Server]) -> None:
    chunk = b"%x\r\n%s\r\n" % (HEAD_BYTES, b"a" * HEAD_BYTES)
    with socket.create_connection(("127.0.0.1", port[0]), timeout=10) as connection:
        connection.sendall(HEAD + chunk * 20 + b"0\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 401")


def test_a_trailer_is_no_header(port: tuple[int, Seen, uvicorn.Server]) -> None:
    """All of the request arrives in one piece, before the application looks at its headers."""
    end = b"0\r\nauthorization: Bearer x\r\norigin: http://a\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port[0]), timeout=10) as connection:
        connection.sendall(HEAD + b"1\r\na\r\n" + end)
        assert connection.recv(100).startswith(b"HTTP/1.1 401")
    assert [dict(headers).keys() for headers in port[1]] == [{b"host", b"transfer-encoding"}]
