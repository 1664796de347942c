"""A scorecard is data: checked when read, scored by numpy, and its parts are the reasons."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sovereign_ml.model import scorecard, served
from sovereign_ml.model.scorecard import Coded, Curve, Levels, Scorecard

CURVE = Curve(
    name="recency_days",
    transform="identity",
    knots=(0, 10, 20),
    log_odds=(-1, 1, 2),
    missing_log_odds=0.5,
)
LEVELS = Levels(
    name="range", log_odds={"books": -0.2, "toys": 0.3}, other_log_odds=0.1, missing_log_odds=-0.4
)
CARD = Scorecard(target="churn_30d", intercept=0.25, numeric=(CURVE,), categorical=(LEVELS,))


@pytest.mark.parametrize(
    ("value", "log_odds"),
    [(0, -1), (10, 1), (5, 0), (15, 1.5), (-99, -1), (1e300, 2), (float("nan"), 0.5), (None, 0.5)],
)
def test_a_curve_is_straight_between_its_knots_and_flat_outside(
    value: float | None, log_odds: float
) -> None:
    assert CURVE.contribution([value]) == pytest.approx([log_odds])


def test_a_curve_on_the_asinh_axis_bends_in_raw_units() -> None:
    curve = CURVE.model_copy(update={"transform": "asinh"})
    middle = float(np.sinh((np.arcsinh(10) + np.arcsinh(20)) / 2))
    assert curve.contribution([middle]) == pytest.approx([1.5])


@pytest.mark.parametrize(
    ("value", "log_odds"),
    [("books", -0.2), ("toys", 0.3), ("unseen", 0.1), ("", 0.1), (None, -0.4)],
)
def test_a_category_has_a_value_and_the_unseen_share_one(
    value: str | None, log_odds: float
) -> None:
    assert LEVELS.contribution([value]) == pytest.approx([log_odds])


def test_categories_as_codes_have_the_same_values() -> None:
    coded = Coded(np.array([1, 0, -1, 2]), ["books", "toys", "unseen"])
    assert (
        LEVELS.contribution(coded).tolist()
        == LEVELS.contribution(["toys", "books", None, "unseen"]).tolist()
    )


@given(
    st.lists(
        st.tuples(st.floats(-1e6, 1e6), st.sampled_from(["books", "toys", "x", None])),
        min_size=1,
        max_size=20,
    )
)
def test_the_parts_and_the_intercept_are_the_score(rows: list[tuple[float, str | None]]) -> None:
    columns = {"recency_days": [n for n, _ in rows], "range": [c for _, c in rows]}
    parts = CARD.contributions(columns)
    assert parts.shape == (len(rows), 2)
    np.testing.assert_allclose(CARD.log_odds(columns), 0.25 + parts.sum(axis=1))
    np.testing.assert_allclose(
        CARD.probability(columns), 1 / (1 + np.exp(-(0.25 + parts.sum(axis=1))))
    )


def test_a_missing_feature_is_named_and_never_invented() -> None:
    with pytest.raises(
        KeyError, match=r"missing features: range; the model needs recency_days, range"
    ):
        CARD.contributions({"recency_days": [1.0]})


def test_a_column_that_the_model_does_not_know_changes_nothing() -> None:
    columns: dict[str, list[Any]] = {"recency_days": [1.0], "range": ["toys"]}
    assert CARD.log_odds(columns) == CARD.log_odds({**columns, "country": ["DE"]})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"knots": (0, 10)}, "2 knots but 3 log-odds"),
        ({"knots": (0, 10, 10)}, "knots must rise strictly"),
        ({"knots": (0,), "log_odds": (1,)}, "at least 2"),
        ({"transform": "exp"}, "'identity' or 'asinh'"),
        ({"extra": 1}, "Extra inputs"),
    ],
)
def test_a_curve_of_the_wrong_shape_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Curve.model_validate({**CURVE.model_dump(), **change})


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": "2"},
        {"pickle": "x"},
        {"intercept": None},
        {"numeric": None},
        {"intercept": math.nan},
        {"intercept": math.inf},
        {"numeric": [{**CURVE.model_dump(), "missing_log_odds": math.nan}]},
        {"numeric": [{**CURVE.model_dump(), "knots": [0.0, math.nan, 20.0]}]},
    ],
)
def test_a_file_of_another_shape_is_never_scored_by_accident(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    path = tmp_path / "model.json"
    path.write_text(json.dumps({**CARD.model_dump(mode="json"), **change}))
    with pytest.raises(ValidationError):
        served.read(path)


def test_what_is_written_reads_back_the_same(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(CARD.model_dump_json(indent=2))
    assert served.read(path) == CARD


def test_extreme_log_odds_give_probabilities_without_a_warning() -> None:
    with np.errstate(all="raise"):
        assert scorecard.sigmoid(np.array([-40.0, 0.0, 40.0])) == pytest.approx([0, 0.5, 1])


def test_the_module_needs_numpy_and_pydantic_only() -> None:
    heavy = ("pandas", "sklearn", "scipy", "duckdb", "mlflow", "feast", "churn")
    script = f"import sys, sovereign_ml.model.scorecard; sys.exit(', '.join(n for n in {heavy} if n in sys.modules) or 0)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
