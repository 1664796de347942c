"""The answer to "what do you hold about me?": readable and machine-readable (GDPR Art. 15, 20)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from sovereign.bands import Policy
from sovereign.card.records.document import Document, Grid, Section
from sovereign.card.render.speech import said
from sovereign.card.render.view import Line
from sovereign.card.schema.card import Card
from sovereign.contract import Contract
from sovereign.decision_log import DecisionLog, Entry
from sovereign.explain import Explainer
from sovereign.rights.policy import Retention
from sovereign.scorecard import Scorecard

Row = dict[str, Any]
NEVER_SHOWN = ("key", "bundle")
"""Of a decision: which client asked, and where the model lies; neither is about the person."""


class Decision(BaseModel):
    """One decision as it was applied, with what happened to it later."""

    model_config = ConfigDict(extra="forbid")

    id: str
    at: str
    outcome: str
    score: float | None
    band: str | None
    model_version: str
    policy_version: str
    inputs: Row
    reasons: list[str]
    influences: list[str]
    what_would_change_it: str
    later: list[Row]


class Access(BaseModel):
    """Everything about one person. ``provided`` is what Article 20 lets them take elsewhere; the rest was derived."""

    model_config = ConfigDict(extra="forbid")

    schema_version: str = "1"
    subject: str
    made_at: datetime
    provided: dict[str, list[Row]]
    profile: dict[str, list[Row]]
    decisions: list[Decision]
    objected: bool
    sources: list[str]
    recipients: list[str]
    purposes: list[str]
    retention: dict[str, str]
    rights: dict[str, str]

    @property
    def empty(self) -> bool:
        """Whether nothing is held."""
        return not (any(self.provided.values()) or any(self.profile.values()) or self.decisions or self.objected)


def decisions(log: DecisionLog, subject: str) -> list[Decision]:
    """Every decision about ``subject``, newest first, explained with the model that took it (Art. 15(1)(h))."""
    entries = [entry for entry in log.of_subject(subject, 1_000_000) if entry.kind == "decision" and entry.body]
    explainers: dict[str, Explainer | None] = {}
    return [_decision(log, entry, explainers) for entry in entries]


def about(card: Card) -> dict[str, Any]:
    """What the card says to everybody about sources, recipients, purposes and rights; open answers are named open."""
    answers = card.answers
    processors = answers.roles.processors
    sources = answers.data.sources
    return {
        "sources": [said(one.name) for one in sources] if not isinstance(sources, str) else [said(sources)],
        "recipients": [f"{said(one.name)} ({said(one.service)}, {said(one.country)})" for one in processors]
        if not isinstance(processors, str)
        else [said(processors)],
        "purposes": [said(answers.purpose.statement)],
        "rights": {
            "rectification, erasure, restriction": said(answers.erasure.channel),
            "objection to marketing": said(answers.objection.marketing_channel),
            "data protection officer": said(answers.roles.dpo_contact),
            "complaint": "to the data protection authority of your country",
        },
    }


def periods(policy: Retention) -> dict[str, str]:
    """Each class of data with its period and start event."""
    return {name: f"{rule.period} from: {rule.start.replace('_', ' ')}" for name, rule in policy}


def _decision(log: DecisionLog, entry: Entry, explainers: dict[str, Explainer | None]) -> Decision:
    made: Row = json.loads(entry.body or "{}")
    reference, inputs = made["bundle"], made.get("features") or {}
    if reference not in explainers:
        explainers[reference] = _explainer(log, reference)
    explainer = explainers[reference]
    full = explainer.explain(inputs) if explainer and inputs else None
    later = [one for one in log.of_case(entry.case_id) if one.seq != entry.seq and one.body]
    return Decision(
        id=entry.case_id,
        at=entry.at,
        outcome=made["outcome"],
        score=made.get("score"),
        band=made.get("band"),
        model_version=made["model_version"],
        policy_version=made["policy_version"],
        inputs=inputs,
        reasons=made.get("reasons", []),
        influences=[influence.text for influence in full.influences] if full else [],
        what_would_change_it=full.counterfactual_text if full else "",
        later=[{"kind": one.kind, "at": one.at, **_shown(one)} for one in later],
    )


def _explainer(log: DecisionLog, reference: str) -> Explainer | None:
    entries = log.of_case(reference)
    if not entries or entries[0].body is None:
        return None
    kept = json.loads(entries[0].body)
    return Explainer(
        Scorecard.model_validate(kept["model"]),
        Contract.model_validate(kept["contract"]),
        Policy.model_validate(kept["policy"]),
    )


def _shown(entry: Entry) -> Row:
    return {k: v for k, v in json.loads(entry.body or "{}").items() if k not in NEVER_SHOWN}


def document(access: Access, title: str) -> Document:
    """The answer for people."""
    return Document(
        title=title,
        about="What is held about you, what was concluded from it, and every decision. A copy for your own use.",
        source=f"Made {access.made_at:%Y-%m-%d %H:%M} UTC for the pseudonym {access.subject}",
        sections=(
            *_tables("What you gave or what your purchases show", "GDPR Art. 15(1)(b), 15(3), 20", access.provided),
            *_tables("What was computed about you", "GDPR Art. 15(1)(h), 4(4)", access.profile),
            *(_one(decision) for decision in access.decisions),
            Section("Your objection", "GDPR Art. 21", lines=(Line("Objected", "yes" if access.objected else "no"),)),
            Section("Where it comes from and who receives it", "GDPR Art. 15(1)(a), (c), (g)", lines=_general(access)),
            Section(
                "How long it is kept",
                "GDPR Art. 15(1)(d)",
                grids=(Grid(("Data", "Period"), tuple(access.retention.items())),),
            ),
            Section("Your rights", "GDPR Art. 15(1)(e)-(f)", lines=_pairs(access.rights)),
        ),
    )


def _tables(title: str, article: str, tables: Mapping[str, Sequence[Row]]) -> list[Section]:
    return [
        Section(f"{title}: {name}", article, grids=(_grid(rows),) if rows else (), lines=_none(rows))
        for name, rows in tables.items()
    ]


def _none(rows: Sequence[Row]) -> tuple[Line, ...]:
    return () if rows else (Line("Held", "nothing"),)


def _grid(rows: Sequence[Row]) -> Grid:
    """Few rows read across, one wide row reads down."""
    if len(rows) == 1:
        return Grid(("What", "Value"), tuple((name.replace("_", " "), _cell(v)) for name, v in rows[0].items()))
    head = tuple(name.replace("_", " ") for name in rows[0])
    return Grid(head, tuple(tuple(_cell(value) for value in row.values()) for row in rows))


def _cell(value: object) -> str:
    return "" if value is None else f"{value:,.4g}" if isinstance(value, float) else str(value)


def _one(decision: Decision) -> Section:
    lines = [
        Line("Result", f"{decision.outcome.replace('_', ' ')} (score {_cell(decision.score)}, band {decision.band})"),
        Line("Model and policy", f"{decision.model_version}, policy {decision.policy_version}"),
        Line("What would have changed it", decision.what_would_change_it),
        *(Line("Later", f"{one['at'][:16]}: {one['kind']}") for one in decision.later),
    ]
    return Section(
        f"Decision of {decision.at[:16].replace('T', ' ')}",
        "GDPR Art. 15(1)(h); CJEU C-203/22",
        lines=tuple(line for line in lines if line.text),
        grids=(Grid(("What counted, strongest first",), tuple((text,) for text in decision.influences)),),
    )


def _general(access: Access) -> tuple[Line, ...]:
    named = {"Purpose": access.purposes, "Source": access.sources, "Recipient": access.recipients}
    return tuple(Line(label, text) for label, texts in named.items() for text in texts or ["none"])


def _pairs(texts: Mapping[str, str]) -> tuple[Line, ...]:
    return tuple(Line(name[:1].upper() + name[1:], text) for name, text in texts.items())
