"""Plausibility checks of the input before step 1 writes it.

They look for signs of a wrong unit, sign, column, clock or feed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import TYPE_CHECKING

from sovereign_ml.config.data_tables import CheckSettings, EventTable
from sovereign_ml.config.tables import FeatureSettings
from sovereign_ml.features.history import days_needed, settings_that_fit
from sovereign_ml.pipeline.input_checks.customer_ids import shape
from sovereign_ml.pipeline.input_checks.unusable import UNUSABLE, examples

if TYPE_CHECKING:
    import duckdb

__all__ = [
    "History",
    "history",
    "notes_on_orders",
    "signs_in_events",
    "signs_of_a_fault",
    "too_many_unusable",
]

TIMES_THE_MEDIAN = 100
"""Multiple of the median customer's rows from which the biggest customer_id is suspicious.

It may be a word for no customer.
"""
TELLING = ("0", "-1", "1", "unknown", "test", "dummy", "admin", "system")
TIMES_OF_TELLING = 10
"""The same for the ids in `TELLING`, for which a tenth is enough.

They are names of customers only where they are as small as the others.
"""
WEEK, WEEKS = 7, 8
"""Length of the last span in days, and number of spans before it that show the usual volume."""
FEW = 20
"""Rows of a usual week below which a quiet week means nothing."""
WHAT_TO_DO = {
    "no_customer_id": "let customer_id in [{section}] name the customer, such as "
    '"coalesce(customer_id, lower(email))"',
    "unreadable_time": "give the format in [{section}], such as event_time = "
    "\"strptime(col, '%d.%m.%Y')\"",
    "no_rate": "add the rates before the first one of the currency to [data] rates_file",
    "unreadable_amount": "turn the notation into a number in [{section}], such as amount_eur = "
    "\"replace(replace(col, '.', ''), ',', '.')\"",
    "unreadable_value": "turn the notation into a number in [{section}], such as value = "
    "\"replace(replace(col, '.', ''), ',', '.')\"",
    "in_future": "correct the dates, or set [data] as_of to the last day of the data",
}
FAILED = "correct the expression {key} in [{section}], which fails on these rows"
"""Advice for the other reasons, which are ``unreadable_`` and the key."""


@dataclass(frozen=True)
class History:
    """The first and the last purchase that is kept."""

    first: datetime
    last: datetime

    @property
    def days(self) -> int:
        """Return the days from the first purchase to the last."""
        return (self.last - self.first).days

    def headline(self, windows: FeatureSettings) -> str:
        """Return the span in words, with advice where it is shorter than the windows need."""
        text = f"history of {self.days:,} days to {self.last:%Y-%m-%d}"
        needed = days_needed(windows)
        if self.days >= needed:
            return text
        return (
            f"{text}; {windows.cutoffs} cut-offs every {windows.every_days} days ask for "
            f"{needed:,}: [features]: {settings_that_fit(self.days, windows)}"
        )


def history(connection: duckdb.DuckDBPyConnection) -> History:
    """Return the span of the kept rows, of which there must be at least one."""
    times = connection.execute(
        "SELECT timezone('UTC', min(event_time)), timezone('UTC', max(event_time)) "
        "FROM gated WHERE reason IS NULL"
    ).fetchall()
    return History(*times[0])


def notes_on_orders(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return a note for the headline where purchases of one order_id lie more than a month apart.

    All lines of one order_id are one purchase, so those after the first one would not count.
    Returns are left out: they may well come later.
    """
    ((orders, far),) = connection.execute(
        """SELECT count(*), count(*) FILTER (newest > oldest + INTERVAL 31 DAY) FROM (
            SELECT min(event_time) AS oldest, max(event_time) AS newest FROM gated
            WHERE reason IS NULL AND amount_eur > 0 AND order_id IS NOT NULL
            GROUP BY customer_id, order_id HAVING count(*) > 1)"""
    ).fetchall()
    if far * 10 <= orders:
        return []
    return [
        f"{far:,} of {orders:,} orders of several lines go on for more than 31 days and count as "
        "one purchase each: is order_id the number of an order, and unique in all years?"
    ]


