"""What a team gets wrong while it declares features is one line."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from churn import features as sql
from churn.project import PROJECT
from sovereign_ml.config.tables import FeatureSettings
from sovereign_ml.decisions.feature_contract import Ratio
from sovereign_ml.errors import Misuse
from sovereign_ml.features.history import with_all_features
from sovereign_ml.project import Feature

TENURE = Feature("tenure_days", "days", "days since the first purchase", "Why it is needed")
RECENCY = replace(TENURE, name="recency_days")


def test_a_link_to_a_feature_that_was_removed_is_named() -> None:
    links = (Ratio(feature="tenure_days", over="recency_days", under="recency_days"),)
    project = replace(PROJECT, features=(TENURE,), links=lambda: links)
    with pytest.raises(Misuse, match="links name unknown features: recency_days"):
        project.feature_contract()
    assert replace(project, features=(TENURE, RECENCY)).feature_contract().links == links


def test_a_feature_that_is_listed_twice_is_named() -> None:
    project = replace(PROJECT, features=(TENURE, TENURE), links=tuple)
    with pytest.raises(Misuse, match="features listed twice: tenure_days"):
        project.feature_contract()


def test_a_project_without_features_is_refused() -> None:
    with pytest.raises(Misuse, match="at least 1 item"):
        replace(PROJECT, features=(), links=tuple).feature_contract()


THREE = ("recency_days", "mean_gap_days", "recency_over_gap")


def test_a_project_with_fewer_inputs_has_the_links_between_those_that_stay() -> None:
    contract = PROJECT.with_inputs(THREE).feature_contract()
    assert [feature.name for feature in contract.features] == list(THREE)
    assert [link.kind for link in contract.links] == ["ratio"]
    windows = ("recency_days", "purchase_count_7d", "revenue_eur_30d", "purchase_count_90d")
    nested, since = PROJECT.with_inputs(windows).feature_contract().links
    assert nested.features == ("purchase_count_7d", "purchase_count_90d")
    assert [window.days for window in since.windows] == [7, 90], "a sum needs the average order"
    assert PROJECT.with_inputs(()) is PROJECT


def test_an_input_that_the_contract_does_not_declare_is_named() -> None:
    with pytest.raises(
        Misuse, match=r"inputs names age, shoe_size, which .* It may name recency_days"
    ):
        PROJECT.with_inputs(["recency_days", "age", "shoe_size"])


def test_what_is_left_out_is_computed_again_in_the_same_order(tmp_path: Path) -> None:
    days = [pd.Timestamp("2026-05-01"), pd.Timestamp("2026-06-01")]
    frame = pd.DataFrame(
        {
            "customer_id": ["B", "A", "A", "B"],
            "event_time": pd.to_datetime(
                ["2026-04-01", "2026-04-11", "2026-05-21", "2026-05-22"], utc=True
            ).as_unit("us"),
            "amount_eur": [Decimal("10.00")] * 4,
            "category": "books",
            "order_number": pd.Series([None] * 4, dtype="Int32"),
        }
    )
    frame.to_parquet(tmp_path / "transactions.parquet")
    rows = pd.DataFrame(
        {"customer_id": ["B", "B", "A"], "event_timestamp": [*reversed(days), days[1]]}
    )
    config = FeatureSettings(
        cutoffs=3, every_days=30, horizon_days=30, active_within_days=90, lookback_days=365
    )
    for zone in (None, "UTC"):
        asked = rows.assign(event_timestamp=rows["event_timestamp"].dt.tz_localize(zone))
        whole = with_all_features(sql, tmp_path, config, "no_purchase", asked)
        assert whole["customer_id"].tolist() == ["B", "B", "A"]
        assert whole["tenure_days"].tolist() == [61, 30, 51]
        assert {feature.name for feature in PROJECT.features} <= set(whole)
        assert with_all_features(sql, tmp_path, config, "no_purchase", whole) is whole
