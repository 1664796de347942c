"""The decision policy: from a score to what is done, in one function that the bundle's policy drives."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Literal

from sovereign.bands import Policy

Suggestion = Literal["offer", "no_offer"]
Outcome = Literal["offer", "no_offer", "pending_review", "objected"]


@dataclass(frozen=True, slots=True)
class Decision:
    """``outcome`` takes effect now; ``suggestion`` is what the score alone would give."""

    outcome: Outcome
    band: str | None
    suggestion: Suggestion | None


def decide(policy: Policy, score: float | None, *, objected: bool) -> Decision:
    """What happens to one customer.

    An objection to direct marketing is absolute (GDPR Art. 21(2)-(3)): no score, no outcome. Where the card says
    that the outcome has a significant effect, nobody gets it without a person, and that includes whoever is *not*
    selected (Art. 22(1); C-634/21, paragraphs 50 and 61). Where the card promises a review, the ones in the action
    band wait for it. Raises ValueError for a customer without score who did not object: no value is invented.
    """
    if objected:
        return Decision("objected", None, None)
    if score is None:
        raise ValueError("a customer who did not object needs a score")
    index = bisect_right(policy.thresholds, score)
    band, acts = policy.names[index], index >= policy.names.index(policy.action_band)
    suggestion: Suggestion = "offer" if acts else "no_offer"
    waits = policy.significant_effect or (policy.human_review and acts)
    return Decision("pending_review" if waits else suggestion, band, suggestion)
