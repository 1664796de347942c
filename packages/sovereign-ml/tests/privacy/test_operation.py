"""What the decision log tells the flow: objectors leave it at the next run, and the card knows what reviewers did."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import pytest

from small_project import load, step
from sovereign_ml.config.settings import Settings
from sovereign_ml.decision_log import Draft, open_log
from sovereign_ml.decision_log.entries import BARS, Bar
from sovereign_ml.errors import Misuse
from sovereign_ml.pipeline import source
from sovereign_ml.privacy import objections
from sovereign_ml.pseudonyms import pseudonyms
from sovereign_ml.storage.artifacts import read_json

BUYER = "C0000002"


@pytest.fixture
def own(new_project) -> Settings:
    return load(new_project())


def objects(settings: Settings, customer: str, bar: Any = "objection") -> str:
    """The customer objects through the service, or is barred in another way."""
    (settings.root / ".churn").mkdir(exist_ok=True)
    log = open_log(f"sqlite:///{settings.root}/.churn/decisions.db")
    (name,) = pseudonyms([customer], settings.pseudonym_key())
    log.append([Draft(bar, "bar-1", name, "{}")])
    log.close()
    return name


def people(raw: Path) -> set[str]:
    return set(pd.read_parquet(raw / "transactions.parquet")["customer_id"])


def run_data(settings: Settings) -> Path:
    step("data", settings, source.refresh(settings), settings.path("raw"))
    return settings.path("raw")


@pytest.mark.parametrize("bar", BARS)
def test_who_is_barred_through_the_service_is_in_no_table_after_the_next_run(
    own: Settings, bar: str
) -> None:
    (name,) = pseudonyms([BUYER], own.pseudonym_key())
    before = own.path("source") if own.path("source").is_file() else source.refresh(own)
    pinned = before.read_text()
    assert name in people(run_data(own))
    objects(own, BUYER, bar)
    assert name not in people(run_data(own))
    assert own.path("source").read_text() != pinned
    assert read_json(own.path("raw") / "summary.json")["set_aside"][BARS[bar]] > 0


def test_who_is_no_longer_restricted_comes_back_and_a_log_that_knows_nothing_is_refused(
    own: Settings,
) -> None:
    name = objects(own, BUYER, "restriction")
    assert name not in people(run_data(own))
    pinned = own.path("source").read_text()
    log = open_log(f"sqlite:///{own.root}/.churn/decisions.db")
    log.append([Draft("restriction_lifted", "bar-1", name, '{"reason": "r", "informed_on": "d"}')])
    log.close()
    # A cluster runs on an image whose pinned input is from before the end of the restriction.
    step("data", own, own.path("source"), own.path("raw"))
    assert own.path("source").read_text() == pinned and name in people(own.path("raw"))
    for file in (own.root / ".churn").glob("decisions.db*"):
        file.unlink()
    open_log(f"sqlite:///{own.root}/.churn/decisions.db").close()
    with pytest.raises(Misuse, match="lists restrictions, but the decision log is not here"):
        step("data", own, own.path("source"), own.path("raw"))


def test_a_clone_without_the_log_runs_nothing_again_and_brings_nobody_back(own: Settings) -> None:
    objects(own, BUYER)
    run_data(own)
    pinned = own.path("source").read_text()
    (own.root / ".churn/decisions.db").unlink()
    assert source.refresh(own).read_text() == pinned
    with pytest.raises(Misuse, match="the decision log is not here"):
        step("data", own, own.path("source"), own.path("raw"))


def test_nobody_barred_is_scored_even_before_the_data_step_has_run_again(
    project: Path, scores: Path, tmp_path: Path
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(project, root, ignore=shutil.ignore_patterns(".mlflow", ".git"))
    settings = load(root)
    scored = pd.read_parquet(scores / "scores.parquet")["customer_id"]
    log = open_log(f"sqlite:///{root}/.churn/decisions.db")
    log.append(
        [
            Draft(bar, f"{bar}-1", who, "{}")
            for bar, who in zip(get_args(Bar), scored[:3], strict=True)
        ]
    )
    log.close()
    inputs = [settings.path(noun) for noun in ("bundle", "features", "valid")]
    step("score", settings, *inputs, settings.path("scores"))
    after = pd.read_parquet(settings.path("scores") / "scores.parquet")["customer_id"]
    assert set(scored) - set(after) == set(scored[: len(BARS)])


def test_the_card_is_told_what_reviewers_did(own: Settings) -> None:
    assert objections.facts(own.log_location) == {"review": {}, "decision": {}}
    (own.root / ".churn").mkdir(exist_ok=True)
    log = open_log(f"sqlite:///{own.root}/.churn/decisions.db")
    made = json.dumps({"score": 0.8, "reasons": ["recency raises the risk"]})
    for case, (override, seeded) in enumerate([(True, False), (False, False), (True, True)]):
        log.append([Draft("decision", f"case-{case}", "a" * 32, made, opens_review=True)])
        review = {"override": override, "seeded": seeded, "seconds": 30 + case, "reviewer": "desk"}
        log.append([Draft("review", f"case-{case}", "a" * 32, json.dumps(review))])
    log.close()
    found = objections.facts(own.log_location)
    assert found["review"]["cases"] == 2
    assert found["review"]["override_rate"] == 0.5
    assert found["review"]["median_seconds"] == 31
    assert found["review"]["seeded_error_catch_rate"] == 1.0
    assert found["decision"]["explanation_stored_with_decision"] is True
