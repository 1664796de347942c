"""What the service asks of the log costs the same, however long the log is.

In SQLite the steps of its machine are counted, in PostgreSQL the rows and index entries that it reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from servers import postgres_or_skip
from sovereign_ml.decision_log import DecisionLog, Draft, open_log, rectification
from sovereign_ml.decision_log.postgres import Postgres
from sovereign_ml.decision_log.reading import FIELDS, TABLES
from sovereign_ml.decision_log.sqlite import SQLite
from sovereign_ml.service.desk.reviews import SHOWN

SHORT, LONG = 400, 8_000
"""Decisions; the long log has twenty times as many reviews, contests and people too."""
ALLOWED = 1.5
"""A deeper index costs a few steps more; a scan would cost twenty times as many."""
ALLOWED_ROWS = 40
"""More rows that PostgreSQL may read: it guesses from samples, and may take the second best index."""
COLUMNS = {
    "decision_log": FIELDS,
    **dict.fromkeys(TABLES.values(), "subject, seq"),
    "open_reviews": "case_id, seq, kind, subject",
    "fact_counts": "fact, value, entries",
}
READ = """SELECT coalesce(sum(pg_stat_get_xact_tuples_returned(oid)), 0)::bigint
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')"""
"""Rows of tables and entries of indexes that this transaction has read so far."""
BODY = json.dumps({"outcome": "offer", "suggestion": "offer", "score": 0.9, "reasons": ["a"]})
WAITS = json.dumps({"outcome": "pending_review", "suggestion": "offer", "score": 0.9})
NUMBERS = count(10**6)


def _review(case: str, reviewer: str = "ann", seconds: int = 60) -> Draft:
    content = {"outcome": "no_offer", "reviewer": reviewer, "seeded": False, "override": True}
    body = json.dumps({**content, "seconds": seconds})
    return Draft("review", case, f"person-{case}", body)


def _fill(path: Path, decisions: int) -> Path:
    """Write decisions, of which the oldest twenty wait for a person and every fourth was reviewed and contested."""
    with closing(DecisionLog(SQLite(path))) as log:
        log.append(
            [Draft("bundle", "bundle-1", None, "{}"), Draft("campaign", "campaign-1", None, "{}")]
        )
        drafts = []
        for number in range(decisions):
            case, person = f"case-{number}", f"person-case-{number}"
            if number < 20 or number % 4 == 0:
                drafts.append(Draft("decision", case, person, WAITS, opens_review=True))
            else:
                drafts.append(Draft("decision", case, person, BODY))
            if number >= 20 and number % 4 == 0:
                contest = Draft("contest", case, person, "{}", opens_review=True)
                drafts += [
                    _review(case, f"ann-{number}", number % 20),
                    contest,
                    _review(case, "eve"),
                ]
            if number % 50 == 49:
                drafts.append(Draft("objection", f"objection-{number}", person, "{}"))
            if number % 50 == 48:
                drafts.append(Draft("restriction", f"restriction-{number}", person, "{}"))
        log.append(drafts)
    return path


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("costs")
    return _fill(folder / "short.db", SHORT), _fill(folder / "long.db", LONG)


def _new(kind: Any, **more: Any) -> Callable[[DecisionLog], Any]:
    """Append one entry about a new person."""
    return lambda log: log.append(
        [Draft(kind, f"{kind}-{(n := next(NUMBERS))}", f"new-{n}", BODY, **more)]
    )


