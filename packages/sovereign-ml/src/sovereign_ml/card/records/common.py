"""Tables and lines that several documents about a card need."""

from __future__ import annotations

import re
from typing import Final

from sovereign_ml.card.conditions import consent_used
from sovereign_ml.card.records.document import Grid
from sovereign_ml.card.records.sheet import DASH, Sheet
from sovereign_ml.card.render.speech import OPEN_TEXT, said
from sovereign_ml.card.render.view import CardLine, is_open_part
from sovereign_ml.card.schema import NOT_ANSWERED, Card, is_open
from sovereign_ml.card.schema.base import items_of, plain
from sovereign_ml.card.schema.facts_data import Host

PHASES: Final = ("collect", "train", "score", "act", "monitor")


def data_categories(sheet: Sheet) -> Grid:
    """Return every kind of personal data that the project keeps, with its use."""
    t, card = sheet.t, sheet.card
    kinds: dict[str, list[str]] = {}
    for feature in card.facts.data.features:
        kinds.setdefault(t.code(feature.category), []).append(sheet.input(feature))
    groups = bool(card.facts.evaluation.fairness or card.facts.data.representativeness)
    stored = ["purchases", "consent", *(["groups"] if groups else []), "pseudonym"]
    rows = [
        (t(f"kinds.{name}"), t(f"kinds.{name}_data"), t(f"kinds.{name}_use")) for name in stored
    ]
    if tables := "; ".join(table.name for table in card.facts.data.event_tables):
        data = t("kinds.events_data", names=tables)
        rows.insert(1, (t("kinds.events"), data, t("kinds.events_use")))
    use = t("kinds.input_use")
    rows += [(t("kinds.input", kind=kind), "; ".join(names), use) for kind, names in kinds.items()]
    if not kinds:
        rows.append((t("kinds.input", kind=""), OPEN_TEXT, use))
    produced = ("score", "decisions", "reviews")
    rows += [
        (t(f"kinds.{name}"), t(f"kinds.{name}_data"), t(f"kinds.{name}_use")) for name in produced
    ]
    return Grid(
        (t("heads.category"), t("heads.data"), t("heads.use")), tuple(rows), t("grids.categories")
    )


def processors(sheet: Sheet) -> Grid:
    """Return the processors with country, parent and agreement.

    An empty list is an answer.
    """
    heads = ("processor", "service", "country", "parent", "agreement", "subprocessors")
    listed = sheet.card.answers.roles.processors
    keys = tuple(f"heads.{name}" for name in heads)
    if isinstance(listed, str):
        return sheet.grid("grids.processors", *keys, rows=[(OPEN_TEXT,) * len(heads)])
    rows = []
    for p in listed:
        own = sheet.added.processors.get(p.name)
        others: object = own.subprocessors if own else NOT_ANSWERED
        # The list in documents.toml wins over the reference in model_card.toml.
        others = p.subprocessors_ref if is_open_part(others) else others
        values = (p.name, p.service, p.country, p.parent_jurisdiction, p.dpa_ref)
        rows.append((*map(sheet.cell, values), DASH if is_open(others) else sheet.cell(others)))
    return sheet.grid("grids.processors", *keys, rows=rows)


def hosts(sheet: Sheet) -> Grid:
    """Return the places where data goes, as the endpoint audit measured them.

    This machine is no recipient.
    """
    t = sheet.t
    rows = [
        (
            host.hostname,
            t.code(host.component),
            # A host without personal data is no recipient, so its owner need not be known.
            host.provider or (OPEN_TEXT if "personal_data" in host.carries else DASH),
            t.code(host.jurisdiction_class),
            said(host.carries, t),
        )
        for host in elsewhere(sheet.card)
    ]
    heads = ("host", "component", "provider", "jurisdiction", "carries")
    return sheet.grid("grids.hosts", *(f"heads.{name}" for name in heads), rows=rows)


def transfers(sheet: Sheet) -> Grid:
    """Return access from outside the EEA with its tool.

    An empty list is an answer.
    """
    heads = tuple(f"heads.{name}" for name in ("to", "tool", "evidence", "foreign_orders"))
    listed = sheet.card.answers.hosting.transfers
    if isinstance(listed, str):
        return sheet.grid("grids.transfers", *heads, rows=[(OPEN_TEXT,) * 4])
    rows = [tuple(map(sheet.cell, (x.to, x.tool, x.reference, x.art48_procedure))) for x in listed]
    return sheet.grid("grids.transfers", *heads, rows=rows)


