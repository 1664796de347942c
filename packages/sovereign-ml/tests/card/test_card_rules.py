"""Every rule: a good card passes, and the card with one thing changed is found by that rule."""

from __future__ import annotations

import unicodedata
from datetime import date, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from card_changes import BY_HAND, CHANGES, GAP, Change
from cards import BASES, NOW, POLICY, TODAY, card, signed
from sovereign_ml.card.approval import approve, with_approvals
from sovereign_ml.card.questions import open_questions
from sovereign_ml.card.render import render_html, render_markdown
from sovereign_ml.card.rules import RULES, Finding, RulePolicy, blocks, check
from sovereign_ml.card.rules.answered.adequacy import COUNTRIES
from sovereign_ml.card.schema import Card
from sovereign_ml.decisions.rule_policy import LIMITS


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
    assert set(RULES) == {
        "F01",
        "F02",
        "M01",
        "M02",
        "P01",
        "P02",
        *(f"R{n:02}" for n in range(1, 81)),
    }


def test_an_unapproved_card_is_refused_by_r48() -> None:
    assert {f.rule for f in blocks(found(card()))} == {"R48"}


def test_a_model_of_uncommitted_code_is_registered_and_on_made_up_data_promoted() -> None:
    dirty = {"model.training_code_commit": "unknown", "run.git_commit": f"{'a' * 40}-dirty"}
    assert check(card(facts=dirty), POLICY, TODAY) == []
    assert "R57" not in {f.rule for f in found(card(facts={**dirty, "run.profile": "local"}))}


def test_a_development_version_may_judge_while_trying_out() -> None:
    local = {"library.state": "development", "run.profile": "local"}
    assert "R58" not in {f.rule for f in found(card(facts=local))}


def test_a_card_that_names_no_library_is_not_registered() -> None:
    nameless = {"library.version": None, "library.rule_digest": None}
    (finding,) = (f for f in blocks(check(card(facts=nameless), POLICY, TODAY)) if f.rule == "F01")
    assert "library.version" in finding.found


def test_another_library_makes_another_card() -> None:
    assert card(facts={"library.rule_digest": "a" * 64}).content_hash != card().content_hash


def test_registering_does_not_ask_for_approvals() -> None:
    assert check(card(), POLICY, TODAY) == []


def test_an_open_answer_warns_while_trying_out_and_blocks_promotion() -> None:
    local = RulePolicy(open_answers="warn")
    stated = {"policy": local.on_card()}
    unanswered = card(answers={"purpose.statement": "?"}, facts=stated)
    assert [f.severity for f in check(unanswered, local, TODAY)] == ["warn"]
    assert "R01" in {f.rule for f in blocks(found(unanswered, policy=local))}


def test_a_gap_that_nobody_judged_yet_warns_while_trying_out_and_blocks_promotion() -> None:
    local = RulePolicy(open_answers="warn")
    unjudged = card(
        answers={"evaluation.fairness_tolerance": "?"}, facts={"evaluation.fairness": GAP}
    )
    assert ("R52", "warn") in {(f.rule, f.severity) for f in check(unjudged, local, TODAY)}
    assert "R52" in {f.rule for f in blocks(found(unjudged, policy=local))}


def test_a_gap_with_a_signed_justification_passes() -> None:
    justified = {
        "evaluation.fairness_justification": "Delivery to the islands takes longer.",
        "evaluation.fairness_justification_by": "Grace Hopper, Head of CRM",
    }
    assert found(signed(card(answers=justified, facts={"evaluation.fairness": GAP}))) == []


def test_a_derived_status_changed_in_the_file_is_refused_and_not_believed() -> None:
    honest = card("article22", answers={"art22.exception": "none"})
    decision = honest.derived.decision.model_copy(update={"art22_applies": False})
    forged = honest.model_copy(
        update={"derived": honest.derived.model_copy(update={"decision": decision})}
    )
    assert {"R02", "R04"} <= {f.rule for f in blocks(found(forged))}


def test_a_typed_status_of_no_known_name_is_refused_and_no_trace() -> None:
    forged = card().model_copy(update={"typed_status": {"human_review.done": True}})
    refusals = [f.found for f in blocks(found(forged)) if f.rule == "R04"]
    assert refusals == ["human_review.done = True was typed, and nothing of that name is computed."]


@pytest.mark.parametrize(
    ("in_data", "left_out"),
    [("de", ""), ("DE", ""), ("uk", ""), ("EL", ""), ("Germany", ""), ("fr", "FR"), ("el ", "")],
)
def test_a_country_is_the_same_in_small_letters_and_by_the_commissions_code(
    in_data: str, left_out: str
) -> None:
    groups = [{"group": f"country={in_data}", "train_share": 0.5, "population_share": 0.5}]
    stated = card(
        facts={"data.representativeness": groups},
        answers={"purpose.territories": ["DE", "GB", "GR"]},
    )
    lines = [f.found for f in found(stated) if f.rule == "R73"]
    assert [line.split()[3].rstrip(",") for line in lines] == ([left_out] if left_out else [])


