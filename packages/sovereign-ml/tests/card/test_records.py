"""The documents follow from the card, show what is open, and keep what people added."""

import csv
import io
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cards import card as good_card
from full_card import full_card
from page_reader import skeleton, words
from sovereign_ml.card.build import build
from sovereign_ml.card.records import (
    DOCUMENTS,
    Additions,
    Sheet,
    read_additions,
    to_html,
    write_documents,
)
from sovereign_ml.card.records.binding import basis
from sovereign_ml.card.records.common import recipients, unnamed_hosts
from sovereign_ml.card.records.document import to_csv, to_data
from sovereign_ml.card.records.notice import items
from sovereign_ml.card.schema import Facts
from sovereign_ml.card.schema.rights import NoticeItems
from sovereign_ml.errors import Misuse
from sovereign_ml.texts import catalogue

EMPTY = build(Facts(), {}, card_id="acme-churn")
US_HOST = {
    "component": "tracking",
    "hostname": "logs.example.com",
    "provider": "Vendor Inc.",
    "jurisdiction_class": "US",
    "us_nexus": True,
    "carries": ["personal_data"],
}
FULL = full_card("article22")
WHOLE = Additions.model_validate(
    {
        "notice": {"must_people_provide": "You need not.", "url": "https://acme.example/privacy"},
        "dpia": {
            "team": ["Ada Lovelace"],
            "planning": "From December 2026.",
            "standards": ["WP248rev.01"],
            "risks": {
                key: {
                    "likelihood": "limited",
                    "severity": "limited",
                    "residual_likelihood": "negligible",
                    "residual_severity": "limited",
                }
                for key in [
                    "unfair",
                    "excluded",
                    "wrong",
                    "opaque",
                    "unwanted",
                    "creep",
                    "memorised",
                    "leaked",
                    "foreign",
                ]
            },
            "decision": {
                "outcome": "approve",
                "by": "Head of CRM",
                "on": "2026-12-01",
                "covers": basis(FULL),
            },
        },
    }
)


def made(name, of=FULL, added=None, language="en", people=None):
    sheet = Sheet(of, catalogue(language), added or Additions(), people or {})
    return DOCUMENTS[name](sheet)


def articles(document):
    return {section.article: section for section in document.sections}


def points(document):
    return [point for section in document.sections for point in section.points]


def told(document):
    return words(to_html(document))


def test_the_record_has_every_letter_of_article_30():
    found = " ".join(articles(made("ropa")))
    for letter in "abcdefg":
        assert f"30(1)({letter})" in found


def test_the_assessment_has_the_seven_parts_of_the_template_and_every_letter_of_article_35():
    document = made("dpia")
    assert {section.number[0] for section in document.sections} == set("0123456")
    found = " ".join(articles(document))
    for letter in "abcd":
        assert f"35(7)({letter})" in found


def test_a_complete_card_gives_a_record_without_open_points():
    assert made("ropa", full_card()).open_points == ()


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("language", ["en", "de"])
def test_an_empty_card_is_open_and_every_open_statement_is_listed(name, language):
    document = made(name, EMPTY, language=language)
    assert document.open >= (5 if name != "transfers" else 3)
    page = to_html(document)
    listed = page.count('class="open"')
    assert listed >= document.open
    assert f'lang="{language}"' in page
    text = catalogue(language)("words.open")
    other = catalogue("en" if language == "de" else "de")("words.open")
    assert text in page
    assert other not in page


def test_the_record_says_whose_data_goes_where_for_how_long():
    text = told(made("ropa", full_card()))
    assert "Controller Acme GmbH" in text
    assert "Input of the model (behavioural) days since the last purchase" in text
    assert "Nordhost storage FI FI contracts/nordhost.pdf" in text
    assert "raw 24 months purchase automatic" in text
    assert "Score GDPR 6(1) legitimate interests, Article 6(1)(f) (docs/lia.md)" in text


@pytest.mark.parametrize(
    "kind",
    ["Birth year and country", "Purchases", "Consent and objection", "Decisions", "reviewer's key"],
)
def test_the_record_names_what_is_stored_besides_the_inputs(kind):
    assert kind in told(made("ropa", full_card()))


