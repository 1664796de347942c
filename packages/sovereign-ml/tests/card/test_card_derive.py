"""The derived status: computed, three-valued, and deaf to what anybody types."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from card_answers import offer_answers as offer
from cards import NOW, POLICY, TODAY, card, signed
from sovereign_ml.card.build import DERIVED_KEYS, build
from sovereign_ml.card.promotion import may_promote
from sovereign_ml.card.rules import blocks, check
from sovereign_ml.card.schema import Card, Facts

FLAG = [True, False, "?"]
CHOICES: dict[str, list[Any]] = {
    "decision.automation_level": [
        "none",
        "decision_support",
        "human_confirms_each",
        "solely_automated",
        "?",
    ],
    "decision.score_role": ["informs", "strongly_relied_on", "determinative", "?"],
    "decision.effect": ["none", "minor", "similarly_significant", "legal", "?"],
    "decision.downstream_action": ["discount_offer", "credit", "contract_termination", "?"],
    "decision.effect_factors.essential_service": FLAG,
    "decision.effect_factors.exploits_vulnerability": FLAG,
    "purpose.children_possible": FLAG,
    "purpose.direct_marketing": FLAG,
    "human_review.stage": ["before_effect", "after_effect", "on_request", "none", "?"],
    "human_review.coverage": ["all_cases", "all_adverse", "sample", "none", "?"],
    "human_review.authority_to_override": FLAG,
    "human_review.training_ref": ["docs/training.md", "?"],
    "human_review.information_shown": [["score"], ["score", "raw_record"], "?"],
    "art22.exception": [
        "not_applicable",
        "none",
        "contract_22_2_a",
        "law_22_2_b",
        "explicit_consent_22_2_c",
        "?",
    ],
    "special.declared_features": [[], ["pregnant"], "?"],
    "ai_act.annex_iii_point": ["none", "4b", "5b", "?"],
    "ai_act.art5_screen.social_scoring": FLAG,
    "dpia.national_list": ["no_entry", "entry 7", "?"],
}
PEOPLE = st.fixed_dictionaries({path: st.sampled_from(values) for path, values in CHOICES.items()})
TYPED = st.dictionaries(
    st.sampled_from(sorted(DERIVED_KEYS)), st.sampled_from([True, False, "solely", "minimal"])
)


def made(changes: dict[str, Any]) -> Card:
    """A card of the retention offer with these answers."""
    return card(answers=changes)


@given(PEOPLE, TYPED)
@settings(max_examples=60, deadline=None, database=None)
def test_the_derived_status_never_depends_on_a_typed_value(
    answers: dict[str, Any], typed: dict[str, Any]
) -> None:
    silent, talking = made(answers), made({**answers, **typed})
    assert talking.derived == silent.derived
    contradicted = any(
        value
        != getattr(
            getattr(silent.derived, DERIVED_KEYS[key].split(".")[0]),
            DERIVED_KEYS[key].split(".")[1],
        )
        for key, value in typed.items()
    )
    found = {f.rule for f in blocks(check(talking, POLICY, TODAY))}
    assert not contradicted or "R04" in found


@given(PEOPLE)
@settings(max_examples=60, deadline=None, database=None)
def test_no_card_with_article_22_and_no_exception_ever_promotes(answers: dict[str, Any]) -> None:
    made_card = signed(made(answers))
    reasons = may_promote(
        made_card,
        check(made_card, POLICY, TODAY, at="promote"),
        candidate={"roc_auc": 1.0},
        production=None,
        policy=POLICY,
        today=TODAY,
    )
    applies = made_card.derived.decision.art22_applies
    excepted = answers["art22.exception"] not in ("none", "not_applicable", "?")
    assert reasons or applies is False or (applies is True and excepted)


@given(
    PEOPLE,
    st.sampled_from(["decision.effect_factors.essential_service", "purpose.children_possible"]),
)
@settings(max_examples=60, deadline=None, database=None)
def test_a_factor_answered_yes_never_takes_people_out_of_article_22(
    answers: dict[str, Any], factor: str
) -> None:
    before = made({**answers, factor: False}).derived.decision.art22_applies
    after = made({**answers, factor: True}).derived.decision.art22_applies
    assert before is not True or after is True


def test_the_default_offer_is_profiling_and_marketing_and_not_article_22() -> None:
    decision = card().derived.decision
    assert (decision.profiling, decision.direct_marketing, decision.art22_applies) == (
        True,
        True,
        False,
    )
    assert "in many typical cases targeted offers" in decision.why and "object" in decision.why


@pytest.mark.parametrize(
    "factor",
    [f"decision.effect_factors.{name}" for name in offer()["decision"]["effect_factors"]]
    + ["purpose.children_possible"],
)
def test_each_factor_flips_article_22_and_stays_open_while_unanswered(factor: str) -> None:
    assert card(answers={factor: True}).derived.decision.art22_applies is True
    unanswered = card(answers={factor: "?"}).derived.decision
    assert unanswered.art22_applies == "?"
    assert unanswered.open_factors == (factor,)


def test_a_review_of_the_top_of_the_list_leaves_the_others_to_the_machine() -> None:
    sample = card("reviewed", answers={"human_review.coverage": "sample"}).derived
    assert sample.human_review.meaningful is False
    assert sample.decision.effective_automation == "solely"
    assert sample.human_review.missing == ("everyone who is worse off",)


def test_a_review_that_nobody_tested_is_not_meaningful() -> None:
    untested = card("reviewed", facts={"review.seeded_error_catch_rate": None})
    assert untested.derived.human_review.meaningful is False


def test_a_score_that_another_controller_draws_strongly_on_is_the_decision() -> None:
    sent = [{"controller": "Bank AG", "contract_ref": "c.pdf", "art22_left_to_recipient": False}]
    changes = {"decision.score_role": "strongly_relied_on", "decision.score_transmitted_to": sent}
    assert card("reviewed", answers=changes).derived.decision.effective_automation == "solely"


@pytest.mark.parametrize(
    ("answers", "facts", "required"),
    [
        ({}, {}, False),
        ({"dpia.national_list": "entry 7"}, {}, True),
        ({"decision.effect": "legal"}, {}, True),
        ({}, {"data.subjects_at_least": 10_000}, True),
        ({"purpose.vulnerable_groups": ["people in debt"]}, {}, True),
        ({"purpose.vulnerable_groups": "?"}, {}, "?"),
    ],
)
def test_the_impact_assessment_follows_from_its_criteria(
    answers: dict[str, Any], facts: dict[str, Any], required: object
) -> None:
    assert card(answers=answers, facts=facts).derived.dpia.required == required


@pytest.mark.parametrize(
    ("answers", "risk", "since"),
    [
        ({}, "minimal", "now"),
        ({"ai_act.annex_iii_point": "4b"}, "high_risk", "2027-12-02"),
        ({"ai_act.art5_screen.manipulative": True}, "prohibited", "now"),
        ({"ai_act.talks_or_generates": True}, "transparency_50", "now"),
        ({"ai_act.annex_iii_point": "?"}, "?", "?"),
    ],
)
def test_the_ai_act_class_and_date_are_computed(
    answers: dict[str, Any], risk: str, since: str
) -> None:
    derived = card(answers=answers).derived.ai_act
    assert (derived.risk_class, derived.applies_from) == (risk, since)


def test_a_card_of_nothing_leaves_the_position_open() -> None:
    empty = build(Facts(), {}, card_id="acme-churn").derived
    assert (empty.decision.art22_applies, empty.dpia.required, empty.ai_act.risk_class) == (
        "?",
        "?",
        "?",
    )


def test_a_proxy_counts_as_special_data_until_somebody_clears_it() -> None:
    proxy = {"feature": "category", "category": "health", "metric": "cramers_v", "value": 0.4}
    scan = {"data.special_scan": {"proxies": [proxy]}}
    assert "WP248-4 sensitive data" in card(facts=scan).derived.dpia.criteria
    cleared = card(facts=scan, answers={"special.proxies_cleared": ["category"]})
    assert "WP248-4 sensitive data" not in cleared.derived.dpia.criteria


def test_the_clock_of_the_run_decides_whether_a_test_of_reviewers_is_current() -> None:
    late = card("reviewed", facts={"run.generated_at": NOW.replace(year=2028)})
    assert late.derived.human_review.missing == ("current proof that reviewers catch errors",)
