"""The catalogue: English and German are complete, another language is whole or refused, and plain to read."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import get_args

import pytest

from cards import card
from reading import reading_ease
from sovereign_ml.card.questions import choices, walk
from sovereign_ml.card.render.speech import figure, interval, said
from sovereign_ml.card.schema import facts_data, people
from sovereign_ml.card.schema.data_life import StoredObject
from sovereign_ml.config.retention_periods import RetentionSettings, Start
from sovereign_ml.decision_log.entries import BARS
from sovereign_ml.errors import Misuse
from sovereign_ml.texts import HERE, PACKAGED, catalogue, faults, packaged

PLAIN = 60
"""Reading ease of plain language, such as a newspaper for everybody."""
FOR_PEOPLE = ("notice", "notice_short", "letter", "decided_by", "follows", "changes", "staff")


@pytest.mark.parametrize("language", PACKAGED)
def test_every_key_and_every_placeholder_is_in_each_language(language: str) -> None:
    assert faults(packaged(language), packaged("en")) == []
    assert {"en", "de"} <= set(PACKAGED)


def test_german_is_not_english_left_as_it_was() -> None:
    english, german = packaged("en"), packaged("de")
    same = {key for key in english if english[key] == german[key] and len(english[key]) > 20}
    assert {key for key in same if not key.startswith("letter.")} == set()


def test_every_choice_of_an_answer_that_documents_show_has_words_in_german() -> None:
    shown = {
        "decision.downstream_action",
        "decision.automation_level",
        "lawful_basis.act.basis",
        "purpose.relation_to_collection",
        "dpia.status",
        "dpia.residual_risk",
        "erasure.model_action",
        "legitimate_interest.outcome",
        "sign_off.dpo_opinion",
    }
    german, met = catalogue("de"), set()
    for path, field, _ in walk(card().answers):
        if path in shown:
            met.add(path)
            assert [v for v in choices(field.annotation) if not german.knows(v)] == []
    assert met == shown
    assert {a for a in get_args(people.Action) if f"follows.{a}" not in packaged("de")} == {"other"}
    shown_codes = (*get_args(facts_data.FeatureCategory), *get_args(StoredObject))
    for value in (*shown_codes, *BARS.values()):
        assert german.knows(value)


def test_every_class_of_data_and_every_stored_object_has_words() -> None:
    keys = packaged("de")
    assert {f"classes.{name}" for name in RetentionSettings.model_fields} <= set(keys)
    assert {f"events.{name}" for name in get_args(Start)} <= set(keys)
    for table in ("starts", "stores"):
        assert {f"{table}.{name}" for name in get_args(StoredObject)} <= set(keys)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace('yes = "yes"\n', ""), "the key words.yes is missing"),
        (lambda text: text.replace('yes = "yes"', 'yes = " "'), "the text of words.yes is empty"),
        (lambda text: text.replace("{card}", "{carte}", 1), "has other placeholders than"),
        (
            lambda text: text.replace('yes = "yes"', 'yes = "yes"\nno2 = "x"'),
            "words.no2 is unknown",
        ),
        (lambda text: text.replace("{card}", "{card", 1), "has other placeholders than"),
        (lambda text: text + "[", "is no TOML file"),
    ],
)
def test_a_language_of_the_team_is_whole_or_refused(tmp_path: Path, change, message) -> None:
    english = (HERE / "en.toml").read_text(encoding="utf-8")
    (tmp_path / "fr.toml").write_text(change(english), encoding="utf-8")
    with pytest.raises(Misuse, match=message):
        catalogue("fr", tmp_path)


def test_a_whole_language_of_the_team_is_used(tmp_path: Path) -> None:
    english = (HERE / "en.toml").read_text(encoding="utf-8")
    french = english.replace('yes = "yes"', 'yes = "oui"')
    (tmp_path / "fr.toml").write_text(french, encoding="utf-8")
    assert said(True, catalogue("fr", tmp_path)) == "oui"


@pytest.mark.parametrize("language", ["xx", "DE", "../de", "deu", ""])
def test_a_language_that_is_not_here_is_one_line(tmp_path: Path, language: str) -> None:
    with pytest.raises(Misuse, match=r"no texts in 'xx'|is no language code"):
        catalogue(language, tmp_path)


def test_numbers_dates_and_periods_are_those_of_the_language() -> None:
    german = catalogue("de")
    assert german.number(1234.5, 2) == "1.234,50"
    assert said(date(2026, 3, 1), german) == "1. März 2026"
    assert [said(p, german) for p in ("P1M", "P24M", "P2Y6M", "P1Y1M2W1D")] == [
        "1 Monat",
        "24 Monate",
        "2 Jahre und 6 Monate",
        "1 Jahr, 1 Monat, 2 Wochen und 1 Tag",
    ]
    assert [
        said(p, german) for p in ("P0Y6M", "P006M", "PT48H", "Px", "P0D", "P" + "9" * 5000)
    ] == [
        "6 Monate",
        "6 Monate",
        "PT48H",
        "Px",
        "P0D",
        "P" + "9" * 5000,
    ]
    assert [figure(1234.5678, 2, german), figure(-0.00001, 3, german)] == ["1.234,57", "0,000"]
    assert interval(0.7, 0.8, german) == "0,700 bis 0,800"
    assert german.cite("Opinion 28/2024 s. 3.3.1; EDPB 01/2020") == (
        "Stellungnahme 28/2024 Abschn. 3.3.1; EDSA 01/2020"
    )
    assert german.cite("GDPR 13(1)(c); AI Act 26(7)") == "DSGVO 13(1)(c); KI-VO 26(7)"
    assert catalogue("en").cite("GDPR rec. 71; C-203/22 paras 58-62") == (
        "GDPR rec. 71; C-203/22 paras 58-62"
    )


@pytest.mark.parametrize("language", ["en", "de"])
def test_texts_for_people_are_plain(language: str) -> None:
    rows = {}
    for table in FOR_PEOPLE:
        texts = [text for key, text in packaged(language).items() if key.startswith(f"{table}.")]
        sentences = [text for text in texts if text.endswith(".") and len(text.split()) > 3]
        if sentences:
            rows[table] = round(reading_ease(" ".join(sentences), language))
    whole = [t for k, t in packaged(language).items() if k.split(".")[0] in FOR_PEOPLE]
    ease = reading_ease(" ".join(t for t in whole if t.endswith(".")), language)
    print(f"reading ease, {language}: {ease:.0f} in all; {rows}")
    assert ease >= PLAIN
    assert min(rows.values()) >= PLAIN


@pytest.mark.parametrize("zone", ["+02:00", "-09:30", "Z"])
def test_a_time_of_any_zone_is_shown_in_utc(zone):
    moment = datetime.fromisoformat("2026-11-28T00:30:00" + zone)
    assert catalogue("en").day(moment) == catalogue("en").day(moment.astimezone(UTC))
    assert (
        catalogue("en").day(datetime(2026, 11, 28, 0, 30)).endswith("28 November 2026, 00:30 UTC")
    )
