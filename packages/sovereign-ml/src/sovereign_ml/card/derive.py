"""Legal position of the card, computed from answers and facts.

It covers profiling, automation, Article 22, the impact assessment and the AI Act class. All results
have three values: while an answer that could change the result is open, the result is
``NOT_ANSWERED``. Nothing here reads a typed status, so nobody can declare a position. People can
only change the answers that it rests on.
"""

from __future__ import annotations

from datetime import date
from typing import Final

from sovereign_ml.card.duties import SIGNIFICANT, ai_act, dpia
from sovereign_ml.card.schema.answers import Answers
from sovereign_ml.card.schema.base import NOT_ANSWERED, Tri, is_future, is_open
from sovereign_ml.card.schema.derived import Derived, DerivedDecision, DerivedReview
from sovereign_ml.card.schema.facts import Facts
from sovereign_ml.card.schema.people import Effect, EffectFactors

# ``other`` is among them: nobody can tell what it does to people, so it never counts as small.
SIGNIFICANT_ACTIONS: Final = (
    "service_denial",
    "contract_refusal",
    "contract_termination",
    "credit",
    "insurance",
    "employment",
    "other",
)
MARKETING_ACTIONS: Final = ("marketing_contact", "discount_offer")
# WP251 p. 21-22 weighs these case by case: what follows for people has to be written down.
EXPLAINED_ACTIONS: Final = ("price_change", "service_priority", "other")
# A reviewer must see at least one of these. Score and reasons are the machine's own account (WP251
# p. 21).
FULL_CASE: Final = frozenset({"inputs", "raw_record", "customer_context"})
FACTORS: Final = tuple(name for name in EffectFactors.model_fields if name != "rationale")
OBJECT: Final = " People may object to it (GDPR 21)."
# Policy, not law: how long a test of the reviewers proves anything.
REVIEW_TEST_VALID_DAYS: Final = 365


def derive(answers: Answers, facts: Facts) -> Derived:
    """Return the derived status of a card, a pure function of its answers and facts."""
    review = _review(answers, facts)
    decision = _decision(answers, review)
    return Derived(
        decision=decision,
        human_review=review,
        dpia=dpia(answers, facts, decision),
        ai_act=ai_act(answers, decision),
    )


def claims_review(answers: Answers) -> bool:
    """Return whether anybody says that a person takes part in the decision."""
    staged = answers.human_review.stage in ("before_effect", "after_effect", "on_request")
    return staged or answers.decision.automation_level in (
        "decision_support",
        "human_confirms_each",
    )


def is_marketing(answers: Answers) -> Tri:
    """Return whether the score serves direct marketing (GDPR 21(2)).

    It does when people say so, or when the action is an offer.
    """
    if answers.decision.downstream_action in MARKETING_ACTIONS:
        return True
    return answers.purpose.direct_marketing


def may_object(answers: Answers) -> bool:
    """Return whether Article 21(1) or 21(2) gives the right to object."""
    return is_marketing(answers) is True or bool(
        {"6_1_e", "6_1_f"} & set(answers.lawful_basis.used().values())
    )


def _all(checks: dict[str, Tri]) -> Tri:
    """Return "and" over three values: one no decides, otherwise one open answer keeps it open."""
    # A no comes first: no later answer can change it.
    if any(value is False for value in checks.values()):
        return False
    return NOT_ANSWERED if NOT_ANSWERED in checks.values() else True


def _review(answers: Answers, facts: Facts) -> DerivedReview:
    """Return whether the review is meaningful, and what is missing.

    It is meaningful only if every condition of WP251 p. 20-21 holds for every person who is worse
    off.
    """
    review = answers.human_review
    information = review.information_shown
    checks: dict[str, Tri] = {
        "authority to override": review.authority_to_override,
        "proof of training": NOT_ANSWERED if is_open(review.training_ref) else True,
        "no disadvantage for overruling": review.no_detriment_for_override,
        "the full case, not only score and reasons": NOT_ANSWERED
        if information == NOT_ANSWERED
        else bool(FULL_CASE & set(information)),
        "before the effect": NOT_ANSWERED
        if review.stage == NOT_ANSWERED
        else review.stage == "before_effect",
        "everyone who is worse off": (
            NOT_ANSWERED
            if review.coverage == NOT_ANSWERED
            else review.coverage in ("all_cases", "all_adverse")
        ),
        "current proof that reviewers catch errors": _review_tested(facts),
    }
    # One reason is enough: the conditions describe a review that does not exist.
    if review.stage == "none":
        return DerivedReview(meaningful=False, missing=("no person reviews",))
    return DerivedReview(
        meaningful=_all(checks), missing=tuple(k for k, v in checks.items() if v is not True)
    )


def _review_tested(facts: Facts) -> bool:
    review = facts.review
    if review.seeded_error_catch_rate is None or review.tested_on is None:
        return False
    built = facts.run.generated_at
    # Without a build date every test counts as too old.
    asof = built.date() if built else date.max
    # A test of the future is none.
    is_recent = (asof - review.tested_on).days <= REVIEW_TEST_VALID_DAYS
    return is_recent and not is_future(review.tested_on, asof)


