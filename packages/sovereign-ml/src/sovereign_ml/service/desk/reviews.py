"""Review by a person: open cases, outcomes, planted errors, and evidence of a real review."""

from __future__ import annotations

import json
import math
import re
import secrets
from collections.abc import Sequence
from typing import Any

from sovereign_ml.decision_log import DecisionLog, Draft, Entry, Rejection
from sovereign_ml.decision_log.evidence import Counts, tally
from sovereign_ml.decisions.decision_policy import DecisionPolicy, decide
from sovereign_ml.service.api.scoring import reasons
from sovereign_ml.service.http import Answer, Call, reply_json
from sovereign_ml.service.problems import ProblemError
from sovereign_ml.service.runtime import Runtime
from sovereign_ml.service.schemas import Evidence, OpenCase, ReviewAnswer, ReviewsAnswer

PAGE = 100
"""Number of cases on one page of the desk."""
SHOWN = ("case", "seeded", "seconds")
"""Facts of the evidence on the desk. None of them has more values the longer the log is."""
SOURCES = 200
"""Number of newest decisions, of which one is copied where the reviewed one cannot be."""
REFUSED = {
    "objected": "This customer objected to direct marketing: {only}.",
    "restricted": "Processing of this customer's data is restricted: {only}.",
    "withdrawn": "This customer withdrew consent: {only}.",
    "changed": "Something was added to this case since you read it. Read it again, then decide.",
    "same_reviewer": (
        "This case is contested, and your key decided it before: a reviewer with "
        "another key decides now."
    ),
    "not_open": "This case was decided by somebody else in the meantime.",
}


async def listing(call: Call) -> Answer:
    """Return open cases and the evidence so far."""
    return reply_json(await overview(call.runtime, place(call)))


def place(call: Call) -> int:
    """Return the number in ``after``, behind which the list goes on. Default is the start.

    Raises ProblemError 422 for a value that is no number.
    """
    number = call.request.query_params.get("after", "0")
    # Numbers of 18 digits fit into the 64-bit integers of both databases.
    if not re.fullmatch("[0-9]{1,18}", number, re.ASCII):
        raise ProblemError(422, "after has to be the next of the page before.")
    return int(number)


async def decide_case(call: Call) -> Answer:
    """Write a reviewer's outcome that comes through the API."""
    review = call.body.model_dump(exclude={"version"})
    await settle(call, review, call.body.version)
    return reply_json(ReviewAnswer(case_id=call.case_id, outcome=call.body.outcome))


async def overview(runtime: Runtime, after: int = 0) -> ReviewsAnswer:
    """Return a page of open cases, oldest first, and the evidence so far."""

    def find(log: DecisionLog) -> ReviewsAnswer:
        # One case more than a page shows whether there is a next page.
        entries = log.open_reviews(PAGE + 1, after=after)
        listed = entries[:PAGE]
        seals = log.newest_seals([entry.case_id for entry in listed])
        return ReviewsAnswer(
            open=[_open_case(entry, seals[entry.case_id]) for entry in listed],
            waiting=log.number_waiting(),
            next=listed[-1].seq if len(entries) > PAGE else None,
            evidence=evidence(log.counts(SHOWN)),
        )

    return await runtime.read(find)


async def open_case(runtime: Runtime, case_id: str) -> list[Entry]:
    """Return the entries of a case that still waits.

    Raises ProblemError 404 for an unknown case, and 409 for one that is decided.
    """

    def find(log: DecisionLog) -> tuple[list[Entry], bool]:
        return log.of_case(case_id), log.review_is_open(case_id)

    entries, is_open = await runtime.read(find)
    if not entries or entries[0].kind not in ("decision", "seed") or not entries[0].body:
        raise ProblemError(404, "No such case.")
    if not is_open:
        raise ProblemError(409, "This case does not wait for a review.")
    return entries


async def settle(call: Call, review: dict[str, Any], version: str) -> None:
    """Write the review, and sometimes plant an error afterwards.

    ``version`` is that of the case as the reviewer read it. The log decides in the transaction that
    writes. Raises ProblemError 409 if something was added since, somebody else was faster, the
    person is barred, or the person contests a decision of this reviewer.
    """
    entries = await open_case(call.runtime, call.case_id)
    case = json.loads(entries[0].body or "{}")
    # The outcomes are those of the policy that decided, whatever is served now.
    policy = (await call.runtime.kept(case["bundle"])).policy
    if review["outcome"] not in policy.choices:
        allowed = ", ".join(policy.choices)
        raise ProblemError(422, f"outcome has to be one of the outcomes of this case: {allowed}.")
    nothing = policy.leaves_all_as_it_is
    seeded = entries[0].kind == "seed"
    body = {
        **review,
        "reviewer": call.key.name,
        "override": review["outcome"] != case["suggestion"],
        "seeded": seeded,
    }
    draft = Draft(
        "review",
        call.case_id,
        entries[0].subject,
        json.dumps(body),
        reviewed_seal=version,
        changes_nothing=review["outcome"] == nothing,
    )
    (written,) = await call.runtime.write(draft)
    if isinstance(written, Rejection):
        only = f"the outcome can only be {nothing}" if nothing else "nothing can be decided now"
        why = REFUSED.get(written.reason, REFUSED["not_open"])
        raise ProblemError(409, why.format(only=only))
    if not seeded and (planted := await plant(call.runtime, entries[0])):
        call.runtime.planting.add(planted)


