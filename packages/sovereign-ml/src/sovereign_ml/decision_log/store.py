"""Read and append entries; the SQL that SQLite and PostgreSQL share."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, Protocol

from pydantic_core import from_json

from sovereign_ml.decision_log.entries import (
    BARS,
    GENESIS,
    LIFTS,
    Bar,
    Barred,
    Draft,
    Entry,
    Refusal,
    Rejection,
    dated,
    digest_of,
    mark_of,
    now,
    seal_of,
)
from sovereign_ml.decision_log.evidence import COUNTED, Counts, counted, facts_of
from sovereign_ml.decision_log.random_pool import RandomPool

FIELDS = "seq, kind, case_id, subject, at, salt, body, digest, previous, seal"
CHUNK = 500
EVERY = 1_000_000_000
"""More entries than a log has: no limit."""
ROW, ROWS = "(?,?,?,?,?,?,?,?,?,?)", 100


TABLES = {kind: f"{kind}s" for kind in BARS}
"""Suppression lists: one table for each kind of entry that bars."""
LATER = ("contest", "review", "rectification")
"""Kinds of entries that follow a decision."""


class RawTables(NamedTuple):
    """Every row of the log's tables; ``entries`` are read while they are asked for."""

    entries: Iterator[tuple[Any, ...]]
    bars: dict[str, list[tuple[Any, ...]]]
    """Subject and sequence number by kind of bar."""
    erased: list[tuple[Any, ...]]
    open_reviews: list[tuple[Any, ...]]
    counts: list[tuple[Any, ...]]


