"""ASGI middleware that asks for a password and hides all paths but those it is told.

Feast's feature server is open to everybody who reaches its port. Feast itself offers only an
identity provider against that.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

SHORTEST = 16
"""Characters. A password that a person made up is usually shorter."""


class Door:
    """``app`` behind a password: a bearer token, or HTTP Basic with any user name.

    ``only`` names the paths that exist. ``open_to_all`` names those that need no password, such
    as ``/health``. Raises ValueError for a password of fewer than 16 characters.
    """

    def __init__(
        self, app: ASGIApp, password: str, *, only: Iterable[str], open_to_all: Iterable[str]
    ) -> None:
        if len(password) < SHORTEST:
            raise ValueError(
                f"The password has {len(password)} characters, but {SHORTEST} are needed: make one "
                "with `openssl rand -hex 24`."
            )
        self._app, self._password = app, password.encode()
        self._only, self._open = frozenset(only), frozenset(open_to_all)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 or 404, refuse WebSockets, or pass the request on."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in self._open):
            await self._app(scope, receive, send)
            return
        headers = scope["headers"]
        header = next((value for name, value in headers if name.lower() == b"authorization"), b"")
        # A comparison in constant time: its duration must not tell how much of a guess was right.
        is_known = hmac.compare_digest(_password(header), self._password)
        if is_known and scope["path"] in self._only:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif is_known:
            await PlainTextResponse("Not found.\n", 404)(scope, receive, send)
        else:
            body = "Send the password of this server.\n"
            ask = {"www-authenticate": 'Basic realm="closed"'}
            await PlainTextResponse(body, 401, ask)(scope, receive, send)


def _password(header: bytes) -> bytes:
    """Return the password in an ``Authorization`` header, empty where it holds none."""
    kind, _, value = header.strip().partition(b" ")
    if kind.lower() == b"bearer":
        return value.strip()
    if kind.lower() == b"basic":
        try:
            # The first colon ends the user name, and a password may hold more of them (RFC 7617).
            return base64.b64decode(value, validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return b""
