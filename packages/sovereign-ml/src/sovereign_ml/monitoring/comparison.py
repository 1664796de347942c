"""The people of today against the reference: quality of the data, and shift in log-odds."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict

from sovereign_ml.config.monitoring import MonitorSettings
from sovereign_ml.monitoring.population import PopulationProfile, Reference


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
    """Change since the reference. ``volume`` is relative, ``age_days`` is of the newest event."""

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
        """Return the feature with the largest shift, and the shift in log-odds."""
        name = max(self.features, key=lambda key: self.features[key].shift)
        return name, self.features[name].shift


def distance(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    """Return the Wasserstein-1 distance of two distributions with equally many quantiles."""
    return float(np.abs(np.asarray(first) - np.asarray(second)).mean())


def compare(now: PopulationProfile, then: Reference, age_days: float) -> Comparison:
    """Return the change between the reference and the people of today.

    The model is a sum, so the shifts of the features are in the unit of the decision, can be
    compared with each other, and bound the shift of the mean score. A change in the combination of
    features alone shows in ``score_shift``.
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


def nobody(then: Reference, age_days: float) -> Comparison:
    """Return the comparison for a day without any customer, as after a feed that stopped."""
    unchanged = FeatureChange(shift=0, mean=0, missing=0, beyond=0, unseen=0)
    return Comparison(
        customers=0,
        volume=-1,
        age_days=age_days,
        score_shift=0,
        mean_score=0,
        mean_log_odds=0,
        features=dict.fromkeys(then.features, unchanged),
    )


def breaches(comparison: Comparison, limits: MonitorSettings) -> dict[str, tuple[str, str]]:
    """Return the broken rules, each with the measurement and the limit, in words."""
    result: dict[str, tuple[str, str]] = {}
    if comparison.age_days > limits.newest_event_days:
        result["age"] = (
            f"the newest event is {comparison.age_days:.1f} days old",
            f"{limits.newest_event_days} days",
        )
    if abs(comparison.volume) > limits.volume:
        result["volume"] = (
            f"{comparison.customers:,} customers, {comparison.volume:+.0%} against the reference",
            f"{limits.volume:.0%} either way",
        )
    for rule in ("missing", "beyond", "unseen"):
        limit = getattr(limits, rule)
        changes = {name: getattr(change, rule) for name, change in comparison.features.items()}
        # Fewer values out of range are no fault; fewer missing ones may be an invented default.
        sizes = {k: abs(v) if rule == "missing" else v for k, v in changes.items()}
        if broken := sorted((k for k, v in sizes.items() if v > limit), key=lambda k: -sizes[k]):
            text = ", ".join(f"{name} {changes[name]:+.1%}" for name in broken[:4])
            result[rule] = (f"share of {WORDS[rule]} values: {text}", f"{limit:.0%} points")
    shifted = {k: v.shift for k, v in comparison.features.items() if v.shift > limits.feature_shift}
    if shifted:
        largest = sorted(shifted, key=lambda k: -shifted[k])[:4]
        text = ", ".join(f"{name} {shifted[name]:.2f}" for name in largest)
        result["shift"] = (f"{text} log-odds", f"{limits.feature_shift:g} log-odds")
    if comparison.score_shift > limits.score_shift:
        result["score"] = (
            f"the score shifted by {comparison.score_shift:.2f} log-odds",
            f"{limits.score_shift:g} log-odds",
        )
    return result


WORDS = {"missing": "missing", "beyond": "out-of-range", "unseen": "unknown"}
