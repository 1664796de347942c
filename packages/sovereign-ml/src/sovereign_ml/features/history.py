"""Checks of the history behind the cut-offs, and settings that fit a shorter history."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import TYPE_CHECKING, Any

from sovereign_ml.config.tables import FeatureSettings, LabelKind
from sovereign_ml.errors import Refused

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb
    import pandas as pd

__all__ = [
    "Population",
    "check_populations",
    "current_rows",
    "days_needed",
    "populations_of",
    "settings_that_fit",
    "with_all_features",
]

FEWEST = 3
"""Smallest number of cut-offs to train, tune and test on (``[features] cutoffs``)."""
CHURNERS = {
    "no_purchase": ("made no purchase in the horizon", "did not buy again"),
    "ended": ("ended their contract in the horizon", "ended their contract"),
}
"""Description of churn for each kind of label: in the horizon, and in short."""


def days_needed(config: FeatureSettings) -> int:
    """Return the days from the first purchase to the last one that fill every window."""
    span = config.every_days * (config.cutoffs - 1)
    return config.active_within_days + span + config.horizon_days


def settings_that_fit(days: int, config: FeatureSettings) -> str:
    """Return the ``[features]`` settings for a history of ``days``, in words for a message."""
    for before in (config.active_within_days, config.horizon_days):
        cutoffs = (days - before - config.horizon_days) // config.every_days + 1
        if cutoffs >= config.cutoffs:
            return f"all cut-offs fit; {days_needed(config):,} days fill the oldest one"
        if cutoffs >= FEWEST:
            return f"set cutoffs = {cutoffs}, or give {days_needed(config):,} days"
    # A half of the history for the first cut-off to look back on, the other half for the labels.
    horizon = days // (2 * FEWEST)
    if horizon >= 1:
        return (
            f"set cutoffs = {FEWEST}, every_days = {horizon} and horizon_days = {horizon}, "
            f"or give {days_needed(config):,} days"
        )
    return f"give {days_needed(config):,} days"


@dataclass(frozen=True)
class Population:
    """The customers of one labelled cut-off, and how many of them churned in the horizon."""

    cutoff: datetime
    customers: int
    churned: int

    def __str__(self) -> str:
        return f"{self.base_rate:.0%} of {self.customers:,}"

    @property
    def base_rate(self) -> float:
        """Return the share of churners."""
        return self.churned / max(1, self.customers)

    def facts(self) -> dict[str, Any]:
        """Return the figures for the summary."""
        return {
            "cutoff": f"{self.cutoff:%Y-%m-%d}",
            "customers": self.customers,
            "base_rate": round(self.base_rate, 4),
        }


def populations_of(
    connection: duckdb.DuckDBPyConnection, cuts: Sequence[datetime]
) -> list[Population]:
    """Return the customers and the churners of each cut-off in the table ``labels``."""
    rows = connection.execute(
        "SELECT event_timestamp, count(*), sum(churned) FROM labels GROUP BY ALL"
    ).fetchall()
    found = {cut: (int(customers), int(churned)) for cut, customers, churned in rows}
    return [Population(cut, *found.get(cut, (0, 0))) for cut in cuts]


def check_populations(
    populations: Sequence[Population],
    days: int,
    config: FeatureSettings,
    kind: LabelKind = "no_purchase",
) -> None:
    """Raise Refused where a cut-off has no customers, one label only, or an unusual base rate.

    ``days`` is the length of the history and ``kind`` the meaning of churn.
    """
    in_the_horizon, in_short = CHURNERS[kind]
    nobody = {
        "no_purchase": f"Nobody bought in the {config.active_within_days} days before",
        "ended": "Nobody with a transaction had a contract that started before, and ran at,",
    }[kind]
    for one in populations:
        at = f"{one.cutoff:%Y-%m-%d}"
        if not one.customers:
            raise Refused(
                f"{nobody} the cut-off {at}: "
                f"the data has {days:,} days, {config.cutoffs} cut-offs every {config.every_days} "
                f"days and a horizon of {config.horizon_days} ask for {days_needed(config):,}. "
                f"Under [features]: {settings_that_fit(days, config)}; or is a date wrong?"
            )
        if one.churned in (0, one.customers):
            raise Refused(
                f"The label has one class at {at}: {one.churned:,} of {one.customers:,} customers "
                f"{in_the_horizon}. Change [features] horizon_days, or check the "
                "dates: does the data stop before its newest event?"
            )
    if far := [one for one in populations if _is_far(one, populations, config)]:
        names = ", ".join(f"{one.cutoff:%Y-%m-%d} ({one})" for one in far)
        usual = median(one.base_rate for one in populations)
        raise Refused(
            f"The share of customers who {in_short} is far from the others at the cut-off "
            f"{names}; the median is {usual:.0%}, [features] max_base_rate_gap allows a gap of "
            f"{config.max_base_rate_gap:.0%}. Look for an outage, a feed that lags or a wrong date "
            "in the days after it. If the shop is like that, raise max_base_rate_gap, or choose "
            "every_days and horizon_days that fit its rhythm."
        )


def _is_far(one: Population, populations: Sequence[Population], config: FeatureSettings) -> bool:
    """Return whether a base rate differs from the others' median by more than chance explains."""
    others = [other.base_rate for other in populations if other is not one]
    if not others:
        return False
    # Standard error of a share is at most 0.5 / sqrt(n).
    chance = 0.5 / math.sqrt(max(1, one.customers))
    return abs(one.base_rate - median(others)) > config.max_base_rate_gap + chance


def current_rows(features: Path) -> pd.DataFrame:
    """Return the newest snapshot in the artifact ``features``: the customers who are scored now."""
    import pandas as pd

    rows = pd.read_parquet(features / "snapshots.parquet")
    current: pd.DataFrame = rows[rows["event_timestamp"] == rows["event_timestamp"].max()]
    return current


def with_all_features(
    sql: Any, valid: Path, config: FeatureSettings, kind: LabelKind, rows: pd.DataFrame
) -> pd.DataFrame:
    """Return ``rows`` with every feature that ``sql`` computes, in the same order.

    The rows have customer_id and event_timestamp. ``sql`` is the project's module ``features``,
    which has the contract's FEATURES. Features that ``[features] inputs`` leaves out are stored
    nowhere. They are computed again from the purchases in ``valid`` where a figure asks what they
    would add.
    """
    lacking = [feature.name for feature in sql.FEATURES if feature.name not in rows]
    if not lacking:
        return rows
    connection = sql.load(valid, kind)
    days = sorted(day.tz_localize(None).to_pydatetime() for day in rows["event_timestamp"].unique())
    sql.compute(connection, days, config, kind)
    computed = connection.execute("FROM snapshots").df()
    # Snapshots have the times of the SQL, without a zone; the training set has UTC.
    zone = rows["event_timestamp"].dt.tz
    computed["event_timestamp"] = computed["event_timestamp"].dt.tz_localize(zone)
    keys = ["customer_id", "event_timestamp"]
    # A customer twice at one cut-off would multiply rows without an error.
    whole: pd.DataFrame = rows.merge(
        computed[[*keys, *lacking]], on=keys, how="left", validate="one_to_one"
    )
    return whole
