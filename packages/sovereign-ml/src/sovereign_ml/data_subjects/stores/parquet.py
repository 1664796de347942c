"""Single rows of Parquet files: about people, or older than a moment."""

from __future__ import annotations

import math
import re
from datetime import datetime
from decimal import Decimal
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sovereign_ml.data_subjects.stores.protocol import People
from sovereign_ml.data_subjects.stores.row_groups import UnusualLayout, copy_without
from sovereign_ml.storage import duckdb as db
from sovereign_ml.storage.artifacts import replaced

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    from numpy.typing import NDArray

FEW = 1_000_000
"""Rows that are removed by their positions. For more of them the file is written again."""

HOLDS_TEXT = re.compile("VARCHAR|BLOB|JSON")
"""DuckDB's types that may hold text, such as ``STRUCT(id VARCHAR)[]``."""


class ParquetRows:
    """Parquet files as a :class:`~sovereign_ml.data_subjects.stores.formats.Format`.

    A pseudonym in any text column makes a row the person's, and one inside of a list, a structure
    or bytes.
    """

    def reads(self, head: bytes) -> bool:
        """Return whether ``head`` begins with PAR1, as Parquet files do."""
        return head.startswith(b"PAR1")

    def count(self, path: Path, people: People) -> int:
        """Return the number of rows about ``people``. Sorted files are answered from statistics."""
        return self.count_where(path, self._theirs(path, people))

    def remove(self, path: Path, people: People) -> None:
        """Replace ``path`` by a file without the rows about ``people``."""
        self.remove_where(path, self._theirs(path, people))

    def count_where(self, path: Path, condition: str) -> int:
        """Return the number of rows of ``path`` for which the SQL ``condition`` is true."""
        return db.count(self._connection, _table(path), condition)

    def count_both(self, path: Path, person: str, condition: str) -> int:
        """Return the number of rows about ``person`` for which the SQL ``condition`` is true."""
        return self.count_where(path, f"({self._theirs(path, [person])}) AND {condition}")

    def remove_where(self, path: Path, condition: str) -> None:
        """Replace ``path`` by a file without the rows for which ``condition`` is true."""
        replaced(path, partial(self._write_without, path, condition))

    def _write_without(self, path: Path, condition: str, side: Path) -> None:
        """Write the rows of ``path`` for which ``condition`` is not true to ``side``, in order."""
        try:
            copy_without(path, self._positions(path, condition), side)
        except UnusualLayout:
            # DuckDB would first write to a name that nothing clears after a crash.
            side.unlink(missing_ok=True)
            # NOT (...) would also remove rows for which the condition is null.
            query = f"SELECT * FROM {_table(path)} WHERE ({condition}) IS NOT TRUE"  # noqa: S608
            db.write_parquet(self._connection, query, side)

    def _positions(self, path: Path, condition: str) -> NDArray[np.int64]:
        """Return the positions of the rows for which ``condition`` is true, ascending from 0.

        Raises UnusualLayout for more than ``FEW``, and where the file hides positions.
        """
        # DuckDB numbers the rows in a hidden column, unless the file has one of that name.
        if "file_row_number" in (name.lower() for name in self._columns(path)):
            raise UnusualLayout("a column with the name of DuckDB's row number")
        query = f"""SELECT file_row_number FROM {_table(path)} WHERE {condition}
            ORDER BY ALL LIMIT {FEW + 1}"""  # noqa: S608
        rows: NDArray[np.int64] = self._connection.execute(query).fetchnumpy()["file_row_number"]
        if len(rows) > FEW:
            raise UnusualLayout("many rows")
        return rows

    def text_columns(self, path: Path) -> list[str]:
        """Return the names of the columns that hold text."""
        return [name for name, kind in self._columns(path).items() if kind == "VARCHAR"]

    def values(self, path: Path, column: str) -> list[str]:
        """Return the distinct values of a text column."""
        query = f"SELECT DISTINCT {_name(column)} FROM {_table(path)}"  # noqa: S608
        rows = self._connection.execute(query).fetchall()
        return [str(row[0]) for row in rows if row[0] is not None]

    def rows(self, path: Path, person: str) -> list[dict[str, Any]]:
        """Return the rows about one person without the pseudonym, as values of JSON."""
        condition = self._theirs(path, [person])
        query = f"SELECT * FROM {_table(path)} WHERE {condition} ORDER BY ALL"  # noqa: S608
        cursor = self._connection.execute(query)
        names = [column[0] for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        return [{k: _plain(v) for k, v in row.items() if v != person} for row in rows]

    def _columns(self, path: Path) -> dict[str, str]:
        return db.types_of(self._connection, f"SELECT * FROM {_table(path)}")  # noqa: S608

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        connection = db.connect()
        connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = true")
        return connection

    def _theirs(self, path: Path, people: People) -> str:
        some = ", ".join(_text(name) for name in people)
        kinds = self._columns(path)
        conditions = [
            f"{_name(column)} IN ({some})" for column, kind in kinds.items() if kind == "VARCHAR"
        ]
        # A list or a structure holds a pseudonym inside, and some writers store text as bytes.
        conditions += [
            f"contains(CAST({_name(column)} AS VARCHAR), {_text(name)})"
            for column, kind in kinds.items()
            if kind != "VARCHAR" and HOLDS_TEXT.search(kind)
            for name in people
        ]
        return " OR ".join(conditions) or "false"


def older(column: str, before: datetime) -> str:
    """Return the condition for rows whose ``column`` is before ``before`` (UTC)."""
    return f"{_name(column)} < TIMESTAMPTZ '{before.isoformat()}'"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, Decimal | float):
        # JSON has no NaN.
        return None if math.isnan(value) else float(value)
    return value


def _table(path: Path) -> str:
    return f"read_parquet({_text(str(path))})"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