def test_a_typed_status_that_agrees_is_no_finding() -> None:
    assert found(signed(card(answers={"decision.profiling": True, "dpia.required": False}))) == []


def test_the_data_protection_officer_as_approver_is_found() -> None:
    plain = card()
    dora = approve(plain, role="legal", person="Dora Ohm", at=NOW)
    approved = with_approvals(plain, (*signed(plain).approvals, dora))
    assert [(f.rule, f.severity) for f in found(approved)] == [("R47", "warn")]


@pytest.mark.parametrize(
    ("contact", "rules"),
    [
        ("dora.ohm@acme.example", ["R47"]),
        ("Ohm, Dora, privacy@acme.example", ["R47"]),
        ("Dr. D. Ohm <privacy@acme.example>", ["R47"]),
        ("privacy@acme.example", []),
        ("Max Planck <max.planck@acme.example>", []),
    ],
)
def test_the_data_protection_officer_is_known_under_any_spelling(
    contact: str, rules: list[str]
) -> None:
    plain = card(answers={"roles.dpo_contact": contact})
    dora = approve(plain, role="legal", person="Dora Ohm", at=NOW)
    approved = with_approvals(plain, (*signed(plain).approvals, dora))
    assert [f.rule for f in found(approved) if f.rule == "R47"] == rules


@pytest.mark.parametrize(
    ("domain", "covered"),
    [
        ("data.acme.co.uk", True),
        ("acme.co.uk", True),
        ("co.uk", False),
        ("uk", False),
        ("me.co.uk", False),
    ],
)
def test_nobody_declares_an_ending_below_which_strangers_register_names(
    domain: str, covered: bool
) -> None:
    declared = {"hostname": domain, "provider": "Acme", "country": "DE", "parent": "none"}
    host = {
        "component": "storage",
        "hostname": "data.acme.co.uk",
        "carries": ["personal_data"],
        "jurisdiction_class": "SELF_DECLARED",
        "allowed": True,
    }
    answers = {"hosting.owner_declarations": [declared | {"date": TODAY}]}
    seen = found(card(answers=answers, facts={"hosting": [host]}))
    assert any("Nobody declared" in f.found for f in seen) is not covered


@pytest.mark.parametrize(
    ("text", "open_"),
    [
        ("TODO: ask legal for the contract, which somebody signed in spring 2026", True),
        ("[TODO] docs/privacy.md", True),
        ("tbd (Ada)", True),
        ("Todo el personal de ventas", False),
        ("TODOS los clientes", False),
        ("docs/todo-list.md", False),
    ],
)
def test_a_mark_of_work_that_is_left_is_no_answer_whatever_follows(text: str, open_: bool) -> None:
    seen = found(card(answers={"roles.controller": text}))
    assert any("puts the answer off" in f.found for f in seen) is open_


def test_two_blocks_for_one_stored_object_are_found_whichever_comes_last() -> None:
    listed = card().answers.retention.objects
    assert isinstance(listed, tuple)
    rows = [row.model_dump(mode="json") for row in listed]
    forever = rows[0] | {"period": "P99Y"}
    for blocks_of in ([forever, *rows], [*rows, forever]):
        twice = signed(card(answers={"retention.objects": blocks_of}))
        assert any(f.rule == "R34" and "has 2 blocks" in f.found for f in found(twice))


def test_a_period_of_thousands_of_digits_is_none_and_no_trace() -> None:
    rows = [{"object": "raw", "period": f"P{'9' * 5000}D"}]
    endless = signed(card(answers={"retention.objects": rows}))
    assert {"R34", "R59"} <= {f.rule for f in blocks(found(endless))}


@pytest.mark.parametrize(
    ("owner", "rules"),
    [("Head of endpoint security", []), ("The DPO", ["R47"]), ("Datenschutzbeauftragte", ["R47"])],
)
def test_only_a_word_names_the_data_protection_officer_as_an_owner(
    owner: str, rules: list[str]
) -> None:
    assert [f.rule for f in found(signed(card(answers={"roles.owner_model": owner})))] == rules


def test_a_name_is_the_same_in_composed_and_decomposed_letters() -> None:
    record = {"ropa.recipients": [unicodedata.normalize("NFD", "Müller Hosting GmbH")]}
    listed = card().answers.roles.processors
    assert isinstance(listed, tuple)
    names = [p.model_dump(mode="json") | {"name": "Müller Hosting GmbH"} for p in listed[:1]]
    hosts = [
        h.model_dump(mode="json") | {"provider": "Müller Hosting GmbH" if h.provider else ""}
        for h in card().facts.hosting
    ]
    same = card(answers={**record, "roles.processors": names}, facts={"hosting": hosts})
    assert [f.found for f in found(signed(same)) if f.rule == "R46"] == []


