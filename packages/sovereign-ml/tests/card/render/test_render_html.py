"""card.html is one file that answers the reader's first questions and that no value can break out of."""

import base64
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cards import APPROVERS, POLICY, TODAY, card, signed
from full_card import full_card
from page_reader import skeleton, words
from sovereign_ml.card.build import build
from sovereign_ml.card.render import render_html, render_markdown
from sovereign_ml.card.rules import check
from sovereign_ml.card.schema import Facts

FREE_TEXT = {
    "answers": (
        "purpose.statement",
        "roles.controller",
        "decision.not_selected_outcome",
        "objection.marketing_channel",
    ),
    "facts": (
        "evaluation.slices.0.slice",
        "explanation.curves.0.label",
        "model.algorithm",
        "hosting.0.hostname",
    ),
}


def first_screen(page):
    return words(page.partition('<nav aria-label="Contents">')[0])


def page_with(text):
    changed = dict.fromkeys(FREE_TEXT["answers"], text)
    return render_html(full_card(answers=changed, **dict.fromkeys(FREE_TEXT["facts"], text)))


BENIGN = skeleton(page_with("harmless and more words"))


@given(st.text(min_size=1, max_size=60).map(lambda text: f"x{text} and more words"))
@settings(max_examples=25, deadline=None)
def test_no_text_changes_the_structure_of_the_page(text):
    assert skeleton(page_with(text)).tags == BENIGN.tags


@pytest.mark.parametrize(
    "attack",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "</style><script>alert(1)</script>",
        "' onmouseover='alert(1)",
        "{% raw %}{# a comment #}",
        "]]><svg onload=alert(1)>",
        "&lt;script&gt;",
    ],
)
def test_an_attack_is_shown_as_text(attack):
    page = page_with(attack)
    assert skeleton(page).tags == BENIGN.tags
    assert " ".join(attack.split()) in words(page)


def test_the_page_asks_for_nothing_from_outside():
    addresses = skeleton(render_html(full_card())).addresses
    assert addresses
    assert all(address.startswith(("#", "data:")) for address in addresses)
    assert "url(" not in render_html(full_card())


def test_a_picture_is_embedded(tmp_path):
    (tmp_path / "lift.png").write_bytes(b"\x89PNG")
    page = render_html(full_card(), images={"Lift": tmp_path / "lift.png"})
    data = base64.b64encode(b"\x89PNG").decode()
    assert f'src="data:image/png;base64,{data}" alt="Lift"' in page


def test_a_picture_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"lift\.exe: only \.png and \.svg pictures are embedded"):
        render_html(full_card(), images={"Lift": tmp_path / "lift.exe"})


def test_the_first_screen_tells_what_for_whom_why_and_what_people_can_do():
    told = first_screen(render_html(full_card()))
    assert "Find customers who will probably not buy in the next 30 days" in told
    assert "customers in DE, AT" in told
    assert "Article 22 does not apply" in told
    assert "targeted offers do not affect people significantly" in told
    assert "Stop offers shop account" in told
    assert "Complain to Berlin Commissioner for Data Protection" in told


def test_when_article_22_applies_the_first_screen_names_the_human_and_the_contest():
    told = first_screen(render_html(full_card("article22")))
    assert "Article 22 applies" in told
    assert "Ask a human shop account" in told
    assert "Contest shop account" in told


def test_when_it_is_open_the_first_screen_says_so():
    page = render_html(build(Facts(), {}, card_id="acme-churn"))
    assert "Article 22: still open" in first_screen(page)
    assert "In many typical cases Article 22 does not apply" in first_screen(page)
    assert 'class="open">not answered yet' in page


def test_every_open_question_is_listed_with_its_key_and_article():
    page = render_html(card(answers={"roles.dpo_contact": "?"}))
    told = words(page)
    assert (
        "How can people reach the data protection officer? roles.dpo_contact GDPR 13(1)(b), 37"
        in told
    )
    assert "1 open" in first_screen(page)


def test_every_feature_has_its_picture_with_a_name_for_those_who_do_not_see_it():
    page = render_html(full_card())
    assert len(re.findall('<svg role="img"', page)) == 17 + 1
    assert (
        'aria-label="days since the last purchase: effect on the log-odds between 0 and 89"' in page
    )


def test_of_many_categories_the_strongest_are_drawn_and_their_number_is_said():
    many = {f"c{i}": 0.1 * (-1) ** i * i for i in range(12)}
    page = render_html(full_card(**{"explanation.curves.16.categories": many}))
    assert "strongest 8 of 12; missing: +0.00" in words(page)
    drawn = re.findall(r'text-anchor="end">(c\d+)<', page)
    assert drawn == ["c10", "c8", "c6", "c4", "c5", "c7", "c9", "c11"]


