"""The entry in the record of processing activities, Article 30(1)(a) to (g), from the card."""

from __future__ import annotations

from sovereign_ml.card.records import common
from sovereign_ml.card.records.document import Document, Section, source_of
from sovereign_ml.card.render.speech import said
from sovereign_ml.card.render.view import CardLine, finding, line, verdict
from sovereign_ml.card.schema import Card, is_open


def record_of_processing(card: Card) -> Document:
    """The Article 30 entry. Profiling of customers is not occasional, so 30(5) rarely spares it."""
    entry = said(card.answers.ropa.entry_id)
    return Document(
        title=f"Record of processing: {card.id}",
        about=f"Entry {entry} under Article 30(1) GDPR: scoring of customers by a trained model.",
        source=source_of(card),
        sections=(
            _who(card),
            _why(card),
            _whose(card),
            _recipients(card),
            _transfers(card),
            _limits(card),
            _security(card),
        ),
    )


def _who(card: Card) -> Section:
    roles = card.answers.roles
    lines = [
        line("Controller", roles.controller),
        line("Contact", roles.controller_contact),
        line("Data protection officer", roles.dpo_contact),
        CardLine("Joint controllers", said(roles.joint_controllers)),
        line("Owner in the business", roles.owner_business),
        line("Owner of the model", roles.owner_model),
    ]
    if not is_open(roles.eu_representative):
        lines.insert(2, line("Representative in the Union", roles.eu_representative))
    return Section("Controller and contacts", "Article 30(1)(a)", tuple(lines))


def _why(card: Card) -> Section:
    purpose, decision = card.answers.purpose, card.derived.decision
    lines = (
        line("Purpose", purpose.statement),
        line("Uses", purpose.specific_uses),
        line("Not for", purpose.out_of_scope_uses),
        line("Follows from the score", card.answers.decision.downstream_action),
        line("Direct marketing", decision.direct_marketing, "GDPR 21(2)-(3)"),
        CardLine("Profiling", said(decision.profiling), "GDPR 4(4)"),
        CardLine(
            "Automated decisions",
            f"{verdict(card)}. {finding(card)}",
            "GDPR 22",
            decision.art22_applies == "?",
        ),
        *common.bases(card),
    )
    return Section(
        "Purposes and lawful basis",
        "Article 30(1)(b); basis kept here for Articles 5(2) and 13",
        lines,
    )


def _whose(card: Card) -> Section:
    purpose = card.answers.purpose
    lines = (
        line("People", purpose.subject_categories),
        line("Countries", purpose.territories),
        line("How many", card.facts.data.subjects),
        line("Children possible", purpose.children_possible),
        line("Vulnerable groups", purpose.vulnerable_groups),
        line("Special categories", card.answers.special.declared_features, "GDPR 9"),
        line("Criminal data", card.answers.special.criminal_data, "GDPR 10"),
    )
    return Section("People and data", "Article 30(1)(c)", lines, (common.data_categories(card),))


def _recipients(card: Card) -> Section:
    answers = card.answers
    lines = (
        line("Recipients", answers.ropa.recipients),
        line(
            "Other controllers who get the score", answers.decision.score_transmitted_to, "C-634/21"
        ),
    )
    grids = (common.processors(card), common.hosts(card))
    return Section("Recipients", "Article 30(1)(d)", lines, grids, common.unnamed_hosts(card))


def _transfers(card: Card) -> Section:
    lines = (line("Countries outside the EEA", card.answers.ropa.transfers),)
    return Section("Transfers", "Article 30(1)(e)", lines, (common.transfers(card),))


def _limits(card: Card) -> Section:
    erasure = card.answers.erasure
    lines = (
        line("A person asks for erasure", erasure.channel, "GDPR 17"),
        line("Done within days", erasure.max_days, "GDPR 12(3)"),
        line("The model then", erasure.model_action),
        line("Backups", erasure.backups),
    )
    grid, missing = common.time_limits(card)
    return Section("Time limits for erasure", "Article 30(1)(f)", lines, (grid,), missing)


def _security(card: Card) -> Section:
    return Section("Security measures", "Article 30(1)(g), Article 32(1)", common.security(card))
