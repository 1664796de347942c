"""Boosted trees by numpy: the fitted ones, and reasons that are Shapley values, held against their definition."""

from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

import bundles
from churn import boosting
from churn import model as estimators
from churn.boosting import BoostingModel
from churn.contract import CATEGORICAL, EXPECTED, NUMERIC, TARGET
from churn.project import PROJECT
from sovereign_ml.config.tables import TrainSettings
from sovereign_ml.evaluation.fidelity import LIMIT, misfits
from sovereign_ml.model import served
from sovereign_ml.model.explain import Explainer
from sovereign_ml.model.scorecard import Coded, Scorecard
from sovereign_ml.model.trees import Forest, Tree

TRAIN = TrainSettings(
    model="boosting",
    knots=5,
    regularisation=(1.0,),
    folds=1,
    max_categories=5,
    min_customers=1,
    seed=7,
)


def people(n: int, seed: int) -> pd.DataFrame:
    columns = bundles.customers(n, seed)
    rows = pd.DataFrame({name: columns[name] for name in (*NUMERIC, *CATEGORICAL)})
    rng = np.random.default_rng(seed)
    few, toys = rows["purchase_count_90d"] < 2, rows["preferred_category"] == "toys"
    together = few & (rows["returns_share"] > 0.05)
    log_odds = rows["recency_days"] / 30 - 1 + 2 * together - toys + rows["last_gap_days"].isna()
    rows[TARGET] = (rng.random(n) < 1 / (1 + np.exp(-log_odds))).astype(int)
    rows.loc[:14, "preferred_category"] = "rare"
    return rows


ROWS = people(900, 0)
MODEL = BoostingModel.fit(ROWS, 1.0, TRAIN)
FOREST = MODEL.shipped
NEW = people(300, 1)
NEW.loc[:9, "preferred_category"] = "never seen"
COLUMNS = estimators.columns(NEW)


PAIRS = {"boosting__interaction_cst": "pairwise", "boosting__max_iter": 20}


def test_pairs_of_features_are_served_and_explained_exactly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Trees in which each path looks at two columns are a scorecard with pairwise interactions (GA2M)."""

    estimator = boosting.boosting_estimator
    monkeypatch.setattr(
        boosting,
        "boosting_estimator",
        lambda *given: estimator(*given).set_params(**PAIRS),
    )
    model = BoostingModel.fit(ROWS, 1.0, TRAIN)
    assert model.explain_fidelity(NEW.head(20)) <= LIMIT
    paths = [path for tree in model.shipped.trees for path in looked_at(tree)]
    assert max(len(path) for path in paths) == 2


def looked_at(tree: Tree, node: int = 0) -> list[set[int]]:
    """Return the features that each path of ``tree`` looks at."""
    if tree.feature[node] < 0:
        return [set()]
    below = looked_at(tree, tree.left[node]) + looked_at(tree, tree.right[node])
    return [{tree.feature[node], *path} for path in below]


def test_the_trees_by_numpy_are_the_fitted_ones() -> None:
    assert isinstance(FOREST, Forest)
    gap = np.abs(FOREST.probability(COLUMNS) - MODEL.probability(NEW)).max()
    assert gap <= LIMIT
    assert np.ptp(MODEL.probability(NEW)) > 0.3
    assert misfits(FOREST, PROJECT.feature_contract()) == []
    used = {feature for tree in FOREST.trees for feature in tree.feature}
    assert FOREST.features.index("preferred_category") in used, "no split by category is tested"


def test_the_reasons_add_up_to_the_score_of_everybody() -> None:
    parts = FOREST.contributions(COLUMNS)
    total = FOREST.intercept + parts.sum(axis=1)
    assert np.abs(total - FOREST.log_odds(COLUMNS)).max() <= 1e-9
    assert MODEL.explain_fidelity(NEW) <= LIMIT


def expectation(
    tree: Tree, row: list[float], known: set[int], numbers: int, node: int = 0
) -> float:
    """The tree's value where only the features ``known`` are: the others go as the training rows did."""
    feature = tree.feature[node]
    if feature < 0:
        return tree.value[node]
    ways = (tree.left[node], tree.right[node])
    if feature in known:
        x, at = row[feature], tree.threshold[node]
        left = tree.missing_left[node] if np.isnan(x) else x <= at if feature < numbers else x != at
        return expectation(tree, row, known, numbers, ways[0 if left else 1])
    total = sum(tree.covered[way] for way in ways)
    return sum(
        tree.covered[way] / total * expectation(tree, row, known, numbers, way) for way in ways
    )