def test_figures_come_with_their_interval_and_the_price_of_the_readable_model():
    told = words(render_html(full_card()))
    assert "ROC AUC 0.738 0.719 to 0.757" in told
    assert "ROC AUC, difference to this model -0.005 (-0.012 to 0.002)" in told


def test_a_gap_above_the_tolerance_and_a_group_too_small_to_show_are_said():
    told = words(render_html(full_card()))
    assert "country share selected 0.060 yes 120" in told
    assert "age share found of those with the outcome 0.140 no 90" in told
    assert told.count("Too small to compare in country: MT.") == 1
    assert "country: MT too small to show without pointing at people" in told


def test_approvals_are_shown_and_one_of_an_older_content_is_marked():
    good = signed(full_card())
    assert "Ada Lovelace approve" in words(render_html(good))
    assert next(iter(APPROVERS.values())) in words(render_html(good))
    changed = good.model_copy(update={"content_hash": "0" * 64})
    assert "no, the card changed since" in words(render_html(changed))
    assert "nobody has approved this card" in words(render_html(full_card()))


def test_a_foreign_status_is_named_as_no_approval():
    page = render_html(
        full_card(**{"imported": {"source": "sagemaker", "foreign_status": "Approved"}})
    )
    assert "its status “Approved” is no approval" in words(page)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("released", "installed as it was released"),
        ("development", "a development version, nothing released to compare with"),
        ("changed", "changed after it was released"),
    ],
)
def test_page_and_markdown_say_in_words_which_library_judged_the_card(state, words):
    judged = full_card(**{"library.state": state})
    for text in (render_html(judged), render_markdown(judged)):
        assert f"2026.11.0, {words}" in text
        assert "e" * 64 in text
        assert "f" * 64 in text


def test_the_same_card_gives_the_same_page():
    assert render_html(full_card()) == render_html(full_card())


def test_the_first_screen_says_how_many_findings_keep_the_card_from_production():
    useless = {"name": "tenure_days", "inputs_left": 1, "loss": 0, "loss_low": 0, "loss_high": 0}
    leaking = full_card(**{"consent.leak_count": 2, "data.elimination": [useless]})
    page = render_html(leaking, findings=check(leaking, POLICY, TODAY, at="promote"))
    assert "4 findings keep it from production, 1 more warns" in first_screen(page)
    told = words(page)
    assert "R27 blocks 2 people who objected were scored. GDPR 21(2)-(3) Offer an opt-out" in told
    assert "R48 blocks Nobody has approved as model_owner." in told
    assert told.index("R48 blocks") < told.index("R33 warns")


def test_a_signed_card_without_findings_says_so():
    good = signed(card())
    page = render_html(good, findings=check(good, POLICY, TODAY, at="promote"))
    assert "No rule keeps it from production" in first_screen(page)
    assert "Before production" not in words(render_html(good)), (
        "rules that were not run find nothing"
    )


def test_what_gives_a_group_away_is_shown_with_the_score_and_all_inputs_together():
    measured = [
        ("recency_days", 0.2),
        ("purchase_count_90d", 0.4),
        ("score", 0.11),
        ("all_inputs_together", 0.45),
    ]
    rows = [{"feature": name, "group": "age_band", "value": value} for name, value in measured]
    told = words(render_html(full_card(**{"data.special_scan": {"associations": rows}})))
    assert "age band purchases in the last 90 days 0.40 0.11 0.45" in told
    assert "recency" not in told.partition("Do inputs give")[2].partition("Is it trained")[0]


def test_what_was_not_measured_says_why_and_never_reads_as_a_no():
    unmeasured = {
        "data.special_scan": {"not_measured_because": "no group column"},
        "decision.score_outcome_agreement": None,
        "decision.agreement_not_measured_because": "no outcome is on record yet",
    }
    told = words(render_html(full_card(**unmeasured)))
    assert "Proxies not measurable here: no group column" in told
    assert "Do inputs give a protected group away? not measurable here: no group column" in told
    assert "Outcomes not measurable here: no outcome is on record yet" in told


def test_training_is_set_beside_the_people_scored_and_few_people_are_not_shown():
    shares = [
        {"group": "age_band=018-030 years", "train_share": 0.2, "population_share": 0.35},
        {"group": "country=MT", "train_share": 0.1, "population_share": None},
    ]
    told = words(render_html(full_card(**{"data.representativeness": shares})))
    assert "age band: 18-30 years 20 % 35 %" in told
    assert "country: MT 10 % too few to show" in told
