"""Feast's online store in SQLite: the rows of a person, found by Feast's own key."""

from __future__ import annotations

import shutil
import sqlite3
import stat
import struct
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from sovereign_ml.data_subjects.stores.formats import mentions
from sovereign_ml.data_subjects.stores.protocol import People
from sovereign_ml.storage.artifacts import replaced

KEY = "entity_key"
STRING = 2
"""Feast's number of the type."""


class OnlineRows:
    """A :class:`~sovereign_ml.data_subjects.stores.formats.Format`; Feast has no call that deletes one entity from this store."""

    def reads(self, head: bytes) -> bool:
        """SQLite files begin with their name."""
        return head.startswith(b"SQLite format 3")

    def count(self, path: Path, people: People) -> int:
        """Feature values of ``people``; what stands elsewhere in the file counts as one, so that it is not missed."""
        with closing(sqlite3.connect(path)) as connection:
            found = sum(_count(connection, table, key) for table, key in _rows(connection, people))
        return found or int(mentions(path, people))

    def remove(self, path: Path, people: People) -> None:
        """Delete the rows in one transaction; the freed bytes are overwritten.

        A file that the DVC cache shares by a link is copied first: its old version must not change under its hash.
        """
        if path.stat().st_nlink > 1 or not path.stat().st_mode & stat.S_IWUSR:
            replaced(path, partial(shutil.copyfile, path))
            path.chmod(0o644)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("PRAGMA secure_delete = ON")
            for table, key in _rows(connection, people):
                connection.execute(f'DELETE FROM "{table}" WHERE {KEY} = ?', (key,))  # noqa: S608


def _count(connection: sqlite3.Connection, table: str, key: bytes) -> int:
    return int(
        connection.execute(f'SELECT count(*) FROM "{table}" WHERE {KEY} = ?', (key,)).fetchone()[0]  # noqa: S608
    )


def _rows(connection: sqlite3.Connection, people: People) -> Iterator[tuple[str, bytes]]:
    tables = [
        row[0]
        for row in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1"
        )
    ]
    keys = [entity_key(one) for one in people]
    for table in tables:
        if KEY in [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]:
            yield from ((table, key) for key in keys)


def entity_key(pseudonym: str) -> bytes:
    """Feast's key of a customer in every online store (its serialisation 3).

    Laid out here and held to Feast's own function by a test: importing Feast takes longer than the rest of an erasure.
    """
    name, value = b"customer_id", pseudonym.encode()
    return struct.pack(
        f"<III{len(name)}sII{len(value)}s", 1, STRING, len(name), name, STRING, len(value), value
    )
