"""Contract of the event tables beside the transactions, and the rows a cut-off may see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.features import queries
from sovereign_ml.project import Column, Feature

if TYPE_CHECKING:
    import duckdb

__all__ = [
    "COLUMNS",
    "PREFIX",
    "check_history",
    "columns",
    "forget_from",
    "names",
    "past",
    "past_selects",
    "selects",
]

PREFIX = "events_"
"""Prefix of a table's name in the artifacts of steps 1 and 2, and in the SQL of step 3."""
COLUMNS = (
    Column("customer_id", "string", "key", pattern=r"^[0-9a-f]{32}\Z"),
    Column("event_time", "timestamp", "time", minimum="1995-01-01", maximum="2100-01-01"),
    Column("kind", "string", "feature", nullable=True, pattern=r"^[^\r\n]{1,64}\Z"),
    Column("value", "float", "feature", nullable=True),
)
"""Columns of every event table that the project's TABLES do not describe."""


def names(folder: Path, prefix: str = PREFIX) -> list[str]:
    """Return the names, ``prefix`` included, of the event tables among the files of ``folder``.

    The files are in Parquet.
    """
    return sorted(path.stem for path in folder.glob(f"{prefix}*.parquet"))


def columns(raw: Path, tables: Mapping[str, tuple[Column, ...]]) -> dict[str, tuple[Column, ...]]:
    """Return the columns of each table of step 1, including the event tables in ``raw``.

    ``tables`` holds the project's own columns. Raises Misuse for an event table of ``tables`` that
    config.toml does not map.
    """
    there = names(raw)
    if missing := [name for name in tables if name.startswith(PREFIX) and name not in there]:
        raise Misuse(
            f"TABLES in contract.py has {missing[0]}, and config.toml has no "
            f"[data.events.{missing[0].removeprefix(PREFIX)}]."
        )
    return dict.fromkeys(there, COLUMNS) | dict(tables)


def selects(valid: Path, features: Sequence[Feature]) -> dict[str, str]:
    """Return a SELECT for each event table, ``events_<name>``: customer_id, ts (UTC), kind, value.

    Raises Misuse where a feature needs a table that is not mapped, and for a table that no feature
    uses.
    """
    there = names(valid)
    used = {f"{PREFIX}{f.source}": f.name for f in features if f.source != "transactions"}
    for name in [name for name in used if name not in there]:
        raise Misuse(
            f"The feature {used[name]} in contract.py has source={name.removeprefix(PREFIX)!r}: "
            "map that table "
            f"in config.toml, [data.events.{name.removeprefix(PREFIX)}], and run step 1 again."
        )
    for short in [name.removeprefix(PREFIX) for name in there if name not in used]:
        # GDPR 5(1)(c): data that nobody needs must not be read.
        raise Misuse(
            f"[data.events.{short}] is read and no feature is made from it: declare one in "
            "contract.py "
            f'with source="{short}", or take the table out of config.toml.'
        )
    return {
        name: "SELECT customer_id, event_time AT TIME ZONE 'UTC' AS ts, "  # noqa: S608
        f"CAST(kind AS VARCHAR) AS kind, CAST(value AS DOUBLE) AS value FROM {queries.FILES}{name}"
        for name in there
    }


def past_selects(tables: Iterable[str], lookback_days: int) -> dict[str, str]:
    """Return a SELECT for each event table of ``tables``, ``past_<name>``.

    It holds what a feature may look at: the events in [cut-off - lookback, cut-off), where the
    cut-off is the variable ``cut``.
    """
    cut = "CAST(getvariable('cut') AS TIMESTAMP)"
    return {
        f"past_{name.removeprefix(PREFIX)}": f"SELECT * FROM {name} WHERE ts < {cut} "  # noqa: S608
        f"AND ts >= {cut} - INTERVAL {lookback_days} DAY"
        for name in tables
        if name.startswith(PREFIX)
    }


def past(connection: duckdb.DuckDBPyConnection, lookback_days: int) -> None:
    """Make the views of `past_selects` on the connection. They follow the variable ``cut``."""
    for name, select in past_selects(_loaded(connection), lookback_days).items():
        connection.execute(f"CREATE OR REPLACE VIEW {name} AS {select}")


def forget_from(connection: duckdb.DuckDBPyConnection, moment: datetime) -> None:
    """Delete the events at ``moment`` (UTC) or later, as if they were not known yet."""
    for name in _loaded(connection):
        connection.execute(f"DELETE FROM {name} WHERE ts >= ?", [moment])  # noqa: S608


def check_history(connection: duckdb.DuckDBPyConnection, oldest: datetime) -> None:
    """Raise Refused for an event table that begins after the ``oldest`` cut-off (UTC)."""
    for name in _loaded(connection):
        ((first,),) = connection.execute(f"SELECT min(ts) FROM {name}").fetchall()  # noqa: S608
        # Everybody at that cut-off would look like somebody without events, and the model would
        # learn from it.
        if first is None or first >= oldest:
            begins = f"begins on {first:%Y-%m-%d}" if first else "has no valid event"
            raise Refused(
                f"The event table {name.removeprefix(PREFIX)} {begins}, and the oldest cut-off is "
                f"{oldest:%Y-%m-%d}: "
                "people of earlier cut-offs would look as if they had none. Bring older events, or "
                "lower "
                "[features] cutoffs."
            )


def _loaded(connection: duckdb.DuckDBPyConnection) -> list[str]:
    rows = connection.execute(
        "SELECT table_name FROM information_schema.tables "
        "WHERE starts_with(table_name, ?) ORDER BY ALL",
        [PREFIX],
    )
    return [str(row[0]) for row in rows.fetchall()]
