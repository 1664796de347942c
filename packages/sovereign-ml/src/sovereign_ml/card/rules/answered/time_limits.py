"""Time limits of the rights (GDPR 12(3)) and other numbers that people answer."""

from __future__ import annotations

from typing import Final

from sovereign_ml.card.rules.engine import Case, Hits, RuleHit, rule
from sovereign_ml.card.schema.base import NOT_ANSWERED

# GDPR 12(3): one month. In days, no more than 30 keep it in nearly every month.
ONE_MONTH: Final = 30
# GDPR 12(3): by two further months where necessary.
EXTENSION: Final = 60
MAX_LOG_MONTHS: Final = 120


@rule(
    "R64",
    "GDPR 12(3)",
    "Promise an answer without undue delay and within one month: more than 0 and at most 30 days.",
)
def time_limit(case: Case) -> Hits:
    """A time limit is not above 0 and at most one month, or an extension exceeds two further months."""
    answers = case.answers
    safeguards = answers.art22.safeguards
    limits = {
        "erasure.max_days": answers.erasure.max_days,
        "rights.access_sla_days": answers.rights.access_sla_days,
        "art22.safeguards.intervention_sla_days": safeguards.intervention_sla_days,
        "art22.safeguards.contest_sla_days": safeguards.contest_sla_days,
        "notice.art14_within_days": answers.notice.art14_within_days,
    }
    for path, days in limits.items():
        # NaN, which TOML allows, is neither below nor above, and so it is refused.
        if days != NOT_ANSWERED and not 0 < float(days) <= ONE_MONTH:
            yield f"{path} = {days}: allowed is more than 0 and at most {ONE_MONTH} days."
    longer = answers.rights.extension_days
    if longer != NOT_ANSWERED and not 0 < float(longer) <= EXTENSION:
        yield f"rights.extension_days = {longer}: allowed are two further months, {EXTENSION} days."
    yield from _other_numbers(case)


def _other_numbers(case: Case) -> Hits:
    tolerance = case.answers.evaluation.fairness_tolerance
    if tolerance != NOT_ANSWERED and not 0 <= float(tolerance) <= 1:
        yield RuleHit(
            f"evaluation.fairness_tolerance = {tolerance}: "
            "a gap between shares lies between 0 and 1.",
            do="Write the gap as a share: 0.1 is ten percentage points.",
        )
    hours = case.answers.consent.withdrawal.stops_scoring_within_hours
    if hours != NOT_ANSWERED and not 0 <= float(hours) <= case.policy.max_withdrawal_hours:
        yield RuleHit(
            f"consent.withdrawal.stops_scoring_within_hours = {hours}: allowed are 0 to "
            f"{case.policy.max_withdrawal_hours} (policy).",
            do="Stop scoring soon after a withdrawal (GDPR 7(3)).",
        )
    months = case.answers.ai_act.high_risk.log_months
    if months != NOT_ANSWERED and not 0 < float(months) <= MAX_LOG_MONTHS:
        yield RuleHit(
            f"ai_act.high_risk.log_months = {months}: at least 6 (AI Act 19, 26(6)), "
            "and not for ever.",
            do=f"Write a number of months from 6 to {MAX_LOG_MONTHS} (GDPR 5(1)(e)).",
        )
