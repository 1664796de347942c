"""The proof reads what readers read: whatever is forged in any table is found, in SQLite and in PostgreSQL."""

from __future__ import annotations

import json
import random
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from servers import Postgres, postgres_or_skip
from sovereign_ml.decision_log import (
    DecisionLog,
    Draft,
    Entry,
    LogUnavailableError,
    open_log,
    rectification,
    verify,
)
from sovereign_ml.decision_log.chain import Verdict
from sovereign_ml.decision_log.entries import BARS, LIFTS, digest_of, seal_of
from sovereign_ml.decision_log.sqlite import SQLite

ANN, BOB, EVE, KIM = ("aaaaaaaa", "bbbbbbbb", "eeeeeeee", "cccccccc")
REVIEW = json.dumps(
    {"outcome": "offer", "reviewer": "review", "seeded": True, "override": True, "seconds": 300}
)
TABLES = (
    "decision_log",
    "objections",
    "restrictions",
    "withdrawals",
    "erased",
    "open_reviews",
    "fact_counts",
)
FAY, GIL = "ffffffff", "dddddddd"
ENDED = {
    "restriction_lifted": '{"reason": "Checked.", "informed_on": "2026-11-24"}',
    "consent": '{"reference": "form 7", "given_on": "2026-11-24"}',
}


def _decision(case: str, subject: str, outcome: str = "pending_review") -> Draft:
    body = json.dumps({"outcome": outcome, "suggestion": "offer", "score": 0.7})
    return Draft(
        "decision", case, subject, body, '{"outcome": "objected"}', outcome == "pending_review"
    )


def _filled(log: DecisionLog) -> None:
    """A bit of everything that a log can hold."""
    log.append([Draft("bundle", "bundle-1", None, "{}")])
    log.append([_decision(f"case-{n}", ANN) for n in range(3)])
    log.append([_decision(f"case-{n}", BOB) for n in range(3, 6)])
    log.append([_decision("case-6", EVE, "offer"), _decision("case-7", KIM)])
    log.append([Draft("review", "case-0", ANN, REVIEW)])
    log.append([Draft("contest", "case-0", ANN, '{"view": "I was away."}', opens_review=True)])
    log.append([Draft("contest", "case-6", EVE, '{"view": "I was away."}', opens_review=True)])
    log.append([Draft("seed", "seed-1", ANN, '{"outcome": "pending_review"}', opens_review=True)])
    log.append([rectification("case-1", ANN, "made again", corrected_by="case-6")])
    log.append([Draft("objection", "objection-1", BOB, "{}")])
    log.append([Draft("objection", "objection-2", KIM, "{}"), _decision("case-8", BOB)])
    log.erase_subject(KIM)
    log.expire("2020-01-01T00:00:00.000000Z")
    log.append([Draft("restriction", "bar-1", FAY, "{}"), Draft("withdrawal", "bar-2", GIL, "{}")])
    log.append([Draft("restriction", "bar-3", GIL, "{}")])
    log.append([Draft("restriction_lifted", "bar-3", GIL, ENDED["restriction_lifted"])])
    log.append([Draft("restriction", "bar-4", FAY, '{"ground": "unlawful"}')])


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres_or_skip() as running:
        yield running


class File:
    """A log in a SQLite file, with the hand of somebody who knows about the triggers."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "decisions.db"
        self.address = str(self.path)

    def drop(self, table: str) -> None:
        """Drop a table, and nothing else."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as file:
            file.execute(f"DROP TABLE {table}")

    def forge(self, *statements: str) -> None:
        """Run SQL behind the log's back."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as file:
            for (name,) in file.execute(
                "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            ).fetchall():
                file.execute(f"DROP TRIGGER {name}")
            file.execute("PRAGMA ignore_check_constraints = ON")
            for sql in statements:
                file.execute(sql)


class Server:
    """A log in a database of a PostgreSQL server, with the hand of its owner."""

    def __init__(self, server: Postgres, name: str) -> None:
        server.create(name)
        self.address = server.url(name)

    def drop(self, table: str) -> None:
        """Drop a table, and nothing else."""
        with psycopg.connect(self.address) as connection:
            connection.execute(f"DROP TABLE {table}".encode())

    def forge(self, *statements: str) -> None:
        """Run SQL behind the log's back."""
        with psycopg.connect(self.address, autocommit=True) as connection:
            connection.execute("ALTER TABLE decision_log DISABLE TRIGGER USER")
            connection.execute(
                "ALTER TABLE decision_log DROP CONSTRAINT IF EXISTS decision_log_seq_check"
            )
            for sql in statements:
                connection.execute(sql.encode())


