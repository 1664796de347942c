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
STRING = 2  # Feast's number of the type


class OnlineRows:
    """The SQLite online store as a :class:`~sovereign_ml.data_subjects.stores.formats.Format`."""

    # Rows are deleted by SQL because Feast has no call that deletes one entity here.
    def reads(self, head: bytes) -> bool:
        """Return whether ``head`` begins with the name of the format, as SQLite files do."""
        return head.startswith(b"SQLite format 3")

    def count(self, path: Path, people: People) -> int:
        """Return the number of feature values of ``people``."""
        with closing(sqlite3.connect(path)) as connection:
            count = sum(_count(connection, table, key) for table, key in _rows(connection, people))
        # A pseudonym elsewhere in the file counts as one, so that it is not missed.
        return count or int(mentions(path, people))

    def remove(self, path: Path, people: People) -> None:
        """Delete the rows in one transaction and overwrite the freed bytes."""
        # The DVC cache may share this file by a link. Its old version must not change under its
        # hash.
        if path.stat().st_nlink > 1 or not path.stat().st_mode & stat.S_IWUSR:
            replaced(path, partial(shutil.copyfile, path))
            path.chmod(0o644)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("PRAGMA secure_delete = ON")
            for table, key in _rows(connection, people):
                connection.execute(f'DELETE FROM "{table}" WHERE {KEY} = ?', (key,))  # noqa: S608


def _count(connection: sqlite3.Connection, table: str, key: bytes) -> int:
    query = f'SELECT count(*) FROM "{table}" WHERE {KEY} = ?'  # noqa: S608
    return int(connection.execute(query, (key,)).fetchone()[0])


def _rows(connection: sqlite3.Connection, people: People) -> Iterator[tuple[str, bytes]]:
    tables = [
        row[0]
        for row in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1"
        )
    ]
    keys = [entity_key(name) for name in people]
    for table in tables:
        if KEY in [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]:
            yield from ((table, key) for key in keys)


def entity_key(pseudonym: str) -> bytes:
    """Return Feast's key of a customer in every online store (its serialisation 3)."""
    # Written here and compared with Feast's own function by a test: importing Feast takes longer
    # than the rest of an erasure.
    name, value = b"customer_id", pseudonym.encode()
    return struct.pack(
        f"<III{len(name)}sII{len(value)}s", 1, STRING, len(name), name, STRING, len(value), value
    )
