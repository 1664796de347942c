"""A proxy before the S3 server that misbehaves: busy, slow, expired, or cut off in the middle."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import httpx

from loopback import Quiet, listening

Mishap = Callable[[str, int], "tuple[int, str] | None"]
"""What happens to call number n with this method: a status and S3's word for it, or None for "passes"."""


def busy_for(calls: int) -> Mishap:
    """503 SlowDown for the first ``calls`` calls."""
    return lambda _, n: (503, "SlowDown") if n <= calls else None


def expired_after(calls: int) -> Mishap:
    """The credentials expire in the middle."""
    return lambda _, n: (400, "ExpiredToken") if n > calls else None


@contextmanager
def bad_storage(endpoint: str, mishap: Mishap, *, pause_s: float = 0) -> Iterator[str]:
    """The address of a proxy to ``endpoint`` with a ``mishap``; bodies drip with ``pause_s``."""
    seen, lock = [0], Lock()

    class Handler(Quiet):
        protocol_version = "HTTP/1.1"

        def handle_call(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            with lock:
                seen[0] += 1
                bad = mishap(self.command, seen[0])
            if bad:
                text = f"<Error><Code>{bad[1]}</Code><Message>{bad[1]}</Message></Error>".encode()
                self._reply(bad[0], [("content-type", "application/xml")], text)
                return
            headers = {
                name: value for name, value in self.headers.items() if name.lower() != "connection"
            }
            answer = httpx.request(
                self.command, endpoint + self.path, headers=headers, content=body, timeout=60
            )
            dropped = ("connection", "transfer-encoding", "date", "server", "content-encoding")
            self._reply(
                answer.status_code,
                [h for h in answer.headers.items() if h[0] not in dropped],
                answer.content,
            )

        def _reply(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers:
                if name != "content-length" or self.command == "HEAD":
                    self.send_header(name, value)
            if self.command != "HEAD":
                self.send_header("content-length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                for i in range(0, len(body), 65536):
                    self.wfile.write(body[i : i + 65536])
                    time.sleep(pause_s)

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self.handle_call
            raise AttributeError(name)

    with listening(Handler) as address:
        yield address
