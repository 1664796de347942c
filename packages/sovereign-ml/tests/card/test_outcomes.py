"""How often the outcome is what the score alone gives (C-634/21 para. 48), counted from the decision log."""

from __future__ import annotations

import json
from typing import Any

from sovereign_ml.decision_log.entries import Entry
from sovereign_ml.decision_log.evidence import counted, of_outcomes


def entry(kind: str, body: dict[str, Any] | None) -> Entry:
    text = None if body is None else json.dumps(body)
    return Entry(1, kind, "case", "somebody", "2026-11-24T08:00:00Z", "salt", text, "", "", "")


def decision(outcome: str, suggestion: str | None = "offer") -> Entry:
    return entry("decision", {"outcome": outcome, "suggestion": suggestion, "score": 0.8})


def review(*, override: bool, seeded: bool = False) -> Entry:
    return entry(
        "review", {"override": override, "seeded": seeded, "reviewer": "r1", "seconds": 40}
    )


def test_without_a_review_every_outcome_is_the_scores_own() -> None:
    assert of_outcomes(counted([decision("offer"), decision("no_offer", "no_offer")])) == {
        "score_outcome_agreement": 1.0,
        "outcomes_on_record": 2,
    }


def test_a_reviewer_who_overrules_lowers_the_agreement() -> None:
    waiting = [decision("pending_review") for _ in range(4)]
    reviews = [review(override=True), *(review(override=False) for _ in range(3))]
    assert of_outcomes(counted([*waiting, *reviews])) == {
        "score_outcome_agreement": 0.75,
        "outcomes_on_record": 4,
    }


def test_cases_that_wait_and_objections_and_planted_errors_are_no_outcomes() -> None:
    objected = entry("decision", {"outcome": "objected"})
    waiting, erased = decision("pending_review"), entry("decision", None)
    entries = [objected, waiting, erased, review(override=True, seeded=True)]
    assert of_outcomes(counted(entries)) == {}
    assert of_outcomes(counted([])) == {}
