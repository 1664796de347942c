"""The Article 30 entry and the impact assessment follow from the card, and show what is open."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from cards import card as good_card
from full_card import full_card
from page_reader import skeleton, words
from sovereign_ml.card.build import build
from sovereign_ml.card.records import (
    impact_assessment,
    record_of_processing,
    to_html,
    to_markdown,
    write_records,
)
from sovereign_ml.card.schema import Facts

EMPTY = build(Facts(), {}, card_id="acme-churn")
US_HOST = {
    "component": "tracking",
    "hostname": "logs.example.com",
    "provider": "Vendor Inc.",
    "jurisdiction_class": "US",
    "us_nexus": True,
    "carries": ["personal_data"],
}


def articles(document):
    return {section.article: section for section in document.sections}


def points(document):
    return [point for section in document.sections for point in section.points]


def test_the_record_has_every_letter_of_article_30():
    found = " ".join(articles(record_of_processing(full_card())))
    for letter in "abcdefg":
        assert f"30(1)({letter})" in found


def test_the_assessment_has_every_letter_of_article_35():
    found = " ".join(articles(impact_assessment(full_card())))
    for letter in "abcd":
        assert f"35(7)({letter})" in found


def test_a_complete_card_gives_a_record_without_open_points():
    assert record_of_processing(full_card()).open == 0


def test_an_empty_card_gives_records_that_are_open_everywhere():
    assert record_of_processing(EMPTY).open > 20
    assert impact_assessment(EMPTY).open > 30
    assert "**OPEN** not answered yet" in to_markdown(record_of_processing(EMPTY))
    assert 'class="open">not answered yet' in to_html(record_of_processing(EMPTY))


def test_the_record_says_whose_data_goes_where_for_how_long():
    told = words(to_html(record_of_processing(full_card())))
    assert "Controller Acme GmbH" in told
    assert "behavioural days since the last purchase" in told
    assert "Nordhost storage FI FI contracts/nordhost.pdf" in told
    assert "raw 24 months purchase automatic" in told
    assert "Score GDPR 6(1) legitimate interests, Article 6(1)(f) (docs/lia.md)" in told


def test_a_host_that_the_record_does_not_name_is_a_point_to_look_at():
    document = record_of_processing(good_card(facts={"hosting.0": US_HOST}))
    assert "logs.example.com (Vendor Inc.) holds personal data and is not named." in points(
        document
    )
    assert (
        "logs.example.com can be reached under US law, but no transfer or measure is recorded."
        in points(document)
    )


def test_an_object_without_a_time_limit_is_a_point_to_look_at():
    document = record_of_processing(good_card(facts={"retention.objects": [{"object": "backups"}]}))
    assert "backups exists and has no time limit." in points(document)


def test_the_assessment_carries_the_measured_risks():
    told = words(to_html(impact_assessment(full_card("article22"))))
    assert "ROC AUC 0.738 (0.719 to 0.757)" in told
    assert "membership: AUC 0.510 (limit 0.550)" in told
    assert "People feel watched" in told


@pytest.mark.parametrize(
    ("facts", "point"),
    [
        ({"consent.leak_count": 3}, "3 people who objected were found among the scored."),
        (
            {"retention.erased_subjects_still_in_snapshot": 2},
            "2 erased people are still in the data.",
        ),
        ({"model_privacy.tests.0.passed": False}, "The attack membership succeeded."),
        ({"model_privacy.tests": []}, "No attack was tried."),
        ({"hosting.0": US_HOST}, "Compelled access remains possible at logs.example.com."),
        ({"evaluation.metrics": {}}, "No figures are recorded."),
    ],
)
def test_a_bad_figure_is_a_point_of_the_assessment(facts, point):
    assert point in points(impact_assessment(good_card("article22", facts=facts)))


def test_a_gap_above_the_tolerance_is_a_point_of_the_assessment():
    assert any(
        "above the tolerance for age" in point for point in points(impact_assessment(full_card()))
    )


def test_likelihood_and_severity_stay_with_people():
    document = impact_assessment(full_card("article22"))
    (grid,) = articles(document)["Article 35(7)(c)"].grids
    assert {row[3] for row in grid.rows} == {row[4] for row in grid.rows} == {"not answered yet"}


def test_when_no_assessment_is_required_its_questions_are_not_open():
    document = impact_assessment(good_card())
    assert "not required; this note documents why" in to_markdown(document)
    assert not [line for line in articles(document)["Article 35(7)(d)"].lines if line.open]


def test_both_records_are_written_for_reading_and_for_print(tmp_path):
    written = write_records(full_card(), tmp_path / "docs")
    assert [path.name for path in written] == ["ropa.md", "ropa.html", "dpia.md", "dpia.html"]
    assert all(path.read_text(encoding="utf-8").strip() for path in written)
    assert "@media print" in (tmp_path / "docs" / "dpia.html").read_text(encoding="utf-8")


def test_the_same_card_gives_the_same_records():
    assert to_html(impact_assessment(full_card())) == to_html(impact_assessment(full_card()))


@given(
    st.text(min_size=1, max_size=50)
    .filter(lambda text: "{{" not in text)
    .map(lambda text: f"a{text}b")
)
@settings(max_examples=15, deadline=None)
def test_no_text_changes_the_structure_of_a_record(text):
    for write in (record_of_processing, impact_assessment):
        hostile, plain = write(_with(text)), write(_with("harmless"))
        assert skeleton(to_html(hostile)).tags == skeleton(to_html(plain)).tags
        assert _blocks(to_markdown(hostile)) == _blocks(to_markdown(plain))


def _with(text):
    changed = {
        "roles.controller": text,
        "purpose.statement": text,
        "retention.objects.0.start_event": text,
    }
    return good_card(
        answers=changed, facts={"hosting.0.hostname": text, "data.features.0.label": text}
    )


def _blocks(text):
    parsed = MarkdownIt().enable("table").parse(re.sub(r"SHA-256 \w+", "", text))
    return [token.type for block in parsed for token in (block, *(block.children or ()))]
