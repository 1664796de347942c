"""The rule pack: ``check`` runs every rule that a card, its data or its run can decide."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Final

from sovereign_ml.card.rules import (
    ai_act,
    article22,
    data,
    engine,
    governance,
    integrity,
    lawful_basis,
    marketing,
    model,
    review,
    special,
    transparency,
)
from sovereign_ml.card.rules.answered import (
    advice,
    contradictions,
    dates,
    kept_rights,
    measured,
    national,
    phases,
    texts,
    time_limits,
    transfers,
)
from sovereign_ml.card.rules.engine import At, Case, Finding, Hits, Rule, RuleHit
from sovereign_ml.card.rules.own import NO_OWN_RULES, OwnRules, rule
from sovereign_ml.card.schema.model_card import Card
from sovereign_ml.decisions.rule_policy import RulePolicy

__all__ = [
    "RULES",
    "Case",
    "Finding",
    "Hits",
    "OwnRules",
    "Rule",
    "RuleHit",
    "RulePolicy",
    "blocks",
    "check",
    "rule",
]

RULES: Final[Mapping[str, Rule]] = MappingProxyType(dict(engine.RULES))
"""The rules of the library by id. It is a copy, so that a later declaration changes nothing."""


def check(
    card: Card,
    policy: RulePolicy,
    today: date,
    *,
    at: At = "register",
    own: OwnRules | None = NO_OWN_RULES,
) -> list[Finding]:
    """Return all findings on the card: blocks before warnings, open answers last, then by rule id.

    ``at="register"`` leaves approvals out and lets open answers warn where the policy says so.
    ``at="promote"`` wants approvals, and an open answer always blocks. A waived warning stays in
    the list, marked. ``own`` are the team's rules, which run after the library's. None says that
    the team's code is not here, as in the service: registration and promotion ran them.
    """
    case = Case.of(card, policy, today, at)
    active = [rule for rule in RULES.values() if at == "promote" or rule.at == "register"]
    findings = [finding for rule in active for finding in rule.findings(case)]
    findings += own.findings(case) if own is not None else []
    waived = advice.waived(case)
    marked = [
        f.model_copy(update={"waived": f.severity == "warn" and f.rule in waived}) for f in findings
    ]
    # In the alphabet "block" comes before "warn", so no rank is needed.
    return sorted(marked, key=lambda f: (f.severity, f.open_answers, f.rule))


def blocks(findings: list[Finding]) -> list[Finding]:
    """Return the findings that refuse."""
    return [finding for finding in findings if finding.severity == "block"]
