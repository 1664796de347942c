"""Evidence that review by people is real, counted from the log (WP251rev.01 p. 21).

It consists of overrides, seconds and caught errors. The log keeps the counts beside the chain, so
that a query of a million entries costs as much as one of ten.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sovereign_ml.decision_log.entries import Entry

Counts = Counter[tuple[str, str]]
"""Number of entries on record that show a fact with a value, such as ``("seeded", "caught")``."""
COUNTED = ("decision", "review")
"""Kinds of entries that show facts."""


def facts_of(kind: str, at: str, body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the facts that one entry adds to the counts.

    ``body`` is its content, empty once it is blanked. A planted error is caught when its suggestion
    was not followed. It is no real case.
    """
    if kind == "decision":
        facts = []
        if body.get("score") is not None:
            facts.append(("reasons", "kept" if body.get("reasons") else "missing"))
        # A case that waits for a person has another outcome than its suggestion.
        if body.get("suggestion") is not None and body.get("outcome") == body["suggestion"]:
            facts.append(("outcome", "as_suggested"))
        return facts
    if kind != "review" or not {"seeded", "override"} <= body.keys():
        return []
    day, overruled = at[:10], bool(body["override"])
    # A planted error shows whether reviewers look, and is nobody's case.
    if body["seeded"]:
        facts = [("seeded", "caught" if overruled else "missed"), ("seeded_on", day)]
    else:
        facts = [("case", "overruled" if overruled else "followed")]
        facts.append(("reviewer_day", f"{day} {body.get('reviewer')}"))
    if body.get("seconds") is not None:
        facts.append(("seconds", str(body["seconds"])))
    return facts


def counted(entries: Iterable[Entry]) -> Counts:
    """Count the facts of ``entries``."""
    counts: Counts = Counter()
    for entry in entries:
        if entry.kind in COUNTED and entry.body:
            counts.update(facts_of(entry.kind, entry.at, json.loads(entry.body)))
    return counts


@dataclass(frozen=True)
class Tally:
    """Figures of the reviews still on record."""

    cases: int
    overrides: int
    median_seconds: float | None
    seeded: int
    caught: int
    reviewer_days: int
    last_seeded: date | None

    @property
    def override_rate(self) -> float | None:
        """Return the share of real cases in which the reviewer did not follow the suggestion."""
        return self.overrides / self.cases if self.cases else None


def tally(counts: Counts) -> Tally:
    """Return the tally of the reviews in ``counts``."""
    overrides, caught = counts["case", "overruled"], counts["seeded", "caught"]
    planted_on = [date.fromisoformat(day) for fact, day in counts if fact == "seeded_on"]
    return Tally(
        cases=overrides + counts["case", "followed"],
        overrides=overrides,
        median_seconds=_median(
            {float(s): n for (fact, s), n in counts.items() if fact == "seconds"}
        ),
        seeded=caught + counts["seeded", "missed"],
        caught=caught,
        reviewer_days=sum(fact == "reviewer_day" for fact, _ in counts),
        last_seeded=max(planted_on, default=None),
    )


def of_reviews(counts: Counts) -> dict[str, Any]:
    """Return the tally under the card's names, empty when there was no review."""
    totals = tally(counts)
    if not totals.cases and not totals.seeded:
        return {}
    return {
        "live": True,
        "cases": totals.cases,
        "override_rate": totals.override_rate,
        "median_seconds": totals.median_seconds,
        "cases_per_reviewer_day": totals.cases / totals.reviewer_days
        if totals.reviewer_days
        else None,
        "seeded_error_catch_rate": totals.caught / totals.seeded if totals.seeded else None,
        "tested_on": totals.last_seeded,
    }


def of_decisions(counts: Counts, first: Entry | None) -> dict[str, Any]:
    """Return the first day of scoring, and whether reasons are kept with each decision.

    The source of the latter is GDPR 15(1)(h). ``first`` is the oldest decision, blanked or not. The
    result is empty before any decision.
    """
    if first is None:
        return {}
    return {
        "first_scoring_on": date.fromisoformat(first.at[:10]),
        "explanation_stored_with_decision": not counts["reasons", "missing"],
    }


def of_outcomes(counts: Counts) -> dict[str, Any]:
    """Return the share of outcomes that are the score's own (C-634/21 para. 48), and their number.

    Without a review the outcome is the score's own. A case that waits for one has no outcome yet.
    The result is empty before any outcome.
    """
    reviewed = tally(counts)
    ended = counts["outcome", "as_suggested"] + reviewed.cases
    if not ended:
        return {}
    return {
        "score_outcome_agreement": round(1 - reviewed.overrides / ended, 3),
        "outcomes_on_record": ended,
    }


def _median(counts: Mapping[float, int]) -> float | None:
    """Return the median of values that occur ``counts`` times.

    It is the mean of two where there are two in the middle.
    """
    total, passed, middle = sum(counts.values()), 0, []
    for value in sorted(counts):
        before, passed = passed, passed + counts[value]
        middle += [value for place in {(total - 1) // 2, total // 2} if before <= place < passed]
    return sum(middle) / len(middle) if middle else None