Place = File | Server
NAMES = iter(f"log{number}" for number in range(10_000))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        return File(tmp_path)
    return Server(request.getfixturevalue("server"), next(NAMES))


def _proof(place: Place, *heads: str) -> Verdict:
    with closing(open_log(place.address)) as log:
        return verify(log, *heads)


@pytest.fixture
def filled(place: Place) -> Place:
    with closing(open_log(place.address)) as log:
        _filled(log)
        assert verify(log).problems == ()
    return place


@pytest.mark.parametrize("table", ["restrictions", "withdrawals", "fact_counts"])
def test_a_log_of_an_older_version_gets_the_table_that_it_lacks(place: Place, table: str) -> None:
    with closing(open_log(place.address)) as log:
        log.append([_decision("case-1", ANN), Draft("objection", "objection-1", BOB, "{}")])
    place.drop(table)
    with closing(open_log(place.address)) as log:
        assert verify(log).problems == ()
        log.append(
            [Draft("restriction", "bar-1", ANN, "{}"), Draft("withdrawal", "bar-2", EVE, "{}")]
        )
        assert log.barred() == {ANN: "restricted", BOB: "objected", EVE: "withdrawn"}
        assert verify(log).problems == ()


@pytest.mark.servers
def test_a_role_that_lacks_the_tables_of_a_new_version_is_told_what_their_owner_does(
    server: Postgres,
) -> None:
    place = Server(server, next(NAMES))
    open_log(place.address).close()
    with psycopg.connect(place.address, autocommit=True) as owner:
        owner.execute("CREATE ROLE clerk LOGIN")
    address = re.sub("//[^@]*@", "//clerk@", place.address)
    with closing(open_log(place.address)) as log:
        log.grant("clerk")
    with closing(open_log(address)) as log:
        assert isinstance(log.append([_decision("case-1", ANN)])[0], Entry)
    place.drop("withdrawals")
    with pytest.raises(LogUnavailableError, match="churn decisions prepare --role"):
        open_log(address)
    open_log(place.address).close()
    with (
        closing(open_log(address)) as log,
        pytest.raises(LogUnavailableError, match="churn decisions prepare --role"),
    ):
        log.append([_decision("case-2", ANN)])
    with closing(open_log(place.address)) as log:
        log.grant("clerk")
    with closing(open_log(address)) as log:
        log.append([_decision("case-2", ANN)])
        assert verify(log).problems == ()


