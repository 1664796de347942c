"""The team's SQL expressions over a table of text: which columns an expression needs as numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

from sovereign_ml.config.data_tables import ReaderSettings
from sovereign_ml.errors import Misuse
from sovereign_ml.storage import duckdb as db
from sovereign_ml.storage.csv_records import is_row

if TYPE_CHECKING:
    import duckdb

NUMBERS_FIRST = ("where", "amount_eur", "value", "consent", "birth_year")
"""Keys whose columns are read as numbers if possible. Other keys see text if possible."""
NUMERIC = ("INT", "DOUBLE", "FLOAT", "DECIMAL", "BIGNUM")
MOST_COLUMNS = 6
"""Largest number of columns of one expression for which all combinations of types are tried."""
GROUPS = r". '\x{00A0}\x{2007}\x{2009}\x{202F}\x{2019}"
"""Marks between thousands where the comma is the decimal mark."""
GROUPED = rf"[+-]?([0-9]{{1,3}}([{GROUPS}][0-9]{{3}})+|[0-9]+)(,[0-9]+)?"
"""A number with a decimal comma, as ``1.234,56``."""

SPACES = "' ' || chr(9) || chr(160)"
"""SQL of the characters around a text that are no part of it."""


def number(value: str, decimal: str) -> str:
    """Return SQL that reads the text ``value`` as DOUBLE, null unless it is a finite number."""
    # Spreadsheets in the Nordic languages write the minus sign of typography.
    value = f"replace({value}, '\N{MINUS SIGN}', '-')"
    if decimal == ",":
        digits = f"regexp_replace(trim({value}), {db.literal(f'[{GROUPS}]')}, '', 'g')"
        plain = f"replace({digits}, ',', '.')"
        matches = f"regexp_full_match(trim({value}), {db.literal(GROUPED)})"
        return f"CASE WHEN {matches} THEN TRY_CAST({plain} AS DOUBLE) END"
    cast = f"TRY_CAST({value} AS DOUBLE)"
    return f"CASE WHEN isfinite({cast}) THEN {cast} END"


def as_word(value: str) -> str:
    """Return SQL for ``value`` as text without spaces around it, null where nothing is left.

    In a column of fixed width, "books" and "books   " would be two categories.
    """
    return f"nullif(trim(CAST({value} AS VARCHAR), {SPACES}), '')"


def is_word(value: str, words: Sequence[str]) -> str:
    """Return SQL that is true where ``value`` is empty or one of ``words``, in any letter case."""
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
        """Find types with which each expression works. Raises Misuse for the first without any."""
        columns = self.columns
        for key, expression in self.mapping.items():
            self.numbers[key] = self._readable(key, expression, columns)

    def result_type(self, key: str) -> str:
        """Return the type of the values under ``key``."""
        inner = self._swapped(self.table, self.numbers[key])
        query = f"SELECT ({self.mapping[key]}\n) AS v FROM ({inner})"  # noqa: S608
        return db.types_of(self.connection, query)["v"]

    def layered(self, source: str, keys: Sequence[str], *, guarded: bool) -> str:
        """Return a query over ``source`` with a column for each of ``keys``, named by :meth:`name`.

        Guarded values are structs: null where the expression fails, and with null in the field
        ``v`` where it gives null.
        """
        columns, query = set(self.columns), source
        for key in keys:
            swap = self.numbers[key]
            originals = {column: self._free(columns, f"kept_{i}") for i, column in enumerate(swap)}
            back = ", ".join(f"{db.quoted(originals[c])} AS {db.quoted(c)}" for c in swap)
            names = ", ".join(db.quoted(name) for name in originals.values())
            star = f"* EXCLUDE ({names}) REPLACE ({back})" if swap else "*"
            # The line break ends a comment (--) at the end of the expression.
            value = f"({self.mapping[key]}\n)"
            value = f"TRY({{'v': {value}}})" if guarded else value
            # The expression sees these columns as numbers. Afterwards they get their text back.
            inner = self._swapped(query, swap, originals)
            query = f"(SELECT {star}, {value} AS {self.name(key)} FROM ({inner}))"  # noqa: S608
        return query

    def name(self, key: str) -> str:
        """Return the name of the column with the values under ``key``, unused in the table."""
        return db.quoted(self._free(set(self.columns), f"mapped_{key}"))

    def value(self, key: str) -> str:
        """Return SQL for the guarded value under ``key``, null if the mapping lacks the key."""
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
            failure = db.problem_with(
                self.connection, f"({inner})", f"TRY({{'v': ({expression}\n)}})"
            )
            if not failure:
                return chosen
            problem = problem or failure
        if is_row(columns):  # values, which DuckDB proposes as names
            problem = problem.split(" Candidate bindings")[0]
        raise Misuse(
            f"config.toml [{self.section}] {key} = {expression!r}: {problem} "
            f"{_quoting(expression, list(columns), key)}"
            f"The file {db.columns_in_words(list(columns))}."
        )

    def _ways(self, text: Sequence[str], *, numbers_first: bool) -> Iterator[dict[str, str]]:
        """Yield every choice of columns to read as numbers, first among purely numeric columns.

        Columns without any value, such as the refunds of a month that has none, come last.
        """
        for share, empty in ((1.0, False), (0.5, False), (1.0, True), (0.5, True)):
            numeric = self._numeric(text, share, empty=empty)
            choices = list(product((True, False), repeat=len(numeric)))
            choices.sort(key=sum, reverse=numbers_first)
            for choice in choices:
                chosen = zip(numeric.items(), choice, strict=True)
                yield {name: sql for (name, sql), as_number in chosen if as_number}

    def _numeric(self, text: Sequence[str], share: float, *, empty: bool) -> dict[str, str]:
        """Return the columns with at least this ``share`` of numbers, each with its SQL.

        With ``empty`` the columns without any value are among them.
        """
        numeric = {}
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
                if empty:
                    numeric[name] = value
                continue
            if truths == rows:
                numeric[name] = f"TRY_CAST({column} AS BOOLEAN)"
            elif integers == rows:
                numeric[name] = f"TRY_CAST({column} AS BIGINT)"
            # Numbers with leading zeros, such as 007, are most likely codes.
            elif numbers >= share * rows and not (share == 1 and padded):
                numeric[name] = value
        return numeric

    @staticmethod
    def _swapped(
        source: str, swap: Mapping[str, str], originals: Mapping[str, str] | None = None
    ) -> str:
        if not swap:
            return f"SELECT * FROM {source}"  # noqa: S608
        new = ", ".join(f"{sql} AS {db.quoted(column)}" for column, sql in swap.items())
        old = "".join(f", {db.quoted(c)} AS {db.quoted(n)}" for c, n in (originals or {}).items())
        return f"SELECT * REPLACE ({new}){old} FROM {source}"  # noqa: S608

    @staticmethod
    def _free(columns: set[str], name: str) -> str:
        names = {column.casefold() for column in columns}
        while name in names:
            name += "_"
        return name


def _quoting(expression: str, columns: Sequence[str], key: str) -> str:
    """Return advice to quote a column whose name needs it, if the expression names one."""
    for name in columns:
        plain = name.isidentifier() and name.isascii()
        used = not plain and name.casefold() in expression.casefold()
        used |= name.casefold() in db.reserved_words() and bool(db.mentioned([name], expression))
        if used and f'"{name}"' not in expression:
            return f"Write the column in double quotes: {key} = '\"{name}\"'. "
    return ""
