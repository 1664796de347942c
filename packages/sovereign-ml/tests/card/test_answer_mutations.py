"""No answer without a rule: a wrong value of each one is noticed, or the schema says why nobody judges it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cards import BASES
from mutations import CASES, JUNK, Mutation, answers_of, every, judged, table, unread
from sovereign_ml.card.schema.base import is_open

PAGE = Path(__file__).parents[2] / "docs/card-answers.md"
PUBLISH = (
    "run in tests/support/cards: PYTHONPATH=. python mutations.py ../../../docs/card-answers.md"
)


@pytest.fixture(scope="module")
def done() -> list[Mutation]:
    return every()


def information(base: str) -> dict[str, str]:
    """The answers that the schema marks as information, with the reason."""
    extras = {path: field.json_schema_extra for path, field, _ in answers_of(base)}
    return {
        path: str(extra["information"])
        for path, extra in extras.items()
        if isinstance(extra, dict) and extra.get("information")
    }


@pytest.mark.parametrize("base", BASES)
def test_the_good_cards_are_without_any_finding(base: str) -> None:
    assert judged(base) == []


@pytest.mark.parametrize("base", CASES)
def test_a_wrong_value_of_every_answer_is_noticed(base: str, done: list[Mutation]) -> None:
    assert unread([m for m in done if m.base == base]) <= set(information(base))


def test_an_answer_that_only_some_cards_ask_is_noticed_in_one_of_them(done: list[Mutation]) -> None:
    assert unread(done) == set()


def test_what_is_marked_as_information_says_why() -> None:
    marked = {path: why for base in BASES for path, why in information(base).items()}
    assert all(len(why.split()) >= 5 for why in marked.values())
    assert len(marked) <= 3


def test_the_published_table_is_the_one_that_the_rules_give(done: list[Mutation]) -> None:
    assert PAGE.read_text(encoding="utf-8") == table(done), PUBLISH


@pytest.mark.parametrize(
    "text",
    [
        *JUNK,
        *(
            "k. A.",
            "T\u200bODO",
            "\uff34\uff2f\uff24\uff2f",
            "n/a.",
            "NO IDEA",
            "xxx",
            "...",
            "\u2014",
        ),
        *(
            "keine Angabe",
            "wird nachgereicht",
            "\u00e0 compl\u00e9ter",
            "voir ci-dessus",
            "por definir",
        ),
        *(
            "da definire",
            "zie boven",
            "n.v.t.",
            "nie dotyczy",
            "se ovan",
            "Lorem ipsum dolor",
            "asdf",
        ),
    ],
)
def test_a_placeholder_in_any_language_is_no_answer(text: str) -> None:
    assert is_open(text)


@pytest.mark.parametrize(
    "text",
    [
        "3",
        "*",
        "de",
        "no",
        "Acme",
        "C-3",
        "not_applicable",
        "n/a: we have no processor",
        "\u65e5\u672c\u8a9e",
    ],
)
def test_a_short_answer_that_says_something_is_one(text: str) -> None:
    assert not is_open(text)


@pytest.mark.parametrize("text", JUNK)
def test_no_kind_of_text_takes_a_placeholder(text: str) -> None:
    for path in (
        "purpose.statement",  # a sentence
        "erasure.channel",  # a place
        "monitoring.frequency",  # anything said
        "purpose.territories.0",  # a country
        "retention.objects.0.period",  # a period
        "roles.processors.0.name",  # a part of a table
        "legitimate_interest.mitigations_beyond_duty.1",  # a part of a list
    ):
        assert [f for f in judged("offer", path, text) if f.severity == "block"], path


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("To be decided by the new team", "puts the answer off"),
        ("we will fill this in before the launch", "puts the answer off"),
        ("see the answers of somebody else later", "puts the answer off"),
        ("das wird noch von uns, wird noch ergänzt", "puts the answer off"),
        ("qwertz asdfgh yxcvbn mnbvcx", "puts the answer off"),
        ("Find customers who\u202e evael thgim", "U\\+202E"),
        ("Find \u2066customers who might leave", "U\\+2066"),
    ],
)
def test_an_answer_that_is_put_off_or_turned_around_is_none(text: str, told: str) -> None:
    hits = [f.found for f in judged("offer", "purpose.statement", text) if f.rule == "R59"]
    assert re.search(told, " ".join(hits)), hits


@pytest.mark.parametrize(
    "text",
    [
        *("as per policy", "see other document", "wird noch geklärt", "According to our policy"),
        *(
            "see the relevant internal documentation",
            "in line with applicable law",
            "as usual here",
        ),
        *("siehe anderes Dokument", "gemäß interner Richtlinie", "laut Vorgabe der Abteilung"),
        *("wie in der Dokumentation", "selon la politique interne", "voir un autre document"),
        *(
            "según la política",
            "secondo le regole interne",
            "volgens het beleid",
            "zie ander document",
        ),
    ],
)
@pytest.mark.parametrize(
    "path",
    [
        *("purpose.statement", "erasure.channel", "monitoring.frequency"),
        *("roles.processors.0.name", "legitimate_interest.mitigations_beyond_duty.1"),
    ],
)
def test_an_answer_that_points_somewhere_names_what_it_points_to(path: str, text: str) -> None:
    assert [f for f in judged("offer", path, text) if f.rule == "R59" and f.severity == "block"]


@pytest.mark.parametrize(
    "text",
    [
        *("policy 4.2 on the intranet", "see docs/lia.md", "siehe Handbuch Kapitel Auskunft"),
        *("every month", "by the controller's lawyer", "Richtlinie Datenschutz 2026", "every week"),
        *("shop account, privacy settings", "privacy notice of the shop"),
    ],
)
def test_a_short_answer_that_names_its_place_is_taken(text: str) -> None:
    assert not [f for f in judged("offer", "monitoring.frequency", text) if f.rule == "R59"]


def test_words_of_delay_in_an_honest_answer_are_no_delay() -> None:
    for text in (
        "Each offer has to be confirmed by a second person before it is sent",
        "Die Entscheidung wird noch am selben Tag von einer Person geprüft",
        "Customers can change their mind later in the app",
    ):
        assert not [f for f in judged("offer", "purpose.statement", text) if f.rule == "R59"], text


def test_an_answer_in_another_language_and_script_is_taken() -> None:
    for text in (
        "Kundinnen finden, die bald nicht mehr kaufen",
        "\u96e2\u308c\u305d\u3046\u306a\u9867\u5ba2\u3092\u898b\u3064\u3051\u308b",
    ):
        assert judged("offer", "purpose.statement", text) == []
