"""Rules on the human review: it must be real.

Sources: WP251 p. 20-21; C-634/21.
"""

from __future__ import annotations

from datetime import timedelta

from sovereign_ml.card.derive import claims_review
from sovereign_ml.card.rules.engine import Case, Hits, RuleHit, Severity, rule
from sovereign_ml.card.schema.base import is_future


@rule(
    "R17",
    "WP251 p. 21; AI Act 14(4), 26(2)",
    "Give reviewers authority, training and the full case before the effect, "
    "for everyone worse off; or say 'solely'.",
)
def review_that_is_none(case: Case) -> Hits:
    """A person is said to decide, but the review is not meaningful. The status becomes solely automated."""
    level = case.answers.decision.automation_level
    if (
        level in ("human_confirms_each", "decision_support")
        and case.derived.human_review.meaningful is False
    ):
        severity: Severity = "block" if case.significant else "warn"
        yield RuleHit(
            f"'{level}' is claimed, but missing: {', '.join(case.derived.human_review.missing)}.",
            severity,
        )


@rule("R18", "WP251 p. 21", "Give reviewers time and cases to disagree with, and test them again.")
def review_without_influence(case: Case) -> Hits:
    """Reviewers never overrule, take seconds, miss planted errors, or were not tested for a year (policy numbers)."""
    if not claims_review(case.answers):
        return
    severity: Severity = "block" if case.significant else "warn"
    yield from (RuleHit(text, severity) for text in _signs(case))


def _signs(case: Case) -> list[str]:
    review, policy = case.facts.review, case.policy
    cases = review.cases or 0
    # In a few cases the score may be right each time, so their number has to be large enough.
    rubber = review.live and review.override_rate == 0 and cases >= policy.review_min_cases
    fast = (
        review.median_seconds is not None
        and review.median_seconds < policy.review_min_median_seconds
    )
    caught = review.seeded_error_catch_rate
    oldest = case.today - timedelta(days=policy.review_test_days)
    signs = {
        f"No override in {cases} cases (policy: {policy.review_min_cases}).": rubber,
        (
            f"The median review takes {review.median_seconds} s "
            f"(policy: {policy.review_min_median_seconds} s)."
        ): fast,
        f"Reviewers caught {caught} of planted errors (policy: {policy.review_min_catch_rate}).": (
            caught is not None and caught < policy.review_min_catch_rate
        ),
        (
            f"The last test of reviewers is of {review.tested_on} "
            f"(policy: {policy.review_test_days} days)."
        ): (review.tested_on is not None and review.tested_on < oldest),
    }
    if review.tested_on is not None and is_future(review.tested_on, case.today):
        signs[f"The test of reviewers is dated {review.tested_on}, in the future."] = True
    return [text for text, holds in signs.items() if holds]
