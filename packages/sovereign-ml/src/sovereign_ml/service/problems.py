"""Errors as RFC 9457 problem details: the next step, and nothing about the inside."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

TITLES = {
    400: "Malformed request",
    401: "No valid key",
    403: "This key may not do that",
    404: "Not found",
    405: "Method not allowed",
    408: "Request too slow",
    409: "Not possible in this state",
    410: "Erased",
    413: "Request too large",
    415: "Wrong content type",
    422: "Invalid content",
    429: "Too many requests",
    500: "Internal error",
    503: "Not available right now",
}


LOG_AWAY = "Nothing was decided: the log is away."


class Fault(BaseModel):
    """One invalid value of the request body."""

    pointer: str = Field(
        description="JSON pointer into the body", examples=["/features/recency_days"]
    )
    detail: str = Field(examples=["Input should be greater than or equal to 0"])


class Problem(BaseModel):
    """application/problem+json (RFC 9457)."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(default="about:blank", examples=["about:blank"])
    title: str = Field(examples=["No valid key"])
    status: int = Field(examples=[401])
    detail: str = Field(examples=["Send a key: Authorization: Bearer <key>"])
    faults: list[Fault] = Field(
        default_factory=list, description="For 422: what is wrong with the body"
    )


class ProblemError(Exception):
    """Exception that ends a request with a problem answer."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: dict[str, str] | None = None,
        faults: list[Fault] | None = None,
    ) -> None:
        super().__init__(detail)
        self.headers = headers or {}
        self.written = ""
        """Text of a person in a form that was turned down, so that it is not lost."""
        self.problem = Problem(
            title=TITLES[status], status=status, detail=detail, faults=faults or []
        )


def unavailable(detail: str, retry_after_s: int = 5) -> ProblemError:
    """Return 503 with Retry-After: nothing was decided, ask again."""
    return ProblemError(503, detail, headers={"retry-after": str(retry_after_s)})


def invalid(error: ValidationError) -> ProblemError:
    """Return 422, or 400 when the body is no JSON at all. Sent values are not repeated."""
    # Sent values may be about people, and an answer ends in the logs of others.
    errors: list[Any] = error.errors(include_url=False, include_context=False, include_input=False)
    if errors and errors[0]["type"] == "json_invalid":
        return ProblemError(400, "The body is not valid JSON.")
    # The answer must not grow with the request: each value of a batch may be wrong.
    faults = [Fault(pointer=_pointer(e["loc"]), detail=e["msg"][:200]) for e in errors[:10]]
    return ProblemError(422, f"{len(errors)} values are not as the contract says.", faults=faults)


def _pointer(where: tuple[int | str, ...]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1")[:64] for part in where)
