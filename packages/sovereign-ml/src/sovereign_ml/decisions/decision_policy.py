"""``policy.json``, a policy and not law: from a score to a band and to an action."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from sovereign_ml.decisions.feature_contract import BundleModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

Barred = Literal["objected", "restricted", "withdrawn"]
NO_DECISION = ("objected", "restricted", "withdrawn", "pending_review")
"""What stands in place of an outcome while there is none."""
NOBODY = ("unknown_customer", "erased", "features_not_current")
"""Answers about somebody of whom nothing is decided; no outcome has their names either."""
OutcomeName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,39}$")]
Language = Annotated[str, Field(pattern=r"^[a-z]{2}$")]
Words = Annotated[str, Field(pattern=r"^\S.{0,79}$")]


class Band(BundleModel):
    """Scores from the end of the band before up to, not including, ``below`` (probabilities)."""

    name: str
    below: float = Field(gt=0)


class Outcome(BundleModel):
    """What a person may get, such as a refused credit.

    The score suggests it from ``from_band`` on. An outcome without a band is given by people only.
    ``adverse`` says that it is to the person's disadvantage: where the card promises a review, nobody gets it
    without one. ``changes_nothing`` marks the one outcome that leaves everything as it is, so that a case of
    somebody who objected can still be closed with it. ``words`` are by language, for the desk and the letter.
    """

    from_band: str | None = None
    adverse: bool = False
    changes_nothing: bool = False
    words: dict[Language, Words] = Field(default={})


class DecisionPolicy(BundleModel):
    """``policy.json``: the bands of scores, and the outcome of each.

    Nobody is scored on features that are older than ``max_feature_age_days``. Without ``outcomes`` there are two:
    an offer from the action band on, and none below it.
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
    outcomes: dict[OutcomeName, Outcome] = Field(
        default={}, exclude_if=lambda outcomes: not outcomes
    )

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
        if self.outcomes and (wrong := faults(self.outcomes, self.names)):
            raise ValueError(wrong)
        return self

    @cached_property
    def choices(self) -> dict[str, Outcome]:
        """Return every outcome that a person may get, by name."""
        lowest = self.names[0]
        return self.outcomes or {
            "offer": Outcome(from_band=self.action_band),
            "no_offer": Outcome(
                from_band=None if self.action_band == lowest else lowest, changes_nothing=True
            ),
        }

    @cached_property
    def suggestions(self) -> tuple[str, ...]:
        """Return the outcome that the score suggests in each band, lowest band first."""
        starts = {each.from_band: name for name, each in self.choices.items() if each.from_band}
        suggested = [starts[name] for name in self.names if name in starts]
        begins = [self.names.index(name) for name in self.names if name in starts]
        # A band at which no outcome begins has that of the band below it.
        return tuple(suggested[bisect_right(begins, i) - 1] for i in range(len(self.names)))

    @cached_property
    def waits(self) -> tuple[bool, ...]:
        """Return for each band whether its outcome waits for a person."""
        action = self.names.index(self.action_band)
        return tuple(
            self.significant_effect
            or (self.human_review and (i >= action or self.choices[name].adverse))
            for i, name in enumerate(self.suggestions)
        )

    @property
    def leaves_all_as_it_is(self) -> str | None:
        """Return the name of the outcome that changes nothing, None where there is none."""
        return next((name for name, each in self.choices.items() if each.changes_nothing), None)

    @property
    def adverse(self) -> tuple[str, ...]:
        """Return the names of the outcomes that are to the person's disadvantage."""
        return tuple(name for name, each in self.choices.items() if each.adverse)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the band names, lowest scores first."""
        return tuple(band.name for band in self.bands)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Return the probabilities at which a higher band begins, one fewer than bands."""
        return tuple(band.below for band in self.bands[:-1])

    @property
    def action_threshold(self) -> float:
        """Return the lowest probability of the action band, 0 where that is the lowest band."""
        # Without the 0 in front, the index of the lowest band would be -1, the highest threshold.
        return (0.0, *self.thresholds)[self.names.index(self.action_band)]

    def band_index(self, scores: ArrayLike) -> NDArray[np.intp]:
        """Return the position of each score's band, shape (n,)."""
        # Reading config.toml imports this module, and most commands need no numpy.
        import numpy as np

        # A score on a threshold belongs to the higher band.
        return np.searchsorted(
            np.asarray(self.thresholds), np.asarray(scores, dtype=np.float64), side="right"
        )

    def band_of(self, score: float) -> str:
        """Return the band of one probability."""
        return self.names[bisect_right(self.thresholds, score)]

    def acts_on(self, scores: ArrayLike) -> NDArray[np.bool_]:
        """Return whether each score is in the action band or above, shape (n,)."""
        return self.band_index(scores) >= self.names.index(self.action_band)


def faults(outcomes: Mapping[str, Outcome], bands: tuple[str, ...]) -> str:
    """Return what is wrong with the outcomes of a policy with these bands, "" for nothing."""
    reserved = sorted(outcomes.keys() & {*NO_DECISION, *NOBODY})
    starts = [each.from_band for each in outcomes.values() if each.from_band is not None]
    unknown, allowed = sorted(set(starts) - set(bands)), ", ".join(bands)
    still = sum(each.changes_nothing for each in outcomes.values())
    checks = {
        "one outcome is no decision: name at least two": len(outcomes) < 2,
        f"{', '.join(reserved)}: the service uses this name itself, choose another": reserved,
        f"from_band {', '.join(unknown)} is no band; bands: {allowed}": unknown,
        f"two outcomes begin at one band: {', '.join(starts)}": len(set(starts)) < len(starts),
        f"no outcome has from_band {bands[0]!r}, so the lowest scores lead to nothing": bands[0]
        not in starts,
        "changes_nothing stands at more than one outcome": still > 1,
    }
    return next((text for text, wrong in checks.items() if wrong), "")


@dataclass(frozen=True, slots=True)
class Decision:
    """The ``outcome`` that takes effect now, and the ``suggestion`` of the score alone."""

    outcome: str
    band: str | None
    suggestion: str | None


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
    # The same as `band_index`, without the cost of an array for one score.
    index = bisect_right(policy.thresholds, score)
    # With a significant effect a person decides, also about customers who are *not* selected
    # (GDPR Art. 22(1); C-634/21, paragraphs 50 and 61). A promised review covers the action band
    # and whoever would be worse off.
    suggestion = policy.suggestions[index]
    outcome = "pending_review" if policy.waits[index] else suggestion
    return Decision(outcome, policy.names[index], suggestion)
