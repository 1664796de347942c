"""Limits of connections: size and time of headers, time to read an answer, and their number."""

from __future__ import annotations

import asyncio
import resource
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_S = 10
"""Seconds from the first byte of a request until its headers are complete.

A new connection may stay silent for the same time.
"""
HEAD_BYTES = 64 * 1024
UNREAD_S = 10
"""Seconds that an answer may wait for a client that does not read it."""
MOST_CONNECTIONS = 10_000
SPARE_FILES = 64
"""File descriptors for the log, its connections and other files of the process."""
# Written by hand: the parser has no finished request yet that an application could answer.
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def most_connections() -> int:
    """Return how many connections fit into the process's limit of open files."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = files == resource.RLIM_INFINITY
    return MOST_CONNECTIONS if unlimited else max(16, min(MOST_CONNECTIONS, files - SPARE_FILES))


class BoundedProtocol(HttpToolsProtocol):
    """HTTP protocol of uvicorn with limits of the connection. uvicorn itself limits messages only.

    The application limits what comes after the headers. Where no connection is free for a new one,
    the one that has waited longest for a request is closed. A client that holds many open mostly
    closes its own.
    """

    _waiting: ClassVar[dict[BoundedProtocol, None]] = {}
    """Connections of the process without a request. The one that has waited longest is first."""
    _most = most_connections()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._between = True
        """True until the headers of a request are complete."""
        self._head_bytes = 0
        """Bytes of headers, or of what arrived since the last piece of the body."""
        self._in_body = False
        """True where the bytes that just arrived held a piece of the body."""
        self._requests = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Make room for this connection if there is none, and wait for its first request."""
        super().connection_made(transport)
        if len(self.connections) > self._most and self._waiting:
            next(iter(self._waiting)).abort()
        self._waiting[self] = None
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._waiting.pop(self, None)
        _cancel(self._deadline)
        self._deadline = None
        _cancel(self._unread)
        self._unread = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the bytes of headers. A request that arrives in one piece costs no timer."""
        number, self._in_body = self._requests, False
        super().data_received(data)
        if not self._between:
            self._count_trailers(len(data))
        # Where a request ended in this piece, most of it belonged to that one.
        elif self._requests == number:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse()
            elif self._deadline is None:
                self._arm()

    def on_headers_complete(self) -> None:
        """Hand the request to the application unless its headers are too large."""
        # What has arrived by now was counted as headers.
        self._between, self._head_bytes, self._in_body = False, 0, True
        self._waiting.pop(self, None)
        _cancel(self._deadline)
        self._deadline = None
        if self.transport.is_closing():
            return
        if sum(len(name) + len(value) for name, value in self.headers) + len(self.url) > HEAD_BYTES:
            self._refuse()
        else:
            super().on_headers_complete()
            # The parser calls the trailers of a body in chunks headers too. The application would
            # take an authorization among them for one of the request (RFC 9110, section 6.5.1).
            self.headers = []

    def on_message_complete(self) -> None:
        """Wait for the next request of this connection."""
        if not self.transport.is_closing():
            super().on_message_complete()
        self._between, self._head_bytes = True, 0
        self._requests += 1

    def on_response_complete(self) -> None:
        """Put this connection at the end of those that are closed for a new one."""
        super().on_response_complete()
        if not self.transport.is_closing():
            self._waiting[self] = None

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body, unless the request was refused."""
        self._in_body = True
        if not self.transport.is_closing():
            super().on_body(body)

    def pause_writing(self) -> None:
        """Give the client a while to read what was sent."""
        super().pause_writing()
        self._unread = self._unread or self.loop.call_later(UNREAD_S, self.abort)

    def resume_writing(self) -> None:
        """Stop the timer: the client reads again."""
        super().resume_writing()
        _cancel(self._unread)
        self._unread = None

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, also one that never read its last answer."""
        self.abort()

    def abort(self) -> None:
        """Close the connection now, without waiting for the client."""
        self._waiting.pop(self, None)
        if not self.transport.is_closing():
            self.transport.abort()

    def _count_trailers(self, size: int) -> None:
        """Close the connection where too much arrives of a request without any of its body."""
        self._head_bytes = 0 if self._in_body else self._head_bytes + size
        # The answer may have been sent, so no other one may follow.
        if self._head_bytes > HEAD_BYTES:
            self.abort()

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(HEAD_S, self.abort)

    def _refuse(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(TOO_LARGE)
            self.transport.close()


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
