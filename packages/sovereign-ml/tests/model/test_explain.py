"""Explanations are the model itself: exact, in the right direction, and their proposed changes work."""

import re
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundles import contract, customers, model, policy
from sovereign_ml.decisions.feature_contract import Nested, Since
from sovereign_ml.model import wording
from sovereign_ml.model.explain import (
    Explainer,
    describe_model,
    reason_codes,
    reason_texts,
    shared,
    top_reasons,
    windows_of,
)
from sovereign_ml.model.scorecard import Curve, Levels, Scorecard

MODEL, CONTRACT, POLICY = model(), contract(), policy()
EXPLAINER = Explainer(MODEL, CONTRACT, POLICY)
PEOPLE = customers(1000)
EFFECTS = {
    "raises": "raises the risk",
    "lowers": "lowers the risk",
    "none": "leaves the risk as it is",
}


def person(i, columns=PEOPLE):
    return {
        name: v if (v := values[i]) is None or isinstance(v, str) else float(v)
        for name, values in columns.items()
    }


def numbers():
    return st.one_of(st.none(), st.floats(0, 1e5))


def rows():
    known = {part.name: numbers() for part in MODEL.numeric}
    return st.fixed_dictionaries(
        {**known, "preferred_category": st.sampled_from(["gifts", "toys", "", None])}
    )


@given(rows())
@settings(max_examples=60, deadline=None)
def test_contributions_and_intercept_are_the_log_odds(row):
    told = EXPLAINER.explain(row)
    total = told.intercept + sum(influence.contribution for influence in told.influences)
    assert total == pytest.approx(told.log_odds, abs=1e-9)
    assert told.log_odds == pytest.approx(
        MODEL.log_odds({k: [v] for k, v in row.items()})[0], abs=1e-9
    )
    assert sum(influence.share for influence in told.influences) == pytest.approx(1)


@given(rows())
@settings(max_examples=60, deadline=None)
def test_words_point_the_way_of_the_sign(row):
    for influence in EXPLAINER.explain(row).influences:
        size = influence.contribution
        verb = "leave" if abs(size) < wording.NOTHING else "raise" if size > 0 else "lower"
        assert re.findall(r" (raise|lower|leave)s? the risk", influence.text) == [verb]


def test_influences_come_strongest_first_and_name_what_was_used():
    told = EXPLAINER.explain(person(0))
    sizes = [abs(influence.contribution) for influence in told.influences]
    assert sizes == sorted(sizes, reverse=True)
    assert {influence.feature for influence in told.influences} == set(MODEL.features)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"recency_days": 34.0}, "34 days since the last purchase raises the risk"),
        ({"recency_days": 1.0}, "1 day since the last purchase lowers the risk strongly"),
        ({"purchase_count_7d": 0.0}, "no purchases in the last 7 days raise the risk"),
        ({"purchase_count_90d": 9.0}, "9 purchases in the last 90 days lower the risk strongly"),
        ({"purchase_count_90d": 1.0}, "1 purchase in the last 90 days raises the risk strongly"),
        ({"mean_gap_days": None}, "average days between purchases (not known) raises the risk"),
        (
            {"avg_order_value_eur": 1500.0},
            "average value of an order (1,500.00 EUR) raises the risk",
        ),
        ({"returns_share": 0.125}, "share of returned purchases (12.5 %) raises the risk slightly"),
        ({"preferred_category": "home"}, "category bought most (home) lowers the risk slightly"),
    ],
)
def test_a_reason_reads_as_a_sentence(changed, text):
    told = EXPLAINER.explain(person(0) | changed)
    assert any(influence.text.startswith(text) for influence in told.influences)


def test_an_unknown_value_is_explained_but_an_absent_input_is_refused():
    row = person(0)
    del row["recency_days"]
    with pytest.raises(KeyError, match="missing features: recency_days"):
        EXPLAINER.explain(row)


def test_for_1000_customers_the_proposed_change_moves_the_band():
    began, without = time.perf_counter(), 0
    for i in range(1000):
        row = person(i)
        found = EXPLAINER.explain(row).counterfactual
        if found is None:
            without += 1
            continue
        after = row | {change.feature: change.after for change in found.changes}
        score = MODEL.probability({name: [value] for name, value in after.items()})[0]
        before = MODEL.probability({name: [value] for name, value in row.items()})[0]
        assert POLICY.band_of(score) == found.band != POLICY.band_of(before)
        assert score == pytest.approx(found.score)
    assert without <= 10, "coverage of counterfactuals fell below 99 %"
    assert time.perf_counter() - began < 30


def test_a_proposed_change_keeps_to_limits_links_and_whole_numbers():
    for i in range(300):
        row = person(i)
        found = EXPLAINER.explain(row).counterfactual
        changes = {change.feature: change.after for change in found.changes} if found else {}
        after = row | changes
        for change in found.changes if found else ():
            spec = CONTRACT.feature(change.feature)
            assert spec.changeable or change.follows
            assert spec.minimum is None or change.after >= spec.minimum
            assert spec.maximum is None or change.after <= spec.maximum
            assert (
                change.follows
                or spec.unit not in {"days", "count"}
                or float(change.after).is_integer()
            )
        _links_hold(after)


