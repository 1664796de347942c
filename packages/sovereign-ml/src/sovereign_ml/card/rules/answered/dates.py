"""Dates of answers: done in the past, due in the future, and none a lifetime away."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final

from sovereign_ml.card.questions import walk
from sovereign_ml.card.rules.engine import Case, Hits, RuleHit, Severity, rule

# GDPR 99(2): nothing done before shows that its duties are met.
GDPR_APPLIES: Final = date(2018, 5, 25)
DONE: Final = frozenset(
    {
        "human_review.training_date",
        "legitimate_interest.date",
        "consent.withdrawal.tested_on",
        "special.bias_testing.deleted_on",
        "explanation.reader_test_date",
        "dpia.date",
        "sign_off.dpo_opinion_date",
    }
)
DUE: Final = frozenset({"model.review_due", "dpia.review_due"})


@rule(
    "R67",
    "GDPR 5(2), 24(1), 35(11)",
    "Write the day on which it was really done, or the day by which it will be.",
)
def impossible_date(case: Case) -> Hits:
    """Something done lies in the future or before the GDPR or is stale, a review is overdue or too far away."""
    for path, day in _days(case):
        if path in DUE:
            yield from _due(case, path, day)
        elif path in DONE or path.startswith("hosting.owner_declarations"):
            yield from _done(case, path, day)
    since = case.answers.notice.effective_from
    if isinstance(since, date):
        yield from _in_force(case, since)


def _days(case: Case) -> Iterator[tuple[str, date]]:
    for path, _, value in walk(case.answers):
        if isinstance(value, date):
            yield path, value


def _done(case: Case, path: str, day: date) -> Hits:
    if day > case.today:
        yield f"{path} = {day} lies in the future."
    elif day < GDPR_APPLIES:
        yield f"{path} = {day} lies before the GDPR applied ({GDPR_APPLIES})."
    elif case.today - day > timedelta(days=case.policy.evidence_valid_days):
        limit = case.policy.evidence_valid_days
        yield RuleHit(f"{path} = {day} is older than {limit} days (policy).", "warn")


def _due(case: Case, path: str, day: date) -> Hits:
    late, limit = (case.today - day).days, case.policy.max_review_days
    if -late > limit:
        yield f"{path} = {day} is more than {limit} days away (policy): that is no review."
    if late > 0 and path != "model.review_due":  # rule R55 reads that one
        severity: Severity = "block" if late > case.policy.grace_days else "warn"
        yield RuleHit(f"{path} = {day} has passed.", severity)


def _in_force(case: Case, since: date) -> Hits:
    if since < GDPR_APPLIES:
        yield f"notice.effective_from = {since} lies before the GDPR applied ({GDPR_APPLIES})."
    if since > case.today:
        far = (since - case.today).days > case.policy.max_review_days
        severity: Severity = "block" if far or case.at == "promote" else "warn"
        yield RuleHit(
            f"notice.effective_from = {since}: the notice is not in force yet.",
            severity,
            "Bring the notice into force before the model is used.",
        )
