"""The decision policy that travels with the model: what its scores lead to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from sovereign_ml.config.tables import ScoreSettings
from sovereign_ml.decisions.decision_policy import Band, DecisionPolicy, Outcome

__all__ = ["draft_policy", "policy"]


def policy(
    score: ScoreSettings,
    target: str,
    *,
    significant_effect: bool,
    human_review: bool,
    reviewer_contact: str,
    horizon_days: int = 30,
    outcomes: Mapping[str, Outcome] | None = None,
) -> DecisionPolicy:
    """Return ``policy.json``: bands from [score], what people get from [decision], who decides from the card.

    A score is about the ``horizon_days`` after the date of its features. Once they are over it says nothing, so
    that is how old features may be where [score] names no age.
    """
    names = list(score.bands)
    bands = tuple(
        Band(name=name, below=1.01 if name == names[-1] else limit)
        for name, limit in score.bands.items()
    )
    unversioned = DecisionPolicy(
        policy_version="unset",
        target=target,
        bands=bands,
        action_band=score.action_band,
        significant_effect=significant_effect,
        human_review=human_review,
        reviewer_contact=reviewer_contact,
        max_feature_age_days=score.max_feature_age_days or horizon_days,
        outcomes=dict(outcomes or {}),
    )
    digest = hashlib.sha256(unversioned.model_dump_json().encode()).hexdigest()[:12]
    return unversioned.model_copy(update={"policy_version": digest})


def draft_policy(score: ScoreSettings, target: str) -> DecisionPolicy:
    """Return the bands alone, before a card says who decides: for reports and notebooks."""
    return policy(score, target, significant_effect=False, human_review=False, reviewer_contact="")