def test_a_host_that_the_record_does_not_name_is_a_point_to_look_at():
    for name in ("ropa", "notice", "processors"):
        found = points(made(name, good_card(facts={"hosting.0": US_HOST})))
        assert "logs.example.com (Vendor Inc.) holds personal data and is not named." in found
        assert (
            "logs.example.com can be reached under US law, but no transfer or measure is recorded."
            in found
        )


def test_an_object_without_a_time_limit_is_a_point_to_look_at():
    document = made("ropa", good_card(facts={"retention.objects": [{"object": "backups"}]}))
    assert "backups exists and has no time limit." in points(document)


def test_the_assessment_carries_the_measured_risks():
    text = told(made("dpia"))
    assert "ROC AUC 0.738 (0.719 to 0.757)" in text
    assert "membership: AUC 0.510 (limit 0.550)" in text
    assert "People feel watched" in text


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
def test_a_bad_figure_is_a_point_of_the_assessment_and_needs_a_new_decision(facts, point):
    changed = good_card("article22", facts=facts)
    assert point in points(made("dpia", changed))
    assert basis(changed) != basis(good_card("article22"))


def test_a_gap_above_the_tolerance_is_a_point_of_the_assessment():
    assert any("above the tolerance for age" in point for point in points(made("dpia")))


def test_grades_action_plan_and_decision_are_those_of_the_file():
    document = made("dpia", added=WHOLE)
    raised = [point for point in document.open_points if "tolerance" not in point]
    assert raised == []
    assert "limited limited" in told(document)
    missing = made("dpia", added=WHOLE.model_copy(update={"dpia": Additions().dpia}))
    assert missing.open > 40


@pytest.mark.parametrize(
    ("table", "point"),
    [
        (
            {"risks": {"unfair": {"likelihood": "maximum", "severity": "significant"}}},
            "graded high",
        ),
        (
            {
                "risks": {
                    "wrong": {"residual_likelihood": "maximum", "residual_severity": "maximum"}
                }
            },
            "Consult the authority first",
        ),
        ({"risks": {"unfare": {}}}, "names the risk unfare"),
        ({"actions": [{"risk": "nonsense", "measure": "x"}]}, "names the risk nonsense"),
        ({"decision": {"covers": "0" * 32}}, "decide again"),
        ({"decision": {"outcome": "reject"}}, "does not allow the processing to start"),
        ({"decision": {"outcome": "approve_with_conditions"}}, "none is named"),
    ],
)
def test_what_the_file_says_wrongly_or_gravely_is_a_point(table, point):
    document = made("dpia", added=Additions.model_validate({"dpia": table}))
    assert any(point in one for one in document.open_points)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"facts": {"model.version": "4"}}, True),
        ({"facts": {"evaluation.metrics.roc_auc.value": 0.75}}, True),
        ({"answers": {"dpia.model_versions_covered": ["4"]}}, True),
        ({"answers": {"sign_off.dpo_opinion_date": "2026-11-01"}}, True),
        ({"answers": {"purpose.statement": "Set prices for people who may leave us."}}, False),
        ({"facts": {"decision.action_band": "low"}}, False),
        ({"facts": {"hosting.0.hostname": "s3.other.example"}}, False),
        ({"answers": {"decision.downstream_action": "price_change"}}, False),
    ],
)
def test_a_decision_holds_for_a_new_version_and_not_for_another_processing(change, same):
    assert (basis(good_card("article22", **change)) == basis(good_card("article22"))) is same


def test_when_no_assessment_is_required_its_questions_are_not_open():
    rules = {"evaluation.baselines": {"recency_only": {"roc_auc": 0.6, "brier": 0.2}}}
    document = made("dpia", good_card(facts=rules))
    assert "not required; this note documents why" in told(document)
    assert document.open_points == ()


