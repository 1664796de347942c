"""Request bodies: of the right type, not too large, not too slow, and as the contract says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from sovereign_ml.service.problems import ProblemError, invalid


class Taking(Protocol):
    """What of a route matters here: name of its model, most bytes, whether it is a page's form."""

    @property
    def body(self) -> str | None:
        """Name of the model."""

    @property
    def limit(self) -> int:
        """Most bytes."""

    @property
    def page(self) -> bool:
        """Whether an HTML form comes in."""


async def read_body(route: Taking, models: Mapping[str, type[BaseModel]], request: Request) -> Any:
    """The body as the route's model, or a page's form as a dict. Raises ProblemError 400, 403, 408, 413, 415 or 422."""
    if route.page:
        return await _form(route, request)
    if _type(request) != "application/json":
        raise ProblemError(415, "Send application/json.")
    content = await _read(request, route.limit)
    try:
        return models[str(route.body)].model_validate_json(content)
    except ValidationError as error:
        raise invalid(error) from None


async def _form(route: Taking, request: Request) -> dict[str, str]:
    """Fields of an HTML form, only from our own pages."""
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    # A browser says where a form came from, and no page can change it. A proxy may have changed the host.
    sent_from = request.headers.get("sec-fetch-site")
    ours = origin is not None and origin.partition("://")[2] == host
    if not (ours if sent_from is None else sent_from == "same-origin"):
        raise ProblemError(403, "This form was not sent from a page of this service.")
    if _type(request) != "application/x-www-form-urlencoded":
        raise ProblemError(415, "Send application/x-www-form-urlencoded.")
    content = await _read(request, route.limit)
    try:
        return dict(parse_qsl(content.decode(), keep_blank_values=True, max_num_fields=10))
    except ValueError:
        raise ProblemError(400, "The form is malformed.") from None


def _type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _read(request: Request, limit: int) -> bytes:
    """The whole body, however many pieces it comes in; the request's deadline covers it."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise ProblemError(413, f"The body may have at most {limit} bytes.")
    message = await _message(request)
    if not message.get("more_body"):
        return bytes(_within(message.get("body", b""), limit))
    body = bytearray(message.get("body", b""))
    while message.get("more_body"):
        message = await _message(request)
        body += message.get("body", b"")
        _within(body, limit)
    return bytes(body)


async def _message(request: Request) -> Any:
    message = await request.receive()
    if message["type"] == "http.disconnect":
        raise ProblemError(400, "The connection was closed before the body was complete.")
    return message


def _within(content: Any, limit: int) -> Any:
    if len(content) > limit:
        raise ProblemError(413, f"The body may have at most {limit} bytes.")
    return content
