"""Every figure against scikit-learn or a value worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from sovereign_ml.evaluation import metrics

RNG = np.random.default_rng(0)
P = RNG.uniform(0.02, 0.98, 4000)
Y = (RNG.random(4000) < P).astype(np.int64)


def logit(p: np.ndarray) -> np.ndarray:
    return np.log(p / (1 - p))


def test_recalibration_is_a_logistic_regression_on_the_log_odds() -> None:
    skewed = 1 / (1 + np.exp(-(0.4 * logit(P) - 0.7)))
    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=500).fit(logit(skewed)[:, None], Y)
    slope, intercept = metrics.recalibration(Y, skewed)
    assert slope == pytest.approx(reference.coef_[0, 0], rel=1e-3)
    assert intercept == pytest.approx(reference.intercept_[0], rel=1e-3)


def test_true_probabilities_have_slope_one_and_intercept_zero() -> None:
    slope, intercept = metrics.recalibration(Y, P)
    assert slope == pytest.approx(1, abs=0.1)
    assert intercept == pytest.approx(0, abs=0.1)


def test_overconfidence_shows_as_a_slope_below_one() -> None:
    assert metrics.recalibration(Y, 1 / (1 + np.exp(-2 * logit(P))))[0] == pytest.approx(
        0.5, abs=0.05
    )


def test_certain_scores_do_not_break_calibration() -> None:
    slope, intercept = metrics.recalibration(np.array([0, 1, 1, 0]), np.array([0.0, 1.0, 1.0, 1.0]))
    assert np.isfinite([slope, intercept]).all()


def test_every_figure_lies_inside_its_interval_and_more_people_narrow_it() -> None:
    def width(n: int) -> float:
        found = metrics.with_intervals(Y[:n], P[:n], metrics.resamples(Y[:n], 60, 1))
        assert all(entry["low"] <= entry["value"] <= entry["high"] for entry in found.values())
        return found["roc_auc"]["high"] - found["roc_auc"]["low"]

    assert width(3000) < width(300)


def test_resamples_depend_on_the_seed_only_and_always_have_both_classes() -> None:
    y = np.array([1, *[0] * 9])
    one, again, other = (metrics.resamples(y, 50, seed) for seed in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(one, again, strict=True))
    assert any((a != b).any() for a, b in zip(one, other, strict=True))
    assert all(0 < y[rows].sum() < len(rows) for rows in one)


def test_a_model_compared_with_itself_differs_by_exactly_nothing() -> None:
    rows = metrics.resamples(Y, 20, 1)
    found = metrics.difference(Y, P, P, metrics.all_metrics()["brier"], rows)
    assert found == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_a_paired_difference_is_narrower_than_the_two_intervals() -> None:
    rows, brier = metrics.resamples(Y, 100, 1), metrics.all_metrics()["brier"]
    near = np.clip(P + 0.01, 0, 1)
    paired = metrics.difference(Y, P, near, brier, rows)
    alone = metrics.interval(brier(Y, P), np.array([brier(Y[r], P[r]) for r in rows]))
    assert paired["high"] - paired["low"] < alone["high"] - alone["low"]


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


def test_rounding_gives_no_negative_zero() -> None:
    assert str(metrics.rounded(-1e-12)) == "0.0"
