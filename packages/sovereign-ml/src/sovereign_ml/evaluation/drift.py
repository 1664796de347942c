"""Does the model learn from people like those it scores? Shares and distances, small groups never told apart."""

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
    """Return ``groups`` with their shares, and ``shifts``: how far the people scored are from those learned from.

    A shift is the total variation distance of an input or a group column from the cut-off of ``past`` (n rows)
    that is most like ``current`` (m rows): 0 says alike, 1 that they share no value. What grows by itself, such
    as the time since the first purchase, is therefore no shift as long as the newest cut-off is near.
    A share of fewer than ``smallest`` people is None.
    """
    cutoffs = past["event_timestamp"].to_numpy()
    shifts = []
    for name in inputs:
        before, now = past[name], current[name]
        is_number = before.dtype.kind == "f"
        before, now = _binned(before, now) if is_number else (named(before), named(now))
        shifts.append(_shift(name, "input", before, now, cutoffs))
    shown = []
    for name, (before, now) in groups.items():
        one, other = named(before), named(now)
        shifts.append(_shift(name, "group", one, other, cutoffs))
        shown += _shares(name, one, other, smallest)
    return {"groups": shown, "shifts": shifts}


def distance(one: Column, other: Column) -> float:
    """Total variation: the share of people who would have to change for both to be alike (0 to 1)."""
    gaps = one.value_counts(normalize=True).sub(other.value_counts(normalize=True), fill_value=0)
    return round(float(gaps.abs().sum()) / 2, 6)


def binned(values: Column, edges: Floats) -> Column:
    """The bin of each number, by name; a missing value is a bin of its own."""
    import pandas as pd

    places = np.searchsorted(edges, values.to_numpy(dtype=float), side="left").astype(str)
    return pd.Series(np.where(values.isna(), "missing", places))


def edges(values: Column, bins: int) -> Floats:
    """Inner quantiles of the known values, each once; empty when nothing is known."""
    known = values.dropna().to_numpy(dtype=float)
    found: Floats = (
        np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1]))
        if len(known)
        else np.empty(0)
    )
    return found


def _shift(name: str, kind: str, past: Column, current: Column, cutoffs: Cutoffs) -> dict[str, Any]:
    """Return the distance of ``current`` from the nearest cut-off of ``past``, both by bin."""
    by_cutoff = past.reset_index(drop=True).groupby(cutoffs)
    nearest = min(distance(rows, current) for _, rows in by_cutoff)
    return {"name": name, "kind": kind, "value": nearest}


def _binned(before: Column, now: Column) -> tuple[Column, Column]:
    inner = edges(before, BINS)
    return binned(before, inner), binned(now, inner)


def named(values: Column) -> Column:
    """The name of each value; what is missing is not known."""
    return values.astype(object).where(values.notna(), "not known").astype(str)


def _shares(name: str, one: Column, other: Column, smallest: int) -> list[dict[str, Any]]:
    """Each group's share in both, left out where it is small in both."""
    shares = [
        {
            "group": f"{name}={value}",
            "train_share": _share(one == value, smallest),
            "population_share": _share(other == value, smallest),
        }
        for value in sorted(set(one) | set(other))
    ]
    return [
        row
        for row in shares
        if row["train_share"] is not None or row["population_share"] is not None
    ]


def _share(members: Column, smallest: int) -> float | None:
    return round(float(members.mean()), 2) if members.sum() >= smallest else None
