"""Rules on the AI Act as amended by Regulation (EU) 2026/1744."""

from __future__ import annotations

from datetime import date

from sovereign_ml.card.duties import HIGH_RISK_FROM
from sovereign_ml.card.rules.engine import Case, Hits, RuleHit, Severity, rule
from sovereign_ml.card.schema.base import NOT_ANSWERED, is_open

ANNEX_IV = tuple("123456789")
MIN_LOG_MONTHS = 6
"""AI Act 19, 26(6)."""


@rule("R49", "AI Act 5", "Stop: Article 5 forbids the practice.")
def forbidden_practice(case: Case) -> Hits:
    """A practice that Article 5 forbids."""
    screen = case.answers.ai_act.art5_screen.model_dump()
    flagged = [name for name, value in screen.items() if value is True]
    if flagged:
        yield f"ai_act.art5_screen: {', '.join(flagged)}."


@rule(
    "R50",
    "AI Act 6(3) last subparagraph",
    "Take the line out: profiling in an Annex III area is always high-risk.",
)
def high_risk_denied(case: Case) -> Hits:
    """An Annex III area with profiling that is called anything but high-risk."""
    point = case.answers.ai_act.annex_iii_point
    if point in ("none", NOT_ANSWERED):
        return
    typed = case.card.typed_status.get("ai_act.risk_class", "high_risk")
    if typed != "high_risk":
        yield f"Annex III point {point} with profiling is typed as '{typed}'."
    if case.answers.ai_act.high_risk.derogation_claimed is True:
        yield f"The derogation of 6(3) is claimed for Annex III point {point} with profiling."


@rule("R51", "AI Act 11, 14, 26, 27, 113", "Complete [ai_act.high_risk].")
def high_risk_duties(case: Case) -> Hits:
    """A high-risk system without its duties; warns until they apply, blocks from then on."""
    if case.derived.ai_act.risk_class != "high_risk":
        return
    given = case.answers.ai_act.high_risk
    sections = () if given.annex_iv_sections == NOT_ANSWERED else given.annex_iv_sections
    lacks = {
        "technical documentation (Annex IV)": set(sections) != set(ANNEX_IV),
        "oversight persons": given.oversight_persons in (NOT_ANSWERED, ()),
        "logs of six months": given.log_months == NOT_ANSWERED
        or float(given.log_months) < MIN_LOG_MONTHS,
        "information of persons": given.persons_informed is not True,
        "impact assessment on fundamental rights": given.fria_required is True
        and is_open(given.fria_ref),
    }
    found = [name for name, lacking in lacks.items() if lacking]
    if found:
        severity: Severity = "block" if case.today >= date.fromisoformat(HIGH_RISK_FROM) else "warn"
        yield RuleHit(
            f"High-risk since Annex III fits; missing: {', '.join(found)} (duty from {HIGH_RISK_FROM}).",
            severity,
        )
