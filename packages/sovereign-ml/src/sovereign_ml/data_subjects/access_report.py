"""The answer to "what do you hold about me?": readable and machine-readable (GDPR Art. 15, 20)."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from sovereign_ml.card.render.speech import OPEN_TEXT, said
from sovereign_ml.card.schema.card import Card
from sovereign_ml.config.retention import RetentionSettings
from sovereign_ml.decision_log import DecisionLog, Entry
from sovereign_ml.decisions.decision_policy import DecisionPolicy
from sovereign_ml.decisions.feature_contract import FeatureContract
from sovereign_ml.model import served
from sovereign_ml.model.explain import Explainer

Row = dict[str, Any]
NEVER_SHOWN = ("key", "bundle")
"""Of a decision: which client asked, and where the model lies; neither is about the person."""


class DecisionHeld(BaseModel):
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
    decisions: list[DecisionHeld]
    objected: bool
    sources: list[str]
    recipients: list[str]
    purposes: list[str]
    retention: dict[str, str]
    rights: dict[str, str]

    @property
    def empty(self) -> bool:
        """Whether nothing is held."""
        return not (
            any(self.provided.values())
            or any(self.profile.values())
            or self.decisions
            or self.objected
        )

    @property
    def unanswered(self) -> list[str]:
        """What the page has to tell them and the card does not say."""
        told = {"purpose": self.purposes, "sources": self.sources, "recipients": self.recipients}
        told |= {name: [text] for name, text in self.rights.items()}
        return [name for name, texts in told.items() if OPEN_TEXT in texts]


def decisions(log: DecisionLog, subject: str) -> list[DecisionHeld]:
    """Every decision about ``subject``, newest first, explained with the model that took it (Art. 15(1)(h))."""
    entries = [
        entry for entry in log.of_subject(subject) if entry.kind == "decision" and entry.body
    ]
    explainers: dict[str, Explainer | None] = {}
    return [_decision(log, entry, explainers) for entry in entries]


def campaigns(log: DecisionLog, subject: str) -> list[Row]:
    """Return the campaigns that ``subject`` was drawn for, treated or control, newest first."""
    return [
        {"at": entry.at, **json.loads(entry.body)}
        for entry in log.of_subject(subject)
        if entry.kind == "contact" and entry.body
    ]


def about(card: Card) -> dict[str, Any]:
    """What the card says to everybody about sources, recipients, purposes and rights; open answers are named open."""
    answers = card.answers
    processors = answers.roles.processors
    sources = answers.data.sources
    return {
        "sources": [said(one.name) for one in sources]
        if not isinstance(sources, str)
        else [said(sources)],
        "recipients": [
            f"{said(one.name)} ({said(one.service)}, {said(one.country)})" for one in processors
        ]
        if not isinstance(processors, str)
        else [said(processors)],
        "purposes": [said(answers.purpose.statement)],
        "rights": {
            "rectification, erasure, restriction": said(answers.erasure.channel),
            "objection to marketing": said(answers.objection.marketing_channel),
            "data protection officer": said(answers.roles.dpo_contact),
            "complaint": f"to {said(answers.notice.authority)}, or to the authority of the country you live in",
        },
    }


def periods(policy: RetentionSettings) -> dict[str, str]:
    """Each class of data with its period and start event."""
    return {name: f"{rule.period} from: {rule.start.replace('_', ' ')}" for name, rule in policy}


def _decision(
    log: DecisionLog, entry: Entry, explainers: dict[str, Explainer | None]
) -> DecisionHeld:
    made: Row = json.loads(entry.body or "{}")
    reference, inputs = made["bundle"], made.get("features") or {}
    if reference not in explainers:
        explainers[reference] = explainer_of(log, reference)
    explainer = explainers[reference]
    full = explainer.explain(inputs) if explainer and inputs else None
    later = [one for one in log.of_case(entry.case_id) if one.seq != entry.seq and one.body]
    return DecisionHeld(
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


def explainer_of(log: DecisionLog, reference: str) -> Explainer | None:
    """The model that took a decision, from the log's entry ``reference``; None if that is gone."""
    entries = log.of_case(reference)
    if not entries or entries[0].body is None:
        return None
    kept = json.loads(entries[0].body)
    return Explainer(
        served.of_content(kept["model"]),
        FeatureContract.model_validate(kept["contract"]),
        DecisionPolicy.model_validate(kept["policy"]),
    )


def _shown(entry: Entry) -> Row:
    return {k: v for k, v in json.loads(entry.body or "{}").items() if k not in NEVER_SHOWN}
