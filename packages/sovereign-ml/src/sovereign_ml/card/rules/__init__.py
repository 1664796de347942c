"""The rule pack: ``check`` runs every rule that a card, its data or its run can decide."""

from __future__ import annotations

from datetime import date

from sovereign_ml.card.rules import (
    ai_act,
    article22,
    basis,
    data,
    governance,
    integrity,
    marketing,
    model,
    review,
    special,
    transparency,
)
from sovereign_ml.card.rules.engine import RULES, At, Case, Finding, Rule
from sovereign_ml.card.rules.policy import RulePolicy
from sovereign_ml.card.schema.card import Card

__all__ = ["RULES", "Finding", "Rule", "RulePolicy", "blocks", "check"]


def check(card: Card, policy: RulePolicy, today: date, *, at: At = "register") -> list[Finding]:
    """All findings on the card: blocks before warnings, open answers last, then by rule id.

    ``at="register"`` leaves approvals out and lets open answers warn where the policy says so;
    ``at="promote"`` wants approvals, and an open answer always blocks. A waived warning stays in the list, marked.
    """
    case = Case.of(card, policy, today, at)
    active = [rule for rule in RULES.values() if at == "promote" or rule.at == "register"]
    found = [finding for rule in active for finding in rule.findings(case)]
    waived = {
        w.rule_id for w in card.answers.sign_off.waivers if w.expires != "?" and w.expires >= today
    }
    marked = [
        f.model_copy(update={"waived": f.severity == "warn" and f.rule in waived}) for f in found
    ]
    return sorted(marked, key=lambda f: (f.severity, f.open_answers, f.rule))


def blocks(findings: list[Finding]) -> list[Finding]:
    """The findings that refuse."""
    return [finding for finding in findings if finding.severity == "block"]
