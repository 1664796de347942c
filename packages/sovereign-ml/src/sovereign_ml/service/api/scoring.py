"""POST /v1/score and /v1/score/batch: features in, decision in the log, answer out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import to_json

from sovereign_ml.decision_log import Draft, Entry, Rejection, rectification
from sovereign_ml.decisions.decision_policy import decide
from sovereign_ml.model import wording
from sovereign_ml.service.api.decisions import of_customer
from sovereign_ml.service.api.feature_server import AWAY, Row
from sovereign_ml.service.http import Answer, Call
from sovereign_ml.service.problems import ProblemError, unavailable
from sovereign_ml.service.runtime import Runtime

REASONS = 3


def dumps(value: dict[str, Any]) -> str:
    """Compact JSON, in a fifth of the time that json takes. What is not finite has been refused before, as input."""
    return to_json(value).decode()


RECTIFIED = "An input was wrong; the decision was made again."
NOTHING = dumps({"score": None, "band": None, "reasons": [], "contributions": {}})


class Absent(Enum):
    """Why there is no decision about somebody: nothing is known, nothing may be kept, or there is one already."""

    UNKNOWN = "unknown_customer"
    ERASED = "erased"
    CORRECTED = "corrected"


async def score(call: Call) -> Answer:
    """Score one customer, also in place of a decision whose input was wrong."""
    wrong = call.body.corrects
    if wrong and not await of_customer(call.runtime, wrong, call.body.customer_id):
        raise ProblemError(404, "There is no such decision of this customer to correct.")
    (made,) = await _decisions(call, [call.body], wrong)
    if made is Absent.UNKNOWN:
        raise ProblemError(404, "The feature store does not know this customer; send the features.")
    if made is Absent.CORRECTED:
        raise ProblemError(
            409, "That decision was corrected already; correct the one that replaced it."
        )
    if made is Absent.ERASED:
        raise ProblemError(
            410, "This person was erased; somebody who comes back as a customer has a new id."
        )
    return Answer(made.encode())


async def score_batch(call: Call) -> Answer:
    """Score up to 1,000 customers; their decisions become durable together."""
    asked = call.body.customers
    made = await _decisions(call, asked)
    answers = [
        _nobody(call.runtime, one.customer_id, found) if isinstance(found, Absent) else found
        for one, found in zip(asked, made, strict=True)
    ]
    return Answer(('{"decisions":[' + ",".join(answers) + "]}").encode())


async def _decisions(
    call: Call, asked: Sequence[Any], wrong: str | None = None
) -> list[str | Absent]:
    """One answer as JSON per request, each already durable; ``wrong`` is the decision that the only one replaces."""
    runtime = call.runtime
    rows = await _rows(runtime, asked)
    head = {"bundle": runtime.reference, "key": call.key.name, **runtime.versions}
    if wrong:
        head["corrects"] = wrong
    made = [
        None if row is None else make(runtime, one.customer_id, row, source=_source(one), head=head)
        for one, row in zip(asked, rows, strict=True)
    ]
    drafts = [replace(one.draft, corrects=wrong) if wrong else one.draft for one in made if one]
    if wrong and drafts:
        drafts.append(
            rectification(wrong, drafts[0].subject or "", RECTIFIED, corrected_by=drafts[0].case_id)
        )
    written = iter(await runtime.write(*drafts) if drafts else ())
    return [_answer(runtime, one, next(written)) if one else Absent.UNKNOWN for one in made]


async def _rows(runtime: Runtime, asked: Sequence[Any]) -> list[Row | None]:
    """Feature rows; an empty one for who objected, None for who is unknown. Nothing is looked up for an objector."""
    rows: list[Row | None] = [
        {} if one.customer_id in runtime.objectors else one.features and one.features.__dict__
        for one in asked
    ]
    waiting = [i for i, row in enumerate(rows) if row is None]
    if waiting:
        found = await _looked_up(runtime, [asked[i].customer_id for i in waiting])
        for i, row in zip(waiting, found, strict=True):
            rows[i] = row
    return rows


async def _looked_up(runtime: Runtime, customers: Sequence[str]) -> list[Row | None]:
    if runtime.features is None:  # the request's model asks for features then
        raise unavailable(AWAY)
    found = await runtime.features.look_up(customers, list(runtime.specs))
    model: Any = runtime.models["ScoreRequest"]
    try:
        return [
            row and model.model_validate({"customer_id": one, "features": row}).features.__dict__
            for one, row in zip(customers, found, strict=True)
        ]
    except ValidationError:
        raise unavailable(AWAY) from None


class Made(NamedTuple):
    """A decision that is not written yet: its log entry, and the part of the answer that depends on the score."""

    draft: Draft
    outcome: str
    shown: str


def make(runtime: Runtime, customer: str, row: Row, *, source: str, head: dict[str, str]) -> Made:
    """Decide, and put all that was applied into the log entry, so that it can be explained later as it was."""
    objected = dumps({**head, "outcome": "objected"})
    case = runtime.ids.ordered()
    if not row:
        return Made(Draft("decision", case, customer, objected, objected), "objected", "")
    contributions = runtime.scorer.contributions(row)
    probability = runtime.scorer.probability(contributions)
    decision = decide(runtime.bundle.policy, probability, objected=False)
    in_words = reasons(runtime, row, contributions)
    # Encoded once for both: the answer is, to the letter, what the log holds.
    shown = dumps(
        {
            "score": probability,
            "band": decision.band,
            "reasons": in_words,
            "contributions": contributions,
        }
    )
    rest = {
        "outcome": decision.outcome,
        "suggestion": decision.suggestion,
        "source": source,
        "features": row,
    }
    body = dumps({**head, **rest})[:-1] + "," + shown[1:]
    waits = decision.outcome == "pending_review"
    return Made(
        Draft("decision", case, customer, body, objected, waits),
        decision.outcome,
        "" if waits else shown,
    )


def reasons(runtime: Runtime, row: Row, contributions: dict[str, float]) -> list[str]:
    """The strongest influences in words, strongest first, those without effect left out."""
    strongest = sorted(contributions, key=lambda name: -abs(contributions[name]))[:REASONS]
    return [
        f"{wording.subject(runtime.specs[name], row[name])} {wording.effect(contributions[name])}"
        for name in strongest
        if contributions[name]
    ]


def _answer(runtime: Runtime, made: Made, written: Entry | Rejection) -> str | Absent:
    """The answer to what was written, not to what was meant: an objection may have come in between."""
    draft, outcome, shown = made
    if isinstance(written, Rejection):
        return Absent.CORRECTED if written.reason == "corrected" else Absent.ERASED
    if outcome == "objected" or written.body != draft.body:
        outcome, shown = "objected", ""
        runtime.objectors.add(draft.subject or "")
    runtime.metrics.decided(outcome)
    head = {
        "decision_id": draft.case_id,
        "customer_id": draft.subject,
        "outcome": outcome,
        **runtime.versions,
    }
    return dumps(head)[:-1] + "," + (shown or NOTHING)[1:]


def _source(asked: Any) -> str:
    return "request" if asked.features else "feature_server"


def _nobody(runtime: Runtime, customer: str, why: Absent) -> str:
    head = {"decision_id": None, "customer_id": customer, "outcome": why.value, **runtime.versions}
    return dumps(head)[:-1] + "," + NOTHING[1:]