def test_the_right_to_object_stands_apart_in_the_notice():
    box = made("notice").sections[0]
    assert (box.boxed, box.article) == (True, "GDPR 21(4)")
    assert "any time" in " ".join(box.texts)
    assert 'class="boxed"' in to_html(made("notice"))
    without = {f"lawful_basis.{p}.basis": "6_1_b" for p in ("train", "score", "act", "monitor")}
    neither = good_card(answers=without | {"purpose.direct_marketing": False,
                                           "decision.downstream_action": "analytics_only"})  # fmt: skip
    assert not any(section.boxed for section in made("notice", neither).sections)


def test_the_items_of_the_notice_follow_from_its_parts():
    said = items(Sheet(FULL, added=WHOLE))
    assert set(said) == set(NoticeItems.model_fields)
    assert all(said[name] for name in said if name != "transfers")
    less = items(Sheet(good_card(answers={"retention.objects": "?", "notice.authority": "?"})))
    assert {name for name in said if said[name] and not less[name]} >= {"retention", "complaint"}
    assert not any(items(Sheet(EMPTY)).values())


def test_the_notice_in_another_language_wants_the_teams_own_sentences_in_it():
    wanting = made("notice", language="de").open_points
    assert any("purpose.statement in der Sprache de fehlt" in point for point in wanting)
    sentence = "Kunden finden, die bald gehen."
    own = {"languages": {"de": {"answers": {"purpose.statement": sentence}}}}
    added = Additions.model_validate(own)
    assert sentence in told(made("notice", added=added, language="de"))
    assert not any(
        "purpose.statement" in one for one in made("notice", added=added, language="de").open_points
    )
    assert sentence not in told(made("notice", added=added))


def test_necessity_is_measured_against_the_simple_rules():
    assert "recency only 0.710 0.213 0.028" in told(made("lia"))
    assert points(made("lia")) == []
    rules = {"evaluation.baselines": {"recency_only": {"roc_auc": 0.73, "brier": 0.21}}}
    assert "necessity is in doubt" in " ".join(points(made("lia", full_card(**rules))))
    none = full_card(**{"evaluation.baselines": {}})
    assert "No simple rule was measured" in " ".join(points(made("lia", none)))


def test_the_effect_of_offers_stands_beside_the_necessity():
    shown = {"name": "spring-2026", "prevented": 0.061, "low": 0.02, "high": 0.102}
    for name in ("dpia", "lia"):
        assert "no campaign with a control group has a known outcome" in told(made(name))
        text = told(made(name, full_card(campaign=shown)))
        assert "prevented +6.1 points of churn (95 % +2.0 to +10.2)" in text
        assert "does not show" not in text
        none = full_card(campaign=shown | {"low": -0.01})
        assert "This does not show that it changed anything" in told(made(name, none))
        german = told(made(name, full_card(campaign=shown), language="de"))
        assert "+6,1 Punkte Abwanderung verhindert" in german


def test_each_contract_has_the_eight_points_and_a_missing_one_is_named():
    document = made("processors")
    (contract,) = [s for s in document.sections if s.article == "GDPR 28(3)"]
    assert [line.source for line in contract.lines[:8]] == [f"GDPR 28(3)({c})" for c in "abcdefgh"]
    assert document.open == 9
    lacking = {"processors": {"Nordhost": {"proves_and_audits": False}, "Elsewhere": {}}}
    found = points(made("processors", added=Additions.model_validate(lacking)))
    assert any("Nordhost lacks: Proves its compliance" in point for point in found)
    assert any("names the processor Elsewhere" in point for point in found)


def test_a_host_with_a_us_tie_is_assessed():
    tied = US_HOST | {"jurisdiction_class": "EU_HQ_US_NEXUS"}
    document = made("transfers", good_card(facts={"hosting.0": tied}))
    assert document.sections[1].title == "logs.example.com"
    assert document.open >= 7
    claimed = {"transfers": {"logs.example.com": {"conclusion": "equivalent", "measures": []}}}
    added = Additions.model_validate(claimed)
    found = points(made("transfers", good_card(facts={"hosting.0": tied}), added))
    assert any("called equivalent without" in point for point in found)
    assert "no transfer is declared" in told(made("transfers"))


