"""Rules on Article 22 itself: ban, closed list of exceptions, safeguards, people not selected."""

from __future__ import annotations

from typing import Final

from sovereign_ml.card.derive import EXPLAINED_ACTIONS, SIGNIFICANT_ACTIONS
from sovereign_ml.card.rules.engine import Case, Hits, RuleHit, rule
from sovereign_ml.card.schema.base import NOT_ANSWERED, is_open, items_of
from sovereign_ml.texts import ENGLISH
from sovereign_ml.texts.language_names import language_code

# GDPR 22(2): the list of exceptions is closed, and none of these is on it.
NO_EXCEPTION: Final = (
    "legitimate_interest_6_1_f",
    "public_task_6_1_e",
    "industry_practice",
    "notice_alone",
)
ARGUMENT: Final = {
    "contract_22_2_a": "contract",
    "law_22_2_b": "law",
    "explicit_consent_22_2_c": "explicit_consent",
}
# GDPR 22(3): human intervention, own view and contest.
SAFEGUARDS: Final = (
    "intervention_channel",
    "intervention_owner",
    "intervention_sla_days",
    "express_view_channel",
    "contest_channel",
    "contest_owner",
    "contest_sla_days",
)


@rule(
    "R02",
    "GDPR 22(1); C-634/21 para. 52",
    "Put a meaningful human review before the effect, lower the effect, "
    "or rely on an exception of Article 22(2).",
)
def no_exception(case: Case) -> Hits:
    """Article 22 applies and no exception of 22(2) is relied on."""
    if case.applies22 and case.answers.art22.exception in ("none", "not_applicable", NOT_ANSWERED):
        yield f"Article 22 applies and the exception is '{case.answers.art22.exception}'."


@rule("R03", "GDPR 22(2)", "Argue from the exception itself; the list in Article 22(2) is closed.")
def argued_from_elsewhere(case: Case) -> Hits:
    """The exception is argued from legitimate interest, public task, industry practice or notice alone."""
    art22 = case.answers.art22
    if not case.applies22 or art22.argued_from == NOT_ANSWERED:
        return
    wrong = [argument for argument in art22.argued_from if argument in NO_EXCEPTION]
    if wrong:
        yield f"The exception is argued from {', '.join(wrong)}."
    elif ARGUMENT.get(art22.exception) not in art22.argued_from:
        yield (
            f"The exception '{art22.exception}' is not what it is argued from "
            f"({', '.join(art22.argued_from)})."
        )


@rule(
    "R05",
    "GDPR 22(2)(a); WP251 p. 23",
    "Show that the contract cannot be performed without it, or rely on another exception.",
)
def contract_exception(case: Case) -> Hits:
    """The contract exception without a contract, without necessity, with a milder way, or for marketing."""
    art22 = case.answers.art22
    if art22.exception != "contract_22_2_a":
        return
    if is_open(art22.contract_ref):
        yield "No contract with that person is named."
    if is_open(art22.necessity_analysis):
        yield "It is not said why the contract cannot be performed without it."
    # WP251 p. 23: where a milder means reaches the goal, this one is not necessary.
    if art22.less_intrusive_alternatives not in (NOT_ANSWERED, ()):
        yield f"A less intrusive way is listed as workable: {art22.less_intrusive_alternatives[0]}."
    if case.when("direct_marketing"):
        yield RuleHit(
            "The purpose is marketing or retention, which no customer contract needs.",
            do="Rely on another exception: an offer is not needed to perform a contract.",
        )


@rule("R06", "GDPR 22(2)(b)", "Cite the provision and the safeguards it gives.")
def law_exception(case: Case) -> Hits:
    """The exception of a law without a provision, or the law has no safeguards."""
    art22 = case.answers.art22
    if art22.exception == "law_22_2_b":
        if is_open(art22.legal_provision):
            yield "No legal provision is cited."
        if is_open(art22.safeguards_in_law):
            yield "No safeguards of the cited law are named."


@rule(
    "R07",
    "GDPR 22(2)(c), 7(2), 7(4)",
    "Ask for explicit, separate consent that can be refused without disadvantage.",
)
def consent_exception(case: Case) -> Hits:
    """Explicit consent that is not explicit, bundled with terms, uninformed, or whose refusal has a detriment."""
    if case.answers.art22.exception != "explicit_consent_22_2_c":
        return
    problems = {
        "explicit": "The consent is not explicit.",
        "granular": "The consent is bundled with terms or other purposes.",
        "informed_of_adm": "The consent text does not tell about the automated decision.",
        "refusal_without_detriment": "Refusing has a disadvantage.",
    }
    # Only a "no" is refused here. Open answers are asked for by rule R01.
    yield from (
        text for field, text in problems.items() if getattr(case.answers.consent, field) is False
    )


