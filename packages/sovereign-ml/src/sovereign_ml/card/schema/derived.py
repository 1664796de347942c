"""The derived status: computed from answers and facts, never typed by anybody."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sovereign_ml.card.schema.base import Group, Open, Tri
from sovereign_ml.card.schema.people import Effect


class DerivedDecision(Group):
    """Profiling, real degree of automation, effect, and whether Article 22 applies."""

    profiling: bool = Field(description="GDPR 4(4)")
    direct_marketing: Tri = Field(description="GDPR 21(2)-(3)")
    effective_automation: Literal["solely", "assisted"] | Open = Field(
        description="GDPR 22(1); C-634/21; WP251 p. 20-21"
    )
    automation_why: tuple[str, ...]
    effect: Effect | Open = Field(description="GDPR 22(1), rec. 71; WP251 p. 21-22")
    effect_why: tuple[str, ...]
    art22_applies: Tri = Field(description="GDPR 22(1)")
    why: str = Field(description="One or two sentences for a reader")
    open_factors: tuple[str, ...] = Field(description="Unanswered fields that could change it")


class DerivedReview(Group):
    """Finding on the human review: is it meaningful, and what is missing (WP251 p. 21)?"""

    meaningful: Tri
    missing: tuple[str, ...]


class DerivedDpia(Group):
    """The duty of an impact assessment, and the criteria for it.

    Sources: GDPR 35; WP248rev.01.
    """

    required: Tri
    criteria: tuple[str, ...]
    open_criteria: tuple[str, ...]


class DerivedAiAct(Group):
    """Risk class and date (AI Act 5, 6, 50, 113 as amended by Regulation (EU) 2026/1744)."""

    risk_class: Literal["prohibited", "high_risk", "transparency_50", "minimal"] | Open
    applies_from: str
    why: str


class Derived(Group):
    """Everything the card computes about its own legal position."""

    decision: DerivedDecision
    human_review: DerivedReview
    dpia: DerivedDpia
    ai_act: DerivedAiAct
