"""A small sealed bundle and random customers for it, used by the tests of everything that reads a bundle."""

import hashlib
import json
from pathlib import Path

import numpy as np

from cards import LIBRARY, good_facts
from sovereign_ml.bundle.release_check import TOLD
from sovereign_ml.bundle.sealed import rules_json, seal_bundle
from sovereign_ml.card.rules import RulePolicy
from sovereign_ml.decisions.decision_policy import DecisionPolicy
from sovereign_ml.decisions.feature_contract import FeatureContract
from sovereign_ml.model.scorecard import Scorecard

RULES = RulePolicy()
_COUNTS = ("purchase_count_7d", "purchase_count_30d", "purchase_count_90d", "purchase_count_180d")
_MONEY = (
    "revenue_eur_7d",
    "revenue_eur_30d",
    "revenue_eur_90d",
    "revenue_eur_180d",
    "avg_order_value_eur",
)

_CURVES = {
    "recency_days": (
        "identity",
        (0.0, 5.0, 14.0, 30.0, 55.0, 89.0),
        (-1.1, -0.7, -0.2, 0.3, 0.6, 0.9),
        0.0,
    ),
    "tenure_days": ("identity", (1.0, 90.0, 200.0, 400.0, 700.0), (0.3, 0.1, 0.0, -0.1, -0.2), 0.0),
    "purchase_count_7d": ("asinh", (0.0, 1.0, 4.0), (0.1, -0.2, -0.4), 0.0),
    "purchase_count_30d": ("asinh", (0.0, 1.0, 3.0, 9.0), (0.25, 0.0, -0.3, -0.5), 0.0),
    "purchase_count_90d": ("asinh", (1.0, 2.0, 5.0, 20.0), (0.4, 0.15, -0.4, -0.9), 0.0),
    "purchase_count_180d": ("asinh", (1.0, 3.0, 8.0, 40.0), (0.3, 0.1, -0.3, -0.6), 0.0),
    "revenue_eur_7d": ("asinh", (0.0, 20.0, 200.0), (0.05, 0.0, -0.1), 0.0),
    "revenue_eur_30d": ("asinh", (0.0, 50.0, 300.0, 2000.0), (0.1, 0.05, -0.1, -0.2), 0.0),
    "revenue_eur_90d": ("asinh", (5.0, 150.0, 700.0, 5000.0), (0.2, 0.05, -0.1, -0.3), 0.0),
    "revenue_eur_180d": ("asinh", (5.0, 300.0, 1500.0, 9000.0), (0.15, 0.0, -0.05, -0.1), 0.0),
    "avg_order_value_eur": ("asinh", (5.0, 100.0, 400.0, 1500.0), (-0.1, 0.0, 0.05, 0.1), 0.02),
    "mean_gap_days": ("asinh", (1.0, 10.0, 30.0, 90.0, 200.0), (-0.5, -0.3, 0.0, 0.2, 0.3), 0.25),
    "last_gap_days": ("asinh", (1.0, 10.0, 40.0, 150.0), (-0.2, -0.1, 0.05, 0.1), 0.15),
    "recency_over_gap": ("asinh", (0.0, 0.5, 1.0, 3.0, 10.0), (0.1, 0.0, 0.0, 0.1, 0.3), 0.05),
    "category_share": ("identity", (0.1, 0.4, 1.0), (-0.05, 0.0, 0.08), 0.0),
    "returns_share": ("identity", (0.0, 0.1, 0.5), (-0.02, 0.05, 0.2), 0.0),
}

_WORDS = {
    "recency_days": ("days", "days since the last purchase", True),
    "tenure_days": ("days", "days since the first purchase", False),
    "purchase_count_7d": ("count", "purchases in the last 7 days", True),
    "purchase_count_30d": ("count", "purchases in the last 30 days", True),
    "purchase_count_90d": ("count", "purchases in the last 90 days", True),
    "purchase_count_180d": ("count", "purchases in the last 180 days", True),
    "revenue_eur_7d": ("EUR", "spent in the last 7 days", True),
    "revenue_eur_30d": ("EUR", "spent in the last 30 days", True),
    "revenue_eur_90d": ("EUR", "spent in the last 90 days", True),
    "revenue_eur_180d": ("EUR", "spent in the last 180 days", True),
    "avg_order_value_eur": ("EUR", "average value of an order", True),
    "mean_gap_days": ("days", "average days between purchases", False),
    "last_gap_days": ("days", "days between the last two purchases", False),
    "recency_over_gap": ("ratio", "waiting time compared with the usual gap", False),
    "category_share": ("share", "share of purchases in the preferred category", False),
    "returns_share": ("share", "share of returned purchases", False),
}


def model() -> Scorecard:
    """A scorecard with every feature of the design and both transforms."""
    numeric = [
        {
            "name": name,
            "transform": transform,
            "knots": knots,
            "log_odds": values,
            "missing_log_odds": missing,
        }
        for name, (transform, knots, values, missing) in _CURVES.items()
    ]
    levels = {"gifts": 0.12, "home": -0.05, "paper": -0.1}
    category = {
        "name": "preferred_category",
        "log_odds": levels,
        "other_log_odds": 0.03,
        "missing_log_odds": 0.0,
    }
    content = {
        "target": "churn_30d",
        "intercept": 0.28,
        "numeric": numeric,
        "categorical": [category],
    }
    return Scorecard.model_validate(content)


