"""A sequential test of observed against predicted rates, with a stated rate of false alarms.

It is an e-detector (Shin, Ramdas and Rinaldo 2022, arXiv 2203.03532): a Shiryaev-Roberts sum of betting e-values.
While the true gap stays within the tolerance, on average at least ``bound`` looks pass before a
false alarm, in each direction. That needs no normal distribution and no independence of months.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sovereign_ml.model.scorecard import Floats

__all__ = ["EDetector", "Look"]

STAKE = 0.3
"""Share of the wealth that is bet on each person. See `churn monitor backtest --simulate`."""


@dataclass(frozen=True)
class Look:
    """One batch of matured outcomes: its day, people, rates, and the evidence after it, per direction."""

    day: str
    n: int
    expected: float
    observed: float
    more: float
    fewer: float


@dataclass
class EDetector:
    """Evidence that more, or fewer, people churn than predicted; each alarm starts it anew."""

    tolerance: float
    bound: float
    looks: list[Look] = field(default_factory=list)
    _log: list[float] = field(default_factory=lambda: [-np.inf, -np.inf])

    def look(self, day: str, churned: Floats, predicted: Floats) -> bool:
        """Take in labels and probabilities (n,) of people whose windows are over; return whether it alarms."""
        gap = churned - predicted
        for place, sign in enumerate((1.0, -1.0)):
            # Each factor has an expectation of 1 at most while the gap is within the tolerance.
            factors = 1 + STAKE * (sign * gap - self.tolerance)
            evidence = float(np.log(factors).sum())
            self._log[place] = float(np.logaddexp(0.0, self._log[place])) + evidence
        more, fewer = (float(np.exp(min(value, 700.0))) for value in self._log)
        expected, observed = float(predicted.mean()), float(churned.mean())
        self.looks.append(Look(day, len(gap), expected, observed, more, fewer))
        alarm = max(more, fewer) >= self.bound
        if alarm:
            self._log = [-np.inf, -np.inf]
        return alarm


def simulate(
    detector: EDetector,
    *,
    histories: int,
    months: int,
    people: int,
    bias: float,
    start: int,
    shock: float,
    seed: int,
) -> Sequence[int | None]:
    """Return the month of the first alarm of each history, None without one.

    Predictions are uniform on .2 to .9. Each month has a shock of its own (normal, sd ``shock``),
    and from month ``start`` on the true rates differ by ``bias``.
    """
    rng = np.random.default_rng(seed)
    first: list[int | None] = []
    for _ in range(histories):
        run = EDetector(detector.tolerance, detector.bound)
        alarm = None
        for month in range(months):
            p = rng.uniform(0.2, 0.9, people)
            moved = p + rng.normal(0, shock) + (bias if month >= start else 0.0)
            y = (rng.random(people) < np.clip(moved, 0, 1)).astype(float)
            if run.look(str(month), y, p):
                alarm = month
                break
        first.append(alarm)
    return first
