"""Which inputs give a protected group away: Cramer's V between each input, the score and each group column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from churn.contract import CATEGORICAL, NUMERIC
from sovereign_ml.evaluation.drift import binned, edges, named
from sovereign_ml.model.scorecard import Floats

if TYPE_CHECKING:
    import pandas as pd

    Column = pd.Series[Any]

BINS = 5
"""Coarse on purpose: few people in a cell make chance look like association."""
SCORE, TOGETHER = "score", "all_inputs_together"


def associations(
    frame: pd.DataFrame, p: Floats, groups: Mapping[str, Column], smallest: int, seed: int
) -> list[dict[str, Any]]:
    """One entry for each input, the score ``p`` (n,) and all inputs together, and each column of ``groups``.

    ``value`` is Cramer's V, 0 (tells nothing) to 1 (tells the group), with numbers in fifths and a missing value as
    one more. "Together" compares the group with what a small cross-validated tree guesses from all inputs. Groups
    under ``smallest`` are left out; no count of a cell is kept.
    """
    columns = _columns(frame, p)
    found = []
    for name, values in groups.items():
        sizes = values.value_counts()
        kept = values.isin(sizes[sizes >= smallest].index).to_numpy()
        if values[kept].nunique() < 2:
            continue
        told = {label: column[kept] for label, column in columns.items()}
        told[TOGETHER] = _guessed(frame[kept], values[kept], seed)
        found += [
            {
                "feature": label,
                "group": name,
                "value": cramers_v(column.to_numpy(), values[kept].to_numpy()),
            }
            for label, column in told.items()
        ]
    return found


def cramers_v(one: Any, other: Any) -> float:
    """Cramer's V (1946) of two columns (n,) of names; 0 when one of them does not vary."""
    import pandas as pd
    from scipy.stats.contingency import association

    table = pd.crosstab(one, other).to_numpy()
    return 0.0 if min(table.shape) < 2 else round(float(association(table, method="cramer")), 6)


def _columns(frame: pd.DataFrame, p: Floats) -> dict[str, Column]:
    import pandas as pd

    numbers = {name: frame[name] for name in NUMERIC} | {SCORE: pd.Series(p)}
    told = {name: binned(values, edges(values, BINS)) for name, values in numbers.items()}
    return told | {name: named(frame[name]) for name in CATEGORICAL}


def _guessed(frame: pd.DataFrame, values: Column, seed: int) -> Column:
    import pandas as pd
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.tree import DecisionTreeClassifier

    codes = {name: pd.factorize(frame[name])[0] for name in CATEGORICAL}
    inputs = frame[list(NUMERIC)].assign(**codes).to_numpy(dtype=float)
    tree = DecisionTreeClassifier(
        max_depth=4, min_samples_leaf=20, class_weight="balanced", random_state=seed
    )
    folds = StratifiedKFold(3, shuffle=True, random_state=seed)
    return pd.Series(
        np.asarray(cross_val_predict(tree, inputs, values.astype(str).to_numpy(), cv=folds))
    )
