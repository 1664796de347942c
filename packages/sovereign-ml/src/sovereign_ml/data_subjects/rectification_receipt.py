"""A decision made again on corrected data: by the model that took it, linked to the old one (GDPR Art. 16, 19)."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from sovereign_ml.card.records.document import Document, Grid, Section, to_html
from sovereign_ml.card.render.view import CardLine
from sovereign_ml.data_subjects.access_report import explainer_of
from sovereign_ml.decision_log import DecisionLog, Draft, note_rectification, rectification
from sovereign_ml.decision_log.random_pool import RandomPool
from sovereign_ml.decisions.decision_policy import decide
from sovereign_ml.privacy.tombstones import write_durably

Row = dict[str, Any]


class Again(BaseModel):
    """The newest decision about the person and the one that replaces it; scores are probabilities."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    old: str
    new: str
    score_before: float
    score_after: float
    outcome_before: str
    outcome_after: str


class Rectification(BaseModel):
    """What was corrected, without values and names: ``person`` is a keyed hash. ``recipients`` are to be told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal["1"] = "1"
    id: str
    reference: str
    person: str
    at: datetime
    columns: tuple[str, ...]
    rows: int
    data_version: tuple[str, str]
    again: Again | None
    noted: tuple[str, ...]
    recipients: tuple[str, ...]


def decide_again(
    log: DecisionLog, subject: str, features: Row, text: str
) -> tuple[Again | None, list[str]]:
    """Replace the newest decision about ``subject`` (pseudonym) by one on ``features``; note ``text`` on older ones.

    The model is the one that took the decision, as the log keeps it: only the input differs. Returns what was made
    again, None without a decision on record or after an objection, and the ids of the decisions that are only noted.
    """
    made = [one for one in log.of_subject(subject) if one.kind == "decision" and one.body]
    latest = next((one for one in made if json.loads(one.body or "").get("features")), None)
    again = (
        _replace(log, subject, latest.case_id, json.loads(latest.body or ""), features, text)
        if latest
        else None
    )
    noted = note_rectification(log, subject, text)
    return again, [one for one in noted if again is None or one not in (again.old, again.new)]


def write(found: Rectification, folder: Path) -> Path:
    """``<id>.json`` and ``<id>.html`` in ``folder``; returns the page."""
    write_durably(folder / f"{found.id}.json", found.model_dump_json(indent=2) + "\n")
    write_durably(folder / f"{found.id}.html", to_html(document(found)))
    return folder / f"{found.id}.html"


def document(found: Rectification) -> Document:
    """The receipt for people."""
    again = found.again
    head = ("Decision", "Score", "Outcome")
    rows = (
        ((again.old, f"{again.score_before:.3f}", again.outcome_before), _after(again))
        if again
        else (("none", "", ""),)
    )
    return Document(
        draft=False,
        title=f"Receipt of rectification {found.id}",
        about="Correction of one person's data under Article 16 GDPR.",
        source=f"Data version {found.data_version[0]} became {found.data_version[1]}.",
        sections=(
            Section("Request", "GDPR Art. 12(3), 16", lines=_request(found)),
            Section(
                "Decided again",
                "GDPR Art. 16, 22(3)",
                grids=(Grid(head, rows),),
                lines=_noted(found),
            ),
            Section("Recipients to be told", "GDPR Art. 19", grids=(_recipients(found),)),
        ),
    )


def _replace(
    log: DecisionLog, subject: str, old: str, body: Row, features: Row, text: str
) -> Again | None:
    explainer = explainer_of(log, body["bundle"])
    if explainer is None:
        return None
    said = explainer.explain(features)
    decided = decide(explainer.policy, said.score)
    new = RandomPool().ordered()
    head = {name: body[name] for name in ("bundle", "model_version", "policy_version")} | {
        "key": "rectification"
    }
    content = head | {
        "corrects": old,
        "outcome": decided.outcome,
        "suggestion": decided.suggestion,
        "source": "rectification",
        "features": features,
        "score": said.score,
        "band": decided.band,
        "reasons": list(said.reasons()),
        "contributions": {one.feature: one.contribution for one in said.influences},
    }
    refused, waits = json.dumps(head | {"outcome": "objected"}), decided.outcome == "pending_review"
    decision = Draft("decision", new, subject, json.dumps(content), refused, waits)
    log.append([decision, rectification(old, subject, text, corrected_by=new)])
    return Again(
        old=old,
        new=new,
        score_before=body["score"],
        score_after=said.score,
        outcome_before=body["outcome"],
        outcome_after=decided.outcome,
    )


def _after(again: Again) -> tuple[str, str, str]:
    return again.new, f"{again.score_after:.3f}", again.outcome_after


def _request(found: Rectification) -> tuple[CardLine, ...]:
    return (
        CardLine("Reference", found.reference or "none given"),
        CardLine("Person (keyed hash)", found.person),
        CardLine("At", f"{found.at:%Y-%m-%d %H:%M:%S} UTC"),
        CardLine("Corrected", f"{', '.join(found.columns)} in {found.rows:,} rows"),
    )


def _noted(found: Rectification) -> tuple[CardLine, ...]:
    return (CardLine("Older decisions that now say so", f"{len(found.noted):,}"),)


def _recipients(found: Rectification) -> Grid:
    return Grid(
        ("Recipient", "Told on"), tuple((one, "") for one in found.recipients) or (("none", ""),)
    )