def _automation(answers: Answers, review: DerivedReview) -> tuple[str, tuple[str, ...]]:
    """Return ``solely`` or ``assisted`` in fact, with the reasons.

    The name of the process does not matter.
    """
    decision = answers.decision
    sent = decision.score_transmitted_to not in (NOT_ANSWERED, ())
    reasons = {
        "the outcome follows without a person": decision.automation_level == "solely_automated",
        "the score alone determines the outcome (C-634/21)": decision.score_role == "determinative",
        "another controller draws strongly on the score (C-634/21)": sent
        and decision.score_role == "strongly_relied_on",
        "the human review is not meaningful (WP251 p. 21)": review.meaningful is False
        and decision.automation_level not in ("solely_automated", NOT_ANSWERED),
    }
    why = tuple(reason for reason, holds in reasons.items() if holds)
    # One reason is enough, whatever is still open.
    if why:
        return "solely", why
    inputs = (
        decision.automation_level,
        decision.score_role,
        decision.score_transmitted_to,
        review.meaningful,
    )
    return (
        (NOT_ANSWERED, ())
        if NOT_ANSWERED in inputs
        else ("assisted", ("a person decides with authority",))
    )


def _flips(answers: Answers) -> dict[str, Tri]:
    """Return the factors that make an effect significant (WP251 p. 21-22, rec. 71)."""
    factors = answers.decision.effect_factors
    flips: dict[str, Tri] = {
        f"decision.effect_factors.{name}": getattr(factors, name) for name in FACTORS
    }
    action = answers.decision.downstream_action
    flips["decision.downstream_action"] = (
        NOT_ANSWERED if action == NOT_ANSWERED else action in SIGNIFICANT_ACTIONS
    )
    # Recital 71: such a decision should not concern a child.
    flips["purpose.children_possible"] = answers.purpose.children_possible
    return flips


def _effect(answers: Answers, flips: dict[str, Tri]) -> tuple[Effect | str, tuple[str, ...]]:
    """Return the effect that people stated, lifted by any factor that is true, with reasons."""
    stated = answers.decision.effect
    lifted = tuple(name for name, value in flips.items() if value is True)
    # A stated legal effect stays: no factor can lift it further.
    if stated == "legal" or (stated in SIGNIFICANT and not lifted):
        return stated, ("stated by the controller",)
    if lifted:
        return "similarly_significant", lifted
    if stated == NOT_ANSWERED or NOT_ANSWERED in flips.values():
        return NOT_ANSWERED, ()
    return stated, (_ordinary(answers.decision.downstream_action),)


def _ordinary(action: str) -> str:
    """Return why the effect is small.

    WP251 says "in many typical cases", and says it of targeted advertising only.
    """
    if action in MARKETING_ACTIONS:
        return (
            "in many typical cases targeted offers do not affect people significantly, WP251 p. 22"
        )
    if action == "analytics_only":
        return "nothing follows for the single person"
    return "stated by the controller, and no factor of WP251 p. 21-22 was answered with yes"


def _decision(answers: Answers, review: DerivedReview) -> DerivedDecision:
    automation, automation_why = _automation(answers, review)
    flips = _flips(answers)
    effect, effect_why = _effect(answers, flips)
    applies = _applies(automation, effect)
    still_open = (
        tuple(name for name, value in flips.items() if value == NOT_ANSWERED)
        if applies == "?"
        else ()
    )
    offers = answers.decision.downstream_action in (*MARKETING_ACTIONS, NOT_ANSWERED)
    reasons = (*automation_why, *effect_why) if applies is True else effect_why
    return DerivedDecision.model_validate(
        {
            # A score evaluates people by their data, whatever is done with it (GDPR 4(4)).
            "profiling": True,
            "direct_marketing": is_marketing(answers),
            "effective_automation": automation,
            "automation_why": automation_why,
            "effect": effect,
            "effect_why": effect_why,
            "art22_applies": applies,
            "why": _why(applies, automation, effect, reasons, len(still_open), offers=offers)
            + (OBJECT if applies is False and may_object(answers) else ""),
            "open_factors": still_open,
        }
    )


def _applies(automation: str, effect: str) -> Tri:
    """Return whether GDPR 22(1) applies.

    It needs a solely automated decision and a legal or similarly significant effect.
    """
    # One no is enough, even while the other half is open.
    if automation == "assisted" or effect in ("none", "minor"):
        return False
    return NOT_ANSWERED if NOT_ANSWERED in (automation, effect) else True


def _why(
    applies: Tri,
    automation: str,
    effect: str,
    reasons: tuple[str, ...],
    still_open: int,
    *,
    offers: bool,
) -> str:
    """Return the finding in words for the card's first screen.

    WP251 speaks of targeted offers only.
    """
    because, strength = "; ".join(reasons), effect.replace("_", " ")
    if applies is True:
        return (
            "Article 22 applies: the decision is solely automated and its effect is "
            f"{strength} ({because})."
        )
    if applies is False and automation == "assisted":
        return (
            "Article 22 does not apply: a person with authority decides each case before "
            "it takes effect."
        )
    if applies is False:
        return (
            "Article 22 does not apply: the decision may be automated, but its effect on people "
            f"is {strength} ({because}). It is profiling all the same."
        )
    questions = f"{still_open} questions are" if still_open > 1 else "one question is"
    if offers:
        return (
            "In many typical cases Article 22 does not apply to targeted offers (WP251 p. 22), "
            f"but here that is open until {questions} answered that could change it."
        )
    return f"Whether Article 22 applies is open until {questions} answered that could change it."