@rule(
    "R10", "GDPR 22(3), rec. 71", "Name channel, owner and days for each of the three safeguards."
)
def safeguards(case: Case) -> Hits:
    """Under contract or consent, human intervention, own view or contest lacks a channel, an owner or days."""
    art22 = case.answers.art22
    # Article 22(3) speaks of these two. For the third, the law itself gives the safeguards.
    if case.applies22 and art22.exception in ("contract_22_2_a", "explicit_consent_22_2_c"):
        lacking = [name for name in SAFEGUARDS if is_open(getattr(art22.safeguards, name))]
        if lacking:
            yield f"[art22.safeguards] lacks {', '.join(lacking)}."


@rule(
    "R11",
    "GDPR 22(3); WP251 p. 27",
    "Let a person with the power to reverse the outcome decide on the contest.",
)
def contest(case: Case) -> Hits:
    """Contesting cannot reverse the outcome, or the same automated rule decides again."""
    answers = case.answers.art22.safeguards
    if case.applies22 and answers.contest_can_reverse is False:
        yield "Contesting cannot reverse the outcome."
    if case.applies22 and answers.contest_independent is False:
        yield "The contest is decided by the same automated rule."


@rule(
    "R19",
    "C-634/21 paras 48-50",
    "Answer decision.score_role again: people follow the score in fact.",
    severity="warn",
)
def outcomes_follow_the_score(case: Case) -> Hits:
    """The score is said only to inform, but outcomes agree with it almost always."""
    agreement = case.facts.decision.score_outcome_agreement
    if case.answers.decision.score_role != "informs" or agreement is None:
        return
    if agreement >= case.policy.max_agreement:
        limit = f"policy: below {case.policy.max_agreement:.0%}"
        yield f"{agreement:.1%} of outcomes equal what the score alone gives ({limit})."


@rule(
    "R20",
    "C-634/21 operative part, para. 61",
    "Treat establishing the score as the decision; agree on it by contract.",
)
def score_passed_on(case: Case) -> Hits:
    """The score goes to another controller and Article 22 is called the recipient's problem."""
    sent = case.answers.decision.score_transmitted_to
    for recipient in items_of(sent):
        if recipient.art22_left_to_recipient is True:
            yield (
                f"{recipient.controller} receives the score, and Article 22 is left to them alone."
            )


@rule("R21", "C-634/21 para. 61; WP251 p. 21", "Say what happens to people below the threshold.")
def not_selected(case: Case) -> Hits:
    """What happens to people who are not selected is not said."""
    if is_open(case.answers.decision.not_selected_outcome):
        yield case.open("decision.not_selected_outcome is empty.")


@rule(
    "R22",
    "GDPR rec. 71; WP251 ch. V",
    "Keep children out, or document why it is in the child's best interest.",
)
def children(case: Case) -> Hits:
    """Article 22 applies, children are possible or not kept out, and no best-interest case is documented."""
    documented = not is_open(case.answers.purpose.children_best_interest_ref)
    possible = case.answers.purpose.children_possible is True
    if case.applies22 and possible and not documented:
        yield "Children are possible and no best-interest case is documented."
    if (
        case.applies22
        and case.answers.art22.safeguards.children_excluded is False
        and not documented
    ):
        yield "Children are not kept out of the decision and no best-interest case is documented."


@rule(
    "R79",
    "GDPR 5(1)(a), 13(2)(f), 15(1)(h), 22(3)",
    "Name what people get in config.toml, [decision] outcomes, and which of it is adverse; "
    "run step 6 again.",
)
def outcomes_are_named(case: Case) -> Hits:
    """The service, the desk and the letter say another outcome than the action has, or none is adverse."""
    action, outcomes = case.answers.decision.downstream_action, case.facts.decision.outcomes
    if not outcomes and action in (*SIGNIFICANT_ACTIONS, *EXPLAINED_ACTIONS):
        message = f"The action is '{action}', and people are told of an offer or of none."
        # WP251 p. 21-22 weighs these actions case by case, so they only warn.
        yield RuleHit(message, "warn" if action in EXPLAINED_ACTIONS else "block")
    if outcomes and case.significant and not any(each.adverse for each in outcomes):
        yield "The effect is significant, and none of the outcomes is marked as adverse."
    languages = case.answers.notice.languages
    written = () if isinstance(languages, str) else languages
    # A language that is not known has no words either, and is named as it is written.
    spoken = {language_code(name) or name.strip() for name in written}
    for each in outcomes:
        if not ENGLISH.knows(each.name) and (lacking := sorted(spoken - each.words.keys())):
            yield (
                f"The outcome '{each.name}' has no words in {', '.join(lacking)}, "
                "a language of the notice."
            )
