"""Sheet for a personal data breach: stored data, people, and duties of Articles 33 and 34."""

from __future__ import annotations

from typing import get_args

from sovereign_ml.card.records import common
from sovereign_ml.card.records.binding import document
from sovereign_ml.card.records.document import Document, Section
from sovereign_ml.card.records.sheet import DASH, Sheet
from sovereign_ml.card.render.speech import OPEN_TEXT
from sovereign_ml.card.schema.base import items_of
from sovereign_ml.card.schema.data_life import StoredObject


def breach_sheet(sheet: Sheet) -> Document:
    """Return the sheet.

    Counts of people are those that were measured when it was written.
    """
    parts = (_first, _stores, _places, _authority, _people)
    return document(sheet, "breach", tuple(part(sheet) for part in parts), draft=False)


def _first(sheet: Sheet) -> Section:
    lines = (
        sheet.line("breach.call", "monitoring.breach_contact", "GDPR 33"),
        sheet.of("breach.deputy", sheet.added.breach.deputy),
        sheet.line("fields.dpo", "roles.dpo_contact", "GDPR 33(3)(b)"),
        sheet.line("fields.incidents", "monitoring.incident_procedure"),
        sheet.line("fields.stop", "human_review.stop_procedure"),
        sheet.line("fields.authority", "notice.authority", "GDPR 55"),
        sheet.of("breach.form", sheet.added.breach.authority_form),
    )
    texts = tuple(sheet.t(f"breach.rule_{n}") for n in (1, 2, 3))
    return sheet.section("breach.first", "GDPR 33(1)-(2), 33(5), 34(1)", lines=lines, texts=texts)


def _stores(sheet: Sheet) -> Section:
    t, card = sheet.t, sheet.card
    rules = items_of(card.answers.retention.objects)
    periods = {r.object: sheet.cell(r.period) for r in rules}
    existing = {item.object for item in card.facts.retention.objects} | set(periods)
    everybody = sheet.subjects
    rows = []
    for name in get_args(StoredObject):
        if name not in existing:
            continue
        counted = sheet.people.get(name)
        people = t.number(counted) if counted is not None else OPEN_TEXT
        # Nobody counted this store, so everybody in the data is the upper bound.
        if counted is None and everybody:
            people = t("breach.up_to", n=everybody)
        rows.append((t.code(name), t(f"stores.{name}"), people, periods.get(name, DASH)))
    heads = ("heads.store", "heads.data", "heads.how_many", "heads.kept")
    grid = sheet.grid("grids.stores", *heads, rows=rows or [(OPEN_TEXT,) * 4])
    lines = (
        sheet.line("fields.pseudonyms", "data.pseudonymisation", "GDPR 4(5)"),
        sheet.line("fields.key_in", "data.pseudonymisation_key_location"),
        sheet.line("fields.key_by", "data.pseudonymisation_key_owner"),
        sheet.of("fields.stores_rows", card.facts.model_privacy.stores_training_rows),
    )
    texts = (t("breach.counted" if sheet.people else "breach.not_counted"), t("breach.with_key"))
    return sheet.section("breach.stores", "GDPR 33(3)(a)", lines=lines, grids=(grid,), texts=texts)


def _places(sheet: Sheet) -> Section:
    return sheet.section(
        "breach.places", "GDPR 33(2)", grids=(common.hosts(sheet), common.processors(sheet))
    )


def _authority(sheet: Sheet) -> Section:
    """Return the content of a notification.

    Facts that only the incident shows are left to fill in by hand.
    """
    t = sheet.t
    blank = t("breach.fill_in")
    lines = (
        sheet.stated("breach.nature", blank, "GDPR 33(3)(a)"),
        sheet.stated("breach.when", blank, "GDPR 33(1)"),
        sheet.line("breach.categories", "purpose.subject_categories", "GDPR 33(3)(a)"),
        sheet.of("breach.at_most", sheet.subjects, "GDPR 33(3)(a)"),
        sheet.line("breach.contact", "roles.dpo_contact", "GDPR 33(3)(b)"),
        sheet.stated("breach.consequences", t("breach.consequences_text"), "GDPR 33(3)(c)"),
        sheet.stated("breach.measures", blank, "GDPR 33(3)(d)"),
    )
    return sheet.section("breach.authority", "GDPR 33(3)-(4)", lines=lines)


def _people(sheet: Sheet) -> Section:
    t = sheet.t
    hotline = sheet.added.breach.hotline
    texts = tuple(t(f"breach.letter_{n}") for n in (1, 2, 3, 4))
    lines = (
        sheet.line("fields.controller", "roles.controller"),
        sheet.line("breach.contact", "roles.dpo_contact", "GDPR 34(2), 33(3)(b)"),
        sheet.of("breach.hotline", DASH if hotline == "?" else hotline),
    )
    return sheet.section("breach.people", "GDPR 34", texts=texts, lines=lines)
