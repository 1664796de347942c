"""Conversion of a fitted pipeline of curves and one regression to a scorecard.

The numbers of the scorecard are the ones that are served and explained.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.evaluation.fidelity import columns_of
from sovereign_ml.model.scorecard import Curve, Floats, Levels, Scorecard

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

__all__ = ["TRUSTED_TYPES", "blocks", "quantiles", "shared_design", "to_scorecard"]

TRUSTED_TYPES = (
    "numpy.arcsinh",
    "numpy.dtype",
    "scipy.interpolate._bsplines.BSpline",
    "scipy.interpolate._bsplines._BSpline",  # its name in the releases for Python 3.12 and newer
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sovereign_ml.estimators.monotone.MonotoneLogistic",
)
"""Reviewed types in the template's two pipelines, beyond those that skops trusts by itself."""

DIGITS = 12
"""Significant digits of model.json: far finer than 1e-9 in probability, and still readable."""


def to_scorecard(
    estimator: Pipeline,
    rows: pd.DataFrame,
    *,
    target: str,
    numeric: Sequence[str],
    categorical: Sequence[str],
) -> Scorecard:
    """Return the fitted pipeline as a scorecard whose features average zero over ``rows``.

    ``rows`` holds the columns that the pipeline takes. Every feature that ``rows`` has gets its
    part. One that does not vary there is a flat curve.

    Raises Misuse for another kind of pipeline, and Refused for a block that has no part here.
    """
    numeric, categorical = (
        [name for name in names if name in rows] for names in (numeric, categorical)
    )
    weights = _weights(estimator, (*numeric, *categorical))
    curves = [
        _curve(estimator, name, weights)
        if name in weights
        else _flat_curve(estimator, name, rows, weights)
        for name in numeric
    ]
    levels = [_levels(estimator, name, weights[name]) for name in categorical]
    intercept = float(estimator.named_steps["regression"].intercept_[0])
    raw = Scorecard(
        target=target, intercept=intercept, numeric=tuple(curves), categorical=tuple(levels)
    )
    # Centring makes the intercept the log-odds of the average training customer.
    means = dict(zip(raw.features, raw.contributions(columns_of(rows)).mean(axis=0), strict=True))
    return Scorecard(
        target=target,
        intercept=_round(intercept + sum(means.values())),
        numeric=tuple(_shifted_curve(curve, means[curve.name]) for curve in curves),
        categorical=tuple(_shifted_levels(level, means[level.name]) for level in levels),
    )


def _weights(estimator: Pipeline, features: Sequence[str]) -> dict[str, Floats]:
    """Return the coefficients of the regression by block of columns."""
    try:
        blocks = estimator.named_steps["columns"].output_indices_
        coefficients = estimator.named_steps["regression"].coef_[0]
    except (AttributeError, KeyError):
        steps = ", ".join(estimator.named_steps)
        raise Misuse(
            "A scorecard is made from a pipeline of 'columns' (a ColumnTransformer) and "
            f"'regression' (with coefficients); this one has {steps}. Another kind of model "
            "needs a to_scorecard() of its own."
        ) from None
    filled = {name: part for name, part in blocks.items() if part.stop > part.start}
    if unknown := [name for name in filled if name not in (*features, "missing")]:
        raise Refused(
            f"Blocks of the pipeline that are in no part of the scorecard: {', '.join(unknown)}. "
            "Make what they compute a feature in contract.py, or ship them in to_scorecard()."
        )
    return {name: coefficients[part] for name, part in filled.items()}


def _curve(estimator: Pipeline, name: str, weights: dict[str, Floats]) -> Curve:
    """Return the curve of a number."""
    steps = estimator.named_steps["columns"].named_transformers_[name].named_steps
    # In a spline of degree 1, coefficients are heights at knots.
    knots, heights = np.sinh(steps["spline"].bsplines_[0].t[1:-1]), weights[name]
    fill = np.arcsinh(float(steps["fill"].statistics_[0]))
    height_at_fill = float(np.interp(fill, np.arcsinh(knots), heights))
    return Curve(
        name=name,
        transform="asinh",
        # Three digits, as ``quantiles`` made them: asinh and sinh leave traces of rounding.
        knots=tuple(float(f"{knot:.3g}") for knot in knots),
        log_odds=tuple(float(height) for height in heights),
        missing_log_odds=height_at_fill + _missing_weight(estimator, name, weights),
    )