FORGED = "'2026-10-01T00:00:00.000000Z', '0', '{}', '0', '0', '0'"
INSERT = "INSERT INTO decision_log (seq,kind,case_id,subject,at,salt,body,digest,previous,seal)"
FORGERIES = {
    "a row below the first": f"{INSERT} VALUES (-1, 'review', 'f', 'e', {FORGED})",
    "a row with number 0 of a real case": f"{INSERT} VALUES (0, 'review', 'case-6', 'e', {FORGED})",
    "a row far behind the last": f"{INSERT} VALUES (900, 'review', 'f', 'e', {FORGED})",
    "a changed body": "UPDATE decision_log SET body = '{}' WHERE seq = 3",
    "a changed person": f"UPDATE decision_log SET subject = '{EVE}' WHERE seq = 3",
    "a changed kind": "UPDATE decision_log SET kind = 'contest' WHERE seq = 3",
    "a blanked row": "UPDATE decision_log SET body=NULL, salt=NULL, subject=NULL WHERE seq = 3",
    "a row blanked in part": "UPDATE decision_log SET body = NULL WHERE seq = 3",
    "a person written onto a blanked row": "UPDATE decision_log SET subject = 'x' WHERE body IS NULL",
    "a body written onto a blanked row": "UPDATE decision_log SET body = '{}' WHERE body IS NULL",
    "a row deleted": "DELETE FROM decision_log WHERE seq = 4",
    "the first row deleted": "DELETE FROM decision_log WHERE seq = 1",
    "the log emptied, the tables beside it not": "DELETE FROM decision_log",
    "the desk emptied": "DELETE FROM open_reviews",
    "one case off the desk": "DELETE FROM open_reviews WHERE case_id = 'case-6'",
    "a case put on the desk": "INSERT INTO open_reviews VALUES ('case-1', 3, 'decision', 'aaaaaaaa')",
    "another reason on the desk": "UPDATE open_reviews SET kind = 'decision' WHERE case_id = 'case-6'",
    "another person on the desk": "UPDATE open_reviews SET subject = NULL WHERE case_id = 'case-6'",
    "another entry on the desk": "UPDATE open_reviews SET seq = 2 WHERE case_id = 'case-6'",
    "an invented objection": "INSERT INTO objections VALUES ('aaaaaaaa', 2)",
    "an objection of somebody else": "UPDATE objections SET subject = 'eeeeeeee' WHERE subject = 'bbbbbbbb'",
    "an objection of an erased person given to another": (
        "UPDATE objections SET subject = 'eeeeeeee' WHERE subject = 'cccccccc'"
    ),
    "an objection moved to another entry": "UPDATE objections SET seq = 2 WHERE subject = 'bbbbbbbb'",
    "the objections emptied": "DELETE FROM objections",
    "the restrictions emptied": "DELETE FROM restrictions",
    "the withdrawals emptied": "DELETE FROM withdrawals",
    "a restriction made a withdrawal": (
        "INSERT INTO withdrawals SELECT * FROM restrictions;DELETE FROM restrictions"
    ),
    "a lifted restriction put back": (
        "INSERT INTO restrictions SELECT 'dddddddd', max(seq) FROM decision_log WHERE case_id = 'bar-3'"
    ),
    "an invented erasure": "INSERT INTO erased VALUES ('00')",
    "the erased emptied": "DELETE FROM erased",
    "an erased person replaced": "UPDATE erased SET mark = '00'",
    "two rows swapped": (
        "UPDATE decision_log SET seq = CASE seq WHEN 3 THEN -4 WHEN 4 THEN -3 END WHERE seq IN (3, 4);"
        "UPDATE decision_log SET seq = -seq WHERE seq < 0"
    ),
    "a review more in the counts": "UPDATE fact_counts SET entries = entries + 1 WHERE fact = 'seeded'",
    "an override that was none": (
        "UPDATE fact_counts SET value = 'missed' WHERE fact = 'seeded' AND value = 'caught'"
    ),
    "an invented reviewer day": "INSERT INTO fact_counts VALUES ('reviewer_day', '2026-11-24 eve', 1)",
    "the counts emptied": "DELETE FROM fact_counts",
    "a table dropped": "DROP TABLE objections",
}


@pytest.mark.parametrize("sql", FORGERIES.values(), ids=FORGERIES)
def test_whatever_is_forged_in_any_table_is_found(filled: Place, sql: str) -> None:
    filled.forge(*sql.split(";"))
    assert _proof(filled).problems


