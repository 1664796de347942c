"""Advice of the data protection officer, and warnings that somebody accepts."""

from __future__ import annotations

from datetime import date, timedelta

from sovereign_ml.card.rules.engine import RULES, Case, Hits, RuleHit, rule
from sovereign_ml.card.schema.base import is_open
from sovereign_ml.card.schema.oversight import RuleWaiver


@rule(
    "R60",
    "GDPR 35(2), 39(1)(c); WP248rev.01 p. 15",
    "Ask the data protection officer; whoever departs from the advice writes why in "
    "sign_off.dpo_departure_reason.",
)
def unheard_advice(case: Case) -> Hits:
    """The data protection officer was not consulted, or advised against it and nobody wrote why it goes on."""
    sign_off = case.answers.sign_off
    if sign_off.dpo_opinion == "not_consulted":
        yield "The data protection officer was not consulted; the advice must be sought (35(2))."
    if sign_off.dpo_opinion not in ("negative", "conditions"):
        return
    if is_open(sign_off.dpo_departure_reason):
        yield (
            f"The data protection officer's opinion is '{sign_off.dpo_opinion}', "
            "and no answer to it is written."
        )
    elif sign_off.dpo_opinion == "negative":
        yield RuleHit("The data protection officer advised against it.", "warn")


@rule(
    "R70",
    "GDPR 5(2), 24",
    "Name rule, reason, owner and a day within the limit, or take the waiver out.",
)
def void_waiver(case: Case) -> Hits:
    """A waiver without rule, reason, owner or end, or that runs too long (policy number). It waives nothing."""
    for waiver in case.answers.sign_off.waivers:
        if problem := _void(waiver, case):
            yield f"The waiver of {waiver.rule_id or 'no rule'} does not count: {problem}."


def _void(waiver: RuleWaiver, case: Case) -> str:
    limit = case.policy.max_waiver_days
    # Ids of a team's own rules begin with T. They are not in the pack (``rules/own.py``).
    if waiver.rule_id not in RULES and not waiver.rule_id.startswith("T"):
        return "there is no such rule"
    if is_open(waiver.reason) or is_open(waiver.owner):
        return "reason or owner is missing"
    if not isinstance(waiver.expires, date):
        return "it never expires"
    if waiver.expires - case.today > timedelta(days=limit):
        return f"it runs for more than {limit} days"
    return ""


def waived(case: Case) -> set[str]:
    """Return the rules whose warnings are waived today."""
    return {
        waiver.rule_id
        for waiver in case.answers.sign_off.waivers
        if not _void(waiver, case)
        and isinstance(waiver.expires, date)
        and waiver.expires >= case.today
    }
