"""Answers about responsibility, purpose, and what the score decides (field groups B, C, D)."""

from __future__ import annotations

from typing import Literal

from sovereign_ml.card.schema.base import (
    CountryCode,
    CountryCodes,
    Flag,
    Group,
    Open,
    Text,
    Texts,
    ask,
    part,
)

Relation = Literal[
    "original", "compatible_6_4", "fresh_consent", "member_state_law", "incompatible"
]
Action = Literal[
    "analytics_only",
    "marketing_contact",
    "discount_offer",
    "price_change",
    "service_priority",
    "service_denial",
    "contract_refusal",
    "contract_termination",
    "credit",
    "insurance",
    "employment",
    "other",
]
Automation = Literal["none", "decision_support", "human_confirms_each", "solely_automated"]
ScoreRole = Literal["informs", "strongly_relied_on", "determinative"]
Effect = Literal["none", "minor", "similarly_significant", "legal"]


class Processor(Group):
    """A company that handles the data for the controller (GDPR 28, 30(1)(d))."""

    name: Text
    service: Text
    country: CountryCode = ask(
        "In which country is it established (two-letter code)?", "GDPR 30(1)(d)-(e)", form="country"
    )
    parent_jurisdiction: CountryCode = ask(
        "Under which law does its parent company stand?", "GDPR 28(1), 48", form="country"
    )
    dpa_ref: Text = ask("Where is the processing agreement?", "GDPR 28(3)", form="place")
    subprocessors_ref: Text = ask(
        "Where is its list of subprocessors?", "GDPR 28(2), 28(4)", when="optional", form="place"
    )


class Roles(Group):
    """People and organisations that answer for the model (B)."""

    controller: Text = ask("Which organisation is the controller?", "GDPR 13(1)(a), 30(1)(a)")
    controller_contact: Text = ask(
        "How can people reach the controller?", "GDPR 13(1)(a)", form="place"
    )
    eu_representative: Text = ask(
        "If the controller is outside the EU: who represents it?", "GDPR 27", when="optional"
    )
    joint_controllers: Texts = ask(
        "Which joint controllers are there?", "GDPR 26", when="optional", default=(), empty=True
    )
    joint_arrangement_ref: Text = ask(
        "Where is the arrangement between them that says who does what, whom people ask, "
        "and where they read its essence?",
        "GDPR 26(1)-(2)",
        when="joint_control",
        form="place",
    )
    dpo_contact: Text = ask(
        "How can people reach the data protection officer?", "GDPR 13(1)(b), 37", form="place"
    )
    processors: tuple[Processor, ...] | Open = ask(
        "Which companies process the data for you? An empty list says: none.",
        "GDPR 28, 30(1)(d)",
        empty=True,
    )
    owner_business: Text = ask(
        "Which role owns the use of the score in the business?", "GDPR 5(2), 24"
    )
    owner_model: Text = ask("Which role owns the model?", "GDPR 5(2), 24")
    owner_oversight: Text = ask("Which role oversees it and may stop it?", "GDPR 24; AI Act 26(2)")


class Purpose(Group):
    """Purpose of the score, and the people whose data it uses (C)."""

    statement: Text = ask(
        "What is the score for, in one sentence?",
        "GDPR 5(1)(b), 13(1)(c), 30(1)(b)",
        form="sentence",
    )
    specific_uses: Texts = ask("Which uses are allowed?", "GDPR 5(1)(b)")
    out_of_scope_uses: Texts = ask("Which uses are not allowed?", "GDPR 5(1)(b); AI Act 13(3)(b)")
    foreseeable_misuse: Texts = ask("Which misuse is easy to imagine?", "AI Act 13(3)(b)(iii)")
    relation_to_collection: Relation | Open = ask(
        "Why may data collected earlier be used for this purpose?", "GDPR 5(1)(b), 6(4)"
    )
    compatibility_assessment_ref: Text = ask(
        "Where is the note on the five factors of compatibility?",
        "GDPR 6(4)(a)-(e), 13(3)",
        when="compatible_purpose",
        form="place",
    )
    # It decides whether the right to stop offers is absolute (Article 21(3)).
    direct_marketing: Flag = ask(
        "Is the score used to choose who gets an offer or advertising?", "GDPR 21(2)-(3)"
    )
    subject_categories: Texts = ask("Whose data is it (customers, members, ...)?", "GDPR 30(1)(c)")
    # National law and the lists of authorities depend on these countries (rule R78).
    territories: CountryCodes = ask(
        "In which countries do these people live (two-letter codes)?",
        "GDPR 30(1)(c), 35",
        form="country",
    )
    # Recital 71: a decision by machine alone should not concern a child.
    children_possible: Flag = ask("Can a child be among them?", "GDPR rec. 38, 71; WP251 ch. V")
    vulnerable_groups: Texts = ask(
        "Which vulnerable groups may be among them? [] says: none known.",
        "GDPR rec. 75",
        empty=True,
    )
    children_best_interest_ref: Text = ask(
        "Where is it documented that the decision is in the child's best interest?",
        "GDPR rec. 71",
        when="optional",
        form="place",
    )


