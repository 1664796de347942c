"""The decision policy in the bundle: which action follows from a score."""

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
    """Return the content of ``policy.json``: bands, outcomes, and who decides by the card.

    The card says whether a person decides: a setting could contradict it.
    """
    names = list(score.bands)
    bands = tuple(
        # The end of a band is exclusive, and a score of exactly 1 needs a band too.
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
        max_feature_age_days=score.oldest_features(horizon_days),
        outcomes=dict(outcomes or {}),
    )
    # The version is the hash of everything else, so the same policy always has the same one.
    digest = hashlib.sha256(unversioned.model_dump_json().encode()).hexdigest()[:12]
    return unversioned.model_copy(update={"policy_version": digest})


def draft_policy(score: ScoreSettings, target: str) -> DecisionPolicy:
    """Return a policy of bands alone, for reports and notebooks that have no card yet."""
    return policy(score, target, significant_effect=False, human_review=False, reviewer_contact="")
