"""Findings of the rules for a reader: what keeps the card from production, what only warns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sovereign_ml.card.questions import open_questions
from sovereign_ml.card.rules.engine import Finding
from sovereign_ml.card.schema import Card


@dataclass(frozen=True)
class Hurdle:
    """One finding. ``effect`` is blocks, warns or waived."""

    rule: str
    effect: str
    article: str
    found: str
    do: str


def hurdles(card: Card, findings: Sequence[Finding]) -> list[Hurdle]:
    """Return the findings as hurdles, blocks first.

    The open answers are one hurdle: the page lists each question anyway.
    """
    rows = [f for f in findings if not f.open_answers]
    unanswered = [f for f in findings if f.open_answers]
    if unanswered:
        count = len(open_questions(card))
        text = f"{count} required {'answer is' if count == 1 else 'answers are'} open."
        rows.append(unanswered[0].model_copy(update={"found": text}))
    listed = [Hurdle(f.rule, _effect(f), f.article, f.found, f.do) for f in rows]
    return sorted(listed, key=lambda hurdle: hurdle.effect != "blocks")


def in_short(rows: Sequence[Hurdle]) -> str:
    """Return how many rules keep the card from production, in one clause."""
    blocking, warning = (
        sum(row.effect == effect for row in rows) for effect in ("blocks", "warns")
    )
    stopped = (
        f"{blocking} {'finding keeps' if blocking == 1 else 'findings keep'} it from production"
    )
    more = " more" if blocking else ""
    also = f"{warning}{more} {'warns' if warning == 1 else 'warn'}" if warning else ""
    return ", ".join(
        filter(None, (stopped if blocking else "no rule keeps it from production", also))
    )


def _effect(finding: Finding) -> str:
    return "waived" if finding.waived else {"block": "blocks", "warn": "warns"}[finding.severity]