@pytest.mark.parametrize("table", TABLES)
def test_an_older_copy_of_any_table_is_found(place: Place, table: str) -> None:
    with closing(open_log(place.address)) as log:
        log.append([_decision("case-1", ANN), *(Draft(k, f"{k}-1", BOB, "{}") for k in BARS)])
        log.erase_subject("dddddddd")
    place.forge(*(f"CREATE TABLE copy_of_{one} AS SELECT * FROM {one}" for one in TABLES))
    with closing(open_log(place.address)) as log:
        log.append([_decision("case-2", ANN), *(Draft(k, f"{k}-2", EVE, "{}") for k in BARS)])
        log.erase_subject("ffffffff")
        head = verify(log).head
    place.forge(f"DELETE FROM {table}", f"INSERT INTO {table} SELECT * FROM copy_of_{table}")
    assert _proof(place, head).problems


def test_an_older_copy_of_everything_is_found_with_the_noted_head(place: Place) -> None:
    with closing(open_log(place.address)) as log:
        log.append([_decision("case-1", ANN)])
        older = next(iter(log.entries()))
        log.append([_decision("case-2", ANN)])
        head = verify(log).head
    place.forge(
        "DELETE FROM decision_log WHERE seq > 1",
        "DELETE FROM open_reviews WHERE seq > 1",
        "UPDATE fact_counts SET entries = 1",
    )
    assert _proof(place).problems == ()
    assert _proof(place, f"1:{older.seal}").problems == ()
    assert len(_proof(place, head).problems) == 1
    for nonsense in ("", "0", "2", older.seal):
        assert _proof(place, nonsense).problems


def _sealed(seq: int, previous: str, kind: str, body: str, at: str) -> str:
    """A row that fits the chain, of somebody who can compute seals too."""
    digest = digest_of("00", ANN, body)
    seal = seal_of(previous, seq, (kind, "odd", at), digest)
    values = (kind, "odd", ANN, at, "00", body, digest, previous, seal)
    quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"{INSERT} VALUES ({seq}, {quoted})"


AT = "2099-01-01T00:00:00.000000Z"
ODD = {
    "no JSON": ("review", "{", AT),
    "no object": ("review", "[1]", AT),
    "null": ("decision", "null", AT),
    "nothing": ("contest", "", AT),
    "a million brackets": ("decision", "[" * 1_000_000, AT),
    "a number of 5,000 digits": ("decision", '{"score": ' + "9" * 5000 + "}", AT),
    "a review without its fields": ("review", "{}", AT),
    "a review whose seconds are words": ("review", REVIEW.replace("300", '"soon"'), AT),
    "a review that overrides with a word": ("review", REVIEW.replace("true", '"yes"'), AT),
    "an erasure without its list": ("erasure", '{"why": "x"}', AT),
    "an erasure of words": ("erasure", '{"blanked": ["all"]}', AT),
    "an erasure of a number": ("erasure", '{"blanked": 3}', AT),
    "an erasure with an odd mark": ("erasure", '{"blanked": [], "mark": {"a": 1}}', AT),
    "an outcome that is a list": ("decision", '{"outcome": []}', AT),
    "an unknown kind": ("verdict", "{}", AT),
    "a time that is none": ("decision", "{}", "9999"),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_odd_content_under_a_right_seal_is_a_problem_and_no_traceback(
    filled: Place, odd: tuple[str, str, str]
) -> None:
    kind, body, at = odd
    seq, _, seal = _proof(filled).head.partition(":")
    filled.forge(_sealed(int(seq) + 1, seal, kind, body, at))
    assert _proof(filled).problems


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE decision_log SET body = CAST(x'ff7b7d' AS TEXT) WHERE seq = 3",
        "UPDATE decision_log SET kind = CAST(x'ff' AS TEXT) WHERE seq = 3",
        "UPDATE decision_log SET body = x'7b7d' WHERE seq = 3",
        "UPDATE decision_log SET seal = x'00' WHERE seq = 3",
        "INSERT INTO erased VALUES (NULL)",
        "INSERT INTO erased VALUES (x'ff')",
        "INSERT INTO objections VALUES (NULL, 2)",
        "INSERT INTO objections VALUES ('zz', 'two')",
        "INSERT INTO open_reviews VALUES (x'00', 1, 'seed', NULL)",
    ],
)
def test_what_only_sqlite_can_hold_is_a_problem_and_no_traceback(tmp_path: Path, sql: str) -> None:
    place = File(tmp_path)
    with closing(open_log(place.address)) as log:
        _filled(log)
    place.forge(sql)
    assert _proof(place).problems


