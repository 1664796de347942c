"""The small files that travel with the model: what it may be sent, and what its scores lead to."""

from __future__ import annotations

import hashlib

from churn.contract import FEATURES, TARGET, WINDOWS
from sovereign_ml.config.settings import Settings
from sovereign_ml.decisions.feature_contract import (
    Contract,
    FeatureSpec,
    Nested,
    Ratio,
    Since,
    Window,
)
from sovereign_ml.decisions.policy import Band, Policy


def contract() -> Contract:
    """``contract.json`` from the data contract, with the links that a changed input must respect."""
    counts, sums = ([f"{stem}_{d}d" for d in WINDOWS] for stem in ("purchase_count", "revenue_eur"))
    specs = tuple(
        FeatureSpec(
            name=f.name,
            dtype=f.dtype,
            unit=f.unit,
            label=f.label,
            minimum=f.minimum,
            maximum=f.maximum,
            missing_allowed=f.missing_allowed,
            changeable=f.changeable,
            necessity_reason=f.necessity_reason,
        )
        for f in FEATURES
    )
    since = Since(
        feature="recency_days",
        windows=(
            *(Window(feature=name, days=d) for name, d in zip(counts, WINDOWS, strict=True)),
            *(
                Window(feature=name, days=d, one_event="avg_order_value_eur")
                for name, d in zip(sums, WINDOWS, strict=True)
            ),
        ),
    )
    ratio = Ratio(feature="recency_over_gap", over="recency_days", under="mean_gap_days")
    links = (Nested(features=tuple(counts)), Nested(features=tuple(sums)), since, ratio)
    return Contract(features=specs, links=links)


def policy(
    settings: Settings, *, significant_effect: bool, human_review: bool, reviewer_contact: str
) -> Policy:
    """``policy.json``: bands from [score]; whether a person decides comes from the card, not from a setting."""
    names = list(settings.score.bands)
    bands = tuple(
        Band(name=name, below=1.01 if name == names[-1] else limit)
        for name, limit in settings.score.bands.items()
    )
    draft = Policy(
        policy_version="unset",
        target=TARGET,
        bands=bands,
        action_band=settings.score.action_band,
        significant_effect=significant_effect,
        human_review=human_review,
        reviewer_contact=reviewer_contact,
    )
    digest = hashlib.sha256(draft.model_dump_json().encode()).hexdigest()[:12]
    return draft.model_copy(update={"policy_version": digest})
