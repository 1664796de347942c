"""Training against scoring: what differs is measured, and few people are never told apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from churn.contract import CATEGORICAL, NUMERIC
from sovereign_ml.evaluation import drift
from sovereign_ml.evaluation.drift import distance

RNG = np.random.default_rng(0)


def people(n: int, **more: Any) -> pd.DataFrame:
    numbers = {name: RNG.normal(size=n) for name in NUMERIC}
    day = {"event_timestamp": pd.Timestamp("2026-05-01")}
    return pd.DataFrame(numbers | dict.fromkeys(CATEGORICAL, "books") | day | more)


def compare(past: pd.DataFrame, now: pd.DataFrame, groups: dict[str, Any], smallest: int) -> Any:
    return drift.compare(past, now, groups, smallest, (*NUMERIC, *CATEGORICAL))


def shift(found: dict[str, Any], name: str) -> float:
    return float(next(row["value"] for row in found["shifts"] if row["name"] == name))


def test_the_distance_is_the_share_of_people_who_would_have_to_change() -> None:
    one, other = pd.Series(["x"] * 7 + ["y"] * 3), pd.Series(["x"] * 4 + ["y"] * 4 + ["z"] * 2)
    assert distance(one, other) == pytest.approx(0.3)
    assert distance(one, one) == 0
    assert distance(one, pd.Series(["z"])) == 1


def test_people_alike_are_close_and_others_are_not() -> None:
    past = people(4000)
    found = compare(past, people(2000), {}, 100)
    assert all(row["value"] < 0.06 for row in found["shifts"])
    moved = people(2000, **{NUMERIC[0]: RNG.normal(2, 1, 2000)}, **{CATEGORICAL[0]: "garden"})
    assert shift(compare(past, moved, {}, 100), NUMERIC[0]) > 0.5
    assert shift(compare(past, moved, {}, 100), CATEGORICAL[0]) == 1


def test_what_grows_by_itself_is_compared_with_the_nearest_cutoff() -> None:
    days = pd.to_datetime(["2026-03-01", "2026-04-01", "2026-05-01"]).to_numpy()
    joined = RNG.uniform(0, 400, 3000)
    past = people(3000, event_timestamp=np.repeat(days, 1000))
    past[NUMERIC[0]] = joined + np.repeat([0.0, 30, 60], 1000)
    now = people(1000, **{NUMERIC[0]: RNG.uniform(0, 400, 1000) + 70})
    assert shift(compare(past, now, {}, 100), NUMERIC[0]) < 0.15
    pooled = past.assign(event_timestamp=days[0])
    assert shift(compare(pooled, now, {}, 100), NUMERIC[0]) > shift(
        compare(past, now, {}, 100), NUMERIC[0]
    )
    now[NUMERIC[0]] += 300
    assert shift(compare(past, now, {}, 100), NUMERIC[0]) > 0.5


def test_a_missing_value_is_a_value_of_its_own() -> None:
    past, now = people(1000), people(1000)
    now.loc[:299, NUMERIC[0]] = np.nan
    assert shift(compare(past, now, {}, 100), NUMERIC[0]) > 0.25


def test_an_input_that_is_nearly_always_zero_is_compared_all_the_same() -> None:
    past, now = people(1000, **{NUMERIC[0]: 0.0}), people(1000, **{NUMERIC[0]: 0.0})
    now.loc[:399, NUMERIC[0]] = 1.0
    assert shift(compare(past, now, {}, 100), NUMERIC[0]) == pytest.approx(0.4)


def test_a_share_of_few_people_is_not_shown() -> None:
    past = pd.Series(["DE"] * 800 + ["AT"] * 150 + ["MT"] * 50)
    now = pd.Series(["DE"] * 900 + ["AT"] * 90 + ["MT"] * 10)
    found = compare(people(1000), people(1000), {"country": (past, now)}, 100)
    assert found["groups"] == [
        {"group": "country=AT", "train_share": 0.15, "population_share": None},
        {"group": "country=DE", "train_share": 0.8, "population_share": 0.9},
    ]
    assert shift(found, "country") == pytest.approx(0.1)


def test_an_unknown_group_is_a_group() -> None:
    past, now = pd.Series(["DE"] * 500 + [None] * 500), pd.Series(["DE"] * 1000)
    assert (
        shift(compare(people(1000), people(1000), {"country": (past, now)}, 100), "country") == 0.5
    )
