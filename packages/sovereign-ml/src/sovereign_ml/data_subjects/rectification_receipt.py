"""A decision taken again on corrected data by the same model (GDPR Art. 16, 19)."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from sovereign_ml.card.records.document import Document, Grid, Section, to_html
from sovereign_ml.card.render.view import CardLine
from sovereign_ml.data_subjects.access_report import explainer_of
from sovereign_ml.decision_log import (
    DecisionLog,
    Draft,
    Rejection,
    note_rectification,
    rectification,
)
from sovereign_ml.decision_log.entries import RandomPool
from sovereign_ml.decisions.decision_policy import decide
from sovereign_ml.privacy.tombstones import write_durably

Row = dict[str, Any]


class Again(BaseModel):
    """The newest decision about the person and its replacement. Scores are probabilities."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    old: str
    new: str
    score_before: float
    score_after: float
    outcome_before: str
    outcome_after: str


class Rectification(BaseModel):
    """Receipt of a correction. ``person`` is a keyed hash, ``recipients`` are to be informed."""

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
    """Replace the newest decision about ``subject`` by one on ``features``.

    ``subject`` is a pseudonym. ``text`` is noted on older decisions. The model is the one in
    the log that took the decision, so that only the input differs. Returns the replacement, and
    the ids of the decisions that are only noted. The replacement is None without a decision on
    record, after an objection or another bar, and where the logged model was deleted
    or needs an input that ``features`` lacks.
    """
    past = [entry for entry in log.of_subject(subject) if entry.kind == "decision" and entry.body]
    latest = next((entry for entry in past if json.loads(entry.body or "").get("features")), None)
    again = (
        _replace(log, subject, latest.case_id, json.loads(latest.body or ""), features, text)
        if latest
        else None
    )
    noted = note_rectification(log, subject, text)
    return again, [case for case in noted if again is None or case not in (again.old, again.new)]


def write(receipt: Rectification, folder: Path) -> Path:
    """Write ``<id>.json`` and ``<id>.html`` into ``folder`` and return the page."""
    write_durably(folder / f"{receipt.id}.json", receipt.model_dump_json(indent=2) + "\n")
    write_durably(folder / f"{receipt.id}.html", to_html(document(receipt)))
    return folder / f"{receipt.id}.html"


def document(receipt: Rectification) -> Document:
    """Return the receipt as a page for people."""
    again = receipt.again
    head = ("Decision", "Score", "Outcome")
    rows = (
        (
            (again.old, f"{again.score_before:.3f}", again.outcome_before),
            (again.new, f"{again.score_after:.3f}", again.outcome_after),
        )
        if again
        else (("none", "", ""),)
    )
    recipients = tuple((name, "") for name in receipt.recipients) or (("none", ""),)
    return Document(
        draft=False,
        title=f"Receipt of rectification {receipt.id}",
        about="Correction of one person's data under Article 16 GDPR.",
        source=f"Data version {receipt.data_version[0]} became {receipt.data_version[1]}.",
        sections=(
            Section(
                "Request",
                "GDPR Art. 12(3), 16",
                lines=(
                    CardLine("Reference", receipt.reference or "none given"),
                    CardLine("Person (keyed hash)", receipt.person),
                    CardLine("At", f"{receipt.at:%Y-%m-%d %H:%M:%S} UTC"),
                    CardLine("Corrected", f"{', '.join(receipt.columns)} in {receipt.rows:,} rows"),
                ),
            ),
            Section(
                "Decided again",
                "GDPR Art. 16, 22(3)",
                grids=(Grid(head, rows),),
                lines=(CardLine("Older decisions with a note", f"{len(receipt.noted):,}"),),
            ),
            Section(
                "Recipients to inform",
                "GDPR Art. 19",
                grids=(Grid(("Recipient", "Informed on"), recipients),),
            ),
        ),
    )


def _replace(
    log: DecisionLog, subject: str, old: str, body: Row, features: Row, text: str
) -> Again | None:
    explainer = explainer_of(log, body["bundle"])
    # Without the logged bundle nobody can say what the same model decides on the corrected data.
    if explainer is None:
        return None
    try:
        explanation = explainer.explain(features)
    except KeyError:
        # The project has dropped an input of that model since: [features] inputs.
        return None
    decided = decide(explainer.policy, explanation.score)
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
        "score": explanation.score,
        "band": decided.band,
        "reasons": list(explanation.reasons()),
        "contributions": {
            influence.feature: influence.contribution for influence in explanation.influences
        },
    }
    # The log stores this body instead if the person has objected in the meantime.
    refused, waits = json.dumps(head | {"outcome": "objected"}), decided.outcome == "pending_review"
    decision = Draft("decision", new, subject, json.dumps(content), refused, waits)
    # One transaction: a crash between the two would leave the old decision without its note.
    written, _ = log.append([decision, rectification(old, subject, text, corrected_by=new)])
    # The log decides in the end: the person may be barred by now, or the decision replaced.
    if isinstance(written, Rejection) or written.body != decision.body:
        return None
    return Again(
        old=old,
        new=new,
        score_before=body["score"],
        score_after=explanation.score,
        outcome_before=body["outcome"],
        outcome_after=decided.outcome,
    )
