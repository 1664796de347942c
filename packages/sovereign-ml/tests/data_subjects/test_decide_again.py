"""What a correction does to decisions on record: the receipt tells what the log took, and no decision goes without a note."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from bundles import contract, model, policy
from service_desk import FEATURES, LOYAL
from sovereign_ml.config.connections import LogLocation
from sovereign_ml.data_subjects import rectification
from sovereign_ml.data_subjects.rectification_receipt import decide_again
from sovereign_ml.decision_log import DecisionLog, Draft, open_log
from sovereign_ml.decision_log.entries import BARS
from sovereign_ml.model.explain import Explainer

PERSON, TEXT = "a" * 32, "Corrected on request: amount_eur"
ADDRESS = "sqlite:///{}/log.sqlite"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[DecisionLog]:
    """A log with one decision about the person, and the model that took it."""
    rules, scorecard = policy(), model()
    bundle = {"model": scorecard, "contract": contract(), "policy": rules}
    content = {name: part.model_dump(mode="json") for name, part in bundle.items()}
    decision = {
        "outcome": "offer",
        "score": Explainer(scorecard, contract(), rules).explain(FEATURES).score,
        "bundle": "bundle-1",
        "model_version": "acme-churn 3",
        "policy_version": "0a1b",
        "features": FEATURES,
    }
    opened = open_log(ADDRESS.format(tmp_path))
    opened.append(
        [
            Draft("bundle", "bundle-1", None, json.dumps(content)),
            Draft("decision", "case-1", PERSON, json.dumps(decision)),
        ]
    )
    yield opened
    opened.close()


def notes(log: DecisionLog, case: str = "case-1") -> list[str]:
    return [entry.kind for entry in log.of_case(case) if entry.kind == "rectification"]


def test_a_decision_is_taken_again_and_linked(log: DecisionLog) -> None:
    again, noted = decide_again(log, PERSON, LOYAL, TEXT)
    assert again and again.old == "case-1" and again.score_after != again.score_before
    assert noted == [] and notes(log) == ["rectification"]
    assert log.of_case(again.new)[0].kind == "decision"


@pytest.mark.parametrize("bar", BARS)
def test_nothing_is_said_to_be_decided_about_somebody_who_is_barred(
    log: DecisionLog, bar: str
) -> None:
    log.append([Draft(bar, "bar-1", PERSON, "{}")])  # type: ignore[arg-type]
    again, _ = decide_again(log, PERSON, LOYAL, TEXT)
    assert again is None and notes(log) == ["rectification"]


def test_a_model_with_an_input_that_the_project_has_dropped_decides_nothing(
    log: DecisionLog,
) -> None:
    few = dict(list(LOYAL.items())[1:])
    assert decide_again(log, PERSON, few, TEXT) == (None, ["case-1"])


def test_a_decision_gets_its_note_also_where_the_person_has_no_features_of_today(
    log: DecisionLog, tmp_path: Path
) -> None:
    log.close()
    (tmp_path / "summary.json").write_text('{"current": "2026-06-30T00:00:00"}')
    row = {"customer_id": PERSON, "event_timestamp": pd.Timestamp("2026-01-31"), **LOYAL}
    pd.DataFrame([row]).to_parquet(tmp_path / "snapshots.parquet")
    location = LogLocation("sqlite:///log.sqlite", ADDRESS.format(tmp_path))
    assert rectification._decide(tmp_path, location, [PERSON, "b" * 32], TEXT) == (
        None,
        ["case-1"],
    )
    reopened = open_log(ADDRESS.format(tmp_path))
    assert notes(reopened) == ["rectification"]
    reopened.close()
