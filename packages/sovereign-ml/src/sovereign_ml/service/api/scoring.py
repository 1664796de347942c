"""POST /v1/score and /v1/score/batch: features in, decision in the log, answer out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import to_json

from sovereign_ml.decision_log import Draft, Entry, Rejection, rectification
from sovereign_ml.decision_log.entries import BARS
from sovereign_ml.decisions import freshness
from sovereign_ml.decisions.decision_policy import decide
from sovereign_ml.model import wording
from sovereign_ml.model.feasible_changes import missing
from sovereign_ml.service.api.decisions import of_customer
from sovereign_ml.service.api.feature_server import AWAY, LookedUp, Row
from sovereign_ml.service.http import Answer, Call
from sovereign_ml.service.problems import ProblemError, unavailable
from sovereign_ml.service.runtime import Runtime

REASONS = 3


def dumps(value: dict[str, Any]) -> str:
    """Return compact JSON, in a fifth of the time that ``json`` takes.

    Numbers that are not finite were refused before, as input.
    """
    return to_json(value).decode()


RECTIFIED = "An input was wrong; the decision was made again."
NOTHING = dumps({"score": None, "band": None, "reasons": [], "contributions": {}})


UNDATED: dict[str, str | None] = {"features_as_of": None, "freshness": None}
"""Dates of an answer for which no features were used."""


class Absent(Enum):
    """Reasons for no decision about somebody.

    Nothing is known, nothing may be kept, there is one already, or its features are not current.
    """

    UNKNOWN = "unknown_customer"
    ERASED = "erased"
    CORRECTED = "corrected"
    NOT_CURRENT = "features_not_current"


class Dated(NamedTuple):
    """Features of one customer, their date, and its verdict under the policy.

    A person with a ``bar`` has none: nothing is looked up.
    """

    row: Row
    as_of: str | None
    freshness: str | None
    bar: str = ""


NEW_FEATURES_S = 3600
"""Seconds until a retry where features are too old: new ones do not come within seconds."""


async def score(call: Call) -> Answer:
    """Score one customer, also in place of a decision whose input was wrong."""
    wrong = call.body.corrects
    if wrong and not await of_customer(call.runtime, wrong, call.body.customer_id):
        raise ProblemError(404, "There is no such decision of this customer to correct.")
    (result,) = await _decisions(call, [call.body], wrong)
    if result is Absent.UNKNOWN:
        raise ProblemError(404, "The feature store does not know this customer; send the features.")
    if result is Absent.CORRECTED:
        raise ProblemError(
            409, "That decision was corrected already; correct the one that replaced it."
        )
    if result is Absent.ERASED:
        raise ProblemError(
            410, "This person was erased; somebody who comes back as a customer has a new id."
        )
    if isinstance(result, Absent):  # one customer with old features has been refused before
        raise unavailable(AWAY)
    return Answer(result.encode())


async def score_batch(call: Call) -> Answer:
    """Score up to 1,000 customers. Their decisions become durable together."""
    requests = call.body.customers
    results = await _decisions(call, requests)
    answers = [
        _nobody(call.runtime, request.customer_id, result) if isinstance(result, Absent) else result
        for request, result in zip(requests, results, strict=True)
    ]
    return Answer(('{"decisions":[' + ",".join(answers) + "]}").encode())


async def _decisions(
    call: Call, requests: Sequence[Any], wrong: str | None = None
) -> list[str | Absent]:
    """Return one answer as JSON per request. Each decision is already durable.

    ``wrong`` is the decision that the only one of this call replaces.
    """
    runtime = call.runtime
    rows = _usable(runtime, await _rows(runtime, requests))
    head = {"bundle": runtime.reference, "key": call.key.name, **runtime.versions}
    if wrong:
        head["corrects"] = wrong
    results = [
        row
        if row is None or isinstance(row, Absent)
        else make(runtime, request.customer_id, row, source=_source(request), head=head)
        for request, row in zip(requests, rows, strict=True)
    ]
    drafts = [
        replace(result.draft, corrects=wrong) if wrong else result.draft
        for result in results
        if isinstance(result, Made)
    ]
    # The new decision and the note on the wrong one are written in one transaction.
    if wrong and drafts:
        drafts.append(
            rectification(wrong, drafts[0].subject or "", RECTIFIED, corrected_by=drafts[0].case_id)
        )
    written = iter(await runtime.write(*drafts) if drafts else ())
    return [
        _answer(runtime, result, next(written))
        if isinstance(result, Made)
        else result or Absent.UNKNOWN
        for result in results
    ]


async def _rows(runtime: Runtime, requests: Sequence[Any]) -> list[Dated | LookedUp | None]:
    """Return feature rows: an empty one for a barred person, None for an unknown one.

    Nothing is looked up for the barred.
    """
    await _forget_lifted(runtime, [request.customer_id for request in requests])
    # The bar is noted here: another request may forget it while features are looked up.
    rows: list[Dated | LookedUp | None] = [
        Dated({}, None, None, bar)
        if (bar := runtime.barred.get(request.customer_id))
        else request.features and Dated(request.features.__dict__, None, "not_dated")
        for request in requests
    ]
    waiting = [i for i, row in enumerate(rows) if row is None]
    if waiting:
        looked_up = await _looked_up(runtime, [requests[i].customer_id for i in waiting])
        for i, row in zip(waiting, looked_up, strict=True):
            rows[i] = row
    return rows


async def _forget_lifted(runtime: Runtime, customers: Sequence[str]) -> None:
    """Ask the log again about customers whom this instance takes for barred.

    Another instance may have written the end of the bar.
    """
    held = [
        customer for customer in customers if runtime.barred.get(customer, "objected") != "objected"
    ]
    if held:
        now = await runtime.read(lambda log: log.barred(held))
        for customer in held:
            runtime.barred.pop(customer, None)
        runtime.barred.update(now)


def _usable(
    runtime: Runtime, rows: Sequence[Dated | LookedUp | None]
) -> list[Dated | Absent | None]:
    """Compare the dates of looked-up features with the clock.

    Raises ProblemError 503 where nothing is current.
    """
    now, policy = datetime.now(UTC), runtime.bundle.policy
    usable: list[Dated | Absent | None] = []
    for row in rows:
        if not isinstance(row, LookedUp):
            usable.append(row)
            continue
        old = freshness.too_old(row.oldest, now, policy.max_feature_age_days)
        refused = old and runtime.settings.old_features != "allow"
        if refused or freshness.too_early(row.newest, now):
            usable.append(Absent.NOT_CURRENT)
        else:
            how = "too_old" if old else "current"
            usable.append(Dated(row.row, freshness.shown(row.oldest), how))
    # With one usable customer a batch is answered, and names the others in it.
    if Absent.NOT_CURRENT in usable and all(
        result in (None, Absent.NOT_CURRENT) for result in usable
    ):
        dated = [row for row in rows if isinstance(row, LookedUp)]
        first = min(row.oldest for row in dated)
        last = max(row.newest for row in dated)
        raise unavailable(
            f"Nothing was decided: the features are as of {freshness.shown(first)} to "
            f"{freshness.shown(last)}, and now is {freshness.shown(now)}. They may be "
            f"{policy.max_feature_age_days} days old and not from the future. Run the flow on new "
            "data, or look at the clocks.",
            NEW_FEATURES_S,
        )
    return usable


async def _looked_up(runtime: Runtime, customers: Sequence[str]) -> list[LookedUp | None]:
    if runtime.features is None:  # the request's model asks for features then
        raise unavailable(AWAY)
    stored = await runtime.features.look_up(customers, list(runtime.specs))
    model: Any = runtime.models["ScoreRequest"]
    try:
        return [
            features
            and features._replace(
                row=model.model_validate(
                    {"customer_id": customer, "features": features.row}
                ).features.__dict__
            )
            for customer, features in zip(customers, stored, strict=True)
        ]
    # Values outside the contract are a fault of the store and not of the request.
    except ValidationError:
        raise unavailable(AWAY) from None


class Made(NamedTuple):
    """A decision that is not written yet.

    It has the log entry, and the part of the answer that depends on the score.
    """

    draft: Draft
    outcome: str
    disclosed: str
    dates: dict[str, str | None]
    score: float | None = None
    missing: tuple[str, ...] = ()


def make(
    runtime: Runtime, customer: str, dated: Dated, *, source: str, head: dict[str, str]
) -> Made:
    """Decide, and put everything that was applied into the log entry.

    With it the decision can be explained later as it was.
    """
    # The log stores this body where the person objects before the entry is written.
    refused = dumps({**head, "outcome": "objected"})
    case, row = runtime.ids.ordered(), dated.row
    dates = {"features_as_of": dated.as_of, "freshness": dated.freshness}
    if dated.bar:
        body = dumps({**head, "outcome": dated.bar})
        return Made(Draft("decision", case, customer, body, refused), dated.bar, "", dates)
    contributions = runtime.scorer.contributions(row)
    probability = runtime.scorer.probability(contributions)
    decision = decide(runtime.bundle.policy, probability)
    in_words = reasons(runtime, row, contributions)
    # Encoded once for both: the answer is, to the letter, what the log holds.
    disclosed = dumps(
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
        **dates,
        "features": row,
    }
    body = dumps({**head, **rest})[:-1] + "," + disclosed[1:]
    waits = decision.outcome == "pending_review"
    return Made(
        Draft("decision", case, customer, body, refused, waits),
        decision.outcome,
        "" if waits else disclosed,
        dates,
        probability,
        tuple(name for name, value in row.items() if missing(value)),
    )


def reasons(runtime: Runtime, row: Row, contributions: dict[str, float]) -> list[str]:
    """Return the strongest influences in words, strongest first.

    Influences without effect are left out, but for the first: a score always has a reason.
    """
    strongest = sorted(contributions, key=lambda name: -abs(contributions[name]))[:REASONS]
    return [
        wording.reason(runtime.specs[name], row[name], contributions[name])
        for name in strongest
        if name == strongest[0] or wording.direction(contributions[name]) != "none"
    ]


def _answer(runtime: Runtime, unwritten: Made, written: Entry | Rejection) -> str | Absent:
    """Return the answer to the entry that was written, which may differ from the draft.

    A bar may have come in between.
    """
    draft, outcome, disclosed, dates, score, without = unwritten
    if isinstance(written, Rejection):
        return Absent.CORRECTED if written.reason == "corrected" else Absent.ERASED
    if outcome in BARS.values() or written.body != draft.body:
        outcome, disclosed, dates = json.loads(written.body or "{}")["outcome"], "", UNDATED
        # The log knew a bar that this instance did not.
        runtime.barred[draft.subject or ""] = outcome
    elif score is not None:
        runtime.metrics.scored(score, without)
    runtime.metrics.decided(outcome)
    head = {
        "decision_id": draft.case_id,
        "customer_id": draft.subject,
        "outcome": outcome,
        **dates,
        **runtime.versions,
    }
    return dumps(head)[:-1] + "," + (disclosed or NOTHING)[1:]


def _source(request: Any) -> str:
    return "request" if request.features else "feature_server"


def _nobody(runtime: Runtime, customer: str, why: Absent) -> str:
    head = {
        "decision_id": None,
        "customer_id": customer,
        "outcome": why.value,
        **UNDATED,
        **runtime.versions,
    }
    return dumps(head)[:-1] + "," + NOTHING[1:]
