"""Outcomes of the people who were scored: figures on matured decisions, and an early look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from sovereign_ml.config.monitoring import MonitorSettings
from sovereign_ml.evaluation import bootstrap, metrics
from sovereign_ml.model.scorecard import Floats
from sovereign_ml.monitoring.past_days import PastDays
from sovereign_ml.monitoring.sequence import EDetector

if TYPE_CHECKING:
    import pandas as pd

EarlyStatus = Literal["ok", "watch", "alarm"]
Flags = NDArray[np.bool_]
RESAMPLES = 100
FEWEST = 10
"""Smallest number of people with each outcome for figures on real outcomes."""
Z = 4.0
"""Number of standard errors beyond which an early look alarms."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Cohort(_Frozen):
    """Decisions of one week. ``open`` counts those whose horizon is not over."""

    week: str
    n: int
    open: int
    expected: float
    observed: float | None


class EarlyLook(_Frozen):
    """Expected and observed events ``day`` days after a decision.

    ``estimate`` is the outcome rate at the end of the horizon if events go on in the same ratio.
    """

    day: int
    decided: str
    n: int
    expected: float
    observed: float
    z: float
    estimate: float | None = None

    @property
    def ratio(self) -> float:
        """Return observed events divided by expected ones, infinity where none was expected."""
        if not self.expected:
            return float("inf") if self.observed else 1.0
        return self.observed / self.expected

    def is_off(self, limits: MonitorSettings) -> bool:
        """Return whether the look is off by more than the ratio, and not by chance."""
        return abs(self.ratio - 1) > limits.early_ratio and abs(self.z) > Z


class RealisedFigures(_Frozen):
    """Figures on matured decisions with 95 % intervals, as in the card for its test set."""

    who: str
    n: int
    expected: float
    observed: float
    figures: dict[str, dict[str, float]]


def early_status(looks: Sequence[EarlyLook], limits: MonitorSettings) -> EarlyStatus:
    """Return "alarm" for a look that is off, but "watch" for the noisy first week alone."""
    off = {look.day for look in looks if look.is_off(limits)}
    first = set(limits.early_days[:1]) if len(limits.early_days) > 1 else set()
    return "alarm" if off - first else "watch" if off else "ok"


def first_of_each(rows: pd.DataFrame, horizon_days: int) -> pd.DataFrame:
    """Return the first decision of each person and horizon, so that an outcome counts once."""
    chosen: list[int] = []
    last: dict[Any, Any] = {}
    # Of two decisions at the same time, the first one in the log counts.
    ordered = rows.sort_values("event_timestamp", kind="stable")
    window = timedelta(days=horizon_days)
    pairs = zip(ordered.index, ordered["customer_id"], ordered["event_timestamp"], strict=True)
    for index, customer, at in pairs:
        if customer not in last or at >= last[customer] + window:
            chosen.append(index)
            last[customer] = at
    return rows.loc[chosen].reset_index(drop=True)


def contacted(rows: pd.DataFrame, contacts: pd.DataFrame, horizon_days: int) -> Flags:
    """Return which of ``rows`` had an offer of a campaign that can change the outcome, shape (n,).

    That is one less than a horizon before the day of the row, or within the horizon that follows.
    """
    window = timedelta(days=horizon_days)
    # Rows of one person are few, so a join costs less than a search for each.
    days = rows[["customer_id", "event_timestamp"]].reset_index(names="row")
    pairs = days.merge(contacts, on="customer_id")
    near = (pairs["contacted_at"] - pairs["event_timestamp"]).abs() < window
    return rows.index.isin(pairs.loc[near, "row"])


def realised(who: str, churned: Floats, score: Floats) -> RealisedFigures | None:
    """Return figures of matured decisions with labels (n,), None if labels or scores are equal.

    Of fewer than `FEWEST` people with an outcome, no interval can be resampled: it would show the
    spread of the others only.
    """
    y = churned.astype(np.int64)
    # One score for all has no order, and no slope either.
    if np.bincount(y, minlength=2).min() < FEWEST or len(set(score)) < 2:
        return None
    ranked = bootstrap.Ranked(y, score)

    def measure(weights: metrics.Labels) -> dict[str, float]:
        return ranked.figures(weights) | ranked.calibration(weights)

    return RealisedFigures(
        who=who,
        n=len(y),
        expected=float(score.mean()),
        observed=float(y.mean()),
        # A fixed seed, so that a repeated report shows the same interval.
        figures=bootstrap.intervals(y, measure, RESAMPLES, seed=7),
    )


