"""The estimator: an additive scorecard, and gradient boosting beside it as the benchmark.

This is the file to change for another model. Both are unfitted scikit-learn pipelines over the
features of contract.py. The library turns the fitted scorecard into data.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    SplineTransformer,
)
from sovereign_ml.config.tables import TrainSettings
from sovereign_ml.estimators import additive
from sovereign_ml.estimators.monotone import MonotoneLogistic, monotone_curves
from sovereign_ml.model.scorecard import Floats

from churn.contract import CATEGORICAL, EXPECTED, NUMERIC, TARGET

BENCHMARK = "HistGradientBoostingClassifier"
TRUSTED_TYPES = additive.TRUSTED_TYPES
"""Reviewed types in the two pipelines. Add those of yours that you have looked at."""


def scorecard_estimator(frame: pd.DataFrame, c: float, config: TrainSettings) -> Pipeline:
    """Return the unfitted scorecard: a curve per number, a value per category, one regression.

    ``c`` is the inverse strength of regularisation. Knots are quantiles of ``frame``. A column
    that does not vary there gets no curve in the pipeline, and a flat one in the scorecard. With
    ``[train] monotone`` a curve only rises or only falls, as contract.py declares.
    """
    knots = _knots(frame, config.knots)
    curves = [(name, _curve(frame[name], values), [name]) for name, values in knots.items()]
    # An indicator that is the same for everybody would share its weight with the intercept.
    gaps = [name for name in names(frame, NUMERIC) if frame[name].isna().nunique() > 1]
    if gaps:
        curves.append(("missing", MissingIndicator(features="all"), gaps))
    levels = category_levels(config)
    values = [(name, levels, [name]) for name in names(frame, CATEGORICAL)]
    columns = ColumnTransformer([*curves, *values])
    courses = monotone_curves(frame, knots, gaps, EXPECTED) if config.monotone else ()
    regression = MonotoneLogistic(C=c, curves=courses)
    return Pipeline([("columns", columns), ("regression", regression)])


def category_levels(config: TrainSettings) -> OneHotEncoder:
    """Return the unfitted encoder of categories: a column per frequent value, one for the rest."""
    return OneHotEncoder(
        max_categories=config.max_categories,
        min_frequency=20,  # a rarer value could point to one person
        handle_unknown="infrequent_if_exist",  # a value that comes later is a rare one
        sparse_output=False,
    )


def _knots(frame: pd.DataFrame, count: int) -> dict[str, Floats]:
    """Return the knots of each numeric column that varies."""
    knots = {name: additive.quantiles(frame[name], count) for name in names(frame, NUMERIC)}
    return {name: values for name, values in knots.items() if len(values) > 1}


def _curve(values: pd.Series[float], knots: Floats) -> Pipeline:
    """Return the piecewise-linear curve of one column. The median stands for a missing value."""
    fill = SimpleImputer(strategy="constant", fill_value=float(values.median()))
    asinh = FunctionTransformer(np.arcsinh)  # a logarithm that also takes zero and net returns
    spline = SplineTransformer(degree=1, knots=np.arcsinh(knots)[:, None], extrapolation="constant")
    return Pipeline([("fill", fill), ("asinh", asinh), ("spline", spline)])


def benchmark_estimator(frame: pd.DataFrame, config: TrainSettings) -> Pipeline:
    """Return unfitted gradient boosting on the same columns: the price of a readable model."""
    codes = OrdinalEncoder(  # boosting sends NaN its own way at each split
        handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan
    )
    numbers, values = names(frame, NUMERIC), names(frame, CATEGORICAL)
    columns = ColumnTransformer([("number", "passthrough", numbers), ("category", codes, values)])
    boosting = HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=150,
        max_leaf_nodes=15,
        min_samples_leaf=40,
        # Early stopping would hold out random rows, and with them customers at other cut-offs.
        early_stopping=False,
        random_state=config.seed,
    )
    return Pipeline([("columns", columns), ("boosting", boosting)])


def fit(estimator: Pipeline, frame: pd.DataFrame) -> Pipeline:
    """Return ``estimator``, fitted on the features and the label of ``frame``."""
    return estimator.fit(inputs(frame), frame[TARGET].to_numpy())


def training_set(features: Path) -> pd.DataFrame:
    """Return the rows of step 3, in an order that does not depend on the pseudonyms."""
    # Pseudonyms sort differently under every key. Resamples are drawn by row, so they would differ.
    frame = pd.read_parquet(features / "training.parquet")
    return frame.sort_values(
        ["event_timestamp", *names(frame), TARGET], kind="stable", ignore_index=True
    )


def names(frame: pd.DataFrame, known: Sequence[str] = (*NUMERIC, *CATEGORICAL)) -> list[str]:
    """Return those of the features ``known`` that ``frame`` has."""
    return [name for name in known if name in frame]


def inputs(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the model's columns of ``frame``, with None for a missing category."""
    table = frame[names(frame)].copy()
    for name in names(frame, CATEGORICAL):
        table[name] = [None if pd.isna(value) else value for value in table[name]]
    return table


def columns(frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Return the raw values of ``frame`` by feature, each of shape (n,): what a scorecard takes."""
    return {str(name): values.to_numpy() for name, values in inputs(frame).items()}
