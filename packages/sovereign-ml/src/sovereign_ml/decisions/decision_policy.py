"""Decision policy (``policy.json``): from a score to a band and to an outcome."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

from sovereign_ml.decisions.feature_contract import FrozenModel

Suggestion = Literal["offer", "no_offer"]
Barred = Literal["objected", "restricted", "withdrawn"]
Outcome = Literal[Suggestion, Barred, "pending_review"]


class Band(FrozenModel):
    """Probabilities from the end of the lower band up to, but not including, ``below``."""

    name: str
    below: float = Field(gt=0)


class DecisionPolicy(FrozenModel):
    """Bands of scores, and the band from which an offer is made.

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
        # A score can be 1, and bands exclude their upper end: so only the last one ends above 1.
        if any(b <= a for a, b in pairwise(ends)) or ends[-1] <= 1 or ends[-2] >= 1:
            raise ValueError(f"bands end at {ends}: they must rise strictly, only the last above 1")
        if self.action_band not in self.names:
            raise ValueError(
                f"action_band {self.action_band!r} is no band; bands: {', '.join(self.names)}"
            )
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the bands, lowest scores first."""
        return tuple(band.name for band in self.bands)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Return the probabilities at which a higher band begins, one fewer than bands."""
        return tuple(band.below for band in self.bands[:-1])

    def band_index(self, scores: ArrayLike) -> NDArray[np.intp]:
        """Return the position of each score's band, shape (n,).

        A score on a threshold belongs to the higher band.
        """
        return np.searchsorted(self.thresholds, np.asarray(scores, dtype=np.float64), side="right")

    def band_of(self, score: float) -> str:
        """Return the name of the band of one probability."""
        return self.names[int(self.band_index(score))]

    def acts_on(self, scores: ArrayLike) -> NDArray[np.bool_]:
        """Return, for each score, True in the action band and above, shape (n,)."""
        return self.band_index(scores) >= self.names.index(self.action_band)


@dataclass(frozen=True, slots=True)
class Decision:
    """Outcome for one customer, and the suggestion that rests on the score alone."""

    outcome: Outcome
    band: str | None
    suggestion: Suggestion | None


def decide(
    policy: DecisionPolicy, score: float | None, *, barred: Barred | None = None
) -> Decision:
    """Return the decision about one customer.

    After an objection to direct marketing (GDPR Art. 21(2)-(3)), while processing is restricted
    (Art. 18(2)) and after consent was withdrawn (Art. 7(3)) there is no score and no offer. Where
    the card says that the outcome has a significant effect, a person decides every case, also for
    customers who are *not* selected (Art. 22(1); C-634/21, paragraphs 50 and 61). Where the card
    promises a review, customers in the action band and above wait for it. Raises ValueError for a
    customer without a score who is not barred: no value is invented.
    """
    if barred:
        return Decision(barred, None, None)
    if score is None:
        raise ValueError("a customer who is not barred needs a score")
    # The same as `band_index`, without the cost of an array for one score.
    index = bisect_right(policy.thresholds, score)
    band, acts = policy.names[index], index >= policy.names.index(policy.action_band)
    suggestion: Suggestion = "offer" if acts else "no_offer"
    waits = policy.significant_effect or (policy.human_review and acts)
    return Decision("pending_review" if waits else suggestion, band, suggestion)
