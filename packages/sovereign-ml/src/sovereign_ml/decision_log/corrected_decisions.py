"""Rectification (GDPR Art. 16) of a decision.

A wrong input stays on record as it was used, and names its replacement.
"""

from __future__ import annotations

import json
from typing import Any

from sovereign_ml.decision_log.entries import Draft, Entry
from sovereign_ml.decision_log.store import DecisionLog


def rectification(
    decision_id: str, subject: str, text: str, *, corrected_by: str | None = None
) -> Draft:
    """Return the entry that follows a decision whose input was wrong.

    ``corrected_by`` is the decision made instead. With one, a review of the wrong decision that is
    still open is closed. A contest is heard all the same.
    """
    body = json.dumps({"text": text, "corrected_by": corrected_by})
    return Draft(
        "rectification", decision_id, subject, body, closes_review=corrected_by is not None
    )


def note_rectification(log: DecisionLog, subject: str, text: str) -> list[str]:
    """Note on every decision about ``subject`` on record that its input was corrected since.

    ``subject`` is a pseudonym. ``text`` is shown to the person, e.g. "2 purchases corrected on
    2026-11-24". Returns the ids of these decisions, newest first. A decision that has the note
    already is left alone. Raises LogUnavailableError.
    """
    entries = log.of_subject(subject)
    noted = {
        entry.case_id
        for entry in entries
        if entry.kind == "rectification" and _content(entry).get("text") == text
    }
    scored = [
        entry.case_id
        for entry in entries
        if entry.kind == "decision" and _content(entry).get("features")
    ]
    unnoted = [case for case in scored if case not in noted]
    if unnoted:
        log.append([rectification(case, subject, text) for case in unnoted])
    return unnoted


def _content(entry: Entry) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(entry.body or "{}")
    return content
