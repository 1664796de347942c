"""Point-in-time features and labels in SQL: strictly before the cut-off, and strictly after it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from churn.contract import FEATURES, WINDOWS
from sovereign_ml.config.tables import FeatureSettings
from sovereign_ml.errors import Refused
from sovereign_ml.storage import duckdb as db

if TYPE_CHECKING:
    import duckdb


def cutoffs(last_event: datetime, config: FeatureSettings) -> tuple[list[datetime], datetime]:
    """Return the labelled cut-offs, oldest first, and the day of the current snapshot, all at midnight UTC.

    The last day is taken as unfinished, so the newest label window ends at its start.
    """
    last_day = last_event.replace(hour=0, minute=0, second=0, microsecond=0)
    newest = last_day - timedelta(days=config.horizon_days)
    labelled = [
        newest - timedelta(days=config.every_days * i) for i in reversed(range(config.cutoffs))
    ]
    return labelled, last_day + timedelta(days=1)


def load(valid: Path) -> duckdb.DuckDBPyConnection:
    """Return a connection with the table ``lines`` (customer_id, ts in UTC, amount_eur, category)."""
    connection = db.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(
        "CREATE TABLE lines AS SELECT customer_id, event_time AT TIME ZONE 'UTC' AS ts, amount_eur, category "
        "FROM read_parquet(?)",
        [str(valid / "transactions.parquet")],
    )
    return connection


def last_event(connection: duckdb.DuckDBPyConnection) -> datetime:
    """Return the newest event. Raises Refused if there is none."""
    row = connection.execute("SELECT max(ts) FROM lines").fetchone()
    if row is None or row[0] is None:
        raise Refused("No valid transaction: there is nothing to compute features from.")
    result: datetime = row[0]
    return result


def compute(
    connection: duckdb.DuckDBPyConnection, cuts: list[datetime], config: FeatureSettings
) -> None:
    """Make the table ``snapshots``: one row for each cut-off and customer who bought in the days before it.

    Only lines in [cut-off - lookback, cut-off) are looked at. Money is summed as decimals, so that the result does
    not depend on the order in which threads add. A feature that has no meaning for somebody is null.
    """
    connection.execute("CREATE OR REPLACE TABLE cuts (cut TIMESTAMP)")
    connection.executemany("INSERT INTO cuts VALUES (?)", [[cut] for cut in cuts])
    connection.execute(
        "CREATE OR REPLACE TABLE seen AS SELECT cut, lines.* FROM cuts JOIN lines "  # noqa: S608
        f"ON ts < cut AND ts >= cut - INTERVAL {config.lookback_days} DAY"
    )
    connection.execute(
        "CREATE OR REPLACE TABLE orders AS SELECT cut, customer_id, ts, sum(amount_eur) AS amount, "
        "lag(ts) OVER (PARTITION BY cut, customer_id ORDER BY ts) AS previous "
        "FROM seen WHERE amount_eur > 0 GROUP BY cut, customer_id, ts"
    )
    connection.execute(_SNAPSHOTS.format(windows=_windows(), active=config.active_within_days))
    names = ", ".join(
        f.name if f.dtype == "string" else f"CAST({f.name} AS DOUBLE) AS {f.name}" for f in FEATURES
    )
    connection.execute(
        f"CREATE OR REPLACE TABLE snapshots AS SELECT customer_id, cut AS event_timestamp, {names} "  # noqa: S608
        "FROM wide ORDER BY cut, customer_id"
    )


def label(connection: duckdb.DuckDBPyConnection, horizon_days: int) -> None:
    """Make the table ``labels``: 1 for no purchase in [cut-off, cut-off + horizon), for everyone in ``snapshots``."""
    connection.execute(
        f"""CREATE OR REPLACE TABLE labels AS SELECT customer_id, event_timestamp, CAST(NOT EXISTS (
            SELECT 1 FROM lines WHERE lines.customer_id = s.customer_id AND amount_eur > 0
            AND ts >= s.event_timestamp AND ts < s.event_timestamp + INTERVAL {horizon_days} DAY
        ) AS INTEGER) AS churned FROM snapshots s ORDER BY ALL"""  # noqa: S608
    )


def _windows() -> str:
    inside = "ts >= cut - INTERVAL {} DAY"
    counts = [f"count(*) FILTER ({inside.format(d)}) AS purchase_count_{d}d" for d in WINDOWS]
    return ", ".join(counts)


_SNAPSHOTS = """
CREATE OR REPLACE TABLE wide AS
WITH bought AS (
    SELECT cut, customer_id, {windows}, count(*) AS n, max(ts) AS last_at, min(ts) AS first_at,
        arg_max(previous, ts) AS before_last, sum(amount) AS total
    FROM orders GROUP BY cut, customer_id HAVING max(ts) >= cut - INTERVAL {active} DAY
), money AS (
    SELECT cut, customer_id, count(*) AS lines, count(*) FILTER (amount_eur < 0) AS returned,
        coalesce(sum(amount_eur) FILTER (ts >= cut - INTERVAL 7 DAY), 0) AS revenue_eur_7d,
        coalesce(sum(amount_eur) FILTER (ts >= cut - INTERVAL 30 DAY), 0) AS revenue_eur_30d,
        coalesce(sum(amount_eur) FILTER (ts >= cut - INTERVAL 90 DAY), 0) AS revenue_eur_90d,
        coalesce(sum(amount_eur) FILTER (ts >= cut - INTERVAL 180 DAY), 0) AS revenue_eur_180d
    FROM seen GROUP BY cut, customer_id
), taste AS (
    SELECT cut, customer_id, category, count(*) AS lines,
        row_number() OVER (PARTITION BY cut, customer_id ORDER BY count(*) DESC, category NULLS LAST) AS rank
    FROM seen WHERE amount_eur > 0 GROUP BY cut, customer_id, category
), likes AS (
    SELECT cut, customer_id, max(category) FILTER (rank = 1) AS preferred_category,
        max(lines) FILTER (rank = 1) / sum(lines) AS category_share
    FROM taste GROUP BY cut, customer_id
), timed AS (
    SELECT *, epoch(cut - last_at) / 86400 AS recency_days, epoch(cut - first_at) / 86400 AS tenure_days,
        CASE WHEN n > 1 THEN epoch(last_at - first_at) / 86400 / (n - 1) END AS mean_gap_days,
        epoch(last_at - before_last) / 86400 AS last_gap_days
    FROM bought
)
SELECT timed.*, money.* EXCLUDE (cut, customer_id, lines, returned), total / n AS avg_order_value_eur,
    CASE WHEN n > 1 THEN recency_days / greatest(mean_gap_days, 1) END AS recency_over_gap,
    category_share, preferred_category, returned / money.lines AS returns_share
FROM timed JOIN money USING (cut, customer_id) JOIN likes USING (cut, customer_id)
"""
