"""The scorecard that is served says what the fitted pipeline says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sovereign_ml.config.tables import TrainSettings

from churn.contract import CATEGORICAL, FEATURES, NUMERIC, TARGET
from churn.model import benchmark_estimator, columns, fit, inputs, scorecard_estimator
from churn.scorecard import to_scorecard

CONFIG = TrainSettings(
    knots=5, regularisation=(1.0,), folds=2, max_categories=4, min_customers=1, seed=7
)


def random_rows(seed: int, count: int = 400) -> pd.DataFrame:
    """Return rows within the ranges of the contract, missing values where it allows them."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({TARGET: rng.integers(0, 2, count)})
    for feature in FEATURES:
        if feature.dtype == "string":
            rows[feature.name] = rng.choice(["books", "toys", "wine", "pets", "rare"], count)
        else:
            low = -500.0 if feature.minimum is None else feature.minimum
            high = 500.0 if feature.maximum is None else feature.maximum
            rows[feature.name] = rng.uniform(low, high, count) + 0.1 * rows[TARGET] * (high - low)
        if feature.missing_allowed:
            rows.loc[rng.random(count) < 0.1, feature.name] = None
    return rows


@pytest.mark.parametrize("seed", range(3))
def test_pipeline_and_scorecard_agree_on_rows_that_neither_has_seen(seed: int) -> None:
    past = random_rows(seed)
    pipeline = fit(scorecard_estimator(past, 1.0, CONFIG), past)
    scorecard = to_scorecard(pipeline, past)
    new = random_rows(seed + 100)
    for name in CATEGORICAL:
        new.loc[:20, name] = "a category that came later"
    probability = pipeline.predict_proba(inputs(new))[:, 1]
    # A constant would agree with anything.
    assert np.ptp(probability) > 0
    # Both add the same parts in another order, so only the last digits may differ.
    assert np.abs(probability - scorecard.probability(columns(new))).max() < 1e-9


def test_the_scorecard_has_a_part_for_every_feature() -> None:
    past = random_rows(1)
    scorecard = to_scorecard(fit(scorecard_estimator(past, 1.0, CONFIG), past), past)
    assert set(scorecard.features) == {*NUMERIC, *CATEGORICAL}
    assert np.abs(scorecard.contributions(columns(past)).mean(axis=0)).max() < 1e-9


@pytest.mark.parametrize("value", [0.0, 3.0, -3.0, None])
def test_a_feature_that_does_not_vary_is_a_flat_curve(value: float | None) -> None:
    past = random_rows(2).assign(**{NUMERIC[0]: value})
    pipeline = fit(scorecard_estimator(past, 1.0, CONFIG), past)
    scorecard = to_scorecard(pipeline, past)
    (curve,) = (part for part in scorecard.numeric if part.name == NUMERIC[0])
    assert np.ptp(curve.log_odds) == 0
    new = random_rows(3)
    probability = pipeline.predict_proba(inputs(new))[:, 1]
    assert np.abs(probability - scorecard.probability(columns(new))).max() < 1e-9


def test_no_knot_of_a_curve_is_the_extreme_value_of_one_customer() -> None:
    past = random_rows(4)
    past.loc[0, NUMERIC[0]] = 1e6
    scorecard = to_scorecard(fit(scorecard_estimator(past, 1.0, CONFIG), past), past)
    (curve,) = (part for part in scorecard.numeric if part.name == NUMERIC[0])
    assert max(curve.knots) < 1e5


def test_the_benchmark_predicts_from_the_same_columns() -> None:
    past = random_rows(5)
    pipeline = fit(benchmark_estimator(past, CONFIG), past)
    probability = pipeline.predict_proba(inputs(random_rows(6)))[:, 1]
    assert np.ptp(probability) > 0
