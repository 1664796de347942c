"""Tests of what the model reveals about people.

They try what can be read from model.json, and who took part in training.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from sovereign_ml.audit import pii_scan
from sovereign_ml.model.scorecard import Levels, Scorecard
from sovereign_ml.model.trees import Forest

if TYPE_CHECKING:
    import pandas as pd

MEMBERSHIP_LIMIT = 0.6
"""ROC AUC of the membership attack above which the model reveals its training rows.

The limit is policy, not law.
"""
FEWEST = 3
"""Smallest number of people behind a named category. Fewer would be identifiable.

The limit is policy, not law.
"""


def privacy(card: Scorecard, figures: dict[str, Any], training: pd.DataFrame) -> dict[str, Any]:
    """Return group K of the card (Opinion 28/2024 s. 3.2).

    It has the extraction, tried on every row, and the attack of step 5.
    """
    numbers = 1 + sum(
        len(p.log_odds) + (2 if isinstance(p, Levels) else len(p.knots) + 1) for p in card.parts
    )
    if isinstance(card, Forest):
        numbers += sum(len(column) for tree in card.trees for _, column in tree)
    readable, rarest = readable_rows(card, training), rarest_category(card, training)
    shared = (
        f", its rarest named category is shared by {pii_scan.bucket(rarest)[0]} people"
        if rarest is not None
        else ""
    )
    rows = pii_scan.bucket(len(training))[0]
    return {
        "stores_training_rows": readable > 0 or (rarest is not None and rarest < FEWEST),
        "stores_training_rows_proof": (
            f"model.json holds {numbers} numbers for {rows} training rows; {readable or 'none'} of "
            f"these rows can be put together from them{shared}"
        ),
        "tests": [
            _test("exact_row", "training rows whose every value stands in model.json", readable, 0),
            _test(
                "membership",
                "ROC AUC of a loss threshold (0.5 is a guess)",
                figures["membership_auc"],
                MEMBERSHIP_LIMIT,
            ),
        ],
        "controls": {"knot_digits": 3, "min_category_rows": 20},
    }


def readable_rows(card: Scorecard, rows: pd.DataFrame) -> int:
    """Return how many ``rows`` can be put together from knots and categories of the model alone."""
    readable = np.ones(len(rows), dtype=bool)
    for part in card.parts:
        values = rows[part.name]
        # A missing value is as good as known: nothing has to be read to put it in.
        readable &= (values.isin(card.stored(part.name)) | values.isna()).to_numpy()
    return int(readable.sum())


def rarest_category(card: Scorecard, rows: pd.DataFrame) -> int | None:
    """Return the smallest number of people behind a category that the model names.

    Returns None when it names none.
    """
    counts = [
        # A person has one row for each cut-off, so rows would overstate the number of people.
        rows.loc[rows[part.name] == level, "customer_id"].nunique()
        for part in card.parts
        if isinstance(part, Levels)
        for level in part.log_odds
    ]
    return min(counts, default=None)


def _test(attack: str, metric: str, value: float, limit: float) -> dict[str, Any]:
    result = {"attack": attack, "metric": metric, "value": value, "limit": limit}
    return {**result, "passed": value <= limit, "at": datetime.now(UTC).date()}
