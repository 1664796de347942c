"""Purchases as step 2 leaves them, made in SQL in no time."""

from __future__ import annotations

from pathlib import Path

import duckdb

from sovereign_ml.config.tables import FeatureSettings

CONFIG = FeatureSettings(
    cutoffs=3, every_days=30, horizon_days=30, active_within_days=90, lookback_days=365
)


def shop(folder: Path, people: int = 120) -> Path:
    """The artifact of step 2 with some hundred purchases, at odd seconds, over 500 days."""
    folder.mkdir(parents=True)
    path = folder / "transactions.parquet"
    duckdb.execute(
        f"""COPY (SELECT md5((hash(range, 1) % {people})::VARCHAR) AS customer_id,
        TIMESTAMPTZ '2025-01-01 00:00:00+00' + to_seconds((hash(range, 2) % 43200000)::BIGINT)
            AS event_time,
        CAST(CASE WHEN hash(range, 3) % 20 = 0 THEN -1 ELSE 1 END
            * (hash(range, 4) % 20000 / 100 + 0.01) AS DECIMAL(18, 2)) AS amount_eur,
        ['Paper', 'home', 'gifts'][CAST(1 + hash(range, 5) % 3 AS INTEGER)] AS category,
        CAST(NULL AS INTEGER) AS order_number
        FROM range({people * 12})) TO '{path}' (FORMAT parquet)"""
    )
    (folder / "summary.json").write_text("{}")
    return folder