def test_a_change_never_makes_a_longer_window_the_smaller_one():
    """Also where returns may make an amount negative, as in the contract of a shop."""
    amounts = [f"revenue_eur_{days}d" for days in (7, 30, 90, 180)]
    features = [
        spec.model_copy(update={"minimum": None}) if spec.name in amounts else spec
        for spec in CONTRACT.features
    ]
    explainer = Explainer(MODEL, CONTRACT.model_copy(update={"features": tuple(features)}), POLICY)
    moved = 0
    for i in range(150):
        row = person(i)
        found = explainer.explain(row).counterfactual
        changes = {change.feature: change.after for change in found.changes} if found else {}
        values = [(row | changes)[name] for name in amounts]
        assert values == pytest.approx(sorted(values))
        moved += any(name in changes for name in amounts)
    assert moved, "no amount was changed: the test shows nothing"


def _links_hold(row):
    for link in CONTRACT.links:
        if isinstance(link, Nested):
            values = [row[name] for name in link.features]
            assert values == pytest.approx(sorted(values))
        elif isinstance(link, Since):
            for window in link.windows:
                assert (row[window.feature] > 0) == (row[link.feature] < window.days)
        elif not np.isnan(row[link.feature]):
            assert row[link.feature] == pytest.approx(row[link.over] / row[link.under])


@given(st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_no_smaller_step_of_the_same_single_change_would_do(i):
    row = person(i)
    found = EXPLAINER.explain(row).counterfactual
    if found is None or len(found.changes) != 1:
        return
    change = found.changes[0]
    step = 1.0 if CONTRACT.feature(change.feature).unit in {"days", "count", "EUR"} else 0.01
    nearer = change.after - step * np.sign(change.after - change.before)
    score = MODEL.probability(
        {name: [value] for name, value in (row | {change.feature: nearer}).items()}
    )[0]
    assert POLICY.band_of(score) == POLICY.band_of(
        MODEL.probability({k: [v] for k, v in row.items()})[0]
    )


def test_the_change_is_told_with_before_and_after():
    told = EXPLAINER.explain(person(1))
    assert told.counterfactual_text.startswith(
        "With days since the last purchase: 24 days instead of 36 days"
    )
    assert told.counterfactual_text.endswith(f"the band {told.counterfactual.band}.")


def test_two_inputs_are_changed_together_when_one_is_not_enough():
    sizes = [
        sum(not c.follows for c in EXPLAINER.explain(person(i)).counterfactual.changes)
        for i in range(200)
    ]
    assert max(sizes) >= 2


def test_when_nothing_may_change_no_change_is_proposed():
    fixed = [spec.model_copy(update={"changeable": False}) for spec in CONTRACT.features]
    told = Explainer(MODEL, CONTRACT.model_copy(update={"features": tuple(fixed)}), POLICY).explain(
        person(0)
    )
    assert told.counterfactual is None
    assert told.counterfactual_text.startswith("No change of the inputs")


@given(st.integers(1, 5), st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_top_reasons_are_the_strongest_in_order(k, seed):
    parts = np.random.default_rng(seed).normal(size=(20, 7))
    expected = np.argsort(-np.abs(parts), axis=1)[:, :k]
    assert top_reasons(parts, k).tolist() == expected.tolist()


def test_reasons_of_many_customers_agree_with_the_single_explanation():
    parts = shared(MODEL.contributions(PEOPLE), windows_of(MODEL, CONTRACT))
    texts = np.array(reason_texts(MODEL, CONTRACT))[reason_codes(parts, k=3)]
    for i in range(50):
        told = EXPLAINER.explain(person(i))
        expected = [
            f"{influence.label}: {EFFECTS[influence.direction]}"
            for influence in told.influences[:3]
        ]
        assert texts[i].tolist() == expected


def test_reasons_of_200000_customers_take_under_two_seconds():
    parts = np.tile(MODEL.contributions(PEOPLE), (200, 1))
    began = time.perf_counter()
    assert reason_codes(parts).shape == (200_000, 3)
    assert time.perf_counter() - began < 2


def test_the_score_after_a_change_is_never_rounded_over_the_threshold():
    for i in range(100):
        told = EXPLAINER.explain(person(i))
        shown = float(re.search(r"the score would be ([\d.]+)", told.counterfactual_text)[1])
        assert POLICY.band_of(shown) == told.counterfactual.band


def test_the_whole_model_is_told_with_the_widest_input_first():
    told = describe_model(MODEL, CONTRACT, POLICY)
    assert [feature.feature for feature in told.features][:1] == ["recency_days"]
    assert told.features[0].text == (
        "The risk rises from 0 days to 89 days (-1.10 to +0.90). "
        "Below 0 days and above 89 days it stays level. A missing value leaves the risk as it is (+0.00)."
    )
    assert told.thresholds.startswith(
        "Bands by score: low from 0, medium from 0.45, high from 0.7."
    )


def test_a_curve_that_turns_is_told_stretch_by_stretch():
    curve = Curve(
        name="recency_days",
        transform="identity",
        knots=(0, 10, 20, 30),
        log_odds=(-0.5, 0.2, 0.2, -0.1),
        missing_log_odds=0.3,
    )
    category = Levels(
        name="preferred_category", log_odds={"gifts": 0.5}, other_log_odds=-0.2, missing_log_odds=0
    )
    small = Scorecard(target="churn_30d", intercept=0, numeric=(curve,), categorical=(category,))
    told = {
        feature.feature: feature.text
        for feature in describe_model(small, CONTRACT, POLICY).features
    }
    assert told["recency_days"].startswith(
        "The risk rises from 0 days to 10 days (-0.50 to +0.20); stays level from 10 days to 20 days (about +0.20); "
        "falls from 20 days to 30 days (+0.20 to -0.10)."
    )
    assert (
        "gifts raises the risk strongly (+0.50). Any other category lowers the risk (-0.20)."
        in (told["preferred_category"])
    )
