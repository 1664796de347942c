"""The decision log in PostgreSQL.

One advisory lock makes several instances write one chain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.sql import SQL, Identifier

from sovereign_ml.decision_log.entries import LogUnavailableError
from sovereign_ml.decision_log.role_rights import MAY, excess_rights

if TYPE_CHECKING:
    from psycopg.abc import PQGen

RV = TypeVar("RV")
LOCK = 0x5052_4F4F_46  # any number that other users of the database do not use
CONNECT_S, STATEMENT_S = 3, 5
"""Limits that the server or the kernel keeps, in seconds."""
SILENCE_S = 6.0
"""Seconds until a silent server is given up.

Such a server keeps no limit because it stands still, or has no connection left for us.
"""
OPTIONS = {
    "connect_timeout": CONNECT_S,
    "tcp_user_timeout": STATEMENT_S * 1000,
    "keepalives_idle": 5,
    "prepare_threshold": None,
    "client_encoding": "UTF8",
}
HOLDS_ALL = ("UTF8", "SQL_ASCII")
AT_ONCE = 1000
# Set in each transaction. Platforms put poolers such as PgBouncer before their databases. A pooler
# gives every transaction another session, refuses start-up options, and confuses prepared
# statements of different clients.
LIMITS = (
    f"SET LOCAL statement_timeout = '{STATEMENT_S}s'; SET LOCAL lock_timeout = '{STATEMENT_S}s'; "
    "SET LOCAL synchronous_commit = on"
)
# All in one message to the server. The clock is the server's: those of several instances differ.
ALONE = f"""{LIMITS}; SELECT pg_advisory_xact_lock({LOCK});
SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
SCHEMA = """
CREATE TABLE IF NOT EXISTS decision_log (
    seq BIGINT PRIMARY KEY CHECK (seq > 0), kind TEXT NOT NULL, case_id TEXT NOT NULL, subject TEXT, at TEXT NOT NULL,
    salt TEXT, body TEXT, digest TEXT NOT NULL, previous TEXT NOT NULL, seal TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS decision_log_case ON decision_log (case_id);
CREATE INDEX IF NOT EXISTS decision_log_subject ON decision_log (subject) WHERE subject IS NOT NULL;
CREATE INDEX IF NOT EXISTS decision_log_kind ON decision_log (kind) WHERE kind <> 'decision';
CREATE TABLE IF NOT EXISTS objections (subject TEXT PRIMARY KEY, seq BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS restrictions (subject TEXT PRIMARY KEY, seq BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS withdrawals (subject TEXT PRIMARY KEY, seq BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS erased (mark TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS open_reviews (
    case_id TEXT PRIMARY KEY, seq BIGINT NOT NULL, kind TEXT NOT NULL, subject TEXT);
CREATE INDEX IF NOT EXISTS open_reviews_seq ON open_reviews (seq);
CREATE INDEX IF NOT EXISTS open_reviews_subject ON open_reviews (subject);
CREATE TABLE IF NOT EXISTS fact_counts (
    fact TEXT NOT NULL, value TEXT NOT NULL, entries BIGINT NOT NULL, PRIMARY KEY (fact, value));
CREATE OR REPLACE FUNCTION decision_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.body IS NULL AND NEW.salt IS NULL AND NEW.subject IS NULL
        AND (NEW.seq, NEW.kind, NEW.case_id, NEW.at, NEW.digest, NEW.previous, NEW.seal)
        IS NOT DISTINCT FROM (OLD.seq, OLD.kind, OLD.case_id, OLD.at, OLD.digest, OLD.previous, OLD.seal)
    THEN RETURN NEW; END IF;
    RAISE EXCEPTION 'the decision log is append-only';
END $$;
CREATE OR REPLACE TRIGGER decision_log_keeps_rows BEFORE UPDATE OR DELETE ON decision_log
    FOR EACH ROW EXECUTE FUNCTION decision_log_is_append_only();
CREATE OR REPLACE TRIGGER decision_log_keeps_all BEFORE TRUNCATE ON decision_log
    FOR EACH STATEMENT EXECUTE FUNCTION decision_log_is_append_only();
"""
MADE = re.findall(r"CREATE (?:TABLE|INDEX) IF NOT EXISTS (\w+)", SCHEMA)
IS_THERE = f"""SELECT bool_and(to_regclass(name) IS NOT NULL) AND 2 = (SELECT count(*) FROM pg_catalog.pg_trigger
    WHERE tgrelid = to_regclass('decision_log') AND tgenabled <> 'D'
    AND tgname IN ('decision_log_keeps_rows', 'decision_log_keeps_all'))
    FROM unnest(ARRAY{MADE}) AS name"""  # noqa: S608


