"""A closed door before an ASGI app: nothing passes without the password, and only to the paths that are meant.

Feast's feature server is open to whoever reaches its port; its own answer to that is an identity provider.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

Scope = Mapping[str, Any]
Messages = Callable[..., Awaitable[Any]]
App = Callable[[Scope, Messages, Messages], Awaitable[None]]

SHORTEST = 16
"""Characters: a password that somebody made up is not let in."""


class Door:
    """``app`` behind ``password``, given as a bearer token or as the password of HTTP Basic with any name.

    ``only``: the paths that exist; all when empty. ``open_to_all``: answered without password, such as ``/health``.
    """

    def __init__(
        self, app: App, password: str, *, only: Iterable[str] = (), open_to_all: Iterable[str] = ()
    ) -> None:
        if len(password) < SHORTEST:
            raise ValueError(
                f"The password has {len(password)} characters; at least {SHORTEST}: openssl rand -hex 24"
            )
        self._app, self._password = app, password.encode()
        self._only, self._open = frozenset(only), frozenset(open_to_all)

    async def __call__(self, scope: Scope, receive: Messages, send: Messages) -> None:
        """Answer 401 or 404, refuse WebSockets, or pass the request on."""
        if scope["type"] == "lifespan" or self._lets_in(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await _answer(send, 404 if self._knows(scope) else 401)

    def _lets_in(self, scope: Scope) -> bool:
        path = scope["path"]
        if scope["type"] == "http" and path in self._open:
            return True
        return self._knows(scope) and (not self._only or path in self._only)

    def _knows(self, scope: Scope) -> bool:
        given = next(
            (value for name, value in scope["headers"] if name.lower() == b"authorization"), b""
        )
        return hmac.compare_digest(_password(given), self._password)


def _password(header: bytes) -> bytes:
    kind, _, value = header.strip().partition(b" ")
    if kind.lower() == b"bearer":
        return value.strip()
    if kind.lower() == b"basic":
        try:
            return base64.b64decode(value, validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return b""


async def _answer(send: Messages, status: int) -> None:
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"www-authenticate", b'Basic realm="closed"'),
    ]
    body = b"Not here.\n" if status == 404 else b"This server is closed: send the password.\n"
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": headers[: 1 if status == 404 else 2],
        }
    )
    await send({"type": "http.response.body", "body": body})
