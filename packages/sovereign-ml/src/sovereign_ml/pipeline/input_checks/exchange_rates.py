"""Rates to EUR: constant ones of ``[data.rates]``, and daily ones of a file."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sovereign_ml.config.data_tables import DataSettings, ReaderSettings
from sovereign_ml.errors import Misuse
from sovereign_ml.storage import instants
from sovereign_ml.storage.csv_records import CsvRecords
from sovereign_ml.storage.expressions import Expressions, as_word
from sovereign_ml.storage.file_format import format_of

if TYPE_CHECKING:
    import duckdb

__all__ = ["check", "joined", "load"]

COLUMNS = ("currency", "date", "rate")
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
"""A number with a decimal point. A comma is refused, because 0,885 could be thousands."""
EUR = "EUR"


@dataclass(frozen=True)
class DatedRate:
    """EUR for one unit of ``currency`` from ``day`` on, and the place where it is written."""

    currency: str
    day: date
    rate: float
    place: str


def load(
    connection: duckdb.DuckDBPyConnection, config: DataSettings, paths: Sequence[Path]
) -> None:
    """Make the table ``exchange_rates``: EUR per unit of a currency, and its first day.

    ``paths`` are the files of ``[data] rates_file``. A constant rate holds on every day. Raises
    Misuse for a line that is no rate, and for a currency that has two rates for one day.
    """
    dated = [rate for path in paths for rate in _read(path)]
    _refuse_doubles(dated, config)
    _refuse_future(dated, config)
    changing = [rate for rate in dated if rate.currency != EUR]
    # A file may list EUR at 1, which makes EUR a known currency.
    constant = dict(config.rates) | ({EUR: 1.0} if len(dated) > len(changing) else {})
    connection.execute(
        """CREATE OR REPLACE TABLE exchange_rates AS SELECT unnest(?::VARCHAR[]) AS currency,
            CAST(unnest(?::VARCHAR[]) AS DATE) AS since, unnest(?::DOUBLE[]) AS rate,
            unnest(?::VARCHAR[]) AS place""",
        [
            [*constant, *(rate.currency for rate in changing)],
            # A first day before all others lets the ASOF join find a constant rate on every day.
            ["-infinity"] * len(constant) + [rate.day.isoformat() for rate in changing],
            [*constant.values(), *(rate.rate for rate in changing)],
            [""] * len(constant) + [rate.place for rate in changing],
        ],
    )


def _read(path: Path) -> Iterator[DatedRate]:
    """Yield the rates of one file. Raises Misuse that names the first line that is no rate."""
    if not path.is_file():
        raise Misuse(f"No file {path}: set [data] rates_file in config.toml.")
    if (file_format := format_of(path)) == "parquet":
        raise Misuse(f"{path} is Parquet: rates are read from a CSV file.")
    records = CsvRecords(path, file_format, ReaderSettings())
    header = [name.casefold() for name in records.columns]
    if sorted(header) != sorted(COLUMNS):
        raise Misuse(
            f"{path.name} has the columns {', '.join(records.columns)}: a file of rates has "
            f"{', '.join(COLUMNS)} and no other, the rate in EUR for one unit."
        )
    for line, row in records.numbered():
        values = dict(zip(header, (value.strip() for value in row), strict=True))
        yield _rate(values, f"{path.name} line {line}")


def _rate(values: dict[str, str], place: str) -> DatedRate:
    currency, day, number = (values[name] for name in COLUMNS)
    if not currency:
        raise Misuse(f"{place}: the currency is empty.")
    try:
        # Python also reads 20260131 and 2026-W05-6, which may be slips.
        since = date.fromisoformat(day if DAY.fullmatch(day) else "")
    except ValueError:
        raise Misuse(f"{place}: the date is {day!r}: write a day such as 2026-01-31.") from None
    rate = float(number) if NUMBER.fullmatch(number) else math.nan
    if not (math.isfinite(rate) and rate > 0):
        raise Misuse(
            f"{place}: the rate is {number!r}: write EUR for one unit as a number above zero with "
            "a decimal point, such as 0.0885."
        )
    if currency == EUR and rate != 1:
        raise Misuse(f"{place}: the rate of EUR is {number}: one EUR is 1 EUR.")
    return DatedRate(currency, since, rate, place)


def _refuse_doubles(dated: Sequence[DatedRate], config: DataSettings) -> None:
    """Raise Misuse for a second rate of a currency for one day."""
    places: dict[tuple[str, date], str] = {}
    for rate in dated:
        key = rate.currency, rate.day
        if key in places:
            raise Misuse(
                f"{rate.place}: {rate.currency} has a rate for {rate.day} already, in "
                f"{places[key]}. Keep one of them."
            )
        places[key] = rate.place
        # A constant rate is one for every day.
        constant = config.rates.get(rate.currency)
        if constant is not None and (rate.currency, constant) != (EUR, 1.0):
            raise Misuse(
                f"{rate.place}: {rate.currency} has a constant rate in config.toml [data.rates] "
                "too. Take it out there, or out of the file."
            )


def _refuse_future(dated: Sequence[DatedRate], config: DataSettings) -> None:
    """Raise Misuse for a currency all of whose rates are after the end of the data."""
    # The day begins 14 hours earlier in the easternmost zone.
    end = config.as_of or (datetime.now(UTC) + timedelta(hours=14)).date()
    first: dict[str, DatedRate] = {}
    for rate in dated:
        earliest = first.setdefault(rate.currency, rate)
        first[rate.currency] = min(earliest, rate, key=lambda candidate: candidate.day)
    for rate in first.values():
        if rate.day > end:
            raise Misuse(
                f"{rate.place}: the first rate of {rate.currency} is of {rate.day}, after "
                f"{'[data] as_of' if config.as_of else 'today'}, {end}: add the earlier ones, or "
                "correct the date."
            )


def joined(read: Expressions, rows: str, fate: str) -> str:
    """Return a query over ``rows`` with the rate of each row's day and the first day of that rate.

    The columns are ``read.name("rate")`` and ``read.name("since")``. The day of a purchase is the
    one in ``[data] timezone``, which the connection has. ``fate`` is null for rows that count.
    """
    if "currency" not in read.mapping:
        return rows
    currency = as_word(read.value("currency"))
    day = f"CAST(TRY_CAST({instants.as_read(read)} AS TIMESTAMPTZ) AS DATE)"
    # The table `used_rates` has each currency and day once: a join of every row with the rates
    # before its day would sort the whole file.
    read.connection.execute(
        f"""CREATE OR REPLACE TABLE used_rates AS SELECT used.*, rate, since FROM (
            SELECT {currency} AS code, {day} AS day, count(*) FILTER ({fate} IS NULL) AS n
            FROM {rows} GROUP BY ALL) AS used
        ASOF LEFT JOIN exchange_rates ON code = currency AND day >= since"""  # noqa: S608
    )
    names = f"u.rate AS {read.name('rate')}, u.since AS {read.name('since')}"
    return (
        f"(SELECT s.*, {names} FROM {rows} AS s LEFT JOIN used_rates AS u "  # noqa: S608
        f"ON u.code = {currency} AND u.day = {day})"
    )


def check(connection: duckdb.DuckDBPyConnection, config: DataSettings) -> None:
    """Raise Misuse for a currency without any rate for its purchases.

    The table ``used_rates`` has the days of the purchases. Single purchases before the first rate
    are set aside.
    """
    currencies = "SELECT DISTINCT currency FROM exchange_rates"
    unknown = connection.execute(
        f"""SELECT coalesce(nullif(code, ''), '(empty)'), sum(n) FROM used_rates
        WHERE n > 0 AND (code IS NULL OR code NOT IN ({currencies})) GROUP BY 1 ORDER BY 1"""  # noqa: S608
    ).fetchall()
    # Leaving these rows out would bias the model by country.
    if unknown:
        names = ", ".join(str(code) for code, _ in unknown[:5])
        codes = [str(row[0]) for row in connection.execute(f"{currencies} ORDER BY ALL").fetchall()]
        also = f" and {config.rates_file}" if config.rates_file else ""
        raise Misuse(
            f"No rate to EUR for the currency {names}: [data.rates] in config.toml{also} "
            f"{'know' if also else 'knows'} {', '.join(codes)}. "
            f"{sum(int(n) for _, n in unknown):,} rows have none."
        )
    late = connection.execute(
        """SELECT code, total, newest, since, place FROM (
            SELECT code, sum(n) AS total, max(day) FILTER (n > 0) AS newest FROM used_rates
            WHERE day IS NOT NULL GROUP BY code HAVING total > 0 AND count(rate) FILTER (n > 0) = 0)
        JOIN exchange_rates ON code = currency
        QUALIFY row_number() OVER (PARTITION BY code ORDER BY since) = 1 ORDER BY code"""
    ).fetchall()
    for code, total, newest, since, place in late:
        raise Misuse(
            f"{place}: the first rate of {code} is of {since}, and the newest of its "
            f"{int(total):,} purchases is of {newest}: add the earlier rates."
        )