def unnamed_hosts(sheet: Sheet) -> tuple[str, ...]:
    """Return a point for each unnamed provider, and for US reach without a transfer answer.

    Only hosts with personal data count.
    """
    a, points = sheet.card.answers, []
    named = [*items_of(a.ropa.recipients)]
    named += [p.name for p in a.roles.processors if not isinstance(p, str)]
    for host in elsewhere(sheet.card, personal=True):
        # A record may write more than the name, such as the seat, so a part of the text counts.
        if not any(_is_part(host.provider, name) for name in named):
            points.append(
                sheet.t("points.unnamed", host=host.hostname, provider=provider_of(sheet, host))
            )
        outside = isinstance(a.hosting.transfers, str) or not host.jurisdiction_class.startswith(
            "EU"
        )
        if host.us_nexus and outside and a.hosting.transfers in (NOT_ANSWERED, ()):
            points.append(sheet.t("points.us_reach", host=host.hostname))
    return tuple(points)


def provider_of(sheet: Sheet, host: Host) -> str:
    """Return the provider of a host in words."""
    return host.provider or sheet.t("words.unknown_provider")


def elsewhere(card: Card, *, personal: bool = False) -> list[Host]:
    """Return the hosts outside this machine.

    With ``personal``, only those that get personal data.
    """
    away = [host for host in card.facts.hosting if host.jurisdiction_class != "LOCAL"]
    return [host for host in away if not personal or "personal_data" in host.carries]


def time_limits(sheet: Sheet) -> tuple[Grid, tuple[str, ...]]:
    """Return how long each object is kept, and a point for each object without a limit."""
    rules = sheet.card.answers.retention.objects
    listed = items_of(rules)
    foreign = sheet.t.language != sheet.added.answers_language
    purged = {item.object for item in sheet.card.facts.retention.objects if item.period}
    rows = [
        (
            sheet.t.code(r.object),
            sheet.cell(r.period),
            # What is stored decides from when a period counts: config.retention_periods.
            sheet.t(f"starts.{r.object}") if foreign or is_open(r.start_event) else r.start_event,
            # These are deleted by the retention run, whatever mechanism was answered.
            sheet.t("words.by_retain") if r.object in purged else sheet.cell(r.mechanism),
        )
        for r in listed
    ]
    heads = tuple(f"heads.{name}" for name in ("object", "kept", "from", "deleted"))
    limited = {r.object for r in listed}
    missing = [
        sheet.t("points.no_limit", object=sheet.t.code(item.object))
        for item in sheet.card.facts.retention.objects
        if item.object not in limited
    ]
    return sheet.grid("grids.limits", *heads, rows=rows or [(OPEN_TEXT,) * 4]), tuple(missing)


def security(sheet: Sheet) -> tuple[CardLine, ...]:
    """Return the measures that the card knows, and where the rest is described."""
    scan = sheet.card.facts.data.pii_scan
    hits = None if scan is None else sheet.t("words.hits", n=scan.hits, tool=scan.tool)
    return (
        sheet.line("fields.described_in", "ropa.security_measures_ref", "GDPR 32"),
        sheet.line("fields.pseudonyms", "data.pseudonymisation", "GDPR 4(5), 32(1)(a)"),
        sheet.line("fields.key_in", "data.pseudonymisation_key_location"),
        sheet.line("fields.key_by", "data.pseudonymisation_key_owner"),
        sheet.line("fields.model_access", "model_privacy.access_controls", "GDPR 25, 32"),
        sheet.of("fields.identifiers", hits),
        sheet.of("fields.stores_rows", sheet.card.facts.model_privacy.stores_training_rows),
        sheet.line("fields.stop", "human_review.stop_procedure"),
        sheet.line("fields.incidents", "monitoring.incident_procedure", "GDPR 33-34"),
    )


def bases(sheet: Sheet) -> tuple[CardLine, ...]:
    """Return the lawful basis of each phase with its reference."""
    lines = []
    for phase in PHASES:
        stated = sheet.answer(f"lawful_basis.{phase}.basis")
        reference = sheet.answer(f"lawful_basis.{phase}.reference")
        line = sheet.of(f"phases.{phase}", stated, "GDPR 6(1)")
        where = "" if line.open else f" ({said(reference, sheet.t)})"
        lines.append(
            CardLine(line.label, line.text + where, line.source, line.open or is_open(reference))
        )
    return tuple(lines)


