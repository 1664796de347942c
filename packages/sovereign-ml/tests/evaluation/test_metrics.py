"""Every figure against scikit-learn or a value worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from sovereign_ml.evaluation import metrics, report

RNG = np.random.default_rng(0)
P = RNG.uniform(0.02, 0.98, 4000)
Y = (RNG.random(4000) < P).astype(np.int64)


def test_lift_by_hand() -> None:
    y, p = np.array([1, 1, 0, 0, 1, 0, 0, 0, 0, 0]), np.array([9, 8, 7, 6, 5, 4, 3, 2, 1, 0]) / 10
    expected = {
        "budget": 0.3,
        "contacted": 3,
        "lift": 2.222222,
        "precision": 0.666667,
        "recall": 0.666667,
    }
    assert metrics.lift(y, p, 0.3) == expected


def test_a_budget_for_nobody_still_contacts_one() -> None:
    assert metrics.lift(Y, P, 0.0)["contacted"] == 1


def test_bins_hold_everybody_once_lowest_first() -> None:
    found = metrics.bins(Y, P)
    assert sum(entry["n"] for entry in found) == len(Y)
    assert [entry["mean_score"] for entry in found] == sorted(
        entry["mean_score"] for entry in found
    )
    assert all(abs(entry["mean_score"] - entry["observed"]) < 0.08 for entry in found)


def test_a_group_below_the_limit_or_of_one_class_shows_its_count_only() -> None:
    group = pd.Series(["big"] * 3900 + ["small"] * 60 + ["sure"] * 40)
    y = Y.copy()
    y[-40:] = 1
    shown = {entry["slice"]: entry for entry in metrics.slices(y, P, {"g": group}, 40)}
    assert shown["g=sure"] == {"slice": "g=sure", "n": 40, "suppressed": True}
    assert not shown["g=small"]["suppressed"]
    assert metrics.slices(y, P, {"g": group}, 61)[1] == {
        "slice": "g=small",
        "n": 60,
        "suppressed": True,
    }


def test_gaps_between_groups_by_hand() -> None:
    group = pd.Series(["a"] * 4 + ["b"] * 4)
    y = np.array([1, 1, 0, 0, 1, 1, 0, 0])
    p = np.array([0.9, 0.9, 0.9, 0.1, 0.9, 0.1, 0.1, 0.1])
    gaps = {
        entry["metric"]: entry["value"] for entry in metrics.fairness(y, p, {"g": group}, 0.5, 1)
    }
    assert gaps["selection_rate_difference"] == 0.5  # three of four against one of four
    assert gaps["tpr_difference"] == 0.5  # both of two against one of two
    assert gaps["calibration_gap"] == pytest.approx(0.2)  # mean scores .7 and .3 against .5


def test_equal_treatment_has_no_gap() -> None:
    group = pd.Series(["a", "b"] * 4)
    y, p = np.repeat([1, 0, 1, 0], 2), np.repeat([0.9, 0.1, 0.2, 0.8], 2)
    gaps = {
        entry["metric"]: entry["value"] for entry in metrics.fairness(y, p, {"g": group}, 0.5, 1)
    }
    assert gaps["selection_rate_difference"] == gaps["tpr_difference"] == 0


def test_small_groups_are_left_out_of_the_gaps_and_named() -> None:
    group = pd.Series(["a"] * 2000 + ["b"] * 1995 + ["few"] * 5)
    found = metrics.fairness(Y, P, {"g": group}, 0.5, 100)
    assert {tuple(entry["groups_suppressed"]) for entry in found} == {("few",)}
    assert {entry["n_smallest"] for entry in found} == {1995}


def test_with_one_group_left_there_is_nothing_to_compare() -> None:
    group = pd.Series(["a"] * 3990 + ["few"] * 10)
    assert metrics.fairness(Y, P, {"g": group}, 0.5, 100) == []


def test_people_of_unknown_group_count_for_no_group() -> None:
    group = pd.Series(["a"] * 2000 + ["b"] * 1000 + [None] * 1000)
    assert [entry["slice"] for entry in metrics.slices(Y, P, {"g": group}, 10)] == ["g=a", "g=b"]
    assert {entry["n_smallest"] for entry in metrics.fairness(Y, P, {"g": group}, 0.5, 10)} == {
        1000
    }


def test_an_attack_without_a_signal_is_a_guess_and_with_one_is_certain() -> None:
    losses = RNG.random(2000)
    assert metrics.membership_auc(losses[:1000], losses[1000:]) == pytest.approx(0.5, abs=0.05)
    assert metrics.membership_auc(np.zeros(50), np.ones(50)) == 1.0


def test_a_model_that_is_certain_can_be_attacked_too() -> None:
    people = pd.DataFrame({"customer_id": [f"c{i}" for i in range(200)]})
    people = people.assign(churned=people.index % 2, p=np.float64(people.index % 3 == 0))
    certain = SimpleNamespace(probability=lambda rows: rows["p"].to_numpy())
    procedure = report.Procedure(
        lambda _: certain, lambda rows: rows, target="churned", numeric=["p"], categorical=[]
    )
    assert 0 <= report.membership(procedure, people, 1) <= 1


def test_rounding_gives_no_negative_zero() -> None:
    assert str(metrics.rounded(-1e-12)) == "0.0"


def test_a_group_without_the_outcome_has_no_share_found_and_no_gap() -> None:
    y = np.array([0] * 80 + [1, 0] * 100 + [1, 0, 0, 0] * 20)
    p = np.array([0.2] * 80 + [0.9, 0.1] * 100 + [0.9, 0.1, 0.1, 0.1] * 20)
    group = pd.Series(["none"] * 80 + ["half"] * 200 + ["few"] * 80)
    gaps = {gap["metric"]: gap["value"] for gap in metrics.fairness(y, p, {"g": group}, 0.5, 60)}
    assert gaps["tpr_difference"] == 0.0
    assert gaps["selection_rate_difference"] == 0.5
    gaps = {
        gap["metric"] for gap in metrics.fairness(y[:280], p[:280], {"g": group[:280]}, 0.5, 60)
    }
    assert gaps == {"selection_rate_difference", "calibration_gap"}
