"""Whether rows can be read off the model is tried out, and a model from which they can is told apart."""

from __future__ import annotations

import pandas as pd

from sovereign_ml.model.scorecard import Scorecard
from sovereign_ml.pipeline.card_facts.model_privacy import privacy

CARD = Scorecard.model_validate(
    {
        "target": "churn_30d",
        "intercept": 0.1,
        "numeric": [
            {
                "name": "days",
                "transform": "identity",
                "knots": (1, 8),
                "log_odds": (0, 1),
                "missing_log_odds": 0,
            }
        ],
        "categorical": [
            {
                "name": "kind",
                "log_odds": {"books": 0.2, "toys": -0.2},
                "other_log_odds": 0,
                "missing_log_odds": 0,
            }
        ],
    }
)
FOUND = {"membership_auc": 0.51}


def people(days: list[float], kinds: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {"customer_id": [f"c{i}" for i in range(len(days))], "days": days, "kind": kinds}
    )


def test_a_row_whose_values_are_not_the_models_cannot_be_read_off() -> None:
    told = privacy(CARD, FOUND, people([2.5] * 6, ["books", "toys"] * 3))
    assert told["stores_training_rows"] is False
    assert [(test["attack"], test["value"], test["passed"]) for test in told["tests"]] == [
        ("exact_row", 0, True),
        ("membership", 0.51, True),
    ]
    assert "none of these rows can be put together" in told["stores_training_rows_proof"]


def test_a_row_that_can_be_put_together_from_the_model_is_counted() -> None:
    told = privacy(CARD, FOUND, people([2.5] * 6 + [8.0], ["books", "toys"] * 3 + ["toys"]))
    assert told["stores_training_rows"] is True
    assert (told["tests"][0]["value"], told["tests"][0]["passed"]) == (1, False)


def test_a_category_of_one_person_gives_that_person_away() -> None:
    assert (
        privacy(CARD, FOUND, people([2.5] * 6, ["books"] * 5 + ["toys"]))["stores_training_rows"]
        is True
    )


def test_a_membership_attack_above_the_limit_fails() -> None:
    told = privacy(CARD, {"membership_auc": 0.7}, people([2.5] * 6, ["books", "toys"] * 3))
    assert told["tests"][1]["passed"] is False
