"""Comparison of the people a model learned from with those it scores, small groups masked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sovereign_ml.model.scorecard import Floats

if TYPE_CHECKING:
    import pandas as pd

    Column = pd.Series[Any]
    Cutoffs = np.typing.NDArray[np.datetime64]

__all__ = ["BINS", "binned", "compare", "distance", "edges", "named"]

BINS = 10


def compare(
    past: pd.DataFrame,
    current: pd.DataFrame,
    groups: Mapping[str, tuple[Column, Column]],
    smallest: int,
    inputs: Sequence[str],
) -> dict[str, Any]:
    """Return ``groups`` with their shares, and the ``shifts`` of inputs and groups.

    A shift is the total variation distance of a column from the cut-off of ``past`` (n rows)
    that is most like ``current`` (m rows), 0 to 1. A share of fewer than ``smallest`` people is
    None.
    """
    # With a time zone, pandas would make an object of each time.
    cutoffs = past["event_timestamp"].dt.tz_localize(None).to_numpy()
    # The nearest cut-off counts, because some inputs grow by themselves, such as the time since the
    # first purchase.
    shifts = []
    for name in inputs:
        before, now = past[name], current[name]
        is_number = before.dtype.kind == "f"
        inner = edges(before, BINS) if is_number else None
        before, now = (
            named(values) if inner is None else binned(values, inner) for values in (before, now)
        )
        shifts.append(_shift(name, "input", before, now, cutoffs))
    shares = []
    for name, (before, now) in groups.items():
        learned, scored = named(before), named(now)
        shifts.append(_shift(name, "group", learned, scored, cutoffs))
        shares += _shares(name, learned, scored, smallest)
    return {"groups": shares, "shifts": shifts}


def distance(past: Column, current: Column) -> float:
    """Return the share of people who would have to change for both to be alike (0 to 1)."""
    # This is the total variation distance.
    gaps = past.value_counts(normalize=True).sub(current.value_counts(normalize=True), fill_value=0)
    return round(float(gaps.abs().sum()) / 2, 6)


def binned(values: Column, edges: Floats) -> Column:
    """Return the name of each number's bin. A missing value has a bin of its own."""
    import pandas as pd

    places = np.searchsorted(edges, values.to_numpy(dtype=float), side="left").astype(str)
    return pd.Series(np.where(values.isna(), "missing", places))


def edges(values: Column, bins: int) -> Floats:
    """Return the inner quantiles of the known values, each once, empty without any value."""
    numbers = values.dropna().to_numpy(dtype=float)
    if not len(numbers):
        return np.empty(0)
    quantiles: Floats = np.unique(np.quantile(numbers, np.linspace(0, 1, bins + 1)[1:-1]))
    return quantiles


def _shift(name: str, kind: str, past: Column, current: Column, cutoffs: Cutoffs) -> dict[str, Any]:
    """Return the distance of ``current`` from the nearest cut-off of ``past``, both by bin."""
    by_cutoff = past.reset_index(drop=True).groupby(cutoffs)
    nearest = min(distance(rows, current) for _, rows in by_cutoff)
    return {"name": name, "kind": kind, "value": nearest}


def named(values: Column) -> Column:
    """Return the name of each value. A missing one is called not known."""
    return values.astype(object).where(values.notna(), "not known").astype(str)


def _shares(name: str, past: Column, current: Column, smallest: int) -> list[dict[str, Any]]:
    """Return each group's share in both, without groups that are small in both."""
    shares = [
        {
            "group": f"{name}={value}",
            "train_share": _share(past == value, smallest),
            "population_share": _share(current == value, smallest),
        }
        for value in sorted(set(past) | set(current))
    ]
    return [
        row
        for row in shares
        if row["train_share"] is not None or row["population_share"] is not None
    ]


def _share(members: Column, smallest: int) -> float | None:
    return round(float(members.mean()), 2) if members.sum() >= smallest else None