def test_the_breach_sheet_says_what_is_where_and_how_many_people():
    text = told(made("breach", people={"raw": 4321}))
    assert "raw pseudonyms with purchases, consent, objection, birth year, country 4,321" in text
    assert "scores pseudonyms with score, band, reasons not counted; 1,000-9,999 people" in text
    assert "72 hours" in text
    assert "without undue delay" in text


def test_the_staff_sheet_says_that_times_and_planted_cases_are_recorded():
    text = told(made("staff", good_card("reviewed")))
    assert "measured by the service" in text
    assert "wrong on purpose" in text
    appraised = Additions.model_validate({"staff": {"used_for_appraisal": True}})
    assert any("second purpose" in point for point in points(made("staff", added=appraised)))


def test_every_document_is_written_as_page_and_data_bound_to_the_card(tmp_path):
    write_documents(Sheet(FULL), tmp_path)
    for name in DOCUMENTS:
        data = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
        assert data["bound_to"]["content_sha256"] == FULL.content_hash
        assert data["bound_to"]["basis"] == basis(FULL)
        page = (tmp_path / f"{name}.html").read_text(encoding="utf-8")
        assert "@media print" in page
        assert "default-src 'none'" in page
        assert [a for a in skeleton(page).addresses if not a.startswith("data:")] == []
        assert len(data["open_points"]) == made(name).open
    assert "items" in json.loads((tmp_path / "notice.json").read_text(encoding="utf-8"))


def test_the_record_as_a_table_holds_every_statement_and_no_formula(tmp_path):
    hostile = good_card(answers={"roles.controller": "=HYPERLINK(1)"})
    write_documents(Sheet(hostile), tmp_path)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "ropa.csv").read_text(encoding="utf-8"))))
    values = {row["what"]: row["value"] for row in rows}
    assert values["Controller"] == "'=HYPERLINK(1)"
    assert values["raw: Kept"] == "24 months"
    assert len(rows) > 60


def test_what_people_added_is_read_and_never_written(tmp_path):
    file = tmp_path / "documents.toml"
    text = '[notes]\ndpia = ["The council asked."]\n[dpia]\nteam = ["Ada"]\n'
    file.write_text(text, encoding="utf-8")
    for _ in range(2):
        document = write_documents(Sheet(FULL, added=read_additions(file)), tmp_path)["dpia"]
    assert "The council asked." in told(document)
    assert file.read_text(encoding="utf-8") == text
    assert read_additions(tmp_path / "absent.toml") == Additions()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[dpia", "is no TOML file"),
        ("[dpai]\nx = 1", "dpai"),
        ('[dpia.risks.unfair]\nseverity = "huge"', r"dpia\.risks\.unfair\.severity.*'huge'"),
        ("[staff]\ninformed_on = 'soon'", r"staff\.informed_on"),
        ("notes = 3", "notes 3"),
    ],
)
def test_a_mistake_in_the_file_is_one_line(tmp_path, text, message):
    (tmp_path / "documents.toml").write_text(text, encoding="utf-8")
    with pytest.raises(Misuse, match=message) as stopped:
        read_additions(tmp_path / "documents.toml")
    assert "\n" not in str(stopped.value)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_same_card_gives_the_same_page(name):
    assert to_html(made(name)) == to_html(made(name))


@given(
    st.text(min_size=1, max_size=50)
    .filter(lambda text: "{{" not in text)
    .map(lambda text: f"a{text}b")
)
@settings(max_examples=10, deadline=None)
def test_no_text_changes_the_structure_of_a_document(text):
    for name in DOCUMENTS:
        hostile, plain = (to_html(made(name, _with(word))) for word in (text, "harmless"))
        assert skeleton(hostile).tags == skeleton(plain).tags


def _with(text):
    changed = {
        "roles.controller": text,
        "purpose.statement": text,
        "retention.objects.0.start_event": text,
    }
    return good_card(
        answers=changed, facts={"hosting.0.hostname": text, "data.features.0.label": text}
    )


def test_no_document_holds_a_mark_of_its_own_templates():
    for name in DOCUMENTS:
        for language in ("en", "de"):
            assert not re.search(r"\{\w*\}|None|_\d", told(made(name, language=language)))


