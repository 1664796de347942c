"""Profile of a group of scored people, as aggregates without any row or person.

A profile of the newest labelled cut-off is sealed into the bundle as ``reference.json``. The
monitor compares the people of today with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from sovereign_ml.bundle.sealed import Manifest, sealed_bytes
from sovereign_ml.errors import Misuse
from sovereign_ml.evaluation.fidelity import columns_of
from sovereign_ml.model.scorecard import Floats, Scorecard

if TYPE_CHECKING:
    import pandas as pd

REFERENCE = "reference.json"
POINTS = 200
"""Number of quantiles of each distribution."""
PEOPLE_PER_POINT = 10
"""Smallest number of people per quantile, so that none is one person's value."""
BEYOND = 1.5
"""Multiple of the reference's 99th percentile beyond which a number is out of range."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FeatureProfile(_Frozen):
    """One feature: shares of people (0 to 1), and quantiles of its contribution in log-odds."""

    missing: float
    beyond: float
    unseen: float
    mean: float
    quantiles: tuple[float, ...]


class PopulationProfile(_Frozen):
    """Aggregates of scored people. ``log_odds`` are quantiles of the whole score."""

    customers: int
    mean_score: float
    mean_log_odds: float
    log_odds: tuple[float, ...]
    features: dict[str, FeatureProfile]


class Reference(PopulationProfile):
    """``reference.json``: the profile of the cut-off ``day``, and the outcomes of its people.

    ``limits`` are the ends of the usual range, in the unit of each number. ``early`` has, for a
    number of days, the share of the horizon's events that were known after them. ``groups`` has the
    shares of groups that are large enough to be shown.
    """

    schema_version: Literal["1"] = "1"
    day: date
    base_rate: float
    limits: dict[str, float]
    early: dict[int, float]
    groups: dict[str, dict[str, float]]


def columns(model: Scorecard, rows: pd.DataFrame) -> dict[str, Any]:
    """Return the model's columns of ``rows``, with None for a missing category."""
    table = rows[list(model.features)].copy()
    for part in model.categorical:
        # pandas has NaN for a missing category, and the model expects None.
        absent = table[part.name].isna()
        table[part.name] = [
            None if missing else value
            for value, missing in zip(table[part.name], absent, strict=True)
        ]
    return columns_of(table)


def usual_range(model: Scorecard, rows: pd.DataFrame) -> dict[str, float]:
    """Return the end of each number's usual range: a multiple of its 99th percentile."""
    ends = {}
    for part in model.numeric:
        # A net amount below zero can be out of range as well.
        sizes = np.abs(rows[part.name].dropna().to_numpy(dtype=float))
        if len(sizes):
            ends[part.name] = round(BEYOND * float(np.quantile(sizes, 0.99)), 6)
    return ends


def profile(
    model: Scorecard, rows: pd.DataFrame, limits: Mapping[str, float], *, points: int | None = None
) -> PopulationProfile:
    """Return the profile of ``rows`` under ``model``, with ``points`` quantiles."""
    values = columns(model, rows)
    parts = model.contributions(values)
    total = model.log_odds(values)
    count = points or max(1, min(POINTS, len(rows) // PEOPLE_PER_POINT))
    categories = [part.name for part in model.categorical]
    return PopulationProfile(
        customers=len(rows),
        mean_score=float((1 / (1 + np.exp(-total))).mean()),
        mean_log_odds=float(total.mean()),
        log_odds=_quantiles(total, count),
        features={
            name: FeatureProfile(
                missing=float(rows[name].isna().mean()),
                beyond=float((rows[name].abs() > limits[name]).mean()) if name in limits else 0.0,
                unseen=_unseen(rows[name], model.stored(name)) if name in categories else 0.0,
                mean=float(parts[:, place].mean()),
                quantiles=_quantiles(parts[:, place], count),
            )
            for place, name in enumerate(model.features)
        },
    )


def group_shares(
    groups: Mapping[str, pd.Series[Any]], smallest: int
) -> dict[str, dict[str, float]]:
    """Return the share of each group, without groups of fewer than ``smallest`` people."""
    shares = {}
    for name, values in groups.items():
        sizes = values.value_counts()
        # A category that nobody has is no group that could give another one away.
        sizes = sizes[sizes > 0]
        large = sizes[sizes >= smallest]
        # A single small group could be computed from the others, so one more is left out.
        if len(sizes) - len(large) == 1:
            large = large.iloc[:-1]
        shares[name] = {str(k): round(int(n) / len(values), 3) for k, n in large.items()}
    return shares


def read_reference(folder: Path, manifest: Manifest) -> Reference:
    """Return the reference that is sealed by ``manifest`` in the bundle ``folder``.

    Raises Misuse if the bundle has none, and ValueError if the file was changed.
    """
    path = folder / REFERENCE
    # A file that was laid beside a sealed bundle later is not its reference.
    if REFERENCE not in manifest.files:
        raise Misuse(
            f"{path} is no part of the bundle: this version was registered without a reference, so "
            "nothing can be compared with it. Let step 7 call `registration.write_reference(folder, "
            "features, valid)`, as that of a new project does, and run `churn register` again."
        )
    content = sealed_bytes(folder, REFERENCE, manifest)
    try:
        return Reference.model_validate_json(content)
    except ValidationError as error:
        raise Misuse(
            f"{path} is no reference of this release ({error.error_count()} errors): run "
            "`churn register` again."
        ) from None


def _quantiles(values: Floats, count: int) -> tuple[float, ...]:
    # Midpoints leave out the minimum and the maximum, which are values of single people.
    places = (np.arange(count) + 0.5) / count
    return tuple(round(float(value), 4) for value in np.quantile(values, places))


def _unseen(values: pd.Series[Any], levels: list[Any]) -> float:
    return float((values.notna() & ~values.isin(levels)).mean())
