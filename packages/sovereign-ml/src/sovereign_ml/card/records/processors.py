"""List of processors with the points of Article 28(3), and transfer assessment (EDPB 01/2020)."""

from __future__ import annotations

from collections.abc import Sequence

from sovereign_ml.card.records import common
from sovereign_ml.card.records.additions import POINTS, ProcessorAdditions, TransferAdditions
from sovereign_ml.card.records.binding import document
from sovereign_ml.card.records.document import Document, Section
from sovereign_ml.card.records.sheet import Sheet
from sovereign_ml.card.render.view import CardLine
from sovereign_ml.card.schema import is_open
from sovereign_ml.card.schema.base import items_of
from sovereign_ml.card.schema.facts_data import Host
from sovereign_ml.card.schema.rights import Transfer

OUTSIDE = ("ADEQUATE_NON_EU", "US", "US_PARENT_EU_REGION", "OTHER_THIRD_COUNTRY")


def processor_list(sheet: Sheet) -> Document:
    """Return the processors, the audited hosts, and each contract's points of Article 28(3)."""
    overview = Section(
        sheet.t("processors.overview"),
        sheet.t.cite("GDPR 28, 30(1)(d)"),
        grids=(common.processors(sheet), common.hosts(sheet)),
        points=(*common.unnamed_hosts(sheet), *_unlisted(sheet)),
    )
    listed = sheet.card.answers.roles.processors
    names = [] if isinstance(listed, str) else [p.name for p in listed]
    contracts = tuple(_contract(sheet, name) for name in names)
    return document(sheet, "processors", (overview, *contracts))


def _unlisted(sheet: Sheet) -> list[str]:
    listed = sheet.card.answers.roles.processors
    names = {p.name for p in items_of(listed)}
    extra = sorted(set(sheet.added.processors) - names)
    return [sheet.t("points.unknown_processor", name=name) for name in extra]


def _contract(sheet: Sheet, name: str) -> Section:
    added = sheet.added.processors.get(name, ProcessorAdditions())
    lines = [
        sheet.of(f"contract.{point}", getattr(added, point), f"GDPR 28(3)({letter})")
        # With strict, a further point without a letter of the article fails at once.
        for point, letter in zip(POINTS, "abcdefgh", strict=True)
    ]
    lines.append(sheet.of("contract.subprocessors", added.subprocessors, "GDPR 28(2), 28(4)"))
    points = [
        sheet.t("points.contract_lacks", name=name, point=sheet.t(f"contract.{point}"))
        for point in POINTS
        if getattr(added, point) is False
    ]
    title = sheet.t("processors.contract", name=name)
    return Section(title, sheet.t.cite("GDPR 28(3)"), tuple(lines), points=tuple(points))


def transfer_assessment(sheet: Sheet) -> Document:
    """Return an assessment of each host or recipient that a law outside the EEA reaches.

    It is one note where none does.
    """
    declared = sheet.card.answers.hosting.transfers
    parts = [_host(sheet, hosts) for hosts in _reached(sheet)]
    parts += [_declared(sheet, transfer) for transfer in items_of(declared)]
    # An open answer is no "none", so the note waits for it.
    alone = not parts and not isinstance(declared, str)
    know = Section(
        sheet.t("transfers.know"),
        sheet.t.cite("GDPR 44; EDPB 01/2020"),
        lines=(sheet.line("fields.transfers", "hosting.transfers"),),
        grids=(common.hosts(sheet), common.transfers(sheet)),
        points=common.unnamed_hosts(sheet),
        texts=(sheet.t("transfers.nothing"),) if alone else (),
    )
    return document(sheet, "transfers", (know, *parts))


def _reached(sheet: Sheet) -> list[list[Host]]:
    """Return the hosts that US law or another law outside the EEA reaches, with each component.

    Only hosts with personal data, model or metadata count.
    """
    # One host may serve several components.
    by_name: dict[str, list[Host]] = {}
    for host in common.elsewhere(sheet.card):
        # Code alone tells nothing about people.
        if (host.us_nexus or host.jurisdiction_class in OUTSIDE) and set(host.carries) - {"code"}:
            by_name.setdefault(host.hostname, []).append(host)
    return list(by_name.values())


def _host(sheet: Sheet, hosts: Sequence[Host]) -> Section:
    host = hosts[0]
    components = dict.fromkeys(sheet.t.code(each.component) for each in hosts)
    carried = dict.fromkeys(content for each in hosts for content in each.carries)
    declared = sheet.card.answers.hosting.transfers
    tools = [] if isinstance(declared, str) else [x.tool for x in declared]
    lines = (
        sheet.stated("heads.provider", common.provider_of(sheet, host)),
        sheet.of("heads.component", tuple(components)),
        sheet.of("heads.jurisdiction", sheet.t.code(host.jurisdiction_class)),
        sheet.of("heads.carries", tuple(carried)),
        sheet.of("heads.tool", tuple(tools) or None, "GDPR 44-49"),
        *_assessed(sheet, host.hostname),
    )
    return _part(sheet, host.hostname, lines)


def _declared(sheet: Sheet, transfer: Transfer) -> Section:
    lines = (
        sheet.of("heads.tool", transfer.tool, "GDPR 44-49"),
        sheet.of("heads.evidence", transfer.reference, "GDPR 5(2)"),
        sheet.of("transfers.kept_in", transfer.tia_ref),
        sheet.of("heads.foreign_orders", transfer.art48_procedure, "GDPR 48; EDPB 02/2024"),
        *_assessed(sheet, transfer.to),
    )
    return _part(sheet, transfer.to, lines)


def _assessed(sheet: Sheet, name: str) -> tuple[CardLine, ...]:
    added = sheet.added.transfers.get(name, TransferAdditions())
    return (
        sheet.of("transfers.law", added.law),
        sheet.of("transfers.practice", added.practice),
        sheet.of("transfers.measures", added.measures),
        sheet.of("transfers.conclusion", added.conclusion),
        sheet.of("fields.decided_by", added.by),
        sheet.of("fields.decided_on", added.on),
        sheet.of("fields.review_by", added.review_due),
    )


def _part(sheet: Sheet, name: str, lines: tuple[CardLine, ...]) -> Section:
    added = sheet.added.transfers.get(name, TransferAdditions())
    points = []
    if added.conclusion == "not_equivalent":
        points.append(sheet.t("points.not_equivalent", host=name))
    # Equivalence needs the law that was examined, and the measures.
    if added.conclusion == "equivalent" and (added.measures == () or is_open(added.law)):
        points.append(sheet.t("points.equivalent_unfounded", host=name))
    title = sheet.t("transfers.of", name=name)
    return Section(title, sheet.t.cite("EDPB 01/2020"), lines, points=tuple(points))
