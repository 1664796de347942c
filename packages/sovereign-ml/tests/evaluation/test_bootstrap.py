"""Intervals: every weighted figure is scikit-learn's on the rows of the resample."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from sovereign_ml.evaluation import bootstrap

RNG = np.random.default_rng(0)
P = RNG.uniform(0.02, 0.98, 4000)
Y = (RNG.random(4000) < P).astype(np.int64)
CASES = {
    "distinct scores": (Y, P),
    "ties": (Y, np.round(P, 1)),
    "one score for all": (Y[:300], np.full(300, 0.3)),
    "certain and wrong": (np.array([0, 1, 1, 0, 1]), np.array([0.0, 1.0, 0.0, 1.0, 0.5])),
    "few churners": ((RNG.random(500) < 0.01).astype(np.int64), P[:500]),
    "perfect order": (np.sort(Y[:200]), np.sort(P[:200])),
}
NO_SLOPE = ("one score for all", "certain and wrong")
"""No regression on the log-odds is determined here, so no digits of its slope are."""


@pytest.mark.parametrize("case", CASES)
def test_a_weighted_figure_is_the_one_of_the_drawn_rows(case: str) -> None:
    y, p = CASES[case]
    ranked, count = bootstrap.Ranked(y, p), 0
    for weights in bootstrap.resamples(y, 25, 3):
        rows, count = np.repeat(np.arange(len(y)), weights), count + 1
        found = ranked.figures(weights)
        if case not in NO_SLOPE:
            found |= ranked.calibration(weights)
            assert list(found) == list(bootstrap.all_metrics())
        for name, value in found.items():
            expected = bootstrap.all_metrics()[name](y[rows], p[rows])
            assert value == pytest.approx(expected, rel=1e-12, abs=1e-12), name
    assert count == 25


def test_resamples_are_those_of_drawn_rows_and_always_have_both_classes() -> None:
    y = np.array([1, *[0] * 9])
    one, again, other = (list(bootstrap.resamples(y, 50, seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert all(weights.sum() == 10 and 0 < weights[0] < 10 for weights in one)
    rng = np.random.default_rng(1)
    drawn = [rng.integers(0, 10, 10) for _ in range(200)]
    kept = [np.bincount(rows, minlength=10) for rows in drawn if 0 < y[rows].sum() < 10]
    assert np.array_equal(one, kept[:50])


def log_odds(p: np.ndarray) -> np.ndarray:
    return np.log(p / (1 - p))


def recalibration(y: np.ndarray, p: np.ndarray) -> tuple[float, float]:
    return bootstrap.recalibration(y, bootstrap.log_odds(p))


def test_recalibration_is_a_logistic_regression_on_the_log_odds() -> None:
    skewed = 1 / (1 + np.exp(-(0.4 * log_odds(P) - 0.7)))
    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=500)
    reference.fit(log_odds(skewed)[:, None], Y)
    slope, intercept = recalibration(Y, skewed)
    assert slope == pytest.approx(reference.coef_[0, 0], rel=1e-3)
    assert intercept == pytest.approx(reference.intercept_[0], rel=1e-3)


def test_true_probabilities_have_slope_one_and_overconfidence_one_below_it() -> None:
    assert recalibration(Y, P) == pytest.approx((1, 0), abs=0.1)
    overconfident = 1 / (1 + np.exp(-2 * log_odds(P)))
    assert recalibration(Y, overconfident)[0] == pytest.approx(0.5, abs=0.05)


def test_certain_scores_do_not_break_calibration() -> None:
    slope, intercept = recalibration(np.array([0, 1, 1, 0]), np.array([0.0, 1.0, 1.0, 1.0]))
    assert np.isfinite([slope, intercept]).all()


def intervals(n: int) -> dict[str, dict[str, float]]:
    y, p = Y[:n], P[:n]
    ranked = bootstrap.Ranked(y, p)
    draws = bootstrap.drawn([ranked.figures(w) for w in bootstrap.resamples(y, 60, 1)])
    measure = bootstrap.all_metrics()
    return {k: bootstrap.interval(measure[k](y, p), values) for k, values in draws.items()}


def test_every_figure_lies_inside_its_interval_and_more_people_narrow_it() -> None:
    few, many = intervals(300), intervals(3000)
    for entry in (*few.values(), *many.values()):
        assert entry["low"] < entry["value"] < entry["high"]
    for name in few:
        assert many[name]["high"] - many[name]["low"] < few[name]["high"] - few[name]["low"]