class Postgres:
    """A :class:`~sovereign_ml.decision_log.reading.Database` on a PostgreSQL server.

    It reconnects when the server was away.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection | None = None
        self._now = ""

    def lacks_tables(self) -> bool:
        """Return whether the tables of this version or their triggers are missing.

        Only then the role needs to own them. Raises LogUnavailableError for a database that cannot
        hold every letter: the one transaction of many requests would fail with that of a single
        one.
        """
        ((encoding,),) = self.rows("SELECT current_setting('server_encoding')")
        if encoding not in HOLDS_ALL:
            raise LogUnavailableError(
                f"decision log in PostgreSQL: its database has the encoding {encoding}; make it "
                "with ENCODING 'UTF8'"
            )
        return self.rows(IS_THERE) != [(True,)]

    def holds_log(self) -> bool:
        """Return whether there is a log of any version."""
        return self.rows("SELECT to_regclass('decision_log') IS NOT NULL") == [(True,)]

    def make_tables(self) -> bool:
        """Make missing tables, inside a transaction. Return whether the table of counts was new."""
        new = self.rows("SELECT to_regclass('fact_counts') IS NULL") == [(True,)]
        self._open().execute(SCHEMA)
        return new

    def grant(self, role: str) -> None:
        """Let ``role`` write the tables and nothing else.

        Raises LogUnavailableError if there is no such role.
        """
        if not self.rows("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = ?", (role,)):
            raise LogUnavailableError(
                f"decision log in PostgreSQL: there is no role {role}; make it with "
                f"CREATE ROLE {role} LOGIN PASSWORD '…'"
            )
        with self.transaction():
            name = Identifier(role)
            schema = Identifier(str(self.rows("SELECT current_schema()")[0][0]))
            self._open().execute(SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, name))
            self._open().execute(SQL("REVOKE CREATE ON SCHEMA {} FROM {}").format(schema, name))
            for table, allowed in MAY.items():
                lists = (Identifier(table), name)
                # Rights that an earlier version granted would stay otherwise.
                self._open().execute(SQL("REVOKE ALL ON {} FROM {}").format(*lists))
                self._open().execute(SQL(f"GRANT {allowed} ON {{}} TO {{}}").format(*lists))

    def excess(self, role: str | None = None) -> str:
        """Return the excess rights of ``role``, or of our own role.

        The text continues "the role". It is empty for no excess.
        """
        return excess_rights(self.rows, role)

    def now(self) -> str:
        """Return the server's time at which it let this transaction in."""
        return self._now

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run one durable transaction that waits for every other instance's."""
        with self._refusals():
            connection = self._open()
            with connection.transaction():
                cursor = connection.execute(ALONE)
                # The time is the result of the last of these statements.
                while cursor.nextset():
                    pass
                self._now = "".join(cursor.fetchone() or ())
                yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Give a context in which everything that is read is of one moment."""
        with self._refusals():
            connection = self._open()
            with connection.transaction():
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                connection.execute(LIMITS)
                yield

    def stream(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """Run ``sql`` inside a snapshot and yield its rows, fetched some at a time."""
        with self._refusals(), self._open().cursor(name="decision_log_stream") as cursor:
            cursor.itersize = AT_ONCE
            cursor.execute(_marks(sql))
            yield from cursor

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run ``sql`` and return its rows."""
        with self._refusals():
            return self._open().execute(_marks(sql), values).fetchall()

    def change(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run ``sql`` and return the number of changed rows."""
        return self._open().execute(_marks(sql), values).rowcount

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = _Impatient.connect(self._url, autocommit=True, **OPTIONS)  # type: ignore[arg-type]
        return self._connection

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            # The next call connects anew.
            if isinstance(error, psycopg.OperationalError):
                self.close()
            # The address of the server and its user stay out of the message.
            raise LogUnavailableError(f"decision log in PostgreSQL: {_why(error)}") from error


class _Impatient(psycopg.Connection[Any]):
    """A connection whose every wait for the server ends, whatever the server does."""

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = SILENCE_S) -> RV:
        """Wait for an answer.

        A late answer is not waited for again: the connection is closed.
        """
        try:
            return super().wait(gen, interval, timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.close()
            raise


HINTS = {
    "3D000": "there is no such database",
    "28P01": "wrong password",
    "28000": "this user, host or encryption is not allowed",
    "42501": "the role lacks a privilege. The role that owns the log's tables makes those of a "
    "new version and grants what is needed: run `churn decisions prepare --role <the "
    "service's role>` with the owner's address",
    "53300": "too many connections",
    "57014": "a statement took too long",
    "55P03": "another writer held the lock too long",
    "08P01": "a pooler refuses this; use its transaction mode, and no options in the address",
    "25006": "this server is read-only",
    "53100": "its disk is full",
}
"""Hints by SQLSTATE."""
WORDS = {
    "password authentication failed": HINTS["28P01"],
    "no pg_hba.conf entry": HINTS["28000"],
    "SSL": "server and address do not agree about encryption (sslmode)",
    "does not exist": "there is no such database or role",
    "too many": HINTS["53300"],
    "could not translate host name": "the host is not known",
    "failed to resolve host": "the host is not known",
    "refused": "nothing listens there",
    "timeout": "no answer in time",
}
"""Hints by libpq's text about a connection that was not made, when there is no SQLSTATE."""


def _why(error: psycopg.Error) -> str:
    """Return the name of the error with a hint, in our own words.

    Its message may hold address and user.
    """
    message = str(error)
    hint = HINTS.get(error.sqlstate or "") or next(
        (hint for words, hint in WORDS.items() if words in message), ""
    )
    name = type(error).__name__.lstrip("_")
    return f"{name} ({hint})" if hint else name


def _marks(sql: str) -> bytes:
    return sql.replace("?", "%s").encode()
