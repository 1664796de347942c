"""The decision log in one SQLite file, with one fsync per transaction.

No row may change, except when it is blanked.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from sovereign_ml.decision_log.entries import LogUnavailableError, now

SCHEMA = {
    "decision_log": """TABLE decision_log (
        seq INTEGER PRIMARY KEY CHECK (seq > 0), kind TEXT NOT NULL, case_id TEXT NOT NULL, subject TEXT,
        at TEXT NOT NULL, salt TEXT, body TEXT, digest TEXT NOT NULL, previous TEXT NOT NULL, seal TEXT NOT NULL)""",
    "decision_log_case": "INDEX decision_log_case ON decision_log (case_id)",
    "decision_log_subject": """INDEX decision_log_subject ON decision_log (subject)
        WHERE subject IS NOT NULL""",
    "decision_log_kind": "INDEX decision_log_kind ON decision_log (kind) WHERE kind <> 'decision'",
    "objections": "TABLE objections (subject TEXT PRIMARY KEY, seq INTEGER NOT NULL)",
    "restrictions": "TABLE restrictions (subject TEXT PRIMARY KEY, seq INTEGER NOT NULL)",
    "withdrawals": "TABLE withdrawals (subject TEXT PRIMARY KEY, seq INTEGER NOT NULL)",
    "erased": "TABLE erased (mark TEXT PRIMARY KEY)",
    "open_reviews": """TABLE open_reviews (
        case_id TEXT PRIMARY KEY, seq INTEGER NOT NULL, kind TEXT NOT NULL, subject TEXT)""",
    "open_reviews_seq": "INDEX open_reviews_seq ON open_reviews (seq)",
    "open_reviews_subject": "INDEX open_reviews_subject ON open_reviews (subject)",
    "fact_counts": """TABLE fact_counts (
        fact TEXT NOT NULL, value TEXT NOT NULL, entries INTEGER NOT NULL, PRIMARY KEY (fact, value))""",
    "decision_log_keeps_rows": """TRIGGER decision_log_keeps_rows BEFORE DELETE ON decision_log
        BEGIN SELECT RAISE(ABORT, 'the decision log is append-only'); END""",
    "decision_log_keeps_seals": """TRIGGER decision_log_keeps_seals BEFORE UPDATE ON decision_log
        WHEN NEW.body IS NOT NULL OR NEW.salt IS NOT NULL OR NEW.subject IS NOT NULL OR
            (NEW.seq, NEW.kind, NEW.case_id, NEW.at, NEW.digest, NEW.previous, NEW.seal)
            IS NOT (OLD.seq, OLD.kind, OLD.case_id, OLD.at, OLD.digest, OLD.previous, OLD.seal)
        BEGIN SELECT RAISE(ABORT, 'the decision log is append-only'); END""",
}
"""Tables, indexes and triggers by name, in the form that follows CREATE."""


class SQLite:
    """A :class:`~sovereign_ml.decision_log.reading.Database` on one file."""

    def __init__(self, path: Path) -> None:
        with _refusals(path):
            if path.exists() and not path.is_file():
                raise OSError("no file: a device or a pipe would keep nothing")
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _keep_private(path)
            # Opened in one thread and used in another, never in two at once.
            self._connection = sqlite3.connect(
                path, timeout=5, isolation_level=None, check_same_thread=False
            )
            # In this mode a long reader, such as a proof of the chain, does not stop the writer.
            self._connection.execute("PRAGMA journal_mode=WAL")
            # In WAL mode a weaker setting would lose the newest commits in a power cut.
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.execute(
                "PRAGMA secure_delete=ON"
            )  # a blanked body leaves the file, not only the row
        self._path = path

    def lacks_tables(self) -> bool:
        """Return whether a table, an index or a trigger is missing."""
        return bool(SCHEMA.keys() - self._names())

    def make_tables(self) -> bool:
        """Make missing tables, inside a transaction. Return whether the table of counts was new."""
        missing = SCHEMA.keys() - self._names()
        for name, definition in SCHEMA.items():
            if name in missing:
                self._connection.execute(f"CREATE {definition}")
        return "fact_counts" in missing

    def grant(self, role: str) -> None:
        """Refuse, because a file has no roles."""
        raise LogUnavailableError(f"decision log {self._path}: a SQLite file has no roles")

    def excess(self, role: str | None = None) -> str:
        """Return no excess: whoever may write the file may do everything with it."""
        return ""

    def now(self) -> str:
        """Return the time of this machine, because every writer of the file is on it."""
        return now()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run one durable transaction. A second writer waits up to 5 s."""
        with _refusals(self._path):
            # The write lock is taken at once: a reader that writes later fails if another one wrote
            # first.
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Give a context in which everything that is read is of one moment.

        Text that is no UTF-8 comes as bytes.
        """
        with _refusals(self._path):
            self._connection.text_factory = _text
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.text_factory = str
                self._connection.execute("ROLLBACK")

    def stream(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """Run ``sql`` and yield its rows one by one."""
        with _refusals(self._path):
            yield from self._connection.execute(sql)

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run ``sql`` and return its rows."""
        with _refusals(self._path):
            return self._connection.execute(sql, values).fetchall()

    def change(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run ``sql`` and return the number of changed rows."""
        return self._connection.execute(sql, values).rowcount

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _names(self) -> set[str]:
        return {row[0] for row in self.rows("SELECT name FROM sqlite_master")}


def holds_log(path: Path) -> bool:
    """Return whether the file at ``path`` holds a log of any version, without a change to it."""
    address, sql = path.absolute().as_uri(), "SELECT 1 FROM sqlite_master WHERE name = ?"
    with (
        _refusals(path),
        closing(sqlite3.connect(f"{address}?mode=ro", uri=True, timeout=5)) as connection,
    ):
        return connection.execute(sql, ("decision_log",)).fetchone() is not None


def _keep_private(path: Path) -> None:
    """Let only the owner of the file read what people wrote.

    SQLite gives its other files the same mode.
    """
    # An existing file is not opened: closing it would release the locks that this process holds on
    # it.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        with suppress(FileNotFoundError):
            if file.is_file() and file.stat().st_uid == os.geteuid():
                file.chmod(0o600)


def _text(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.OperationalError, sqlite3.DatabaseError, OSError) as error:
        raise LogUnavailableError(f"decision log {path}: {error}") from error
