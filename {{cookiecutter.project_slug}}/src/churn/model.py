"""The estimator: the file you came to change. An additive scorecard, and boosting beside it as the benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from churn.contract import CATEGORICAL, NUMERIC, TARGET
from sovereign_ml.config.tables import TrainSettings
from sovereign_ml.model.scorecard import Curve, Floats, Levels, Scorecard

if TYPE_CHECKING:
    import pandas as pd

TRUSTED_TYPES = (
    "numpy.arcsinh",
    "numpy.dtype",
    "scipy.interpolate._bsplines.BSpline",
    "scipy.interpolate._bsplines._BSpline",  # its name in the releases for Python 3.12 and newer
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)
"""Types in the two pipelines beyond those that skops knows; each was looked at."""
DIGITS = 12
"""Significant digits of model.json: far finer than 1e-9 in probability, and a diff that a person can read."""


def scorecard_estimator(frame: pd.DataFrame, c: float, config: TrainSettings) -> Any:
    """A scikit-learn pipeline, unfitted: a curve per number and a value per category in one logistic regression.

    Knots are quantiles of ``frame`` between 1 % and 99 %, rounded to three digits, so that no customer's own extreme
    value stands in the model. Columns that do not vary are left out.
    ``to_scorecard`` gives them a flat curve.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import MissingIndicator
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    curves = [
        (name, _curve(frame[name], knots), [name])
        for name, knots in _knots(frame, config.knots).items()
    ]
    # An indicator that is the same for everybody would share its weight with the intercept.
    gaps = [name for name in NUMERIC if frame[name].isna().nunique() > 1]
    if gaps:
        curves.append(("missing", MissingIndicator(features="all"), gaps))
    levels = OneHotEncoder(
        max_categories=config.max_categories,
        min_frequency=20,
        handle_unknown="infrequent_if_exist",
        sparse_output=False,
    )
    columns = ColumnTransformer([*curves, *((name, levels, [name]) for name in CATEGORICAL)])
    # newton-cholesky converges to the same digits every time; l-bfgs stops somewhere near.
    regression = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-8, max_iter=200)
    return Pipeline([("columns", columns), ("regression", regression)])


def _knots(frame: pd.DataFrame, count: int) -> dict[str, Floats]:
    """Return the knots of each column that varies."""
    knots = {name: _quantiles(frame[name], count) for name in NUMERIC}
    return {name: values for name, values in knots.items() if len(values) > 1}


def _quantiles(column: pd.Series[float], count: int) -> Floats:
    """Return quantiles from 1 % to 99 % in three digits, each once; none without a value."""
    values: Floats = column.dropna().to_numpy(dtype=np.float64)
    if not len(values):
        return values
    quantiles = np.quantile(values, np.linspace(0.01, 0.99, count))
    knots: Floats = np.unique([float(f"{q:.3g}") for q in quantiles])
    return knots


def _curve(values: pd.Series[float], knots: Floats) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer, SplineTransformer

    return Pipeline(
        [
            ("fill", SimpleImputer(strategy="constant", fill_value=float(values.median()))),
            (
                "asinh",
                FunctionTransformer(np.arcsinh),
            ),  # a logarithm that also takes zero and net returns
            (
                "spline",
                SplineTransformer(
                    degree=1, knots=np.arcsinh(knots)[:, None], extrapolation="constant"
                ),
            ),
        ]
    )


def benchmark_estimator(config: TrainSettings) -> Any:
    """Gradient boosting on the same columns, unfitted: what the readable model is measured against."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OrdinalEncoder

    codes = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan
    )
    columns = ColumnTransformer(
        [("number", "passthrough", list(NUMERIC)), ("category", codes, list(CATEGORICAL))]
    )
    boosting = HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=150,
        max_leaf_nodes=15,
        min_samples_leaf=40,
        random_state=config.seed,
    )
    return Pipeline([("columns", columns), ("boosting", boosting)])


def fit(estimator: Any, frame: pd.DataFrame) -> Any:
    """Fit ``estimator`` on the features and the label of ``frame``; return it."""
    return estimator.fit(inputs(frame), frame[TARGET].to_numpy())


def training_set(features: Path) -> pd.DataFrame:
    """The rows that ``churn features`` wrote, in an order that does not depend on the pseudonyms.

    Pseudonyms sort differently under every key; resamples and splits drawn by row would differ with them.
    """
    import pandas as pd

    frame = pd.read_parquet(features / "training.parquet")
    return frame.sort_values(
        ["event_timestamp", *NUMERIC, *CATEGORICAL, TARGET], kind="stable", ignore_index=True
    )


def inputs(frame: pd.DataFrame) -> pd.DataFrame:
    """The model's columns of ``frame``, absent categories as None."""
    table = frame[[*NUMERIC, *CATEGORICAL]].copy()
    for name in CATEGORICAL:
        table[name] = [
            None if absent else value
            for value, absent in zip(table[name], table[name].isna(), strict=True)
        ]
    return table


