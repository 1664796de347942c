"""The questions: what is open, how far we are, and what to paste."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from card_answers import offer_answers
from cards import POLICY, TODAY, card, good_facts
from small_project import PROJECT
from sovereign_ml.card.build import CardError, build, read_answers
from sovereign_ml.card.questions import open_questions, paste, progress
from sovereign_ml.card.rules import RulePolicy, blocks, check
from sovereign_ml.card.schema import Card, Facts

FILE = PROJECT / "model_card.toml"
LOCAL = RulePolicy(open_answers="warn")


def fresh(facts: Facts | None = None) -> Card:
    """The card of a project as it was generated."""
    rendered = (
        FILE.read_text(encoding="utf-8").replace("{{ cookiecutter.", "Acme ").replace(" }}", "")
    )
    return build(facts or Facts(), tomllib.loads(rendered), card_id="acme-churn")


def test_a_fresh_project_runs_through_in_profile_local_and_its_card_is_a_draft() -> None:
    nothing_measured = Facts.model_validate({"run": {"profile": "local"}})
    for facts in (
        nothing_measured,
        Facts.model_validate({**good_facts(), "policy": LOCAL.on_card()}),
    ):
        assert fresh(facts).status == "draft"
        assert blocks(check(fresh(facts), LOCAL, TODAY)) == []


def test_a_fresh_project_is_refused_in_profile_eu_and_at_promotion() -> None:
    facts = Facts.model_validate(good_facts())
    assert "R01" in {f.rule for f in blocks(check(fresh(facts), POLICY, TODAY))}
    assert "R01" in {f.rule for f in blocks(check(fresh(facts), LOCAL, TODAY, at="promote"))}


def test_the_file_asks_everything_that_is_needed_at_the_start_and_nothing_else() -> None:
    assert fresh().unlisted == {}
    listed = _leaves(tomllib.loads(FILE.read_text(encoding="utf-8")))
    required = {q.path for q in open_questions(build(Facts(), _emptied(), card_id="x"))}
    assert {path for path in listed if "[" not in path} <= required | {"retention.objects"}


def _emptied() -> dict[str, Any]:
    """Nothing answered but that offers are made, which the file assumes."""
    return {"purpose": {"direct_marketing": True}, "retention": {"objects": [{"object": "raw"}]}}


def _leaves(tree: dict[str, Any], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for key, value in tree.items():
        path = f"{prefix}{key}"
        found |= _leaves(value, f"{path}.") if isinstance(value, dict) else {path}
    return found - {"purpose.direct_marketing"}


def test_above_each_key_of_the_file_stands_its_question_with_its_article() -> None:
    words = " ".join(FILE.read_text(encoding="utf-8").replace("#", " ").split())
    for question in open_questions(build(Facts(), _emptied(), card_id="x")):
        asked = question.text.removeprefix("raw: ")
        assert question.path == "retention.objects" or f"{asked} ({question.source})" in words, (
            question.path
        )


def test_an_answer_moves_the_progress_and_an_open_one_is_listed_with_its_article() -> None:
    whole, lacking = card(), card(answers={"notice.languages": "?"})
    assert progress(whole).answered == progress(whole).required
    assert progress(lacking).answered == progress(whole).answered - 1
    (question,) = open_questions(lacking)
    assert (question.path, question.source) == ("notice.languages", "GDPR 12(1)")


def test_an_answer_that_makes_a_question_necessary_prints_lines_that_can_be_pasted() -> None:
    answers = offer_answers()
    answers["lawful_basis"]["act"] = {"basis": "6_1_a", "reference": "consent"}
    changed = build(Facts.model_validate(good_facts()), answers, card_id="x")
    pasted = tomllib.loads(paste(changed, open_questions(changed)))
    assert pasted["consent"]["withdrawal"]["channel"] == "?"
    answered = build(Facts.model_validate(good_facts()), {**answers, **pasted}, card_id="x")
    assert answered.unlisted == {}


def test_a_question_is_not_asked_before_it_is_needed() -> None:
    assert "human_review.training_ref" not in {q.path for q in open_questions(fresh())}
    claimed = card(answers={"human_review.stage": "before_effect"})
    assert "human_review.training_ref" in {q.path for q in open_questions(claimed)}


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"purpose": {"colour": "red"}}, "'purpose.colour' is no question of the card"),
        ({"decision": {"effect": "small"}}, "decision.effect = 'small' does not fit"),
        ({"purpose": {"direct_marketing": "yes"}}, "purpose.direct_marketing = 'yes' does not fit"),
        ({"purpose": {"direct_marketing": 0}}, "purpose.direct_marketing = 0 does not fit"),
    ],
)
def test_an_answer_that_does_not_fit_is_named_in_one_line(
    answers: dict[str, Any], message: str
) -> None:
    with pytest.raises(CardError) as raised:
        build(Facts(), answers, card_id="x")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="does not exist"):
        read_answers(tmp_path / "model_card.toml")
    (tmp_path / "model_card.toml").write_text("[purpose\n", encoding="utf-8")
    with pytest.raises(CardError, match="not valid TOML"):
        read_answers(tmp_path / "model_card.toml")


@pytest.mark.parametrize(
    ("encoding", "message"),
    [("latin-1", "not UTF-8 text"), ("utf-16", "not UTF-8 text"), ("utf-8-sig", "byte order mark")],
)
def test_a_file_in_another_encoding_is_named_in_one_line(
    tmp_path: Path, encoding: str, message: str
) -> None:
    path = tmp_path / "model_card.toml"
    path.write_bytes('[roles]\ncontroller = "Müller GmbH"\n'.encode(encoding))
    with pytest.raises(CardError, match=message) as error:
        read_answers(path)
    assert "save it as UTF-8" in str(error.value)
