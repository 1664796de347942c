"""Point-in-time features and labels in SQL.

Features look only at what lies before the cut-off, the label only at what lies at or after it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import duckdb
from sovereign_ml.config.tables import FeatureEngine, FeatureSettings, LabelKind
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.features import event_tables, queries

from churn.contract import FEATURES, WINDOWS


def cutoffs(last_event: datetime, config: FeatureSettings) -> tuple[list[datetime], datetime]:
    """Return the labelled cut-offs, oldest first, and the day of the current snapshot.

    All are at midnight UTC. The last day of the data counts as unfinished, so the newest label
    window ends at its start.
    """
    last_day = last_event.replace(hour=0, minute=0, second=0, microsecond=0)
    newest = last_day - timedelta(days=config.horizon_days)
    labelled = [
        newest - timedelta(days=config.every_days * i) for i in reversed(range(config.cutoffs))
    ]
    return labelled, last_day + timedelta(days=1)  # features may use the unfinished day, labels not


def tables(valid: Path, kind: LabelKind = "no_purchase") -> dict[str, str]:
    """Return a SELECT over the files of step 2 for each table, with times in UTC."""
    selects = {
        "lines": "SELECT customer_id, event_time AT TIME ZONE 'UTC' AS ts, amount_eur, category, "
        "order_number FROM valid_transactions"
    }
    if kind == "ended":
        selects["contracts"] = (
            "SELECT customer_id, started_at AT TIME ZONE 'UTC' AS started_at, "
            "ended_at AT TIME ZONE 'UTC' AS ended_at FROM valid_customers"
        )
    return selects | event_tables.selects(valid, FEATURES)


def load(
    valid: Path, kind: LabelKind = "no_purchase", engine: FeatureEngine = "duckdb"
) -> duckdb.DuckDBPyConnection:
    """Return a connection with the tables. For Spark, which reads them itself, they are views."""
    return queries.open_tables(valid, tables(valid, kind), engine)


def history(connection: duckdb.DuckDBPyConnection) -> tuple[datetime, datetime]:
    """Return the times of the first and last transaction. Raises Refused if there is none."""
    first, last = connection.execute("SELECT min(ts), max(ts) FROM lines").fetchall()[0]
    if last is None:
        raise Refused("No valid transaction: there is nothing to compute features from.")
    return first, last


def compute(
    connection: duckdb.DuckDBPyConnection,
    cuts: list[datetime],
    config: FeatureSettings,
    kind: LabelKind = "no_purchase",
) -> None:
    """Make the table ``snapshots``: a row for each cut-off and customer active before it."""
    event_tables.past(connection, config.lookback_days)
    queries.fill(connection, snapshot(config, kind), cuts)


def for_spark(valid: Path, config: FeatureSettings, kind: LabelKind) -> queries.FeatureQueries:
    """Return the queries of this module, which Spark gets in its own dialect."""
    selects = tables(valid, kind)
    views = event_tables.past_selects(selects, config.lookback_days)
    labels = label_query(config.horizon_days, kind)
    return queries.FeatureQueries(valid, selects, views, snapshot(config, kind), labels)


def snapshot(config: FeatureSettings, kind: LabelKind) -> str:
    """Return the SELECT of the customers active before the cut-off, the variable ``cut``.

    Active is who bought in the last ``active_within_days``. With ``kind`` "ended" it is who bought
    within the lookback and has a contract that started before the cut-off and did not end
    before it.

    Only lines in [cut-off - lookback, cut-off) count. Money is summed as decimals, so that the
    result does not depend on the order in which threads add. Lines of one order number are one
    purchase, at the time of its first line; without a number, lines at the same time. A feature is
    null for a customer for whom it has no meaning. Raises Misuse for a window that is longer than
    the lookback.
    """
    if max(WINDOWS) > config.lookback_days:
        raise Misuse(
            f"WINDOWS in contract.py reaches back {max(WINDOWS)} days, and [features] "
            f"lookback_days is {config.lookback_days}: raise it, or take that window out."
        )
    sql = _WIDE.format(
        lookback=config.lookback_days,
        counts=_per_window("count(*) FILTER ({}) AS purchase_count_{}d"),
        sums=_per_window("coalesce(sum(amount_eur) FILTER ({}), 0) AS revenue_eur_{}d"),
        active=config.lookback_days if kind == "ended" else config.active_within_days,
    )
    names = ", ".join(  # decimals end here, because Feast and the model take doubles
        f.name if f.dtype == "string" else f"CAST({f.name} AS DOUBLE) AS {f.name}" for f in FEATURES
    )
    running = _RUNNING if kind == "ended" else ""
    return f"SELECT customer_id, cut AS event_timestamp, {names} FROM ({sql}) AS wide {running}"  # noqa: S608


def label(
    connection: duckdb.DuckDBPyConnection, horizon_days: int, kind: LabelKind = "no_purchase"
) -> None:
    """Make the table ``labels``: ``churned`` of everyone in ``snapshots``."""
    connection.execute(f"CREATE OR REPLACE TABLE labels AS {label_query(horizon_days, kind)}")


def label_query(horizon_days: int, kind: LabelKind) -> str:
    """Return the SELECT of the labels.

    1 means no purchase in [cut-off, cut-off + ``horizon_days``), or with ``kind`` "ended" that the
    contract ended in it. An end has no trace in the transactions, so a cut-off whose horizon the
    transactions do not reach has no such label.
    """
    if kind == "ended":
        return f"""SELECT customer_id, event_timestamp, CAST(coalesce(
                ended_at < event_timestamp + INTERVAL {horizon_days} DAY, false
            ) AS INTEGER) AS churned FROM snapshots JOIN contracts USING (customer_id)
            WHERE event_timestamp + INTERVAL {horizon_days} DAY <= (SELECT max(ts) FROM lines)
            ORDER BY ALL"""  # noqa: S608
    return f"""SELECT customer_id, event_timestamp, CAST(bought IS NULL AS INTEGER) AS churned
        FROM snapshots LEFT JOIN (
            SELECT DISTINCT CAST(customer_id AS VARCHAR) AS customer_id, event_timestamp,
                true AS bought
            FROM (SELECT DISTINCT event_timestamp FROM snapshots) JOIN lines ON amount_eur > 0
            AND ts >= event_timestamp AND ts < event_timestamp + INTERVAL {horizon_days} DAY
        ) USING (customer_id, event_timestamp) ORDER BY ALL"""  # noqa: S608


def _per_window(expression: str) -> str:
    """Return ``expression`` once for each window of the contract, as columns of a SELECT."""
    return ", ".join(
        expression.format(f"ts >= getvariable('cut') - INTERVAL {days} DAY", days)
        for days in WINDOWS
    )


# One row for each customer at the cut-off, which is a variable of the connection. `past` holds
# every line before it, `orders` the purchases among them. Every feature of contract.py is a column.
_WIDE = """
WITH past AS (
    SELECT * FROM lines WHERE ts < getvariable('cut')
    AND ts >= getvariable('cut') - INTERVAL {lookback} DAY
), orders AS (
    SELECT customer_id, order_number, min(ts) AS ts, sum(amount_eur) AS amount
    FROM past WHERE amount_eur > 0
    GROUP BY customer_id, order_number, CASE WHEN order_number IS NULL THEN ts END
), bought AS (
    SELECT customer_id, {counts}, count(*) AS n, sum(amount) AS total,
        min(ts) AS first_at, max(ts) AS last_at, max(ts, 2)[2] AS before_last
    FROM orders GROUP BY customer_id HAVING max(ts) >= getvariable('cut') - INTERVAL {active} DAY
), money AS (
    SELECT customer_id, {sums}, count(*) FILTER (amount_eur < 0) / count(*) AS returns_share
    FROM past GROUP BY customer_id
), taste AS (
    SELECT customer_id, category, count(*) AS lines
    FROM past WHERE amount_eur > 0 GROUP BY customer_id, category
), preference AS (
    SELECT customer_id,
        first(category ORDER BY lines DESC, category NULLS LAST) AS preferred_category,
        max(lines) / sum(lines) AS category_share
    FROM taste GROUP BY customer_id
), timed AS (
    SELECT *, getvariable('cut') AS cut, total / n AS avg_order_value_eur,
        epoch(getvariable('cut') - last_at) / 86400 AS recency_days,
        epoch(getvariable('cut') - first_at) / 86400 AS tenure_days,
        epoch(last_at - before_last) / 86400 AS last_gap_days,
        CASE WHEN n > 1 THEN epoch(last_at - first_at) / 86400 / (n - 1) END AS mean_gap_days
    FROM bought
)
SELECT CAST(timed.customer_id AS VARCHAR) AS customer_id, timed.* EXCLUDE (customer_id),
    money.* EXCLUDE (customer_id), preference.* EXCLUDE (customer_id),
    CASE WHEN n > 1 THEN recency_days / greatest(mean_gap_days, 1) END AS recency_over_gap
FROM timed JOIN money USING (customer_id) JOIN preference USING (customer_id)
"""

# Joined to `wide`: the contract runs at the cut-off.
_RUNNING = """SEMI JOIN contracts ON wide.customer_id = contracts.customer_id
AND (started_at IS NULL OR started_at < cut) AND (ended_at IS NULL OR ended_at >= cut)"""
