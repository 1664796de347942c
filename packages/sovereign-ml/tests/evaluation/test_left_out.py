"""What the features that are left out would add: an interval that sees a loss, and none where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from sovereign_ml.config.tables import EvaluateSettings
from sovereign_ml.evaluation.report import Procedure, left_out, left_out_in_words

RNG = np.random.default_rng(3)
CUTOFFS, PEOPLE = pd.date_range("2026-01-01", periods=5, freq="30D", tz="UTC"), 500
CONFIG = EvaluateSettings(
    bootstrap=60, contact_budget=0.1, groups=("country",), min_group=50, seed=7
)


class Fitted:
    """A regression on whatever features the rows have."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self.regression = LogisticRegression().fit(inputs(rows), rows["label"])

    def probability(self, rows: pd.DataFrame) -> Any:
        return self.regression.predict_proba(inputs(rows))[:, 1]


def inputs(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[[name for name in ("needed", "useful", "noise") if name in rows]]


PROCEDURE = Procedure(Fitted, inputs, "label", ("needed",), ())


def shop() -> pd.DataFrame:
    """Rows of each customer at each cut-off; two features make the label."""
    count = len(CUTOFFS) * PEOPLE
    rows = pd.DataFrame(RNG.normal(size=(count, 3)), columns=["needed", "useful", "noise"])
    pull = rows["needed"] + rows["useful"]
    return rows.assign(
        customer_id=[f"c{i}" for i in range(PEOPLE)] * len(CUTOFFS),
        event_timestamp=np.repeat(CUTOFFS, PEOPLE),
        label=(RNG.random(count) < 1 / (1 + np.exp(-pull))).astype(int),
    )


def test_a_useful_feature_is_missed_and_noise_is_not() -> None:
    rows = shop()
    missed = left_out(PROCEDURE, rows.drop(columns=["useful", "noise"]), rows, CONFIG)
    assert missed is not None
    assert (missed["names"], missed["cutoffs"]) == (["useful", "noise"], 3)
    assert missed["loss"]["low"] > 0.03
    spared = left_out(PROCEDURE, rows.drop(columns="noise"), rows, CONFIG)
    assert spared is not None
    assert spared["loss"]["low"] < 0.002 and spared["loss"]["high"] < 0.005
    assert left_out(PROCEDURE, rows, rows, CONFIG) is None


def test_the_line_of_step_5_says_how_many_and_how_much() -> None:
    found = {"names": ["a", "b"], "loss": {"value": 0.0022, "low": -0.0003, "high": 0.0049}}
    assert left_out_in_words(found) == (
        "; without the 2 features that config.toml leaves out ROC AUC loses 0.002 (-0.000 to 0.005)"
    )
    assert left_out_in_words(None) == ""
