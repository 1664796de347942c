"""Test of the monitor's rules on the past: their false alarms, and the faults that they find."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from sovereign_ml.bundle.sealed import Bundle
from sovereign_ml.config.monitoring import MonitorSettings
from sovereign_ml.errors import Refused
from sovereign_ml.monitoring import outcomes
from sovereign_ml.monitoring.comparison import breaches, compare
from sovereign_ml.monitoring.past_days import PastDays
from sovereign_ml.monitoring.population import Reference, columns, profile
from sovereign_ml.monitoring.reference import reference_of

if TYPE_CHECKING:
    import pandas as pd

LABELLED = (1, 2, 3, 4)
"""Numbers of horizons back to the cut-offs on which the speed of events is measured."""


class PastRun(BaseModel):
    """One past day: the rules that were broken, and the sizes of the shifts."""

    model_config = ConfigDict(frozen=True)

    day: str
    broken: dict[str, str]
    feature_shift: float
    score_shift: float
    early: dict[int, float]
    early_status: outcomes.EarlyStatus


class PlantedFault(BaseModel):
    """A fault planted into the newest day, the ``rules`` that should find it, and those broken."""

    model_config = ConfigDict(frozen=True)

    fault: str
    rules: tuple[str, ...]
    broken: dict[str, str]
    touches_model: bool
    """Whether the fault changes anything that the model looks at."""

    @property
    def is_found(self) -> bool:
        """Return whether a rule that should find this fault is broken."""
        return bool(set(self.rules) & self.broken.keys())


class BacktestReport(BaseModel):
    """Results of the rules on past days and on planted faults."""

    model_config = ConfigDict(frozen=True)

    runs: tuple[PastRun, ...]
    faults: tuple[PlantedFault, ...]

    @property
    def broken(self) -> list[PastRun]:
        """Return the runs on which a rule about data was broken, which alone is "watch"."""
        return [run for run in self.runs if run.broken]

    @property
    def twice(self) -> int:
        """Return the number of alarms: the same rule was broken on two runs in a row."""
        # The second list is one shorter, so the lengths differ on purpose.
        pairs = zip(self.runs, self.runs[1:], strict=False)
        return sum(bool(earlier.broken.keys() & later.broken.keys()) for earlier, later in pairs)


def backtest(
    sealed: Bundle, past: PastDays, limits: MonitorSettings, *, weeks: int, smallest: int
) -> BacktestReport:
    """Run the rules on the last ``weeks`` weeks, each day against the cut-off that was newest then.

    The monitor sees the same where the model is registered again every week. Days without a known
    fault show false alarms. Faults are planted into the newest day.
    """
    horizon = past.horizon_days
    newest = past.complete_until
    days = [newest - timedelta(days=7 * week) for week in reversed(range(weeks))]
    needed = {day - timedelta(days=back) for day in days for back in (0, *limits.early_days)}
    needed |= {day - timedelta(days=horizon * step) for day in days for step in LABELLED}
    # One query for all days, because each query scans all transactions.
    rows = past.snapshots(sorted(needed))
    every = {
        day: part.reset_index(drop=True)
        for day in sorted(needed)
        if len(part := rows[rows["event_timestamp"] == day])
    }
    days = [day for day in days if day in every and day - timedelta(days=horizon) in every]
    if not days:
        raise Refused(
            f"The transactions begin on {past.oldest_event:%Y-%m-%d} and end on "
            f"{past.newest_event:%Y-%m-%d}: no day has customers both then and {horizon} days "
            "before. A test on the past needs a longer history."
        )
    runs = []
    for day in days:
        reference = _reference(sealed, every[day - timedelta(days=horizon)])
        comparison = _compare(sealed, every[day], reference, 0.0)
        early = _early(sealed, past, every, day, limits, smallest)
        runs.append(
            PastRun(
                day=f"{day:%Y-%m-%d}",
                broken=breaches(comparison, limits),
                feature_shift=comparison.largest[1],
                score_shift=comparison.score_shift,
                early={look.day: look.ratio for look in early},
                early_status=outcomes.early_status(early, limits),
            )
        )
    last = days[-1]
    reference = _reference(sealed, every[last - timedelta(days=horizon)])
    faults = []
    for name, (_, plant) in FAULTS.items():
        rows = plant(every[last].copy(), sealed)
        # A column that no model uses is not watched: its fault changes no decision.
        touches = _inputs(sealed, rows) != _inputs(sealed, every[last])
        faults.append(_planted(sealed, name, rows, reference, limits, touches=touches))
    # The late feed comes last: it deletes the newest days from ``past`` for good.
    past.forget_from(last - timedelta(days=DAYS_LATE))
    age = (last - past.newest_event).total_seconds() / 86_400
    faults.append(_planted(sealed, LATE, past.snapshots([last]), reference, limits, age))
    return BacktestReport(runs=tuple(runs), faults=tuple(faults))


def _reference(sealed: Bundle, rows: pd.DataFrame) -> Reference:
    # The rules about data read neither outcomes nor groups.
    return reference_of(sealed.model, rows, 0.0, {}, {})


def _compare(sealed: Bundle, rows: pd.DataFrame, reference: Reference, age: float) -> Any:
    # The distance compares quantiles one by one, so both sides need equally many.
    now = profile(sealed.model, rows, reference.limits, points=len(reference.log_odds))
    return compare(now, reference, age)


def _early(
    sealed: Bundle,
    past: PastDays,
    every: Mapping[datetime, pd.DataFrame],
    day: datetime,
    limits: MonitorSettings,
    smallest: int,
) -> list[outcomes.EarlyLook]:
    """Return the early looks of ``day``, with the speed of events at earlier, labelled cut-offs.

    There are none if the oldest cut-off has a shorter history than the population needs.
    """
    import pandas as pd

    horizon = past.horizon_days
    starts = [day - timedelta(days=horizon * step) for step in LABELLED]
    labelled = [every[start] for start in starts if start in every]
    if min(starts) < past.usable_from or not labelled:
        return []
    shares = past.early_shares(pd.concat(labelled), limits.early_days, horizon)
    young = [
        every[day - timedelta(days=back)]
        for back in limits.early_days
        if day - timedelta(days=back) in every
    ]
    if not young:
        return []
    rows = pd.concat(young, ignore_index=True)
    score = sealed.model.probability(columns(sealed.model, rows))
    rows = rows[["customer_id", "event_timestamp"]].assign(score=score)
    return outcomes.early_looks(past, rows, shares, day, smallest=smallest)


def _planted(
    sealed: Bundle,
    name: str,
    rows: pd.DataFrame,
    reference: Reference,
    limits: MonitorSettings,
    age: float = 0.0,
    *,
    touches: bool = True,
) -> PlantedFault:
    """Return the results of the rules on ``rows``, which have the fault ``name``."""
    rules = FAULTS[name][0] if name in FAULTS else ("age",)
    comparison = _compare(sealed, rows, reference, age)
    broken = breaches(comparison, limits)
    return PlantedFault(fault=name, rules=rules, broken=broken, touches_model=touches)


def _inputs(sealed: Bundle, rows: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Return the model's inputs of each row as text, in which missing values are equal."""
    return [*rows[list(sealed.model.features)].astype(str).itertuples(index=False, name=None)]


