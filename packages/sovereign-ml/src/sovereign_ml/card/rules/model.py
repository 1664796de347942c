"""Rules on the model as personal data and on fairness.

Sources: Opinion 28/2024; GDPR 17, rec. 71.
"""

from __future__ import annotations

from sovereign_ml.card.person_names import is_named_person
from sovereign_ml.card.rules.answered.texts import FORMS
from sovereign_ml.card.rules.engine import Case, Hits, RuleHit, rule
from sovereign_ml.card.schema.base import NOT_ANSWERED, is_open

# Opinion 28/2024 s. 3.2 names two likelihoods: extraction from the model, and queries to it.
EXTRACTION = ("exact_row", "reconstruction", "inversion", "attribute")


@rule(
    "R36",
    "GDPR 17; Opinion 28/2024",
    "Retrain or retire on erasure, or prove that the model is anonymous.",
)
def erasure_spares_the_model(case: Case) -> Hits:
    """Erasure leaves the model alone as anonymous, but anonymity is not claimed."""
    claim = case.answers.model_privacy.claim
    if case.answers.erasure.model_action == "none_model_anonymous" and claim != "anonymous":
        yield f"Erasure leaves the model alone as anonymous, but model_privacy.claim is '{claim}'."


@rule(
    "R37", "Opinion 28/2024 s. 3.2", "Prove both likelihoods insignificant, or claim personal_data."
)
def anonymity_unproven(case: Case) -> Hits:
    """Anonymity is claimed without passed tests of extraction and queries, or with rows stored."""
    if case.answers.model_privacy.claim != "anonymous":
        return
    facts = case.facts.model_privacy
    attacks = {test.attack for test in facts.tests}
    lacks = {
        "no test of extraction": not attacks & set(EXTRACTION),
        "no test by queries (membership)": "membership" not in attacks,
        "a failed test": not all(test.passed for test in facts.tests),
        "training rows in the model, or not checked": facts.stores_training_rows is not False,
        "no adversary described": is_open(case.answers.model_privacy.adversaries_considered),
    }
    missing = [text for text, holds in lacks.items() if holds]
    if missing:
        yield f"Anonymity is claimed with {', '.join(missing)}."


@rule(
    "R38",
    "Opinion 28/2024 s. 3.4",
    "Remedy the unlawful training or check the third-party model first.",
)
def unlawful_upstream(case: Case) -> Hits:
    """Data or base model obtained unlawfully, or a third-party model without a check."""
    upstream = case.answers.model_privacy.upstream_lawfulness
    if upstream in ("unlawful_open", "third_party_unchecked"):
        yield f"model_privacy.upstream_lawfulness is '{upstream}'."
    built_on = not is_open(case.answers.model.base_model)
    if built_on and upstream not in (
        "third_party_checked",
        "unlawful_open",
        "third_party_unchecked",
    ):
        yield f"The model is built on {case.answers.model.base_model}, which was not checked."


@rule(
    "R52", "GDPR rec. 71, 5(1)(a)", "Reduce the gap, or justify it in writing with name and role."
)
def unfair(case: Case) -> Hits:
    """A fairness gap above tolerance without a signed justification. Small groups are hidden."""
    evaluation, answered = (
        case.answers.evaluation,
        case.answers.evaluation.fairness_tolerance != NOT_ANSWERED,
    )
    tolerance = _tolerance(case)
    # The question asks for name and role, and the name stands before the comma.
    signed = not is_open(evaluation.fairness_justification) and is_named_person(
        evaluation.fairness_justification_by.partition(",")[0]
    )
    # Too few words are no justification, even when somebody signed them.
    if signed and FORMS["sentence"](evaluation.fairness_justification):
        signed = False
    for gap in case.facts.evaluation.fairness:
        # Not "above": NaN, which shows nothing, would pass that.
        if not abs(gap.value) <= tolerance and not signed:
            message = f"{gap.group}: {gap.metric} is {gap.value:.3f}, tolerated {tolerance:.3f}."
            yield message if answered else case.open(message)
        if gap.n_smallest < case.policy.min_group:
            few = (
                f"{gap.group}: the smallest group has {gap.n_smallest} people "
                f"(policy: {case.policy.min_group})."
            )
            yield RuleHit(few, "warn")
    yield from _given_away(case)


def _given_away(case: Case) -> Hits:
    """Yield inputs that tell a protected group apart.

    They treat the group differently without naming it. Special categories are rule R12's.
    """
    scan = case.facts.data.special_scan
    # Rule R12 asks about these pairs already.
    covered = {(proxy.feature, proxy.group) for proxy in scan.proxies} if scan else set()
    for row in scan.associations if scan else ():
        if row.value >= case.policy.max_association and (row.feature, row.group) not in covered:
            message = (
                f"{row.group}: {row.feature} tells the groups apart (Cramer's V {row.value:.2f}, "
            )
            yield RuleHit(f"{message}policy: below {case.policy.max_association}).", "warn")


@rule(
    "F02",
    "GDPR rec. 71, 5(1)(d); AI Act 10(3)-(4)",
    "Train on people like those you score.",
    severity="warn",
)
def unlike_the_scored(case: Case) -> Hits:
    """The people scored now differ from those the model learned from (policy number)."""
    limit = case.policy.max_shift
    far = [
        f"{shift.name} ({shift.value:.2f})"
        for shift in case.facts.data.shifts
        if shift.value > limit
    ]
    if far:
        yield (
            f"Training and scoring differ in {', '.join(far)} (share of people; policy: "
            f"{limit} at most)."
        )


def _tolerance(case: Case) -> float:
    """Return what people tolerate, and never more than the policy allows.

    It is the policy's number while nobody has answered.
    """
    answer, limit = case.answers.evaluation.fairness_tolerance, case.policy.max_fairness_tolerance
    return limit if answer == NOT_ANSWERED else min(float(answer), limit)
