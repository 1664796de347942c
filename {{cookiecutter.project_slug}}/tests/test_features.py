"""Features look only at the past, the label only at the future."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from sovereign_ml.config.tables import FeatureSettings

from churn import features
from churn.contract import FEATURES

CUT = datetime(2026, 1, 1)
DAY = timedelta(days=1)
CONFIG = FeatureSettings(
    cutoffs=3, every_days=30, horizon_days=30, active_within_days=90, lookback_days=365
)
ANNA, BEN = "a" * 32, "b" * 32
NAMES = [feature.name for feature in FEATURES]
Line = tuple[str, datetime, float, str | None]


def loaded(tmp_path: Path, lines: list[Line]) -> duckdb.DuckDBPyConnection:
    """Return a connection with ``lines`` as the valid transactions."""
    table = pd.DataFrame(lines, columns=["customer_id", "event_time", "amount_eur", "category"])
    table["event_time"] = pd.to_datetime(table["event_time"], utc=True)
    # A column of None alone has no type in Parquet.
    table["order_number"] = pd.Series([None] * len(table), dtype="Int32")
    tmp_path.mkdir(exist_ok=True)
    table.to_parquet(tmp_path / "transactions.parquet", index=False)
    return features.load(tmp_path)


def snapshot(tmp_path: Path, lines: list[Line]) -> pd.DataFrame:
    """Return the features of everyone in ``lines`` at the cut-off."""
    connection = loaded(tmp_path, lines)
    features.compute(connection, [CUT], CONFIG)
    return connection.execute("FROM snapshots ORDER BY customer_id").df()


def random_lines(seed: int, start: datetime, days: int) -> list[Line]:
    """Return 300 lines of 40 customers, returns and lines without a category among them."""
    rng = np.random.default_rng(seed)
    categories = [None, "books", "toys", "wine"]
    return [
        (
            f"{rng.integers(40):032x}",
            start + timedelta(seconds=int(rng.integers(days * 86_400))),
            round(float(rng.normal(20, 15)), 2),
            categories[rng.integers(len(categories))],
        )
        for _ in range(300)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_a_purchase_at_or_after_the_cut_off_changes_no_feature(tmp_path: Path, seed: int) -> None:
    past = random_lines(seed, CUT - 365 * DAY, 365)
    future = random_lines(seed + 100, CUT, 60)
    at_the_cut_off = [(customer, CUT, 99.0, "toys") for customer, *_ in past]
    before = snapshot(tmp_path / "past", past)
    after = snapshot(tmp_path / "both", past + future + at_the_cut_off)
    # Two empty tables would be equal as well.
    assert len(before)
    pd.testing.assert_frame_equal(before, after)


def test_a_purchase_before_the_cut_off_changes_features(tmp_path: Path) -> None:
    line = (ANNA, CUT - 20 * DAY, 30.0, "books")
    more = (ANNA, CUT - timedelta(seconds=1), 30.0, "books")
    before = snapshot(tmp_path / "before", [line])
    assert not before.equals(snapshot(tmp_path / "after", [line, more]))


def test_the_features_are_those_of_a_table_computed_by_hand(tmp_path: Path) -> None:
    lines: list[Line] = [
        (ANNA, CUT - 30 * DAY, 30.0, "books"),
        (ANNA, CUT - 10 * DAY, 50.0, "toys"),
        (ANNA, CUT - 5 * DAY, -10.0, "toys"),
    ]
    by_hand = {
        "recency_days": 10,  # a return is no purchase
        "tenure_days": 30,
        "purchase_count_7d": 0,
        "purchase_count_30d": 2,  # a window holds its first day
        "purchase_count_90d": 2,
        "revenue_eur_7d": -10,
        "revenue_eur_30d": 70,
        "revenue_eur_180d": 70,
        "avg_order_value_eur": 40,
        "mean_gap_days": 20,
        "last_gap_days": 20,
        "recency_over_gap": 0.5,
        "category_share": 0.5,
        "returns_share": 1 / 3,
        "preferred_category": "books",  # of two that are equal, the first by name
    }
    row = snapshot(tmp_path, lines).iloc[0]
    for name in by_hand.keys() & set(NAMES):
        assert row[name] == pytest.approx(by_hand[name]), name


def test_one_purchase_leaves_what_needs_two_of_them_empty(tmp_path: Path) -> None:
    row = snapshot(tmp_path, [(ANNA, CUT - DAY, 10.0, None)]).iloc[0]
    for feature in FEATURES:
        assert feature.missing_allowed or not pd.isna(row[feature.name]), feature.name


def test_a_customer_who_has_not_bought_for_long_is_not_in_the_snapshot(tmp_path: Path) -> None:
    lines: list[Line] = [
        # The window of 90 days includes its first moment.
        (ANNA, CUT - 90 * DAY, 10.0, "books"),
        (BEN, CUT - 91 * DAY, 10.0, "books"),
    ]
    assert list(snapshot(tmp_path, lines)["customer_id"]) == [ANNA]


@pytest.mark.parametrize("seed", range(5))
def test_every_feature_stays_in_the_range_of_the_contract(tmp_path: Path, seed: int) -> None:
    table = snapshot(tmp_path, random_lines(seed, CUT - 365 * DAY, 365))
    for feature in FEATURES:
        values = table[feature.name]
        assert feature.missing_allowed or values.notna().all(), feature.name
        if feature.dtype == "float":
            low = -np.inf if feature.minimum is None else feature.minimum
            high = np.inf if feature.maximum is None else feature.maximum
            assert values.dropna().between(low, high).all(), feature.name


@pytest.mark.parametrize(
    ("after", "amount", "churned"),
    [
        (timedelta(0), 10.0, 0),
        (29 * DAY, 10.0, 0),
        (30 * DAY - timedelta(seconds=1), 10.0, 0),
        (30 * DAY, 10.0, 1),
        (29 * DAY, -10.0, 1),
    ],
)
def test_the_label_is_no_purchase_in_the_horizon(
    tmp_path: Path, after: timedelta, amount: float, churned: int
) -> None:
    lines: list[Line] = [(ANNA, CUT - DAY, 10.0, "books"), (ANNA, CUT + after, amount, "books")]
    connection = loaded(tmp_path, lines)
    features.compute(connection, [CUT], CONFIG)
    features.label(connection, CONFIG.horizon_days)
    assert connection.execute("SELECT churned FROM labels").fetchall() == [(churned,)]


def test_the_newest_label_window_ends_before_the_unfinished_last_day() -> None:
    last = datetime(2026, 6, 30, 17, 5)
    labelled, current = features.cutoffs(last, CONFIG)
    assert labelled == sorted(labelled)
    assert len(labelled) == CONFIG.cutoffs
    assert labelled[-1] + timedelta(days=CONFIG.horizon_days) == datetime(2026, 6, 30)
    assert current == datetime(2026, 7, 1)
