"""What the body of each kind of entry holds, as far as readers of the log rely on it."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sovereign_ml.decision_log.entries import Entry

Outcome = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,39}$")]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Body(BaseModel):
    """Readers rely on these fields; others may stand beside them."""

    model_config = ConfigDict(strict=True, extra="allow")


class DecisionBody(_Body):
    """A decision, or a planted copy of one."""

    outcome: str = ""
    suggestion: Outcome | None = None
    bundle: str = ""
    score: float | None = None
    features: dict[str, Any] | None = None
    contributions: dict[str, float] | None = None
    reasons: list[str] = []


class ReviewBody(_Body):
    """A reviewer's outcome."""

    outcome: Outcome
    reviewer: str
    seeded: bool
    override: bool
    seconds: float | None = None


class RectificationBody(_Body):
    """What was corrected, and the decision that was made instead."""

    text: str = ""
    corrected_by: str | None = None


class ContestBody(_Body):
    """The person's own view."""

    view: str = ""


class RestrictionBody(_Body):
    """Why processing is restricted, GDPR Art. 18(1)."""

    ground: str = ""


class LiftBody(_Body):
    """Why a restriction ends, and the day on which the person was told before (GDPR Art. 18(3))."""

    reason: str
    informed_on: str


class ConsentBody(_Body):
    """Where the new consent is on record (GDPR Art. 7(1)), and the day on which it was given."""

    reference: str
    given_on: str


class ErasureBody(_Body):
    """What was blanked, whose it was (hash), and who of them was barred."""

    blanked: list[int]
    mark: Hash | None = None
    objectors: dict[str, Hash] = {}


SHAPES: dict[str, type[_Body]] = {
    "decision": DecisionBody,
    "seed": DecisionBody,
    "review": ReviewBody,
    "rectification": RectificationBody,
    "contest": ContestBody,
    "restriction": RestrictionBody,
    "restriction_lifted": LiftBody,
    "consent": ConsentBody,
    "erasure": ErasureBody,
}
OF_NOBODY = ("bundle", "campaign", "erasure")
"""Kinds of entries that concern no person."""


def content_of(entry: Entry) -> tuple[dict[str, Any], list[str]]:
    """Return what the body of ``entry`` says, empty where it cannot be relied on, and what is odd about it."""
    odd = [] if entry.subject or entry.kind in OF_NOBODY else ["it concerns nobody"]
    try:
        content = json.loads(entry.body or "")
        if not isinstance(content, dict):
            raise ValueError("no object")
    except (ValueError, RecursionError):
        return {}, [*odd, "its content is no JSON object"]
    try:
        SHAPES.get(entry.kind, _Body).model_validate(content)
    except (ValidationError, RecursionError) as error:
        # The value stays out of the message: it may be about a person.
        first = error.errors()[0]["loc"] if isinstance(error, ValidationError) else ()
        where = ".".join(map(str, first[:1])) or "its content"
        return {}, [*odd, f"{where} is not what a {entry.kind} holds"]
    return content, odd
