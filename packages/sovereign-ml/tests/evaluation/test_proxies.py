"""What gives a protected group away is found, alone or together; chance is not taken for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from churn.contract import CATEGORICAL, NUMERIC
from sovereign_ml.evaluation.proxies import TOGETHER, associations, cramers_v

N = 1200
RNG = np.random.default_rng(0)
GROUP = pd.Series(RNG.choice(["DE", "AT", "PL"], N))


def frame(**more: Any) -> pd.DataFrame:
    numbers = {name: RNG.normal(size=N) for name in NUMERIC}
    return pd.DataFrame(
        numbers | {name: RNG.choice(["books", "toys"], N) for name in CATEGORICAL} | more
    )


def measured(
    rows: pd.DataFrame, group: pd.Series, p: Any = None, smallest: int = 100
) -> dict[str, float]:
    scores = RNG.random(N) if p is None else p
    found = associations(rows, scores, {"country": group}, smallest, 7, NUMERIC, CATEGORICAL)
    assert all(row["group"] == "country" for row in found)
    return {row["feature"]: row["value"] for row in found}


def test_inputs_that_know_nothing_of_the_group_stay_near_zero() -> None:
    found = measured(frame(), GROUP)
    assert set(found) == {*NUMERIC, *CATEGORICAL, "score", TOGETHER}
    assert max(found.values()) < 0.15


def test_a_number_a_category_and_a_score_that_follow_the_group_are_found() -> None:
    codes = GROUP.map({"DE": 0.0, "AT": 1.0, "PL": 2.0})
    following = frame(
        **{NUMERIC[0]: codes + RNG.normal(0, 0.1, N), CATEGORICAL[0]: "from " + GROUP}
    )
    found = measured(following, GROUP, (codes / 2).to_numpy())
    assert found[CATEGORICAL[0]] == pytest.approx(1)
    assert min(found[NUMERIC[0]], found["score"], found[TOGETHER]) > 0.8


def test_two_inputs_that_give_the_group_away_only_together_are_found() -> None:
    one, two = RNG.integers(0, 2, N), RNG.integers(0, 2, N)
    either = pd.Series(np.where(one == two, "DE", "AT"))
    found = measured(
        frame(**{NUMERIC[0]: one + RNG.normal(0, 0.1, N), NUMERIC[1]: two.astype(float)}), either
    )
    assert max(found[NUMERIC[0]], found[NUMERIC[1]]) < 0.2 < 0.4 < found[TOGETHER]


def test_a_value_that_is_missing_for_one_group_only_gives_it_away() -> None:
    assert measured(frame(**{NUMERIC[0]: np.where(GROUP == "PL", np.nan, 1.0)}), GROUP)[
        NUMERIC[0]
    ] == pytest.approx(1)


def test_small_groups_are_left_out_and_one_group_alone_measures_nothing() -> None:
    rare = pd.Series(["MT"] * 40 + ["DE"] * (N - 40))
    assert measured(frame(), rare) == {}
    assert associations(frame(), RNG.random(N), {}, 100, 7, NUMERIC, CATEGORICAL) == []


def test_a_column_that_does_not_vary_tells_nothing() -> None:
    assert cramers_v(np.array(["x"] * 10), np.array(["a", "b"] * 5)) == 0