ASKED: dict[str, Callable[[DecisionLog], Any]] = {
    "readiness": lambda log: log.head(),
    "a case": lambda log: log.of_case("case-200"),
    "a person": lambda log: log.of_subject("person-case-200", 20),
    "the evidence": lambda log: log.counts(SHOWN),
    "a page of the desk": lambda log: log.open_reviews(10),
    "the next page": lambda log: log.open_reviews(10, after=15),
    "how many wait": lambda log: log.number_waiting(),
    "versions": lambda log: log.newest_seals([f"case-{n}" for n in range(10)]),
    "whether a case waits": lambda log: log.review_is_open("case-3"),
    "who is barred": lambda log: log.barred(["person-case-49", "person-case-3"]),
    "a bar": lambda log: log.in_force("person-case-48", "restriction"),
    "the newest decisions": lambda log: log.newest("decision", 20),
    "the newest reviews": lambda log: log.newest("review", 20),
    "the first decision": lambda log: log.first("decision"),
    "the first objection": lambda log: log.first("objection"),
    "the first of none": lambda log: log.first("withdrawal"),
    "campaigns": lambda log: log.of_kind("campaign"),
    "to write a decision": _new("decision"),
    "to write one that waits": _new("decision", opens_review=True),
    "to object": _new("objection"),
    "to contest": lambda log: log.append(
        [Draft("contest", "case-200", "person-case-200", "{}", opens_review=True)]
    ),
    "to review": lambda log: log.append([_review("case-5")]),
    "to correct": lambda log: log.append(
        [
            Draft("decision", "case-right", "person-case-201", BODY, corrects="case-201"),
            rectification("case-201", "person-case-201", "again", corrected_by="case-right"),
        ]
    ),
    "to lift a restriction": lambda log: log.append(
        [Draft("restriction_lifted", "restriction-48", "person-case-48", "{}")]
    ),
    "to erase": lambda log: log.erase_subject("person-case-100"),
}


@pytest.mark.parametrize("what", ASKED)
def test_what_is_asked_of_a_long_log_takes_as_many_steps_as_of_a_short_one(
    what: str, logs: tuple[Path, Path]
) -> None:
    short, long = (_steps(path, ASKED[what]) for path in logs)
    assert long <= short * ALLOWED + 50, f"{short:,} steps, and {long:,} on the longer log"


def test_the_steps_of_a_scan_are_seen(logs: tuple[Path, Path]) -> None:
    short, long = (_steps(path, lambda log: log.older("9999")) for path in logs)
    assert long > short * 10


@pytest.fixture(scope="module")
def copies(logs: tuple[Path, Path]) -> Iterator[tuple[str, str]]:
    """Both logs in PostgreSQL, row by row."""
    with postgres_or_skip() as server:
        server.create("short", "long")
        addresses = server.url("short"), server.url("long")
        for path, address in zip(logs, addresses, strict=True):
            _copy(path, address)
        yield addresses


def _copy(path: Path, address: str) -> None:
    open_log(address).close()
    with closing(SQLite(path)) as source, psycopg.connect(address, autocommit=True) as target:
        for table, columns in COLUMNS.items():
            with target.cursor().copy(f"COPY {table} ({columns}) FROM STDIN".encode()) as copy:
                for row in source.rows(f"SELECT {columns} FROM {table}"):
                    copy.write_row(row)
        target.execute("VACUUM ANALYZE")


@pytest.mark.servers
@pytest.mark.parametrize("what", ASKED)
def test_postgresql_reads_as_many_rows_of_a_long_log_as_of_a_short_one(
    what: str, copies: tuple[str, str]
) -> None:
    short, long = (_rows_read(address, ASKED[what]) for address in copies)
    assert long <= short * ALLOWED + ALLOWED_ROWS, f"{short:,} rows, and {long:,} of the longer log"


@pytest.mark.servers
def test_the_rows_of_a_scan_are_seen(copies: tuple[str, str]) -> None:
    short, long = (_rows_read(address, lambda log: log.older("9999")) for address in copies)
    assert long > short * 10 > SHORT


def _rows_read(address: str, ask: Callable[[DecisionLog], Any]) -> int:
    """Ask within one transaction, which is taken back, and return how much was read."""
    database = Postgres(address)
    with (
        closing(DecisionLog(database)) as log,
        database._open().transaction(force_rollback=True),
    ):
        # A list of a hundred people fits on a page, which PostgreSQL reads whole, and rightly so.
        database.change("SET LOCAL enable_seqscan = off")
        ((before,),) = database.rows(READ)
        ask(log)
        ((after,),) = database.rows(READ)
    return int(after - before)


def _steps(path: Path, ask: Callable[[DecisionLog], Any]) -> int:
    database = SQLite(path)
    steps = count()
    with closing(DecisionLog(database)) as log:
        database._connection.set_progress_handler(lambda: next(steps) and 0, 1)
        ask(log)
        database._connection.set_progress_handler(None, 0)
    return next(steps)
