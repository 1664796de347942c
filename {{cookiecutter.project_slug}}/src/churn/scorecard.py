"""The kind of model that is trained and served, and the benchmark beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd
from sklearn.pipeline import Pipeline
from sovereign_ml.config.tables import TrainSettings
from sovereign_ml.estimators import additive
from sovereign_ml.estimators.interface import FittedModel, Model, model_kind
from sovereign_ml.model.scorecard import Floats, Scorecard

from churn import model
from churn.boosting import BoostingModel
from churn.contract import CATEGORICAL, NUMERIC, TARGET


class ScorecardModel(FittedModel):
    """The additive scorecard: what is shipped adds up, so its parts are the reasons."""

    algorithm = (
        "Additive scorecard: piecewise-linear curves and category values in one logistic regression"
    )
    trusted = model.TRUSTED_TYPES
    inputs = staticmethod(model.inputs)

    @classmethod
    def fit(cls, rows: pd.DataFrame, strength: float, config: TrainSettings) -> ScorecardModel:
        """Return the scorecard fitted on ``rows``. ``strength`` is the inverse of the penalty."""
        fitted = model.fit(model.scorecard_estimator(rows, strength, config), rows)
        return cls(fitted, lambda: to_scorecard(fitted, rows))

    @classmethod
    def held_out(
        cls,
        past: pd.DataFrame,
        now: pd.DataFrame,
        strengths: Sequence[float],
        config: TrainSettings,
    ) -> Iterator[Floats]:
        """Yield the probabilities of ``now`` by a fit on ``past`` for each of ``strengths``."""
        pipeline = model.scorecard_estimator(past, 1.0, config)  # shared_design sets the strength
        rows = model.inputs(past), past[TARGET].to_numpy()
        yield from additive.shared_design(pipeline, rows, model.inputs(now), strengths)


def chosen(config: TrainSettings) -> type[Model]:
    """Return the kind of model that ``[train] model`` names."""
    return model_kind(config.model, {"scorecard": ScorecardModel, "boosting": BoostingModel})


def benchmark(frame: pd.DataFrame, c: float, config: TrainSettings) -> Pipeline:
    """Return the unfitted other kind of model: boosting beside a scorecard, and the reverse."""
    if config.model == "boosting":
        return model.scorecard_estimator(frame, c, config)
    return model.benchmark_estimator(frame, config)


def benchmark_name(config: TrainSettings) -> str:
    """Return the name of the benchmark on the card."""
    return "Additive scorecard" if config.model == "boosting" else model.BENCHMARK


def to_scorecard(estimator: Pipeline, frame: pd.DataFrame) -> Scorecard:
    """Return the fitted pipeline as data, in which each feature averages zero over ``frame``."""
    rows = model.inputs(frame)
    return additive.to_scorecard(
        estimator, rows, target=TARGET, numeric=NUMERIC, categorical=CATEGORICAL
    )