def columns(frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """The scorecard's view of a table: raw values by feature, each of shape (n,), absent categories as None."""
    return {str(name): values.to_numpy() for name, values in inputs(frame).items()}


def to_scorecard(estimator: Any, frame: pd.DataFrame) -> Scorecard:
    """Return the fitted pipeline as data, centred: each feature contributes zero on average over ``frame``.

    Every feature of the contract has its part. One that does not vary in ``frame`` has a flat curve.
    """
    weights = _weights(estimator)
    regression = estimator.named_steps["regression"]
    curves = [
        _read_curve(estimator, name, weights)
        if name in weights
        else _flat_curve(estimator, name, frame, weights)
        for name in NUMERIC
    ]
    levels = [_read_levels(estimator, name, weights[name]) for name in CATEGORICAL]
    raw = Scorecard(
        target=TARGET, intercept=float(regression.intercept_[0]), numeric=curves, categorical=levels
    )
    means = dict(zip(raw.features, raw.contributions(columns(frame)).mean(axis=0), strict=True))
    return Scorecard(
        target=TARGET,
        intercept=_round(raw.intercept + sum(means.values())),
        numeric=tuple(_shift_curve(curve, means[curve.name]) for curve in curves),
        categorical=tuple(_shift_levels(level, means[level.name]) for level in levels),
    )


def _weights(estimator: Any) -> dict[str, Floats]:
    """The regression's coefficients of each block of columns."""
    columns = estimator.named_steps["columns"]
    coefficients = estimator.named_steps["regression"].coef_[0]
    return {
        name: coefficients[part]
        for name, part in columns.output_indices_.items()
        if part.stop > part.start
    }


def _read_curve(estimator: Any, name: str, weights: dict[str, Floats]) -> Curve:
    """With degree 1 the coefficient of a basis function is the curve's height at its knot."""
    columns = estimator.named_steps["columns"]
    pipeline = columns.named_transformers_[name]
    spline = pipeline.named_steps["spline"]
    knots, heights = np.sinh(spline.bsplines_[0].t[1:-1]), weights[name]
    fill = float(pipeline.named_steps["fill"].statistics_[0])
    at_fill = float(np.interp(np.arcsinh(fill), np.arcsinh(knots), heights))
    return Curve(
        name=name,
        transform="asinh",
        knots=tuple(float(f"{k:.3g}") for k in knots),
        log_odds=tuple(float(h) for h in heights),
        missing_log_odds=at_fill + _missing_weight(estimator, name, weights),
    )


def _flat_curve(
    estimator: Any, name: str, frame: pd.DataFrame, weights: dict[str, Floats]
) -> Curve:
    """Return the curve of a feature that the fit left out: flat, and a missing value by its indicator."""
    values = _quantiles(frame[name], 2)
    value = float(values[0]) if len(values) else 0.0
    return Curve(
        name=name,
        transform="asinh",
        knots=(min(value, 0.0), max(value, 0.0)) if value else (0.0, 1.0),
        log_odds=(0.0, 0.0),
        missing_log_odds=_missing_weight(estimator, name, weights),
    )


def _missing_weight(estimator: Any, name: str, weights: dict[str, Floats]) -> float:
    """Return what a missing value adds to the log-odds of the value it is filled with."""
    transformers = estimator.named_steps["columns"].transformers_
    gaps = next((list(names) for key, _, names in transformers if key == "missing"), [])
    return float(weights["missing"][gaps.index(name)]) if name in gaps else 0.0


def _read_levels(estimator: Any, name: str, weights: Floats) -> Levels:
    encoder = estimator.named_steps["columns"].named_transformers_[name]
    rare = (
        set(encoder.infrequent_categories_[0])
        if encoder.infrequent_categories_[0] is not None
        else set()
    )
    frequent = [c for c in encoder.categories_[0] if c not in rare]
    table = dict(zip(frequent, (float(w) for w in weights), strict=False))
    other = float(weights[-1]) if rare else 0.0
    missing = table.pop(None, other)
    return Levels(name=name, log_odds=table, other_log_odds=other, missing_log_odds=missing)


def _shift_curve(curve: Curve, mean: float) -> Curve:
    heights = tuple(_round(h - mean) for h in curve.log_odds)
    return curve.model_copy(
        update={"log_odds": heights, "missing_log_odds": _round(curve.missing_log_odds - mean)}
    )


def _shift_levels(levels: Levels, mean: float) -> Levels:
    table = {name: _round(value - mean) for name, value in levels.log_odds.items()}
    rest = {
        key: _round(getattr(levels, key) - mean) for key in ("other_log_odds", "missing_log_odds")
    }
    return levels.model_copy(update={"log_odds": table, **rest})


def _round(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
