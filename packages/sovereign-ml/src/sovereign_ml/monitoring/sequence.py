"""A sequential test of observed against predicted rates, with a stated rate of false alarms.

It is an e-detector (Shin, Ramdas and Rinaldo 2022, arXiv 2203.03532): a Shiryaev-Roberts sum of
betting e-values. While the true gap stays within the tolerance, on average at least ``bound`` looks
pass before a false alarm, in each direction. That needs no normal distribution and no independence
of months.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sovereign_ml.model.scorecard import Floats

STAKE = 0.08
"""Share of the wealth that is bet on each person.

In simulations with shocks of two points a month, larger stakes gave more false alarms and smaller
ones found a bias later.
"""


@dataclass(frozen=True)
class Look:
    """One batch of matured outcomes, with rates and the evidence after it in each direction."""

    day: str
    n: int
    expected: float
    observed: float
    more: float
    fewer: float


@dataclass
class EDetector:
    """Evidence that more, or fewer, people churn than predicted. An alarm resets it."""

    tolerance: float
    bound: float
    looks: list[Look] = field(default_factory=list)
    _log: list[float] = field(default_factory=lambda: [-np.inf, -np.inf])

    def look(self, day: str, churned: Floats, predicted: Floats) -> bool:
        """Add labels and probabilities (n,) of matured people, and return whether it alarms."""
        gap = churned - predicted
        for place, sign in enumerate((1.0, -1.0)):
            # Each factor has an expectation of 1 at most while the gap is within the tolerance.
            factors = 1 + STAKE * (sign * gap - self.tolerance)
            evidence = float(np.log(factors).sum())
            # log(1 + sum): the Shiryaev-Roberts sum also allows that the change begins right now.
            self._log[place] = float(np.logaddexp(0.0, self._log[place])) + evidence
        # A float cannot hold exp(710).
        more, fewer = (float(np.exp(min(value, 700.0))) for value in self._log)
        expected, observed = float(predicted.mean()), float(churned.mean())
        self.looks.append(Look(day, len(gap), expected, observed, more, fewer))
        alarm = max(more, fewer) >= self.bound
        if alarm:
            self._log = [-np.inf, -np.inf]
        return alarm