def test_each_transfer_is_assessed_with_its_own_tool_also_to_one_country():
    transfers = [
        {"to": "US", "tool": "dpf", "reference": "certificate of Vendor A"},
        {"to": "US", "tool": "scc", "reference": "clauses with Vendor B", "tia_ref": "tia/b.pdf"},
    ]
    sheet = Sheet(good_card(answers={"hosting.transfers": transfers}))
    page = words(to_html(DOCUMENTS["transfers"](sheet)))
    parts = DOCUMENTS["transfers"](sheet).sections[1:]
    assert [part.lines[1].text for part in parts] == [row["reference"] for row in transfers]
    assert "tia/b.pdf" in page


def test_a_host_of_two_components_is_assessed_with_what_both_carry():
    second = US_HOST | {"component": "artifacts", "carries": ["model"]}
    sheet = Sheet(good_card(facts={"hosting": [US_HOST, second]}))
    (part,) = [p for p in DOCUMENTS["transfers"](sheet).sections if "logs.example.com" in p.title]
    text = " ".join(line.text for line in part.lines)
    assert all(word in text for word in ("personal data", "model", "tracking", "artifacts"))


@pytest.mark.parametrize(
    ("processor", "same", "whole"),
    [
        ("Vendor", True, False),
        ("Vendor Inc., Delaware", True, True),
        ("Vend", False, False),
        ("Vendor Inception", False, False),
    ],
)
def test_a_recipient_is_named_by_words_and_not_by_letters_of_another(processor, same, whole):
    listed = [{"name": processor, "service": "logs", "country": "US"}]
    answers = {"roles.processors": listed, "ropa.recipients": [processor]}
    sheet = Sheet(good_card(answers=answers, facts={"hosting": [US_HOST]}))
    rows = recipients(sheet)
    assert any(row.startswith("Vendor Inc. (tracking") for row in rows) is not same
    assert any("not named" in point for point in unnamed_hosts(sheet)) is not whole


@pytest.mark.parametrize("name", DOCUMENTS)
def test_figures_of_a_german_document_are_german(name):
    campaign = {"name": "spring", "prevented": 0.0123, "low": -0.004, "high": 0.0286}
    gap = {"group": "age_band", "metric": "tpr_difference", "value": 0.14, "n_smallest": 90}
    facts = {f"campaign.{key}": value for key, value in campaign.items()}
    of = full_card("article22", **facts, **{"evaluation.fairness": [gap]})
    document = made(name, of, language="de")
    texts = [
        cell
        for part in document.sections
        for grid in part.grids
        for row in grid.rows
        for cell in row
    ]
    texts += [line.text for part in document.sections for line in part.lines]
    texts += [point for part in document.sections for point in part.points]
    figures = [text for text in texts if re.search(r"\d[.,]\d|ROC AUC \d", text)]
    english = re.compile(r"(?<!Teil )\b\d+\.\d(?!\d\d\b)| to \d")
    assert [text for text in figures if english.search(text)] == []
    if name in ("dpia", "lia", "staff"):
        assert any(re.search(r"\d,\d", text) for text in figures)
    if name == "dpia":
        page = " ".join(texts)
        assert "0,738 (0,719 bis 0,757)" in page and "Steigung der Kalibrierung 0,970" in page
        assert "Altersgruppe, Anteil der Gefundenen" in page
    if name in ("dpia", "lia"):
        assert any("+1,2 Punkte" in text and "-0,4 bis +2,9" in text for text in texts)
    if name == "notice":
        assert any("Der Wert fällt in Stufen: niedrig, mittel, hoch" in text for text in texts)


@pytest.mark.parametrize("name", ["ropa", "dpia"])
def test_an_open_cell_says_so_in_the_language_of_the_document(name):
    document = made(name, EMPTY, language="de")
    data, table = json.dumps(to_data(document), ensure_ascii=False), to_csv(document)
    for text in (data, table):
        assert "noch nicht beantwortet" in text and "not answered yet" not in text
    assert sum(row["open"] == "True" for row in csv.DictReader(io.StringIO(table))) > 20
