"""Sheet for reviewers and their representation.

It says what the desk measures about the people who work at it.
"""

from __future__ import annotations

from sovereign_ml.card.records.binding import document
from sovereign_ml.card.records.document import Document, Section
from sovereign_ml.card.records.sheet import Sheet
from sovereign_ml.card.render.speech import OPEN_TEXT, figure, said
from sovereign_ml.card.schema.base import items_of

RECORDED = ("key", "opened", "first_view", "outcome", "seconds", "planted", "contest")


def staff_sheet(sheet: Sheet) -> Document:
    """Return the notice for staff (GDPR 13) with the points that a works council asks about."""
    parts = (_who, _recorded, _planted, _used, _kept, _agreed)
    return document(sheet, "staff", tuple(part(sheet) for part in parts))


def _who(sheet: Sheet) -> Section:
    review = sheet.card.answers.human_review
    claims = review.stage not in ("none", "?")
    lines = [
        sheet.line("fields.controller", "roles.controller"),
        sheet.line("fields.dpo", "roles.dpo_contact"),
        sheet.of("staff.roles", review.reviewer_roles if claims else "–"),
        sheet.line("staff.may_overrule", "human_review.authority_to_override")
        if claims
        else sheet.stated("staff.may_overrule", sheet.t("staff.no_review")),
        sheet.of("staff.no_detriment", review.no_detriment_for_override if claims else "–"),
        sheet.of("staff.basis", sheet.added.staff.lawful_basis, "GDPR 6(1), 88"),
    ]
    return sheet.section("staff.who", "GDPR 13(1)", lines=tuple(lines))


def _recorded(sheet: Sheet) -> Section:
    rows = [(sheet.t(f"staff.{name}"), sheet.t(f"staff.{name}_text")) for name in RECORDED]
    grid = sheet.grid("grids.recorded", "heads.what", "heads.how", rows=rows)
    return sheet.section("staff.recorded", "GDPR 13(1)(c), 5(1)(a)", grids=(grid,))


def _planted(sheet: Sheet) -> Section:
    texts = tuple(sheet.t(f"staff.planted_{n}") for n in (1, 2, 3))
    return sheet.section("staff.planted_title", "GDPR 5(1)(a); AI Act 14(4)(b)", texts=texts)


def _used(sheet: Sheet) -> Section:
    facts, t = sheet.card.facts.review, sheet.t
    rows = [
        (t("staff.cases"), said(facts.cases, t) if facts.cases is not None else "–"),
        (t("staff.override_rate"), figure(facts.override_rate, 2, t)),
        (t("staff.median"), figure(facts.median_seconds, 0, t)),
        (t("staff.per_day"), figure(facts.cases_per_reviewer_day, 1, t)),
        (t("staff.caught"), figure(facts.seeded_error_catch_rate, 2, t)),
    ]
    grid = sheet.grid("grids.on_card", "heads.figure", "heads.value", rows=rows)
    added = sheet.added.staff
    lines = (
        sheet.of("staff.appraisal", added.used_for_appraisal),
        sheet.of("staff.who_sees", added.who_sees),
    )
    points = (t("points.appraisal"),) if added.used_for_appraisal is True else ()
    texts = (t("staff.used_text"),)
    return sheet.section(
        "staff.used", "GDPR 5(1)(b)", lines=lines, grids=(grid,), texts=texts, points=points
    )


def _kept(sheet: Sheet) -> Section:
    rules = items_of(sheet.card.answers.retention.objects)
    periods = {r.object: r.period for r in rules}
    # The answer comes before the configuration.
    period = periods.get("review_log") or _configured(sheet)
    lines = (
        sheet.of("staff.kept_for", period, "GDPR 13(2)(a)"),
        sheet.line("rights.access", "roles.dpo_contact", "GDPR 15"),
        sheet.line("fields.authority", "notice.authority", "GDPR 77"),
    )
    return sheet.section("staff.kept", "GDPR 13(2)", lines=lines, texts=(sheet.t("staff.rights"),))


def _configured(sheet: Sheet) -> str | None:
    objects = {item.object: item.period for item in sheet.card.facts.retention.objects}
    return objects.get("review_log")


def _agreed(sheet: Sheet) -> Section:
    added = sheet.added.staff
    lines = (
        sheet.of("staff.representation", added.representation),
        sheet.of("staff.agreement", added.agreement_ref)
        if added.representation in ("agreement", OPEN_TEXT, "?")
        else sheet.stated("staff.agreement", "–"),
        sheet.of("staff.informed", added.informed_on, "GDPR 13; AI Act 26(7)"),
    )
    points = (sheet.t("points.not_consulted"),) if added.representation == "not_consulted" else ()
    article = "GDPR 88; AI Act 26(7)"
    texts = (sheet.t("staff.law"),)
    return sheet.section("staff.agreed", article, lines=lines, texts=texts, points=points)
