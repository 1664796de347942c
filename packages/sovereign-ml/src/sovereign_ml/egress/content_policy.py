"""Keep the pages that a tool serves from loading anything from outside: a policy that the browser enforces.

Some tools put trackers, logos, maps and scripts of foreign hosts into their pages, without a switch. Our own pages hold
everything they show. Links that a person clicks still work.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

CONTENT_SECURITY_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' data: blob:; form-action 'self'; base-uri 'self'"
)
"""Content Security Policy Level 3 (W3C): only this origin; a tool's own inline scripts run."""

Messages = Callable[..., Awaitable[Any]]
App = Callable[[MutableMapping[str, Any], Messages, Messages], Awaitable[None]]


class Offline:
    """``app``, an ASGI application, with the policy on every answer. A policy of its own holds as well."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Messages, send: Messages
    ) -> None:
        """Pass the request on and add the header."""

        async def with_policy(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                header = (b"content-security-policy", CONTENT_SECURITY_POLICY.encode("ascii"))
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        await self._app(scope, receive, with_policy)
