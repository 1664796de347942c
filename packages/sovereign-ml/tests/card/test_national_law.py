"""National openings and the authorities' lists: data with source and date, which a team extends."""

from __future__ import annotations

from pathlib import Path

import pytest

from cards import POLICY, TODAY, card
from sovereign_ml.card.build import CardError
from sovereign_ml.card.rules import check
from sovereign_ml.card.rules.answered.adequacy import EEA
from sovereign_ml.card.rules.answered.national import known_entries, read_entries
from sovereign_ml.card.schema import Card

ENTRY = """[[entry]]
country = "DE"
article = "6(2)"
name = "§ 99 TestG"
what = "a law that only this team knows"
field = "lawful_basis.score.reference"
source = "TestG of 2026"
dated = 2026-01-01
"""


def told(of: Card) -> list[str]:
    return [finding.found for finding in check(of, POLICY, TODAY) if finding.rule == "R78"]


def test_the_table_covers_every_opening_and_each_entry_has_a_source_and_a_date() -> None:
    entries = known_entries()
    assert {entry.country for entry in entries} <= EEA
    openings = {"6(2)", "8(1)", "9(4)", "22(2)(b)", "35(4)", "88", "ePrivacy 13(2)"}
    assert {entry.article for entry in entries} == openings
    assert all(entry.source and entry.dated <= TODAY for entry in entries)
    assert all((entry.age is not None) == (entry.article == "8(1)") for entry in entries)


def test_a_team_adds_an_entry_that_the_answer_then_has_to_name(tmp_path: Path) -> None:
    (tmp_path / "law.toml").write_text(ENTRY, encoding="utf-8")
    [entry] = read_entries(tmp_path / "law.toml")
    facts = {"national_law": [entry.model_dump(mode="json")]}
    [line] = told(card(facts=facts))
    assert "does not name § 99 TestG" in line and "TestG of 2026, 2026-01-01" in line
    named = {"lawful_basis.score.reference": "docs/lia.md, § 99 TestG"}
    assert told(card(facts=facts, answers=named)) == []
    abroad = {"purpose.territories": ["FR"]}
    assert told(card(facts=facts, answers=abroad)) == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (('country = "DE"', 'country = "Germany"'), "law.toml: entry.0.country"),
        (('article = "6(2)"', 'article = "6(3)"'), "law.toml: entry.0.article"),
        (('source = "TestG of 2026"', 'source = ""'), "law.toml: entry.0.source"),
        (("dated = 2026-01-01", ""), "law.toml: entry.0.dated: Field required"),
        (('field = "lawful', 'field = "unlawful'), "is no answer of model_card.toml"),
        (('name = "', 'when = "sometimes"\nname = "'), "'sometimes' of § 99 TestG is no condition"),
        (("[[entry]]", "[[entry]"), "law.toml is not valid TOML"),
        (("[[entry]]", "[[entries]]"), "law.toml: entries: Extra inputs"),
    ],
)
def test_an_entry_that_cannot_be_read_is_one_line(
    tmp_path: Path, change: tuple[str, str], line: str
) -> None:
    path = tmp_path / "law.toml"
    path.write_text(ENTRY.replace(*change, 1), encoding="utf-8")
    with pytest.raises(CardError) as error:
        read_entries(path)
    assert line in str(error.value)
    assert "\n" not in str(error.value).strip()


def test_the_law_exception_needs_a_law_where_the_people_live() -> None:
    changed = {
        "art22.exception": "law_22_2_b",
        "art22.legal_provision": "§ 37 BDSG",
        "art22.safeguards_in_law": "intervention, own view, contest",
    }
    lines = told(card(answers=changed))
    assert any(line.startswith("AT: no law") for line in lines)
    assert not any("§ 37 BDSG" in line for line in lines), "it is named"


def test_the_age_of_consent_is_that_of_each_country() -> None:
    changed = {
        "purpose.children_possible": True,
        "art22.exception": "explicit_consent_22_2_c",
    }
    assert any("DE 16, AT 14" in line for line in told(card(answers=changed)))
