"""The decision log in PostgreSQL: one advisory lock makes several instances write one chain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from sovereign_ml.decision_log.entries import LogUnavailableError

LOCK = 0x5052_4F4F_46  # any number that other users of the database do not use
OPTIONS = {
    "connect_timeout": 3,
    "tcp_user_timeout": 5000,
    "keepalives_idle": 5,
    "prepare_threshold": None,
}
AT_ONCE = 1000
# Set in each transaction: a pooler such as PgBouncer, which platforms put before their databases, gives every
# transaction another session, refuses start-up options, and confuses prepared statements of different clients.
LIMITS = "SET LOCAL statement_timeout = 5000; SET LOCAL lock_timeout = 5000; SET LOCAL synchronous_commit = on"
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


class Postgres:
    """A :class:`~sovereign_ml.decision_log.store.Database` on a PostgreSQL server; reconnects when the server was away."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection | None = None
        with self.transaction():
            self._open().execute(SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One durable transaction that waits for every other instance's."""
        with self._refusals():
            connection = self._open()
            with connection.transaction():
                connection.execute(LIMITS)
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
                yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Everything read inside is of one moment."""
        with self._refusals():
            connection = self._open()
            with connection.transaction():
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                connection.execute(LIMITS)
                yield

    def stream(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """Run ``sql`` inside a snapshot and give its rows, fetched some at a time."""
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
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self._url, autocommit=True, **OPTIONS)  # type: ignore[arg-type]
        return self._connection

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            if isinstance(error, psycopg.OperationalError):
                self.close()
            # The address of the server and its user stay out of the message.
            raise LogUnavailableError(
                f"decision log in PostgreSQL: {type(error).__name__}"
            ) from error


def _marks(sql: str) -> bytes:
    return sql.replace("?", "%s").encode()