def _cents(rows: pd.DataFrame, sealed: Bundle, every: int = 1) -> pd.DataFrame:
    money = [f.name for f in sealed.contract.features if f.unit == "EUR"]
    rows.loc[rows.index % every == 0, money] *= 100
    return rows


def _lost(rows: pd.DataFrame, sealed: Bundle, every: int = 1) -> pd.DataFrame:
    # The numbers that may be missing, such as gaps between purchases.
    features = sealed.contract.features
    optional = [f.name for f in features if f.missing_allowed and f.unit != "category"]
    rows.loc[rows.index % every == 0, optional] = np.nan
    return rows


def _renamed(rows: pd.DataFrame, sealed: Bundle) -> pd.DataFrame:
    for part in sealed.model.categorical:
        # A missing category has no name that could change.
        rows[part.name] = rows[part.name].map(lambda name: f"new {name}", na_action="ignore")
    return rows


def _half(rows: pd.DataFrame, sealed: Bundle) -> pd.DataFrame:
    return rows[rows.index % 2 == 0].reset_index(drop=True)


LATE, DAYS_LATE = "the feed is a week late", 7
FAULTS: Mapping[str, tuple[tuple[str, ...], Callable[[Any, Bundle], Any]]] = {
    "cents for euros": (("shift", "beyond"), _cents),
    "cents for euros in 10 % of rows": (("beyond",), partial(_cents, every=10)),
    "a column is lost": (("missing", "shift"), _lost),
    "20 % of its values are lost": (("missing",), partial(_lost, every=5)),
    "categories are renamed": (("unseen", "shift"), _renamed),
    "half of the customers are lost": (("volume",), _half),
}
"""For each fault in rows the rules that should find it, and the function that plants it."""
