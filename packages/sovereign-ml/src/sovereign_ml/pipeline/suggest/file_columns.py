"""Columns of a loaded file, looked up by what their names and values say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sovereign_ml.pipeline.suggest.column_values import ColumnValues, TimeReading, read_times
from sovereign_ml.pipeline.suggest.column_words import NAMES, OTHERS, words_of
from sovereign_ml.pipeline.suggest.presets import Preset, plain, preset_of

if TYPE_CHECKING:
    import duckdb

__all__ = ["COLUMNS", "FileColumns"]

COLUMNS = "data.columns"


@dataclass
class FileColumns:
    """The columns of the loaded ``table``. ``above`` holds the lines above its header."""

    connection: duckdb.DuckDBPyConnection
    table: str
    columns: Mapping[str, ColumnValues]
    decimal: Literal[".", ","]
    above: Sequence[str] = ()

    def __post_init__(self) -> None:
        self.preset: Preset | None = preset_of(list(self.columns))
        # Backwards, so that the first of two columns with the same plain name stays.
        self.by_plain_name = {
            plain(name): column for name, column in reversed(list(self.columns.items()))
        }
        self.notes: list[str] = list(self.preset.notes) if self.preset else []

    def named(self, role: str) -> list[ColumnValues]:
        """Return the columns with a name of ``role``, the surest first.

        If there are none, return those with such a word in the name.
        """
        names = NAMES[role].split()
        exact = [self.by_plain_name[name] for name in names if name in self.by_plain_name]
        words = {column.name: words_of(column.name) for column in self.columns.values()}
        others = set(OTHERS.get(role, "").split())
        near = [
            column
            for column in self.columns.values()
            if words[column.name] & set(names) and not words[column.name] & others
        ]
        return [column for column in exact or near if column.filled]

    def is_sure(self, role: str, columns: Sequence[ColumnValues]) -> bool:
        """Return whether the first of ``columns`` has the very name, or is the only one."""
        return len(columns) == 1 or plain(columns[0].name) in NAMES[role].split()

    def read(self, column: ColumnValues) -> TimeReading | None:
        """Return how the values of ``column`` read as times, None where they do not."""
        return read_times(self.connection, self.table, column) if column.filled else None

    def is_time(self, column: ColumnValues) -> bool:
        """Return whether nearly all values of ``column`` can be read as times."""
        reading = self.read(column)
        return reading is not None and reading.readable > 0.9

    def words(self, column: ColumnValues, most: int = 30) -> dict[str, int]:
        """Return the values of a column of few words with their rows, empty where it has more."""
        if column.distinct > most:
            return {}
        rows = self.connection.execute(
            f"SELECT CAST({column.sql} AS VARCHAR) AS w, count(*) FROM {self.table} "  # noqa: S608
            "WHERE w IS NOT NULL GROUP BY w ORDER BY 2 DESC, 1"
        ).fetchall()
        return {str(word): int(n) for word, n in rows}

    @staticmethod
    def counted(words: Mapping[str, int]) -> str:
        """Return the most frequent words with their rows, as evidence for a person."""
        return ", ".join(f"{word} {n:,}" for word, n in list(words.items())[:8])

    @staticmethod
    def values_in_words(column: ColumnValues) -> str:
        """Return how many different values ``column`` has, in how many rows."""
        empty = column.rows - column.filled
        return f"{column.name}: {column.distinct:,} different values in {column.filled:,} rows" + (
            f", empty in {empty:,}" if empty else ""
        )
