"""Entry in the record of processing activities (Article 30(1)(a) to (g)), from the card."""

from __future__ import annotations

from typing import Any

from sovereign_ml.card.records import common
from sovereign_ml.card.records.binding import document
from sovereign_ml.card.records.document import Document, Grid, Section
from sovereign_ml.card.records.sheet import DASH, Sheet
from sovereign_ml.card.schema import is_open

SYSTEM = "Amazon SageMaker"


def record_of_processing(sheet: Sheet) -> Document:
    """Return the Article 30 entry.

    Profiling of customers is not occasional, so 30(5) rarely spares it.
    """
    parts = (_who, _why, _whose, _recipients, _transfers, _limits, _security)
    return document(sheet, "ropa", tuple(part(sheet) for part in parts))


def _section(sheet: Sheet, letter: str, name: str, **content: Any) -> Section:
    article = f"Article 30(1)({letter})"
    return Section(sheet.t(f"ropa.{name}"), sheet.t.cite(article), **content)


def _who(sheet: Sheet) -> Section:
    roles = sheet.card.answers.roles
    lines = [
        sheet.line("fields.entry", "ropa.entry_id"),
        sheet.line("fields.controller", "roles.controller"),
        sheet.line("fields.contact", "roles.controller_contact"),
        sheet.line("fields.dpo", "roles.dpo_contact"),
        sheet.line("fields.joint", "roles.joint_controllers"),
        sheet.line("fields.owner_business", "roles.owner_business"),
        sheet.line("fields.owner_model", "roles.owner_model"),
    ]
    # GDPR 27: only a controller outside the EU has a representative.
    if not is_open(roles.eu_representative):
        lines.insert(3, sheet.line("fields.representative", "roles.eu_representative"))
    return _section(sheet, "a", "who", lines=tuple(lines))


def _why(sheet: Sheet) -> Section:
    decision = sheet.card.derived.decision
    lines = (
        sheet.line("fields.purpose", "purpose.statement"),
        sheet.line("fields.uses", "purpose.specific_uses"),
        sheet.line("fields.not_for", "purpose.out_of_scope_uses"),
        sheet.line("fields.action", "decision.downstream_action"),
        sheet.of("fields.marketing", decision.direct_marketing, "GDPR 21(2)-(3)"),
        sheet.of("fields.profiling", decision.profiling, "GDPR 4(4)"),
        common.decision_line(sheet),
        *common.bases(sheet),
    )
    return _section(sheet, "b", "why", lines=lines)


def _whose(sheet: Sheet) -> Section:
    lines = (
        sheet.line("fields.people", "purpose.subject_categories"),
        sheet.stated("fields.staff", sheet.t("ropa.staff")),
        sheet.line("fields.countries", "purpose.territories"),
        sheet.of("fields.how_many", sheet.subjects),
        sheet.line("fields.children", "purpose.children_possible"),
        sheet.line("fields.vulnerable", "purpose.vulnerable_groups"),
        sheet.line("fields.special", "special.declared_features", "GDPR 9"),
        sheet.line("fields.criminal", "special.criminal_data", "GDPR 10"),
    )
    grids = (common.data_categories(sheet), *_brought(sheet))
    return _section(sheet, "c", "whose", lines=lines, grids=grids)


_PERIODS = {"runs": "experiment_log", "registry": "model", "features": "features"}
"""Objects of the card whose period ends what was brought from another system."""


def _brought(sheet: Sheet) -> tuple[Grid, ...]:
    """Return what was brought from another system, with its source and its end."""
    facts = sheet.card.facts
    periods = {item.object: item.period for item in facts.retention.objects if item.period}
    source = sheet.t("brought.source", system=SYSTEM, day=facts.leaving.since)
    rows = [
        (
            sheet.t(f"brought.{name}"),
            sheet.t(f"brought.{name}_data"),
            source,
            periods.get(_PERIODS.get(name, ""), DASH),
        )
        for name in facts.leaving.brought
    ]
    heads = tuple(f"heads.{name}" for name in ("category", "data", "source", "kept"))
    return (sheet.grid("grids.brought", *heads, rows=rows),) if rows else ()


def _recipients(sheet: Sheet) -> Section:
    lines = [
        sheet.line("fields.recipients", "ropa.recipients"),
        sheet.line("fields.other_controllers", "decision.score_transmitted_to", "C-634/21"),
    ]
    left = sheet.card.facts.leaving
    if left.deleted_at:
        end = sheet.t("brought.ended", day=left.deleted_at, sha256=left.evidence_sha256)
        lines.append(sheet.stated("fields.left_system", f"{SYSTEM} {end}"))
    grids = (common.processors(sheet), common.hosts(sheet))
    points = common.unnamed_hosts(sheet)
    return _section(sheet, "d", "recipients", lines=tuple(lines), grids=grids, points=points)


def _transfers(sheet: Sheet) -> Section:
    lines = (sheet.line("fields.transfers", "ropa.transfers"),)
    return _section(sheet, "e", "transfers", lines=lines, grids=(common.transfers(sheet),))


def _limits(sheet: Sheet) -> Section:
    lines = (
        sheet.line("fields.erasure", "erasure.channel", "GDPR 17"),
        sheet.line("fields.days", "erasure.max_days", "GDPR 12(3)"),
        sheet.line("fields.model_then", "erasure.model_action"),
        sheet.line("fields.backups", "erasure.backups"),
    )
    grid, missing = common.time_limits(sheet)
    return _section(sheet, "f", "limits", lines=lines, grids=(grid,), points=missing)


def _security(sheet: Sheet) -> Section:
    return _section(sheet, "g", "security", lines=common.security(sheet))
