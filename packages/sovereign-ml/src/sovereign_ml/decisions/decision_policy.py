"""``policy.json``, a policy and not law: from a score to a band and to an action."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

from sovereign_ml.decisions.feature_contract import BundleModel

Suggestion = Literal["offer", "no_offer"]
Barred = Literal["objected", "restricted", "withdrawn"]
Outcome = Literal[Suggestion, Barred, "pending_review"]


class Band(BundleModel):
    """Scores from the end of the band before up to, not including, ``below`` (probabilities)."""

    name: str
    below: float = Field(gt=0)


class DecisionPolicy(BundleModel):
    """``policy.json``: the bands of scores, and the band from which on an offer is made.

    Nobody is scored on features that are older than ``max_feature_age_days``.
    """

    schema_version: Literal["1"] = "1"
    policy_version: str
    target: str
    bands: tuple[Band, ...] = Field(min_length=2)
    action_band: str
    significant_effect: bool
    human_review: bool
    reviewer_contact: str
    max_feature_age_days: int = Field(default=30, gt=0)

    @model_validator(mode="after")
    def _bands_cover_every_score(self) -> DecisionPolicy:
        ends = [band.below for band in self.bands]
        if any(b <= a for a, b in pairwise(ends)) or ends[-1] <= 1 or ends[-2] >= 1:
            raise ValueError(f"bands end at {ends}: they must rise strictly, only the last above 1")
        if self.action_band not in self.names:
            raise ValueError(
                f"action_band {self.action_band!r} is no band; bands: {', '.join(self.names)}"
            )
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Return the band names, lowest scores first."""
        return tuple(band.name for band in self.bands)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Return the probabilities at which a higher band begins, one fewer than bands."""
        return tuple(band.below for band in self.bands[:-1])

    def band_index(self, scores: ArrayLike) -> NDArray[np.intp]:
        """Return the position of each score's band, shape (n,)."""
        # A score on a threshold belongs to the higher band.
        return np.searchsorted(
            np.asarray(self.thresholds), np.asarray(scores, dtype=np.float64), side="right"
        )

    def band_of(self, score: float) -> str:
        """Return the band of one probability."""
        return self.names[int(self.band_index(score))]

    def acts_on(self, scores: ArrayLike) -> NDArray[np.bool_]:
        """Return whether each score is in the action band or above, shape (n,)."""
        return self.band_index(scores) >= self.names.index(self.action_band)


@dataclass(frozen=True, slots=True)
class Decision:
    """The ``outcome`` that takes effect now, and the ``suggestion`` of the score alone."""

    outcome: Outcome
    band: str | None
    suggestion: Suggestion | None


def decide(
    policy: DecisionPolicy, score: float | None, *, barred: Barred | None = None
) -> Decision:
    """Return the decision about one customer.

    Raises ValueError for a customer without score who is not barred: no value is invented.
    """
    # An objection to direct marketing is absolute (GDPR Art. 21(2)-(3)): no score, no outcome. The
    # same holds under restriction (Art. 18(2)) and after consent was withdrawn (Art. 7(3)).
    if barred:
        return Decision(barred, None, None)
    if score is None:
        raise ValueError("a customer who is not barred needs a score")
    index = bisect_right(policy.thresholds, score)
    band, acts = policy.names[index], index >= policy.names.index(policy.action_band)
    suggestion: Suggestion = "offer" if acts else "no_offer"
    # With a significant effect a person decides, also about customers who are *not* selected
    # (GDPR Art. 22(1); C-634/21, paragraphs 50 and 61). A promised review covers the action band.
    waits = policy.significant_effect or (policy.human_review and acts)
    return Decision("pending_review" if waits else suggestion, band, suggestion)
