"""Duties that follow from the card's position: impact assessment, AI Act class and date.

Three-valued like ``derive``: a result is open while an answer that could change it is open.
"""

from __future__ import annotations

from typing import Final

from sovereign_ml.card.schema.answers import Answers
from sovereign_ml.card.schema.base import NOT_ANSWERED, Tri, is_open, items_of
from sovereign_ml.card.schema.derived import DerivedAiAct, DerivedDecision, DerivedDpia
from sovereign_ml.card.schema.facts import Facts

SIGNIFICANT: Final = ("similarly_significant", "legal")
# Policy, not law: WP248 gives no number for "large scale".
LARGE_SCALE_SUBJECTS: Final = 10_000
# AI Act 113 as amended by Regulation (EU) 2026/1744, Article 1(40).
HIGH_RISK_FROM: Final = "2027-12-02"


# Annex III of the AI Act names these whatever else is answered. Insurance is 5(c) for life and
# health only.
AREA_OF_ACTION: Final = {"credit": "5b", "employment": "4"}


def annex_iii_points(answers: Answers) -> tuple[str, ...]:
    """Return the points of Annex III that action, areas and typed point lead to.

    No answer takes a point away.
    """
    section = answers.ai_act
    action = answers.decision.downstream_action
    points: list[str] = [AREA_OF_ACTION.get(action, "")]
    if action == "insurance" and section.insurance_kind == "life_or_health":
        points.append("5c")
    points += [area.partition("_")[0] for area in section.areas] if section.areas != "?" else []
    points += [section.annex_iii_point] if section.annex_iii_point not in ("none", "?") else []
    unique_points = tuple(dict.fromkeys(point for point in points if point))
    # A whole area such as 4 is dropped where a narrower point such as 4a is known.
    narrower = {point[0] for point in unique_points if len(point) > 1}
    return tuple(point for point in unique_points if point not in narrower)


def special_features(answers: Answers, facts: Facts) -> tuple[str, ...]:
    """Return the features that are special-category data (GDPR 9(1)).

    These are declared features, features found by name, and proxies that nobody cleared.
    """
    scan = facts.data.special_scan
    declared = (
        answers.special.declared_features
        if answers.special.declared_features != NOT_ANSWERED
        else ()
    )
    detected = (*scan.lexicon_hits, *(proxy.feature for proxy in scan.proxies)) if scan else ()
    marked = tuple(f.name for f in facts.data.features if f.category == "special")
    cleared = items_of(answers.special.proxies_cleared)
    return tuple(
        dict.fromkeys((*declared, *marked, *(name for name in detected if name not in cleared)))
    )


def dpia(answers: Answers, facts: Facts, decision: DerivedDecision) -> DerivedDpia:
    """Return whether an impact assessment is required, with its criteria.

    One criterion of the article requires it. As a rule two of WP248 do (WP248rev.01 p. 11).
    """
    checks = _criteria(answers, facts, decision)
    met = tuple(name for name, value in checks.items() if value is True)
    still_open = tuple(name for name, value in checks.items() if value == NOT_ANSWERED)
    enough = any(name.startswith("35") for name in met) or len(met) >= 2
    required: Tri = True if enough else NOT_ANSWERED if still_open else False
    return DerivedDpia(required=required, criteria=met, open_criteria=still_open)


def ai_act(answers: Answers, decision: DerivedDecision) -> DerivedAiAct:
    """Return the AI Act class and the date from which it applies.

    Profiling in an Annex III area is always high-risk (AI Act 6(3) last subparagraph).
    """
    section = answers.ai_act
    screen = section.art5_screen.model_dump().values()
    # Article 5 comes first: a prohibited practice has no other class.
    if True in screen:
        return DerivedAiAct(
            risk_class="prohibited", applies_from="now", why="a practice of Article 5"
        )
    if points := annex_iii_points(answers):
        why = f"Annex III point {', '.join(points)}; profiling there is always high-risk (6(3))"
        return DerivedAiAct(risk_class="high_risk", applies_from=HIGH_RISK_FROM, why=why)
    deciding: list[object] = [section.areas, section.annex_iii_point, section.talks_or_generates]
    # The kind of insurance matters only where the action is insurance or may be.
    if answers.decision.downstream_action in ("insurance", NOT_ANSWERED):
        deciding.append(section.insurance_kind)
    if NOT_ANSWERED in (*screen, *deciding):
        return DerivedAiAct(
            risk_class=NOT_ANSWERED, applies_from=NOT_ANSWERED, why="questions of [ai_act] are open"
        )
    if section.talks_or_generates is True:
        return DerivedAiAct(
            risk_class="transparency_50", applies_from="now", why="talks with people or generates"
        )
    return DerivedAiAct(
        risk_class="minimal",
        applies_from="now",
        why="outside Articles 5, 6 and 50; literacy (Article 4) remains",
    )


def _criteria(answers: Answers, facts: Facts, decision: DerivedDecision) -> dict[str, Tri]:
    """Return each trigger of an impact assessment that the card can decide.

    Sources: GDPR 35(3), 35(4); WP248rev.01 criteria 1-9.
    """
    significant: Tri = (
        NOT_ANSWERED if decision.effect == NOT_ANSWERED else decision.effect in SIGNIFICANT
    )
    sources = answers.data.sources
    groups = answers.purpose.vulnerable_groups
    entry = answers.dpia.national_list
    people = facts.data.subjects_at_least
    large = people is not None and people >= LARGE_SCALE_SUBJECTS
    sensitive: Tri = True if special_features(answers, facts) else answers.special.criminal_data
    assessment = answers.dpia
    return {
        "35(3)(a) profiling that significant decisions rest on": significant,
        "35(3)(b) sensitive data on a large scale": sensitive if large else False,
        "35(3)(c) public area watched": assessment.public_area,
        "35(4) national list": (
            NOT_ANSWERED if is_open(entry) else not entry.startswith("no_entry")
        ),
        "WP248-1 evaluation or scoring": decision.profiling,
        "WP248-2 automated decision with significant effect": decision.art22_applies,
        "WP248-3 systematic monitoring": assessment.systematic_monitoring,
        "WP248-4 sensitive data": sensitive,
        "WP248-5 large scale": large,
        "WP248-6 matched data sets": (
            NOT_ANSWERED
            if sources == NOT_ANSWERED
            else answers.purpose.relation_to_collection == "compatible_6_4"
            or any(s.origin == "third_party" for s in sources)
        ),
        "WP248-7 vulnerable people": (
            True
            if answers.purpose.children_possible is True
            else NOT_ANSWERED
            if groups == "?"
            else bool(groups)
        ),
        "WP248-8 new technology": assessment.new_technology,
        "WP248-9 keeps people from a service": answers.decision.effect_factors.essential_service,
    }
