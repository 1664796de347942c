"""Fields in the body of each kind of entry on which readers of the log rely."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sovereign_ml.decision_log.entries import Entry

Outcome = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,39}$")]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Body(BaseModel):
    """Fields on which readers rely. Others may stand beside them."""

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
    copied: str = ""


class ReviewBody(_Body):
    """A reviewer's outcome."""

    outcome: Outcome
    reviewer: str
    seeded: bool
    override: bool
    seconds: float | None = None


class RectificationBody(_Body):
    """The correction, and the decision that was made instead."""

    text: str = ""
    corrected_by: str | None = None


class ContestBody(_Body):
    """The person's own view."""

    view: str = ""


class RestrictionBody(_Body):
    """Ground of a restriction of processing, GDPR Art. 18(1)."""

    ground: str = ""


class LiftBody(_Body):
    """Reason for the end of a restriction.

    ``informed_on`` is the day on which the person was told before (GDPR Art. 18(3)).
    """

    reason: str
    informed_on: str


class ConsentBody(_Body):
    """Reference to the record of the new consent (GDPR Art. 7(1)), and the day it was given."""

    reference: str
    given_on: str


class ErasureBody(_Body):
    """Blanked entries, the hash of their person, and the hashes of barred people among them."""

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
    """Return the content of the body of ``entry``, and everything that is odd about it.

    The content is empty where it is unreliable.
    """
    odd = [] if entry.subject or entry.kind in OF_NOBODY else ["it concerns nobody"]
    try:
        content = json.loads(entry.body or "")
        if not isinstance(content, dict):
            raise ValueError("no object")
    # json gives up on thousands of nested brackets with a RecursionError.
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