def too_many_unusable(
    read: int,
    set_aside: Mapping[str, int],
    values: Sequence[tuple[str, str, int]],
    config: CheckSettings,
    section: str = "data.columns",
) -> list[str]:
    """Return a problem where more rows than allowed cannot be used, for one reason or in total.

    A reason with a limit of its own does not count towards the total. ``section`` is the table of
    config.toml with the mapping.
    """
    own = config.max_share_of_reason
    counts = {reason: set_aside.get(reason, 0) for reason in UNUSABLE}
    problems = [
        _too_many(
            read, {reason: counts[reason]}, values, limit, f"max_share_of_reason.{reason}", section
        )
        for reason, limit in own.items()
        if counts[reason] > limit * read
    ]
    shared = {reason: n for reason, n in counts.items() if reason not in own}
    limit = config.max_unusable_share
    if sum(shared.values()) > limit * read:
        problems.append(_too_many(read, shared, values, limit, "max_unusable_share", section))
    return problems


def _too_many(
    read: int,
    counts: Mapping[str, int],
    values: Sequence[tuple[str, str, int]],
    limit: float,
    setting: str,
    section: str,
) -> str:
    total = sum(counts.values())
    each = {reason: n for reason, n in counts.items() if n}
    words = "; ".join(_with_examples(reason, n, values) for reason, n in each.items())
    what_to_do = "; ".join(
        WHAT_TO_DO.get(reason, FAILED).format(section=section, key=_key(reason)) for reason in each
    )
    return (
        f"{total:,} of {read:,} rows ({total / read:.2%}) cannot be used, [data.checks] {setting} "
        f"allows {limit:.2%}: {words}. To do: {what_to_do}"
    )


def _key(reason: str) -> str:
    key = reason.removeprefix("unreadable_")
    return "where" if key == "filter" else key


def _with_examples(reason: str, count: int, values: Sequence[tuple[str, str, int]]) -> str:
    quoted = examples(values, reason)
    return f"{count:,} {reason.replace('_', ' ')}" + (f", for example {quoted}" if quoted else "")


def signs_of_a_fault(connection: duckdb.DuckDBPyConnection, config: CheckSettings) -> list[str]:
    """Return the signs of a fault in the kept rows, in words."""
    return [
        *_signs(connection, config),
        *_biggest_customer(connection, config),
        *_unit(connection, config),
        *_old_rates(connection, config),
        *_recent_volume(connection, config),
    ]


def signs_in_events(
    connection: duckdb.DuckDBPyConnection, config: EventTable, end: datetime
) -> list[str]:
    """Return the signs of a fault in the kept rows of an event table, in words.

    ``end`` is the newest purchase (UTC).
    """
    behind = (end - history(connection).last).days
    late = [
        f"the newest event is {behind} days older than the newest purchase, max_days_behind allows "
        f"{config.max_days_behind}: people would look as if they had none since. Does the feed "
        "lag? Bring newer events, or raise the limit if they are so rare"
    ]
    return [
        *_biggest_customer(connection, config.checks),
        *(late if behind > config.max_days_behind else []),
        *_recent_volume(connection, config.checks, f"TIMESTAMPTZ '{end} UTC'"),
    ]


def _signs(connection: duckdb.DuckDBPyConnection, config: CheckSettings) -> list[str]:
    rows, negative = _counts(connection, "amount_eur < 0")
    if negative <= config.max_negative_share * rows:
        _, positive = _counts(connection, "amount_read > 0")
        # Step 3 would say that nobody bought, and blame the dates.
        return (
            []
            if positive
            else [
                f"none of {rows:,} amounts is above zero, so nobody bought anything: is amount_eur the "
                "wrong column, such as a discount?"
            ]
        )
    how_many = "all" if negative == rows else f"{negative:,} of"
    return [
        f"{how_many} {rows:,} amounts ({negative / rows:.1%}) are negative, [data.checks] "
        f"max_negative_share allows {config.max_negative_share:.0%}: a purchase is positive and a "
        "return negative. Is the sign turned, as in accounts of revenue? Then write amount_eur = "
        '"-amount"'
    ]


def _biggest_customer(connection: duckdb.DuckDBPyConnection, config: CheckSettings) -> list[str]:
    row = connection.execute(
        f"""WITH sizes AS (SELECT customer_id, count(*) AS n FROM gated WHERE reason IS NULL
            GROUP BY 1)
        SELECT max(n), median(n), sum(n), {shape("arg_max(customer_id, n)")},
            list_contains(?, lower(arg_max(customer_id, n))) FROM sizes""",  # noqa: S608
        [list(TELLING)],
    ).fetchone()
    if row is None or row[0] is None:
        return []
    most, usual, rows, looks = int(row[0]), float(row[1]), int(row[2]), str(row[3])
    # A real shop has large customers, so a size alone is no fault.
    times = TIMES_OF_TELLING if row[4] else TIMES_THE_MEDIAN
    if most <= config.max_one_customer_share * rows or most < times * usual:
        return []
    return [
        f"one customer_id (it looks like '{looks}') has {most:,} of {rows:,} rows "
        f"({most / rows:.1%}; the median customer has {usual:,.0f}), [data.checks] "
        f"max_one_customer_share allows {config.max_one_customer_share:.1%}. Is it a word for "
        "nobody, such as guests? Then add it to [data.reader] null_words, or write customer_id = "
        "\"nullif(customer_id, '…')\""
    ]


