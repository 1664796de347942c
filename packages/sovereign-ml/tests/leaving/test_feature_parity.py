"""Values of the old feature store against ours: planted differences, their causes, and no false alarm."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bundles
from churn.project import PROJECT as OBJECT
from purchases import CONFIG, shop
from sovereign_ml.config.leaving import FeatureTolerance
from sovereign_ml.errors import Misuse
from sovereign_ml.leaving.feature_parity.bands import ServedModel
from sovereign_ml.leaving.feature_parity.group_comparison import compare_group
from sovereign_ml.leaving.feature_parity.past_moments import FeatureReplay
from sovereign_ml.leaving.feature_parity.result import FeatureParity

MOMENTS = [datetime(2026, 3, 1, 2, 30), datetime(2026, 4, 1, 2, 30), datetime(2026, 5, 1, 2, 30)]
TOLERANCE = FeatureTolerance()
Frame = pd.DataFrame


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureReplay]:
    folder = tmp_path_factory.mktemp("parity")
    opened = FeatureReplay(OBJECT, shop(folder / "valid"), CONFIG, "no_purchase", folder)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def equal(replay: FeatureReplay) -> Frame:
    """The rows of an old store that computed as ours does: of everybody with an event."""
    return computed(replay, MOMENTS)


def computed(replay: FeatureReplay, moments: list[datetime]) -> Frame:
    replay.compute(moments)
    frame = replay.connection.execute("FROM snapshots ORDER BY ALL").df()
    frame.insert(2, "created_timestamp", frame["event_timestamp"] + timedelta(minutes=5))
    return frame


def compared(replay: FeatureReplay, frame: Frame, folder: Path, **more: Any) -> FeatureParity:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "rows.parquet"
    frame.to_parquet(path, index=False)
    more = {"mapping": {}, "tolerance": TOLERANCE, **more}
    return compare_group(replay, path, "users", more.pop("mapping"), more.pop("tolerance"), **more)


def planted(frame: Frame, seed: int) -> tuple[Frame, dict[str, Counter[str]]]:
    """``frame`` in another order and with 32-bit numbers, and a class of difference per feature."""
    chance = np.random.default_rng(seed)
    old = frame.sample(frac=1, random_state=seed).reset_index(drop=True)
    for name in ("tenure_days", "revenue_eur_180d"):
        old[name] = old[name].astype("float32")
    expected: dict[str, Counter[str]] = {}

    def plant(name: str, cause: str, change: Any, usable: Any = None) -> None:
        there = old[name].notna() if usable is None else usable
        rows = old.index[there].to_numpy()
        rows = chance.choice(rows, min(len(rows), int(chance.integers(5, 40))), replace=False)
        before = old.loc[rows, name].copy()
        old.loc[rows, name] = change(before)
        expected.setdefault(name, Counter())[cause] += len(rows)

    plant("avg_order_value_eur", "unit", lambda v: v * 100)
    plant("recency_days", "time zone", lambda v: v + 1 / 24)
    plant("mean_gap_days", "missing filled", lambda v: 0.0, old["mean_gap_days"].isna())
    plant("last_gap_days", "missing here", lambda v: 5.5, old["last_gap_days"].isna())
    plant("recency_over_gap", "missing there", lambda v: np.nan)
    plant("preferred_category", "spelling", lambda v: v.str.upper() + " ")
    rounds = (old["category_share"].round(2) - old["category_share"]).abs() > 1e-4
    plant("category_share", "rounding", lambda v: v.round(2), rounds)
    # To find no cause takes the longest, so only some of the tests do.
    if seed % 7 == 0:
        plant("revenue_eur_90d", "unexplained", lambda v: v + chance.uniform(2, 3, len(v)))
    return old, expected


@pytest.mark.parametrize("seed", range(20))
def test_planted_differences_are_counted_exactly_with_their_cause(
    replay: FeatureReplay, equal: Frame, tmp_path: Path, seed: int
) -> None:
    old, expected = planted(equal, seed)
    result = compared(replay, old, tmp_path)
    causes = {row.name: row.causes for row in result.features if row.differing}
    assert causes == expected
    assert result.differing == sum(sum(counts.values()) for counts in expected.values())
    assert result.compared == result.rows == len(equal)
    assert (result.skipped, result.extra, result.verdict(0, 0)) == ({}, 0, "differs")
    assert result.verdict(0.5, 0) == "same"


def test_equal_stores_give_no_alarm_whatever_their_types_and_order(
    replay: FeatureReplay, equal: Frame, tmp_path: Path
) -> None:
    old = equal.sample(frac=1, random_state=1)
    for name in old.columns[3:]:
        if old[name].dtype == float:
            old[name] = old[name].astype("float32")
    assert compared(replay, old, tmp_path / "a").verdict(0, 0) == "same"
    text = equal.copy()
    for name in text.columns[3:]:
        # A producer that writes every feature as text, and a missing one as NaN or nothing.
        text[name] = [None if pd.isna(v) else str(v) for v in text[name]]
    text.loc[text["mean_gap_days"].isna(), "mean_gap_days"] = "NaN"
    result = compared(replay, text, tmp_path / "b", tolerance=FeatureTolerance(relative=1e-12))
    assert (result.verdict(0, 0), result.values) == ("same", len(equal) * len(result.features))
    text.loc[3, "recency_days"] = "n/a"
    result = compared(replay, text, tmp_path / "c")
    assert result.features[0].causes + result.features[1].causes == {"no number": 1}


SHIFTS = {
    "window edge": timedelta(days=1),
    "time zone": timedelta(hours=-2),
}


@pytest.mark.parametrize("cause", SHIFTS)
def test_values_of_another_moment_are_recognised_also_in_counts_and_words(
    replay: FeatureReplay, equal: Frame, tmp_path: Path, cause: str
) -> None:
    shift = SHIFTS[cause]
    late = computed(replay, [moment + shift for moment in MOMENTS])
    late["event_timestamp"] -= shift
    old = equal[["customer_id", "event_timestamp"]].merge(late)
    names = ["purchase_count_30d", "purchase_count_90d", "revenue_eur_30d"]
    names += ["preferred_category", "recency_over_gap"]
    result = compared(replay, old[[*old.columns[:3], *names]], tmp_path)
    truth = equal.merge(old, on=["customer_id", "event_timestamp"], suffixes=("", "_old"))
    for row in result.features:
        ours, theirs = truth[row.name], truth[f"{row.name}_old"]
        differs = ours != theirs
        if row.kind == "number":
            differs = ~np.isclose(ours, theirs, rtol=1e-6, atol=1e-9, equal_nan=True)
        assert row.differing == differs.sum()
        if row.differing >= 3:
            assert row.causes == {cause: row.differing}, row
    assert result.differing > 3


def test_rows_of_one_side_are_counted_and_are_no_parity(
    replay: FeatureReplay, equal: Frame, tmp_path: Path
) -> None:
    stranger = equal.head(4).assign(customer_id=[f"stranger {n}" for n in range(4)])
    replay.compute(MOMENTS, everybody=False)
    active = replay.connection.execute(
        "SELECT DISTINCT customer_id FROM snapshots ORDER BY 1"
    ).fetchall()
    gone = {name for (name,) in active[:3]}
    lacking = equal[equal["customer_id"].isin(gone)]
    old = pd.concat([equal[~equal["customer_id"].isin(gone)], stranger])
    result = compared(replay, old, tmp_path / "a")
    assert result.skipped == {"no valid transaction of the person here": 4}
    replay.compute(MOMENTS, everybody=False)
    scored = replay.connection.execute("SELECT customer_id FROM snapshots").df()
    assert result.extra == scored["customer_id"].isin(gone).sum() <= len(lacking)
    assert (result.differing, result.verdict(0, 0)) == (0, "not shown")
    assert result.verdict(0, 0.9) == "same"
    # Who has an older row is carried, not lacking.
    last = old["event_timestamp"] == MOMENTS[-1]
    carried = compared(replay, equal.drop(old.index[last][:5]), tmp_path / "b")
    assert (carried.extra, carried.carried, carried.verdict(0, 0)) == (0, 5, "same")
    twice = compared(replay, pd.concat([equal, equal.head(2)]), tmp_path / "c")
    assert twice.skipped == {"several rows of one person at one moment": 4}
    assert twice.compared + sum(twice.skipped.values()) == twice.rows
    early = equal.assign(event_timestamp=equal["event_timestamp"] - timedelta(days=4000))
    outside = compared(replay, early, tmp_path / "d")
    assert (outside.outside, outside.verdict(1, 1)) == (len(equal), "not shown")


def test_the_moments_with_most_rows_are_a_sample_that_is_told(
    replay: FeatureReplay, equal: Frame, tmp_path: Path
) -> None:
    old = equal.drop(equal.index[equal["event_timestamp"] == MOMENTS[0]][:10])
    result = compared(replay, old, tmp_path, moments=2)
    assert (result.moments, result.all_moments) == (2, 3)
    assert result.compared == (old["event_timestamp"] > MOMENTS[0]).sum()
    assert any("a sample of" in line for line in result.lines())


def test_differences_are_scored_by_the_served_model(
    replay: FeatureReplay, equal: Frame, tmp_path: Path
) -> None:
    model, contract, policy = bundles.model(), bundles.contract(), bundles.policy()
    old = equal.copy()
    rows = old.index[old["recency_days"] < 20][:30]
    old.loc[rows, "recency_days"] = 88.5
    impossible = equal.index[equal["recency_days"] > 30][0]
    old.loc[impossible, "recency_days"] = -4.0
    served = ServedModel(model, contract, policy)
    effect = compared(replay, old.drop(columns="tenure_days"), tmp_path, served=served).effect
    assert effect is not None
    sides = [
        {name: frame.loc[rows, name].to_numpy() for name in model.features}
        for frame in (old, equal)
    ]
    for side in sides:
        side["preferred_category"] = side["preferred_category"].astype(object)
    before, now = (model.probability(side) for side in sides)
    changed = policy.band_index(before) != policy.band_index(now)
    assert (effect.rows, effect.refused, effect.changed) == (30, 1, changed.sum())
    assert effect.people == equal.loc[rows, "customer_id"][changed].nunique() > 0
    assert effect.largest == pytest.approx(np.abs(before - now).max())
    assert effect.inputs_not_compared == ("tenure_days",)


def test_features_of_other_names_are_mapped_and_a_wrong_mapping_is_one_line(
    replay: FeatureReplay, equal: Frame, tmp_path: Path
) -> None:
    old = equal[["customer_id", "event_timestamp", "created_timestamp"]].copy()
    old["ltv-cents"], old["quiet"] = equal["revenue_eur_90d"] * 100, equal["recency_days"] > 30
    mapping = {"ltv-cents": "revenue_eur_90d * 100", "quiet": "recency_days > 30"}
    result = compared(replay, old, tmp_path, mapping=mapping)
    assert (result.verdict(0, 0), result.without_counterpart) == ("same", ())
    part = compared(replay, old, tmp_path, mapping={"quiet": "recency_days > 30"})
    assert part.without_counterpart == ("ltv-cents",)
    for wrong, words in (
        ({}, "say which it is"),
        ({"lvt": "recency_days"}, "names lvt, which the group does not have"),
        ({"quiet": "recency_dais > 30"}, "recency_dais"),
        ({"quiet": "recency_days >"}, "quiet: Parser Error"),
    ):
        with pytest.raises(Misuse, match=words) as error:
            compared(replay, old, tmp_path, mapping=wrong)
        assert "\n" not in str(error.value)


def test_the_report_repeats_no_value_unless_it_is_asked_to(
    replay: FeatureReplay, equal: Frame, tmp_path: Path
) -> None:
    old = equal.assign(revenue_eur_90d=100 * equal["revenue_eur_90d"])
    result = compared(replay, old, tmp_path)
    text = json.dumps(result.to_json()["sample"]) + "\n".join(list(result.lines())[-20:])
    value = str(old["revenue_eur_90d"].iloc[0])
    assert "revenue_eur_90d" in text
    assert value not in text
    assert value in json.dumps(compared(replay, old, tmp_path, values=True).to_json())
