"""Gradient boosting as the model that is served: trees under the expected directions.

``[train] model = "boosting"`` chooses it. docs/extending.md says what it changes for people.
"""

from __future__ import annotations

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sovereign_ml.config.tables import TrainSettings
from sovereign_ml.decisions.feature_contract import Direction
from sovereign_ml.estimators.additive import quantiles
from sovereign_ml.estimators.boosting import to_forest
from sovereign_ml.estimators.interface import FittedModel
from sovereign_ml.model.trees import Forest

from churn import model
from churn.contract import CATEGORICAL, EXPECTED, NUMERIC, TARGET


class BoostingModel(FittedModel):
    """Shallow boosted trees: each answer is explained by exact Shapley values."""

    algorithm = "Gradient boosting: shallow trees, explained by exact Shapley values"
    trusted = model.TRUSTED_TYPES
    inputs = staticmethod(model.inputs)

    @classmethod
    def fit(cls, rows: pd.DataFrame, strength: float, config: TrainSettings) -> BoostingModel:
        """Return the trees fitted on ``rows``. ``strength`` is the inverse of the penalty."""
        held = EXPECTED if config.monotone else {}
        pipeline = model.fit(boosting_estimator(rows, strength, config, held), rows)
        table = model.inputs(rows)
        numbers = model.names(rows, NUMERIC)

        def ship() -> Forest:
            columns = pipeline.named_steps["columns"].named_transformers_
            return to_forest(
                pipeline.named_steps["boosting"],
                known_numbers(rows),
                {name: columns[name] for name in model.names(rows, CATEGORICAL)},
                table,
                target=TARGET,
                knots={name: quantiles(rows[name], config.knots).tolist() for name in numbers},
                directions=held,
            )

        return cls(pipeline, ship)  # on demand, because most fits are measured and never shipped


def known_numbers(frame: pd.DataFrame) -> list[str]:
    """Return the numbers that are known of anybody: nothing can be learned of the others."""
    return [name for name in model.names(frame, NUMERIC) if frame[name].notna().any()]


def boosting_estimator(
    frame: pd.DataFrame, c: float, config: TrainSettings, held: dict[str, Direction]
) -> Pipeline:
    """Return unfitted boosting: numbers as they are, a column for each frequent category.

    The trees are shallow, so that one answer is explained in milliseconds. They stop at a fixed
    number: early stopping would hold out random rows, and with them the same customers.
    """
    numbers, categories = known_numbers(frame), model.names(frame, CATEGORICAL)
    levels = model.category_levels(config)
    columns = ColumnTransformer(
        [("number", "passthrough", numbers), *((name, levels, [name]) for name in categories)]
    )
    signs = {"raises": 1, "lowers": -1}
    table = model.inputs(frame)
    width = sum(len(levels.fit(table[[name]]).get_feature_names_out()) for name in categories)
    boosting = HistGradientBoostingClassifier(
        learning_rate=0.08,
        max_iter=120,
        max_depth=4,
        max_leaf_nodes=8,
        min_samples_leaf=40,
        l2_regularization=1 / c,
        monotonic_cst=[signs.get(held.get(name, ""), 0) for name in numbers] + [0] * width,
        early_stopping=False,
        random_state=config.seed,
    )
    return Pipeline([("columns", columns), ("boosting", boosting)])
