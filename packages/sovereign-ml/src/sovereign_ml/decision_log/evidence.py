"""Whether review by people is real, counted from the log (WP251rev.01 p. 21): overrides, seconds, caught errors."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from statistics import median
from typing import Any

from sovereign_ml.decision_log.entries import Entry


@dataclass(frozen=True)
class Tally:
    """Reviews still on record. A planted error is caught when its suggestion was not followed; it is no real case."""

    cases: int
    overrides: int
    median_seconds: float | None
    seeded: int
    caught: int
    reviewer_days: int
    last_seeded: date | None

    @property
    def override_rate(self) -> float | None:
        """Share of real cases in which the reviewer did not follow the suggestion."""
        return self.overrides / self.cases if self.cases else None


def tally(reviews: Sequence[Entry]) -> Tally:
    """Count the reviews of the log."""
    kept = [(entry.at[:10], json.loads(entry.body)) for entry in reviews if entry.body]
    real = [(day, body) for day, body in kept if not body["seeded"]]
    seeded = [(day, body) for day, body in kept if body["seeded"]]
    seconds = [body["seconds"] for _, body in kept if body.get("seconds") is not None]
    return Tally(
        cases=len(real),
        overrides=_overridden(real),
        median_seconds=median(seconds) if seconds else None,
        seeded=len(seeded),
        caught=_overridden(seeded),
        reviewer_days=len({(body["reviewer"], day) for day, body in real}),
        last_seeded=max((date.fromisoformat(day) for day, _ in seeded), default=None),
    )


def of_reviews(reviews: Sequence[Entry]) -> dict[str, Any]:
    """The tally by the card's names; empty when there was no review."""
    found = tally(reviews)
    if not found.cases and not found.seeded:
        return {}
    return {
        "live": True,
        "cases": found.cases,
        "override_rate": found.override_rate,
        "median_seconds": found.median_seconds,
        "cases_per_reviewer_day": found.cases / found.reviewer_days
        if found.reviewer_days
        else None,
        "seeded_error_catch_rate": found.caught / found.seeded if found.seeded else None,
        "tested_on": found.last_seeded,
    }


def of_decisions(decisions: Sequence[Entry]) -> dict[str, Any]:
    """First day of scoring, and whether reasons are kept with each decision (GDPR 15(1)(h)); empty before any."""
    if not decisions:
        return {}
    bodies = [json.loads(entry.body) for entry in decisions if entry.body]
    scored = [body for body in bodies if body.get("score") is not None]
    return {
        "first_scoring_on": date.fromisoformat(decisions[0].at[:10]),
        "explanation_stored_with_decision": all(body.get("reasons") for body in scored),
    }


def of_outcomes(decisions: Sequence[Entry], reviews: Sequence[Entry]) -> dict[str, Any]:
    """Share of outcomes that are what the score alone gives (C-634/21 para. 48), of how many; empty before any.

    Without a review the outcome is the score's own; a case that waits for one has no outcome yet.
    """
    bodies = [json.loads(entry.body) for entry in decisions if entry.body]
    alone = sum(
        body.get("suggestion") is not None and body["outcome"] == body["suggestion"]
        for body in bodies
    )
    reviewed = tally(reviews)
    ended = alone + reviewed.cases
    if not ended:
        return {}
    return {
        "score_outcome_agreement": round(1 - reviewed.overrides / ended, 3),
        "outcomes_on_record": ended,
    }


def _overridden(reviews: Iterable[tuple[str, dict[str, Any]]]) -> int:
    return sum(bool(body["override"]) for _, body in reviews)
