"""Rules about a case and a person, decided in the transaction that writes."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sovereign_ml.decision_log.entries import (
    BARS,
    LIFTS,
    Bar,
    Draft,
    Entry,
    RandomPool,
    Refusal,
    Rejection,
    digest_of,
    mark_of,
    seal_of,
)
from sovereign_ml.decision_log.evidence import Counts
from sovereign_ml.decision_log.reading import Database, LogReader, fields_of, naming, outcome_of

LATER = ("contest", "review", "rectification")
"""Kinds of entries that follow a decision."""


class Chain:
    """The end of the chain while a transaction adds to it."""

    def __init__(self, seq: int, seal: str, at: str, salts: RandomPool) -> None:
        self.seq, self.seal, self.at = seq, seal, at
        self.newest: dict[str, str] = {}
        """Seal of the newest entry of each case to which this transaction adds."""
        self.corrected: set[str] = set()
        self.added: list[Entry] = []
        """Entries of this transaction, without decisions. They reach the table at its end."""
        self.counts: Counts = Counter()
        """Changes of the counts by the decisions and reviews of this transaction."""
        self._salts = salts

    def add(self, draft: Draft, body: str) -> Entry:
        """Seal ``draft`` with ``body`` as the next entry."""
        salt = self._salts.hex()
        digest = digest_of(salt, draft.subject, body)
        self.seq, previous = self.seq + 1, self.seal
        self.seal = seal_of(previous, self.seq, (draft.kind, draft.case_id, self.at), digest)
        self.newest[draft.case_id] = self.seal
        head = (self.seq, draft.kind, draft.case_id, draft.subject, self.at)
        entry = Entry(*head, salt, body, digest, previous, self.seal)
        if entry.kind != "decision":
            self.added.append(entry)
        return entry


class CaseRules:
    """Rules about the entries that the log allows at this moment.

    The caller keeps ``barred`` up to date while it writes.
    """

    def __init__(self, database: Database, chain: Chain, barred: dict[str, set[str]]) -> None:
        self._db, self._reader = database, LogReader(database)
        self._chain, self._barred = chain, barred

    def body(self, draft: Draft) -> str | Rejection:
        """Return the body to write for ``draft``, or the reason why nothing is written."""
        # A bar is the only entry that is still written about an erased pseudonym.
        if draft.subject and draft.kind not in BARS and mark_of(draft.subject) in self._barred:
            return Rejection("erased")
        if refusal := self._refusal(draft):
            return Rejection(refusal)
        bars = self._barred.get(draft.subject or "", set())
        if draft.kind in BARS:
            repeated = draft.kind in bars and not self._is_new_ground(draft)
            return Rejection(BARS[draft.kind]) if repeated else draft.body
        # A bar ends scoring and no right. What follows a decision, and the end of a bar, are written
        # as they are: the note of a correction is about a decision from before the bar.
        if not bars or draft.kind in (*LATER, *LIFTS):
            return draft.body
        if draft.body_if_barred is None:
            return Rejection(outcome_of(bars))
        return naming(outcome_of(bars), draft.body_if_barred)

    def in_force(self, subject: str, bar: Bar) -> list[Entry]:
        """Return the bars on ``subject`` in force, with the entries of this transaction."""
        return self._reader.in_force(subject, bar, self._chain.added)

    def _is_new_ground(self, draft: Draft) -> bool:
        """Return whether ``draft`` adds a ground to a bar that is in force already.

        A bar that was blanked has no ground on record any more, and lasts for ever.
        """
        standing = self.in_force(draft.subject or "", draft.kind)  # type: ignore[arg-type]
        if not standing or any(entry.body is None for entry in standing):
            return False
        grounds = {fields_of(entry.body).get("ground") for entry in standing}
        return fields_of(draft.body).get("ground") not in grounds

    def _refusal(self, draft: Draft) -> Refusal | None:
        """Return the reason why the state of its case forbids ``draft``, or None."""
        replaced = draft.corrects or (draft.case_id if draft.closes_review else "")
        if replaced and self._is_corrected(replaced):
            return "corrected"
        about = draft.corrects or draft.case_id
        if (draft.corrects or draft.kind in LATER) and self._is_blanked(about):
            return "gone"
        if draft.kind in LIFTS:
            standing = self.in_force(draft.subject or "", LIFTS[draft.kind])
            stands = draft.case_id in {entry.case_id for entry in standing}
            return None if stands else "not_barred"
        if draft.kind == "review":
            return self._review_refusal(draft)
        if draft.kind == "contest" and self._opened_by(draft.case_id)[:1] == ("contest",):
            return "contested"
        return None

    def _review_refusal(self, draft: Draft) -> Refusal | None:
        opened = self._opened_by(draft.case_id)
        if not opened:
            return "not_open"
        if draft.reviewed_seal is not None and draft.reviewed_seal != self._newest_seal(
            draft.case_id
        ):
            return "changed"
        people = [subject for subject in (draft.subject, opened[1]) if subject]
        on_people = self._reader.bars_on(people).values()
        bars = {kind for kinds in on_people for kind in kinds} & BARS.keys()
        if bars and not draft.changes_nothing:
            return outcome_of(bars)
        reviewer = fields_of(draft.body).get("reviewer")
        if opened[0] == "contest" and reviewer in self._reviewers(draft.case_id):
            return "same_reviewer"
        return None

    def _reviewers(self, case_id: str) -> set[Any]:
        """Return the reviewers who decided this case before. A blanked review names nobody."""
        sql = "SELECT body FROM decision_log WHERE case_id = ? AND kind = 'review'"
        bodies = [row[0] for row in self._db.rows(sql, (case_id,)) if row[0]]
        # No query sees the entries of this transaction yet.
        bodies += [
            entry.body
            for entry in self._chain.added
            if entry.case_id == case_id and entry.kind == "review"
        ]
        return {fields_of(body).get("reviewer") for body in bodies}

    def _opened_by(self, case_id: str) -> tuple[Any, ...]:
        """Return kind and subject of the entry that opened the case.

        The tuple is empty when the case does not wait.
        """
        rows = self._db.rows("SELECT kind, subject FROM open_reviews WHERE case_id = ?", (case_id,))
        return rows[0] if rows else ()

    def _newest_seal(self, case_id: str) -> str:
        if case_id in self._chain.newest:
            return self._chain.newest[case_id]
        sql = "SELECT seal FROM decision_log WHERE case_id = ? ORDER BY seq DESC LIMIT 1"
        return "".join(row[0] for row in self._db.rows(sql, (case_id,)))

    def _is_blanked(self, case_id: str) -> bool:
        sql = "SELECT body FROM decision_log WHERE case_id = ? ORDER BY seq LIMIT 1"
        return self._db.rows(sql, (case_id,)) == [(None,)]

    def _is_corrected(self, case_id: str) -> bool:
        sql = "SELECT body FROM decision_log WHERE case_id = ? AND kind = 'rectification'"
        bodies = [row[0] for row in self._db.rows(sql, (case_id,))]
        return case_id in self._chain.corrected or any(
            fields_of(body).get("corrected_by") for body in bodies
        )
