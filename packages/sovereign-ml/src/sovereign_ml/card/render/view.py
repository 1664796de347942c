"""Statements of every rendering of a card, as plain values.

They are first screen, rights, data, answers and identity.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sovereign_ml.card.conditions import consent_used
from sovereign_ml.card.questions import extra_of, walk
from sovereign_ml.card.render.speech import OPEN_TEXT, code, said
from sovereign_ml.card.schema import Approval, Card, is_open
from sovereign_ml.card.schema.base import Group
from sovereign_ml.card.schema.facts_data import EventTableFact, FeatureFact, Snapshot, SpecialScan


@dataclass(frozen=True)
class CardLine:
    """One labelled statement.

    ``open`` marks what nobody answered, ``source`` the article behind it.
    """

    label: str
    text: str
    source: str = ""
    open: bool = False


@dataclass(frozen=True)
class CardTable:
    """The answers of one table of ``model_card.toml``."""

    title: str
    lines: tuple[CardLine, ...]


VERDICTS = {
    True: "Article 22 applies",
    False: "Article 22 does not apply",
    "?": "Article 22: still open",
}


def verdict(card: Card) -> str:
    """Return the Article 22 finding in three or four words."""
    return VERDICTS[card.derived.decision.art22_applies]


def line(label: str, value: object, source: str = "") -> CardLine:
    """Return a line whose openness follows from its value."""
    text = said(value)
    return CardLine(label, text, source, text == OPEN_TEXT or is_open_part(value))


def is_open_part(value: object) -> bool:
    """Return whether a value, or an item of it, is a missing answer."""
    # An empty list is an answer: it says none.
    return isinstance(value, str | tuple) and value != () and is_open(value)


def finding(card: Card) -> str:
    """Return why Article 22 applies or not, without repeating the verdict."""
    reason = card.derived.decision.why.removeprefix(f"{verdict(card)}: ")
    return reason[:1].upper() + reason[1:]


def does(card: Card) -> list[CardLine]:
    """Return what the model does and for whom, for the first screen."""
    answers = card.answers
    return [
        line("Purpose", answers.purpose.statement),
        line("Predicts", answers.data.label_definition),
        line("Leads to", answers.decision.downstream_action),
        _people(card),
    ]


def _people(card: Card) -> CardLine:
    purpose = card.answers.purpose
    answered = not (is_open(purpose.subject_categories) or is_open(purpose.territories))
    text = (
        f"{said(purpose.subject_categories)} in {said(purpose.territories)}" if answered else None
    )
    return line("For whom", text)


def whom(card: Card) -> list[CardLine]:
    """Return who answers for the model and how far it reaches, for the first screen."""
    roles, facts = card.answers.roles, card.facts
    bands = ", ".join(band.name for band in facts.decision.bands)
    return [
        line("Controller", roles.controller),
        line("Contact", roles.controller_contact),
        line("Data protection", roles.dpo_contact),
        line("People in the data", facts.data.subjects),
        line(
            "Acts from band",
            f"{facts.decision.action_band} (of {bands})" if facts.decision.action_band else None,
        ),
    ]


def rights(card: Card) -> list[CardLine]:
    """Return what a person can do, for the first screen and the notice."""
    a = card.answers
    lines = [
        line("See the score", a.rights.access_channel, "GDPR 15"),
        line("Correct", a.rights.rectification, "GDPR 16"),
        line("Be erased", a.erasure.channel, "GDPR 17"),
    ]
    # While it is open whether this is marketing, the right is shown.
    if card.derived.decision.direct_marketing is not False:
        lines.insert(0, line("Stop offers", a.objection.marketing_channel, "GDPR 21(2)-(3)"))
    if "6_1_f" in a.lawful_basis.used().values() or "6_1_e" in a.lawful_basis.used().values():
        lines.append(line("Object", a.objection.general_channel, "GDPR 21(1)"))
    if consent_used(a):
        lines.append(line("Withdraw consent", a.consent.withdrawal.channel, "GDPR 7(3)"))
    if card.derived.decision.art22_applies is True:
        lines.insert(0, line("Ask a human", a.art22.safeguards.intervention_channel, "GDPR 22(3)"))
        lines.insert(1, line("Contest", a.art22.safeguards.contest_channel, "GDPR 22(3)"))
    return [*lines, line("Complain to", card.answers.notice.authority, "GDPR 77")]


def answers(card: Card) -> list[CardTable]:
    """Return every answer that was given, by table in the order of ``model_card.toml``."""
    tables: dict[str, list[CardLine]] = {}
    for path, field, value in walk(card.answers):
        # ``walk`` yields the groups of a list one by one, so the list itself is left out.
        holds_groups = isinstance(value, tuple) and any(isinstance(item, Group) for item in value)
        empty = value == () and not extra_of(field).get("empty_is_answer")
        if not (holds_groups or empty or (value != () and is_open(value))):
            label = field.description or code(path.rpartition(".")[2]).capitalize()
            entry = CardLine(
                _numbered(path, label), said(value), str(extra_of(field).get("source", ""))
            )
            tables.setdefault(path.partition(".")[0], []).append(entry)
    return [CardTable(code(name).capitalize(), tuple(lines)) for name, lines in tables.items()]


def _numbered(path: str, label: str) -> str:
    """Return a label that says which item of a list it belongs to."""
    match = re.search(r"\[(\d+)\]", path)
    return f"{int(match[1]) + 1}. {label}" if match else label


def identity(card: Card) -> list[CardLine]:
    """Return which model, data and code the card is about. Empty facts are left out."""
    model, run = card.facts.model, card.facts.run
    named = {
        "Model": model.name,
        "Version": model.version,
        "Algorithm": model.algorithm,
        "Framework": " ".join(filter(None, (model.framework, model.framework_version))) or None,
        "Hyperparameters": model.hyperparameters or None,
        "Random seed": model.random_seed,
        "model.json, SHA-256": model.artifact_sha256,
        "Lock file, SHA-256": model.dependency_lock_sha256,
        "Container image": model.container_image_digest,
        "Training code": model.training_code_commit,
        "Built": run.generated_at,
        "From commit": run.git_commit,
        "Profile": run.profile,
        "Judged by": _library(card),
        "Library wheel, SHA-256": card.facts.library.wheel_sha256 or None,
        "Rule code, SHA-256": card.facts.library.rule_digest,
        "Card content, SHA-256": card.content_hash or None,
        "Card schema, rules, law as of": (
            f"{card.schema_version}, {card.rulepack_version}, {said(card.law_snapshot)}"
        ),
    }
    return [line(label, value) for label, value in named.items() if value is not None]


LIBRARY_STATES = {
    "released": "installed as it was released",
    "development": "a development version, nothing released to compare with",
    "changed": "changed after it was released",
    None: "not recorded whether as released",
}


def _library(card: Card) -> str | None:
    """Return which library held the rules and whether it was the released one."""
    library = card.facts.library
    if library.version is None:
        return None
    return f"{library.name} {library.version}, {LIBRARY_STATES[library.state]}"


def signature(approval: Approval) -> str:
    """Return who signed a decision, or that it is only recorded."""
    return (
        f"signed: {approval.signed_by}" if approval.signed_by else "recorded decision, not signed"
    )


def data(card: Card) -> list[CardLine]:
    """Return the sources, versions, windows and scans of the data."""
    facts, answered = card.facts.data, card.answers.data
    scan, special = facts.pii_scan, facts.special_scan
    lines = [
        line(
            "Sources",
            tuple(source.name for source in answered.sources)
            if isinstance(answered.sources, tuple)
            else None,
        ),
        *(_events(table, facts.features) for table in facts.event_tables),
        line("Label window", facts.label_window),
        line("Cut-offs", facts.cutoffs or None),
        line("Customer numbers", answered.pseudonymisation),
        line(
            "Identifiers and free text found",
            None if scan is None else f"{scan.hits} ({scan.tool})",
        ),
        line(
            "Special categories by name",
            None if special is None else ", ".join(special.lexicon_hits) or "none found",
        ),
        _proxies(special),
    ]
    return lines + [_snapshot(snapshot) for snapshot in facts.snapshots]


def _events(table: EventTableFact, features: Sequence[FeatureFact]) -> CardLine:
    span = f"{said(table.from_date)} to {said(table.to_date)}"
    inputs = ", ".join(feature.name for feature in features if feature.source == table.name)
    text = f"{table.rows} rows of {table.subjects} people, {span}; inputs made from it: {inputs}"
    return CardLine(f"Events read: {table.name}", text)


def _proxies(scan: SpecialScan | None) -> CardLine:
    """Return the line on proxies, whether measured or not.

    Nobody may read a missing measurement as a no.
    """
    if scan is None or not scan.associations:
        reason = (scan and scan.not_measured_because) or "not recorded"
        return CardLine("Proxies", f"not measurable here: {reason}", open=True)
    proxies = ", ".join(
        f"{p.feature} for {p.category}, through {p.group} ({p.value:.2f})" for p in scan.proxies
    )
    return CardLine("Proxies", proxies or "none above the limit of the policy; see Fairness")


def _snapshot(snapshot: Snapshot) -> CardLine:
    span = f"{said(snapshot.from_date)} to {said(snapshot.to_date)}"
    text = (
        f"{snapshot.rows} rows of {snapshot.subjects} people, {span}, "
        f"version {snapshot.dvc_md5[:12]}"
    )
    return CardLine(f"Snapshot: {snapshot.role}", text)


def own_rules(card: Card) -> list[CardLine]:
    """Return the rules that the team added to those of the library, and the digest of their code."""
    own = card.facts.own_rules
    if not own.rules:
        return []
    rules = [
        line(f"Own rule {rule.id}, {rule.severity}s", rule.refuses, rule.article)
        for rule in own.rules
    ]
    return [*rules, line("Code of the own rules, SHA-256", own.digest)]


def policy(card: Card) -> list[CardLine]:
    """Return the numbers that the project chose, those that differ from the default marked."""
    lines = []
    for name, row in card.facts.policy.items():
        value, default, limit = row.get("value"), row.get("default"), row.get("limit")
        chosen = said(tuple(value) if isinstance(value, list) else value)
        usual = said(tuple(default) if isinstance(default, list) else default)
        # Whoever signs has to see where the project departs from the release.
        if value != default:
            chosen += f" (DIFFERS from the default {usual})"
        lines.append(
            CardLine(f"Policy: {code(name)}", f"{chosen}; allowed {limit}" if limit else chosen)
        )
    return lines