def contract() -> FeatureContract:
    """Labels, units and limits for :func:`model`."""
    features = [_spec(name, *words) for name, words in _WORDS.items()]
    everything = [*features, _spec("preferred_category", "category", "", False)]
    return FeatureContract.model_validate({"features": everything, "links": _links()})


def _links() -> list[dict[str, object]]:
    days = (7, 30, 90, 180)
    counts = [
        {"feature": name, "days": d, "one_event": 1} for name, d in zip(_COUNTS, days, strict=True)
    ]
    value = "avg_order_value_eur"
    money = [
        {"feature": name, "days": d, "one_event": value}
        for name, d in zip(_MONEY[:4], days, strict=True)
    ]
    return [
        {"kind": "nested", "features": _COUNTS},
        {"kind": "nested", "features": _MONEY[:4]},
        {
            "kind": "ratio",
            "feature": "recency_over_gap",
            "over": "recency_days",
            "under": "mean_gap_days",
        },
        {"kind": "since", "feature": "recency_days", "windows": [*counts, *money]},
    ]


def _spec(name: str, unit: str, label: str, changeable: bool) -> dict[str, object]:
    return {
        "name": name,
        "dtype": "string" if unit == "category" else "float",
        "unit": unit,
        "label": label or "category bought most",
        "minimum": None if unit == "category" else 0,
        "maximum": {"recency_days": 89, "share": 1}.get(name if name == "recency_days" else unit),
        "missing_allowed": True,
        "changeable": changeable,
        "necessity_reason": "Recency, frequency and money describe buying rhythm.",
    }


def policy(**changed: object) -> DecisionPolicy:
    """Three bands; an offer is made at ``high``."""
    bands = [
        {"name": "low", "below": 0.45},
        {"name": "medium", "below": 0.7},
        {"name": "high", "below": 1.01},
    ]
    content = {
        "policy_version": "0a1b2c3d4e5f",
        "target": "churn_30d",
        "bands": bands,
        "action_band": "high",
        "significant_effect": False,
        "human_review": False,
        "reviewer_contact": "Customer care, care@shop.example",
    }
    return DecisionPolicy.model_validate({**content, **changed})


def facts_of_bundle() -> dict[str, object]:
    """What a card says that was written for this model and this policy, as changes of the good card."""
    one = good_facts()["data"]["features"][0]
    written = hashlib.sha256(model().model_dump_json().encode()).hexdigest()
    return {
        "model.artifact_sha256": written,
        "decision.bands": [band.model_dump() for band in policy().bands],
        "decision.action_band": policy().action_band,
        "decision.max_feature_age_days": policy().max_feature_age_days,
        "project.contact": policy().reviewer_contact,
        "data.features": [
            {**one, **{name: getattr(spec, name) for name in ("name", *TOLD)}}
            for spec in contract().features
        ],
    }


def write_bundle(folder: Path, **changed: object) -> Path:
    """Write and seal a bundle in ``folder``, whose policy has the ``changed`` values."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {"model": model(), "contract": contract(), "policy": policy(**changed)}
    for name, content in parts.items():
        (folder / f"{name}.json").write_text(content.model_dump_json())
    (folder / "rules.json").write_text(rules_json(RULES))
    (folder / "card.json").write_text(json.dumps({"schema_version": "1"}))
    source = {"git_commit": "0" * 40, "data_version": "d41d8cd98f00b204", **LIBRARY.tags()}
    seal_bundle(
        folder,
        name="acme-churn",
        version="3",
        profile="local",
        created_at="2026-11-24T08:00:00Z",
        **source,
    )
    return folder


def customers(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Columns of ``n`` random, self-consistent customers: counts and sums nest in time, some values are missing."""
    random = np.random.default_rng(seed)
    columns: dict[str, np.ndarray] = {
        "recency_days": np.floor(random.gamma(1.5, 18, n)).clip(0, 89)
    }
    columns["tenure_days"] = columns["recency_days"] + np.floor(random.gamma(1.5, 150, n))
    _add_counts_and_money(columns, n, random)
    columns["mean_gap_days"] = np.where(
        columns["purchase_count_180d"] > 1, random.gamma(2, 20, n), np.nan
    )
    columns["last_gap_days"] = np.where(
        columns["purchase_count_180d"] > 1, np.floor(random.gamma(1.5, 25, n)), np.nan
    )
    columns["recency_over_gap"] = columns["recency_days"] / columns["mean_gap_days"]
    columns["category_share"] = random.uniform(0.1, 1, n)
    columns["returns_share"] = random.beta(1, 12, n)
    columns["preferred_category"] = random.choice(
        np.array(["gifts", "home", "paper", "toys", None], dtype=object), n
    )
    return columns


def _add_counts_and_money(
    columns: dict[str, np.ndarray], n: int, random: np.random.Generator
) -> None:
    value = random.lognormal(4.5, 1, n)
    recency, total = columns["recency_days"], np.zeros(n)
    for days, count, money in zip((7, 30, 90, 180), _COUNTS, _MONEY[:4], strict=True):
        total = total + np.where(recency < days, random.poisson(0.6, n) + (total == 0), 0)
        columns[count] = total.copy()
        columns[money] = total * value
    columns["avg_order_value_eur"] = value
