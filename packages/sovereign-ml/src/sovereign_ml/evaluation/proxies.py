"""Proxies of protected groups: Cramer's V between inputs or score and each group column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sovereign_ml.evaluation.drift import binned, edges, named
from sovereign_ml.model.scorecard import Floats

if TYPE_CHECKING:
    import pandas as pd

    Column = pd.Series[Any]

BINS = 5
"""Coarse on purpose: few people in a cell make chance look like association."""
SCORE, TOGETHER = "score", "all_inputs_together"


def associations(
    frame: pd.DataFrame,
    p: Floats,
    groups: Mapping[str, Column],
    smallest: int,
    seed: int,
    numeric: Sequence[str],
    categorical: Sequence[str],
) -> list[dict[str, Any]]:
    """Return one entry for each group column and each input, the score, and all inputs together.

    ``value`` is Cramer's V, 0 (tells nothing) to 1 (tells the group), with numbers in fifths
    and a missing value as one more. "Together" compares the group with the guess of a small
    cross-validated tree from all inputs. Groups under ``smallest`` are left out. No count of a
    cell is stored.
    """
    columns = _columns(frame, p, numeric, categorical)
    rows = []
    for name, values in groups.items():
        sizes = values.value_counts()
        large = values.isin(sizes[sizes >= smallest].index).to_numpy()
        # One group alone has nobody to be told apart from.
        if values[large].nunique() < 2:
            continue
        compared = {label: column[large] for label, column in columns.items()}
        compared[TOGETHER] = _guessed(
            _codes(frame[large], numeric, categorical), values[large], seed
        )
        rows += [
            {
                "feature": label,
                "group": name,
                "value": cramers_v(column.to_numpy(), values[large].to_numpy()),
            }
            for label, column in compared.items()
        ]
    return rows


def cramers_v(first: Any, second: Any) -> float:
    """Return Cramer's V (1946) of two columns (n,) of names, 0 when one does not vary."""
    import pandas as pd
    from scipy.stats.contingency import association

    table = pd.crosstab(first, second).to_numpy()
    return 0.0 if min(table.shape) < 2 else round(float(association(table, method="cramer")), 6)


def _columns(
    frame: pd.DataFrame, p: Floats, numeric: Sequence[str], categorical: Sequence[str]
) -> dict[str, Column]:
    import pandas as pd

    numbers = {name: frame[name] for name in numeric} | {SCORE: pd.Series(p)}
    binned_numbers = {name: binned(values, edges(values, BINS)) for name, values in numbers.items()}
    return binned_numbers | {name: named(frame[name]) for name in categorical}


def _codes(frame: pd.DataFrame, numeric: Sequence[str], categorical: Sequence[str]) -> Floats:
    """Return all inputs as numbers, shape (n, features)."""
    import pandas as pd

    codes = {name: pd.factorize(frame[name])[0] for name in categorical}
    return frame[list(numeric)].assign(**codes).to_numpy(dtype=float)


def _guessed(inputs: Floats, values: Column, seed: int) -> Column:
    import pandas as pd
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.tree import DecisionTreeClassifier

    # Balanced, or the tree would guess the largest group for nearly everybody.
    tree = DecisionTreeClassifier(
        max_depth=4, min_samples_leaf=20, class_weight="balanced", random_state=seed
    )
    # A tree guesses the group of people whom it has learned from in any case.
    folds = StratifiedKFold(3, shuffle=True, random_state=seed)
    return pd.Series(
        np.asarray(cross_val_predict(tree, inputs, values.astype(str).to_numpy(), cv=folds))
    )
