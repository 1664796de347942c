"""Named conditions that say when an answer or a fact is required."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sovereign_ml.card.derive import EXPLAINED_ACTIONS, FACTORS, claims_review, is_marketing
from sovereign_ml.card.duties import LARGE_SCALE_SUBJECTS, annex_iii_points, special_features
from sovereign_ml.card.schema.answers import Answers
from sovereign_ml.card.schema.base import NOT_ANSWERED
from sovereign_ml.card.schema.derived import Derived
from sovereign_ml.card.schema.facts import Facts

Condition = Callable[[Answers, Facts, Derived], bool]


def _bases(a: Answers) -> set[str]:
    return set(a.lawful_basis.used().values())


def consent_used(a: Answers) -> bool:
    """Return whether anything rests on consent (GDPR 6(1)(a), 9(2)(a), 22(2)(c))."""
    explicit = a.art22.exception == "explicit_consent_22_2_c" or a.special.art9_condition == "9_2_a"
    return explicit or "6_1_a" in _bases(a)


def applies22(d: Derived) -> bool:
    """Return whether Article 22 is known to apply."""
    return d.decision.art22_applies is True


def _some(value: object) -> bool:
    return value not in (NOT_ANSWERED, ())


# Many say `is True`: an open answer is the text "?", which counts as true in Python.
CONDITIONS: Final[dict[str, Condition]] = {
    "always": lambda a, f, d: True,
    "optional": lambda a, f, d: False,
    "art22_applies": lambda a, f, d: applies22(d),
    "contract_exception": lambda a, f, d: a.art22.exception == "contract_22_2_a",
    "law_exception": lambda a, f, d: a.art22.exception == "law_22_2_b",
    "consent_exception": lambda a, f, d: a.art22.exception == "explicit_consent_22_2_c",
    "review_claimed": lambda a, f, d: claims_review(a),
    "consent_used": lambda a, f, d: consent_used(a),
    "consent_or_contract": lambda a, f, d: bool(_bases(a) & {"6_1_a", "6_1_b"}),
    "legitimate_interest": lambda a, f, d: "6_1_f" in _bases(a),
    "interest_or_public_task": lambda a, f, d: bool(_bases(a) & {"6_1_e", "6_1_f"}),
    "special_data": lambda a, f, d: bool(special_features(a, f)),
    "art22_and_special": lambda a, f, d: applies22(d) and bool(special_features(a, f)),
    "criminal_data": lambda a, f, d: a.special.criminal_data is True,
    "bias_testing": lambda a, f, d: a.special.bias_testing.used is True,
    "dpia_required": lambda a, f, d: d.dpia.required is True,
    "high_residual_risk": lambda a, f, d: a.dpia.residual_risk == "high",
    "annex_iii": lambda a, f, d: bool(annex_iii_points(a)),
    "talks_or_generates": lambda a, f, d: a.ai_act.talks_or_generates is True,
    "consumer_credit": lambda a, f, d: "5b" in annex_iii_points(a),
    "insurance": lambda a, f, d: a.decision.downstream_action == "insurance",
    "other_action": lambda a, f, d: a.decision.downstream_action == "other",
    "dpo_objects": lambda a, f, d: a.sign_off.dpo_opinion in ("negative", "conditions"),
    "is_ai_system": lambda a, f, d: a.ai_act.is_ai_system is True,
    "employment": lambda a, f, d: a.decision.downstream_action == "employment",
    # The card keeps a bucket of people only, so its lower bound counts.
    "large_scale": lambda a, f, d: (f.data.subjects_at_least or 0) >= LARGE_SCALE_SUBJECTS,
    "high_risk": lambda a, f, d: d.ai_act.risk_class == "high_risk",
    "fria_required": lambda a, f, d: a.ai_act.high_risk.fria_required is True,
    "direct_marketing": lambda a, f, d: is_marketing(a) is True,
    "soft_opt_in": lambda a, f, d: a.eprivacy.e_marketing_basis == "soft_opt_in",
    "price_personalised": lambda a, f, d: a.decision.price_personalised is True,
    "terminal_access": lambda a, f, d: a.eprivacy.terminal_access is True,
    # WP251 p. 21-22 weighs these actions case by case, so the reasons have to be written down.
    "factor_true": lambda a, f, d: (
        a.decision.downstream_action in EXPLAINED_ACTIONS
        or any(getattr(a.decision.effect_factors, name) is True for name in FACTORS)
    ),
    "claims_anonymous": lambda a, f, d: a.model_privacy.claim == "anonymous",
    "transfers": lambda a, f, d: _some(a.hosting.transfers),
    "joint_control": lambda a, f, d: _some(a.roles.joint_controllers),
    "withheld": lambda a, f, d: _some(a.explanation.withheld),
    "compatible_purpose": lambda a, f, d: a.purpose.relation_to_collection == "compatible_6_4",
    "third_party_data": lambda a, f, d: (
        a.data.sources != NOT_ANSWERED and any(s.origin == "third_party" for s in a.data.sources)
    ),
    "from_second_version": lambda a, f, d: f.previous is not None,
}