class Database(Protocol):
    """What differs between SQLite and PostgreSQL. Every method raises LogUnavailableError when it cannot work."""

    def lacks_tables(self) -> bool:
        """Whether anything is missing that `make_tables` makes."""

    def make_tables(self) -> bool:
        """Make what is missing, inside a transaction; whether the table of counts was, so that it has to be filled."""

    def transaction(self) -> AbstractContextManager[None]:
        """One durable transaction that excludes every other writer, in this process or another."""

    def now(self) -> str:
        """The time by the one clock of all who write this log, see `entries.now`."""

    def snapshot(self) -> AbstractContextManager[None]:
        """What is read inside is of one moment, whoever writes meanwhile; text that is no UTF-8 comes as bytes."""

    def stream(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """Run ``sql`` inside a snapshot and give its rows, so that a long table needs little memory."""

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run ``sql`` (placeholders ``?``) and return its rows."""

    def change(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run ``sql`` and return the number of changed rows."""

    def grant(self, role: str) -> None:
        """Let ``role`` of the database write the log and nothing else."""

    def excess(self, role: str | None = None) -> str:
        """What ``role``, or the one that is connected, may do beyond that, in words."""

    def close(self) -> None:
        """Let go of the connection."""


class DecisionLog:
    """The log on one database. Not for use by two threads at once: each opens its own."""

    def __init__(
        self,
        database: Database,
        clock: Callable[[], str] | None = None,
        own: Callable[[], str] = now,
    ) -> None:
        self._db = database
        self._clock, self._own = clock or database.now, own
        self._salts = RandomPool()
        if database.lacks_tables():
            with database.transaction():
                if database.make_tables():
                    self._count(counted(self.entries()))

    def grant(self, role: str) -> str:
        """Let ``role`` write the log; returns what else it may do that it should not, empty for nothing."""
        self._db.grant(role)
        return self._db.excess(role)

    def excess(self) -> str:
        """What the connected role may do that a service should not, such as to drop what keeps the log append-only."""
        return self._db.excess()

    def append(self, drafts: Sequence[Draft]) -> list[Entry | Rejection]:
        """Write all ``drafts`` in one durable transaction; the answer has one element per draft, in order.

        ``at`` never runs backwards, whatever the clocks do, see `dated`.
        Raises LogUnavailableError; then none was written as far as the caller may rely on it.
        """
        with self._db.transaction():
            barred = self._barred({draft.subject for draft in drafts if draft.subject})
            chain = self._end()
            results = [self._write(draft, barred, chain) for draft in drafts]
            self._insert([entry for entry in results if isinstance(entry, Entry)])
            self._count(chain.counts)
        return results

    def _end(self) -> _Chain:
        """The end of the chain, in a transaction that adds to it."""
        seq, seal, last = self.head()
        return _Chain(seq, seal, dated(self._clock(), last, self._own()), self._salts)

    def head(self) -> tuple[int, str, str]:
        """Sequence number, seal and time of the newest entry; zeros and an empty time for an empty log."""
        rows = self._db.rows("SELECT seq, seal, at FROM decision_log ORDER BY seq DESC LIMIT 1")
        return (rows[0][0], rows[0][1], rows[0][2]) if rows else (0, GENESIS, "")

    def entries(self, *, after: int = 0) -> Iterator[Entry]:
        """All entries in order, read in chunks, so that a long log needs little memory."""
        return self._in_order("1 = 1", after)

    @contextmanager
    def snapshot(self) -> Iterator[RawTables]:
        """Every row of every table as it lies there, all of one moment: for the proof, not for use."""
        with self._db.snapshot():
            stream = self._db.stream
            yield RawTables(
                entries=stream(f"SELECT {FIELDS} FROM decision_log ORDER BY seq"),  # noqa: S608
                bars={
                    kind: list(stream(f"SELECT subject, seq FROM {table}"))  # noqa: S608
                    for kind, table in TABLES.items()
                },
                erased=list(stream("SELECT mark FROM erased")),
                open_reviews=list(stream("SELECT case_id, seq, kind, subject FROM open_reviews")),
                counts=list(stream("SELECT fact, value, entries FROM fact_counts")),
            )

    def of_case(self, case_id: str) -> list[Entry]:
        """Every entry of one decision, oldest first."""
        return self._select("case_id = ? ORDER BY seq", (case_id,))

    def of_subject(self, subject: str, limit: int = EVERY) -> list[Entry]:
        """The entries about one pseudonym, newest first; ``limit`` of them where that is enough."""
        return self._select("subject = ? ORDER BY seq DESC LIMIT ?", (subject, limit))

    def of_kind(self, kind: str) -> list[Entry]:
        """Every entry of one kind, oldest first."""
        return self._select(f"{_is_kind(kind)} ORDER BY seq", (kind,))

    def newest(self, kind: str, limit: int) -> list[Entry]:
        """The newest entries of one kind, newest first."""
        return self._select(f"{_is_kind(kind)} ORDER BY seq DESC LIMIT ?", (kind, limit))

    def first(self, kind: str) -> Entry | None:
        """The oldest entry of one kind."""
        return next(iter(self._select(f"{_is_kind(kind)} ORDER BY seq LIMIT 1", (kind,))), None)

    def subjects(self, kind: str = "") -> set[str]:
        """The pseudonyms that entries of ``kind``, or of any, are about."""
        condition, values = (_is_kind(kind), (kind,)) if kind else ("subject IS NOT NULL", ())
        sql = f"SELECT DISTINCT subject FROM decision_log WHERE {condition}"  # noqa: S608
        return {row[0] for row in self._db.rows(sql, values)} - {None}

    def counts(self, facts: Sequence[str] = ()) -> Counts:
        """The facts of all decisions and reviews on record, as they are counted while entries are written.

        ``facts`` limits it to these: some have a row for each day of the log.
        """
        condition = f"WHERE fact IN ({_marks(facts)})" if facts else ""
        rows = self._db.rows(f"SELECT fact, value, entries FROM fact_counts {condition}", facts)  # noqa: S608
        return Counter({(fact, value): number for fact, value, number in rows})

    def open_reviews(self, limit: int = 100, *, after: int = 0) -> list[Entry]:
        """The entry that opened each case a person still has to decide, oldest first, from number ``after`` on."""
        waiting = "SELECT seq FROM open_reviews WHERE seq > ? ORDER BY seq LIMIT ?"
        return self._select(f"seq IN ({waiting}) ORDER BY seq", (after, limit))

    def number_waiting(self) -> int:
        """How many cases a person still has to decide."""
        return int(self._db.rows("SELECT count(*) FROM open_reviews")[0][0])

    def newest_seals(self, cases: Sequence[str]) -> dict[str, str]:
        """The seal of the newest entry of each of ``cases``."""
        newest = f"SELECT max(seq) FROM decision_log WHERE case_id IN ({_marks(cases)})"  # noqa: S608
        sql = f"SELECT case_id, seal FROM decision_log WHERE seq IN ({newest} GROUP BY case_id)"  # noqa: S608
        return dict(self._db.rows(sql, cases)) if cases else {}

    def review_is_open(self, case_id: str) -> bool:
        """Whether a person still has to decide this case."""
        return bool(self._db.rows("SELECT 1 FROM open_reviews WHERE case_id = ?", (case_id,)))

    def barred_by(self, bar: Bar) -> set[str]:
        """Pseudonyms of all who objected, withdrew their consent or had processing restricted."""
        return {row[0] for row in self._db.rows(f"SELECT subject FROM {TABLES[bar]}")}  # noqa: S608

    def barred(self, subjects: Iterable[str] | None = None) -> dict[str, Barred]:
        """Who of ``subjects``, or of everybody, is barred, with the outcome that a decision about them has."""
        if subjects is None:
            return {
                name: BARS[kind]
                for kind in reversed(list(TABLES))
                for name in self.barred_by(kind)  # type: ignore[arg-type]
            }
        found = self._barred(subjects)
        return {name: _outcome(kinds) for name, kinds in found.items() if kinds & BARS.keys()}

    def bar_on(self, subject: str, bar: Bar) -> str:
        """Case id of the entry that bars ``subject``; empty where there is no such bar."""
        sql = f"SELECT case_id FROM decision_log JOIN {TABLES[bar]} AS b USING (seq) WHERE b.subject = ?"  # noqa: S608
        return "".join(row[0] for row in self._db.rows(sql, (subject,)))

    def erase_subject(self, subject: str) -> int:
        """Blank every entry about ``subject`` (Art. 17), append a tombstone; returns the number of entries blanked.

        From then on nothing about this pseudonym is written but an objection or another bar: whoever comes back as a
        customer has another id, so the old one can only come out of an old file. A bar stays in force: the pseudonym
        on the suppression list is what keeps the person from being scored again (Art. 17(3)(b), 21(3)).
        """
        return self._blank("subject = ?", (subject,), "erasure request", mark_of(subject))

    def expire(self, before: str, kinds: Sequence[str] = ()) -> int:
        """Blank every entry about a person older than ``before`` (UTC, ISO 8601), append a tombstone (Art. 5(1)(e)).

        ``kinds`` limits it to these kinds of entries. Entries about somebody whose processing is restricted are
        kept (Art. 18(2): storage goes on, because the person may need them for a claim, Art. 18(1)(c)).
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
                f"SELECT seq, kind, case_id, subject FROM decision_log WHERE {condition}",  # noqa: S608
                values,
            )
            new = mark and self._db.change(
                "INSERT INTO erased (mark) VALUES (?) ON CONFLICT DO NOTHING", (mark,)
            )
            if not found and not new:
                return 0
            chain = self._end()
            # The suppression list keeps the pseudonym of who is barred; its hash proves that row later.
            objectors = {seq: mark_of(one) for seq, kind, _, one in found if kind in BARS}
            body = json.dumps(
                {"why": why, "blanked": [row[0] for row in found]}
                | ({"mark": mark} if mark else {})
                | ({"objectors": objectors} if objectors else {})
            )
            self._insert(
                [chain.add(Draft("erasure", f"erasure-{chain.seq + 1}", None, body), body)]
            )
            self._discount([row[0] for row in found if row[1] in COUNTED])
            for seq, kind, case_id, _ in found:
                self._blank_entry(seq, kind, case_id)
        return len(found)

    def _discount(self, numbers: Sequence[int]) -> None:
        """Take what these entries show out of the counts; they are blanked next."""
        counts: Counts = Counter()
        for start in range(0, len(numbers), CHUNK):
            some = numbers[start : start + CHUNK]
            counts.subtract(counted(self._select(f"seq IN ({_marks(some)})", some)))
        self._count(counts)

    def _count(self, counts: Counts) -> None:
        """Add ``counts`` to the table of counts, in the transaction that writes or blanks the entries."""
        rows = [(*fact, number) for fact, number in counts.items() if number]
        for start in range(0, len(rows), ROWS):
            some = rows[start : start + ROWS]
            self._db.change(
                f"INSERT INTO fact_counts (fact, value, entries) VALUES {','.join(['(?,?,?)'] * len(some))} "  # noqa: S608
                "ON CONFLICT (fact, value) DO UPDATE SET entries = fact_counts.entries + excluded.entries",
                [value for row in some for value in row],
            )
        for fact, value, number in rows:
            if number < 0:
                self._db.change(
                    "DELETE FROM fact_counts WHERE fact = ? AND value = ? AND entries = 0",
                    (fact, value),
                )

    def _blank_entry(self, seq: int, kind: str, case_id: str) -> None:
        """Without its decision a case can no longer be decided; without what opened it, it need not be."""
        if kind in ("decision", "seed"):
            self._db.change("DELETE FROM open_reviews WHERE case_id = ?", (case_id,))
        else:
            self._db.change("DELETE FROM open_reviews WHERE seq = ?", (seq,))
        self._db.change(
            "UPDATE decision_log SET subject=NULL, salt=NULL, body=NULL WHERE seq = ?", (seq,)
        )

    def _write(self, draft: Draft, barred: dict[str, set[str]], chain: _Chain) -> Entry | Rejection:
        body = self._body(draft, barred, chain)
        if isinstance(body, Rejection):
            return body
        entry = chain.add(draft, body)
        if draft.kind in COUNTED:
            chain.counts.update(facts_of(entry.kind, entry.at, _content(body)))
        if draft.kind == "review":
            self._db.change("DELETE FROM open_reviews WHERE case_id = ?", (draft.case_id,))
            chain.reviews.append((draft.case_id, body))
        if draft.kind in BARS and draft.subject:
            self._bar(draft.kind, draft.subject, entry.seq)
            barred.setdefault(draft.subject, set()).add(draft.kind)
        if draft.kind in LIFTS and draft.subject:
            bar = LIFTS[draft.kind]
            self._db.change(f"DELETE FROM {TABLES[bar]} WHERE subject = ?", (draft.subject,))  # noqa: S608
            barred.get(draft.subject, set()).discard(bar)
        if draft.closes_review:
            self._db.change(
                "DELETE FROM open_reviews WHERE case_id = ? AND kind <> 'contest'", (draft.case_id,)
            )
            chain.corrected.add(draft.case_id)
        if draft.opens_review and body is draft.body:
            self._open_review(entry)
        return entry

    def _bar(self, kind: str, subject: str, seq: int) -> None:
        """Put the person on the list. A contest is still heard; a pending offer to somebody barred is not."""
        sql = f"INSERT INTO {TABLES[kind]} (subject, seq) VALUES (?, ?)"  # noqa: S608
        self._db.change(sql, (subject, seq))
        self._db.change(
            "DELETE FROM open_reviews WHERE subject = ? AND kind <> 'contest'", (subject,)
        )

    def _body(self, draft: Draft, barred: dict[str, set[str]], chain: _Chain) -> str | Rejection:
        """The body to write for ``draft``, or why nothing is written."""
        if draft.subject and draft.kind not in BARS and mark_of(draft.subject) in barred:
            return Rejection("erased")
        if refusal := self._refusal(draft, chain):
            return Rejection(refusal)
        bars = barred.get(draft.subject or "", set())
        if draft.kind in BARS:
            return Rejection(BARS[draft.kind]) if draft.kind in bars else draft.body
        if not bars or draft.kind in ("contest", "review", *LIFTS):
            return draft.body
        if draft.body_if_barred is None:
            return Rejection(_outcome(bars))
        return _naming(_outcome(bars), draft.body_if_barred)

    def _refusal(self, draft: Draft, chain: _Chain) -> Refusal | None:
        """Why the state of its case, in this very transaction, forbids ``draft``."""
        replaced = draft.corrects or (draft.case_id if draft.closes_review else "")
        if replaced and self._is_corrected(replaced, chain):
            return "corrected"
        about = draft.corrects or draft.case_id
        if (draft.corrects or draft.kind in LATER) and self._is_blanked(about):
            return "gone"
        if draft.kind in LIFTS:
            bar = self.bar_on(draft.subject or "", LIFTS[draft.kind])
            return None if bar and bar == draft.case_id else "not_barred"
        if draft.kind == "review":
            return self._review_refusal(draft, chain)
        if draft.kind == "contest" and self._opened_by(draft.case_id)[:1] == ("contest",):
            return "contested"
        return None

    def _review_refusal(self, draft: Draft, chain: _Chain) -> Refusal | None:
        opened = self._opened_by(draft.case_id)
        if not opened:
            return "not_open"
        if draft.seen is not None and draft.seen != self._newest_seal(draft.case_id, chain):
            return "changed"
        people = [one for one in (draft.subject, opened[1]) if one]
        bars = {kind for kinds in self._barred(people).values() for kind in kinds} & BARS.keys()
        if bars and not draft.changes_nothing:
            return _outcome(bars)
        reviewer = _content(draft.body).get("reviewer")
        if opened[0] == "contest" and reviewer in self._reviewers(draft.case_id, chain):
            return "same_reviewer"
        return None

    def _reviewers(self, case_id: str, chain: _Chain) -> set[Any]:
        """Who decided this case before. A blanked review no longer says who it was."""
        sql = "SELECT body FROM decision_log WHERE case_id = ? AND kind = 'review'"
        bodies = [row[0] for row in self._db.rows(sql, (case_id,)) if row[0]]
        bodies += [body for case, body in chain.reviews if case == case_id]
        return {_content(body).get("reviewer") for body in bodies}

    def _opened_by(self, case_id: str) -> tuple[Any, ...]:
        """Kind and subject of the entry that opened the case; empty when it does not wait."""
        rows = self._db.rows("SELECT kind, subject FROM open_reviews WHERE case_id = ?", (case_id,))
        return rows[0] if rows else ()

    def _newest_seal(self, case_id: str, chain: _Chain) -> str:
        if case_id in chain.newest:
            return chain.newest[case_id]
        sql = "SELECT seal FROM decision_log WHERE case_id = ? ORDER BY seq DESC LIMIT 1"
        return "".join(row[0] for row in self._db.rows(sql, (case_id,)))

    def _is_blanked(self, case_id: str) -> bool:
        sql = "SELECT body FROM decision_log WHERE case_id = ? ORDER BY seq LIMIT 1"
        return self._db.rows(sql, (case_id,)) == [(None,)]

    def _is_corrected(self, case_id: str, chain: _Chain) -> bool:
        sql = "SELECT body FROM decision_log WHERE case_id = ? AND kind = 'rectification'"
        bodies = [row[0] for row in self._db.rows(sql, (case_id,))]
        return case_id in chain.corrected or any(
            _content(body or "{}").get("corrected_by") for body in bodies
        )

    def _open_review(self, entry: Entry) -> None:
        self._db.change("DELETE FROM open_reviews WHERE case_id = ?", (entry.case_id,))
        values = (entry.case_id, entry.seq, entry.kind, entry.subject)
        self._db.change(
            "INSERT INTO open_reviews (case_id, seq, kind, subject) VALUES (?, ?, ?, ?)", values
        )

    def _barred(self, subjects: Iterable[str]) -> dict[str, set[str]]:
        """Of ``subjects``, the pseudonyms of who is barred and the hashes of who was erased, with the kinds of entries."""
        names, found = list(subjects), dict[str, set[str]]()
        for start in range(0, len(names), CHUNK):
            some = names[start : start + CHUNK]
            marks = _marks(some)
            lists = [
                f"SELECT subject, '{kind}' FROM {table} WHERE subject IN ({marks})"  # noqa: S608
                for kind, table in TABLES.items()
            ]
            lists.append(f"SELECT mark, 'erasure' FROM erased WHERE mark IN ({marks})")  # noqa: S608
            values = [*some * len(TABLES), *map(mark_of, some)]
            for name, kind in self._db.rows(" UNION ALL ".join(lists), values):
                found.setdefault(name, set()).add(kind)
        return found

    def _insert(self, entries: list[Entry]) -> None:
        """Many rows per statement: each statement of SQLite gives up Python's lock and has to wait for it again."""
        for start in range(0, len(entries), ROWS):
            some = entries[start : start + ROWS]
            sql = f"INSERT INTO decision_log ({FIELDS}) VALUES {','.join([ROW] * len(some))}"  # noqa: S608
            self._db.change(sql, [value for entry in some for value in entry])

    def _in_order(self, condition: str, after: int = 0) -> Iterator[Entry]:
        """Entries that meet ``condition``, oldest first, read in chunks."""
        while chunk := self._select(
            f"{condition} AND seq > ? ORDER BY seq LIMIT ?", (after, CHUNK)
        ):
            yield from chunk
            after = chunk[-1].seq

    def _select(self, condition: str, values: Sequence[Any]) -> list[Entry]:
        sql = f"SELECT {FIELDS} FROM decision_log WHERE {condition}"  # noqa: S608
        return [Entry(*row) for row in self._db.rows(sql, values)]


def _content(body: str) -> dict[str, Any]:
    """The fields of a body; of one that is no JSON object, none."""
    try:
        content = from_json(body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _outcome(kinds: Iterable[str]) -> Barred:
    """The outcome of the first of ``kinds`` that bars."""
    return next(outcome for kind, outcome in BARS.items() if kind in kinds)


def _naming(outcome: Barred, body: str) -> str:
    """``body``, which says that the person objected, with what really bars."""
    if outcome == "objected":
        return body
    return json.dumps({**_content(body), "outcome": outcome})


def _is_kind(kind: str) -> str:
    """The condition for one kind, in the words of the index that leaves decisions out: SQLite needs them to use it."""
    return "kind = ?" if kind == "decision" else "kind = ? AND kind <> 'decision'"


def _marks(values: Sequence[Any]) -> str:
    return ",".join("?" * len(values))


def _older(before: str, kinds: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    condition = "subject IS NOT NULL AND at < ?"
    condition += f" AND kind IN ({_marks(kinds)})" if kinds else ""
    condition += f" AND subject NOT IN (SELECT subject FROM {TABLES['restriction']})"  # noqa: S608
    return condition, (before, *kinds)


class _Chain:
    """The end of the chain while a transaction adds to it."""

    def __init__(self, seq: int, seal: str, at: str, salts: RandomPool) -> None:
        self.seq, self.seal, self.at = seq, seal, at
        self.newest: dict[str, str] = {}
        """Seal of the newest entry of each case that this transaction adds to."""
        self.corrected: set[str] = set()
        self.reviews: list[tuple[str, str]] = []
        """Case and body of each review that this transaction adds."""
        self.counts: Counts = Counter()
        """What the decisions and reviews of this transaction add to the counts."""
        self._salts = salts

    def add(self, draft: Draft, body: str) -> Entry:
        """Seal ``draft`` with ``body`` as the next entry."""
        salt = self._salts.hex()
        digest = digest_of(salt, draft.subject, body)
        self.seq, previous = self.seq + 1, self.seal
        self.seal = seal_of(previous, self.seq, (draft.kind, draft.case_id, self.at), digest)
        self.newest[draft.case_id] = self.seal
        head = (self.seq, draft.kind, draft.case_id, draft.subject, self.at)
        return Entry(*head, salt, body, digest, previous, self.seal)
