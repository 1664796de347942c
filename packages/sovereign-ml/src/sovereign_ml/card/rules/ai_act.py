"""Rules on the AI Act as amended by Regulation (EU) 2026/1744."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from sovereign_ml.card.duties import HIGH_RISK_FROM, annex_iii_points
from sovereign_ml.card.rules.engine import Case, Hits, RuleHit, Severity, rule
from sovereign_ml.card.schema.base import NOT_ANSWERED, is_open, items_of, plain

ANNEX_IV = tuple("123456789")
# AI Act 19, 26(6): logs are kept for six months at least.
MIN_LOG_MONTHS = 6
# Duties of a high-risk system besides the questions of [ai_act.high_risk], answered in duties_met.
DUTIES_OF: Final = {
    "9": "risk management",
    "10": "data governance",
    "13": "instructions for use",
    "15": "accuracy, robustness and security",
    "17": "quality management",
    "18": "documents kept for ten years",
    "20": "corrective action",
    "26(1)": "use as the instructions say",
    "26(4)": "input data that fits",
    "26(5)": "watching the use and reporting",
    "26(7)": "information of workers",
    "43": "conformity assessment",
    "47": "declaration of conformity",
    "48": "CE marking",
    "49": "registration",
    "72": "watching after placing on the market",
    "73": "report of serious incidents",
}
# Words of Annex III areas and significant decisions. A list proves nothing when it finds nothing.
WEIGHTY: Final = re.compile(
    r"\b(credit (limit|score|line|decision|check|rating)\w*|creditworth\w*|pay[- ]later|buy now"
    r"|instal?ments?|loans?"
    r"|mortgages?|kredit\w*|bonit\w*|darlehen\w*|ratenzahlung\w*|crédits?|prêts?|insur\w*"
    r"|versicherung\w*"
    r"|assurances?|applicants?|recruit\w*|hiring|employees?|dismiss\w*|attrition|bewerb\w*"
    r"|beschäftigt\w*|mitarbeit\w*"
    r"|kündigung\w*|students?|drop-?out|studierend\w*|benefits? claim\w*|welfare|sozialleistung\w*"
    r"|terminat\w*)\b"
)


@rule("R49", "AI Act 5", "Stop: Article 5 forbids the practice.")
def forbidden_practice(case: Case) -> Hits:
    """A practice that Article 5 forbids."""
    screen = case.answers.ai_act.art5_screen.model_dump()
    flagged = [name for name, value in screen.items() if value is True]
    if flagged:
        yield f"ai_act.art5_screen: {', '.join(flagged)}."


@rule(
    "R50",
    "AI Act 6(2), 6(3) last subparagraph, Annex III",
    "Correct the typed answer: profiling in an Annex III area is always high-risk.",
)
def high_risk_denied(case: Case) -> Hits:
    """An Annex III area with profiling that is called anything but high-risk, or a point of it is denied."""
    points, section = annex_iii_points(case.answers), case.answers.ai_act
    if not points:
        return
    area = f"Annex III point {', '.join(points)}"
    typed = case.card.typed_status.get("ai_act.risk_class", "high_risk")
    if typed != "high_risk":
        yield f"{area} with profiling is typed as '{typed}'."
    if section.high_risk.derogation_claimed is True:
        yield f"The derogation of 6(3) is claimed for {area} with profiling."
    if section.annex_iii_point == "none":
        yield f"ai_act.annex_iii_point is 'none', and action or areas lead to {area}."
    listed = items_of(section.areas)
    # Compared by the number of the area, because 4a and 4b are both in area 4.
    named = {item.partition("_")[0][0] for item in listed}
    missing = [point for point in points if point[0] not in named and point != "other"]
    if section.areas != NOT_ANSWERED and missing:
        yield f"ai_act.areas leaves out the area of point {', '.join(missing)}."


@rule(
    "R51",
    "AI Act 8-20, 26, 27, 43, 47-49, 72, 73, 86, 113",
    "Meet each duty and name it in [ai_act.high_risk]; "
    "a lawyer says which fall on provider and deployer.",
)
def high_risk_duties(case: Case) -> Hits:
    """A high-risk system without its duties. Warns until they apply, blocks from then on."""
    if case.derived.ai_act.risk_class != "high_risk":
        return
    section = case.answers.ai_act.high_risk
    sections = items_of(section.annex_iv_sections)
    met = items_of(section.duties_met)
    # AI Act 27(1) requires the assessment for these two points.
    must_assess = {"5b", "5c"} & set(annex_iii_points(case.answers))
    lacks = {
        "technical documentation (Article 11, Annex IV)": set(sections) != set(ANNEX_IV),
        "oversight persons (14, 26(2))": section.oversight_persons in (NOT_ANSWERED, ()),
        "logs of six months (19, 26(6))": section.log_months == NOT_ANSWERED
        # Not "below": NaN, which TOML allows, would pass that.
        or not float(section.log_months) >= MIN_LOG_MONTHS,
        "information of persons (26(11))": section.persons_informed is not True,
        "impact assessment on fundamental rights (27)": section.fria_required is True
        and is_open(section.fria_ref),
        "impact assessment denied, which points 5(b) and 5(c) require (27(1))": bool(must_assess)
        and section.fria_required is False,
        "explanation to persons (86)": is_open(section.art86_channel),
        **{f"{duty} ({article})": article not in met for article, duty in DUTIES_OF.items()},
    }
    missing = [name for name, lacking in lacks.items() if lacking]
    if missing:
        # Before this day the duties do not apply yet, so the rule only warns.
        severity: Severity = "block" if case.today >= date.fromisoformat(HIGH_RISK_FROM) else "warn"
        yield RuleHit(
            f"High-risk since Annex III fits; missing: {', '.join(missing)} "
            f"(duty from {HIGH_RISK_FROM}).",
            severity,
        )


@rule(
    "R71",
    "GDPR 22(1); AI Act 6(2), Annex III",
    "Name the action that fits in decision.downstream_action and the area in ai_act.areas.",
    severity="warn",
)
def worded_like_more(case: Case) -> Hits:
    """The purpose speaks of credit, insurance, work, education or benefits and no area of Annex III is named."""
    answers = case.answers
    if annex_iii_points(answers):
        return
    texts = [
        answers.purpose.statement,
        answers.decision.other_action,
        *items_of(answers.purpose.specific_uses),
    ]
    for text in texts:
        if match := WEIGHTY.search(plain(text)):
            # ``other`` names no action, so the words are the only sign.
            severity: Severity = (
                "block" if answers.decision.downstream_action == "other" else "warn"
            )
            yield RuleHit(
                f"'{text}' speaks of '{match[0]}', and no area of Annex III is named.", severity
            )


@rule(
    "R72",
    "Dir. (EU) 2023/2225 Art. 13, 18(3), 18(8)",
    "Give people intervention, explanation and review, and keep the forbidden data out.",
)
def consumer_credit(case: Case) -> Hits:
    """An automated check of creditworthiness without what the directive on consumer credit demands."""
    if not case.when("consumer_credit"):
        return
    credit = case.answers.decision.consumer_credit
    problems = {
        "human_intervention": (
            "People cannot have the assessment explained and reviewed by a person (18(8))."
        ),
        "only_allowed_data": (
            "The assessment uses special categories or data of social networks (18(3))."
        ),
        "personalised_offer_told": (
            "People are not told that an offer was personalised automatically (13)."
        ),
    }
    yield from (text for field, text in problems.items() if getattr(credit, field) is False)


@rule("R76", "AI Act 3(1), 3(3)-(4), 50", "Correct the answer, or write down why it holds.")
def position_under_the_ai_act(case: Case) -> Hits:
    """Article 50 is not kept, a trained model is called no AI system, or the role leaves out provider or deployer."""
    section = case.answers.ai_act
    if section.talks_or_generates is True and section.persons_told is False:
        yield "It talks with people or generates, and people are not told (50(1)-(2))."
    if section.is_ai_system is False:
        yield RuleHit("A trained model is called no AI system; that needs a lawyer's word.", "warn")
    if section.role in ("provider", "deployer"):
        yield RuleHit(
            "Who trains a model and uses it is provider and deployer; "
            f"the answer is '{section.role}'.",
            "warn",
        )
