"""Answers about the exception, the safeguards and the human review (field groups E, F)."""

from __future__ import annotations

from typing import Literal

from sovereign_ml.card.schema.base import Day, Flag, Group, Number, Open, Text, Texts, ask, part

Exception22 = Literal[
    "not_applicable", "contract_22_2_a", "law_22_2_b", "explicit_consent_22_2_c", "none"
]
Argument = Literal[
    "contract",
    "law",
    "explicit_consent",
    # Rule R03 refuses the rest: the list in Article 22(2) is closed.
    "legitimate_interest_6_1_f",
    "public_task_6_1_e",
    "industry_practice",
    "notice_alone",
]
Stage = Literal["before_effect", "after_effect", "on_request", "none"]
Coverage = Literal["all_cases", "all_adverse", "sample", "on_request", "none"]
Shown = Literal["score", "reasons", "inputs", "raw_record", "customer_context", "prior_contacts"]


class Safeguards(Group):
    """Remedies of a person against a decision made by the machine alone (GDPR 22(3), rec. 71)."""

    intervention_channel: Text = ask(
        "How does a person ask for a human?",
        "GDPR 22(3), rec. 71",
        when="art22_applies",
        form="place",
    )
    intervention_owner: Text = ask("Which role answers them?", "GDPR 22(3)", when="art22_applies")
    intervention_sla_days: Number = ask(
        "Within how many days is it answered?", "GDPR 22(3), 12(3)", when="art22_applies"
    )
    express_view_channel: Text = ask(
        "How can they state their view?", "GDPR 22(3)", when="art22_applies", form="place"
    )
    contest_channel: Text = ask(
        "How can they contest the decision?",
        "GDPR 22(3); WP251 p. 27",
        when="art22_applies",
        form="place",
    )
    contest_owner: Text = ask(
        "Which role decides on a contest?", "GDPR 22(3)", when="art22_applies"
    )
    contest_sla_days: Number = ask(
        "Within how many days is it answered?", "GDPR 22(3), 12(3)", when="art22_applies"
    )
    contest_can_reverse: Flag = ask(
        "Can contesting reverse the outcome?", "WP251 p. 27", when="art22_applies"
    )
    # A rule that judges its own result again is no review (WP251 p. 27).
    contest_independent: Flag = ask(
        "Is it decided by a person, not by the same rule again?",
        "WP251 p. 27",
        when="art22_applies",
    )
    statistical_procedures: Text = ask(
        "Which statistical checks keep the score fair and correct?",
        "GDPR rec. 71; WP251 p. 28",
        when="art22_applies",
        form="sentence",
    )
    error_correction: Text = ask(
        "How are errors found and put right?", "GDPR rec. 71", when="art22_applies", form="sentence"
    )
    audit_frequency: Text = ask("How often is it audited?", "WP251 Annex 1", when="art22_applies")
    children_excluded: Flag = ask(
        "Are children kept out of the decision?",
        "GDPR rec. 71; WP251 ch. V",
        when="art22_applies",
        by="both",
    )


class Art22(Group):
    """The exception that allows a solely automated significant decision (E).

    The list in 22(2) is closed.
    """

    exception: Exception22 | Open = ask(
        "Which exception of Article 22(2) do you rely on?", "GDPR 22(2)"
    )
    argued_from: tuple[Argument, ...] | Open = ask(
        "What is the exception argued from?", "GDPR 22(2)", when="art22_applies"
    )
    contract_ref: Text = ask(
        "Where is the contract with that person?",
        "GDPR 22(2)(a)",
        when="contract_exception",
        form="place",
    )
    necessity_analysis: Text = ask(
        "Why can the contract not be performed without it?",
        "GDPR 22(2)(a); WP251 p. 23",
        when="contract_exception",
        form="sentence",
    )
    less_intrusive_alternatives: Texts = ask(
        "Which less intrusive ways would work? [] says: none.",
        "WP251 p. 23",
        when="contract_exception",
        empty=True,
    )
    legal_provision: Text = ask(
        "Which law authorises it (ELI or CELEX)?",
        "GDPR 22(2)(b)",
        when="law_exception",
        form="place",
    )
    # Here the law itself must give them: Article 22(3) names contract and consent only.
    safeguards_in_law: Text = ask(
        "Which safeguards does that law give?",
        "GDPR 22(2)(b); C-634/21 paras 65-71",
        when="law_exception",
        form="sentence",
    )
    consent_id: Text = ask("Which consent is it?", "GDPR 22(2)(c), 7", when="consent_exception")
    safeguards: Safeguards = part(Safeguards)


class HumanReview(Group):
    """Evidence that a person really decides (F). Whether the review is meaningful is computed."""

    stage: Stage | Open = ask("When does a person look at a case?", "WP251 p. 21")
    coverage: Coverage | Open = ask(
        "Which cases does a person look at?", "WP251 p. 21; C-634/21", by="both"
    )
    reviewer_roles: Texts = ask(
        "Which roles review?", "WP251 p. 21; AI Act 26(2)", when="review_claimed"
    )
    training_ref: Text = ask(
        "Where is the proof of their training?", "WP251 p. 21", when="review_claimed", form="place"
    )
    training_date: Day = ask("When were they trained?", "AI Act 26(2)", when="review_claimed")
    authority_to_override: Flag = ask(
        "May the reviewer overrule the score?",
        "WP251 p. 21; AI Act 14(4)(d)",
        when="review_claimed",
    )
    # Whoever pays for overruling the score follows it.
    no_detriment_for_override: Flag = ask(
        "Is a reviewer who overrules free of disadvantage?", "WP251 p. 21", when="review_claimed"
    )
    information_shown: tuple[Shown, ...] | Open = ask(
        "What does the reviewer see?", "WP251 p. 21; AI Act 14(4)(c)", when="review_claimed"
    )
    automation_bias_controls: Text = ask(
        "What keeps reviewers from just following the score?",
        "AI Act 14(4)(b)",
        when="review_claimed",
        form="sentence",
    )
    stop_procedure: Text = ask(
        "How is scoring stopped at once, and by whom?", "GDPR 32; AI Act 14(4)(e)", form="sentence"
    )
