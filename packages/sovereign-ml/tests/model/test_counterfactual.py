"""The proposed change is the smallest there is: compared with every possible change on random small scorecards."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sovereign_ml.decisions.decision_policy import DecisionPolicy
from sovereign_ml.decisions.feature_contract import FeatureContract
from sovereign_ml.model.counterfactual import Finder
from sovereign_ml.model.scorecard import Scorecard

NAMES = ("a", "b", "c", "d", "e")
TOP = 3
"""Values of each input are the whole numbers 0 to TOP."""
POLICY = DecisionPolicy.model_validate(
    {
        "policy_version": "0a1b2c3d4e5f",
        "target": "churn_30d",
        "bands": [{"name": "low", "below": 0.5}, {"name": "high", "below": 1.01}],
        "action_band": "high",
        "significant_effect": False,
        "human_review": False,
        "reviewer_contact": "ml@acme.example",
    }
)
CURVE = st.lists(st.integers(-20, 20).map(lambda n: n / 20), min_size=TOP + 1, max_size=TOP + 1)


def scorecard(curves, intercept):
    knots = tuple(float(x) for x in range(TOP + 1))
    numeric = [
        {
            "name": name,
            "transform": "identity",
            "knots": knots,
            "log_odds": tuple(values),
            "missing_log_odds": 0.0,
        }
        for name, values in zip(NAMES, curves, strict=True)
    ]
    return Scorecard.model_validate(
        {"target": "churn_30d", "intercept": intercept, "numeric": numeric, "categorical": []}
    )


def contract():
    common = {
        "dtype": "float",
        "unit": "count",
        "minimum": 0,
        "maximum": TOP,
        "missing_allowed": False,
    }
    spec = {**common, "changeable": True, "necessity_reason": "A test."}
    return FeatureContract.model_validate(
        {"features": [{"name": name, "label": name, **spec} for name in NAMES]}
    )


CONTRACT = contract()


def smallest_of_all(model, row):
    """Fewest inputs changed, then least total change, over all (TOP + 1) ** 5 rows; None when no row will do."""
    high = model.log_odds({name: [value] for name, value in row.items()})[0] > 0
    every = np.array(list(product(range(TOP + 1), repeat=len(NAMES))), dtype=float)
    moved = (model.log_odds(dict(zip(NAMES, every.T, strict=True))) > 0) != high
    gaps = np.abs(every - np.array([row[name] for name in NAMES]))[moved]
    return min(zip((gaps > 0).sum(axis=1), gaps.sum(axis=1) / TOP, strict=True), default=None)


@given(
    st.lists(CURVE, min_size=5, max_size=5),
    st.lists(st.integers(0, TOP), min_size=5, max_size=5),
    st.data(),
)
@settings(max_examples=150, deadline=None)
def test_no_change_of_fewer_inputs_and_none_of_less_size_moves_the_band(curves, values, data):
    row = {name: float(value) for name, value in zip(NAMES, values, strict=True)}
    # Off the grid of the curves' twentieths: no sum of them lands on the threshold itself.
    model = scorecard(curves, data.draw(st.integers(-60, 60)) / 20 + 0.013)
    found, best = Finder(model, CONTRACT, POLICY).find(row), smallest_of_all(model, row)
    assert (found is None) == (best is None)
    if found is not None and best[0] <= 4:
        sizes = [abs(change.after - change.before) / TOP for change in found.changes]
        assert (len(sizes), sum(sizes)) == (best[0], pytest.approx(best[1]))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_as_many_inputs_are_changed_as_are_needed(count):
    model = scorecard([[0.0, 0.0, 0.0, 1.0]] * 5, 0.5 - count)
    found = Finder(model, CONTRACT, POLICY).find(dict.fromkeys(NAMES, 0.0))
    assert len(found.changes) == count
    assert found.band == "high"


def test_the_smallest_of_three_is_not_where_the_strongest_input_leads():
    """A greedy search starts with ``a``, which gains most at once; three others do it with less change."""
    small, wide = [0.0, 0.9, 0.9, 0.9], [0.0, 0.0, 0.0, 1.0]
    model = scorecard([wide, small, small, small, [0.0] * 4], -2.65)
    found = Finder(model, CONTRACT, POLICY).find(dict.fromkeys(NAMES, 0.0))
    assert {change.feature for change in found.changes} == {"b", "c", "d"}


def test_the_smallest_pair_may_need_more_of_the_first_input():
    """A little of ``a`` needs all of ``b``, all of ``a`` is too much: what lies between is least altogether."""
    model = scorecard([[0.0, 0.5, 1.75, 1.8], [0.0, 0.3, 0.4, 1.6], *[[0.0] * 4] * 3], -2.0)
    found = Finder(model, CONTRACT, POLICY).find(dict.fromkeys(NAMES, 0.0))
    assert {change.feature: change.after for change in found.changes} == {"a": 2.0, "b": 1.0}


@given(st.floats(1, 90), st.floats(1, 90), st.floats(0.1, 10), st.integers(-30, 30))
@settings(max_examples=300, deadline=None)
def test_a_change_has_a_cause_even_where_the_row_contradicts_itself(days, gap, ratio, intercept):
    """A caller may send a ratio that its own parts do not give. What follows is no change by itself."""
    numeric = [
        {
            "name": name,
            "transform": "identity",
            "knots": (0.0, top),
            "log_odds": (-slope, slope),
            "missing_log_odds": 0.0,
        }
        for name, top, slope in (("days", 90.0, 0.1), ("gap", 90.0, 0.1), ("ratio", 10.0, 3.0))
    ]
    model = Scorecard.model_validate(
        {"target": "churn_30d", "intercept": intercept / 10, "numeric": numeric, "categorical": []}
    )
    common = {
        "dtype": "float",
        "minimum": 0,
        "missing_allowed": False,
        "necessity_reason": "A test.",
    }
    features = [
        {**common, "name": name, "label": name, "unit": unit, "changeable": changeable}
        for name, unit, changeable in (
            ("days", "days", True),
            ("gap", "days", False),
            ("ratio", "ratio", False),
        )
    ]
    link = {"kind": "ratio", "feature": "ratio", "over": "days", "under": "gap"}
    contract = FeatureContract.model_validate({"features": features, "links": [link]})
    finder = Finder(model, contract, POLICY)
    found = finder.find({"days": days, "gap": gap, "ratio": ratio})
    assert found is None or not all(change.follows for change in found.changes)
