"""`churn card answer`: from a fresh model_card.toml to a card without open answers, and what people may type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from pydantic.fields import FieldInfo

from card_answers import offer_answers
from cards import POLICY, TODAY, card
from interviews import CASES, PAGE, TEXT, Person, facts_of, interview, section
from sovereign_ml.card.build import CardError, read_answers
from sovereign_ml.card.questions import open_questions, walk
from sovereign_ml.card.rules import blocks, check
from sovereign_ml.card.rules.answered.dates import DONE, DUE
from sovereign_ml.pipeline.card_facts.interview import SAME_AS, StoppedError, proposals
from sovereign_ml.pipeline.card_facts.typed_answers import marked, parse


def typing(*typed: str) -> Callable[[str], str]:
    """Type these lines; then the input ends."""
    rest: Iterator[str] = iter(typed)

    def read(_: str) -> str:
        try:
            return next(rest)
        except StopIteration:
            raise EOFError from None

    return read


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model_card.toml"


@pytest.fixture
def printed() -> list[str]:
    return []


def stopped(path: Path, printed: list[str], *typed: str) -> dict[str, Any]:
    """The answers in the file after these lines."""
    with pytest.raises(StoppedError) as stop:
        interview(path, typing(*typed), printed.append).run()
    assert stop.value.ended == (typed[-1] != "q")
    return read_answers(path)


@pytest.mark.parametrize("title", CASES)
def test_a_fresh_file_is_answered_in_as_few_questions_as_the_page_shows(
    path: Path, title: str
) -> None:
    answers, most = CASES[title]
    person = Person(path, answers(), facts_of(answers))
    asking = interview(path, person.read, person.say, answers)
    whole = asking.run()
    assert not open_questions(whole)
    assert asking.asked <= most
    assert section(title, asking.asked, person.transcript) in PAGE.read_text(encoding="utf-8")
    assert blocks(check(whole, POLICY, TODAY)) == []
    kept = [line for line in path.read_text(encoding="utf-8").splitlines() if line[:2] == "# "]
    assert kept == [line for line in TEXT.splitlines() if line[:2] == "# "], "comments stay"


def test_every_proposal_is_about_a_question_that_the_card_has() -> None:
    for answers in ("offer", "article22", "credit"):
        asked = {path for path, _, _ in walk(card(answers).answers)}
        assert asked >= SAME_AS.keys() | set(SAME_AS.values())
        assert asked >= proposals(card(answers), TODAY).keys() | DONE | DUE


def test_each_answer_is_in_the_file_at_once_and_the_next_call_goes_on(
    path: Path, printed: list[str]
) -> None:
    assert stopped(path, printed, "n", "2027-06-01")["model"]["review_due"] == date(2027, 6, 1)
    stopped(path, printed, "none", "q")
    assert read_answers(path)["roles"]["processors"] == []


def test_back_takes_an_answer_or_a_skip_back(path: Path, printed: list[str]) -> None:
    given = stopped(path, printed, "b", "n", "2027-06-01", "b", "2027-05-01", "s", "b", "none", "q")
    assert given["model"]["review_due"] == date(2027, 5, 1)
    assert given["roles"]["processors"] == []
    assert "  This is the first question." in printed


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("01.06.2027", "'01.06.2027' is no date such as 2027-01-31."),
        ("2027-02-30", "'2027-02-30' is no date such as 2027-01-31."),
        ("", "Nothing was said; s skips the question."),
    ],
)
def test_a_wrong_date_is_told_and_asked_again(
    path: Path, printed: list[str], typed: str, told: str
) -> None:
    given = stopped(path, printed, "n", typed, "2027-06-01", "q")
    assert given["model"]["review_due"] == date(2027, 6, 1)
    assert f"  {told}" in printed


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("Nordhost", "'Nordhost' has 1 values, and 5 are asked"),
        ("Nordhost | storage | FI | FI | a | b", "has 6 values, and 5 are asked"),
    ],
)
def test_a_row_of_a_list_has_a_value_for_each_column(
    path: Path, printed: list[str], typed: str, told: str
) -> None:
    right = "Nordhost | storage | FI | FI | contracts/n.pdf"
    given = stopped(path, printed, "n", "2027-06-01", typed, right, "q")
    assert any(told in line for line in printed)
    assert given["roles"]["processors"][0]["dpa_ref"] == "contracts/n.pdf"


@pytest.mark.parametrize("typed", ["7", "0", "1,9", "x", "1; 2; 3; 4; 5; 6; 7", "-1"])
def test_numbers_that_are_not_there_mark_nothing(
    path: Path, printed: list[str], typed: str
) -> None:
    path.write_text(TEXT, encoding="utf-8")
    document = tomlkit.parse(TEXT)
    full = offer_answers()
    for table in ("model", "roles", "purpose"):
        document[table].update(full[table])
    document["decision"]["score_transmitted_to"] = []
    document["decision"]["price_personalised"] = False
    path.write_text(tomlkit.dumps(document), encoding="utf-8")
    given = stopped(path, printed, typed, "3; 1", "q")
    factors = given["decision"]["effect_factors"]
    assert any("numbers from 1 to 6, all, or none" in line for line in printed)
    assert [name for name, value in factors.items() if value] == [
        "circumstances_behaviour_choices",
        "exclusion_or_discrimination",
    ]


@pytest.mark.parametrize("typed", ["1; 3", "01 03", "3,1,1"])
def test_a_number_marks_its_line_however_it_is_typed(typed: str) -> None:
    assert marked(["a", "b", "c"], typed) == {"a": True, "b": False, "c": True}


@pytest.mark.parametrize("typed", ["DE; FR", "DE; FR;", " DE ;FR ; "])
def test_a_list_has_no_empty_item(typed: str) -> None:
    question = FieldInfo(annotation=tuple[str, ...] | str)  # type: ignore[arg-type]
    assert parse(question, typed) == ["DE", "FR"]
    with pytest.raises(ValueError, match="empty item"):
        parse(question, "DE;; FR")


def test_what_a_rule_says_of_an_answer_is_told_at_once(path: Path, printed: list[str]) -> None:
    stopped(path, printed, "n", "2099-01-01", "q")
    assert any("model.review_due = 2099-01-01 is more than" in line for line in printed)


def test_a_file_that_is_no_toml_is_named_and_left_alone(path: Path, printed: list[str]) -> None:
    path.write_text("[model\n", encoding="utf-8")
    with pytest.raises(CardError, match="is not valid TOML"):
        interview(path, typing("x"), printed.append).run()
    assert path.read_text(encoding="utf-8") == "[model\n"


def test_a_file_that_is_no_text_is_one_line(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(
        CardError, match=r"is not UTF-8 text \(invalid start byte at byte 0\): save it as UTF-8"
    ):
        read_answers(path)