def decision_line(sheet: Sheet) -> CardLine:
    """Return whether Article 22 applies, with the reason where it is in the card's language."""
    decision = sheet.card.derived.decision
    state = {True: "applies", False: "does_not_apply", "?": "undecided"}[decision.art22_applies]
    text = sheet.t(f"article22.{state}")
    # The reason is written in English only.
    if sheet.t.language == "en":
        reason = decision.why.partition(": ")[2] or decision.why
        text = f"{text}. {reason[:1].upper()}{reason[1:]}"
    return CardLine(
        sheet.t("fields.automated"), text, sheet.t.cite("GDPR 22"), decision.art22_applies == "?"
    )


def outcomes(sheet: Sheet) -> str:
    """Return what people may get, each marked where it is to their disadvantage.

    Returns "" for an offer or none.
    """
    t = sheet.t
    return "; ".join(
        t("words.adverse", outcome=words) if each.adverse else words
        for each in sheet.card.facts.decision.outcomes
        for words in (each.words.get(t.language) or t.code(each.name),)
    )


def rights(sheet: Sheet) -> list[CardLine]:
    """Return what a person can do about it, and where."""
    card = sheet.card
    lines = []
    if card.derived.decision.art22_applies is True:
        safe = "art22.safeguards"
        lines += [
            sheet.line("rights.human", f"{safe}.intervention_channel", "GDPR 22(3)"),
            sheet.line("rights.view", f"{safe}.express_view_channel", "GDPR 22(3)"),
            sheet.line("rights.contest", f"{safe}.contest_channel", "GDPR 22(3)"),
        ]
    else:
        lines.append(sheet.line("rights.human", "roles.controller_contact"))
    if card.derived.decision.direct_marketing is not False:
        lines.append(
            sheet.line("rights.stop_offers", "objection.marketing_channel", "GDPR 21(2)-(3)")
        )
    # GDPR 21(1): the general right to object belongs to these two bases.
    if {"6_1_e", "6_1_f"} & sheet.bases:
        lines.append(sheet.line("rights.object", "objection.general_channel", "GDPR 21(1)"))
    if consent_used(sheet.card.answers):
        lines.append(sheet.line("rights.withdraw", "consent.withdrawal.channel", "GDPR 7(3)"))
    lines += [
        sheet.line("rights.access", "rights.access_channel", "GDPR 15"),
        sheet.line("rights.correct", "rights.rectification", "GDPR 16"),
        sheet.line("rights.erase", "erasure.channel", "GDPR 17"),
        sheet.of("rights.restrict", sheet.answer("erasure.channel"), "GDPR 18"),
    ]
    # GDPR 20(1)(a): portability belongs to consent and contract.
    if {"6_1_a", "6_1_b"} & sheet.bases:
        lines.append(sheet.of("rights.take", sheet.answer("rights.access_channel"), "GDPR 20"))
    return lines


def _is_part(name: str, other: str) -> bool:
    """Return whether the words of ``name`` stand in ``other``, such as Acme in Acme Cloud GmbH."""
    # As words, because "IT" is also in "DigitalOcean".
    words, others = (" ".join(re.findall(r"\w+", plain(text))) for text in (name, other))
    return bool(words) and f" {words} " in f" {others} "


def recipients(sheet: Sheet) -> list[str]:
    """Return who receives personal data.

    These are processors, the providers that the audit measured, and other controllers.
    """
    t, answers = sheet.t, sheet.card.answers
    listed = answers.roles.processors
    rows = {
        p.name.casefold(): f"{p.name} ({said(p.service, t)}, {said(p.country, t)})"
        for p in listed
        if not isinstance(p, str)
    }
    for host in elsewhere(sheet.card, personal=True):
        who = host.provider or host.hostname
        # One name may be a part of the other.
        if not any(_is_part(who, name) or _is_part(name, who) for name in rows):
            component = t.code(host.component)
            rows[who.casefold()] = f"{who} ({component}, {t.code(host.jurisdiction_class)})"
    sent = answers.decision.score_transmitted_to
    for other in items_of(sent):
        rows[other.controller.casefold()] = t("words.own_controller", name=other.controller)
    receivers = list(rows.values())
    # An open question may hide further recipients.
    return receivers + ([OPEN_TEXT] if isinstance(listed, str) or isinstance(sent, str) else [])
