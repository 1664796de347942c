"""card.md carries front matter that model hubs read, and text that stays text."""

import re

import pytest
import yaml
from cards import card, signed
from full_card import full_card
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from sovereign.card.render import render_markdown

HUB_FRONT_MATTER = re.compile(r"^(\s*---[\r\n]+)([\S\s]*?)([\r\n]+---(\r\n|\n|$))")
"""The expression with which huggingface_hub finds the front matter of a model card."""


def front(text):
    return yaml.safe_load(HUB_FRONT_MATTER.search(text)[2])


def body(text):
    return text[HUB_FRONT_MATTER.search(text).end() :]


def tokens(text):
    return [
        token.type
        for block in MarkdownIt().enable("table").parse(body(text))
        for token in (block, *(block.children or ()))
    ]


def test_the_front_matter_parses_as_hugging_face_card_data():
    data = front(render_markdown(full_card()))
    assert data["pipeline_tag"] == "tabular-classification"
    assert data["library_name"] == "scikit-learn"
    (entry,) = data["model-index"]
    (result,) = entry["results"]
    assert result["task"]["type"] and result["dataset"]["type"] and result["dataset"]["name"]
    assert {metric["type"]: metric["value"] for metric in result["metrics"]}["roc_auc"] == 0.738


def test_the_front_matter_keeps_the_gdpr_part_nested():
    gdpr = front(render_markdown(full_card()))["gdpr"]
    assert gdpr["decision"]["art22_applies"] is False
    assert gdpr["lawful_basis"]["score"] == "6_1_f"
    assert gdpr["content_sha256"] == full_card().content_hash


def test_the_headings_of_a_model_hub_are_there():
    text = render_markdown(full_card())
    for heading in ("Model Details", "Uses", "Out-of-Scope Use", "Bias, Risks, and Limitations", "Training Details"):
        assert re.search(rf"^##+ {heading}$", text, re.MULTILINE)


def test_an_open_question_is_an_unticked_box():
    text = render_markdown(card(answers={"roles.dpo_contact": "?"}))
    assert "- [ ] How can people reach the data protection officer? (`roles.dpo_contact`, GDPR 13(1)(b), 37)" in text
    assert "**Data protection:** **OPEN** not answered yet" in text


def test_approvals_are_a_table():
    assert "| business owner | Grace Hopper | approve |" in render_markdown(signed(full_card()))


@given(st.text(min_size=1, max_size=60).map(lambda text: f"x{text}x"))
@settings(max_examples=30, deadline=None)
def test_no_text_changes_the_structure(text):
    assert tokens(_with(text)) == tokens(_with("harmless"))


@pytest.mark.parametrize("attack", ["<b>", "a|b", "# big", "[x](http://evil)", "---\nx: 1", "`code`", "1. x"])
def test_markup_in_an_answer_stays_text(attack):
    text = _with(f"x {attack}")
    assert tokens(text) == tokens(_with("harmless"))
    assert front(text)["gdpr"]["card_id"] == "acme-churn"


def _with(text):
    changed = {"purpose.statement": text, "roles.controller": text, "purpose.specific_uses": [text]}
    return render_markdown(full_card(answers=changed, **{"data.features.0.label": text, "model.name": text}))
