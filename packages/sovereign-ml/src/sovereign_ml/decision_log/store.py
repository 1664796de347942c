"""Read and append entries; the SQL that SQLite and PostgreSQL share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from sovereign_ml.decision_log.entries import (
    GENESIS,
    Draft,
    Entry,
    Rejection,
    digest_of,
    mark_of,
    now,
    seal_of,
)
from sovereign_ml.decision_log.random_pool import RandomPool

FIELDS = "seq, kind, case_id, subject, at, salt, body, digest, previous, seal"
CHUNK = 500
EVERY = 1_000_000_000
"""More entries than a log has: no limit."""
ROW, ROWS = "(?,?,?,?,?,?,?,?,?,?)", 100


class Database(Protocol):
    """What differs between SQLite and PostgreSQL. Every method raises LogUnavailableError when it cannot work."""

    def transaction(self) -> AbstractContextManager[None]:
        """One durable transaction that excludes every other writer, in this process or another."""

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run ``sql`` (placeholders ``?``) and return its rows."""

    def change(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run ``sql`` and return the number of changed rows."""

    def close(self) -> None:
        """Let go of the connection."""


class DecisionLog:
    """The log on one database. Not for use by two threads at once: each opens its own."""

    def __init__(self, database: Database, clock: Callable[[], str] = now) -> None:
        self._db = database
        self._clock = clock
        self._salts = RandomPool()

    def append(self, drafts: Sequence[Draft]) -> list[Entry | Rejection]:
        """Write all ``drafts`` in one durable transaction; the answer has one element per draft, in order.

        ``at`` never runs backwards: when the clock does, entries keep the time of the one before.
        Raises LogUnavailableError; then none was written as far as the caller may rely on it.
        """
        with self._db.transaction():
            barred = self._barred({draft.subject for draft in drafts if draft.subject})
            chain = _Chain(*self.head(), self._clock(), self._salts)
            results = [self._write(draft, barred, chain) for draft in drafts]
            self._insert([entry for entry in results if isinstance(entry, Entry)])
        return results

    def head(self) -> tuple[int, str, str]:
        """Sequence number, seal and time of the newest entry; zeros and an empty time for an empty log."""
        rows = self._db.rows("SELECT seq, seal, at FROM decision_log ORDER BY seq DESC LIMIT 1")
        return (rows[0][0], rows[0][1], rows[0][2]) if rows else (0, GENESIS, "")

    def entries(self, *, after: int = 0) -> Iterator[Entry]:
        """All entries in order, read in chunks, so that a long log needs little memory."""
        while chunk := self._select("seq > ? ORDER BY seq LIMIT ?", (after, CHUNK)):
            yield from chunk
            after = chunk[-1].seq

    def of_case(self, case_id: str) -> list[Entry]:
        """Every entry of one decision, oldest first."""
        return self._select("case_id = ? ORDER BY seq", (case_id,))

    def of_subject(self, subject: str, limit: int = EVERY) -> list[Entry]:
        """The entries about one pseudonym, newest first; ``limit`` of them where that is enough."""
        return self._select("subject = ? ORDER BY seq DESC LIMIT ?", (subject, limit))

    def of_kind(self, kind: str) -> list[Entry]:
        """Every entry of one kind, oldest first."""
        return self._select("kind = ? ORDER BY seq", (kind,))

    def open_reviews(self, limit: int = 100) -> list[Entry]:
        """The entry that opened each case a person still has to decide, oldest first."""
        return self._select("seq IN (SELECT seq FROM open_reviews) ORDER BY seq LIMIT ?", (limit,))

    def review_is_open(self, case_id: str) -> bool:
        """Whether a person still has to decide this case."""
        return bool(self._db.rows("SELECT 1 FROM open_reviews WHERE case_id = ?", (case_id,)))

    def objectors(self) -> set[str]:
        """Pseudonyms of all who objected."""
        return {row[0] for row in self._db.rows("SELECT subject FROM objections")}

    def erased_marks(self) -> set[str]:
        """Hashes of all erased pseudonyms."""
        return {row[0] for row in self._db.rows("SELECT mark FROM erased")}

    def erase_subject(self, subject: str) -> int:
        """Blank every entry about ``subject`` (Art. 17), append a tombstone; returns the number of entries blanked.

        From then on nothing about this pseudonym is written but an objection: whoever comes back as a customer has
        another id, so the old one can only come out of an old file. An objection stays in force: the pseudonym on
        the suppression list is what keeps the person from being scored again (Art. 17(3)(b), 21(3)).
        """
        return self._blank("subject = ?", (subject,), "erasure request", mark_of(subject))

    def expire(self, before: str, kinds: Sequence[str] = ()) -> int:
        """Blank every entry about a person older than ``before`` (UTC, ISO 8601), append a tombstone (Art. 5(1)(e)).

        ``kinds`` limits it to these kinds of entries.
        """
        return self._blank(*_older(before, kinds), "retention period over")

    def older(self, before: str, kinds: Sequence[str] = ()) -> int:
        """How many entries ``expire`` would blank."""
        condition, values = _older(before, kinds)
        return int(
            self._db.rows(f"SELECT count(*) FROM decision_log WHERE {condition}", values)[0][0]  # noqa: S608
        )

    def close(self) -> None:
        """Let go of the connection."""
        self._db.close()

    def _blank(self, condition: str, values: Sequence[str], why: str, mark: str = "") -> int:
        with self._db.transaction():
            found = self._db.rows(
                f"SELECT seq, case_id FROM decision_log WHERE {condition}",  # noqa: S608
                values,
            )
            seqs = [row[0] for row in found]
            new = mark and self._db.change(
                "INSERT INTO erased (mark) VALUES (?) ON CONFLICT DO NOTHING", (mark,)
            )
            if not seqs and not new:
                return 0
            chain = _Chain(*self.head(), self._clock(), self._salts)
            body = json.dumps({"why": why, "blanked": seqs} | ({"mark": mark} if mark else {}))
            self._insert(
                [chain.add(Draft("erasure", f"erasure-{chain.seq + 1}", None, body), body)]
            )
            for number, case_id in found:
                self._db.change("DELETE FROM open_reviews WHERE case_id = ?", (case_id,))
                self._db.change(
                    "UPDATE decision_log SET subject=NULL, salt=NULL, body=NULL WHERE seq = ?",
                    (number,),
                )
        return len(seqs)

    def _write(self, draft: Draft, barred: set[str], chain: _Chain) -> Entry | Rejection:
        body = self._body(draft, barred)
        if isinstance(body, Rejection):
            return body
        entry = chain.add(draft, body)
        if draft.kind == "objection" and draft.subject:
            self._db.change(
                "INSERT INTO objections (subject, seq) VALUES (?, ?)", (draft.subject, entry.seq)
            )
            # A contest is still heard; a pending offer to somebody who objected is not.
            self._db.change(
                "DELETE FROM open_reviews WHERE subject = ? AND kind <> 'contest'", (draft.subject,)
            )
            barred.add(draft.subject)
        if draft.closes_review:
            self._db.change(
                "DELETE FROM open_reviews WHERE case_id = ? AND kind <> 'contest'", (draft.case_id,)
            )
        if draft.opens_review and body is draft.body:
            self._open_review(entry)
        return entry

    def _body(self, draft: Draft, barred: set[str]) -> str | Rejection:
        """The body to write for ``draft``, or why nothing is written."""
        if draft.subject and draft.kind != "objection" and mark_of(draft.subject) in barred:
            return Rejection("erased")
        if draft.kind == "review":
            closed = self._db.change("DELETE FROM open_reviews WHERE case_id = ?", (draft.case_id,))
            return draft.body if closed else Rejection("not_open")
        if draft.subject not in barred or draft.kind == "contest":
            return draft.body
        return Rejection("objected") if draft.body_if_objected is None else draft.body_if_objected

    def _open_review(self, entry: Entry) -> None:
        self._db.change("DELETE FROM open_reviews WHERE case_id = ?", (entry.case_id,))
        values = (entry.case_id, entry.seq, entry.kind, entry.subject)
        self._db.change(
            "INSERT INTO open_reviews (case_id, seq, kind, subject) VALUES (?, ?, ?, ?)", values
        )

    def _barred(self, subjects: Iterable[str]) -> set[str]:
        """Of ``subjects``, the pseudonyms of who objected and the hashes of who was erased."""
        names, found = list(subjects), set()
        for start in range(0, len(names), CHUNK):
            some = names[start : start + CHUNK]
            marks = ",".join("?" * len(some))
            sql = f"SELECT subject FROM objections WHERE subject IN ({marks})"  # noqa: S608
            sql += f" UNION ALL SELECT mark FROM erased WHERE mark IN ({marks})"  # noqa: S608
            found |= {row[0] for row in self._db.rows(sql, [*some, *map(mark_of, some)])}
        return found

    def _insert(self, entries: list[Entry]) -> None:
        """Many rows per statement: each statement of SQLite gives up Python's lock and has to wait for it again."""
        for start in range(0, len(entries), ROWS):
            some = entries[start : start + ROWS]
            sql = f"INSERT INTO decision_log ({FIELDS}) VALUES {','.join([ROW] * len(some))}"  # noqa: S608
            self._db.change(sql, [value for entry in some for value in entry])

    def _select(self, condition: str, values: Sequence[Any]) -> list[Entry]:
        sql = f"SELECT {FIELDS} FROM decision_log WHERE {condition}"  # noqa: S608
        return [Entry(*row) for row in self._db.rows(sql, values)]


def _older(before: str, kinds: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    marks = ",".join("?" * len(kinds))
    return "subject IS NOT NULL AND at < ?" + (f" AND kind IN ({marks})" if kinds else ""), (
        before,
        *kinds,
    )


class _Chain:
    """The end of the chain while a transaction adds to it."""

    def __init__(self, seq: int, seal: str, last: str, clock: str, salts: RandomPool) -> None:
        self.seq, self.seal, self.at = seq, seal, max(clock, last)
        self._salts = salts

    def add(self, draft: Draft, body: str) -> Entry:
        """Seal ``draft`` with ``body`` as the next entry."""
        salt = self._salts.hex()
        digest = digest_of(salt, draft.subject, body)
        self.seq, previous = self.seq + 1, self.seal
        self.seal = seal_of(previous, self.seq, (draft.kind, draft.case_id, self.at), digest)
        head = (self.seq, draft.kind, draft.case_id, draft.subject, self.at)
        return Entry(*head, salt, body, digest, previous, self.seal)
