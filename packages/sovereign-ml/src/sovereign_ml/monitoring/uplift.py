"""Whether an action works: churn with and without it, between groups that a keyed hash drew."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from sovereign_ml.model.scorecard import Floats

__all__ = ["Uplift", "people_needed", "uplift"]

Flags = NDArray[np.bool_]
Z95, Z_POWER = 1.959964, 0.841621
"""Normal quantiles of a 95 % interval and of a power of 80 %."""


class Uplift(BaseModel):
    """Churn that the action prevented, as a difference of rates with a 95 % interval.

    ``adjusted`` uses what the scores explain already (CUPED, Deng et al. 2013), which makes the
    interval narrower and moves nothing on average.
    """

    model_config = ConfigDict(frozen=True)

    treated: int
    control: int
    treated_rate: float
    control_rate: float
    difference: float
    low: float
    high: float
    adjusted: float
    adjusted_low: float
    adjusted_high: float

    @property
    def is_shown(self) -> bool:
        """Whether the adjusted interval leaves zero out."""
        return self.adjusted_low > 0 or self.adjusted_high < 0


def uplift(churned: Floats, score: Floats, control: Flags) -> Uplift:
    """Return the churn of the control group less that of the treated; all arrays have shape (n,)."""
    theta = _slope(churned, score, control)
    difference, low, high = _difference(churned, control)
    adjusted = _difference(churned - theta * (score - score.mean()), control)
    return Uplift(
        treated=int((~control).sum()),
        control=int(control.sum()),
        treated_rate=float(churned[~control].mean()),
        control_rate=float(churned[control].mean()),
        difference=difference,
        low=low,
        high=high,
        adjusted=adjusted[0],
        adjusted_low=adjusted[1],
        adjusted_high=adjusted[2],
    )


def people_needed(rate: float, effect: float, control_share: float) -> int:
    """Return how many people show an ``effect`` on a churn ``rate`` with a power of 80 % at 5 %."""
    after = min(max(rate - effect, 0.0), 1.0)
    variance = rate * (1 - rate) / control_share + after * (1 - after) / (1 - control_share)
    return math.ceil((Z95 + Z_POWER) ** 2 * variance / effect**2)


def _slope(churned: Floats, score: Floats, control: Flags) -> float:
    """Return the slope of outcome on score within the groups."""
    x, y = score.astype(float).copy(), churned.astype(float).copy()
    for group in (control, ~control):
        x[group] -= x[group].mean()
        y[group] -= y[group].mean()
    spread = float(x @ x)
    return float(x @ y) / spread if spread else 0.0


def _difference(values: Floats, control: Flags) -> tuple[float, float, float]:
    one, other = values[control], values[~control]
    gap = float(one.mean() - other.mean())
    error = math.sqrt(np.var(one, ddof=1) / len(one) + np.var(other, ddof=1) / len(other))
    return gap, gap - Z95 * error, gap + Z95 * error
