"""Request bodies: their type, their limits of size and time, and the contract."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from sovereign_ml.decisions.feature_contract import FeatureContract
from sovereign_ml.service.problems import ProblemError, invalid
from sovereign_ml.service.schemas import LONGEST_CATEGORY, MOST_IN_A_BATCH

NUMBER_BYTES, LETTER_BYTES, CUSTOMER_BYTES = 48, 6, 256
"""Most bytes of a number, of a letter of a category, and of a customer without features.

A number has up to 24 digits and signs, a letter may be escaped (``\\u00e4``), and some clients indent.
"""
NO_SIZES: Mapping[str, int] = MappingProxyType({})


def body_sizes(contract: FeatureContract) -> dict[str, int]:
    """Return the most bytes that a valid request needs, by the name of its model.

    A model with many inputs needs more than the usual limit, and a full batch a thousand times that.
    """
    categories = sum(spec.dtype == "string" for spec in contract.features)
    names = sum(len(spec.name.encode()) for spec in contract.features)
    customer = (
        CUSTOMER_BYTES
        + names
        + NUMBER_BYTES * len(contract.features)
        + LETTER_BYTES * LONGEST_CATEGORY * categories
    )
    return {"ScoreRequest": customer, "BatchRequest": MOST_IN_A_BATCH * customer}


class Taking(Protocol):
    """Parts of a route that matter here: model, size limit, page or not."""

    @property
    def body(self) -> str | None:
        """Return the name of the model, or None without a body."""

    @property
    def limit(self) -> int:
        """Return the largest size of the body in bytes."""

    @property
    def page(self) -> bool:
        """Return whether the body is an HTML form."""


async def read_body(
    route: Taking,
    models: Mapping[str, type[BaseModel]],
    request: Request,
    sizes: Mapping[str, int] = NO_SIZES,
) -> Any:
    """Return the body as the route's model, or a page's form as a dict.

    ``sizes`` are bytes that a body may have by its model, where that is more than the route's limit.
    Raises ProblemError 400, 403, 408, 413, 415 or 422.
    """
    if route.page:
        return await _form(route, request)
    if _type(request) != "application/json":
        raise ProblemError(415, "Send application/json.")
    content = await _read(request, max(route.limit, sizes.get(str(route.body), 0)))
    try:
        return models[str(route.body)].model_validate_json(content)
    except ValidationError as error:
        raise invalid(error) from None


async def _form(route: Taking, request: Request) -> dict[str, str]:
    """Return the fields of an HTML form. Refuse one that is not from our own pages."""
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    # The browser reports the origin of a form, and no page can change it. A proxy may have changed
    # the host.
    sent_from = request.headers.get("sec-fetch-site")
    ours = origin is not None and origin.partition("://")[2] == host
    if not (ours if sent_from is None else sent_from == "same-origin"):
        raise ProblemError(403, "This form was not sent from a page of this service.")
    if _type(request) != "application/x-www-form-urlencoded":
        raise ProblemError(415, "Send application/x-www-form-urlencoded.")
    content = await _read(request, route.limit)
    try:
        # Each form of ours has fewer fields. More of them would only keep the parser busy.
        return dict(parse_qsl(content.decode(), keep_blank_values=True, max_num_fields=10))
    except ValueError:
        raise ProblemError(400, "The form is malformed.") from None


def _type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _read(request: Request, limit: int) -> bytes:
    """Return the whole body, in however many pieces it comes.

    The request's deadline covers it.
    """
    declared = request.headers.get("content-length", "")
    # A declared length is only a promise: the bytes that arrive are counted as well.
    if declared.isdigit() and int(declared) > limit:
        raise ProblemError(413, f"The body may have at most {limit} bytes.")
    message = await _message(request)
    # Most bodies come in one piece, which needs no copy into a buffer.
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
