"""The whole flow, from the shop to scores: its steps, DVC, Kubeflow and the service.

One file, because each worker of pytest would run the flow for itself.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pandas as pd
import pytest
import yaml
from sovereign_ml.config.settings import Settings
from sovereign_ml.config.tables import ValidateSettings
from sovereign_ml.errors import Refused
from sovereign_ml.pipeline.batch_scoring import ScoringGate
from sovereign_ml.pipeline.lineage import Lineage
from sovereign_ml.project import chosen_features

from churn.contract import FEATURES, TARGET, TRANSACTIONS
from churn.project import PROJECT
from churn.steps._2_validate import validate
from churn.steps._4_train import train
from churn.steps._8_score import score
from conftest import ROOT, Churn, environment

BOUNDED = next(column for column in TRANSACTIONS if isinstance(column.maximum, int | float))


def test_every_step_writes_its_artifact(flow: Path, settings: Settings) -> None:
    for step in PROJECT.steps:
        summary = json.loads((settings.path(step.writes) / "summary.json").read_text())
        assert summary["rows_out"] >= 0, step.verb
        assert summary["headline"], step.verb


def test_the_training_set_has_every_feature_and_the_label(flow: Path, settings: Settings) -> None:
    rows = pd.read_parquet(settings.path("features") / "training.parquet")
    chosen = [feature.name for feature in chosen_features(FEATURES, settings.features.inputs)]
    assert [*rows.columns] == ["customer_id", "event_timestamp", TARGET, *chosen]
    online = pd.read_parquet(settings.path("features") / "snapshots.parquet")
    assert [*online.columns] == ["customer_id", "event_timestamp", *chosen]
    assert set(rows[TARGET].unique()) == {0, 1}


def test_what_the_left_out_features_would_add_is_measured(flow: Path, settings: Settings) -> None:
    left_out = json.loads((settings.path("metrics") / "metrics.json").read_text())["left_out"]
    chosen = [feature.name for feature in chosen_features(FEATURES, settings.features.inputs)]
    rest = [feature.name for feature in FEATURES if feature.name not in chosen]
    assert (left_out["names"] if rest else []) == rest
    contract = json.loads((settings.path("bundle") / "contract.json").read_text())
    assert [feature["name"] for feature in contract["features"]] == chosen


def test_every_customer_has_a_score_a_band_and_reasons(flow: Path, settings: Settings) -> None:
    scores = pd.read_parquet(settings.path("scores") / "scores.parquet")
    assert len(scores)
    assert scores["score"].between(0, 1).all()
    assert set(scores["band"]) <= set(settings.score.bands)
    assert scores["reason_1"].notna().all()
    assert scores["customer_id"].is_unique


def test_what_is_unchanged_is_not_run_again(flow: Path, settings: Settings, churn: Churn) -> None:
    scores = settings.path("scores") / "scores.parquet"
    before = scores.stat().st_mtime_ns
    assert churn("run").returncode == 0
    # By its time, because a step that runs again writes the same bytes.
    assert scores.stat().st_mtime_ns == before


def test_the_stages_of_dvc_are_up_to_date(churn: Churn) -> None:
    done = churn("stages", "--check")
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(
    not (ROOT / "src/churn/pipeline.py").is_file(), reason="a project without Kubeflow"
)
def test_the_pipeline_has_one_task_for_each_step(churn: Churn, small: Path) -> None:
    done = churn("kubeflow", "compile", "build/pipeline.yaml")
    assert done.returncode == 0, done.stderr
    first, *_ = yaml.safe_load_all((small / "build/pipeline.yaml").read_text())
    tasks = first["root"]["dag"]["tasks"].values()
    assert [task["taskInfo"]["name"] for task in tasks]
    assert len(tasks) == len(PROJECT.steps)
    for step in PROJECT.steps:
        assert any(step.verb in task["taskInfo"]["name"] for task in tasks), step.verb


def test_the_answers_of_the_model_card_fit_its_questions(churn: Churn, small: Path) -> None:
    shutil.copy(ROOT / "model_card.toml", small / "model_card.toml")
    try:
        done = churn("card", "--open")
    finally:
        # The other tests use the same copy, which has no answers.
        (small / "model_card.toml").write_text("", encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert "questions answered" in done.stdout


def test_the_service_answers(flow: Path, settings: Settings) -> None:
    with socket.socket() as free:
        # Port 0 lets the system choose one that is free.
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "sovereign_ml.service", "--port", str(port)]
    variables = environment(flow) | {
        "BUNDLE_DIR": str(settings.path("bundle")),
        "CHURN_LOG": f"sqlite:///{flow.parent / 'decisions.db'}",
    }
    with subprocess.Popen(
        command, cwd=ROOT / "serve", env=variables, stderr=subprocess.PIPE, text=True
    ) as service:
        try:
            assert _answer(service, f"http://127.0.0.1:{port}/healthz") == 200
        finally:
            service.terminate()


def _answer(service: subprocess.Popen[str], address: str) -> int:
    """Return the status of the first answer. Fails where the service ends instead."""
    for _ in range(600):
        if service.poll() is not None:
            pytest.fail(f"The service ended: {service.stderr and service.stderr.read()}")
        try:
            with urlopen(address) as answer:
                return int(answer.status)
        except URLError:
            time.sleep(0.1)
    pytest.fail("The service did not answer within a minute.")


# Each step refuses what it must, and says why.


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