def by_week(rows: pd.DataFrame) -> list[Cohort]:
    """Return observed and expected rates by week of decision. ``churned`` may be NaN."""
    cohorts = []
    # W-SUN ends a week on Sunday, so it starts on Monday as in ISO 8601.
    weeks = rows["event_timestamp"].dt.to_period("W-SUN").dt.start_time
    for week, part in rows.groupby(weeks):
        over = part[part["churned"].notna()]
        # While windows are open, those that are over would show too many or too few churners.
        whole = len(over) == len(part)
        cohorts.append(
            Cohort(
                week=f"{week:%Y-%m-%d}",
                n=len(part),
                open=len(part) - len(over),
                expected=float((over if len(over) else part)["score"].mean()),
                observed=float(over["churned"].mean()) if len(over) and whole else None,
            )
        )
    return cohorts


def early_looks(
    past: PastDays,
    rows: pd.DataFrame,
    shares: Mapping[int, float],
    known_until: datetime,
    *,
    smallest: int,
) -> list[EarlyLook]:
    """Compare the events in the first days of young decisions with those that scores predict.

    The label "no purchase in 30 days" is censored, not hidden: each purchase reveals it. Of the
    buyers that a score predicts, the share ``shares[day]`` has bought by then. Each look takes the
    people decided in the week that ended ``day`` days before ``known_until``. It takes a whole
    week, because a part of it has other weekdays.
    """
    looks = []
    for day, share in sorted(shares.items()):
        end = known_until - timedelta(days=day)
        times = rows["event_timestamp"]
        young = rows[(times <= end) & (times > end - timedelta(days=7))]
        happened = past.events(young, day) if len(young) else np.empty(0)
        is_known = ~np.isnan(happened)
        if is_known.sum() < smallest:
            continue
        score = young["score"].to_numpy(dtype=float)[is_known]
        chance = (score if past.events_are_churn else 1 - score) * share
        expected, observed = float(chance.sum()), float(happened[is_known].sum())
        # Scores of 0 and 1 alone have no spread.
        spread = float(np.sqrt((chance * (1 - chance)).sum())) or 1.0
        # Buyers who come more often by a tenth in the first days do so until the end, it assumes.
        events = min(1.0, observed / share / len(score)) if share else 0.0
        looks.append(
            EarlyLook(
                day=day,
                decided=f"{end:%Y-%m-%d}",
                n=int(is_known.sum()),
                expected=expected,
                observed=observed,
                z=(observed - expected) / spread,
                estimate=events if past.events_are_churn else 1 - events,
            )
        )
    return looks


def watch_rates(
    rows: pd.DataFrame, horizon_days: int, limits: MonitorSettings
) -> tuple[EDetector, Sequence[str]]:
    """Return the detector after one look per horizon of matured ``rows``, and its alarm days."""
    detector = EDetector(limits.tolerance, limits.looks_per_false_alarm)
    alarms: list[str] = []
    matured = rows[rows["churned"].notna()]
    if matured.empty:
        return detector, alarms
    first = matured["event_timestamp"].min().normalize()
    batch = (matured["event_timestamp"] - first) // timedelta(days=horizon_days)
    for _, part in matured.groupby(batch):
        if len(part) < limits.min_decisions:
            continue
        day = f"{part['event_timestamp'].max():%Y-%m-%d}"
        churned = part["churned"].to_numpy(dtype=float)
        if detector.look(day, churned, part["score"].to_numpy(dtype=float)):
            alarms.append(day)
    return detector, alarms


class Challenge(_Frozen):
    """Differences between a candidate and the model in use on the same people, with 95 % intervals.

    Positive ``roc_auc`` and negative ``brier`` speak for the candidate. ``source`` says where the
    people come from: the decision log, or past days computed anew.
    """

    version: str
    source: str
    n: int
    roc_auc: dict[str, float]
    brier: dict[str, float]


def challenge(
    version: str, churned: Floats, candidate: Floats, in_use: Floats, *, source: str
) -> Challenge:
    """Return the candidate's figures less those of the model in use. All arrays have shape (n,)."""
    y = churned.astype(np.int64)
    new, current = bootstrap.Ranked(y, candidate), bootstrap.Ranked(y, in_use)

    def measure(weights: metrics.Labels) -> dict[str, float]:
        ours, theirs = new.figures(weights), current.figures(weights)
        return {name: ours[name] - theirs[name] for name in ("roc_auc", "brier")}

    gaps = bootstrap.intervals(y, measure, 2 * RESAMPLES, seed=7)
    return Challenge(
        version=version, source=source, n=len(y), roc_auc=gaps["roc_auc"], brier=gaps["brier"]
    )
