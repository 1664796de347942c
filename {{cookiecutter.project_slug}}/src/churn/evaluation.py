"""What is reported besides the headline figures: groups of people, slices, and simple rules to beat.

Group columns are read apart from the features and joined in memory only.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from churn.contract import CATEGORICAL, NUMERIC, TARGET
from sovereign_ml.config.tables import EvaluateSettings
from sovereign_ml.evaluation import drift
from sovereign_ml.model.scorecard import Floats
from sovereign_ml.storage.artifacts import read_json

AGE_BANDS = (0, 30, 45, 60, 200)
TENURE_BANDS = (0, 30, 90, 180, 366)


def protected(
    valid: Path, customers: pd.Series[str], year: int, names: Sequence[str]
) -> dict[str, pd.Series[Any]]:
    """Return the configured groups of each of ``customers``, in their order; none without a table."""
    table = pd.read_parquet(valid / "groups.parquet").set_index("customer_id")
    if table.empty:
        return {}
    joined = table.reindex(customers.to_numpy())
    columns = {
        "country": joined["country"],
        "age_band": _band(year - joined["birth_year"], AGE_BANDS, "years"),
    }
    return {n: columns[n].reset_index(drop=True) for n in names if columns[n].notna().any()}


def behavioural(frame: pd.DataFrame) -> dict[str, pd.Series[Any]]:
    """Return slices that need no group column: tenure, and how often somebody buys."""
    often = frame["purchase_count_90d"].map(
        lambda n: "1" if n <= 1 else "2-3" if n <= 3 else "4 or more"
    )
    bands = {"tenure": _band(frame["tenure_days"], TENURE_BANDS, "days"), "purchases_90d": often}
    return {name: values.reset_index(drop=True) for name, values in bands.items()}


def _band(values: pd.Series[Any], edges: Sequence[int], unit: str) -> pd.Series[Any]:
    labels = [f"{a:03d}-{b:03d} {unit}" for a, b in pairwise(edges)]
    bands = pd.cut(values.astype("float64"), list(edges), labels=labels, right=False)
    return bands.astype(object)


def recency_only(past: pd.DataFrame, test: pd.DataFrame) -> Floats:
    """Return what a rule of thumb gives: a regression on the days since the last purchase alone."""

    def column(frame: pd.DataFrame) -> Floats:
        result: Floats = np.arcsinh(frame[["recency_days"]].to_numpy())
        return result

    fitted = LogisticRegression(solver="newton-cholesky").fit(column(past), past[TARGET])
    result: Floats = fitted.predict_proba(column(test))[:, 1]
    return result


def representativeness(
    past: pd.DataFrame, features: Path, valid: Path, config: EvaluateSettings
) -> dict[str, Any]:
    """Compare the rows that the model learned from with the people it scores now."""
    every = pd.read_parquet(features / "snapshots.parquet")
    current = pd.Timestamp(read_json(features / "summary.json")["current"])
    now = every[every["event_timestamp"] == current]

    def grouped(frame: pd.DataFrame) -> dict[str, pd.Series[Any]]:
        groups = protected(valid, frame["customer_id"], current.year, config.groups)
        return behavioural(frame) | groups

    learned, scored = grouped(past), grouped(now)
    both = {name: (learned[name], scored[name]) for name in sorted(learned.keys() & scored.keys())}
    return drift.compare(past, now, both, config.min_group, NUMERIC, CATEGORICAL)