@pytest.mark.parametrize("table", TABLES)
def test_a_table_made_anew_without_its_rules_hides_no_duplicate(place: Place, table: str) -> None:
    with closing(open_log(place.address)) as log:
        _filled(log)
    place.forge(
        f"CREATE TABLE plain AS SELECT * FROM {table}",
        f"DROP TABLE {table}",
        f"ALTER TABLE plain RENAME TO {table}",
        f"INSERT INTO {table} SELECT * FROM {table}",
    )
    assert _proof(place).problems


def test_a_number_that_is_null_is_found(tmp_path: Path) -> None:
    place = File(tmp_path)
    with closing(open_log(place.address)) as log:
        _filled(log)
    place.forge(
        "CREATE TABLE plain AS SELECT * FROM decision_log",
        "INSERT INTO plain SELECT NULL, kind, case_id, subject, at, salt, body, digest, previous,"
        " seal FROM decision_log WHERE seq = 2",
        "DROP TABLE decision_log",
        "ALTER TABLE plain RENAME TO decision_log",
    )
    assert _proof(place).problems


def test_postgresql_refuses_to_truncate_and_a_truncated_desk_is_found(server: Postgres) -> None:
    place = Server(server, next(NAMES))
    with closing(open_log(place.address)) as log:
        _filled(log)
    with (
        psycopg.connect(place.address) as connection,
        pytest.raises(psycopg.Error, match="append-only"),
    ):
        connection.execute("TRUNCATE decision_log")
    place.forge("TRUNCATE open_reviews")
    assert _proof(place).problems


def test_the_proof_reads_one_moment_while_others_write(place: Place) -> None:
    with closing(open_log(place.address)) as log, closing(open_log(place.address)) as other:
        _filled(log)
        with log.snapshot() as tables:
            other.append([_decision("later", ANN), Draft("objection", "objection-9", EVE, "{}")])
            numbers = [row[0] for row in tables.entries]
            assert len(numbers) == numbers[-1]
        assert verify(log).entries == len(numbers) + 2
        assert verify(log).problems == ()


def _values(chance: random.Random, value: Any) -> Any:
    """Another value of the kind that a column holds."""
    if isinstance(value, int):
        return chance.choice([value + 1, -value, 0, 10**6])
    pool = [ANN, BOB, EVE, "0" * 64, "contest", "{}", "[]", "review", "", None, "case-6"]
    return chance.choice([one for one in pool if one != value])


def _forge_at_random(chance: random.Random, file: sqlite3.Connection) -> str:
    """Insert, change, delete, duplicate or swap something in any table; empty where nothing came of it."""
    table = chance.choice(TABLES)
    columns = [row[1] for row in file.execute(f"PRAGMA table_info({table})")]
    before = sorted(map(repr, file.execute(f"SELECT * FROM {table}")))
    numbers = [row[0] for row in file.execute(f"SELECT rowid FROM {table}")]
    one, column = chance.choice(numbers), chance.choice(columns)
    row = file.execute(f"SELECT * FROM {table} WHERE rowid = ?", (one,)).fetchone()
    act = chance.choice(["change", "delete", "insert", "swap", "empty"])
    marks = ",".join("?" * len(row))
    try:
        if act == "change":
            value = _values(chance, row[columns.index(column)])
            file.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, one))
        elif act == "delete":
            file.execute(f"DELETE FROM {table} WHERE rowid = ?", (one,))
        elif act == "insert":
            changed = [_values(chance, v) if chance.random() < 0.5 else v for v in row]
            file.execute(f"INSERT INTO {table} VALUES ({marks})", changed)
        elif act == "swap":
            two = chance.choice(numbers)
            other = file.execute(
                f"SELECT {column} FROM {table} WHERE rowid = ?", (two,)
            ).fetchone()[0]
            mine = row[columns.index(column)]
            file.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (other, one))
            file.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (mine, two))
        else:
            file.execute(f"DELETE FROM {table}")
    except sqlite3.IntegrityError:  # the table has a rule against it
        return ""
    after = sorted(map(repr, file.execute(f"SELECT * FROM {table}")))
    return "" if after == before else f"{act} {table} {column} {one}"