def test_a_waiver_marks_a_warning_until_it_expires_and_never_a_block() -> None:
    waivers = [
        {"rule_id": rule, "reason": "agreed", "owner": "Head of CRM", "expires": TODAY}
        for rule in ("R33", "R28")
    ]
    changed = card(
        answers={"sign_off.waivers": waivers, "objection.marketing_weighed": True},
        facts={"data.elimination.0.loss_high": 0.001},
    )
    assert {f.rule: f.waived for f in check(changed, POLICY, TODAY)} == {"R28": False, "R33": True}
    assert not any(f.waived for f in check(changed, POLICY, TODAY + timedelta(days=1)))


def test_a_refusal_prints_the_lines_for_a_question_that_an_answer_makes_necessary() -> None:
    changed = card(answers={"decision.price_personalised": True})
    (lines,) = (f.paste for f in check(changed, POLICY, TODAY) if f.paste)
    assert lines.startswith("# below [decision]\n# Where are people told")
    assert 'price_notice_ref = "?"' in lines


@pytest.mark.parametrize(
    ("facts", "rules"),
    [
        ({"monitoring.last_run_on": date(2026, 11, 16)}, []),
        ({"monitoring.last_run_on": date(2026, 11, 15)}, ["M01"]),
        ({"monitoring.last_run_on": date(2026, 11, 25)}, []),
        ({"monitoring.last_run_on": date(2026, 11, 26)}, ["M01"]),
        ({"monitoring.last_run_on": None}, ["M01"]),
        ({"monitoring.last_run_on": None, "decision.first_scoring_on": None}, []),
        ({"monitoring.oldest_unanswered_on": date(2026, 11, 19)}, []),
        ({"monitoring.oldest_unanswered_on": date(2026, 11, 18)}, ["M02"]),
    ],
)
def test_a_model_in_use_is_watched_and_its_alarms_are_answered(
    facts: dict[str, Any], rules: list[str]
) -> None:
    seen = found(signed(card(facts=facts)))
    assert [(f.rule, f.severity) for f in seen] == [(rule, "warn") for rule in rules]


def test_policy_numbers_say_that_they_are_not_law() -> None:
    assert "not law" in (RulePolicy.__doc__ or "")
    assert (
        found(signed(card(facts={"decision.score_outcome_agreement": 0.99}, base="reviewed"))) != []
    )
    loose = RulePolicy(max_agreement=0.995)
    stated = {"decision.score_outcome_agreement": 0.99, "policy": loose.on_card()}
    agreeing = signed(card("reviewed", facts=stated))
    assert found(agreeing, policy=loose) == []


LOOSE = {
    "review_min_cases": 10_000,
    "review_min_median_seconds": 0.0,
    "review_min_catch_rate": 0.0,
    "review_test_days": 999_999,
    "max_agreement": 1.0,
    "tolerated_loss": 0.0,
    "min_group": 99_999,
    "max_fairness_tolerance": 1.0,
    "max_association": 1.0,
    "max_shift": 1.0,
    "max_withdrawal_hours": 1e9,
    "law_valid_days": 999_999,
    "grace_days": 999_999,
    "max_data_age_days": 999_999,
    "approval_roles": ("security",),
    "metric_tolerance": 99.0,
}


@pytest.mark.parametrize("name", LOOSE)
def test_a_number_loosened_after_approval_voids_it_and_a_limit_holds_even_for_an_honest_card(
    name: str,
) -> None:
    loose = RulePolicy.model_validate({name: LOOSE[name]})
    after = {f.rule for f in blocks(found(signed(card()), policy=loose))}
    assert {"P01", "P02"} <= after
    honest = card(facts={"policy": loose.on_card()})
    assert honest.content_hash != card().content_hash
    left = {f.rule for f in blocks(found(signed(honest), policy=loose))}
    assert left - {"R48"} == {"P02"}, "R48 asks for the roles of the loose policy"
    local = card(facts={"policy": loose.on_card(), "run.profile": "local"})
    assert ("P02", "warn") in {(f.rule, f.severity) for f in found(signed(local), policy=loose)}


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_compares_with_nothing_is_no_policy(number: float) -> None:
    with pytest.raises(ValueError, match="finite number"):
        RulePolicy.model_validate({"tolerated_loss": number})


