"""card.md carries front matter that model hubs read, and text that stays text."""

import re
import socket

import pytest
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from cards import POLICY, TODAY, card, signed
from full_card import full_card
from sovereign_ml.card.render import render_markdown
from sovereign_ml.card.rules import check


@pytest.fixture(autouse=True)
def _the_hub_is_not_asked(monkeypatch):
    def refuse(*_args):
        raise AssertionError("reading a card opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def read(text):
    """The card as the Hugging Face Hub reads it; a model-index that it cannot read raises."""
    return ModelCard(text, ignore_metadata_errors=False)


def front(text):
    return read(text).data.to_dict()


def body(text):
    return read(text).text


def tokens(text):
    return [
        token.type
        for block in MarkdownIt().enable("table").parse(body(text))
        for token in (block, *(block.children or ()))
    ]


def test_the_front_matter_parses_as_hugging_face_card_data():
    data = read(render_markdown(full_card())).data
    assert isinstance(data, ModelCardData)
    assert data.pipeline_tag == "tabular-classification"
    assert data.library_name == "scikit-learn"
    assert all(isinstance(result, EvalResult) for result in data.eval_results)
    found = {result.metric_type: result for result in data.eval_results}
    assert found["roc_auc"].metric_value == 0.738
    assert found["roc_auc"].task_type == "tabular-classification"
    assert found["roc_auc"].dataset_name == "acme-churn test snapshot"


def test_what_the_hub_writes_again_is_the_same_card():
    text = render_markdown(full_card())
    again = read(str(read(text)))
    assert again.data.to_dict() == read(text).data.to_dict()
    assert again.text == body(text)


def test_a_model_index_that_the_hub_cannot_read_would_be_noticed():
    broken = render_markdown(full_card()).replace("  results:", "  outcomes:", 1)
    with pytest.raises(ValueError, match=r"model-index|results"):
        read(broken)


def test_a_card_without_figures_is_still_card_data():
    assert read(render_markdown(card(facts={"evaluation.metrics": {}}))).data.eval_results is None


def test_the_front_matter_keeps_the_gdpr_part_nested():
    gdpr = front(render_markdown(full_card()))["gdpr"]
    assert gdpr["decision"]["art22_applies"] is False
    assert gdpr["lawful_basis"]["score"] == "6_1_f"
    assert gdpr["content_sha256"] == full_card().content_hash


def test_the_headings_of_a_model_hub_are_there():
    text = render_markdown(full_card())
    for heading in (
        "Model Details",
        "Uses",
        "Out-of-Scope Use",
        "Bias, Risks, and Limitations",
        "Training Details",
    ):
        assert re.search(rf"^##+ {heading}$", text, re.MULTILINE)


def test_an_open_question_is_an_unticked_box():
    text = render_markdown(card(answers={"roles.dpo_contact": "?"}))
    assert (
        "- [ ] How can people reach the data protection officer? (`roles.dpo_contact`, GDPR 13(1)(b), 37)"
        in text
    )
    assert "**Data protection:** **OPEN** not answered yet" in text


def test_what_the_rules_find_stands_before_the_uses():
    of = card(answers={"roles.dpo_contact": "?", "objection.marketing_weighed": True})
    text = render_markdown(of, check(of, POLICY, TODAY, at="promote"))
    told = text[text.index("## Before production") : text.index("## Uses")]
    assert "| R28 | blocks | GDPR 21(3) |" in told
    assert "| R01 | blocks |" in told and "1 required answers are open" not in told
    assert "R48" in told


def test_approvals_are_a_table():
    assert "| business owner | Grace Hopper | approve |" in render_markdown(signed(full_card()))


@given(st.text(min_size=1, max_size=60).map(lambda text: f"x{text}x"))
@settings(max_examples=30, deadline=None)
def test_no_text_changes_the_structure(text):
    assert tokens(_with(f"x{text} and more words")) == tokens(_with("harmless and more words"))


@pytest.mark.parametrize(
    "attack", ["<b>", "a|b", "# big", "[x](http://evil)", "---\nx: 1", "`code`", "1. x"]
)
def test_markup_in_an_answer_stays_text(attack):
    text = _with(f"x {attack}")
    assert tokens(text) == tokens(_with("harmless"))
    assert front(text)["gdpr"]["card_id"] == "acme-churn"


def _with(text):
    changed = {"purpose.statement": text, "roles.controller": text, "purpose.specific_uses": [text]}
    return render_markdown(
        full_card(answers=changed, **{"data.features.0.label": text, "model.name": text})
    )


def test_a_gap_past_the_limit_of_the_policy_is_never_within_tolerance():
    gap = {"group": "country", "metric": "selection_rate_difference", "value": 0.4}
    facts = {"evaluation.fairness": [gap | {"n_smallest": 500}]}
    tolerant = card(answers={"evaluation.fairness_tolerance": 0.9}, facts=facts)
    # Rule R52 judges by the smaller of the two numbers.
    assert any(
        f.rule == "R52" and "tolerated 0.200" in f.found for f in check(tolerant, POLICY, TODAY)
    )
    assert "| share selected | 0.400 | no |" in render_markdown(tolerant)


@pytest.mark.parametrize(("basis", "count"), [("6_1_a", 1), ("6_1_f", 0)])
def test_who_gave_consent_reads_how_to_withdraw_it(basis, count):
    answers = {
        "lawful_basis.act.basis": basis,
        "consent.withdrawal.channel": "acme.example/consent",
    }
    assert (
        render_markdown(card(answers=answers)).count("**Withdraw consent:** acme.example") == count
    )
