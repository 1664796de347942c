"""Answers about lawful basis, consent, electronic marketing and special categories (field groups G, H)."""

from __future__ import annotations

from typing import Literal

from sovereign_ml.card.schema.base import Day, Flag, Group, Number, Open, Text, Texts, ask, part

Basis = Literal["6_1_a", "6_1_b", "6_1_c", "6_1_d", "6_1_e", "6_1_f"]
# Where Directive 2002/58 Art. 13(2) governs the sending, Article 6(1) does not apply to it
# (C-654/23).
ActBasis = Literal["6_1_a", "6_1_b", "6_1_c", "6_1_d", "6_1_e", "6_1_f", "eprivacy_13_2"]
MarketingBasis = Literal["opt_in", "soft_opt_in", "not_electronic", "none"]
Art9 = Literal[
    "none",
    "9_2_a",
    "9_2_b",
    "9_2_c",
    "9_2_d",
    "9_2_e",
    "9_2_f",
    "9_2_g",
    "9_2_h",
    "9_2_i",
    "9_2_j",
    # Not in Article 9(2), which is closed: rule R15 refuses it by name.
    "legitimate_interest",
]
PHASES = ("collect", "train", "score", "act", "monitor", "bias_test")


class PhaseBasis(Group):
    """The basis of one phase. Phases may be separate purposes (Opinion 28/2024)."""

    basis: Basis | Open = ask("On which basis of Article 6(1)?", "GDPR 6(1), 13(1)(c)")
    reference: Text = ask(
        "Where is it documented (contract, law, consent, assessment)?", "GDPR 5(2)", form="place"
    )


class ActPhaseBasis(Group):
    """The basis of acting on the score.

    An electronic offer may stand on the ePrivacy Directive alone.
    """

    basis: ActBasis | Open = ask(
        "On which basis of Article 6(1), or under Article 13(2) of Directive 2002/58?",
        "GDPR 6(1), 13(1)(c); Dir. 2002/58 Art. 13(2); C-654/23",
    )
    reference: Text = ask(
        "Where is it documented (contract, law, consent, assessment)?", "GDPR 5(2)", form="place"
    )


class OptionalPhaseBasis(Group):
    """The basis of a phase that exists only when special data is used to test for bias."""

    basis: Basis | Open = ask("On which basis of Article 6(1)?", "GDPR 6(1)", when="bias_testing")
    reference: Text = ask("Where is it documented?", "GDPR 5(2)", when="bias_testing", form="place")


class LawfulBasis(Group):
    """One basis for each phase (G)."""

    collect: PhaseBasis = part(PhaseBasis)
    train: PhaseBasis = part(PhaseBasis)
    score: PhaseBasis = part(PhaseBasis)
    act: ActPhaseBasis = part(ActPhaseBasis)
    monitor: PhaseBasis = part(PhaseBasis)
    bias_test: OptionalPhaseBasis = part(OptionalPhaseBasis)
    one_basis_reason: Text = ask(
        "If training and acting stand on the same basis: why does it carry both?",
        "Opinion 28/2024",
        when="optional",
        form="sentence",
    )

    def used(self) -> dict[str, str]:
        """Return phase to basis, for the phases that were answered."""
        rows = {phase: getattr(self, phase).basis for phase in PHASES}
        return {phase: basis for phase, basis in rows.items() if basis != "?"}


class LegitimateInterest(Group):
    """The three steps of a legitimate-interest assessment.

    Sources: GDPR 6(1)(f); Opinion 28/2024 section 3.3.
    """

    interest: Text = ask(
        "Which interest, stated precisely?",
        "GDPR 6(1)(f), 13(1)(d)",
        when="legitimate_interest",
        form="sentence",
    )
    lawful: Flag = ask(
        "Is the interest lawful?", "Opinion 28/2024 s. 3.3", when="legitimate_interest"
    )
    real_and_present: Flag = ask(
        "Is it real and present, not speculative?",
        "Opinion 28/2024 s. 3.3",
        when="legitimate_interest",
    )
    necessity: Text = ask(
        "Why is this processing necessary for it?",
        "GDPR 6(1)(f)",
        when="legitimate_interest",
        form="sentence",
    )
    less_intrusive_considered: Text = ask(
        "Which milder ways were considered, and why not?",
        "Opinion 28/2024 s. 3.3",
        when="legitimate_interest",
        form="sentence",
    )
    balancing: Text = ask(
        "How were people's interests weighed?",
        "GDPR 6(1)(f)",
        when="legitimate_interest",
        form="sentence",
    )
    reasonable_expectations: Text = ask(
        "Why do people expect this use?",
        "GDPR rec. 47",
        when="legitimate_interest",
        form="sentence",
    )
    mitigations_beyond_duty: Texts = ask(
        "What do you do for people beyond what the law demands anyway?",
        "Opinion 28/2024 s. 3.3",
        when="legitimate_interest",
        form="sentence",
    )
    outcome: Literal["prevails", "does_not_prevail"] | Open = ask(
        "Does your interest prevail?", "GDPR 6(1)(f)", when="legitimate_interest"
    )
    date: Day = ask("When was it assessed?", "GDPR 5(2)", when="legitimate_interest")
    ref: Text = ask(
        "Where is the assessment?", "GDPR 5(2)", when="legitimate_interest", form="place"
    )
    wording_checked_by: Text = ask(
        "If rule R24 calls the wording vague or the mitigations mere duties: "
        "who has read it and stands by it?",
        "GDPR 5(2)",
        when="optional",
    )


