"""The team's SQL expressions over a table of text: which columns an expression needs as numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

from sovereign_ml.config.tables import ReaderSettings
from sovereign_ml.errors import Misuse
from sovereign_ml.storage import duckdb as db

if TYPE_CHECKING:
    import duckdb

NUMBERS_FIRST = ("where", "amount_eur", "value", "consent", "birth_year")
"""Keys whose columns are numbers where that is possible; the others see text where that is possible."""
NUMERIC = ("INT", "DOUBLE", "FLOAT", "DECIMAL", "BIGNUM")
MOST_COLUMNS = 6
"""Of one expression: for so many all ways to read them are tried."""
GROUPED = r"[+-]?([0-9]{1,3}([. '\x{00A0}\x{202F}][0-9]{3})+|[0-9]+)(,[0-9]+)?"
"""A number with a decimal comma, as ``1.234,56``."""


def number(value: str, decimal: str) -> str:
    """Return SQL that reads the text ``value`` as DOUBLE; null where it is no finite number."""
    if decimal == ",":
        plain = rf"replace(regexp_replace(trim({value}), '[. ''\x{{00A0}}\x{{202F}}]', '', 'g'), ',', '.')"
        matches = f"regexp_full_match(trim({value}), {db.literal(GROUPED)})"
        return f"CASE WHEN {matches} THEN TRY_CAST({plain} AS DOUBLE) END"
    cast = f"TRY_CAST({value} AS DOUBLE)"
    return f"CASE WHEN isfinite({cast}) THEN {cast} END"


def is_word(value: str, words: Sequence[str]) -> str:
    """Return SQL that is true where the text ``value`` is empty or one of ``words``, in any case."""
    listed = ", ".join(db.literal(word.strip().lower()) for word in ("", *words))
    return f"lower(trim({value})) IN ({listed})"


def is_number(sql_type: str) -> bool:
    """Return whether ``sql_type`` is a number."""
    return any(word in sql_type for word in NUMERIC) and "INTERVAL" not in sql_type


@dataclass(frozen=True)
class Expressions:
    """Expressions of one section of config.toml over one ``table``, each under its key."""

    connection: duckdb.DuckDBPyConnection
    table: str
    section: str
    reader: ReaderSettings
    mapping: Mapping[str, str]
    numbers: dict[str, dict[str, str]] = field(default_factory=dict)
    """For each key the columns that it sees as numbers, with SQL for the number."""

    @property
    def columns(self) -> dict[str, str]:
        """Return the columns of the table with their types."""
        return db.types_of(self.connection, f"SELECT * FROM {self.table}")  # noqa: S608

    def check(self) -> None:
        """Find a way to read each expression. Raises Misuse that names the key of the first without one."""
        columns = self.columns
        for key, expression in self.mapping.items():
            self.numbers[key] = self._readable(key, expression, columns)

    def result_type(self, key: str) -> str:
        """Return the type of the values under ``key``."""
        inner = self._swapped(self.table, self.numbers[key])
        query = f"SELECT ({self.mapping[key]}\n) AS v FROM ({inner})"  # noqa: S608
        return db.types_of(self.connection, query)["v"]

    def layered(self, source: str, keys: Sequence[str], *, guarded: bool) -> str:
        """Return a query over ``source`` with a column more for each of ``keys``, named by :meth:`name`.

        Guarded values are structs: null where the expression fails, with null in the field ``v`` where it gives null.
        """
        columns, query = set(self.columns), source
        for key in keys:
            swap = self.numbers[key]
            kept = {column: self._free(columns, f"kept_{i}") for i, column in enumerate(swap)}
            back = ", ".join(f"{db.quoted(kept[c])} AS {db.quoted(c)}" for c in swap)
            names = ", ".join(db.quoted(name) for name in kept.values())
            star = f"* EXCLUDE ({names}) REPLACE ({back})" if swap else "*"
            value = f"({self.mapping[key]}\n)"
            value = f"TRY({{'v': {value}}})" if guarded else value
            inner = self._swapped(query, swap, kept)
            query = f"(SELECT {star}, {value} AS {self.name(key)} FROM ({inner}))"  # noqa: S608
        return query

    def name(self, key: str) -> str:
        """Return the column that holds the values under ``key``; no column of the table has this name."""
        return db.quoted(self._free(set(self.columns), f"mapped_{key}"))

    def value(self, key: str) -> str:
        """Return SQL for the guarded value under ``key``; null where the mapping has no such key."""
        return f"struct_extract({self.name(key)}, 'v')" if key in self.mapping else "NULL"

    def failed(self, key: str) -> str:
        """Return SQL that is true where the guarded expression under ``key`` fails."""
        return f"{self.name(key)} IS NULL" if key in self.mapping else "false"

    def _readable(self, key: str, expression: str, columns: dict[str, str]) -> dict[str, str]:
        named = db.mentioned(list(columns), expression)
        text = [name for name in named if columns[name] == "VARCHAR"][:MOST_COLUMNS]
        if key == "customer_id":  # so that the ids 007 and 7 stay two people
            text = []
        problem = ""
        for chosen in self._ways(text, numbers_first=key in NUMBERS_FIRST):
            inner = self._swapped(self.table, chosen)
            found = db.problem_with(
                self.connection, f"({inner})", f"TRY({{'v': ({expression}\n)}})"
            )
            if not found:
                return chosen
            problem = problem or found
        raise Misuse(
            f"config.toml [{self.section}] {key} = {expression!r}: {problem} "
            f"{_quoting(expression, list(columns), key)}"
            f"The file has the columns {', '.join(columns)}."
        )

    def _ways(self, text: Sequence[str], *, numbers_first: bool) -> Iterator[dict[str, str]]:
        """Give every choice of columns that are numbers; first by columns that hold nothing but numbers."""
        for share in (1.0, 0.5):
            numeric = self._numeric(text, share)
            choices = list(product((True, False), repeat=len(numeric)))
            choices.sort(key=sum, reverse=numbers_first)
            for choice in choices:
                chosen = zip(numeric.items(), choice, strict=True)
                yield {name: sql for (name, sql), taken in chosen if taken}

    def _numeric(self, text: Sequence[str], share: float) -> dict[str, str]:
        """Return those columns of which at least ``share`` of the values are numbers, with SQL for them."""
        found = {}
        for name in text:
            column = db.quoted(name)
            value = number(column, self.reader.decimal)
            counted = f"{value} IS NOT NULL OR NOT {is_word(column, self.reader.null_words)}"
            whole = r"-?(0|[1-9][0-9]{0,18})"
            ((rows, numbers, integers, padded, truths),) = self.connection.execute(
                f"""SELECT count(*) FILTER ({counted}), count({value}),
                count(*) FILTER (regexp_full_match({column}, '{whole}')
                    AND TRY_CAST({column} AS BIGINT) IS NOT NULL),
                count(*) FILTER (regexp_full_match({column}, '[+-]?0[0-9]+')),
                count(*) FILTER (lower({column}) IN ('true', 'false'))
                FROM {self.table} WHERE {column} IS NOT NULL"""  # noqa: S608
            ).fetchall()
            if not rows:
                continue
            if truths == rows:
                found[name] = f"TRY_CAST({column} AS BOOLEAN)"
            elif integers == rows:
                found[name] = f"TRY_CAST({column} AS BIGINT)"
            elif numbers >= share * rows and not (share == 1 and padded):
                found[name] = value
        return found

    @staticmethod
    def _swapped(
        source: str, swap: Mapping[str, str], kept: Mapping[str, str] | None = None
    ) -> str:
        if not swap:
            return f"SELECT * FROM {source}"  # noqa: S608
        new = ", ".join(f"{sql} AS {db.quoted(column)}" for column, sql in swap.items())
        old = "".join(f", {db.quoted(c)} AS {db.quoted(n)}" for c, n in (kept or {}).items())
        return f"SELECT * REPLACE ({new}){old} FROM {source}"  # noqa: S608

    @staticmethod
    def _free(columns: set[str], name: str) -> str:
        taken = {column.casefold() for column in columns}
        while name in taken:
            name += "_"
        return name


def _quoting(expression: str, columns: Sequence[str], key: str) -> str:
    """Return how to write a column whose name is no SQL word, if the expression means one."""
    for name in columns:
        plain = name.isidentifier() and name.isascii()
        used = not plain and name.casefold() in expression.casefold()
        used |= name.casefold() in db.reserved_words() and bool(db.mentioned([name], expression))
        if used and f'"{name}"' not in expression:
            return f"Write the column in double quotes: {key} = '\"{name}\"'. "
    return ""
