"""Slices, groups of people, and the rule of thumb that the model has to beat.

Group columns never lie beside the features: they are joined in memory, for these figures only.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sovereign_ml.config.tables import EvaluateSettings
from sovereign_ml.evaluation import drift
from sovereign_ml.model.scorecard import Floats

from churn.contract import TARGET, WINDOWS

AGE_BANDS = (0, 30, 45, 60, 200)
TENURE_BANDS = (0, 30, 90, 180, np.inf)
COUNTED_DAYS = min(WINDOWS, key=lambda days: abs(days - 90))
"""The window whose purchases tell rare buyers from frequent ones: of about a quarter."""


def protected(
    valid: Path, customers: pd.Series[str], year: int, names: Sequence[str]
) -> dict[str, pd.Series[Any]]:
    """Return the groups ``names`` of each of ``customers``, in their order.

    Age is counted in ``year``. A group that is known of nobody is left out.
    """
    table = pd.read_parquet(valid / "groups.parquet").set_index("customer_id")
    if table.empty:
        return {}
    joined = table.reindex(customers.to_numpy()).reset_index(drop=True)
    groups = {
        "country": joined["country"],
        "age_band": _band(year - joined["birth_year"], AGE_BANDS, "years"),
    }
    return {name: groups[name] for name in names if groups[name].notna().any()}


def behavioural(rows: pd.DataFrame) -> dict[str, pd.Series[Any]]:
    """Return slices that need no group column, aligned with ``rows``: tenure and purchases."""
    purchases = pd.cut(
        rows[f"purchase_count_{COUNTED_DAYS}d"],
        [-np.inf, 1, 3, np.inf],
        labels=["1", "2-3", "4 or more"],
    )
    slices = {
        "tenure": _band(rows["tenure_days"], TENURE_BANDS, "days"),
        f"purchases_{COUNTED_DAYS}d": purchases.astype(object),
    }
    return {name: values.reset_index(drop=True) for name, values in slices.items()}


def _band(values: pd.Series[Any], edges: Sequence[float], unit: str) -> pd.Series[Any]:
    """Return the name of the band of each value, such as ``030-045 years``."""
    labels = [  # padded by zeros, so that the names sort in the order of the bands
        f"{low:03d} {unit} or more" if high == np.inf else f"{low:03d}-{high:03d} {unit}"
        for low, high in pairwise(edges)
    ]
    return pd.cut(values.astype("float64"), list(edges), labels=labels, right=False).astype(object)


def recency_only(past: pd.DataFrame, test: pd.DataFrame) -> Floats:
    """Return the probabilities of a regression on the days since the last purchase alone."""
    recency = "recency_days"
    estimator = LogisticRegression(solver="newton-cholesky")  # made for many rows of few columns
    estimator.fit(np.arcsinh(past[[recency]].to_numpy()), past[TARGET])  # the scale of the curves
    return np.asarray(estimator.predict_proba(np.arcsinh(test[[recency]].to_numpy()))[:, 1])


def representativeness(
    past: pd.DataFrame, now: pd.DataFrame, inputs: list[str], valid: Path, config: EvaluateSettings
) -> dict[str, Any]:
    """Compare the rows that the model learned from with the customers it scores now."""
    day = now["event_timestamp"].max()  # one year for both, or age alone would set them apart

    def groups_of(rows: pd.DataFrame) -> dict[str, pd.Series[Any]]:
        people = protected(valid, rows["customer_id"], day.year, config.groups)
        return behavioural(rows) | people

    learned, scored = groups_of(past), groups_of(now)
    both = {name: (learned[name], scored[name]) for name in sorted(learned.keys() & scored.keys())}
    return drift.compare(past, now, both, config.min_group, inputs)