def _flat_curve(
    estimator: Pipeline, name: str, rows: pd.DataFrame, weights: dict[str, Floats]
) -> Curve:
    """Return a flat curve for a number that the fit left out. Only a missing value may count."""
    values = quantiles(rows[name], 2)
    value = float(values[0]) if len(values) else 0.0
    return Curve(
        name=name,
        transform="asinh",
        knots=(min(value, 0.0), max(value, 0.0)) if value else (0.0, 1.0),
        log_odds=(0.0, 0.0),
        missing_log_odds=_missing_weight(estimator, name, weights),
    )


def _missing_weight(estimator: Pipeline, name: str, weights: dict[str, Floats]) -> float:
    """Return what a missing value adds to the log-odds of the value it is filled with."""
    transformers = estimator.named_steps["columns"].transformers_
    gaps = next((list(names) for key, _, names in transformers if key == "missing"), [])
    return float(weights["missing"][gaps.index(name)]) if name in gaps else 0.0


def _levels(estimator: Pipeline, name: str, weights: Floats) -> Levels:
    """Return the value of each frequent category, and of the rare ones in the last column."""
    encoder = estimator.named_steps["columns"].named_transformers_[name]
    infrequent = encoder.infrequent_categories_[0]
    rare = set() if infrequent is None else set(infrequent)
    frequent = [category for category in encoder.categories_[0] if category not in rare]
    table = dict(zip(frequent, map(float, weights), strict=False))
    # Without a rare category in training, the fit says nothing about an unseen one.
    other = float(weights[-1]) if rare else 0.0
    missing = table.pop(None, other)
    return Levels(name=name, log_odds=table, other_log_odds=other, missing_log_odds=missing)


def _shifted_curve(curve: Curve, mean: float) -> Curve:
    return curve.model_copy(
        update={
            "log_odds": tuple(_round(height - mean) for height in curve.log_odds),
            "missing_log_odds": _round(curve.missing_log_odds - mean),
        }
    )


def _shifted_levels(levels: Levels, mean: float) -> Levels:
    return levels.model_copy(
        update={
            "log_odds": {name: _round(value - mean) for name, value in levels.log_odds.items()},
            "other_log_odds": _round(levels.other_log_odds - mean),
            "missing_log_odds": _round(levels.missing_log_odds - mean),
        }
    )


def _round(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def quantiles(column: pd.Series[float], count: int) -> Floats:
    """Return distinct quantiles from 1 % to 99 % in three digits, none of an empty column.

    Rounding and the two ends keep any single customer's extreme value out of the model.
    """
    values = np.asarray(column.dropna(), dtype=np.float64)
    if not len(values):
        return values
    exact = np.quantile(values, np.linspace(0.01, 0.99, count))
    rounded = [float(f"{quantile:.3g}") for quantile in exact]
    return np.unique(np.array(rounded, dtype=np.float64))


def shared_design(
    estimator: Pipeline,
    past: tuple[pd.DataFrame, Floats],
    now: pd.DataFrame,
    strengths: Sequence[float],
) -> Iterator[Floats]:
    """Yield the probabilities of ``now`` by a fit on ``past`` for each of ``strengths``.

    ``past`` holds inputs and labels.
    """
    from sklearn.base import clone

    columns, regression = estimator
    # The curves depend on the rows alone, so all strengths share one design matrix.
    design, later = columns.fit_transform(past[0]), columns.transform(now)
    for strength in strengths:
        fitted = clone(regression).set_params(C=strength).fit(design, past[1])
        yield fitted.predict_proba(later)[:, 1]


def blocks(fitted: Pipeline) -> dict[str, list[int]]:
    """Return the column positions that each feature has for itself in the matrix of the regression.

    A fit without these columns is the fit without the feature. A feature that shares a block with
    another one is left out, and so is every feature of a pipeline with other steps.
    """
    if list(fitted.named_steps) != ["columns", "regression"]:
        return {}
    columns = fitted.named_steps["columns"]
    alone: dict[str, list[int]] = {}
    shared: set[str] = set()
    for key, _, names in columns.transformers_:
        part = columns.output_indices_[key]
        positions = list(range(part.start, part.stop))
        if key == "missing":
            for name, position in zip(names, positions, strict=True):
                alone.setdefault(name, []).append(position)
        elif len(names) == 1:
            alone.setdefault(names[0], []).extend(positions)
        elif positions:
            shared.update(names)
    return {name: places for name, places in alone.items() if name not in shared}
