"""One change of a good card for each thing that a rule must find."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from cards import TODAY


@dataclass(frozen=True)
class Change:
    """One change of a good card, and the rule that must find it."""

    rule: str
    answers: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    base: str = "offer"
    severity: str = "block"
    today: date = TODAY

    def __str__(self) -> str:
        return f"{self.rule} {', '.join((*self.answers, *self.facts)) or self.today}"


def answers(rule: str, base: str = "offer", *, warn: bool = False, **changes: Any) -> Change:
    """Change answers; ``__`` in a name is a dot."""
    given = {name.replace("__", "."): value for name, value in changes.items()}
    return Change(rule, answers=given, base=base, severity="warn" if warn else "block")


def facts(rule: str, base: str = "offer", *, warn: bool = False, **changes: Any) -> Change:
    """Change facts; ``__`` in a name is a dot."""
    given = {name.replace("__", "."): value for name, value in changes.items()}
    return Change(rule, facts=given, base=base, severity="warn" if warn else "block")


SPECIAL = {"special.declared_features": ["pregnant"], "special.art9_condition": "9_2_a"}
GAP = [{"group": "country", "metric": "tpr_difference", "value": 0.3, "n_smallest": 300}]
LOGINS = {
    "name": "logins",
    "rows": "1,000-9,999",
    "subjects": "100-999",
    "from_date": "2026-01-01",
    "to_date": "2026-06-30",
}
PROXY = {
    "feature": "shop",
    "category": "ethnic origin",
    "metric": "Cramer's V",
    "value": 0.4,
    "group": "country",
}
OWN_ENTRY = {
    "country": "DE",
    "article": "6(2)",
    "name": "§ 99 TestG",
    "what": "a law that only this team knows",
    "field": "lawful_basis.score.reference",
    "source": "TestG of 2026",
    "dated": "2026-01-01",
}
LEFT = [{"kind": "runs", "count": "10-99", "personal_data": True}]
TELLS_AGE = {"associations": [{"feature": "recency_days", "group": "age_band", "value": 0.25}]}
CHANGES = [
    answers("R01", purpose__statement="?"),
    answers("R01", purpose__statement="TODO"),
    answers("R01", purpose__statement="n/a"),
    answers("R01", purpose__territories=[]),
    answers("R01", roles__controller="{{ cookiecutter.organisation }}"),
    answers("R01", decision__effect_factors__essential_service="?"),
    facts("F01", model__artifact_sha256=None),
    facts("F01", data__representativeness=[]),
    facts("F02", warn=True, data__shifts=[{"name": "country", "kind": "group", "value": 0.3}]),
    answers("R77", data__label_definition="No purchase in the next 60 days."),
    answers("R77", data__label_definition="No order within 2 weeks."),
    answers("R77", data__label_definition="No order for 3 months."),
    answers("R77", purpose__statement="Find customers who will not buy in the coming 45 days."),
    facts("R77", data__label_window="60 days from the cut-off"),
    facts("R77", data__label_window="30 days from the cut-off, for contracts that run at it"),
    Change(
        "R77",
        facts={
            "data.label_window": "30 days from the cut-off, for who bought in the 90 days before it"
        },
        answers={"data.label_definition": "The contract ends in the next 30 days."},
        base="offer",
        severity="block",
    ),
    facts(
        "R77",
        data__label_window="60 days from the cut-off, for who bought in the 90 days before it",
    ),
    facts("R79", "credit", decision__outcomes=[]),
    facts("R79", "credit", decision__outcomes__1__adverse=False),
    facts("R79", "credit", decision__outcomes__1__name="on_hold"),
    answers("R79", decision__downstream_action="contract_termination"),
    answers("R79", warn=True, decision__downstream_action="price_change"),
    answers("R02", "article22", art22__exception="none"),
    answers("R02", "article22", art22__exception="not_applicable"),
    answers("R02", decision__effect_factors__essential_service=True),
    answers("R02", decision__downstream_action="contract_termination"),
    answers("R02", purpose__children_possible=True),
    answers("R02", "reviewed", human_review__authority_to_override=False),
    answers("R03", "article22", art22__argued_from=["legitimate_interest_6_1_f"]),
    answers("R03", "article22", art22__argued_from=["industry_practice", "explicit_consent"]),
    answers("R03", "article22", art22__argued_from=["contract"]),
    answers("R04", "article22", decision__art22_applies=False),
    answers("R04", human_review__meaningful=True),
    answers("R04", "article22", art22__exception="not_applicable"),
    answers("R05", "article22", art22__exception="contract_22_2_a"),
    answers("R06", "article22", art22__exception="law_22_2_b"),
    answers("R07", "article22", consent__explicit=False),
    answers("R07", "article22", consent__granular=False),
    answers("R07", "article22", consent__refusal_without_detriment=False),
    answers("R08", "article22", consent__withdrawal__channel="?"),
    answers("R08", "article22", consent__withdrawal__as_easy_as_giving=False),
    answers("R08", "article22", consent__withdrawal__stops_scoring_within_hours=1000),
    facts("R08", "article22", consent__withdrawn_rows_found=3),
    facts("R09", "article22", consent__valid_share_of_rows=0.999),
    answers("R10", "article22", art22__safeguards__contest_channel="?"),
    answers("R10", "article22", art22__safeguards__intervention_sla_days="?"),
    answers("R11", "article22", art22__safeguards__contest_can_reverse=False),
    answers("R11", "article22", art22__safeguards__contest_independent=False),
    answers("R12", special__declared_features=["pregnant"], special__art9_condition="none"),
    facts("R12", data__special_scan={"lexicon_hits": ["religion"]}),
    facts("R12", data__special_scan={"proxies": [PROXY]}),
    facts("R12", warn=True, data__special_scan={"not_measured_because": "no group column"}),
    Change("R13", {**SPECIAL, "special.art9_condition": "9_2_e"}, base="article22"),
    Change("R13", SPECIAL, base="article22"),
    Change("R14", {**SPECIAL, "consent.explicit": False}, base="article22"),
    Change("R14", {**SPECIAL, "consent.specific_to_this_use": False}, base="article22"),
    answers("R15", special__art9_condition="legitimate_interest"),
    answers("R16", special__criminal_data=True),
    answers("R17", "reviewed", human_review__authority_to_override=False),
    answers("R17", "reviewed", human_review__information_shown=["score"]),
    answers("R17", "reviewed", human_review__stage="after_effect"),
    answers("R17", "reviewed", human_review__coverage="sample"),
    answers("R17", warn=True, decision__automation_level="decision_support"),
    facts("R18", "reviewed", review__override_rate=0.0),
    facts("R18", "reviewed", review__median_seconds=4),
    facts("R18", "reviewed", review__seeded_error_catch_rate=0.2),
    facts("R18", "reviewed", review__tested_on=TODAY - timedelta(days=400)),
    facts("R17", "reviewed", review__tested_on=TODAY + timedelta(days=2)),
    facts("R18", "reviewed", review__tested_on=TODAY + timedelta(days=2)),
    Change(
        "R19", facts={"decision.score_outcome_agreement": 0.99}, base="reviewed", severity="warn"
    ),
    answers(
        "R20",
        decision__score_transmitted_to=[
            {"controller": "Bank AG", "contract_ref": "c.pdf", "art22_left_to_recipient": True}
        ],
    ),
    answers("R21", decision__not_selected_outcome=""),
    answers("R22", "article22", purpose__children_possible=True),
    answers("R22", "article22", art22__safeguards__children_excluded=False),
    answers("R23", lawful_basis__monitor__basis="?"),
    answers("R23", lawful_basis__act__reference=""),
    answers("R23", warn=True, lawful_basis__one_basis_reason="?"),
    answers("R24", legitimate_interest__balancing="?"),
    answers("R24", legitimate_interest__interest="We want to improve our model"),
    answers("R24", legitimate_interest__mitigations_beyond_duty=["Privacy notice", "Opt-out link"]),
    answers("R24", legitimate_interest__interest="Weiterentwicklung unserer Produkte"),
    answers("R24", legitimate_interest__mitigations_beyond_duty=[]),
    answers(
        "R24",
        legitimate_interest__mitigations_beyond_duty=[
            "Datenschutzhinweise",
            "Recht auf Widerspruch",
        ],
    ),
    answers(
        "R24",
        warn=True,
        legitimate_interest__mitigations_beyond_duty=[
            "Objections end offers within the hour, in every channel"
        ],
        legitimate_interest__wording_checked_by="Dora Ohm",
    ),
    answers("R24", legitimate_interest__outcome="does_not_prevail"),
    Change(
        "R25",
        facts={"previous": {"version": "2", "bases": {"act": "6_1_a"}, "notice_version": "7"}},
        answers={"model.change_summary": "new basis"},
        severity="warn",
    ),
    answers("R26", purpose__relation_to_collection="incompatible"),
    answers("R26", purpose__relation_to_collection="compatible_6_4"),
    answers("R27", objection__marketing_channel="?"),
    facts("R27", consent__suppression_applied_to=["train"]),
    answers("R27", objection__marketing_at_sending="?"),
    facts("R27", consent__leak_count=1),
    answers("R28", objection__marketing_weighed=True),
    answers("R29", objection__general_channel="?"),
    answers("R29", notice__items__objection_separate=False),
    Change(
        "R29",
        {
            "notice.items.objection_separate": False,
            **{
                f"lawful_basis.{phase}.basis": "6_1_a"
                for phase in ("train", "score", "act", "monitor")
            },
        },
        base="article22",
    ),
    answers("R30", eprivacy__e_marketing_basis="none"),
    answers("R30", eprivacy__terminal_access=True),
    answers("R30", eprivacy__e_marketing_basis="soft_opt_in", eprivacy__soft_opt_in_holds=False),
    answers("R01", eprivacy__e_marketing_basis="soft_opt_in"),
    answers("R31", decision__price_personalised=True),
    facts("R32", data__features__0__category="consent_status"),
    facts("R32", data__features__0__category="identifier"),
    facts("R32", data__features__0__necessity_reason=""),
    facts("R32", data__pii_scan={"tool": "t", "hits": 1, "free_text": ["comment"]}),
    facts("R33", warn=True, data__elimination__0__loss_high=0.0049),
    answers("R34", retention__objects__0__period="indefinite"),
    answers("R34", retention__objects__1__covers_versions=False),
    facts("R34", retention__objects__0__overdue_objects=2),
    facts("R34", retention__objects__0__object="decision_log"),
    answers("R34", retention__objects__0__period="P0D"),
    answers("R34", retention__objects__0__period="P100Y"),
    answers("R34", retention__objects__0__mechanism="none"),
    facts("R35", retention__erased_subjects_still_in_snapshot=1),
    facts("R35", retention__open_requests_overdue=1),
    answers("R36", erasure__model_action="none_model_anonymous"),
    answers("R37", model_privacy__claim="anonymous"),
    answers("R38", model_privacy__upstream_lawfulness="unlawful_open"),
    answers("R38", model_privacy__upstream_lawfulness="third_party_unchecked"),
    answers("R38", model__base_model="tabular-base"),
    answers("R39", "article22", notice__items__logic=False),
    answers("R39", notice__effective_from=date(2026, 11, 20)),
    answers("R39", "wide", data__sources__1__art14_given=False),
    facts("R39", data__event_tables=[LOGINS]),
    answers("R64", notice__art14_within_days=60),
    facts("R40", "article22", explanation__individual_method="shap"),
    facts("R40", "article22", explanation__individual_returns=["score", "counterfactual"]),
    facts("R40", warn=True, explanation__individual_method="formula"),
    facts("R41", explanation__individual_returns=["score"]),
    facts("R41", warn=True, explanation__individual_returns=["inputs_used", "influence_of_each"]),
    answers("R42", explanation__withheld=["weights"]),
    answers(
        "R42",
        explanation__withheld=["weights"],
        explanation__blanket_refusal=True,
        explanation__route_to_authority="by registered letter",
    ),
    facts("R43", "article22", decision__explanation_stored_with_decision=False),
    facts("R43", "article22", decision__explanation_stored_with_decision=None),
    facts("R43", warn=True, decision__explanation_stored_with_decision=False),
    answers("R44", "article22", dpia__status="in_progress"),
    answers("R44", "article22", dpia__model_versions_covered=["2"]),
    answers("R44", "article22", dpia__residual_risk="high"),
    facts("R44", data__subjects_at_least=50_000),
    answers("R45", "article22", dpia__status="not_required_documented"),
    answers("R45", "reviewed", dpia__required=False),
    answers("R46", ropa__entry_id="?"),
    answers("R46", ropa__recipients=["Somebody else"]),
    answers("R46", ropa__transfers=["US"]),
    answers("R46", roles__processors=[]),
    facts("R46", hosting__0__provider="Cloud Inc"),
    answers("R47", warn=True, roles__owner_model="Data protection officer"),
    answers("R49", ai_act__art5_screen__exploits_vulnerability=True),
    answers("R50", ai_act__annex_iii_point="4b", ai_act__risk_class="minimal"),
    answers("R50", ai_act__annex_iii_point="5b", ai_act__high_risk={"derogation_claimed": True}),
    answers("R50", decision__downstream_action="credit"),
    answers(
        "R50",
        "article22",
        decision__downstream_action="insurance",
        ai_act__insurance_kind="life_or_health",
    ),
    answers("R50", "credit", ai_act__annex_iii_point="none"),
    answers("R50", "credit", ai_act__areas=[]),
    answers("R50", "article22", decision__downstream_action="employment"),
    answers("R50", "article22", ai_act__areas=["5c_life_health_insurance"]),
    Change("R51", {"ai_act.annex_iii_point": "4b"}, today=date(2027, 12, 2)),
    answers("R51", "credit", warn=True, ai_act__high_risk__duties_met=[]),
    answers("R51", "credit", warn=True, ai_act__high_risk__fria_required=False),
    answers("R51", warn=True, ai_act__annex_iii_point="4b"),
    facts("R52", evaluation__fairness=GAP),
    Change(
        "R52",
        {
            "evaluation.fairness_justification": "it is what it is",
            "evaluation.fairness_justification_by": "the CRM team",
        },
        facts={"evaluation.fairness": GAP},
    ),
    answers("R52", evaluation__fairness_tolerance=0.01),
    facts("R52", warn=True, evaluation__fairness__0__n_smallest=7),
    facts("R52", warn=True, data__special_scan=TELLS_AGE),
    facts("R53", hosting__0__allowed=False),
    facts("R53", hosting__0__jurisdiction_class="OTHER_THIRD_COUNTRY"),
    facts("R53", hosting__0__jurisdiction_class="SELF_DECLARED"),
    answers("R53", hosting__transfers=[{"to": "US", "tool": "none"}], ropa__transfers=["US"]),
    answers("R54", special__bias_testing={"used": True, "conditions_met": [True] * 5 + [False]}),
    answers("R54", special__bias_testing={"used": True, "conditions_met": [True] * 6}),
    answers("R55", model__review_due=date(2026, 6, 1)),
    answers("R55", warn=True, model__review_due=TODAY - timedelta(days=3)),
    Change("R55", today=date(2028, 3, 1)),
    answers("R56", dpia__ref="Model is Approved in SageMaker"),
    answers("R56", lawful_basis__act__reference="MLflow stage Production"),
    Change(
        "R56", {"dpia.ref": "PendingApproval"}, facts={"imported.foreign_status": "PendingApproval"}
    ),
    facts("P01", policy={}),
    facts("P01", policy={"grace_days": {"value": 31, "default": 30, "limit": "<= 90"}}),
    facts("R57", model__training_code_commit="unknown"),
    facts("R57", model__training_code_commit=f"{'a' * 40}-dirty"),
    facts("R57", model__training_code_commit=""),
    facts("R57", model__training_code_commit="main"),
    facts("R57", run__git_commit="unknown"),
    facts("R57", run__git_commit=f"{'a' * 40}-dirty", run__profile=None),
    facts("R80", warn=True, leaving__last_dump_at="2026-01-01", leaving__remaining=LEFT),
    facts(
        "R80",
        leaving__last_dump_at=f"{TODAY}",
        leaving__deleted_at=f"{TODAY}",
        leaving__remaining=LEFT,
    ),
    facts("R58", library__state="changed"),
    facts("R58", library__state="changed", run__profile="local"),
    facts("R58", library__state="development"),
    facts("R58", library__state="development", run__profile=None),
    facts("R58", library__state=None),
    answers(
        "R56",
        warn=True,
        model_privacy__access_controls="Only ML engineers move the stage in MLflow",
    ),
    # texts
    answers("R59", purpose__statement="offers"),
    answers("R59", erasure__channel="somewhere"),
    answers("R59", monitoring__owner="siehe oben"),
    answers("R59", monitoring__owner="\u200b"),
    answers("R59", legitimate_interest__balancing="bla bla bla bla"),
    answers(
        "R59", legitimate_interest__mitigations_beyond_duty=["Two offers a year at most", "tbc"]
    ),
    answers("R59", purpose__territories=["DE", "UK"]),
    answers("R59", roles__processors__0__name="x"),
    answers("R59", roles__processors__0__country="Finland"),
    answers(
        "R59", sign_off__waivers=[{"rule_id": "R33", "reason": "x", "owner": "x", "expires": TODAY}]
    ),
    # the data protection officer's advice
    answers("R60", "article22", sign_off__dpo_opinion="not_consulted"),
    answers("R60", "article22", sign_off__dpo_opinion="negative"),
    answers("R60", "article22", sign_off__dpo_opinion="conditions"),
    Change(
        "R60",
        {
            "sign_off.dpo_opinion": "negative",
            "sign_off.dpo_departure_reason": "The board weighed it and goes on, for these reasons.",
        },
        base="article22",
        severity="warn",
    ),
    # notices, consent, objection, access, restriction
    *(
        answers("R61", **{f"notice__items__{name}": False})
        for name in (
            "purposes_and_basis",
            "legitimate_interest",
            "recipients",
            "retention",
            "rights",
            "complaint",
        )
    ),
    answers("R61", "article22", notice__items__withdrawal=False),
    answers("R61", "wide", notice__items__transfers=False),
    answers("R61", "wide", notice__items__third_party_source=False),
    *(
        answers("R61", warn=True, **{f"notice__items__{name}": False})
        for name in ("adm_existence", "logic", "significance", "consequences")
    ),
    answers("R62", "article22", consent__granular=False),
    answers("R62", "article22", consent__specific_to_this_use=False),
    answers("R62", "article22", consent__refusal_without_detriment=False),
    answers("R62", "article22", warn=True, consent__explicit=False),
    answers("R63", objection__marketing_free=False),
    answers("R63", objection__marketing_automated_means=False),
    answers("R63", objection__marketing_sla_hours=1e9),
    answers("R63", objection__marketing_sla_hours=-5),
    *(answers("R64", erasure__max_days=days) for days in (-5, 0, 31, 1e9)),
    answers("R64", rights__access_sla_days=90),
    answers("R64", rights__extension_days=90),
    answers("R64", "article22", art22__safeguards__contest_sla_days=0),
    answers("R64", "article22", art22__safeguards__intervention_sla_days=-5),
    answers("R64", "article22", consent__withdrawal__stops_scoring_within_hours=-5),
    answers("R64", evaluation__fairness_tolerance=-5),
    answers("R65", rights__access_includes_score=False),
    answers("R65", rights__portability="not_applicable"),
    answers("R66", restriction__excluded_from_scoring=False),
    # dates
    answers("R67", "article22", dpia__review_due=date(1970, 1, 1)),
    answers("R67", "article22", dpia__review_due=date(2999, 1, 1)),
    answers("R67", "article22", dpia__date=date(2999, 1, 1)),
    answers("R67", "article22", sign_off__dpo_opinion_date=date(2026, 12, 24)),
    answers("R67", "article22", consent__withdrawal__tested_on=date(1970, 1, 1)),
    answers("R67", "article22", warn=True, explanation__reader_test_date=date(2019, 1, 1)),
    answers("R67", model__review_due=date(2999, 1, 1)),
    answers("R67", notice__effective_from=date(2999, 1, 1)),
    answers("R67", notice__effective_from=date(1970, 1, 1)),
    answers("R67", "wide", hosting__owner_declarations__0__date=date(2999, 1, 1)),
    answers("R67", "reviewed", human_review__training_date=date(1990, 1, 1)),
    # lawful basis by phase
    *(
        answers("R68", **{f"lawful_basis__{phase}__basis": "6_1_d"})
        for phase in ("collect", "train", "score", "act", "monitor")
    ),
    answers("R68", lawful_basis__act__basis="6_1_b"),
    answers("R68", lawful_basis__score__basis="6_1_b"),
    answers("R68", lawful_basis__act__basis="eprivacy_13_2"),
    answers("R68", warn=True, lawful_basis__train__basis="6_1_b"),
    answers("R68", warn=True, lawful_basis__train__basis="6_1_e"),
    answers("R69", purpose__direct_marketing=False),
    answers("R69", purpose__direct_marketing=False, decision__downstream_action="service_priority"),
    # waivers
    *(
        answers(
            "R70",
            sign_off__waivers=[
                {"rule_id": "R33", "reason": "agreed", "owner": "Head of CRM", "expires": TODAY}
                | wrong
            ],
        )
        for wrong in (
            {"expires": date(2999, 1, 1)},
            {"expires": "?"},
            {"owner": ""},
            {"reason": "tbc"},
            {"rule_id": "R99"},
        )
    ),
    # the AI Act and consumer credit
    answers(
        "R71", warn=True, purpose__statement="Set the credit limit of customers who pay later."
    ),
    Change(
        "R71",
        {
            "purpose.statement": "Set the limit and refuse pay-later.",
            "decision.downstream_action": "other",
            "decision.effect": "none",
        },
    ),
    answers("R02", decision__downstream_action="other", decision__effect="none"),
    answers("R72", "credit", decision__consumer_credit__human_intervention=False),
    answers("R72", "credit", decision__consumer_credit__only_allowed_data=False),
    answers("R72", "credit", decision__consumer_credit__personalised_offer_told=False),
    answers("R76", "wide", ai_act__persons_told=False),
    # national law
    answers("R78", warn=True, dpia__national_list="no_entry"),
    answers("R78", warn=True, dpia__national_list="no_entry: DSFA-V was read and does not fit"),
    answers("R78", warn=True, art22__exception="law_22_2_b", art22__legal_provision="§ 12 XYZ"),
    facts("R78", warn=True, national_law=[OWN_ENTRY]),
    answers("R76", warn=True, ai_act__is_ai_system=False),
    answers("R76", warn=True, ai_act__role="deployer"),
    # answers against the data and the configuration
    answers("R73", purpose__territories=["AT"]),
    facts("R73", data__minors_found=True, data__minors_possible=True),
    facts("R73", warn=True, data__minors_possible=True),
    facts("R73", consent__configured_basis="consent"),
    facts("R73", retention__objects__0__period="P12M"),
    facts("R73", warn=True, project__contact="team@other.example"),
    facts("R73", warn=True, project__dpo_contact="dpo@other.example"),
    # transfers
    answers(
        "R74",
        "wide",
        warn=True,
        hosting__transfers__0__tool="dpf",
        hosting__transfers__0__tia_ref="",
        hosting__transfers__0__reference="dataprivacyframework.gov, Vendor Inc.",
    ),
    answers("R78", "wide", warn=True, lawful_basis__act__reference="docs/soft-opt-in.md"),
    *(
        answers(
            "R74",
            "wide",
            **{f"hosting__transfers__0__{name}": value for name, value in changed.items()},
        )
        for changed in (
            {"to": "North Korea", "tool": "adequacy"},
            {"to": "KP", "tool": "adequacy"},
            {"to": "US", "tool": "adequacy"},
            {"to": "KP", "tool": "dpf"},
            {"to": "DE"},
            {"tool": "art49", "tia_ref": ""},
            {"tool": "scc", "tia_ref": "tbc"},
            {"tool": "bcr", "reference": ""},
            {"tool": "dpf", "reference": ""},
        )
    ),
    # contradictions
    answers("R75", "credit", purpose__out_of_scope_uses=["Prices, credit or insurance"]),
    answers("R75", decision__downstream_action="price_change"),
    answers("R75", purpose__relation_to_collection="fresh_consent"),
    answers("R75", warn=True, decision__score_role="informs"),
    answers("R75", warn=True, human_review__coverage="sample"),
    answers("R75", "reviewed", warn=True, human_review__coverage="none"),
    answers("R75", "reviewed", warn=True, art22__exception="explicit_consent_22_2_c"),
    answers("R75", warn=True, decision__effect_factors__essential_service=True),
    answers(
        "R75", warn=True, decision__downstream_action="analytics_only", decision__effect="legal"
    ),
    answers("R44", dpia__status="prior_consultation"),
    answers("R44", warn=True, dpia__status="in_progress"),
    answers("R44", dpia__systematic_monitoring=True),
    answers("R44", dpia__public_area=True),
]
BY_HAND = {"M01", "M02", "P02", "R48"}
