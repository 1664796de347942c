"""The fitted pipeline of model.py as a Scorecard: the numbers that are served and explained."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline
from sovereign_ml.config.tables import TrainSettings
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.estimators.interface import FittedModel, Model, model_kind
from sovereign_ml.model.scorecard import Curve, Floats, Levels, Scorecard

from churn import model
from churn.boosting import BoostingModel
from churn.contract import CATEGORICAL, NUMERIC, TARGET
from churn.model import columns, quantiles

DIGITS = 12
"""Significant digits of model.json: far finer than 1e-9 in probability, and still readable."""


class ScorecardModel(FittedModel):
    """The additive scorecard: what is shipped adds up, so its parts are the reasons."""

    algorithm = (
        "Additive scorecard: piecewise-linear curves and category values in one logistic regression"
    )
    trusted = model.TRUSTED_TYPES
    inputs = staticmethod(model.inputs)

    @classmethod
    def fit(cls, rows: pd.DataFrame, strength: float, config: TrainSettings) -> ScorecardModel:
        """Return the scorecard fitted on ``rows``; ``strength`` is the inverse of the penalty."""
        fitted = model.fit(model.scorecard_estimator(rows, strength, config), rows)
        return cls(fitted, to_scorecard(fitted, rows))


def chosen(config: TrainSettings) -> type[Model]:
    """Return the kind of model that ``[train] model`` names."""
    return model_kind(config.model, {"scorecard": ScorecardModel, "boosting": BoostingModel})


def benchmark(frame: pd.DataFrame, c: float, config: TrainSettings) -> Pipeline:
    """Return the unfitted other kind of model: boosting beside a scorecard, and the reverse."""
    if config.model == "boosting":
        return model.scorecard_estimator(frame, c, config)
    return model.benchmark_estimator(config)


def benchmark_name(config: TrainSettings) -> str:
    """Return what the card calls the benchmark."""
    return "Additive scorecard" if config.model == "boosting" else model.BENCHMARK


def to_scorecard(estimator: Pipeline, frame: pd.DataFrame) -> Scorecard:
    """Return the fitted pipeline as data, centred: each feature averages zero over ``frame``.

    Every feature of the contract has its part. One that does not vary in ``frame`` is a flat curve.
    """
    weights = _weights(estimator)
    curves = [
        _curve(estimator, name, weights)
        if name in weights
        else _flat_curve(estimator, name, frame, weights)
        for name in NUMERIC
    ]
    levels = [_levels(estimator, name, weights[name]) for name in CATEGORICAL]
    intercept = float(estimator.named_steps["regression"].intercept_[0])
    raw = Scorecard(
        target=TARGET, intercept=intercept, numeric=tuple(curves), categorical=tuple(levels)
    )
    means = dict(zip(raw.features, raw.contributions(columns(frame)).mean(axis=0), strict=True))
    return Scorecard(
        target=TARGET,
        intercept=_round(intercept + sum(means.values())),
        numeric=tuple(_shifted_curve(curve, means[curve.name]) for curve in curves),
        categorical=tuple(_shifted_levels(level, means[level.name]) for level in levels),
    )


def _weights(estimator: Pipeline) -> dict[str, Floats]:
    """Return the coefficients of the regression by block of columns.

    Raises Misuse for another kind of pipeline, and Refused for a block that has no part here.
    """
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
    if unknown := [name for name in filled if name not in (*NUMERIC, *CATEGORICAL, "missing")]:
        raise Refused(
            f"Blocks of the pipeline that are in no part of the scorecard: {', '.join(unknown)}. "
            "Make what they compute a feature in contract.py, or ship them in to_scorecard()."
        )
    return {name: coefficients[part] for name, part in filled.items()}


def _curve(estimator: Pipeline, name: str, weights: dict[str, Floats]) -> Curve:
    """Return the curve of a number: in a spline of degree 1, coefficients are heights at knots."""
    steps = estimator.named_steps["columns"].named_transformers_[name].named_steps
    knots, heights = np.sinh(steps["spline"].bsplines_[0].t[1:-1]), weights[name]
    fill = np.arcsinh(float(steps["fill"].statistics_[0]))
    height_at_fill = float(np.interp(fill, np.arcsinh(knots), heights))
    return Curve(
        name=name,
        transform="asinh",
        knots=tuple(float(f"{knot:.3g}") for knot in knots),
        log_odds=tuple(float(height) for height in heights),
        missing_log_odds=height_at_fill + _missing_weight(estimator, name, weights),
    )


def _flat_curve(
    estimator: Pipeline, name: str, frame: pd.DataFrame, weights: dict[str, Floats]
) -> Curve:
    """Return a flat curve for a number that the fit left out. Only a missing value may count."""
    values = quantiles(frame[name], 2)
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
