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
    # Zeros, because the report is JSON without NaN. `judge` says that nothing was measured.
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


class RuleResult(BaseModel):
    """One rule about data: whether it is broken, the measurement and the limit, in words."""

    model_config = ConfigDict(frozen=True)

    is_broken: bool
    text: str
    limit: str


def findings(comparison: Comparison, limits: MonitorSettings) -> dict[str, RuleResult]:
    """Return the finding of every rule about data, broken or not."""
    result = {
        "age": RuleResult(
            is_broken=comparison.age_days > limits.newest_event_days,
            text=f"the newest event is {comparison.age_days:.1f} days old",
            limit=f"{limits.newest_event_days} days",
        ),
        "volume": RuleResult(
            is_broken=abs(comparison.volume) > limits.volume,
            text=f"{comparison.customers:,} customers, {comparison.volume:+.0%} against the "
            "reference",
            limit=f"{limits.volume:.0%} either way",
        ),
    }
    for rule in WORDS:
        result[rule] = _shares(rule, comparison, getattr(limits, rule))
    shifts = sorted(comparison.features.items(), key=lambda item: -item[1].shift)
    beyond = [(name, change) for name, change in shifts if change.shift > limits.feature_shift]
    result["shift"] = RuleResult(
        is_broken=bool(beyond),
        text=", ".join(
            _shift(name, change) for name, change in (beyond or shifts)[: 4 if beyond else 1]
        ),
        limit=f"{limits.feature_shift:g} log-odds",
    )
    result["score"] = RuleResult(
        is_broken=comparison.score_shift > limits.score_shift,
        text=f"the score shifted by {comparison.score_shift:.2f} log-odds, its mean by "
        f"{comparison.mean_log_odds:+.2f}",
        limit=f"{limits.score_shift:g} log-odds",
    )
    return result


def breaches(comparison: Comparison, limits: MonitorSettings) -> dict[str, str]:
    """Return the measurement of each broken rule about data, in words."""
    return {
        rule: finding.text
        for rule, finding in findings(comparison, limits).items()
        if finding.is_broken
    }


def likely_cause(comparison: Comparison, limits: MonitorSettings) -> str:
    """Return what a shift most likely comes from and what to do, for the person who answers.

    A broken feed changes which values are there. People who change keep their values complete and
    in the usual range.
    """
    broken = findings(comparison, limits)
    columns = {name for rule in WORDS for name in _over(rule, comparison, getattr(limits, rule))}
    if columns:
        return (
            f"The values of {', '.join(sorted(columns)[:4])} are lost, out of range or unknown as "
            "well: repair their source."
        )
    if broken["volume"].is_broken or broken["age"].is_broken:
        return "Customers or days are missing as well: look for lost files first."
    return (
        "Values are complete and in range, so rather people changed than the feed: a season, a "
        "cohort that grows older, a campaign. Look whether the column is computed as before. If "
        "so, accept it until a day, or train on newer data."
    )


WORDS = {"missing": "missing", "beyond": "out-of-range", "unseen": "unknown"}
"""Rules about the share of values of a kind, and that kind in words."""
SMALL = 0.0005
"""Change of a share that is nothing in a figure with one digit."""


def _over(rule: str, comparison: Comparison, limit: float) -> list[str]:
    """Return the features whose share changed by more than ``limit``, largest change first."""
    changes = {name: getattr(change, rule) for name, change in comparison.features.items()}
    # Fewer values out of range are no fault; fewer missing ones may be an invented default.
    sizes = {k: abs(v) if rule == "missing" else v for k, v in changes.items()}
    return sorted((k for k, v in sizes.items() if v > limit), key=lambda k: -sizes[k])


def _shares(rule: str, comparison: Comparison, limit: float) -> RuleResult:
    changes = {name: getattr(change, rule) for name, change in comparison.features.items()}
    over = _over(rule, comparison, limit)
    largest = max(changes, key=lambda name: abs(changes[name]))
    text = ", ".join(f"{name} {100 * changes[name]:+.1f}" for name in over[:4] or [largest])
    if abs(changes[largest]) < SMALL:
        text = f"changed by less than {100 * SMALL:g}"
    return RuleResult(
        is_broken=bool(over),
        text=f"share of {WORDS[rule]} values: {text} points",
        limit=f"{100 * limit:g} points",
    )


def _shift(name: str, change: FeatureChange) -> str:
    return f"{name} {change.shift:.2f} log-odds (mean {change.mean:+.2f})"