def _unit(connection: duckdb.DuckDBPyConnection, config: CheckSettings) -> list[str]:
    # An amount of zero says nothing about its unit.
    rows, small = _counts(connection, "amount_read <> 0 AND abs(amount_eur) < 0.01")
    problems = []
    if small > config.max_below_a_cent_share * rows:
        problems.append(
            f"{small:,} of {rows:,} amounts ({small / rows:.1%}) are less than a cent, "
            "[data.checks] "
            f"max_below_a_cent_share allows {config.max_below_a_cent_share:.0%}: are they in "
            "another unit, such as thousands? Then multiply in amount_eur, or correct [data.rates]"
        )
    # A computed amount may have parts of a cent, so only plain ones count.
    rows, parts = _counts(
        connection, "plain_amount AND abs(amount_read * 100 - round(amount_read * 100)) > 0.05"
    )
    if parts > config.max_parts_of_a_cent_share * rows:
        problems.append(
            f"{parts:,} of {rows:,} amounts ({parts / rows:.1%}) have parts of a cent, "
            "[data.checks] "
            f"max_parts_of_a_cent_share allows {config.max_parts_of_a_cent_share:.0%}: are they "
            'prices of a piece, or in another unit? If they are right, write amount_eur = "round('
            'amount, 2)"'
        )
    return problems


def _old_rates(connection: duckdb.DuckDBPyConnection, config: CheckSettings) -> list[str]:
    limit = config.max_rate_age_days
    ((old, rows, oldest, example),) = connection.execute(
        """SELECT count(*) FILTER (rate_age > ?), count(*), max(rate_age), arg_max(rate_seen, rate_age)
        FROM gated WHERE reason IS NULL""",
        [limit],
    ).fetchall()
    if not old:
        return []
    return [
        f"{old:,} of {rows:,} purchases have a rate to EUR of more than {limit} days before, such "
        f"as {example} with one of {oldest:,} days before: add newer rates to [data] rates_file, "
        "or raise [data.checks] max_rate_age_days if rates change so rarely"
    ]


def _recent_volume(
    connection: duckdb.DuckDBPyConnection,
    config: CheckSettings,
    end: str = "max(event_time) OVER ()",
) -> list[str]:
    """Return a problem where the last week has far fewer rows than the eight before it."""
    rows = connection.execute(
        f"""SELECT CAST(floor(age / {WEEK}) AS INTEGER) AS week, count(*) FROM (
            SELECT (epoch({end}) - epoch(event_time)) / 86400 AS age
            FROM gated WHERE reason IS NULL) GROUP BY week"""  # noqa: S608
    ).fetchall()
    counts = {int(week): int(n) for week, n in rows}
    # A feed that lags leaves a thin end.
    recent = counts.get(0, 0)
    # The median, because a week of a sale or a holiday is not usual.
    usual = median(counts.get(week, 0) for week in range(1, WEEKS + 1))
    # A short history is compared with nothing: half of the weeks before would be empty.
    if max(counts, default=0) <= WEEKS or usual < FEW:
        return []
    if recent >= config.min_recent_volume * usual:
        return []
    return [
        f"the last {WEEK} days have {recent:,} rows, a usual week has {usual:,.0f} "
        f"({recent / usual:.0%}; [data.checks] min_recent_volume asks for "
        f"{config.min_recent_volume:.0%}): does a feed lag, or is a date wrong? Wait for the data, "
        "correct the date, or set [data] as_of to the last whole day"
    ]


def _counts(connection: duckdb.DuckDBPyConnection, condition: str) -> tuple[int, int]:
    """Return the kept rows, and those of them for which ``condition`` holds."""
    row = connection.execute(
        f"SELECT count(*), count(*) FILTER ({condition}) FROM gated WHERE reason IS NULL"  # noqa: S608
    ).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)