@pytest.mark.parametrize("i", [0, 5, 20, 41])
def test_the_reasons_are_shapley_values_by_their_definition(i: int) -> None:
    """Every coalition of the features of each tree, by brute force."""
    content = FOREST.model_dump()
    small = Forest.model_validate({**content, "trees": content["trees"][::6]})
    row = [float(v) for v in small._coded({name: v[i : i + 1] for name, v in COLUMNS.items()})[0]]
    numbers, expected = len(small.numeric), np.zeros(len(small.features))
    for tree in small.trees:
        players = sorted({feature for feature in tree.feature if feature >= 0})
        for player in players:
            others = [p for p in players if p != player]
            for size in range(len(others) + 1):
                weight = factorial(size) * factorial(len(others) - size) / factorial(len(players))
                for coalition in combinations(others, size):
                    with_it = expectation(tree, row, {*coalition, player}, numbers)
                    without = expectation(tree, row, set(coalition), numbers)
                    expected[player] += weight * (with_it - without)
    told = small.contributions({name: v[i : i + 1] for name, v in COLUMNS.items()})[0]
    np.testing.assert_allclose(told, expected, atol=1e-9)
    assert np.abs(expected).sum() > 0.1


def test_trees_keep_to_the_expected_directions() -> None:
    """For everybody, over the whole range and beyond; missing values stay between the ends."""
    held = EXPECTED
    assert {name: FOREST.keeps_to(name, d) for name, d in held.items()} == dict.fromkeys(held, True)
    some = {name: values[:40] for name, values in COLUMNS.items()}
    for name, direction in held.items():
        runs = [
            FOREST.log_odds({**some, name: np.full(40, value)})
            for value in [-1e9, *np.linspace(-50, 500, 40), 1e9]
        ]
        steps = np.diff(np.array(runs), axis=0) * (1 if direction == "raises" else -1)
        assert steps.min() >= -1e-12, name
        gap = FOREST.log_odds({**some, name: np.full(40, np.nan)})
        ends = np.sort(np.array([runs[0], runs[-1]]), axis=0)
        assert (gap >= ends[0] - 1e-12).all() and (gap <= ends[1] + 1e-12).all(), name
    free = BoostingModel.fit(ROWS, 1.0, TRAIN.model_copy(update={"monotone": False})).shipped
    assert not any(free.keeps_to(name, direction) for name, direction in held.items())


def test_a_file_is_read_as_what_it_is_and_a_broken_tree_is_refused() -> None:
    text = FOREST.model_dump_json().encode()
    assert served.parse(text) == FOREST
    plain = bundles.model()
    assert type(served.parse(plain.model_dump_json().encode())) is Scorecard
    content = FOREST.model_dump(mode="json")
    content["trees"][0]["left"][0] = 0
    with pytest.raises(ValidationError, match="node 0 of a tree has the children"):
        served.of_content(content)
    content = FOREST.model_dump(mode="json")
    content["trees"][0]["feature"][0] = 99
    with pytest.raises(ValidationError, match="a feature that the model does not have"):
        served.of_content(content)


def test_many_rows_at_once_are_the_same_rows() -> None:
    coded = pd.factorize(NEW["preferred_category"])
    columns = {**COLUMNS, "preferred_category": Coded(coded[0], list(coded[1]))}
    np.testing.assert_array_equal(FOREST.contributions(columns), FOREST.contributions(COLUMNS))


def test_a_proposed_change_moves_the_band_of_the_trees() -> None:
    policy = bundles.policy(target=TARGET)
    explainer = Explainer(FOREST, PROJECT.feature_contract(), policy)
    found = 0
    for i in range(12):
        row = {
            n: v if (v := c[i]) is None or isinstance(v, str) else float(v)
            for n, c in COLUMNS.items()
        }
        told = explainer.explain(row)
        assert told.intercept + sum(x.contribution for x in told.influences) == pytest.approx(
            told.log_odds, abs=1e-9
        )
        if told.counterfactual is None:
            continue
        found += 1
        after = row | {change.feature: change.after for change in told.counterfactual.changes}
        score = FOREST.probability({name: [value] for name, value in after.items()})[0]
        assert policy.band_of(score) == told.counterfactual.band != told.band
    assert found >= 10


@pytest.mark.parametrize("name", ["returns_share", "last_gap_days", "preferred_category"])
@pytest.mark.parametrize("value", [None, 0.0])
def test_a_column_that_never_varies_or_is_never_known_is_shipped_too(
    name: str, value: float | None
) -> None:
    known = "toys" if value is not None and name in CATEGORICAL else value
    rows = ROWS.assign(
        **{name: known if name in CATEGORICAL else np.nan if known is None else known}
    )
    model = BoostingModel.fit(rows, 1.0, TRAIN)
    assert model.explain_fidelity(NEW) <= LIMIT
    assert misfits(model.shipped, PROJECT.feature_contract()) == []
