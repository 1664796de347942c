"""Answers about performance, monitoring, the AI Act and sign-off (field groups P, Q, R)."""

from __future__ import annotations

from typing import Literal

from sovereign_ml.card.schema.base import Day, Flag, Group, Number, Open, Text, Texts, ask, part

AnnexIII = Literal["none", "3", "4a", "4b", "5a", "5b", "5c", "other"]
AiRole = Literal["provider", "deployer", "both"]
Opinion = Literal["positive", "negative", "conditions", "not_consulted"]


class Evaluation(Group):
    """Meaning of the figures (P)."""

    metric_justification: Text = ask(
        "Why do these metrics fit the purpose?", "AI Act Annex IV 4", form="sentence"
    )
    limitations: Texts = ask("Where is the model weak?", "AI Act Annex IV 3; 13(3)(b)")
    fairness_tolerance: Number = ask(
        "Which gap between groups is tolerated (0.1 is ten percentage points)?",
        "GDPR rec. 71, 5(1)(a)",
    )
    fairness_justification: Text = ask(
        "If a gap is larger: why is it justified?",
        "GDPR rec. 71, 5(1)(a)",
        when="optional",
        form="sentence",
    )
    fairness_justification_by: Text = ask(
        "Who signed that (name and role)?", "GDPR 5(2)", when="optional"
    )
    how_group_known: Text = ask(
        "How is a person's group known?", "GDPR 5(1)(a), 9", form="sentence"
    )


class Monitoring(Group):
    """Monitoring of the model, and steps in an incident (P)."""

    owner: Text = ask("Which role watches the model in use?", "GDPR 24(1); AI Act Annex IV 9")
    frequency: Text = ask("How often is it watched?", "GDPR 24(1), 25")
    retrain_trigger: Text = ask("What triggers retraining?", "AI Act 15(4)", form="sentence")
    feedback_loop_control: Text = ask(
        "How do you notice that offers change the data the model learns from?",
        "AI Act 15(4)",
        form="sentence",
    )
    incident_procedure: Text = ask(
        "What happens when something goes wrong?", "GDPR 33-34", form="place"
    )
    breach_contact: Text = ask("Who is called on a data breach?", "GDPR 33", form="place")


class Art5Screen(Group):
    """Forbidden practices (AI Act 5(1)).

    They are forbidden since 2 February 2025, points (ba) and (bb) from 2 December 2026. Regulation
    (EU) 2026/1744 added (ba), (bb) and paragraphs 1a and 1b.
    """

    manipulative: Flag = ask(
        "Does it manipulate people so that they act against their interest?", "AI Act 5(1)(a)"
    )
    exploits_vulnerability: Flag = ask(
        "Does it exploit age, disability or hardship?", "AI Act 5(1)(b)"
    )
    social_scoring: Flag = ask(
        "Does it rate people's social behaviour to treat them worse elsewhere?", "AI Act 5(1)(c)"
    )
    other: Flag = ask(
        "Is it any other practice that Article 5 forbids?", "AI Act 5(1)(ba), (bb), (d)-(h)"
    )


Area = Literal[
    "1_biometrics",
    "2_critical_infrastructure",
    "3_education",
    "4_employment",
    "5a_public_benefits",
    "5b_creditworthiness",
    "5c_life_health_insurance",
    "5d_emergency",
    "6_law_enforcement",
    "7_migration",
    "8_justice",
]
HighRiskDuty = Literal[
    "9",
    "10",
    "13",
    "15",
    "17",
    "18",
    "20",
    "26(1)",
    "26(4)",
    "26(5)",
    "26(7)",
    "43",
    "47",
    "48",
    "49",
    "72",
    "73",
]