class EffectFactors(Group):
    """Factors that turn an ordinary offer into a significant effect (WP251 p. 21-22).

    Any yes needs a written reason.
    """

    circumstances_behaviour_choices: Flag = ask(
        "Can the decision seriously affect a person's circumstances, behaviour or choices? Think "
        "of how intrusive the profiling is, what people expect and wish, and how the offer reaches "
        "them.",
        "WP251 p. 21-22",
    )
    prolonged_or_permanent: Flag = ask(
        "Is the effect long or permanent, e.g. never again an offer?", "WP251 p. 21"
    )
    exclusion_or_discrimination: Flag = ask(
        "Can it exclude people or treat a group worse?", "WP251 p. 21-22"
    )
    exploits_vulnerability: Flag = ask(
        "Does it work on a known weakness, such as debt, illness or age?",
        "WP251 p. 22; AI Act 5(1)(b)",
    )
    excludes_by_price: Flag = ask(
        "Can the price a person gets in practice shut them out?", "WP251 p. 22"
    )
    essential_service: Flag = ask(
        "Is it about something people cannot do without (energy, telecom, insurance, credit)?",
        "GDPR rec. 71",
    )
    rationale: Text = ask(
        "For each yes, and for prices and service: why, and what follows for the person?",
        "WP251 p. 21-22",
        when="factor_true",
        form="sentence",
    )


class Recipient(Group):
    """Another controller who receives the score (C-634/21)."""

    controller: Text
    contract_ref: Text = ask(
        "Where is the contract with the recipient?", "GDPR 13(1)(e)", form="place"
    )
    # Whoever makes the score decides already, if the recipient draws strongly on it.
    art22_left_to_recipient: Flag = ask(
        "Is Article 22 treated as the recipient's business alone?",
        "C-634/21 operative part, para. 61",
    )


class ConsumerCredit(Group):
    """Requirements of the consumer credit directive for an automated creditworthiness check.

    For contracts at a distance Directive 2011/83 Art. 16d(3) gives the right to a person as well.
    Directive (EU) 2023/2673 inserted it. It applies since 19 June 2026 (secondary sources of 2024,
    read on 27 November 2026).
    """

    human_intervention: Flag = ask(
        "Can people have the assessment explained, state their view and have a person review "
        "assessment and decision?",
        "Dir. (EU) 2023/2225 Art. 18(8); Dir. 2011/83 Art. 16d(3)",
        when="consumer_credit",
    )
    only_allowed_data: Flag = ask(
        "Is the assessment free of special categories of data and of data from social networks?",
        "Dir. (EU) 2023/2225 Art. 18(3)",
        when="consumer_credit",
    )
    personalised_offer_told: Flag = ask(
        "Are people told when an offer was made to them by automated processing of their data?",
        "Dir. (EU) 2023/2225 Art. 13",
        when="consumer_credit",
    )


class DecisionAnswers(Group):
    """Consequences of the score (D).

    Whether Article 22 applies is computed from it, never typed.
    """

    downstream_action: Action | Open = ask("What happens because of the score?", "GDPR 22(1)")
    other_action: Text = ask(
        "What is that other thing that happens because of the score?",
        "GDPR 22(1)",
        when="other_action",
        form="sentence",
    )
    automation_level: Automation | Open = ask("What part does a person have in it?", "GDPR 22(1)")
    score_role: ScoreRole | Open = ask(
        "How much does the outcome hang on the score?", "C-634/21 paras 48-50, 73"
    )
    effect: Effect | Open = ask(
        "How strongly does the outcome affect a person?", "GDPR 22(1), rec. 71"
    )
    # An offer that others get is an effect on those who do not get it.
    not_selected_outcome: Text = ask(
        "What happens to the people who are not selected?",
        "C-634/21 para. 61; WP251 p. 21",
        form="sentence",
    )
    score_transmitted_to: tuple[Recipient, ...] | Open = ask(
        "Which other controllers receive the score? [] says: none.",
        "C-634/21 operative part; GDPR 13(1)(e)",
        empty=True,
    )
    price_personalised: Flag = ask(
        "Does a person's price or discount depend on the score?", "Dir. 2011/83 Art. 6(1)(ea)"
    )
    # Directive (EU) 2019/2161 added this duty.
    price_notice_ref: Text = ask(
        "Where are people told, before the contract, that the price is personalised?",
        "Dir. 2011/83 Art. 6(1)(ea)",
        when="price_personalised",
        form="place",
    )
    effect_factors: EffectFactors = part(EffectFactors)
    consumer_credit: ConsumerCredit = part(ConsumerCredit)