class Withdrawal(Group):
    """Withdrawal of consent (GDPR 7(3))."""

    channel: Text = ask(
        "How does a person withdraw?", "GDPR 7(3)", when="consent_used", form="place"
    )
    as_easy_as_giving: Flag = ask(
        "Is it as easy as giving consent?", "GDPR 7(3)", when="consent_used"
    )
    stops_scoring_within_hours: Number = ask(
        "After how many hours is the person no longer scored?", "GDPR 7(3)", when="consent_used"
    )
    # A promise that nobody tried is no evidence (GDPR 5(2)).
    tested_on: Day = ask("When was that tested?", "GDPR 5(2)", when="consent_used", by="both")


class Consent(Group):
    """The consent relied on (GDPR 4(11), 7, 9(2)(a), 22(2)(c))."""

    id: Text = ask("Which consent is it?", "GDPR 7(1)", when="consent_used")
    text_version: Text = ask(
        "Which version of the text did people accept?", "GDPR 7(1)", when="consent_used"
    )
    explicit: Flag = ask("Is it explicit?", "GDPR 9(2)(a), 22(2)(c)", when="consent_used")
    granular: Flag = ask(
        "Is it separate from terms and other purposes?", "GDPR 7(2)", when="consent_used"
    )
    specific_to_this_use: Flag = ask(
        "Does it name this very use?", "GDPR 4(11), 9(2)(a)", when="consent_used"
    )
    informed_of_adm: Flag = ask(
        "Does it tell about the automated decision?", "GDPR 22(2)(c)", when="consent_exception"
    )
    evidence_store: Text = ask(
        "Where is the proof kept?", "GDPR 7(1)", when="consent_used", form="place"
    )
    refusal_without_detriment: Flag = ask(
        "Can people refuse without disadvantage?", "GDPR 7(4)", when="consent_used"
    )
    withdrawal: Withdrawal = part(Withdrawal)


class EPrivacy(Group):
    """Cookies, app events and electronic offers (Directive 2002/58)."""

    terminal_access: Flag = ask(
        "Is data read from people's devices (cookies, app events)?", "Dir. 2002/58 Art. 5(3)"
    )
    terminal_consent_ref: Text = ask(
        "Where is the consent for it?",
        "Dir. 2002/58 Art. 5(3)",
        when="terminal_access",
        form="place",
    )
    e_marketing_basis: MarketingBasis | Open = ask(
        "On which basis do offers go out by e-mail, SMS or push?",
        "Dir. 2002/58 Art. 13",
        when="direct_marketing",
    )
    # Article 13(2) lists these conditions together: one that fails ends the exception.
    soft_opt_in_holds: Flag = ask(
        "Did people give the address when they bought, are the offers for your own similar "
        "products, and can people refuse free of charge, then and in every message?",
        "Dir. 2002/58 Art. 13(2)",
        when="soft_opt_in",
    )


class BiasTesting(Group):
    """Special data used only to find and correct bias (AI Act 4a(1)(a)-(f)).

    Before 2026 this was Article 10(5).
    """

    used: Flag = ask("Is special data used to test for bias?", "AI Act 4a(1)")
    conditions_met: tuple[bool, ...] | Open = ask(
        "Which of the six conditions (a) to (f) are met, in order?",
        "AI Act 4a(1)(a)-(f)",
        when="bias_testing",
    )
    deleted_on: Day = ask(
        "When was the special data deleted?",
        "AI Act 4a(1)(e); GDPR 5(1)(e)",
        when="optional",
        by="both",
    )


class Special(Group):
    """Special categories and criminal data (H).

    The pipeline scans names and looks for proxies.
    """

    declared_features: Texts = ask(
        "Which features are special-category data (health, belief, ...)? [] says: none.",
        "GDPR 9(1)",
        by="both",
        empty=True,
    )
    art9_condition: Art9 | Open = ask(
        "Which condition of Article 9(2) applies?", "GDPR 9(2)", when="special_data"
    )
    art22_4_safeguards: Text = ask(
        "Which extra safeguards protect the special data?",
        "GDPR 22(4)",
        when="art22_and_special",
        form="sentence",
    )
    # C-184/20: data from which a special category can be inferred counts as special.
    proxies_cleared: Texts = ask(
        "Which features flagged as possible proxies were looked at and found not to be?",
        "C-184/20 paras 122-127",
        when="optional",
        default=(),
        empty=True,
    )
    criminal_data: Flag = ask("Is there data on offences or convictions?", "GDPR 10")
    criminal_law_ref: Text = ask(
        "Which law allows that?", "GDPR 10", when="criminal_data", form="place"
    )
    bias_testing: BiasTesting = part(BiasTesting)
