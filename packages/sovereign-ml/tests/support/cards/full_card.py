"""A card in which every part of the page has something to show."""

from typing import Any

from bundles import contract, model
from cards import card
from sovereign_ml.card.schema import Card


def _estimate(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": value, "low": low, "high": high}


def _curves() -> list[dict[str, Any]]:
    labels = {feature.name: (feature.label, feature.unit) for feature in contract().features}
    numeric = [
        part.model_dump() | dict(zip(("label", "unit"), labels[part.name], strict=True))
        for part in model().numeric
    ]
    levels = model().categorical[0]
    category = {"name": levels.name, "label": "category bought most", "categories": levels.log_odds}
    return [*numeric, category | {"unit": "category", "missing_log_odds": levels.missing_log_odds}]


def _features() -> list[dict[str, Any]]:
    seen = {
        "category": "behavioural",
        "importance": 0.1,
        "ablation_delta": 0.0012,
        "missing_share": 0.02,
    }
    kept = ("name", "dtype", "unit", "label", "necessity_reason")
    return [
        {name: getattr(feature, name) for name in kept} | seen for feature in contract().features
    ]


FACTS: dict[str, Any] = {
    "decision.bands": [
        {"name": "low", "below": 0.45},
        {"name": "medium", "below": 0.7},
        {"name": "high", "below": 1.01},
    ],
    "data.features": _features(),
    "data.dropped": [{"name": "birth_year", "why": "used for the fairness test only"}],
    "model.hyperparameters": {"C": 0.1, "knots": 6},
    "explanation.main_factors": ["days since the last purchase", "purchases in the last 90 days"],
    "explanation.curves": _curves(),
    "explanation.counterfactual_coverage": 0.998,
    "evaluation.metrics": {
        "roc_auc": _estimate(0.738, 0.719, 0.757),
        "pr_auc": _estimate(0.746, 0.72, 0.77),
        "brier": _estimate(0.2047, 0.199, 0.211),
        "log_loss": _estimate(0.595, 0.58, 0.61),
        "calibration_slope": _estimate(0.97, 0.87, 1.07),
        "calibration_intercept": _estimate(0.02, -0.06, 0.1),
    },
    "evaluation.benchmark_name": "HistGradientBoostingClassifier",
    "evaluation.benchmark": {
        "roc_auc": _estimate(0.733, 0.71, 0.75),
        "roc_auc_difference": _estimate(-0.005, -0.012, 0.002),
        "brier_difference": _estimate(0.001, -0.001, 0.003),
    },
    "evaluation.baselines": {
        "constant_rate": {"brier": 0.245},
        "recency_only": {"roc_auc": 0.71, "brier": 0.213},
    },
    "evaluation.at_threshold": {"precision": 0.78, "recall": 0.41, "contacted_share": 0.3},
    "evaluation.slices": [
        {"slice": "country=DE", "n": 840, "metrics": {"roc_auc": 0.741, "brier": 0.2}},
        {"slice": "country=AT", "n": 310, "metrics": {"roc_auc": 0.729, "brier": None}},
        {"slice": "country=MT", "n": 0, "suppressed": True},
    ],
    "evaluation.calibration_bins": [
        {"mean_score": x, "observed": x + 0.02 * (-1) ** i, "n": 257}
        for i, x in enumerate((0.18, 0.32, 0.41, 0.5, 0.57, 0.63, 0.69, 0.75, 0.81, 0.88))
    ],
    "evaluation.fairness": [
        {
            "group": "country",
            "metric": "selection_rate_difference",
            "value": 0.06,
            "n_smallest": 120,
            "groups_suppressed": ["MT"],
        },
        {"group": "age", "metric": "tpr_difference", "value": 0.14, "n_smallest": 90},
    ],
}


def full_card(base: str = "offer", *, answers: dict[str, Any] | None = None, **facts: Any) -> Card:
    """A good card with figures, curves, slices and groups; ``answers`` and ``facts`` change single values."""
    return card(base, answers=answers, facts=FACTS | facts)
