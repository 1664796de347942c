"""Each step refuses what it must, and says why."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from sovereign_ml.config.settings import Settings
from sovereign_ml.config.tables import ValidateSettings
from sovereign_ml.errors import Refused
from sovereign_ml.pipeline.batch_scoring import ScoringGate
from sovereign_ml.pipeline.lineage import Lineage

from churn.contract import TRANSACTIONS
from churn.steps._2_validate import validate
from churn.steps._4_train import train
from churn.steps._8_score import score

BOUNDED = next(column for column in TRANSACTIONS if isinstance(column.maximum, int | float))


@pytest.fixture
def spoiled(flow: Path, settings: Settings, tmp_path: Path) -> Path:
    """Return the raw data with one value outside its range."""
    raw = tmp_path / "raw"
    shutil.copytree(settings.path("raw"), raw)
    table = pd.read_parquet(raw / "transactions.parquet")
    # Amounts are decimals in the file, and pyarrow writes no column that mixes them with a float.
    table[BOUNDED.name] = table[BOUNDED.name].astype("float64")
    table.loc[0, BOUNDED.name] = float(BOUNDED.maximum or 0) + 1
    table.to_parquet(raw / "transactions.parquet", index=False)
    return raw


def test_validate_rejects_a_bad_row_with_its_reason(
    spoiled: Path, settings: Settings, tmp_path: Path
) -> None:
    config = ValidateSettings(max_rejected_share=1)
    validate(spoiled, tmp_path / "valid", config=config, project=settings.project)
    rejected = pd.read_parquet(tmp_path / "valid/rejected_transactions.parquet")
    reasons = rejected.loc[rejected[BOUNDED.name] > BOUNDED.maximum, "expectation"]
    assert list(reasons.unique()) == [f"expect_column_values_to_be_between({BOUNDED.name})"]
    valid = pd.read_parquet(tmp_path / "valid/transactions.parquet")
    assert not (valid[BOUNDED.name] > BOUNDED.maximum).any()
    rows = pd.read_parquet(spoiled / "transactions.parquet")
    assert len(valid) + len(rejected) == len(rows)


def test_validate_refuses_when_too_many_rows_are_bad(
    spoiled: Path, settings: Settings, tmp_path: Path
) -> None:
    config = ValidateSettings(max_rejected_share=0)
    with pytest.raises(Refused, match="break the contract"):
        validate(spoiled, tmp_path / "valid", config=config, project=settings.project)
    assert not (tmp_path / "valid").exists()
    assert (tmp_path / "valid_refused/report.html").is_file()


def test_train_refuses_too_few_customers(flow: Path, settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="min_customers"):
        train(
            settings.path("features"),
            tmp_path / "model",
            config=settings.train.model_copy(update={"min_customers": 10**6}),
            windows=settings.features,
            tracking=settings.tracking,
            lineage=Lineage(settings.root),
        )
    assert not (tmp_path / "model").exists()


def test_a_customer_who_objects_is_scored_no_more(
    flow: Path, settings: Settings, tmp_path: Path
) -> None:
    everyone = set(pd.read_parquet(settings.path("scores") / "scores.parquet")["customer_id"])
    # A set has no order, and a failure has to be repeatable.
    objector = min(everyone)
    valid = tmp_path / "valid"
    shutil.copytree(settings.path("valid"), valid)
    people = pd.read_parquet(valid / "customers.parquet")
    people.loc[people["customer_id"] == objector, "objected_at"] = pd.Timestamp.now("UTC")
    people.to_parquet(valid / "customers.parquet", index=False)
    gate = ScoringGate(settings.data.asks_consent, settings.log_location, old_features=True)
    score(
        settings.path("bundle"),
        settings.path("features"),
        valid,
        tmp_path / "scores",
        gate=gate,
    )
    scored = set(pd.read_parquet(tmp_path / "scores/scores.parquet")["customer_id"])
    assert scored == everyone - {objector}
