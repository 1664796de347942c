"""Single rows out of Parquet files: about people, or older than a moment; everything else stays in its order."""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sovereign_ml.data_subjects.stores.protocol import People
from sovereign_ml.storage import duckdb as db
from sovereign_ml.storage.artifacts import replaced

if TYPE_CHECKING:
    import duckdb

OLDER = "{column} < TIMESTAMPTZ '{before}'"


class ParquetRows:
    """A :class:`~sovereign_ml.data_subjects.stores.formats.Format`: any text column that holds a pseudonym makes the row theirs."""

    def reads(self, head: bytes) -> bool:
        """Parquet files begin with PAR1."""
        return head.startswith(b"PAR1")

    def count(self, path: Path, people: People) -> int:
        """Rows about ``people``; sorted files are answered from their statistics."""
        return self.count_where(path, self._theirs(path, people))

    def remove(self, path: Path, people: People) -> None:
        """Write ``path`` anew without the rows about ``people``."""
        self.remove_where(path, self._theirs(path, people))

    def count_where(self, path: Path, condition: str) -> int:
        """Rows of ``path`` for which the SQL ``condition`` is true."""
        return db.count(self._connection, _table(path), condition)

    def count_both(self, path: Path, person: str, condition: str) -> int:
        """Rows about ``person`` for which the SQL ``condition`` is true."""
        return self.count_where(path, f"({self._theirs(path, [person])}) AND {condition}")

    def remove_where(self, path: Path, condition: str) -> None:
        """Write ``path`` anew without the rows for which ``condition`` is true, then put it in its place."""
        query = f"SELECT * FROM {_table(path)} WHERE ({condition}) IS NOT TRUE"  # noqa: S608
        replaced(path, partial(db.write_parquet, self._connection, query))

    def text_columns(self, path: Path) -> list[str]:
        """Names of the columns that hold text."""
        found = self._connection.execute(f"DESCRIBE FROM {_table(path)}").fetchall()
        return [str(row[0]) for row in found if row[1] == "VARCHAR"]

    def values(self, path: Path, column: str) -> list[str]:
        """Distinct values of a text column."""
        rows = self._connection.execute(
            f"SELECT DISTINCT {_name(column)} FROM {_table(path)} WHERE {_name(column)} IS NOT NULL"  # noqa: S608
        ).fetchall()
        return [str(row[0]) for row in rows]

    def rows(self, path: Path, person: str) -> list[dict[str, Any]]:
        """Rows about one person without the pseudonym, values as JSON can hold them, undefined numbers as None."""
        query = f"SELECT * FROM {_table(path)} WHERE {self._theirs(path, [person])} ORDER BY ALL"  # noqa: S608
        found = self._connection.execute(query)
        names = [column[0] for column in found.description]
        rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        return [{k: _plain(v) for k, v in row.items() if v != person} for row in rows]

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        connection = db.connect()
        connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = true")
        return connection

    def _theirs(self, path: Path, people: People) -> str:
        some = ", ".join(_text(one) for one in people)
        return (
            " OR ".join(f"{_name(column)} IN ({some})" for column in self.text_columns(path))
            or "false"
        )


def older(column: str, before: datetime) -> str:
    """The condition for rows whose ``column`` lies before ``before`` (UTC)."""
    return OLDER.format(column=_name(column), before=before.isoformat())


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, Decimal | float):
        return None if math.isnan(value) else float(value)
    return value


def _table(path: Path) -> str:
    return f"read_parquet({_text(str(path))})"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