@pytest.mark.parametrize("seed", range(4))
def test_a_forger_at_random_is_always_found(tmp_path: Path, seed: int) -> None:
    """The rows count, not how they got there: each forgery starts from the same true log."""
    with closing(open_log(str(tmp_path / "true.db"))) as log:
        _filled(log)
        head = verify(log).head
    with closing(sqlite3.connect(tmp_path / "true.db")) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    chance, tried = random.Random(seed), 0
    while tried < 60:
        path = tmp_path / "forged.db"
        for left in tmp_path.glob("forged.db*"):
            left.unlink()
        shutil.copy(tmp_path / "true.db", path)
        with closing(sqlite3.connect(path, isolation_level=None)) as file:
            for (name,) in file.execute(
                "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            ).fetchall():
                file.execute(f"DROP TRIGGER {name}")
            file.execute("PRAGMA synchronous = OFF")
            what = _forge_at_random(chance, file)
        if what:
            tried += 1
            with closing(open_log(str(path))) as log:
                assert verify(log, head).problems, what


def _act(chance: random.Random, log: DecisionLog, number: int, clock: Callable[[], str]) -> None:
    """One thing that the service or the flow may do to a log."""
    subject, case = chance.choice([ANN, BOB, EVE, KIM]), f"case-{chance.randrange(number + 1)}"
    rows = log.of_case(case)
    whose = next((row.subject for row in rows if row.subject), subject)
    doing = chance.randrange(8)
    if doing <= 1:
        outcome = chance.choice(["pending_review", "offer"])
        log.append([_decision(f"case-{number}", subject, outcome)])
    elif doing == 2:
        log.append([Draft("review", case, whose, REVIEW.replace('"offer"', '"no_offer"'))])
    elif doing == 3 and rows:
        log.append([Draft("contest", case, whose, '{"view": "Look."}', opens_review=True)])
    elif doing == 4 and chance.random() < 0.6:
        bar = chance.choice(list(BARS))
        ground = json.dumps({"ground": chance.choice(["unlawful", "needed_for_claims"])})
        log.append([Draft(bar, f"bar-{number}", subject, ground)])
        act, ended = chance.choice(list(LIFTS.items()))
        if standing := log.in_force(subject, ended):
            log.append([Draft(act, chance.choice(standing).case_id, subject, ENDED[act])])
    elif doing == 5 and rows:
        log.append([rectification(case, whose, "again", corrected_by=f"case-{number}")])
    elif doing == 6:
        kinds = chance.choice([(), ("review",), ("contest", "rectification"), (*BARS, *LIFTS)])
        log.expire(clock(), kinds)
    elif doing == 7 and chance.random() < 0.2:
        log.erase_subject(subject)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_done_through_the_log_is_proved(tmp_path: Path, seed: int) -> None:
    """No false alarm: the tables beside the chain follow from it after every sequence of acts."""
    chance, tick = random.Random(seed), iter(range(100_000))

    def clock() -> str:
        return f"2026-11-24T{next(tick) // 60 % 24:02}:{next(tick) % 60:02}:00.000000Z"

    log = DecisionLog(SQLite(tmp_path / "decisions.db"), clock=clock)
    log._db.rows("PRAGMA synchronous = OFF")
    for number in range(60):
        _act(chance, log, number, clock)
        if number % 6 == 0:
            assert verify(log).problems == ()
    assert verify(log).problems == ()
    log.close()