def version_of(entries: Sequence[Entry]) -> str:
    """Return the version that a review has to name.

    It changes with every entry of the case, and discloses nothing else.
    """
    return entries[-1].seal


async def plant(runtime: Runtime, entry: Entry) -> Draft | None:
    """Return a copy of a case whose suggestion is wrong on purpose, or None.

    The settings have the share of cases that are copied. The wrong score lies anywhere in any band
    of the other suggestion, so the error may be small or large. Influences and reasons add up to
    it, so that only a reviewer who reads the inputs can notice. Its outcome reaches nobody.
    """
    # Drawn anew each time: a value that a reviewer can compute from the case would reveal which
    # review is followed by a planted one.
    draw = secrets.randbelow(16**8) / 16**8
    if draw >= runtime.settings.seed_share:
        return None
    policy = runtime.bundle.policy
    source = await _to_copy(runtime, entry)
    case = json.loads(source.body or "{}") if source else {}
    score = wrong_score(policy, case["suggestion"]) if case else None
    if not source or score is None:
        return None
    wrong = decide(policy, score)
    contributions = shifted(case["contributions"], logit(score) - logit(case["score"]))
    changed = {
        "score": score,
        "band": wrong.band,
        "suggestion": wrong.suggestion,
        "contributions": contributions,
        "reasons": reasons(runtime, case["features"], contributions),
        "copied": source.case_id,
    }
    return Draft("seed", "", source.subject, json.dumps({**case, **changed}), opens_review=True)


async def _to_copy(runtime: Runtime, reviewed: Entry) -> Entry | None:
    """Return the reviewed case, or another where a wrong copy would be recognised.

    Where only some outcomes wait for a person, a copy with one that never waits would be
    recognised.
    """
    if _has_wrong_copy(runtime, reviewed):
        return reviewed
    newest = await runtime.read(lambda log: log.newest("decision", SOURCES))
    others = [entry for entry in newest if _has_wrong_copy(runtime, entry)]
    return secrets.choice(others) if others else None


def _has_wrong_copy(runtime: Runtime, entry: Entry) -> bool:
    case = json.loads(entry.body or "{}")
    # An older bundle has other bands, and inputs for which there are no words here.
    same = case.get("bundle") == runtime.reference
    return same and bool(_wrong_bands(runtime.bundle.policy, case.get("suggestion")))


def _wrong_bands(policy: DecisionPolicy, suggestion: str | None) -> list[int]:
    """Return the bands with another outcome that waits for a person too.

    Where none waits by itself, people review contested decisions, which may have any outcome.
    """
    if suggestion not in policy.choices:
        return []
    bands = range(len(policy.names))
    waiting = [i for i in bands if policy.waits[i]] or bands
    return [i for i in waiting if policy.suggestions[i] != suggestion]


def wrong_score(policy: DecisionPolicy, suggestion: str) -> float | None:
    """Return a secretly drawn score that leads to another suggestion, None where no band does."""
    ends, bands = (0.0, *policy.thresholds, 1.0), _wrong_bands(policy, suggestion)
    if not bands:
        return None
    band = secrets.choice(bands)
    # Neither 0 nor 1, and not the end of the band, which belongs to the next one.
    share = (secrets.randbelow(10**9) + 0.5) / 10**9
    return ends[band] + (ends[band + 1] - ends[band]) * share


def shifted(contributions: dict[str, float], by: float) -> dict[str, float]:
    """Return log-odds that add up to ``by`` more, in proportion to the size of each influence."""
    whole = sum(map(abs, contributions.values()))
    if not whole:
        return {name: by / len(contributions) for name in contributions}
    return {name: value + by * abs(value) / whole for name, value in contributions.items()}


def logit(score: float) -> float:
    """Return the log-odds of a probability, which is kept within 1e-9 of 0 and 1.

    Those limits are far outside of what a model returns.
    """
    inside = min(max(score, 1e-9), 1 - 1e-9)
    return math.log(inside / (1 - inside))


def evidence(counts: Counts) -> Evidence:
    """Return cases, overrides, seconds and caught errors of all reviews still on record."""
    totals = tally(counts)
    return Evidence(
        cases=totals.cases,
        overrides=totals.overrides,
        override_rate=totals.override_rate,
        median_seconds=totals.median_seconds,
        seeded_errors=totals.seeded,
        seeded_errors_caught=totals.caught,
    )


def outcome_of(policy: DecisionPolicy, text: str) -> str | None:
    """Return the outcome of the policy that a form field names, or None."""
    return text if text in policy.choices else None


def _open_case(entry: Entry, version: str) -> OpenCase:
    because: Any = "contested" if entry.kind == "contest" else "pending_review"
    return OpenCase(case_id=entry.case_id, because=because, opened_at=entry.at, version=version)
