"""One request: key, rate limit and body, then the handler, then an answer.

The answer has its security headers.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from sovereign_ml.decision_log import LogUnavailableError
from sovereign_ml.service.access.api_keys import NOBODY, Key, find
from sovereign_ml.service.access.session import COOKIE
from sovereign_ml.service.bodies import read_body
from sovereign_ml.service.problems import LOG_AWAY, ProblemError, unavailable

if TYPE_CHECKING:
    from sovereign_ml.service.runtime import Runtime

CASE_ID = re.compile("[0-9a-f]{32}")
JSON = "application/json"
HTML = "text/html; charset=utf-8"
SAFE = {
    # No scripts at all: the pages work without any.
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    # Answers are about people, so no proxy and no browser may keep one.
    "cache-control": "no-store",
    "strict-transport-security": "max-age=63072000",
}
log = logging.getLogger("sovereign_ml.service")


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, content and type of an answer."""

    body: bytes
    status: int = 200
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """The argument of a handler: the request, its key, and the parsed body (None without one)."""

    runtime: Runtime
    request: Request
    key: Key
    body: Any

    @property
    def case_id(self) -> str:
        """Return the ``{id}`` of the path.

        Raises ProblemError 404 for text that can be no case id, without a query to the database.
        """
        text = str(self.request.path_params["id"])
        if not CASE_ID.fullmatch(text):
            raise ProblemError(404, "No such case.")
        return text


def problem(error: ProblemError) -> Answer:
    """Return the answer for a problem, as a program reads it."""
    body = error.problem.model_dump_json(exclude_defaults=False).encode()
    return Answer(body, error.problem.status, "application/problem+json", error.headers)


Handler = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True)
class Route:
    """One row of the route table.

    Empty ``scopes`` means public. A page signs in with a cookie instead of a header.
    """

    method: str
    path: str
    handler: Handler
    scopes: frozenset[str]
    summary: str
    answers: Mapping[int, type[BaseModel] | str]
    body: str | None = None
    limit: int = 16_384
    page: bool = False
    cost: Callable[[Any], int] = lambda _body: 1
    refuse: Callable[[ProblemError], Answer] = problem
    """Answer to a problem: a page for a person, JSON for a program."""


def reply_json(content: BaseModel | dict[str, Any], status: int = 200) -> Answer:
    """Return an answer from a model or a plain object."""
    plain = content.model_dump(mode="json") if isinstance(content, BaseModel) else content
    return Answer(json.dumps(plain, separators=(",", ":")).encode(), status)


class _Incoming:
    """The messages of one request, and whether its body is still on the way."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.waits = False

    async def __call__(self) -> Message:
        """Wait for the next message."""
        self.waits = True
        message = await self._receive()
        self.waits = False
        return message


def _too_slow(incoming: _Incoming, seconds: float) -> ProblemError:
    if incoming.waits:
        return ProblemError(
            408, f"The body did not arrive within {seconds:g} s.", headers={"connection": "close"}
        )
    detail = (
        f"There was no answer within {seconds:g} s. What was to be written may have been: look "
        "before you ask again, where that matters."
    )
    return ProblemError(503, detail, headers={"retry-after": "5"})


class Endpoint:
    """The ASGI application of one path. The routes of its methods come from the table."""

    def __init__(self, routes: Mapping[str, Route], runtime: Callable[[], Runtime]) -> None:
        self._routes = routes
        self._runtime = runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. An internal error shows no details outside."""
        # HEAD is a GET without the body, which the server leaves out.
        route = self._routes.get("GET" if scope["method"] == "HEAD" else scope["method"])
        runtime = self._runtime()
        incoming = _Incoming(receive)
        refuse = route.refuse if route else problem
        try:
            async with asyncio.timeout(runtime.longest_request_s):
                answer = await self._answer(route, runtime, Request(scope, incoming))
        except TimeoutError:
            answer = refuse(_too_slow(incoming, runtime.longest_request_s))
        except ProblemError as error:
            answer = refuse(error)
        # Without a log entry no decision may leave.
        except LogUnavailableError:
            answer = refuse(unavailable(LOG_AWAY))
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            # Neither message nor values: both may hold personal data.
            log.error("%s in %s line %s", type(error).__name__, frame.name, frame.lineno)
            answer = refuse(ProblemError(500, "Something went wrong here. Ask again later."))
        runtime.metrics.count(route.path if route else "", answer.status)
        await send_answer(answer, send)

    async def _answer(self, route: Route | None, runtime: Runtime, request: Request) -> Answer:
        if route is None:
            allowed = ", ".join(sorted(self._routes))
            raise ProblemError(405, f"This path takes {allowed}.", headers={"allow": allowed})
        key = allowed_key(route, runtime, request)
        body = (
            await read_body(route, runtime.models, request, runtime.body_sizes)
            if route.body
            else None
        )
        # A public route has no key, so there is no bucket to take from.
        if route.scopes:
            runtime.limiter.spend(key.name, route.cost(body))
        return await route.handler(Call(runtime, request, key, body))


def allowed_key(route: Route, runtime: Runtime, request: Request) -> Key:
    """Return the key of the request if it may use ``route``.

    Raises ProblemError 401 or 403 if not.
    """
    if not route.scopes or runtime.settings.open_to_all:
        return NOBODY
    key = _sent_key(route, runtime, request)
    if key is None:
        detail = "Send a valid key: Authorization: Bearer <key>."
        raise ProblemError(401, detail, headers={"www-authenticate": "Bearer"})
    if not key.scopes & route.scopes:
        raise ProblemError(403, f"This needs a key with scope {' or '.join(sorted(route.scopes))}.")
    return key


def _sent_key(route: Route, runtime: Runtime, request: Request) -> Key | None:
    keys = runtime.settings.keys
    if route.page:
        return runtime.sessions.key_of(keys, request.cookies.get(COOKIE, ""))
    sent = [value for name, value in request.scope["headers"] if name == b"authorization"]
    # Several authorization headers are ambiguous.
    if len(sent) != 1 or sent[0][:7].lower() != b"bearer ":
        return None
    # A header may hold any bytes, and latin-1 decodes all of them.
    return find(keys, sent[0][7:].decode("latin-1").strip())


# Encoded once for each content type, because every answer has them.
@lru_cache(maxsize=32)
def _fixed_headers(content_type: str) -> list[tuple[bytes, bytes]]:
    return [(k.encode(), v.encode()) for k, v in {"content-type": content_type, **SAFE}.items()]


async def send_answer(answer: Answer, send: Send) -> None:
    """Send ``answer`` with the security headers."""
    headers = [
        *_fixed_headers(answer.content_type),
        (b"content-length", str(len(answer.body)).encode()),
    ]
    headers += [(name.encode(), value.encode()) for name, value in answer.headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
