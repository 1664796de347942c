"""Writer of entries, which also blanks those that may no longer be kept.

It holds the SQL that SQLite and PostgreSQL share.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence

from sovereign_ml.decision_log.case_rules import CaseRules, Chain
from sovereign_ml.decision_log.entries import (
    BARS,
    LIFTS,
    Draft,
    Entry,
    RandomPool,
    Rejection,
    dated,
    mark_of,
    now,
)
from sovereign_ml.decision_log.evidence import COUNTED, Counts, counted, facts_of
from sovereign_ml.decision_log.reading import (
    CHUNK,
    FIELDS,
    TABLES,
    Database,
    LogReader,
    fields_of,
    marks,
    older_than,
)

ROW, ROWS = "(?,?,?,?,?,?,?,?,?,?)", 100


class DecisionLog(LogReader):
    """The log on one database.

    It must not be used by two threads at once: each opens its own.
    """

    def __init__(
        self,
        database: Database,
        clock: Callable[[], str] | None = None,
        own: Callable[[], str] = now,
    ) -> None:
        super().__init__(database)
        self._clock, self._own = clock or database.now, own
        self._salts = RandomPool()
        if database.lacks_tables():
            with database.transaction():
                if database.make_tables():
                    self._count(counted(self.entries()))

    def grant(self, role: str) -> str:
        """Let ``role`` write the log.

        Returns excess rights that it should not have, empty for none.
        """
        self._db.grant(role)
        return self._db.excess(role)

    def excess(self) -> str:
        """Return the excess rights of the connected role, which a service should not have.

        One is to drop the parts that keep the log append-only.
        """
        return self._db.excess()

    def append(self, drafts: Sequence[Draft]) -> list[Entry | Rejection]:
        """Write all ``drafts`` in one durable transaction.

        The answer has one element per draft, in order. ``at`` never runs backwards, whatever the
        clocks do, see `dated`. Raises LogUnavailableError. Then the caller must assume that none
        was written.
        """
        with self._db.transaction():
            # Read inside the transaction, so that an objection that came just before counts.
            barred = self.bars_on({draft.subject for draft in drafts if draft.subject})
            chain = self._end()
            rules = CaseRules(self._db, chain, barred)
            results = [self._write(draft, rules, barred, chain) for draft in drafts]
            self._insert([entry for entry in results if isinstance(entry, Entry)])
            self._count(chain.counts)
        return results

    def erase_subject(self, subject: str) -> int:
        """Blank every entry about ``subject`` (Art. 17) and append a tombstone.

        Returns the number of blanked entries. From then on nothing about this pseudonym is written
        but an objection or another bar: whoever comes back as a customer has another id, so the old
        one can only come out of an old file. A bar stays in force: the pseudonym on the suppression
        list keeps the person from being scored again (Art. 17(3)(b), 21(3)).
        """
        return self._blank("subject = ?", (subject,), "erasure request", mark_of(subject))

    def expire(self, before: str, kinds: Sequence[str] = ()) -> int:
        """Blank every entry about a person older than ``before`` and append a tombstone.

        The rule is Art. 5(1)(e). ``before`` is UTC, ISO 8601. ``kinds`` limits it to these kinds of
        entries. Entries about somebody whose processing is restricted are kept (Art. 18(2): storage
        goes on, because the person may need them for a claim, Art. 18(1)(c)), and those of a case
        that was contested and waits for a decision (Art. 22(3)).
        """
        return self._blank(*older_than(before, kinds), "retention period over")

    def _end(self) -> Chain:
        """Return the end of the chain, in a transaction that adds to it."""
        seq, seal, last = self.head()
        return Chain(seq, seal, dated(self._clock(), last, self._own()), self._salts)

    def _blank(self, condition: str, values: Sequence[str], why: str, mark: str = "") -> int:
        with self._db.transaction():
            rows = self._db.rows(
                f"SELECT seq, kind, case_id, subject FROM decision_log WHERE {condition}",  # noqa: S608
                values,
            )
            new = mark and self._db.change(
                "INSERT INTO erased (mark) VALUES (?) ON CONFLICT DO NOTHING", (mark,)
            )
            if not rows and not new:
                return 0
            chain = self._end()
            # The suppression list keeps the pseudonym of a barred person. Its hash proves that row
            # later.
            objectors = {seq: mark_of(subject) for seq, kind, _, subject in rows if kind in BARS}
            body = json.dumps(
                {"why": why, "blanked": [row[0] for row in rows]}
                | ({"mark": mark} if mark else {})
                | ({"objectors": objectors} if objectors else {})
            )
            self._insert(
                [chain.add(Draft("erasure", f"erasure-{chain.seq + 1}", None, body), body)]
            )
            # The counts need the bodies, so this comes before the entries are blanked.
            self._discount([row[0] for row in rows if row[1] in COUNTED])
            for seq, kind, case_id, _ in rows:
                self._blank_entry(seq, kind, case_id)
        return len(rows)

    def _discount(self, numbers: Sequence[int]) -> None:
        """Subtract the facts of these entries from the counts. The entries are blanked next."""
        counts: Counts = Counter()
        for start in range(0, len(numbers), CHUNK):
            some = numbers[start : start + CHUNK]
            counts.subtract(counted(self._select(f"seq IN ({marks(some)})", some)))
        self._count(counts)

    def _count(self, counts: Counts) -> None:
        """Add ``counts`` to the table of counts.

        The call is in the transaction that writes or blanks the entries.
        """
        rows = [(*fact, number) for fact, number in counts.items() if number]
        for start in range(0, len(rows), ROWS):
            some = rows[start : start + ROWS]
            self._db.change(
                "INSERT INTO fact_counts (fact, value, entries) VALUES "  # noqa: S608
                f"{','.join(['(?,?,?)'] * len(some))} "
                "ON CONFLICT (fact, value) DO UPDATE SET entries = fact_counts.entries + "
                "excluded.entries",
                [value for row in some for value in row],
            )
        for fact, value, number in rows:
            if number < 0:
                self._db.change(
                    "DELETE FROM fact_counts WHERE fact = ? AND value = ? AND entries = 0",
                    (fact, value),
                )

    def _blank_entry(self, seq: int, kind: str, case_id: str) -> None:
        # Without its decision a case can no longer be decided. Without the entry that opened it, it
        # need not be.
        if kind in ("decision", "seed"):
            self._db.change("DELETE FROM open_reviews WHERE case_id = ?", (case_id,))
        else:
            self._db.change("DELETE FROM open_reviews WHERE seq = ?", (seq,))
        self._db.change(
            "UPDATE decision_log SET subject=NULL, salt=NULL, body=NULL WHERE seq = ?", (seq,)
        )

    def _write(
        self, draft: Draft, rules: CaseRules, barred: dict[str, set[str]], chain: Chain
    ) -> Entry | Rejection:
        body = rules.body(draft)
        if isinstance(body, Rejection):
            return body
        entry = chain.add(draft, body)
        if draft.kind in COUNTED:
            chain.counts.update(facts_of(entry.kind, entry.at, fields_of(body)))
        if draft.kind == "review":
            self._db.change("DELETE FROM open_reviews WHERE case_id = ?", (draft.case_id,))
        if draft.kind in BARS and draft.subject:
            self._bar(draft.kind, draft.subject, entry.seq, barred)
        if draft.kind in LIFTS and draft.subject:
            self._lift(draft, draft.subject, rules, barred)
        if draft.closes_review:
            self._db.change(
                "DELETE FROM open_reviews WHERE case_id = ? AND kind <> 'contest'", (draft.case_id,)
            )
            chain.corrected.add(draft.case_id)
        if draft.opens_review and body is draft.body:
            self._open_review(entry)
        return entry

    def _bar(self, kind: str, subject: str, seq: int, barred: dict[str, set[str]]) -> None:
        """Put the person on the list, where the oldest bar in force stands for all of its kind."""
        if kind not in barred.setdefault(subject, set()):
            self._list(kind, subject, seq)
            barred[subject].add(kind)
        # A contest is still heard; a pending offer to somebody barred is not.
        self._db.change(
            "DELETE FROM open_reviews WHERE subject = ? AND kind <> 'contest'", (subject,)
        )

    def _lift(
        self, draft: Draft, subject: str, rules: CaseRules, barred: dict[str, set[str]]
    ) -> None:
        """Take the person off the list.

        If another bar of the kind stands, that one is listed instead.
        """
        bar = LIFTS[draft.kind]
        standing = rules.in_force(subject, bar)
        self._db.change(f"DELETE FROM {TABLES[bar]} WHERE subject = ?", (subject,))  # noqa: S608
        if standing:
            self._list(bar, subject, standing[0].seq)
        else:
            barred[subject].discard(bar)

    def _list(self, kind: str, subject: str, seq: int) -> None:
        sql = f"INSERT INTO {TABLES[kind]} (subject, seq) VALUES (?, ?)"  # noqa: S608
        self._db.change(sql, (subject, seq))

    def _open_review(self, entry: Entry) -> None:
        self._db.change("DELETE FROM open_reviews WHERE case_id = ?", (entry.case_id,))
        values = (entry.case_id, entry.seq, entry.kind, entry.subject)
        self._db.change(
            "INSERT INTO open_reviews (case_id, seq, kind, subject) VALUES (?, ?, ?, ?)", values
        )

    def _insert(self, entries: list[Entry]) -> None:
        # Many rows per statement: each statement of SQLite releases Python's lock and waits for it
        # again.
        for start in range(0, len(entries), ROWS):
            some = entries[start : start + ROWS]
            sql = f"INSERT INTO decision_log ({FIELDS}) VALUES {','.join([ROW] * len(some))}"  # noqa: S608
            self._db.change(sql, [value for entry in some for value in entry])
