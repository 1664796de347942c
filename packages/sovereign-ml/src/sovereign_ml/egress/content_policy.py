"""Content policy, enforced by the browser, that keeps pages from loading anything from outside.

Some tools put trackers, logos, maps and scripts of foreign hosts into their pages and have no
switch for it. Links that a person clicks still work.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' data: blob:; form-action 'self'; "
    "base-uri 'self'"
)
"""Content Security Policy Level 3 (W3C): this origin only, and the tool's own inline scripts."""


class Offline:
    """ASGI middleware that puts the policy on every answer of ``app``.

    A policy that ``app`` sends itself stays: the browser applies both.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and add the header."""

        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                header = (b"content-security-policy", CONTENT_SECURITY_POLICY.encode("ascii"))
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        await self._app(scope, receive, with_policy)
