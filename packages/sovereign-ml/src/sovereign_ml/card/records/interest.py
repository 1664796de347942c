"""Legitimate-interest assessment (GDPR 6(1)(f)): interest, necessity, balancing.

Necessity is measured against simple rules.
"""

from __future__ import annotations

from sovereign_ml.card.records import common
from sovereign_ml.card.records.binding import document
from sovereign_ml.card.records.document import Document, Grid, Section
from sovereign_ml.card.records.sheet import DASH, Sheet
from sovereign_ml.card.render.speech import OPEN_TEXT, figure, measured
from sovereign_ml.card.render.view import CardLine

TABLE = "legitimate_interest"


def interest_assessment(sheet: Sheet) -> Document:
    """Return the three steps of Opinion 28/2024 section 3.3.

    It is one note where no phase rests on the interest.
    """
    # A basis that is open may still become this one.
    if "6_1_f" not in sheet.bases and "?" not in _stated(sheet):
        note = Section(sheet.t("lia.not_used"), sheet.t.cite("GDPR 6(1)(f)"), common.bases(sheet))
        return document(sheet, "lia", (note,))
    return document(sheet, "lia", (_purpose(sheet), _needed(sheet), _weighed(sheet), _end(sheet)))


def measured_necessity(sheet: Sheet) -> tuple[Grid, tuple[str, ...]]:
    """Return the model beside the simple rules on the same people.

    A point is added for each rule that does as well.
    """
    t, evaluation = sheet.t, sheet.card.facts.evaluation
    metrics = evaluation.metrics
    if "roc_auc" not in metrics:
        rows = [(t("lia.model"), OPEN_TEXT, OPEN_TEXT, DASH)]
        return sheet.grid("grids.rules", *_HEADS, rows=rows), ()
    best = metrics["roc_auc"]
    brier = metrics["brier"].value if "brier" in metrics else None
    rows, points = [(t("lia.model"), measured(best, t), figure(brier, 3, t), DASH)], []
    for name, values in evaluation.baselines.items():
        value = values.get("roc_auc")
        loss = DASH if value is None else figure(best.value - value, 3, t)
        rows.append((t.code(name), figure(value, 3, t), figure(values.get("brier"), 3, t), loss))
        # A rule inside the model's interval does as well as the model.
        if value is not None and value >= (best.value if best.low is None else best.low):
            points.append(t("points.rule_as_good", rule=t.code(name), value=figure(value, 3, t)))
    # Without a simple rule to compare with, nothing shows that the model is needed.
    if not any("roc_auc" in values for values in evaluation.baselines.values()):
        points.append(t("points.no_rule"))
    return sheet.grid("grids.rules", *_HEADS, rows=rows), tuple(points)


_HEADS = ("heads.way", "heads.roc_auc", "heads.brier", "heads.lost")


def offers(sheet: Sheet) -> CardLine:
    """Return what offers changed, measured against people who got none.

    A measure that does nothing is not necessary, whatever its model is worth.
    """
    facts = sheet.card.facts.campaign
    if facts.prevented is None:
        text = sheet.t("words.campaign_none")
    else:
        numbers = {
            name: f"{'+' if value > 0 else ''}{figure(100 * value, 1, sheet.t)}"
            for name in ("prevented", "low", "high")
            if (value := getattr(facts, name)) is not None
        }
        text = sheet.t("words.campaign_effect", name=facts.name, **numbers)
        text += "" if facts.is_shown else f" {sheet.t('words.campaign_shows_nothing')}"
    return sheet.stated("fields.offers", text, "GDPR 5(1)(c), 35(7)(b)")


def _stated(sheet: Sheet) -> set[str]:
    basis = sheet.card.answers.lawful_basis
    return {getattr(basis, phase).basis for phase in common.PHASES}


def _purpose(sheet: Sheet) -> Section:
    lines = (
        sheet.line("fields.interest", f"{TABLE}.interest", "GDPR 6(1)(f), 13(1)(d)"),
        sheet.line("fields.lawful", f"{TABLE}.lawful"),
        sheet.line("fields.real", f"{TABLE}.real_and_present"),
        sheet.line("fields.purpose", "purpose.statement"),
        *common.bases(sheet),
    )
    return sheet.section("lia.purpose", "Opinion 28/2024 s. 3.3.1", lines=lines)


def _needed(sheet: Sheet) -> Section:
    grid, points = measured_necessity(sheet)
    inputs = len(sheet.card.facts.data.features)
    before = sheet.card.facts.data.features_before
    lines = (
        sheet.line("fields.necessity", f"{TABLE}.necessity"),
        sheet.line("fields.milder", f"{TABLE}.less_intrusive_considered"),
        offers(sheet),
        sheet.of("fields.inputs_used", inputs or None, "GDPR 5(1)(c)"),
        sheet.of("fields.inputs_before", DASH if before is None else before),
        sheet.line("fields.history", "data.row_window_justified"),
    )
    text = (sheet.t("lia.how_measured"),)
    article = "Opinion 28/2024 s. 3.3.2"
    return sheet.section(
        "lia.necessity", article, lines=lines, grids=(grid,), points=points, texts=text
    )


def _weighed(sheet: Sheet) -> Section:
    decision = sheet.card.answers.decision
    lines = (
        sheet.line("fields.balancing", f"{TABLE}.balancing"),
        sheet.line("fields.expectations", f"{TABLE}.reasonable_expectations", "GDPR rec. 47"),
        sheet.line("fields.action", "decision.downstream_action"),
        sheet.line("fields.not_selected", "decision.not_selected_outcome"),
        sheet.of("fields.effect", sheet.card.derived.decision.effect),
        *(
            sheet.of(f"factors.{name}", value)
            for name, value in decision.effect_factors
            if name != "rationale"
        ),
        sheet.line("fields.children", "purpose.children_possible"),
        sheet.line("fields.vulnerable", "purpose.vulnerable_groups"),
        sheet.line("fields.beyond_duty", f"{TABLE}.mitigations_beyond_duty"),
        sheet.line("rights.object", "objection.general_channel", "GDPR 21(1)"),
        sheet.line("fields.who_weighs", "objection.compelling_grounds_procedure"),
    )
    return sheet.section("lia.balancing", "Opinion 28/2024 s. 3.3.3", lines=lines)


def _end(sheet: Sheet) -> Section:
    lines = (
        sheet.line("fields.outcome", f"{TABLE}.outcome", "GDPR 6(1)(f)"),
        sheet.line("fields.assessed_on", f"{TABLE}.date", "GDPR 5(2)"),
        sheet.line("fields.kept_in", f"{TABLE}.ref"),
    )
    lost = sheet.answer(f"{TABLE}.outcome") == "does_not_prevail"
    points = (sheet.t("points.does_not_prevail"),) if lost else ()
    return sheet.section("lia.end", "GDPR 6(1)(f)", lines=lines, points=points)