class HighRisk(Group):
    """Further requirements of a high-risk system (AI Act 8-27, 43-49, 72, 73, 86)."""

    # Article 6(3) closes this way to every system that profiles people, as a churn score does.
    derogation_claimed: Flag = ask(
        "Do you claim that it is not high-risk after all (6(3))?",
        "AI Act 6(3)-(4)",
        when="annex_iii",
    )
    annex_iv_sections: tuple[Literal["1", "2", "3", "4", "5", "6", "7", "8", "9"], ...] | Open = (
        ask(
            "Which sections of the technical documentation exist?",
            "AI Act 11, Annex IV",
            when="high_risk",
        )
    )
    oversight_persons: Texts = ask("Who oversees it (roles)?", "AI Act 14, 26(2)", when="high_risk")
    # Articles 19(1) and 26(6) ask for six months at least.
    log_months: Number = ask(
        "For how many months are logs kept?", "AI Act 19, 26(6)", when="high_risk"
    )
    persons_informed: Flag = ask(
        "Are people told that they are subject to it?", "AI Act 26(11)", when="high_risk"
    )
    duties_met: tuple[HighRiskDuty, ...] | Open = ask(
        "Which further duties of provider and deployer are met "
        "(article numbers; [] says: none yet)?",
        "AI Act 9, 10, 13, 15, 17, 18, 20, 26, 43, 47-49, 72, 73",
        when="high_risk",
        empty=True,
    )
    duties_ref: Text = ask(
        "Where is that documented, duty by duty?", "AI Act 16, 26", when="high_risk", form="place"
    )
    fria_required: Flag = ask(
        "Must you assess the impact on fundamental rights (public body, private body with public "
        "services, or point 5(b), 5(c))?",
        "AI Act 27(1)",
        when="high_risk",
    )
    fria_ref: Text = ask(
        "Where is that assessment?", "AI Act 27", when="fria_required", form="place"
    )
    art86_channel: Text = ask(
        "How do people get an explanation of its role?", "AI Act 86", when="high_risk", form="place"
    )


class AiAct(Group):
    """The AI Act as amended by Regulation (EU) 2026/1744 (Q). Class and date are computed."""

    is_ai_system: Flag = ask("Is it an AI system (a trained model usually is)?", "AI Act 3(1)")
    role: AiRole | Open = ask(
        "Are you its provider, its deployer, or both (built in house: both)?", "AI Act 3(3)-(4)"
    )
    annex_iii_point: AnnexIII | Open = ask(
        "Which point of Annex III fits (employees 4b, credit 5b, "
        "life or health insurance 5c, ...)?",
        "AI Act 6(2)",
    )
    talks_or_generates: Flag = ask(
        "Does it talk with people or generate text, images, sound?", "AI Act 50"
    )
    literacy_measures: Text = ask(
        "How do the people who use it learn what it can and cannot do?", "AI Act 4", form="sentence"
    )
    areas: tuple[Area, ...] | Open = ask(
        "In which areas of Annex III is the score used, whatever the action is called? "
        "[] says: in none.",
        "AI Act 6(2), Annex III",
        empty=True,
    )
    insurance_kind: Literal["life_or_health", "other"] | Open = ask(
        "Which insurance is it: life or health, or another?",
        "AI Act Annex III 5(c)",
        when="insurance",
    )
    persons_told: Flag = ask(
        "Are people told that they deal with an AI system, and is what it generates marked?",
        "AI Act 50(1)-(2)",
        when="talks_or_generates",
    )
    art5_screen: Art5Screen = part(Art5Screen)
    high_risk: HighRisk = part(HighRisk)


class RuleWaiver(Group):
    """A warning that someone accepts for a time. A block cannot be waived."""

    rule_id: Text
    reason: Text
    owner: Text
    # Without an end a waiver waives nothing (rule R70).
    expires: Day


class SignOff(Group):
    """Advice and waivers (R). Approvals are recorded by command, never typed here."""

    dpo_opinion: Opinion | Open = ask(
        "What is the data protection officer's opinion?",
        "GDPR 35(2), 38(6), 39",
        when="dpia_required",
    )
    dpo_opinion_date: Day = ask("Of which date?", "GDPR 35(2)", when="dpia_required")
    # The opinion binds nobody, but whoever departs from it has to write down why.
    dpo_departure_reason: Text = ask(
        "Why do you not follow the opinion, or how are its conditions met?",
        "GDPR 35(2), 5(2); WP248rev.01 p. 15",
        when="dpo_objects",
        form="sentence",
    )
    waivers: tuple[RuleWaiver, ...] = ask(
        "Which warnings are waived?", "GDPR 5(2)", when="optional", default=()
    )
