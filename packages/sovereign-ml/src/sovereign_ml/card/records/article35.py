"""A draft data protection impact assessment, Article 35(7)(a) to (d), from the card; judgements stay open."""

from __future__ import annotations

from sovereign_ml.card.records import common
from sovereign_ml.card.records.document import Document, Grid, Section, source_of
from sovereign_ml.card.records.risks import risks
from sovereign_ml.card.render import view
from sovereign_ml.card.render.speech import OPEN_TEXT, figure, said
from sovereign_ml.card.render.view import CardLine, line, verdict
from sovereign_ml.card.schema import Card

NOT_ASKED = "not asked: no assessment is required"
REQUIRED = {True: "required", False: "not required; this note documents why", "?": OPEN_TEXT}


def impact_assessment(card: Card) -> Document:
    """The draft. What the pipeline measured is filled in; likelihood, severity and conclusion are for people."""
    sections = (
        _threshold(card),
        _description(card),
        _necessity(card),
        _risks(card),
        _measures(card),
        _advice(card),
    )
    return Document(
        title=f"Data protection impact assessment: {card.id}",
        about="Draft under Article 35 GDPR. The figures come from the pipeline; whoever signs judges the risks.",
        source=source_of(card),
        sections=sections,
    )


def _threshold(card: Card) -> Section:
    dpia, given = card.derived.dpia, card.answers.dpia
    rows = [(name, "met") for name in dpia.criteria] + [
        (name, OPEN_TEXT) for name in dpia.open_criteria
    ]
    lines = (
        CardLine("Result", REQUIRED[dpia.required], "GDPR 35(1), 35(3)", dpia.required == "?"),
        line("Status", given.status),
        line("Entry of the national list", given.national_list, "GDPR 35(4)"),
    )
    grid = Grid(("Criterion", "Finding"), tuple(rows) or (("none met", "–"),))
    return Section(
        "Is an assessment required?", "Article 35(1), 35(3), 35(4); WP248rev.01", lines, (grid,)
    )


def _description(card: Card) -> Section:
    a, facts, decision = card.answers, card.facts, card.derived.decision
    lines = (
        line("Purpose", a.purpose.statement),
        line("Legitimate interest pursued", a.legitimate_interest.interest, "GDPR 35(7)(a)")
        if "6_1_f" in a.lawful_basis.used().values()
        else CardLine("Legitimate interest pursued", "none relied on", "GDPR 35(7)(a)"),
        line("The model predicts", a.data.label_definition),
        line("How", facts.model.algorithm),
        line("Strongest inputs", facts.explanation.main_factors or None),
        line("Then", a.decision.downstream_action),
        line("Part of a person", a.decision.automation_level),
        line("Not selected", a.decision.not_selected_outcome),
        CardLine(
            "Automated decisions",
            f"{verdict(card)}. {view.finding(card)}",
            "GDPR 22",
            decision.art22_applies == "?",
        ),
        line("People", a.purpose.subject_categories),
        line("How many", facts.data.subjects),
        line(
            "Sources",
            tuple(s.name for s in a.data.sources) if isinstance(a.data.sources, tuple) else None,
        ),
    )
    grids = (common.data_categories(card), common.hosts(card))
    return Section("Description of the processing", "Article 35(7)(a)", lines, grids)


def _necessity(card: Card) -> Section:
    a = card.answers
    lines = (
        *common.bases(card),
        line(
            "Relation to the purpose of collection",
            a.purpose.relation_to_collection,
            "GDPR 5(1)(b), 6(4)",
        ),
        *_interest(card),
        line("Why this span of history", a.data.row_window_justified, "GDPR 5(1)(c)"),
        line("Notice", a.notice.art13_ref, "GDPR 13"),
        line(
            "Explanation in plain language",
            a.explanation.plain_language_ref,
            "GDPR 12(1), 15(1)(h)",
        ),
        *view.rights(card),
    )
    limits, missing = common.time_limits(card)
    grids = (_inputs(card), limits, common.processors(card), common.transfers(card))
    return Section("Necessity and proportionality", "Article 35(7)(b)", lines, grids, missing)


def _interest(card: Card) -> tuple[CardLine, ...]:
    if "6_1_f" not in card.answers.lawful_basis.used().values():
        return ()
    interest = card.answers.legitimate_interest
    return (
        line("Why it is necessary for the interest", interest.necessity, "GDPR 6(1)(f)"),
        line("Milder ways considered", interest.less_intrusive_considered),
        line("Balancing", interest.balancing),
        line("Reasonable expectations", interest.reasonable_expectations, "GDPR rec. 47"),
    )


def _inputs(card: Card) -> Grid:
    rows = [
        (
            feature.label or feature.name,
            said(feature.necessity_reason),
            figure(feature.ablation_delta, 4),
        )
        for feature in card.facts.data.features
    ]
    head = ("Input", "Why it is needed", "Loss of ROC AUC without it")
    return Grid(head, tuple(rows) or ((OPEN_TEXT,) * 3,))


def _risks(card: Card) -> Section:
    found = risks(card)
    judged = "–" if card.derived.dpia.required is False else OPEN_TEXT
    rows = tuple((risk.name, risk.shown, risk.measure, judged, judged) for risk in found)
    head = ("Risk to people", "What the card shows", "Measure in place", "Likelihood", "Severity")
    lines = (_asked(card, "Risks named by people", card.answers.dpia.risks),)
    points = tuple(risk.point for risk in found if risk.point)
    return Section(
        "Risks to rights and freedoms", "Article 35(7)(c)", lines, (Grid(head, rows),), points
    )


def _measures(card: Card) -> Section:
    a = card.answers
    lines = (
        _asked(card, "Measures named by people", a.dpia.measures),
        *common.security(card),
        line("Watched by", a.monitoring.owner),
        line("How often", a.monitoring.frequency),
        line("Effect of offers on the data", a.monitoring.feedback_loop_control),
        _asked(card, "Residual risk", a.dpia.residual_risk, "GDPR 36(1)"),
    )
    return Section("Measures", "Article 35(7)(d)", lines)


def _advice(card: Card) -> Section:
    a = card.answers
    lines = (
        _asked(card, "Advice of the data protection officer", a.dpia.advice_ref, "GDPR 35(2)"),
        _asked(card, "Opinion", a.sign_off.dpo_opinion, "GDPR 39(1)(c)"),
        _asked(card, "Views of the people concerned", a.dpia.subject_views, "GDPR 35(9)"),
        _asked(card, "Versions covered", a.dpia.model_versions_covered, "GDPR 35(11)"),
        _asked(card, "Review by", a.dpia.review_due, "GDPR 35(11)"),
    )
    return Section("Advice, views and review", "Article 35(2), 35(9), 35(11), 36", lines)


def _asked(card: Card, label: str, value: object, source: str = "") -> CardLine:
    """A judgement that is only asked for while an assessment is or may be required."""
    told = line(label, value, source)
    return (
        CardLine(label, NOT_ASKED, source)
        if told.open and card.derived.dpia.required is False
        else told
    )
