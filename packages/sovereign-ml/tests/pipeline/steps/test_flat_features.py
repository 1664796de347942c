"""Shops in which a feature never varies, or is never known: every step ends, and nothing is lost on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from churn.contract import FEATURES
from own_files import Row, Shop, line
from small_project import configure, make_project, run
from sovereign_ml.bundle.sealed import read_bundle
from sovereign_ml.project import STANDARD_STEPS
from sovereign_ml.storage.artifacts import read_json

CUSTOMERS, DAYS = 400, 420
NO_CATEGORY = {"data.columns.category": ""}
# So few customers of a shop without a pattern pass no gate of quality; the gate has tests of its own.
LENIENT = {
    "register.min_roc_auc": 0.0,
    "register.max_brier_share": 9.0,
    "register.calibration_slope": [-99.0, 99.0],
    "validate.max_rejected_share": 1.0,
    "features.max_base_rate_gap": 1.0,
}


Days = Callable[[int, np.random.Generator], Iterable[int]]
"""On which days the n-th customer orders."""


def lines(days: Days, **columns: Callable[[Any], object]) -> list[Row]:
    """Lines of a made-up shop; ``columns`` replace what is in a line."""
    rng = np.random.default_rng(7)
    start, rows = datetime(2025, 1, 1, 12), []
    for customer in range(CUSTOMERS):
        for day in days(customer, rng):
            drawn = {
                "amount": round(float(rng.lognormal(3, 0.8)), 2)
                * (-1 if rng.random() < 0.1 else 1),
                "category": str(rng.choice(["books", "toys", "music"])),
            }
            more = {name: value(drawn[name]) for name, value in columns.items()}
            at = start + timedelta(days=int(day))
            rows.append(
                line(f"c{customer}", order_line=len(rows), ordered_at=str(at), **drawn | more)
            )
    return rows


def regular(customer: int, rng: np.random.Generator) -> Iterable[int]:
    return rng.choice(DAYS, 4 + customer % 20, replace=False)


def mostly_one(customer: int, rng: np.random.Generator) -> Iterable[int]:
    """One order each; without a few who come back, everybody would have left and there is nothing to learn."""
    return rng.integers(0, DAYS, 1 if customer % 10 else 25)


def subscribers(customer: int, rng: np.random.Generator) -> Iterable[int]:
    """Half order every 30 days, half once: their gap is 30 days or not known."""
    first = int(rng.integers(0, DAYS))
    return range(first % 30, DAYS, 30) if customer % 2 else [first]


GAPS, CATEGORY = {"mean_gap_days", "last_gap_days"}, {"category_share", "preferred_category"}
SHOPS: dict[str, tuple[list[Row], dict[str, Any], set[str]]] = {
    "no category column": (lines(regular), NO_CATEGORY, CATEGORY),
    "no category known": (lines(regular, category=lambda _: ""), {}, CATEGORY),
    "one category": (lines(regular, category=lambda _: "books"), {}, CATEGORY),
    "no returns": (lines(regular, amount=abs), {}, {"returns_share"}),
    "equal amounts": (
        lines(regular, amount=lambda _: 10),
        {},
        {"returns_share", "avg_order_value_eur"},
    ),
    "one order each, but a few": (
        lines(mostly_one, amount=abs),
        NO_CATEGORY,
        {"returns_share", *CATEGORY},
    ),
    "subscribers": (lines(subscribers, amount=abs), {}, {"returns_share", *GAPS}),
}


@pytest.fixture(scope="module", params=SHOPS)
def data(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifacts of all eight steps over one of the shops."""
    rows, changes, _ = SHOPS[request.param]
    root = tmp_path_factory.mktemp("flat") / "own"
    make_project(root)
    configure(root, {**LENIENT, **changes})
    Shop(root, rows)
    run(root, *(step.verb for step in STANDARD_STEPS))
    return root / "data"


def test_every_step_ends_and_model_contract_and_card_know_the_same_features(data: Path) -> None:
    names = [feature.name for feature in FEATURES]
    bundle = read_bundle(data / "7_bundle")
    assert list(bundle.model.features) == names
    assert [spec.name for spec in bundle.contract.features] == names
    assert [curve["name"] for curve in bundle.card["facts"]["explanation"]["curves"]] == names
    assert read_json(data / "8_scores/summary.json")["rows_out"] > 0
    assert (data / "5_metrics/plots/curves.svg").stat().st_size > 0


def test_what_does_not_vary_is_flat_and_weighs_nothing(
    data: Path, request: pytest.FixtureRequest
) -> None:
    frame = pd.read_parquet(data / "3_features/training.parquet")
    worth = {
        entry["name"]: entry for entry in read_json(data / "5_metrics/metrics.json")["features"]
    }
    parts = {part.name: part for part in read_bundle(data / "7_bundle").model.parts}
    flat = {name for name in parts if frame[name].nunique() < 2}
    assert flat >= SHOPS[request.node.callspec.params["data"]][2]
    for name in flat:
        present = frame[name].dropna().unique()
        assert np.ptp(parts[name].contribution(present) if len(present) else 0.0) == 0, name
        if frame[name].isna().nunique() == 1:
            assert np.abs(parts[name].contribution(frame[name].to_numpy()[:1])).max() < 1e-9, name
            assert (worth[name]["importance"], worth[name]["ablation_delta"]) == (0, 0), name


def test_what_is_shipped_is_what_was_fitted(data: Path) -> None:
    assert read_json(data / "5_metrics/metrics.json")["explanations"]["fidelity"] < 1e-9