@pytest.mark.parametrize("typed", ["0.2", True, [0.2], None, {}])
@pytest.mark.parametrize("name", sorted(LIMITS.keys() - {"approval_roles"}))
def test_a_policy_number_is_typed_as_a_number(name: str, typed: object) -> None:
    with pytest.raises(ValidationError, match="which is no number"):
        RulePolicy.model_validate({name: typed})


def test_every_policy_number_has_a_limit_and_no_role_counts_twice() -> None:
    choices = {"open_answers", "metric"}
    assert set(RulePolicy.model_fields) == {*LIMITS, *choices}
    with pytest.raises(ValidationError, match="names model_owner twice"):
        RulePolicy(approval_roles=("model_owner", "model_owner"))


def test_the_card_shows_the_numbers_and_marks_what_differs_from_the_default() -> None:
    stated = {"policy": RulePolicy(grace_days=60).on_card()}
    for page in (render_markdown(card(facts=stated)), render_html(card(facts=stated))):
        assert "60 (DIFFERS from the default 30); allowed" in page
        assert page.count("DIFFERS") == 1


def test_every_rule_names_article_reason_and_next_step() -> None:
    for rule in RULES.values():
        assert rule.article and rule.do.endswith((".", "--as ...")), rule.id
        assert rule.refuses.endswith("."), rule.id


@pytest.mark.parametrize(
    ("answered", "configured"),
    [
        *[("P2Y", "P24M"), ("P1Y6M", "P18M"), ("P2W", "P14D"), ("P10Y", "P120M"), ("P1M", "P30D")],
        *[("P28D", "P1M"), ("P90D", "P3M"), ("P180D", "P6M"), ("P365D", "P12M"), ("P730D", "P2Y")],
        *[("P720D", "P24M"), ("P1M2W", "P44D"), ("P52W", "P1Y")],
    ],
)
def test_the_same_period_written_in_two_ways_is_no_contradiction(
    answered: str, configured: str
) -> None:
    for first, second in ((answered, configured), (configured, answered)):
        same = card(
            answers={"retention.objects.0.period": first},
            facts={"retention.objects.0.period": second},
        )
        assert found(signed(same)) == []


@pytest.mark.parametrize(
    ("answered", "configured"),
    [
        *[("P2Y", "P23M"), ("P24M", "P24M1D"), ("P1W", "P8D"), ("P1M", "P25D"), ("P3M", "P100D")],
        *[("P700D", "P24M"), ("P24M", "P24D"), ("P1Y", "P2Y"), ("P1M1D", "P1M2D")],
    ],
)
def test_another_period_is_a_contradiction(answered: str, configured: str) -> None:
    for first, second in ((answered, configured), (configured, answered)):
        other = card(
            answers={"retention.objects.0.period": first},
            facts={"retention.objects.0.period": second},
        )
        (finding,) = found(signed(other))
        assert finding.rule == "R73" and first in finding.found and second in finding.found


@pytest.mark.parametrize(
    ("written", "named"),
    [
        *[("German", "de"), ("Deutsch", "de"), ("DE", "de"), ("de_AT", "de"), ("Dansk", "da")],
        *[("German (Austria)", "de"), ("français", "fr"), ("Klingon", "Klingon")],
    ],
)
def test_a_language_of_the_notice_is_known_by_code_and_name(written: str, named: str) -> None:
    lacking = card(
        "credit",
        answers={"notice.languages": ["en", written]},
        facts={
            "decision.outcomes.0.name": "on_hold",
            "decision.outcomes.0.words": {"en": "on hold"},
        },
    )
    said = [f.found for f in found(signed(lacking)) if f.rule == "R79"]
    assert said == [f"The outcome 'on_hold' has no words in {named}, a language of the notice."]


def test_every_country_of_the_list_is_an_answer() -> None:
    """NA is Namibia, EE is Estonia, SO is Somalia; each of them reads like no answer."""
    processor = {
        "name": "Rechenhaus",
        "service": "hosting",
        "dpa_ref": "DPA 2026-03",
        "subprocessors_ref": "https://rechenhaus.example/subprocessors",
    }
    for country in sorted(COUNTRIES):
        where = {"country": country, "parent_jurisdiction": country}
        answered = card(
            answers={
                "purpose.territories": [country],
                "roles.processors": [{**processor, **where}],
                "notice.languages": ["nn", "ee"],
            }
        )
        assert open_questions(answered) == open_questions(card())
        assert not [f for f in check(answered, POLICY, TODAY) if "placeholder" in f.found]
    none = card(answers={"purpose.territories": ["n/a"]})
    assert [question.path for question in open_questions(none)] == ["purpose.territories"]
    wrong = check(card(answers={"purpose.territories": ["KA"]}), POLICY, TODAY)
    assert [f.rule for f in wrong if "no country code" in f.found] == ["R59"]
