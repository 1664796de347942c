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
PROXY = {
    "feature": "shop",
    "category": "ethnic origin",
    "metric": "Cramer's V",
    "value": 0.4,
    "group": "country",
}
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
    facts("R27", consent__suppression_applied_to=["score"]),
    facts("R27", consent__leak_count=1),
    answers("R28", objection__marketing_weighed=True),
    answers("R29", objection__general_channel="?"),
    answers("R29", notice__items__objection_separate=False),
    answers("R30", eprivacy__e_marketing_basis="none"),
    answers("R30", eprivacy__terminal_access=True),
    answers("R30", eprivacy__e_marketing_basis="soft_opt_in", eprivacy__soft_opt_in_holds=False),
    answers("R01", eprivacy__e_marketing_basis="soft_opt_in"),
    answers("R31", decision__price_personalised=True),
    facts("R32", data__features__0__category="consent_status"),
    facts("R32", data__features__0__category="identifier"),
    facts("R32", data__features__0__necessity_reason=""),
    facts("R32", data__pii_scan={"tool": "t", "hits": 1, "free_text": ["comment"]}),
    facts("R33", warn=True, data__features__0__ablation_delta=-0.001),
    answers("R34", retention__objects__0__period="indefinite"),
    answers("R34", retention__objects__1__covers_versions=False),
    facts("R34", retention__objects__0__overdue_objects=2),
    facts("R34", retention__objects__0__object="decision_log"),
    facts("R35", retention__erased_subjects_still_in_snapshot=1),
    facts("R35", retention__open_requests_overdue=1),
    answers("R36", erasure__model_action="none_model_anonymous"),
    answers("R37", model_privacy__claim="anonymous"),
    answers("R38", model_privacy__upstream_lawfulness="unlawful_open"),
    answers("R38", model_privacy__upstream_lawfulness="third_party_unchecked"),
    answers("R38", model__base_model="tabular-base"),
    answers("R39", "article22", notice__items__logic=False),
    answers("R39", notice__effective_from=date(2026, 11, 20)),
    answers("R39", notice__art14_within_days=60),
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
    facts("R46", hosting__0__provider="Cloud Inc"),
    answers("R47", warn=True, roles__owner_model="Data protection officer"),
    answers("R49", ai_act__art5_screen__exploits_vulnerability=True),
    answers("R50", ai_act__annex_iii_point="4b", ai_act__risk_class="minimal"),
    answers("R50", ai_act__annex_iii_point="5b", ai_act__high_risk={"derogation_claimed": True}),
    Change("R51", {"ai_act.annex_iii_point": "4b"}, today=date(2027, 12, 2)),
    answers("R51", warn=True, ai_act__annex_iii_point="4b"),
    facts("R52", evaluation__fairness=GAP),
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
]
BY_HAND = {"P02", "R48"}
