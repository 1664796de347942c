"""Conversion of fitted gradient boosting to trees as data.

The service reads the trees. Each feature also gets its average effect.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sovereign_ml.decisions.feature_contract import Direction
from sovereign_ml.model.scorecard import Curve, Levels
from sovereign_ml.model.trees import Codes, Forest, Tree

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["to_forest"]

SAMPLE = 300
"""Training rows over which an effect is averaged."""
_FARTHEST = sys.float_info.max


def to_forest(
    classifier: Any,
    numbers: Sequence[str],
    encoders: Mapping[str, Any],
    rows: pd.DataFrame,
    *,
    target: str,
    knots: Mapping[str, Sequence[float]],
    directions: Mapping[str, Direction],
) -> Forest:
    """Return a fitted HistGradientBoostingClassifier as trees.

    Its columns are the ``numbers`` as they stand, followed by the columns of each OneHotEncoder of
    ``encoders`` by category. ``rows`` are those of training. ``knots`` names every number of the
    contract and the values at which its average effect is computed. ``directions`` are the
    constraints under which the trees were grown.
    """
    names, codes = list(knots), {}
    splits: list[tuple[int, int | None]] = [(names.index(name), None) for name in numbers]
    for i, (name, encoder) in enumerate(encoders.items()):
        codes[name] = _codes(encoder)
        width = len(encoder.get_feature_names_out())
        splits += [(len(names) + i, code) for code in range(width)]
    forest = Forest(
        target=target,
        intercept=0.0,
        numeric=tuple(_flat(name, at) for name, at in knots.items()),
        categorical=tuple(
            _level(name, dict.fromkeys(table.codes, 0.0)) for name, table in codes.items()
        ),
        start=float(classifier._baseline_prediction.ravel()[0]),
        trees=tuple(_tree(stage[0].nodes, splits) for stage in classifier._predictors),
        codes=codes,
        directions=dict(directions),
    )
    return _drawn(forest, rows)


def _codes(encoder: Any) -> Codes:
    """Return the column of each category, of the rare ones together, and of a missing one."""
    rare = encoder.infrequent_categories_[0]
    infrequent = set() if rare is None else set(rare)
    frequent = [category for category in encoder.categories_[0] if category not in infrequent]
    table = {category: i for i, category in enumerate(frequent)}
    # Without rare ones there is no column for them: a code that no tree asks for.
    other = len(frequent)
    missing = table.pop(None, other)
    return Codes(codes=table, other=other, missing=missing)


def _tree(nodes: Any, splits: list[tuple[int, int | None]]) -> Tree:
    inner = ~nodes["is_leaf"].astype(bool)
    feature, threshold, missing_left = [], [], []
    for node, splits_here in zip(nodes, inner, strict=True):
        place, code = splits[node["feature_idx"]] if splits_here else (-1, None)
        feature.append(place)
        # A split of known from missing values has no end; JSON has no infinity.
        end = float(np.clip(node["num_threshold"], -_FARTHEST, _FARTHEST))
        threshold.append((float(code) if code is not None else end) if splits_here else 0.0)
        missing_left.append(bool(node["missing_go_to_left"]) if splits_here else False)
    return Tree(
        feature=tuple(feature),
        threshold=tuple(threshold),
        missing_left=tuple(missing_left),
        left=tuple(int(v) for v in np.where(inner, nodes["left"], 0)),
        right=tuple(int(v) for v in np.where(inner, nodes["right"], 0)),
        value=tuple(float(v) for v in np.where(inner, 0.0, nodes["value"])),
        covered=tuple(int(v) for v in nodes["count"]),
    )


def _drawn(forest: Forest, rows: pd.DataFrame) -> Forest:
    """Return ``forest`` with its intercept and each feature's average effect.

    The effect at a value is the average log-odds with that value for everybody, minus the average
    of the rows (partial dependence, Friedman 2001). It is averaged over some of the training
    ``rows``.
    """
    sample = rows.iloc[:: max(1, len(rows) // SAMPLE)]
    columns = {name: sample[name].to_numpy() for name in forest.features}
    single_row = {name: values[:1] for name, values in columns.items()}
    usual = float(forest.log_odds(columns).mean())

    def effect(name: str, value: Any) -> float:
        same = np.full(len(sample), value, dtype=object if name in forest.codes else np.float64)
        return float(f"{forest.log_odds({**columns, name: same}).mean() - usual:.6g}")

    curves = [
        curve.model_copy(
            update={
                "log_odds": tuple(effect(curve.name, knot) for knot in curve.knots),
                "missing_log_odds": effect(curve.name, np.nan),
            }
        )
        for curve in forest.numeric
    ]
    levels = [
        Levels(
            name=level.name,
            log_odds={name: effect(level.name, name) for name in level.log_odds},
            # No category has this name, so the trees take it for an unknown one.
            other_log_odds=effect(level.name, "\0"),
            missing_log_odds=effect(level.name, None),
        )
        for level in forest.categorical
    ]
    # What all contributions start from: the trees' own average, whatever the row.
    start = float(forest.log_odds(single_row)[0] - forest.contributions(single_row).sum())
    return forest.model_copy(
        update={"intercept": start, "numeric": tuple(curves), "categorical": tuple(levels)}
    )


def _flat(name: str, knots: Sequence[float]) -> Curve:
    at = tuple(float(knot) for knot in knots)
    return Curve(
        name=name,
        transform="asinh",
        knots=at if len(at) > 1 else (min(0.0, *at, 0.0), max(1.0, *at, 1.0)),
        log_odds=(0.0,) * max(2, len(at)),
        missing_log_odds=0.0,
    )


def _level(name: str, log_odds: dict[str, float]) -> Levels:
    return Levels(name=name, log_odds=log_odds, other_log_odds=0.0, missing_log_odds=0.0)
