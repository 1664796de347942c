"""Reader of entries, with the SQL that SQLite and PostgreSQL share."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, Protocol

from pydantic_core import from_json

from sovereign_ml.decision_log.entries import BARS, GENESIS, LIFTS, Bar, Barred, Entry, mark_of
from sovereign_ml.decision_log.evidence import Counts

FIELDS = "seq, kind, case_id, subject, at, salt, body, digest, previous, seal"
CHUNK = 500
EVERY = 1_000_000_000
"""A number above that of all entries of any log, which means no limit."""
TABLES = {kind: f"{kind}s" for kind in BARS}
"""Suppression lists: one table for each kind of entry that bars."""
ENDS = {bar: act for act, bar in LIFTS.items()}
"""The act that ends each bar, for the bars that can end."""


class RawTables(NamedTuple):
    """Every row of the log's tables. ``entries`` are read from the database during iteration."""

    entries: Iterator[tuple[Any, ...]]
    bars: dict[str, list[tuple[Any, ...]]]
    """Subject and sequence number by kind of bar."""
    erased: list[tuple[Any, ...]]
    open_reviews: list[tuple[Any, ...]]
    counts: list[tuple[Any, ...]]


class Database(Protocol):
    """Differences between SQLite and PostgreSQL.

    Every method raises LogUnavailableError when it cannot work.
    """

    def lacks_tables(self) -> bool:
        """Return whether anything is missing that `make_tables` makes."""

    def make_tables(self) -> bool:
        """Make what is missing, inside a transaction.

        Returns whether the table of counts was missing, so that it has to be filled.
        """

    def transaction(self) -> AbstractContextManager[None]:
        """Run one durable transaction that excludes every other writer, in any process."""

    def now(self) -> str:
        """Return the time of the one clock of all writers of this log, see `entries.now`."""

    def snapshot(self) -> AbstractContextManager[None]:
        """Give a context in which everything read is of one moment, whoever writes meanwhile.

        Text that is no UTF-8 comes as bytes.
        """

    def stream(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """Run ``sql`` inside a snapshot and yield its rows.

        A long table needs little memory.
        """

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run ``sql`` (placeholders ``?``) and return its rows."""

    def change(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run ``sql`` and return the number of changed rows."""

    def grant(self, role: str) -> None:
        """Let ``role`` of the database write the log and nothing else."""

    def excess(self, role: str | None = None) -> str:
        """Return the excess rights of ``role``, or of the connected role, in words."""

    def close(self) -> None:
        """Close the connection."""


class LogReader:
    """All queries of the log on one database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def head(self) -> tuple[int, str, str]:
        """Return number, seal and time of the newest entry.

        They are zeros and an empty time for an empty log.
        """
        rows = self._db.rows("SELECT seq, seal, at FROM decision_log ORDER BY seq DESC LIMIT 1")
        return (rows[0][0], rows[0][1], rows[0][2]) if rows else (0, GENESIS, "")

    def entries(self, *, after: int = 0) -> Iterator[Entry]:
        """Yield all entries in order, read in chunks, so that a long log needs little memory."""
        while chunk := self._select("seq > ? ORDER BY seq LIMIT ?", (after, CHUNK)):
            yield from chunk
            after = chunk[-1].seq

    @contextmanager
    def snapshot(self) -> Iterator[RawTables]:
        """Give every row of every table in its raw form, all of one moment.

        It is meant for the proof, not for use.
        """
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
        """Return every entry of one decision, oldest first."""
        return self._select("case_id = ? ORDER BY seq", (case_id,))

    def of_subject(self, subject: str, limit: int = EVERY) -> list[Entry]:
        """Return the entries about one pseudonym, newest first, at most ``limit``."""
        return self._select("subject = ? ORDER BY seq DESC LIMIT ?", (subject, limit))

    def of_kind(self, kind: str) -> list[Entry]:
        """Return every entry of one kind, oldest first."""
        return self._select(f"{_is_kind(kind)} ORDER BY seq", (kind,))

    def newest(self, kind: str, limit: int) -> list[Entry]:
        """Return the newest entries of one kind, newest first."""
        return self._select(f"{_is_kind(kind)} ORDER BY seq DESC LIMIT ?", (kind, limit))

    def first(self, kind: str) -> Entry | None:
        """Return the oldest entry of one kind."""
        return next(iter(self._select(f"{_is_kind(kind)} ORDER BY seq LIMIT 1", (kind,))), None)

    def subjects(self, kind: str = "") -> set[str]:
        """Return the pseudonyms that entries of ``kind``, or of any kind, are about."""
        condition, values = (_is_kind(kind), (kind,)) if kind else ("subject IS NOT NULL", ())
        sql = f"SELECT DISTINCT subject FROM decision_log WHERE {condition}"  # noqa: S608
        return {row[0] for row in self._db.rows(sql, values)} - {None}

    def counts(self, facts: Sequence[str] = ()) -> Counts:
        """Return the facts of all decisions and reviews on record.

        They are counted while entries are written. ``facts`` limits the result to these: some have
        a row for each day of the log.
        """
        condition = f"WHERE fact IN ({marks(facts)})" if facts else ""
        rows = self._db.rows(f"SELECT fact, value, entries FROM fact_counts {condition}", facts)  # noqa: S608
        return Counter({(fact, value): number for fact, value, number in rows})

    def open_reviews(self, limit: int = 100, *, after: int = 0) -> list[Entry]:
        """Return the entry that opened each case a person still has to decide, oldest first.

        With ``after``, the number of an entry, only those behind it are returned.
        """
        waiting = "SELECT seq FROM open_reviews WHERE seq > ? ORDER BY seq LIMIT ?"
        return self._select(f"seq IN ({waiting}) ORDER BY seq", (after, limit))

    def number_waiting(self) -> int:
        """Return the number of cases that a person still has to decide."""
        return int(self._db.rows("SELECT count(*) FROM open_reviews")[0][0])

    def newest_seals(self, cases: Sequence[str]) -> dict[str, str]:
        """Return the seal of the newest entry of each of ``cases``."""
        newest = f"SELECT max(seq) FROM decision_log WHERE case_id IN ({marks(cases)})"  # noqa: S608
        sql = f"SELECT case_id, seal FROM decision_log WHERE seq IN ({newest} GROUP BY case_id)"  # noqa: S608
        return dict(self._db.rows(sql, cases)) if cases else {}

    def review_is_open(self, case_id: str) -> bool:
        """Return whether a person still has to decide this case."""
        return bool(self._db.rows("SELECT 1 FROM open_reviews WHERE case_id = ?", (case_id,)))

    def barred_by(self, bar: Bar) -> set[str]:
        """Return the pseudonyms of all people with this ``bar``.

        They objected, withdrew consent or had processing restricted.
        """
        return {row[0] for row in self._db.rows(f"SELECT subject FROM {TABLES[bar]}")}  # noqa: S608

    def barred(self, subjects: Iterable[str] | None = None) -> dict[str, Barred]:
        """Return the barred people among ``subjects``, or all, with the outcome of a decision."""
        if subjects is None:
            return {
                name: BARS[kind]
                # The first kind that bars counts, so it is written last.
                for kind in reversed(list(TABLES))
                for name in self.barred_by(kind)  # type: ignore[arg-type]
            }
        listed = self.bars_on(subjects)
        return {name: outcome_of(kinds) for name, kinds in listed.items() if kinds & BARS.keys()}

    def bars_on(self, subjects: Iterable[str]) -> dict[str, set[str]]:
        """Return the pseudonyms of the barred and the hashes of the erased among ``subjects``.

        The values are kinds of entries.
        """
        names, listed = list(subjects), dict[str, set[str]]()
        # Databases limit the number of placeholders in a statement.
        for start in range(0, len(names), CHUNK):
            some = names[start : start + CHUNK]
            places = marks(some)
            lists = [
                f"SELECT subject, '{kind}' FROM {table} WHERE subject IN ({places})"  # noqa: S608
                for kind, table in TABLES.items()
            ]
            lists.append(f"SELECT mark, 'erasure' FROM erased WHERE mark IN ({places})")  # noqa: S608
            values = [*some * len(TABLES), *map(mark_of, some)]
            for name, kind in self._db.rows(" UNION ALL ".join(lists), values):
                listed.setdefault(name, set()).add(kind)
        return listed

    def in_force(self, subject: str, bar: Bar, unwritten: Iterable[Entry] = ()) -> list[Entry]:
        """Return the entries of kind ``bar`` about ``subject`` that nothing has ended.

        The oldest is first. Several restrictions can stand at once, each on a ground of its own
        (GDPR Art. 18(1)). ``unwritten`` are entries that the running transaction adds. Of an erased
        person only the oldest is known, because no other entry names its person any more.
        """
        rows = self._db.rows(f"SELECT seq FROM {TABLES[bar]} WHERE subject = ?", (subject,))  # noqa: S608
        if not rows:
            return []
        # The listed one is the oldest. Only the list still says whose it is once it was blanked.
        oldest = rows[0][0]
        later = "subject = ? AND kind = ? AND seq > ? ORDER BY seq"
        entries = self._select("seq = ?", (oldest,)) + self._select(later, (subject, bar, oldest))
        entries += [entry for entry in unwritten if (entry.subject, entry.kind) == (subject, bar)]
        ended = {entry.case_id for entry in unwritten if entry.kind == ENDS.get(bar)}
        cases = [entry.case_id for entry in entries]
        sql = f"SELECT case_id FROM decision_log WHERE case_id IN ({marks(cases)}) AND kind = ?"  # noqa: S608
        if bar in ENDS and cases:
            ended |= {row[0] for row in self._db.rows(sql, (*cases, ENDS[bar]))}
        return [entry for entry in entries if entry.case_id not in ended]

    def older(self, before: str, kinds: Sequence[str] = ()) -> int:
        """Return the number of entries that ``expire`` would blank."""
        condition, values = older_than(before, kinds)
        sql = f"SELECT count(*) FROM decision_log WHERE {condition}"  # noqa: S608
        return int(self._db.rows(sql, values)[0][0])

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def _select(self, condition: str, values: Sequence[Any]) -> list[Entry]:
        sql = f"SELECT {FIELDS} FROM decision_log WHERE {condition}"  # noqa: S608
        return [Entry(*row) for row in self._db.rows(sql, values)]


def fields_of(body: str | None) -> dict[str, Any]:
    """Return the fields of a body, none for one that is blanked or no JSON object."""
    try:
        content = from_json(body or "{}")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def outcome_of(kinds: Iterable[str]) -> Barred:
    """Return the outcome of the first of ``kinds`` that bars."""
    return next(outcome for kind, outcome in BARS.items() if kind in kinds)


def naming(outcome: Barred, body: str) -> str:
    """Return ``body``, which records an objection, with the actual bar instead."""
    if outcome == "objected":
        return body
    return json.dumps({**fields_of(body), "outcome": outcome})


def marks(values: Sequence[Any]) -> str:
    """Return one placeholder for each of ``values``."""
    return ",".join("?" * len(values))


def older_than(before: str, kinds: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return the condition, with its values, for entries about people past their period."""
    condition = "subject IS NOT NULL AND at < ?"
    condition += f" AND kind IN ({marks(kinds)})" if kinds else ""
    # GDPR 18(2): restricted data is stored until the restriction ends, whatever its period.
    # Not NOT IN, which one row without a subject makes unknown for everybody: SQLite allows it.
    condition += (
        f" AND NOT EXISTS (SELECT 1 FROM {TABLES['restriction']} AS listed "  # noqa: S608
        "WHERE listed.subject = decision_log.subject)"
    )
    # GDPR 22(3): a contest that waits is heard, whatever the age of the decision. Without the
    # decision nobody could decide it any more.
    condition += (
        " AND NOT EXISTS (SELECT 1 FROM open_reviews AS waiting "
        "WHERE waiting.case_id = decision_log.case_id AND waiting.kind = 'contest')"
    )
    return condition, (before, *kinds)


def _is_kind(kind: str) -> str:
    # In the words of the index that leaves decisions out: SQLite needs them to use it.
    return "kind = ?" if kind == "decision" else "kind = ? AND kind <> 'decision'"
