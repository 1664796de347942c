"""From an export that nobody described to a served answer: two commands, and no edit of a file."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from own_files import named
from service_desk import open_desk
from small_project import load, make_project, run
from sovereign_ml.cli.main import application
from sovereign_ml.config.data_tables import ShopSettings
from sovereign_ml.config.settings import ENVIRONMENT
from sovereign_ml.pipeline import demo_shop
from sovereign_ml.project import STANDARD_STEPS

FAST = {
    "features.inputs": ["recency_days", "mean_gap_days", "recency_over_gap"],
    "train.regularisation": [0.1],
    "train.folds": 1,
    "evaluate.bootstrap": 10,
    # So few orders leave wide intervals; the gate has tests of its own.
    "register.min_roc_auc": 0.5,
    "register.calibration_slope": [0.1, 5.0],
}


def woocommerce(path: Path) -> None:
    """Write the orders of a shop as WooCommerce exports them; some are cancelled, some are of guests."""
    shop = demo_shop.make(ShopSettings(customers=500, days=420, seed=3))
    lines = shop.transactions[shop.transactions["amount"] > 0].dropna(subset=["customer_id"])
    lines = lines[lines["ordered_at"].str.contains("T")]
    orders = lines.groupby(["customer_id", "ordered_at"], as_index=False)["amount"].sum()
    number = orders["customer_id"].str[1:].astype(int)
    table = pd.DataFrame(
        {
            "order_number": range(len(orders)),
            "order_date": orders["ordered_at"].str.replace("T", " "),
            "status": ["wc-cancelled" if i % 50 == 9 else "wc-completed" for i in orders.index],
            "order_total": orders["amount"].round(2),
            "order_currency": "EUR",
            "customer_id": number.where(number % 4 > 0, 0),
            "billing_email": "C" + number.astype(str) + "@Shop.example",
        }
    )
    table.to_csv(path, index=False)


def test_an_export_becomes_an_answer_without_an_edit(tmp_path: Path) -> None:
    root = make_project(tmp_path / "own", **FAST)
    woocommerce(root / "orders.csv")
    ENVIRONMENT.update({"CHURN_ROOT": str(root), "HOME": str(tmp_path)})
    answers = ("lawful_basis=contract", "timezone=Europe/Berlin")
    given = [part for answer in answers for part in ("--set", answer)]
    command = ["data", "suggest", "orders.csv", *given, "--apply", "--yes"]
    said = CliRunner().invoke(application(), command)
    assert said.exit_code == 0, (said.output, said.exception)
    proposed = (root / "config.toml").read_text(encoding="utf-8")
    run(root, *(step.verb for step in STANDARD_STEPS))
    assert (root / "config.toml").read_text(encoding="utf-8") == proposed

    data = load(root).root / "data"
    scores = pd.read_parquet(data / "8_scores/scores.parquet").set_index("customer_id")["score"]
    snapshots = pd.read_parquet(data / "3_features/snapshots.parquet")
    newest = snapshots[snapshots["event_timestamp"] == snapshots["event_timestamp"].max()]
    guests = set(named(*(f"c{n}@shop.example" for n in range(0, 501, 4))))
    assert guests & set(scores.index)
    assert set(scores.index) - guests
    with open_desk(tmp_path, settings={"bundle": data / "7_bundle"}) as desk:
        for row in newest[newest["customer_id"].isin(scores.index)].head(3).to_dict("records"):
            customer = row.pop("customer_id")
            del row["event_timestamp"]
            features = {name: None if pd.isna(value) else value for name, value in row.items()}
            told = desk.score(customer, features).json()
            assert told["score"] == pytest.approx(scores[customer], abs=1e-5)
            assert told["reasons"]
