"""Answers about notice, explanation, rights, assessment, records, transfers (groups L, M, N, O)."""

from __future__ import annotations

from typing import Literal

from sovereign_ml.card.schema.base import (
    CountryCode,
    Day,
    Flag,
    Group,
    LanguageCodes,
    Number,
    Open,
    Text,
    Texts,
    ask,
    part,
)

DpiaStatus = Literal[
    "not_required_documented", "in_progress", "completed", "prior_consultation", "consulted"
]
TransferTool = Literal["none", "adequacy", "dpf", "scc", "bcr", "art49"]


CRITERION = (
    "It decides whether an impact assessment is required; where one is anyway, "
    "nothing more follows."
)


class NoticeItems(Group):
    """Content of the privacy notice (GDPR 13, 14, 21(4))."""

    adm_existence: Flag = ask(
        "Does the notice say that decisions or profiling are automated?", "GDPR 13(2)(f)"
    )
    logic: Flag = ask("Does it explain the logic in plain words?", "GDPR 13(2)(f); C-203/22")
    significance: Flag = ask("Does it say what the score means for the person?", "GDPR 13(2)(f)")
    consequences: Flag = ask("Does it say which consequences to expect?", "GDPR 13(2)(f)")
    purposes_and_basis: Flag = ask("Does it name purposes and lawful basis?", "GDPR 13(1)(c)")
    legitimate_interest: Flag = ask(
        "Does it name the legitimate interest?", "GDPR 13(1)(d)", when="legitimate_interest"
    )
    recipients: Flag = ask("Does it name who receives the data?", "GDPR 13(1)(e)")
    transfers: Flag = ask(
        "Does it name transfers outside the EEA?", "GDPR 13(1)(f)", when="transfers"
    )
    retention: Flag = ask("Does it say how long data is kept?", "GDPR 13(2)(a)")
    rights: Flag = ask("Does it name the person's rights?", "GDPR 13(2)(b)")
    # A line in the middle of a long notice does not do: Article 21(4) wants it apart.
    objection_separate: Flag = ask(
        "Does it bring the right to object clearly and apart from the rest?", "GDPR 21(4)"
    )
    complaint: Flag = ask("Does it name the right to complain to an authority?", "GDPR 13(2)(d)")
    withdrawal: Flag = ask(
        "Does it name the right to withdraw consent?", "GDPR 13(2)(c)", when="consent_used"
    )
    third_party_source: Flag = ask(
        "Does it name the categories of data from third parties and their source?",
        "GDPR 14(1)(d), 14(2)(f)",
        when="third_party_data",
    )


class Notice(Group):
    """The privacy notice (L)."""

    art13_ref: Text = ask("Where is the privacy notice?", "GDPR 13", form="place")
    art14_ref: Text = ask(
        "Where is the notice for data from third parties?",
        "GDPR 14",
        when="third_party_data",
        form="place",
    )
    # Article 14(3)(a) allows one month at most.
    art14_within_days: Number = ask(
        "After how many days do those people get it?", "GDPR 14(3)", when="third_party_data"
    )
    version: Text = ask("Which version of the notice is it?", "GDPR 5(2)")
    effective_from: Day = ask("Since when is this notice in force?", "GDPR 13(1)")
    languages: LanguageCodes = ask("In which languages is the notice written?", "GDPR 12(1)")
    authority: Text = ask(
        "Which supervisory authority does it name for complaints?", "GDPR 13(2)(d), 77"
    )
    items: NoticeItems = part(NoticeItems)


class ExplanationAnswers(Group):
    """Information that people get about the score (L)."""

    plain_language_ref: Text = ask(
        "Where can people read how the score works?",
        "GDPR 13(2)(f); C-203/22 paras 58-61",
        form="place",
    )
    reader_test_date: Day = ask(
        "When did lay readers test it?", "GDPR 12(1); C-203/22 para. 58", when="art22_applies"
    )
    reader_test_result: Text = ask(
        "What came out?", "GDPR 12(1)", when="art22_applies", form="sentence"
    )
    withheld: Texts = ask(
        "What is withheld as a trade secret? [] says: nothing.", "GDPR 15(4), rec. 63", empty=True
    )
    # The court leaves the weighing of a trade secret to an authority or a court, case by case.
    blanket_refusal: Flag = ask(
        "Is every explanation refused as a trade secret?", "C-203/22 paras 74-76", when="withheld"
    )
    route_to_authority: Text = ask(
        "How does the material reach the authority or court that weighs it?",
        "C-203/22 paras 74-76",
        when="withheld",
        form="place",
    )


class Rights(Group):
    """Access, rectification, portability, complaint (M)."""

    access_channel: Text = ask("How does a person see their data?", "GDPR 15(1)", form="place")
    access_sla_days: Number = ask(
        "Within how many days is a request for access answered?", "GDPR 12(3)"
    )
    # Article 12(3) allows two further months at most, and the person is told within the first.
    extension_days: Number = ask(
        "If complex requests take longer: by how many further days, "
        "with the person told within the first month?",
        "GDPR 12(3)",
        when="optional",
    )
    access_includes_score: Flag = ask(
        "Does the answer include score and profile?", "GDPR 15(1)(h); WP251 p. 17"
    )
    rectification: Text = ask(
        "How is wrong data or a wrong score put right?",
        "GDPR 16, 19; WP251 p. 17-18",
        form="sentence",
    )
    # Article 20 covers what the person provided. A score is derived, so it is never handed over.
    portability: Literal["not_applicable", "provided_data_only"] | Open = ask(
        "What is handed over on a request for portability?", "GDPR 20", when="consent_or_contract"
    )


