"""Values of rows that cannot be used, each with its reason and number of rows.

A person may look at them. A value alone belongs to nobody: no id, no other column and no row number
is beside it. So nothing here is personal data, and erasure and retention have nothing to find.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sovereign_ml.storage import duckdb as db

if TYPE_CHECKING:
    import duckdb

__all__ = ["UNUSABLE", "examples", "seen_columns", "shown", "values", "write_values"]

UNUSABLE = (
    "unreadable_filter",
    "unreadable_customer_id",
    "unreadable_category",
    "unreadable_order_id",
    "unreadable_kind",
    "no_customer_id",
    "unreadable_time",
    "no_rate",
    "unreadable_amount",
    "unreadable_value",
    "in_future",
)
"""Reasons that are faults of the file, and not decisions about a person."""
FILE = "set_aside.csv"
MOST = 1000
"""Number of different values written for each reason, enough to see every pattern."""
LONGEST = 40
WORDS = re.compile(
    r"(?i)[a-z]{1,3}|january|february|march|april|june|july|august|september|october|november"
    r"|december|(mon|tues|wednes|thurs|fri|satur|sun)day|sept|null|none"
)
"""Words that may be shown as they are: parts of a date, a currency, a word for nothing."""


def seen_columns(
    columns: Sequence[str], mapping: Mapping[str, str], event_time: str, amount: str, id_: str
) -> str:
    """Return SQL for ``amount_read``, ``plain_amount`` and the source text of unread values.

    ``event_time``, ``amount`` and ``id_`` are SQL for the values that were read. The source text is
    that of the columns that the expression of ``mapping`` names. The amount of an event table is
    its value.
    """
    written = mapping.get("amount_eur") or mapping.get("value", "")
    # An amount is plain if it is a column as it stands: what is computed may well have parts of a
    # cent.
    plain = written.strip().strip('"').lower() in {name.lower() for name in columns}
    return (
        f"{amount} AS amount_read, "
        f"{plain} AS plain_amount, "
        f"CASE WHEN {id_} IS NULL THEN {_as_text(columns, mapping['customer_id'])} END AS id_seen, "
        f"CASE WHEN {event_time} IS NULL "
        f"THEN {_as_text(columns, mapping['event_time'])} END AS time_seen, "
        # DECIMAL(18, 2) of the contract holds amounts below 1e16.
        f"CASE WHEN NOT coalesce(isfinite({amount}) AND abs({amount}) < 1e16, false) "
        f"THEN {_as_text(columns, written)} END AS amount_seen"
    )


def _as_text(columns: Sequence[str], expression: str) -> str:
    quoted = (name.replace('"', '""') for name in db.mentioned(columns, expression))
    named = [f"""coalesce(CAST("{name}" AS VARCHAR), '')""" for name in quoted]
    return f"concat_ws(' | ', {', '.join(named)})" if named else "NULL"


def values(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str, int]]:
    """Return reason, value and number of rows, the most frequent value of each reason first."""
    rows = connection.execute(
        """SELECT reason, coalesce(CASE reason WHEN 'no_customer_id' THEN id_seen
            WHEN 'unreadable_time' THEN time_seen WHEN 'no_rate' THEN rate_seen
            WHEN 'unreadable_amount' THEN amount_seen WHEN 'unreadable_value' THEN amount_seen
            WHEN 'in_future' THEN strftime(event_time, '%Y-%m-%d') END, '') AS seen, count(*) AS n,
            bool_or(trim(coalesce(time_seen, amount_seen, '')) IN (
                SELECT customer_id FROM mapped WHERE customer_id IS NOT NULL
                UNION ALL SELECT customer_id FROM people WHERE customer_id IS NOT NULL)) AS is_id
        FROM gated WHERE list_contains(?, reason) GROUP BY 1, 2
        QUALIFY row_number() OVER (PARTITION BY reason ORDER BY n DESC, seen) <= ?
        ORDER BY reason, n DESC, seen""",
        [list(UNUSABLE), MOST],
    ).fetchall()
    counts: dict[tuple[str, str], int] = {}
    for reason, value, n, is_id in rows:
        # A customer id in the column of a time or an amount would name a person, so its shape is
        # shown.
        key = str(reason), shown(str(value), hide=bool(is_id))
        counts[key] = counts.get(key, 0) + int(n)
    return [(reason, value, n) for (reason, value), n in counts.items()]


def examples(unusable: Sequence[tuple[str, str, int]], reason: str, count: int = 3) -> str:
    """Return up to ``count`` values of a reason for a message, empty without any."""
    matching = [value for name, value, _ in unusable if name == reason]
    return ", ".join(repr(value) for value in list(dict.fromkeys(matching))[:count])


def write_values(unusable: Sequence[tuple[str, str, int]], folder: Path, name: str = FILE) -> None:
    """Write ``set_aside.csv``: reason, value, rows."""
    with (folder / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("reason", "value", "rows"))
        writer.writerows(unusable)


def shown(value: str, *, hide: bool) -> str:
    """Return the value, or its shape where it may be a name, an address or a misplaced id."""
    text = " ".join(value.split())[:LONGEST]
    if hide or "@" in text:
        text = re.sub(r"\d", "9", text)
    return re.sub(
        r"[^\W\d_]+",
        lambda word: word[0] if WORDS.fullmatch(word[0]) and not hide else "a" * len(word[0]),
        text,
    )
