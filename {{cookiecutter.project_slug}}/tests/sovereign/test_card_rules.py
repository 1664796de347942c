"""Every rule: a good card passes, and the card with one thing changed is found by that rule."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pytest
from cards import BASES, NOW, POLICY, TODAY, card, signed

from sovereign.card.approval import approve, with_approvals
from sovereign.card.rules import RULES, Finding, RulePolicy, blocks, check
from sovereign.card.schema import Card


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
CHANGES = [
    answers("R01", purpose__statement="?"),
    answers("R01", purpose__statement="TODO"),
    answers("R01", purpose__statement="n/a"),
    answers("R01", purpose__territories=[]),
    answers("R01", roles__controller="{{ cookiecutter.organisation }}"),
    answers("R01", decision__effect_factors__essential_service="?"),
    facts("F01", model__artifact_sha256=None),
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
    Change("R19", facts={"decision.score_outcome_agreement": 0.99}, base="reviewed", severity="warn"),
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
    facts("R53", hosting__0__allowed=False),
    facts("R53", hosting__0__jurisdiction_class="SELF_DECLARED"),
    answers("R53", hosting__transfers=[{"to": "US", "tool": "none"}], ropa__transfers=["US"]),
    answers("R54", special__bias_testing={"used": True, "conditions_met": [True] * 5 + [False]}),
    answers("R54", special__bias_testing={"used": True, "conditions_met": [True] * 6}),
    answers("R55", model__review_due=date(2026, 6, 1)),
    answers("R55", warn=True, model__review_due=TODAY - timedelta(days=3)),
    Change("R55", today=date(2028, 3, 1)),
    answers("R56", model_privacy__access_controls="Model is Approved in SageMaker"),
    answers("R56", dpia__ref="MLflow stage Production"),
]
BY_HAND = {"R48"}


def found(of: Card, today: date = TODAY, policy: RulePolicy = POLICY) -> list[Finding]:
    """All findings at promotion."""
    return check(of, policy, today, at="promote")


@pytest.mark.parametrize("base", BASES)
def test_a_good_approved_card_has_no_finding_at_all(base: str) -> None:
    assert found(signed(card(base))) == []


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_card_with_one_thing_changed_is_found_by_the_rule(change: Change) -> None:
    changed = signed(card(change.base, answers=change.answers, facts=change.facts))
    severities = {f.severity for f in found(changed, change.today) if f.rule == change.rule}
    assert change.severity in severities


def test_no_rule_lacks_a_test_in_which_it_finds_something() -> None:
    assert {change.rule for change in CHANGES} | BY_HAND == set(RULES)


def test_no_rule_that_can_block_lacks_a_test_in_which_it_blocks() -> None:
    tested = {change.rule for change in CHANGES if change.severity == "block"} | BY_HAND
    assert {id for id, rule in RULES.items() if rule.severity == "block"} <= tested


def test_the_pack_is_complete() -> None:
    assert set(RULES) == {"F01", *(f"R{n:02}" for n in range(1, 57))}


def test_an_unapproved_card_is_refused_by_r48() -> None:
    assert {f.rule for f in blocks(found(card()))} == {"R48"}


def test_registering_does_not_ask_for_approvals() -> None:
    assert check(card(), POLICY, TODAY) == []


def test_an_open_answer_warns_while_trying_out_and_blocks_promotion() -> None:
    local = RulePolicy(open_answers="warn")
    unanswered = card(answers={"purpose.statement": "?"})
    assert [f.severity for f in check(unanswered, local, TODAY)] == ["warn"]
    assert "R01" in {f.rule for f in blocks(found(unanswered, policy=local))}


def test_a_derived_status_changed_in_the_file_is_refused_and_not_believed() -> None:
    honest = card("article22", answers={"art22.exception": "none"})
    decision = honest.derived.decision.model_copy(update={"art22_applies": False})
    forged = honest.model_copy(update={"derived": honest.derived.model_copy(update={"decision": decision})})
    assert {"R02", "R04"} <= {f.rule for f in blocks(found(forged))}


def test_a_typed_status_that_agrees_is_no_finding() -> None:
    assert found(signed(card(answers={"decision.profiling": True, "dpia.required": False}))) == []


def test_the_data_protection_officer_as_approver_is_found() -> None:
    plain = card()
    dora = approve(plain, role="legal", person="Dora Ohm", at=NOW)
    approved = with_approvals(plain, (*signed(plain).approvals, dora))
    assert [(f.rule, f.severity) for f in found(approved)] == [("R47", "warn")]


def test_a_waiver_marks_a_warning_until_it_expires_and_never_a_block() -> None:
    waivers = [
        {"rule_id": rule, "reason": "agreed", "owner": "Head of CRM", "expires": TODAY} for rule in ("R33", "R28")
    ]
    changed = card(
        answers={"sign_off.waivers": waivers, "objection.marketing_weighed": True},
        facts={"data.features.0.ablation_delta": 0.0},
    )
    assert {f.rule: f.waived for f in check(changed, POLICY, TODAY)} == {"R28": False, "R33": True}
    assert not any(f.waived for f in check(changed, POLICY, TODAY + timedelta(days=1)))


def test_a_refusal_prints_the_lines_for_a_question_that_an_answer_makes_necessary() -> None:
    changed = card(answers={"decision.price_personalised": True})
    (lines,) = (f.paste for f in check(changed, POLICY, TODAY) if f.paste)
    assert lines.startswith("# below [decision]\n# Where are people told")
    assert 'price_notice_ref = "?"' in lines


def test_policy_numbers_say_that_they_are_not_law() -> None:
    assert "not law" in (RulePolicy.__doc__ or "")
    assert found(signed(card(facts={"decision.score_outcome_agreement": 0.99}, base="reviewed"))) != []
    loose = RulePolicy(max_agreement=1.0)
    agreeing = signed(card("reviewed", facts={"decision.score_outcome_agreement": 0.99}))
    assert found(agreeing, policy=loose) == []


def test_every_rule_names_article_reason_and_next_step() -> None:
    for rule in RULES.values():
        assert rule.article and rule.do.endswith((".", "--as ...")), rule.id
        assert rule.refuses.endswith("."), rule.id
