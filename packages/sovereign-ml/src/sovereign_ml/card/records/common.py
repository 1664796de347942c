"""Statements that both records need: data, recipients, transfers, time limits, security."""

from __future__ import annotations

from sovereign_ml.card.records.document import Grid
from sovereign_ml.card.render.speech import OPEN_TEXT, code, said
from sovereign_ml.card.render.view import CardLine, line
from sovereign_ml.card.schema import NOT_ANSWERED, Card, is_open
from sovereign_ml.card.schema.facts_data import Host


def data_categories(card: Card) -> Grid:
    """Kinds of personal data with the inputs that belong to each."""
    kinds: dict[str, list[str]] = {}
    for feature in card.facts.data.features:
        kinds.setdefault(code(feature.category), []).append(feature.label or feature.name)
    rows = [(kind, ", ".join(labels)) for kind, labels in kinds.items()] or [(OPEN_TEXT, OPEN_TEXT)]
    pseudonym = (
        "pseudonym",
        f"customer number replaced: {said(card.answers.data.pseudonymisation)}",
    )
    return Grid(
        ("Category", "Data"), (pseudonym, *rows, ("derived", "the score, its band and its reasons"))
    )


def processors(card: Card) -> Grid:
    """Processors with country, parent and agreement; an empty list is an answer."""
    listed = card.answers.roles.processors
    head = ("Processor", "Service", "Country", "Parent under", "Agreement")
    if isinstance(listed, str):
        return Grid(head, ((OPEN_TEXT,) * len(head),))
    rows = [
        tuple(
            said(value)
            for value in (p.name, p.service, p.country, p.parent_jurisdiction, p.dpa_ref)
        )
        for p in listed
    ]
    return Grid(head, tuple(rows) or (("none", "–", "–", "–", "–"),))


def hosts(card: Card) -> Grid:
    """Where data goes, as the endpoint audit found it; this machine is no recipient."""
    rows = [
        (
            host.hostname,
            code(host.component),
            host.provider or (OPEN_TEXT if "personal_data" in host.carries else "–"),
            code(host.jurisdiction_class),
            said(host.carries),
        )
        for host in _elsewhere(card)
    ]
    nothing = ("none found by the audit", "–", "–", "–", "–")
    return Grid(("Host", "For", "Provider", "Jurisdiction", "Carries"), tuple(rows) or (nothing,))


def transfers(card: Card) -> Grid:
    """Access from outside the EEA with its tool; an empty list is an answer."""
    listed = card.answers.hosting.transfers
    head = ("To", "Transfer tool", "Impact assessment", "Foreign orders (Article 48)")
    if isinstance(listed, str):
        return Grid(head, ((OPEN_TEXT,) * len(head),))
    rows = [
        tuple(said(value) for value in (t.to, t.tool, t.tia_ref, t.art48_procedure)) for t in listed
    ]
    return Grid(head, tuple(rows) or (("none", "–", "–", "–"),))


def unnamed_hosts(card: Card) -> tuple[str, ...]:
    """Hosts with personal data whose provider the record does not name, and US reach without a transfer answer."""
    a, points = card.answers, []
    named = (
        [str(item).casefold() for item in a.ropa.recipients]
        if isinstance(a.ropa.recipients, tuple)
        else []
    )
    known = [*named, *(p.name.casefold() for p in a.roles.processors if not isinstance(p, str))]
    for host in _elsewhere(card):
        if "personal_data" not in host.carries:
            continue
        if not any(host.provider and host.provider.casefold() in name for name in known):
            points.append(
                f"{host.hostname} ({host.provider or 'provider unknown'}) holds personal data and is not named."
            )
        outside = isinstance(a.hosting.transfers, str) or not host.jurisdiction_class.startswith(
            "EU"
        )
        if host.us_nexus and outside and a.hosting.transfers in (NOT_ANSWERED, ()):
            points.append(
                f"{host.hostname} can be reached under US law, but no transfer or measure is recorded."
            )
    return tuple(points)


def _elsewhere(card: Card) -> list[Host]:
    return [host for host in card.facts.hosting if host.jurisdiction_class != "LOCAL"]


def time_limits(card: Card) -> tuple[Grid, tuple[str, ...]]:
    """How long each object is kept, and the objects that exist without a limit."""
    rules = card.answers.retention.objects
    given = () if isinstance(rules, str) else rules
    rows = [
        (
            code(r.object),
            said(r.period),
            "–" if is_open(r.start_event) else r.start_event,
            _how(r.mechanism),
        )
        for r in given
    ]
    missing = [
        item.object
        for item in card.facts.retention.objects
        if item.object not in {r.object for r in given}
    ]
    grid = Grid(("Object", "Kept", "Counted from", "Deleted"), tuple(rows) or ((OPEN_TEXT,) * 4,))
    return grid, tuple(f"{code(name)} exists and has no time limit." for name in missing)


def security(card: Card) -> tuple[CardLine, ...]:
    """Technical and organisational measures that the card knows, and where the rest is described."""
    a, facts = card.answers, card.facts
    return (
        line("Described in", a.ropa.security_measures_ref, "GDPR 32"),
        line("Pseudonymisation", a.data.pseudonymisation, "GDPR 4(5), 32(1)(a)"),
        line("Key kept in", a.data.pseudonymisation_key_location),
        line("Key held by", a.data.pseudonymisation_key_owner),
        line("Access to the model", a.model_privacy.access_controls, "GDPR 25, 32"),
        CardLine("Identifiers in the training data", _scan(card)),
        line("Model stores people's rows", facts.model_privacy.stores_training_rows),
        line("Stop at once", a.human_review.stop_procedure),
        line("Incidents", a.monitoring.incident_procedure, "GDPR 33-34"),
    )


def bases(card: Card) -> tuple[CardLine, ...]:
    """The lawful basis of each phase with its reference."""
    basis = card.answers.lawful_basis
    phases = ("collect", "train", "score", "act", "monitor")
    return tuple(_basis(phase, getattr(basis, phase)) for phase in phases)


def _basis(phase: str, given: object) -> CardLine:
    stated, reference = getattr(given, "basis", None), getattr(given, "reference", None)
    told = line(phase.capitalize(), stated, "GDPR 6(1)")
    where = "" if told.open else f" ({said(reference)})"
    return CardLine(told.label, told.text + where, told.source, told.open or is_open(reference))


def _how(mechanism: str) -> str:
    return "–" if is_open(mechanism) else code(mechanism)


def _scan(card: Card) -> str:
    scan = card.facts.data.pii_scan
    return OPEN_TEXT if scan is None else f"{scan.hits} found by {scan.tool}"
