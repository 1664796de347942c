"""Answers to a person about a decision, and contests of it."""

from __future__ import annotations

import json
from typing import Any

from sovereign_ml.decision_log import Draft, Entry, Rejection
from sovereign_ml.decision_log.entries import BARS
from sovereign_ml.service.http import Answer, Call, reply_json
from sovereign_ml.service.problems import ProblemError
from sovereign_ml.service.runtime import Runtime
from sovereign_ml.service.schemas import CaseStep, ContestAnswer, DecisionAnswer, InputShown

RECTIFIED = "rectification"
WHOSE = "customer-id"
"""Header in which the caller, who knows the person, names the person of the decision.

A decision about somebody else is "not found".
"""


async def show(call: Call) -> Answer:
    """Return everything that was applied to one person."""
    return reply_json(await explained(call.runtime, await _own_case(call)))


async def contest(call: Call) -> Answer:
    """Put the person's view into the log and the case before a reviewer."""
    entries = await _own_case(call)
    if json.loads(entries[0].body or "{}")["outcome"] in BARS.values():
        raise ProblemError(
            409,
            "This customer objected, withdrew consent or is restricted: no score was made, so "
            "there is none to contest.",
        )
    body = json.dumps({"view": call.body.view, "key": call.key.name})
    draft = Draft("contest", entries[0].case_id, entries[0].subject, body, opens_review=True)
    (written,) = await call.runtime.write(draft)
    if written == Rejection("contested"):
        raise ProblemError(
            409, "This decision is contested already: a person will look at it, see its history."
        )
    # The person may have been erased since the entries were read.
    if isinstance(written, Rejection):
        raise _not_theirs()
    contact = call.runtime.bundle.policy.reviewer_contact
    return reply_json(
        ContestAnswer(decision_id=entries[0].case_id, status="open", contact=contact), 202
    )


async def explained(runtime: Runtime, entries: list[Entry]) -> DecisionAnswer:
    """Return the whole explanation, from the log and the bundle that took the decision."""
    decision: dict[str, Any] = json.loads(entries[0].body or "{}")
    explainer, _, policy = await runtime.kept(decision["bundle"])
    steps = [step(entry) for entry in entries[1:] if entry.body]
    replaced = [
        json.loads(entry.body or "{}").get("corrected_by")
        for entry in entries
        if entry.kind == RECTIFIED
    ]
    verdicts = [each.outcome for each in steps if each.outcome]
    outcome = verdicts[-1] if verdicts else decision["outcome"]
    full = explainer.explain(decision["features"]) if decision.get("features") else None
    inputs = (
        [InputShown(**influence.model_dump(exclude={"direction"})) for influence in full.influences]
        if full
        else []
    )
    return DecisionAnswer(
        decision_id=entries[0].case_id,
        customer_id=entries[0].subject or "",
        decided_at=entries[0].at,
        outcome=outcome,
        adverse=outcome in policy.adverse,
        score=decision.get("score"),
        band=decision.get("band"),
        thresholds=dict(zip(policy.names[1:], policy.thresholds, strict=True)),
        intercept=full.intercept if full else None,
        inputs=inputs,
        source=decision.get("source", ""),
        features_as_of=decision.get("features_as_of"),
        freshness=decision.get("freshness"),
        reasons=decision.get("reasons", []),
        counterfactual=full.counterfactual_text if full else None,
        model_version=decision["model_version"],
        policy_version=decision["policy_version"],
        corrects=decision.get("corrects"),
        corrected_by=next(filter(None, reversed(replaced)), None),
        history=steps,
        contest=f"POST /v1/decisions/{entries[0].case_id}/contest, or: "
        f"{runtime.bundle.policy.reviewer_contact}",
    )


def step(entry: Entry) -> CaseStep:
    """Return a later entry of a case as the person may read it, without the reviewer."""
    body = json.loads(entry.body or "{}")
    kind: Any = entry.kind
    return CaseStep(
        kind=kind,
        at=entry.at,
        # Only a review decides. Notes of older versions may name a bar as their outcome.
        outcome=body.get("outcome") if entry.kind == "review" else None,
        text=body.get("view") or body.get("reason") or body.get("text") or "",
    )


async def of_customer(runtime: Runtime, case_id: str, customer: str) -> list[Entry]:
    """Return the entries of a decision about ``customer``.

    The list is empty if the decision is about somebody else, was erased, or never existed.
    """
    entries = await runtime.read(lambda log: log.of_case(case_id))
    theirs = (
        entries
        and entries[0].kind == "decision"
        and entries[0].body
        and entries[0].subject == customer
    )
    return entries if theirs else []


def _not_theirs() -> ProblemError:
    return ProblemError(
        404, "No such decision of this customer; send the pseudonym in the header Customer-Id."
    )


async def _own_case(call: Call) -> list[Entry]:
    entries = await of_customer(call.runtime, call.case_id, call.request.headers.get(WHOSE, ""))
    if not entries:
        # One answer for all cases: another one would disclose that the decision exists.
        raise _not_theirs()
    return entries
