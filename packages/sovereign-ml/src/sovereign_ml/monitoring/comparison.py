"""The people of today against the reference: quality of the data, and shift in log-odds."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict

from sovereign_ml.config.monitoring import MonitorSettings
from sovereign_ml.monitoring.population import PopulationProfile, Reference

__all__ = ["Comparison", "FeatureChange", "breaches", "compare", "distance"]


class FeatureChange(BaseModel):
    """One feature: ``shift`` is the distance of its contributions now and then, in log-odds.

    ``mean`` is the signed change of the mean contribution. The others are changes of shares.
    """

    model_config = ConfigDict(frozen=True)

    shift: float
    mean: float
    missing: float
    beyond: float
    unseen: float


class Comparison(BaseModel):
    """What changed since the reference. ``volume`` is relative, ``age_days`` of the newest event."""

    model_config = ConfigDict(frozen=True)

    customers: int
    volume: float
    age_days: float
    score_shift: float
    mean_score: float
    mean_log_odds: float
    features: dict[str, FeatureChange]

    @property
    def largest(self) -> tuple[str, float]:
        """The feature that shifted most, and how far."""
        name = max(self.features, key=lambda key: self.features[key].shift)
        return name, self.features[name].shift


def distance(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Return the Wasserstein-1 distance of two distributions with as many quantiles each."""
    return float(np.abs(np.asarray(one) - np.asarray(other)).mean())


def compare(now: PopulationProfile, then: Reference, age_days: float) -> Comparison:
    """Return what changed between the reference and the people of today.

    The model is a sum, so the shifts of the features are in the unit of the decision, can be
    compared with each other, and bound the shift of the mean score. What changes only in how
    features go together shows in ``score_shift``.
    """
    return Comparison(
        customers=now.customers,
        volume=now.customers / then.customers - 1,
        age_days=age_days,
        score_shift=distance(now.log_odds, then.log_odds),
        mean_score=now.mean_score,
        mean_log_odds=now.mean_log_odds - then.mean_log_odds,
        features={
            name: FeatureChange(
                shift=distance(now.features[name].quantiles, before.quantiles),
                mean=now.features[name].mean - before.mean,
                missing=now.features[name].missing - before.missing,
                beyond=now.features[name].beyond - before.beyond,
                unseen=now.features[name].unseen - before.unseen,
            )
            for name, before in then.features.items()
        },
    )


def breaches(seen: Comparison, limits: MonitorSettings) -> dict[str, tuple[str, str]]:
    """Return the rules that are broken, each with what was found and the limit."""
    found: dict[str, tuple[str, str]] = {}
    if seen.age_days > limits.newest_event_days:
        found["age"] = (
            f"the newest event is {seen.age_days:.1f} days old",
            f"{limits.newest_event_days} days",
        )
    if abs(seen.volume) > limits.volume:
        found["volume"] = (
            f"{seen.customers:,} customers, {seen.volume:+.0%} against the reference",
            f"{limits.volume:.0%} either way",
        )
    for rule in ("missing", "beyond", "unseen"):
        limit = getattr(limits, rule)
        changes = {name: getattr(change, rule) for name, change in seen.features.items()}
        # Fewer values out of range are no fault; fewer missing ones may be an invented default.
        sizes = {k: abs(v) if rule == "missing" else v for k, v in changes.items()}
        if broken := sorted((k for k, v in sizes.items() if v > limit), key=lambda k: -sizes[k]):
            shown = ", ".join(f"{name} {changes[name]:+.1%}" for name in broken[:4])
            found[rule] = (f"share of {WORDS[rule]} values: {shown}", f"{limit:.0%} points")
    shifted = {k: v.shift for k, v in seen.features.items() if v.shift > limits.feature_shift}
    if shifted:
        largest = sorted(shifted, key=lambda k: -shifted[k])[:4]
        shown = ", ".join(f"{name} {shifted[name]:.2f}" for name in largest)
        found["shift"] = (f"{shown} log-odds", f"{limits.feature_shift:g} log-odds")
    if seen.score_shift > limits.score_shift:
        found["score"] = (
            f"the score shifted by {seen.score_shift:.2f} log-odds",
            f"{limits.score_shift:g} log-odds",
        )
    return found


WORDS = {"missing": "missing", "beyond": "out-of-range", "unseen": "unknown"}
