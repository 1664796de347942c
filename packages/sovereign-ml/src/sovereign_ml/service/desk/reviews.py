"""Review by a person: open cases, their outcome, planted errors, and the evidence that the review is real."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from sovereign_ml.decision_log import DecisionLog, Draft, Entry
from sovereign_ml.decision_log.evidence import tally
from sovereign_ml.decisions.decision_policy import Suggestion, decide
from sovereign_ml.service.api.scoring import reasons
from sovereign_ml.service.http import Answer, Call, reply_json
from sovereign_ml.service.problems import ProblemError
from sovereign_ml.service.runtime import Runtime
from sovereign_ml.service.schemas import Evidence, OpenCase, ReviewAnswer, ReviewsAnswer

SEED = "seed-"


async def listing(call: Call) -> Answer:
    """Open cases and the evidence so far."""
    return reply_json(await overview(call.runtime))


async def decide_case(call: Call) -> Answer:
    """A reviewer's outcome through the API."""
    await settle(call, call.body.model_dump())
    return reply_json(ReviewAnswer(case_id=call.case_id, outcome=call.body.outcome))


async def overview(runtime: Runtime) -> ReviewsAnswer:
    """Open cases, oldest first, and the evidence so far."""
    entries = await runtime.read(lambda log: log.open_reviews())
    reviews = await runtime.read(lambda log: log.of_kind("review"))
    return ReviewsAnswer(open=[_open_case(entry) for entry in entries], evidence=evidence(reviews))


async def open_case(runtime: Runtime, case_id: str) -> list[Entry]:
    """Entries of a case that still waits; ProblemError 404 when there is no such case, 409 when it is decided."""

    def find(log: DecisionLog) -> tuple[list[Entry], bool]:
        return log.of_case(case_id), log.review_is_open(case_id)

    entries, is_open = await runtime.read(find)
    if not entries or entries[0].kind not in ("decision", "seed") or not entries[0].body:
        raise ProblemError(404, "No such case.")
    if not is_open:
        raise ProblemError(409, "This case does not wait for a review.")
    return entries


async def settle(call: Call, given: dict[str, Any]) -> None:
    """Write the review; once in a while plant an error afterwards. ProblemError 409 if somebody else was faster."""
    entries = await open_case(call.runtime, call.case_id)
    if given["outcome"] == "offer" and entries[0].subject in call.runtime.objectors:
        raise ProblemError(
            409, "This customer objected to offers: the outcome can only be no_offer."
        )
    case = json.loads(entries[0].body or "{}")
    seeded = entries[0].kind == "seed"
    body = {
        **given,
        "reviewer": call.key.name,
        "override": given["outcome"] != case["suggestion"],
        "seeded": seeded,
    }
    drafts = [Draft("review", call.case_id, entries[0].subject, json.dumps(body), json.dumps(body))]
    planted = None if seeded else plant(call.runtime, entries[0], case)
    written = await call.runtime.write(*drafts, *([planted] if planted else []))
    if written[0] is None:
        raise ProblemError(409, "This case was decided by somebody else in the meantime.")


def plant(runtime: Runtime, entry: Entry, case: dict[str, Any]) -> Draft | None:
    """A copy of a reviewed case whose suggestion is wrong on purpose, for the share of cases in the settings.

    Everything is mirrored, so that only whoever reads the inputs can notice; its outcome reaches nobody.
    """
    draw = int(hashlib.sha256(entry.case_id.encode()).hexdigest()[:8], 16) / 16**8
    if draw >= runtime.settings.seed_share:
        return None
    mirrored = {name: -value for name, value in case["contributions"].items()}
    score = 1 - case["score"]
    wrong = decide(runtime.bundle.policy, score, objected=False)
    if wrong.suggestion == case["suggestion"]:
        return None
    changed = {
        "score": score,
        "band": wrong.band,
        "suggestion": wrong.suggestion,
        "contributions": mirrored,
        "reasons": reasons(runtime, case["features"], mirrored),
    }
    case_id = hashlib.sha256(f"{SEED}{entry.case_id}{entry.digest}".encode()).hexdigest()[:32]
    return Draft("seed", case_id, entry.subject, json.dumps({**case, **changed}), opens_review=True)


def evidence(reviews: Sequence[Entry]) -> Evidence:
    """Cases, overrides, seconds and caught errors of all reviews that are still on record."""
    found = tally(reviews)
    return Evidence(
        cases=found.cases,
        overrides=found.overrides,
        override_rate=found.override_rate,
        median_seconds=found.median_seconds,
        seeded_errors=found.seeded,
        seeded_errors_caught=found.caught,
    )


def outcome_of(text: str) -> Suggestion | None:
    """The outcome a form field names, or None."""
    return "offer" if text == "offer" else "no_offer" if text == "no_offer" else None


def _open_case(entry: Entry) -> OpenCase:
    because: Any = "contested" if entry.kind == "contest" else "pending_review"
    return OpenCase(case_id=entry.case_id, because=because, opened_at=entry.at)