class Objection(Group):
    """The right to object (M).

    Source: GDPR 21.
    """

    general_channel: Text = ask(
        "How does a person object?", "GDPR 21(1)", when="interest_or_public_task", form="place"
    )
    compelling_grounds_procedure: Text = ask(
        "Who weighs an objection, and how?",
        "GDPR 21(1)",
        when="interest_or_public_task",
        form="sentence",
    )
    marketing_channel: Text = ask(
        "How does a person stop offers?", "GDPR 21(2)-(3)", when="direct_marketing", form="place"
    )
    marketing_free: Flag = ask(
        "Is stopping offers free of charge?", "GDPR rec. 70", when="direct_marketing"
    )
    marketing_automated_means: Flag = ask(
        "Can offers be stopped by a click?", "GDPR 21(5)", when="direct_marketing"
    )
    marketing_sla_hours: Number = ask(
        "Within how many hours do offers stop?", "GDPR 21(3)", when="direct_marketing"
    )
    marketing_at_sending: Text = ask(
        "How is an objection applied where the offer goes out, outside this project?",
        "GDPR 21(3)",
        when="direct_marketing",
        form="sentence",
    )
    # This right is absolute: whoever weighs it against grounds of their own breaks Article 21(3).
    marketing_weighed: Flag = ask(
        "Is an objection to marketing weighed against your own grounds?",
        "GDPR 21(3)",
        when="direct_marketing",
    )


class Dpia(Group):
    """The impact assessment (N). Whether one is required is computed."""

    status: DpiaStatus | Open = ask("Where does the impact assessment stand?", "GDPR 35, 36")
    national_list: Text = ask(
        "Which entry of your authority's list fits? Write no_entry, and why, if none does.",
        "GDPR 35(4)",
    )
    systematic_monitoring: Flag = ask(
        "Are people observed systematically (their way through sites, apps or places)?",
        "WP248rev.01 criterion 3",
        information=CRITERION,
    )
    public_area: Flag = ask(
        "Is a publicly accessible area watched systematically and on a large scale?",
        "GDPR 35(3)(c)",
        information=CRITERION,
    )
    new_technology: Flag = ask(
        "Is technology used, or used in a way, that is new?",
        "GDPR 35(1); WP248rev.01 criterion 8",
        information=CRITERION,
    )
    ref: Text = ask("Where is it?", "GDPR 35(7)", when="dpia_required", form="place")
    date: Day = ask("Of which date?", "GDPR 35(11)", when="dpia_required")
    model_versions_covered: Texts = ask(
        "Which model versions does it cover (e.g. 3, or * for all until reviewed)?",
        "GDPR 35(11)",
        when="dpia_required",
    )
    risks: Texts = ask("Which risks for people were found?", "GDPR 35(7)(c)", when="dpia_required")
    measures: Texts = ask("Which measures answer them?", "GDPR 35(7)(d)", when="dpia_required")
    subject_views: Text = ask(
        "What do the people concerned say?", "GDPR 35(9)", when="dpia_required", form="sentence"
    )
    residual_risk: Literal["low", "medium", "high"] | Open = ask(
        "Which risk remains?", "GDPR 36(1)", when="dpia_required"
    )
    # With a high risk that remains, processing may not start before the authority was asked.
    prior_consultation_ref: Text = ask(
        "Where is the authority's answer?", "GDPR 36(1)", when="high_residual_risk", form="place"
    )
    review_due: Day = ask("By when is it reviewed?", "GDPR 35(11)", when="dpia_required")
    advice_ref: Text = ask(
        "Where is the data protection officer's advice?",
        "GDPR 35(2)",
        when="dpia_required",
        form="place",
    )


class Ropa(Group):
    """The entry in the record of processing (N).

    Source: GDPR 30.
    """

    entry_id: Text = ask(
        "Which entry of the record of processing is it?", "GDPR 30(1)", form="place"
    )
    recipients: Texts = ask("Which recipients does it name?", "GDPR 30(1)(d)")
    transfers: Texts = ask(
        "Which countries outside the EEA does it name? [] says: none.", "GDPR 30(1)(e)", empty=True
    )
    security_measures_ref: Text = ask(
        "Where are the security measures described?", "GDPR 32, 30(1)(g)", form="place"
    )


class OwnerDeclaration(Group):
    """Owner of a host that the endpoint list does not know (GDPR 28(1))."""

    hostname: Text
    provider: Text
    country: Text
    parent: Text
    date: Day


class Transfer(Group):
    """Access to personal data from outside the EEA (GDPR 44-49)."""

    to: CountryCode
    tool: TransferTool | Open = ask("Which transfer tool?", "GDPR 44-49")
    # C-311/18: clauses alone do not show that the law there protects people well enough.
    tia_ref: Text = ask(
        "Where is the transfer impact assessment?", "EDPB 01/2020", when="optional", form="place"
    )
    reference: Text = ask(
        "Where is the evidence for the tool (certification, clauses, rules, "
        "case of Article 49(1))?",
        "GDPR 5(2), 44-49",
        when="optional",
        form="place",
    )
    art48_procedure: Text = ask(
        "What happens on an order of a foreign authority?", "EDPB 02/2024", when="optional"
    )


class Hosting(Group):
    """Declarations about hosts and transfers (O)."""

    owner_declarations: tuple[OwnerDeclaration, ...] = ask(
        "Who owns the hosts that the audit does not know?",
        "GDPR 28(1)",
        when="optional",
        default=(),
    )
    transfers: tuple[Transfer, ...] | Open = ask(
        "Who outside the EEA can reach the data, with which tool? [] says: nobody.",
        "GDPR 13(1)(f), 44-49",
        empty=True,
    )
