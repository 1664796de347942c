"""Both kinds of model pass flow, card, gate, batch, service and decision log."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from service_desk import CUSTOMER, FEATURES, open_desk
from small_project import make_project, run
from sovereign_ml.bundle.sealed import read_bundle
from sovereign_ml.model.scorecard import Scorecard
from sovereign_ml.model.trees import Forest
from sovereign_ml.storage.artifacts import read_json

STEPS = ("data", "validate", "features", "train", "evaluate", "card", "register", "score")


@dataclass
class Flow:
    kind: str
    metrics: Path
    card: Path
    bundle: Path
    scores: Path


@pytest.fixture(scope="module", params=["scorecard", "boosting"])
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Flow:
    """The flow of the session for the scorecard, and one of its own for boosting."""
    nouns = ("metrics", "card", "bundle", "scores")
    if request.param == "scorecard":
        return Flow(request.param, *(request.getfixturevalue(noun) for noun in nouns))
    root = tmp_path_factory.mktemp("boosting") / "acme-churn"
    fast = {"train.model": "boosting", "train.regularisation": [1.0], "train.folds": 1}
    settings = run(make_project(root, **fast, **{"data.synthetic.customers": 900}), *STEPS)
    return Flow(request.param, *(settings.path(noun) for noun in nouns))


def test_what_is_served_is_what_was_fitted_and_adds_up(finished: Flow) -> None:
    model = read_bundle(finished.bundle).model
    assert type(model) is {"scorecard": Scorecard, "boosting": Forest}[finished.kind]
    found = read_json(finished.metrics / "metrics.json")
    assert found["explanations"]["fidelity"] <= 1e-9
    assert found["explanations"]["counterfactual_coverage"] > 0.5
    assert found["model"]["roc_auc"]["value"] > 0.65
    assert set(found["constraints"]) == {"roc_auc_difference", "brier_difference"}


def test_the_card_says_which_kind_it_is_and_what_that_means(finished: Flow) -> None:
    facts = read_json(finished.card / "card.json")["facts"]
    text = (finished.card / "card.html").read_text(encoding="utf-8")
    trees = finished.kind == "boosting"
    assert facts["model"]["algorithm"].startswith("Gradient boosting" if trees else "Additive")
    assert facts["explanation"]["individual_method"] == ("exact_shapley" if trees else "additive")
    assert ("GDPR Article 15(1)(h): what a person is" in text) == trees
    assert ("no input changes what another one means" in text) != trees
    assert "more days since the last purchase" not in text or "never" in text
    expected = {c["name"]: c["expected"] for c in facts["explanation"]["curves"]}
    assert expected["recency_days"] == "raises"
    assert expected["purchase_count_30d"] == "lowers"
    assert expected["tenure_days"] is None


def test_everybody_is_scored_with_reasons(finished: Flow) -> None:
    scores = pd.read_parquet(finished.scores / "scores.parquet")
    assert scores["score"].between(0, 1).all()
    assert scores["reason_1"].str.contains("the risk").all()
    assert scores["reason_1"].nunique() > 3


def test_the_service_answers_explains_and_logs(finished: Flow, tmp_path: Path) -> None:
    with open_desk(tmp_path, settings={"bundle": finished.bundle}) as desk:
        told = desk.score().json()
        model = read_bundle(finished.bundle).model
        row = {name: [value] for name, value in FEATURES.items()}
        assert told["score"] == pytest.approx(float(model.probability(row)[0]), abs=1e-9)
        total = model.intercept + sum(told["contributions"].values())
        assert 1 / (1 + np.exp(-total)) == pytest.approx(told["score"], abs=1e-9)
        assert len(told["reasons"]) == 3
        shown = desk.decision(told["decision_id"]).json()
        assert shown["score"] == told["score"]
        assert {x["feature"]: x["contribution"] for x in shown["inputs"]} == pytest.approx(
            told["contributions"]
        )
        # The log holds the model that decided, so that it can be explained when another one is served.
        entries = desk.log().of_case(desk.runtime.reference)
        archived = json.loads(entries[0].body or "{}")["model"]
        assert archived == model.model_dump(mode="json")
        assert CUSTOMER
