"""Content of one column: empty values, numbers and their notation, dates and their order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sovereign_ml.pipeline.suggest.proposal import Candidate
from sovereign_ml.storage import duckdb as db
from sovereign_ml.storage import instants
from sovereign_ml.storage.expressions import is_number
from sovereign_ml.storage.time_formats import formats_of

if TYPE_CHECKING:
    import duckdb

__all__ = ["ColumnValues", "TimeReading", "profile", "read_times"]

SYMBOLS = (
    r"[€$£\s\x{00A0}\x{2007}\x{2009}\x{202F}\x{0027}\x{2019}]|EUR|USD|GBP|CHF|PLN|SEK|NOK|DKK|CZK|"
    r"HUF|RON|BGN|kr[.]?|zł|Kč|Ft|lei|лв[.]?"
)
"""Signs of money and of thousands that may stand beside the digits of an amount."""
MINUS = "\N{MINUS SIGN}\N{EN DASH}"
"""The signs of a spreadsheet and of a printed list that stand for the minus of a keyboard."""
RARE = 0.002
"""Share of the values below which a notation is a slip and not a format of the file."""
EXCEL_DAYS = (20_000, 60_000)
"""Days since 1899-12-30 from 1954 to 2064, the form in which a spreadsheet stores a date."""


@dataclass(frozen=True)
class ColumnValues:
    """Counts over one column of the file."""

    name: str
    sql_type: str
    rows: int
    filled: int
    distinct: int
    numbers: int
    negative: int
    comma: int
    point: int
    comma_groups: int
    point_groups: int
    after_sign: int
    in_brackets: int
    with_symbol: int

    @property
    def sql(self) -> str:
        """Return the column as an SQL expression, quoted unless its name is a plain word.

        SQL's own words are quoted too.
        """
        plain = self.name.isidentifier() and self.name.isascii()
        plain = plain and self.name.lower() not in db.reserved_words()
        return self.name if plain else db.quoted(self.name)

    @property
    def is_numeric(self) -> bool:
        """Return whether nearly all values are numbers in some notation."""
        return self.filled > 0 and self.numbers >= 0.95 * self.filled

    def number(self, decimal: str) -> str:
        """Return SQL for the column as a number, the column itself if the reader can read it."""
        if not self.filled:  # such as refunds in a month without any; a later file may have some
            return f"TRY_CAST({self.sql} AS DOUBLE)"
        foreign = self.comma_groups or self.comma if decimal == "." else False
        if is_number(self.sql_type) or not (
            foreign or self.after_sign or self.in_brackets or self.with_symbol
        ):
            return self.sql
        text = self.sql
        if self.with_symbol:
            # Nothing else is taken away: what is left of "5,00 Storno" is no number and is set
            # aside, as a purchase it would be the opposite.
            text = f"regexp_replace(translate({text}, '{MINUS}', '--'), '{SYMBOLS}', '', 'g')"
        # Bookkeeping writes a negative amount as 12.50- or (12.50).
        if self.after_sign or self.in_brackets:
            text = f"regexp_replace({text}, '^[(]?(.*?)[-)]$', '-\\1')"
        if decimal == ",":
            text = f"replace(replace({text}, '.', ''), ',', '.')"
        elif foreign:
            text = f"replace({text}, ',', '')"
        return f"CAST({text} AS DOUBLE)"


@dataclass(frozen=True)
class TimeReading:
    """A reading of a column as a time.

    It has several candidates where the file does not tell which one is right.
    """

    candidates: Sequence[Candidate]
    readable: float
    has_zone: bool
    has_clock: bool
    why: Sequence[str] = ()


def profile(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, ColumnValues]:
    """Return the counts of each column of ``table``."""
    return {
        name: _profile(connection, table, name, kind)
        for name, kind in db.types_of(connection, f"SELECT * FROM {table}").items()  # noqa: S608
    }


def _profile(
    connection: duckdb.DuckDBPyConnection, table: str, name: str, kind: str
) -> ColumnValues:
    # A date such as 12.05.2026 has the marks of a number too.
    date = r"[0-9]{1,4}[./-][0-9]{1,2}[./-][0-9]{2,4}.*"
    fits = "regexp_full_match(x, '{}')".format
    rows = connection.execute(
        rf"""SELECT count(*), count(v), count(DISTINCT v), count(*) FILTER (is_number),
            count(*) FILTER (is_number AND {fits(r"-.*|[(].*|.*-")}),
            count(*) FILTER (is_number AND {fits(r".*[0-9],([0-9]{1,2}|[0-9]{4,})[-)]?")}),
            count(*) FILTER (is_number AND {fits(r".*[0-9][.]([0-9]{1,2}|[0-9]{4,})[-)]?")}),
            count(*) FILTER (is_number AND {fits(r"[-+(]?[0-9]{1,3}(,[0-9]{3})+([.][0-9]*)?[-)]?")}),
            count(*) FILTER (is_number AND {fits(r"[-+(]?[0-9]{1,3}([.][0-9]{3})+(,[0-9]*)?[-)]?")}),
            count(*) FILTER (is_number AND {fits(r".*-")}),
            count(*) FILTER (is_number AND {fits(r"[(].*[)]")}),
            count(*) FILTER (is_number AND x <> v)
        FROM (SELECT v, x, coalesce({fits(r"[-+(]?[0-9][0-9.,]*[-)]?")} AND NOT {fits(date)}, false)
            AS is_number FROM (SELECT v,
            regexp_replace(translate(v, '{MINUS}', '--'), '{SYMBOLS}', '', 'g') AS x FROM (
                SELECT nullif(trim(CAST({db.quoted(name)} AS VARCHAR)), '') AS v FROM {table})))"""  # noqa: S608
    ).fetchall()
    return ColumnValues(name, kind, *(int(n) for n in rows[0]))


def read_times(
    connection: duckdb.DuckDBPyConnection, table: str, column: ColumnValues
) -> TimeReading | None:
    """Return the reading of ``column`` as a time, None where it holds no times."""
    # The file has types, or DuckDB's reader has recognised the times already.
    if column.sql_type.startswith(("TIMESTAMP", "DATE")):
        zone = column.sql_type in instants.WITH_ZONE
        return TimeReading([Candidate(column.sql)], 1.0, zone, column.sql_type != "DATE")
    shapes = connection.execute(
        rf"""SELECT regexp_replace(regexp_replace(v, '[0-9]+', '9', 'g'), '[A-Za-z]+', 'a', 'g') AS s,
            count(*) AS n, arg_max(v, length(v)), min(length(v)), max(length(v))
        FROM (SELECT nullif(trim(CAST({db.quoted(column.name)} AS VARCHAR)), '') AS v FROM {table})
        WHERE v IS NOT NULL GROUP BY s ORDER BY n DESC, s LIMIT 12"""  # noqa: S608
    ).fetchall()
    if not shapes:
        return None
    numbers = str(shapes[0][0]) in ("9", "9.9")
    if numbers and (is_whole(shapes[0][2]) or re.match(r"\d{5}\.", str(shapes[0][2]))):
        return _from_numbers(connection, table, column, str(shapes[0][2]))
    common = [shape for shape in shapes if int(shape[1]) > RARE * column.filled]
    return _from_text(connection, table, column, [(str(s[0]), str(s[2])) for s in common])


def is_whole(value: object) -> bool:
    """Return whether the text ``value`` is a whole number, also in the form 1700000000.0."""
    return re.fullmatch(r"\d+(\.0*)?", str(value)) is not None


def _from_numbers(
    connection: duckdb.DuckDBPyConnection, table: str, column: ColumnValues, sample: str
) -> TimeReading | None:
    digits = sample.split(".", maxsplit=1)[0]
    text = column.sql if column.sql_type == "VARCHAR" else f"CAST({column.sql} AS VARCHAR)"
    # As seconds since 1970 such a number would be a day of that year, so it is a date.
    if len(digits) in (8, 14) and digits[:2] in ("19", "20"):
        form = "%Y%m%d" if len(digits) == 8 else "%Y%m%d%H%M%S"
        expression = f"strptime({text}, '{form}')"
        share = _readable(connection, table, column, expression)
        if share > 0.9:
            return TimeReading([Candidate(expression)], share, False, len(digits) == 14, (form,))
    if hint := instants.epoch_hint(digits, column.sql):
        # Timestamps of our time have these numbers of digits.
        unit = {10: "seconds", 13: "milliseconds", 16: "microseconds", 19: "nanoseconds"}
        why = f"{unit.get(len(digits), 'parts of a second')} since 1970"
        return TimeReading([Candidate(hint)], 1.0, True, True, (why,))
    if len(digits) == 5 and EXCEL_DAYS[0] <= int(digits) <= EXCEL_DAYS[1]:
        start, evidence = "TIMESTAMP '1899-12-30'", ("days of a spreadsheet",)
        if is_whole(sample):
            days = f"{start} + to_days(CAST({column.sql} AS INTEGER))"
            return TimeReading([Candidate(days)], 1.0, False, False, evidence)
        # A fraction of a day is not exact as a float, so it is rounded to a second.
        seconds = f"{start} + to_seconds(CAST(round({column.sql} * 86400) AS BIGINT))"
        return TimeReading([Candidate(seconds)], 1.0, False, True, evidence)
    return None


def _from_text(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    column: ColumnValues,
    shapes: Sequence[tuple[str, str]],
) -> TimeReading | None:
    """Return the reading of text, with a format for each frequent shape."""
    samples = [sample for _, sample in shapes]
    if not any(re.search(r"\d{4}|\d\D+\d", sample) for sample in samples):
        return None
    iso = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([ T]\d.*)?")
    if all(iso.fullmatch(sample) for sample in samples):
        share = _readable(connection, table, column, column.sql)
        zone = all(re.fullmatch(instants.ZONE, sample) for sample in samples)
        clock = any(":" in sample for sample in samples)
        if share > 0.9:
            order = ("year, month, day",)
            return TimeReading([Candidate(column.sql)], share, zone, clock, order)
    by_shape = {shape: formats for shape, sample in shapes if (formats := formats_of(sample))}
    if not by_shape:
        return None
    certain: list[str] = []
    undecided: list[tuple[str, str]] = []
    why: list[str] = []
    for shape, formats in by_shape.items():
        if len(formats) == 1:
            certain.append(formats[0])
            continue
        # Day and month are told apart by the values of the whole column.
        places = _order(connection, table, column, shape)
        if places.year_first and "%y" in formats[0]:
            with_year_first = re.sub("%[dy]", lambda m: "%y" if m[0] == "%d" else "%d", formats[0])
            undecided.append((with_year_first, formats[0]))
            why.append(f"the year may be the first number or the last one of {places.example}")
        elif places.mixed or places.unknown:
            undecided.append((formats[0], formats[1]))
            why.append(places.words)
        else:
            certain.append(formats[0] if places.day_first else formats[1])
            why.append(places.words)
    day_first = [*certain, *(pair[0] for pair in undecided)]
    candidates = [_reading(column, day_first, undecided and _first_part(undecided[0][0]))]
    if undecided:
        month_first = [*certain, *(pair[1] for pair in undecided)]
        candidates.append(_reading(column, month_first, _first_part(undecided[0][1])))
    shares = [_readable(connection, table, column, str(c.value)) for c in candidates]
    if max(shares) < 0.5:
        return None
    marked = [
        Candidate(c.value, f"{c.evidence}: reads {share:.1%} of the values" if undecided else "")
        for c, share in zip(candidates, shares, strict=True)
    ]
    every = " ".join(certain + [pair[0] for pair in undecided])
    return TimeReading(
        marked, max(shares), "%z" in every or "%Z" in every, "%H" in every or "%I" in every, why
    )


def _first_part(form: str) -> str:
    """Return in words which part of a date comes first in the format."""
    first = re.search("%([dmyYbB])", form)
    parts = {"d": "day first", "y": "year first", "Y": "year first"}
    return parts.get(first[1], "month first") if first else ""


def _reading(column: ColumnValues, formats: Sequence[str], evidence: object) -> Candidate:
    unique = list(dict.fromkeys(formats))
    form = db.literal(unique[0])
    if len(unique) > 1:
        form = f"[{', '.join(db.literal(f) for f in unique)}]"
    return Candidate(f"strptime({column.sql}, {form})", str(evidence or ""))


@dataclass(frozen=True)
class _DayMonth:
    """Number of values that can only be day first, and of those that can only be month first."""

    day_only: int
    month_only: int
    year_first: bool
    """Whether the first number may be a year of two digits: it varies less than the last one."""
    separator: str
    example: str

    @property
    def mixed(self) -> bool:
        return bool(self.day_only and self.month_only)

    @property
    def unknown(self) -> bool:
        # Dots stand in dates of countries that write the day first, and in no others.
        return not (self.day_only or self.month_only or self.separator == ".")

    @property
    def day_first(self) -> bool:
        return not self.month_only

    @property
    def words(self) -> str:
        """Return the evidence."""
        if self.mixed:
            return (
                f"{self.day_only:,} dates can only be day first and {self.month_only:,} only month "
                "first: two notations in one column"
            )
        if self.unknown:
            return f"no day is above 12, so {self.example} has two readings"
        if not (self.day_only or self.month_only):
            return "day first, as dates with dots are; no day is above 12"
        first, n = ("day", self.day_only) if self.day_first else ("month", self.month_only)
        return f"{first} first: {n:,} dates can be nothing else"


def _order(
    connection: duckdb.DuckDBPyConnection, table: str, column: ColumnValues, shape: str
) -> _DayMonth:
    # Dates alone are shown: a date without the row that it stands in is nobody's.
    row = connection.execute(
        # The example has two different numbers, because 05.05. reads the same both ways.
        rf"""SELECT count(*) FILTER (a > 12 AND b <= 12), count(*) FILTER (b > 12 AND a <= 12),
            coalesce(count(DISTINCT a) < count(DISTINCT c) AND max(b) <= 12 AND max(c) <= 31, false),
            coalesce(min(v) FILTER (a <> b), min(v)) FROM (
            SELECT v, TRY_CAST(regexp_extract(v, '^([0-9]+)', 1) AS INTEGER) AS a,
                TRY_CAST(regexp_extract(v, '^[0-9]+[^0-9]+([0-9]+)', 1) AS INTEGER) AS b,
                TRY_CAST(regexp_extract(v, '^([0-9]+[^0-9]+){{2}}([0-9]+)', 2) AS INTEGER) AS c
            FROM (SELECT nullif(trim(CAST({db.quoted(column.name)} AS VARCHAR)), '') AS v FROM {table})
            WHERE regexp_replace(regexp_replace(v, '[0-9]+', '9', 'g'), '[A-Za-z]+', 'a', 'g') = ?)""",  # noqa: S608
        [shape],
    ).fetchone()
    day, month, year_first, example = row or (0, 0, False, "")
    return _DayMonth(int(day), int(month), bool(year_first), shape[1:2], str(example))


def _readable(
    connection: duckdb.DuckDBPyConnection, table: str, column: ColumnValues, expression: str
) -> float:
    """Return the share of the values that ``expression`` reads as a time."""
    time = f"TRY_CAST(TRY({expression}) AS TIMESTAMPTZ)"
    if db.problem_with(connection, table, time):
        return 0.0
    return db.count(connection, table, f"{time} IS NOT NULL") / column.filled
