"""Point-in-time features and labels in SQL.

Features look only at what lies before the cut-off, the label only at what lies at or after it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import duckdb
from sovereign_ml.config.tables import FeatureSettings, LabelKind
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.features import event_tables
from sovereign_ml.storage import duckdb as db

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
    return labelled, last_day + timedelta(days=1)


def load(valid: Path, kind: LabelKind = "no_purchase") -> duckdb.DuckDBPyConnection:
    """Return a connection with the table ``lines``: valid transactions, with ``ts`` in UTC.

    For the label ``ended`` there is also ``contracts``: start and end of each customer's contract.
    """
    connection = db.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(
        "CREATE TABLE lines AS SELECT customer_id, event_time AT TIME ZONE 'UTC' AS ts, "
        "amount_eur, category, order_number FROM read_parquet(?)",
        [str(valid / "transactions.parquet")],
    )
    if kind == "ended":
        connection.execute(
            "CREATE TABLE contracts AS SELECT customer_id, "
            "started_at AT TIME ZONE 'UTC' AS started_at, ended_at AT TIME ZONE 'UTC' AS ended_at "
            "FROM read_parquet(?)",
            [str(valid / "customers.parquet")],
        )
    event_tables.load(connection, valid, FEATURES)
    return connection


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
    """Make the table ``snapshots``: a row for each cut-off and customer active before it.

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
    connection.execute("CREATE OR REPLACE TABLE cuts (cut TIMESTAMP)")
    connection.executemany("INSERT INTO cuts VALUES (?)", [[cut] for cut in cuts])
    connection.execute(
        "CREATE OR REPLACE TABLE past AS SELECT cut, lines.* FROM cuts JOIN lines "  # noqa: S608
        f"ON ts < cut AND ts >= cut - INTERVAL {config.lookback_days} DAY"
    )
    event_tables.past(connection, config.lookback_days)
    connection.execute(
        "CREATE OR REPLACE TABLE orders AS SELECT *, "
        "lag(ts) OVER (PARTITION BY cut, customer_id ORDER BY ts, order_number) AS previous FROM ("
        "SELECT cut, customer_id, order_number, min(ts) AS ts, sum(amount_eur) AS amount "
        "FROM past WHERE amount_eur > 0 GROUP BY cut, customer_id, order_number, "
        "CASE WHEN order_number IS NULL THEN ts END)"
    )
    sql = _WIDE.format(
        counts=_per_window("count(*) FILTER ({}) AS purchase_count_{}d"),
        sums=_per_window("coalesce(sum(amount_eur) FILTER ({}), 0) AS revenue_eur_{}d"),
        active=config.lookback_days if kind == "ended" else config.active_within_days,
    )
    connection.execute(sql)
    names = ", ".join(
        f.name if f.dtype == "string" else f"CAST({f.name} AS DOUBLE) AS {f.name}" for f in FEATURES
    )
    running = _RUNNING if kind == "ended" else ""
    connection.execute(
        "CREATE OR REPLACE TABLE snapshots AS "  # noqa: S608  names of the contract
        f"SELECT customer_id, cut AS event_timestamp, {names} FROM wide {running} "
        "ORDER BY cut, customer_id"
    )


def label(
    connection: duckdb.DuckDBPyConnection, horizon_days: int, kind: LabelKind = "no_purchase"
) -> None:
    """Make the table ``labels``: ``churned`` of everyone in ``snapshots``.

    1 means no purchase in [cut-off, cut-off + ``horizon_days``), or with ``kind`` "ended" that the
    contract ended in it. An end has no trace in the transactions, so a cut-off whose horizon the
    transactions do not reach has no such label.
    """
    if kind == "ended":
        connection.execute(
            f"""CREATE OR REPLACE TABLE labels AS
            SELECT customer_id, event_timestamp, CAST(coalesce(
                ended_at < event_timestamp + INTERVAL {horizon_days} DAY, false
            ) AS INTEGER) AS churned FROM snapshots JOIN contracts USING (customer_id)
            WHERE event_timestamp + INTERVAL {horizon_days} DAY <= (SELECT max(ts) FROM lines)
            ORDER BY ALL"""  # noqa: S608
        )
        return
    connection.execute(
        f"""CREATE OR REPLACE TABLE labels AS
        SELECT customer_id, event_timestamp, CAST(NOT EXISTS (
            SELECT 1 FROM lines WHERE lines.customer_id = s.customer_id AND amount_eur > 0
            AND ts >= s.event_timestamp AND ts < s.event_timestamp + INTERVAL {horizon_days} DAY
        ) AS INTEGER) AS churned FROM snapshots s ORDER BY ALL"""  # noqa: S608
    )


def _per_window(expression: str) -> str:
    """Return ``expression`` once for each window of the contract, as columns of a SELECT."""
    return ", ".join(
        expression.format(f"ts >= cut - INTERVAL {days} DAY", days) for days in WINDOWS
    )


# One row for each cut-off and customer. `past` holds every line before the cut-off, `orders` the
# purchases among them. Every feature of contract.py is a column here.
_WIDE = """
CREATE OR REPLACE TABLE wide AS
WITH bought AS (
    SELECT cut, customer_id, {counts}, count(*) AS n, sum(amount) AS total,
        min(ts) AS first_at, max(ts) AS last_at,
        last(previous ORDER BY ts, order_number) AS before_last
    FROM orders GROUP BY cut, customer_id HAVING max(ts) >= cut - INTERVAL {active} DAY
), money AS (
    SELECT cut, customer_id, {sums},
        count(*) FILTER (amount_eur < 0) / count(*) AS returns_share
    FROM past GROUP BY cut, customer_id
), taste AS (
    SELECT cut, customer_id, category, count(*) AS lines,
        row_number() OVER (
            PARTITION BY cut, customer_id ORDER BY count(*) DESC, category NULLS LAST
        ) AS rank
    FROM past WHERE amount_eur > 0 GROUP BY cut, customer_id, category
), preference AS (
    SELECT cut, customer_id, max(category) FILTER (rank = 1) AS preferred_category,
        max(lines) FILTER (rank = 1) / sum(lines) AS category_share
    FROM taste GROUP BY cut, customer_id
), timed AS (
    SELECT *, total / n AS avg_order_value_eur,
        epoch(cut - last_at) / 86400 AS recency_days,
        epoch(cut - first_at) / 86400 AS tenure_days,
        epoch(last_at - before_last) / 86400 AS last_gap_days,
        CASE WHEN n > 1 THEN epoch(last_at - first_at) / 86400 / (n - 1) END AS mean_gap_days
    FROM bought
)
SELECT timed.*, money.* EXCLUDE (cut, customer_id), preference.* EXCLUDE (cut, customer_id),
    CASE WHEN n > 1 THEN recency_days / greatest(mean_gap_days, 1) END AS recency_over_gap
FROM timed JOIN money USING (cut, customer_id) JOIN preference USING (cut, customer_id)
"""

# Joined to `wide`: the contract runs at the cut-off.
_RUNNING = """SEMI JOIN contracts ON wide.customer_id = contracts.customer_id
AND (started_at IS NULL OR started_at < cut) AND (ended_at IS NULL OR ended_at >= cut)"""
