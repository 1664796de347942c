"""The model keeps to the directions that experts expect, and no answer contradicts itself."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

import bundles
from churn import model as estimators
from churn.boosting import BoostingModel
from churn.contract import CATEGORICAL, FEATURES, NUMERIC, TARGET
from churn.project import PROJECT
from churn.scorecard import to_scorecard
from sovereign_ml.bundle.sealed import read_bundle
from sovereign_ml.config.tables import TrainSettings
from sovereign_ml.decisions.feature_contract import FeatureContract, FeatureSpec
from sovereign_ml.errors import Misuse
from sovereign_ml.estimators import monotone
from sovereign_ml.estimators.monotone import MonotoneLogistic
from sovereign_ml.model import wording
from sovereign_ml.model.explain import Explainer, shared, specs_as_modelled, windows_of
from sovereign_ml.model.scorecard import Scorecard
from sovereign_ml.service.api.one_row import OneRow, scorer_of
from sovereign_ml.storage.artifacts import read_json

TRAIN = TrainSettings(
    knots=5, regularisation=(1.0,), folds=1, max_categories=5, min_customers=1, seed=7
)
EXPECTED = {feature.name: feature.expected for feature in FEATURES if feature.expected}


def against_expectation(seed: int, n: int = 600) -> pd.DataFrame:
    """Rows whose label does the opposite of what every feature declares, and gaps that say a lot."""
    rng = np.random.default_rng(seed)
    columns = bundles.customers(n, seed)
    rows = pd.DataFrame({name: columns[name] for name in (*NUMERIC, *CATEGORICAL)})
    ranks = rows[list(NUMERIC)].rank(pct=True).fillna(0) - 0.5
    signs = {"raises": -1.0, "lowers": 1.0, None: 0.0}
    pull = sum(signs[EXPECTED.get(name)] * ranks[name] for name in NUMERIC)
    log_odds = pull + rng.choice([-6, 6]) * rows["last_gap_days"].isna()
    rows[TARGET] = (rng.random(n) < 1 / (1 + np.exp(-log_odds))).astype(int)
    return rows


def fitted(rows: pd.DataFrame, *, monotone: bool = True) -> Scorecard:
    config = TRAIN.model_copy(update={"monotone": monotone})
    return to_scorecard(
        estimators.fit(estimators.scorecard_estimator(rows, 1.0, config), rows), rows
    )


CARDS = [fitted(against_expectation(seed)) for seed in range(3)]
FOREST = BoostingModel.fit(against_expectation(0), 1.0, TRAIN)


@given(
    st.sampled_from(CARDS),
    st.sampled_from(sorted(EXPECTED)),
    st.floats(-1e9, 1e9),
    st.floats(-1e9, 1e9),
)
@settings(max_examples=300, deadline=None)
def test_more_of_a_feature_never_does_the_opposite_of_what_is_expected(
    card: Scorecard, name: str, one: float, other: float
) -> None:
    """Over the whole range, far beyond the outermost knots, and a missing value stays within the curve."""
    curve = next(part for part in card.numeric if part.name == name)
    less, more, gap = curve.contribution([min(one, other), max(one, other), None])
    assert more >= less if EXPECTED[name] == "raises" else more <= less
    assert min(curve.log_odds) - 1e-9 <= gap <= max(curve.log_odds) + 1e-9
    assert curve.keeps_to(EXPECTED[name])


def test_without_the_constraints_the_same_rows_turn_curves_round() -> None:
    card = fitted(against_expectation(0), monotone=False)
    turned = [
        c.name for c in card.numeric if c.name in EXPECTED and not c.keeps_to(EXPECTED[c.name])
    ]
    assert len(turned) > 5


def design(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.random((400, 8))
    y = (rng.random(400) < 1 / (1 + np.exp(-2 * x @ rng.normal(size=8)))).astype(int)
    return x, y


def test_without_curves_it_is_the_regression_of_scikit_learn() -> None:
    x, y = design()
    theirs = LogisticRegression(C=0.3, solver="newton-cholesky", tol=1e-10).fit(x, y)
    ours = MonotoneLogistic(C=0.3).fit(x, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-7)
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), atol=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_the_constrained_fit_is_the_best_there_is(seed: int) -> None:
    """Held against a general solver with inequality constraints."""
    x, y = design(seed)
    fill = (0.0, 0.5, 0.5, 0.0)
    ours = MonotoneLogistic(C=0.5, curves=((0, 4, 1, 7, fill), (4, 3, -1, -1, ()))).fit(x, y)

    def loss(w: np.ndarray) -> float:
        log_odds = x @ w[1:] + w[0]
        return float(np.logaddexp(0, log_odds).sum() - log_odds @ y + w[1:] @ w[1:])

    def slack(w: np.ndarray) -> np.ndarray:
        h, falling, gap = w[1:5], w[5:8], w[8] + w[1:5] @ fill
        return np.r_[np.diff(h), -np.diff(falling), gap - h[0], h[-1] - gap]

    best = minimize(
        loss,
        np.zeros(9),
        constraints={"type": "ineq", "fun": slack},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert slack(np.r_[ours.intercept_, ours.coef_[0]]).min() >= -1e-9
    assert loss(np.r_[ours.intercept_, ours.coef_[0]]) <= best.fun + 1e-4


def test_many_rows_give_the_minimum_that_few_rows_give(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(6000, 8))
    x[:, 7] = 0.0
    x[rng.choice(6000, 4, replace=False), 7] = 1.0  # hardly a row of a sample has this column
    y = (rng.random(6000) < 1 / (1 + np.exp(-x[:, 0] + 0.5 * x[:, 1]))).astype(int)
    curves = ((0, 4, 1, -1, ()),)
    exact = MonotoneLogistic(C=0.5, curves=curves).fit(x, y)
    monkeypatch.setattr(monotone, "_SAMPLE", 1500)
    estimated = MonotoneLogistic(C=0.5, curves=curves).fit(x, y)
    assert estimated.coef_ == pytest.approx(exact.coef_, abs=1e-8)
    assert estimated.intercept_ == pytest.approx(exact.intercept_, abs=1e-8)


def test_one_class_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match="Two classes are needed, seen: 1"):
        MonotoneLogistic().fit(np.ones((3, 1)), np.ones(3))


def test_a_category_cannot_have_an_expected_direction() -> None:
    (category,) = (feature for feature in FEATURES if feature.dtype == "string")
    wrong = replace(category, expected="raises")
    project = replace(PROJECT, features=(wrong,), links=tuple)
    with pytest.raises(Misuse, match="preferred_category is a category"):
        project.feature_contract()


# What people are told.


def torn() -> tuple[Scorecard, FeatureContract]:
    """A model in which purchases and amount of each window pull in different directions."""
    card, contract = bundles.model(), bundles.contract()
    turned = [
        part.model_copy(update={"log_odds": part.log_odds[::-1]})
        if part.name.startswith("revenue")
        else part
        for part in card.numeric
    ]
    return card.model_copy(update={"numeric": tuple(turned)}), contract


def test_views_of_one_window_never_point_different_ways_and_the_sum_stays() -> None:
    card, contract = torn()
    windows = windows_of(card, contract)
    assert [len(window) for window in windows] == [2, 2, 2, 2]
    people = bundles.customers(300)
    raw = card.contributions(people)
    told = shared(raw, windows)
    np.testing.assert_allclose(told.sum(axis=1), raw.sum(axis=1), atol=1e-12)
    crossed = [(raw[:, w].min(axis=1) < 0) & (raw[:, w].max(axis=1) > 0) for w in windows]
    assert np.array(crossed).any(axis=1).all(), "no window is torn: the test shows nothing"
    for window in windows:
        assert not ((told[:, window].min(axis=1) < 0) & (told[:, window].max(axis=1) > 0)).any()
    # Service, batch and explanation tell the same.
    explainer, one = (
        Explainer(card, contract, bundles.policy()),
        OneRow(card, contract.shared_windows),
    )
    for i in range(30):
        row = {name: column[i] for name, column in people.items()}
        row = {name: v if v is None or isinstance(v, str) else float(v) for name, v in row.items()}
        influences = {x.feature: x.contribution for x in explainer.explain(row).influences}
        given = {n: None if isinstance(v, float) and np.isnan(v) else v for n, v in row.items()}
        assert influences == pytest.approx(dict(zip(card.features, told[i], strict=True)))
        assert one.contributions(given) == pytest.approx(influences)


def test_a_low_value_is_told_as_low() -> None:
    contract = bundles.contract()
    specs = [
        spec.model_copy(update={"expected": "lowers"})
        if spec.name.startswith(("purch", "rev"))
        else spec
        for spec in contract.features
    ]
    contract = contract.model_copy(update={"features": tuple(specs)})
    row = {
        name: None if isinstance(v[0], str) else float(v[0])
        for name, v in bundles.customers(1).items()
    }
    row |= {"purchase_count_90d": 1.0, "revenue_eur_90d": 6.19, "purchase_count_7d": 0.0}

    def told(card: Scorecard) -> set[str]:
        return {x.text for x in Explainer(card, contract, bundles.policy()).explain(row).influences}

    assert told(bundles.model()) >= {
        "only 1 purchase in the last 90 days raises the risk strongly",
        "spent in the last 90 days (only 6.19 EUR) raises the risk",
        "no purchases in the last 7 days raise the risk",
    }
    # A curve that does not keep to the direction says nothing about low and high.
    assert not any("only" in text for text in told(torn()[0]) if "spent" in text)


@pytest.mark.parametrize("expected", ["raises", "lowers"])
def test_a_shapley_value_of_a_constrained_feature_never_moves_against_its_direction(
    expected: str,
) -> None:
    """So a value that does the opposite is a low one among trees too."""
    forest, people = FOREST.shipped, bundles.customers(40, seed=8)
    for name in (name for name, way in EXPECTED.items() if way == expected):
        place, before = forest.features.index(name), None
        for value in (0.0, 1.0, 3.0, 10.0, 60.0, 400.0):
            now = forest.contributions(people | {name: np.full(40, value)})[:, place]
            if before is not None:
                assert ((now - before) * (1 if expected == "raises" else -1) >= -1e-9).all(), name
            before = now


UGLY = r"None|nan|-0(\.0+)?(?![\d.])|\de[-+]|(?<![\d.,])1 (days|purchases)|[(] *%"
"""A missing value as Python writes it, minus zero, a power of ten, one of many, a share without a number."""


@pytest.mark.parametrize("kind", ["scorecard", "trees", "scorecard of the shop"])
def test_no_answer_contradicts_itself(kind: str, request: pytest.FixtureRequest) -> None:
    """What the service tells hundreds of people: one window, one direction, and the direction of the model.

    "Only" stands where more would do less, a trace of rounding is no reason, and every number reads well.
    """
    contract = PROJECT.feature_contract()
    if kind == "scorecard of the shop":
        sealed = read_bundle(request.getfixturevalue("bundle"))
        model, contract = sealed.model, sealed.contract
        people = pd.read_parquet(request.getfixturevalue("features") / "snapshots.parquet")
        columns: dict[str, Any] = estimators.columns(people.sample(300, random_state=1))
    else:
        model = FOREST.shipped if kind == "trees" else CARDS[0]
        columns = bundles.customers(300, seed=3)
        columns["revenue_eur_30d"][:20] = -1e-15  # what is left of 10.1 - 10.1
        columns["recency_days"][20:40] = 1.004
        columns["returns_share"][40:60] = 1e-7
    specs = specs_as_modelled(model, contract)
    scorer = scorer_of(model, contract.shared_windows)
    flat = 0
    for i in range(300):
        row = {name: values[i] for name, values in columns.items()}
        row = {name: None if pd.isna(value) else value for name, value in row.items()}
        own = dict(
            zip(
                model.features,
                model.contributions({k: [v] for k, v in row.items()})[0],
                strict=True,
            )
        )
        told = scorer.contributions(row)
        assert sum(told.values()) == pytest.approx(sum(own.values()), abs=1e-9)
        ways = {name: wording.direction(value) for name, value in told.items()}
        for window in contract.shared_windows:
            assert len({ways[name] for name in window} - {"none"}) <= 1, window
        for name, value in told.items():
            text, way = wording.reason(specs[name], row[name], value), ways[name]
            verb = {"raises": "raises?", "lowers": "lowers?", "none": "leaves?"}[way]
            assert re.search(rf" {verb} the risk( as it is| strongly| slightly)?$", text), text
            assert way in ("none", wording.direction(own[name])), (
                f"the model says otherwise: {text}"
            )
            assert not re.search(UGLY, text), text
            expected = specs[name].expected
            low = expected is not None and way not in ("none", expected)
            assert ("only " in text) == (low and bool(row[name])), text
            flat += way == "none"
    assert flat, "nobody has an input without effect: the test shows less than it says"


@pytest.mark.parametrize(
    ("unit", "label", "value", "log_odds", "text"),
    [
        (
            "days",
            "days since the visit",
            1.004,
            0.2,
            "days since the visit (1 day) raises the risk",
        ),
        ("days", "days since the visit", 0.0, 0.2, "0 days since the visit raises the risk"),
        ("count", "visits (online)", 3.0, 0.2, "only 3 visits (online) raise the risk"),
        ("count", "deliveries", 1.0, 0.2, "only 1 delivery raises the risk"),
        ("count", "boxes", 1.0, 0.2, "only 1 box raises the risk"),
        ("count", "purchases", 1.0, 1e-9, "1 purchase leaves the risk as it is"),
        ("count", "different shops", 1.0, 0.2, "different shops (only 1) raises the risk"),
        ("count", "different shops", 2.0, -0.2, "2 different shops lower the risk"),
        ("count", "purchases", 0.0, 0.2, "no purchases raise the risk"),
        ("EUR", "amount (net)", 6.19, 0.2, "amount (net) (only 6.19 EUR) raises the risk"),
        ("EUR", "amount", -0.001, 0.2, "amount (only 0.00 EUR) raises the risk"),
        ("share", "share", 1e-7, -0.2, "share (0 %) lowers the risk"),
        ("share", "share", 123.4, -0.2, "share (12340 %) lowers the risk"),
        ("share", "share", None, -0.2, "share (not known) lowers the risk"),
    ],
)
def test_numbers_and_plurals_read_well(
    unit: Any, label: str, value: float | None, log_odds: float, text: str
) -> None:
    spec = FeatureSpec(
        name="x",
        dtype="float",
        unit=unit,
        label=label,
        missing_allowed=True,
        changeable=True,
        necessity_reason="A test.",
        expected=None if unit == "days" else "lowers",
    )
    assert wording.reason(spec, value, log_odds) == text


def test_the_cost_of_the_directions_is_measured(metrics: Path) -> None:
    cost = read_json(metrics / "metrics.json")["constraints"]
    assert set(cost) == {"roc_auc_difference", "brier_difference"}
    for figure in cost.values():
        assert figure["low"] <= figure["value"] <= figure["high"]
    assert any(figure["value"] for figure in cost.values()), "both models are the same"
