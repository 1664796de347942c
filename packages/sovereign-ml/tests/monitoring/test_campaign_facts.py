"""The newest measured campaign on the card: what it says, and when it says nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sovereign_ml.card.schema.facts import CampaignFacts
from sovereign_ml.config.connections import LogLocation
from sovereign_ml.decision_log import DecisionLog, Draft
from sovereign_ml.decision_log.sqlite import SQLite
from sovereign_ml.monitoring import campaign
from sovereign_ml.monitoring.logged import read_decisions
from sovereign_ml.monitoring.reporting.campaign_facts import campaign_facts

KEY = b"k" * 32
SPRING, SUMMER = datetime(2026, 3, 1), datetime(2026, 6, 1)


class Outcomes:
    """Outcomes of people instead of transactions: known for those who were listed before June."""

    horizon_days = 30

    def __init__(self, effect: float) -> None:
        self.effect = effect
        self.asked = 0

    def churned(self, people: pd.DataFrame, days: int) -> Any:
        self.asked += 1
        rng = np.random.default_rng(4)
        chance = people["score"] - self.effect * (people["group"] == "treated")
        churned = (rng.random(len(people)) < chance).astype(float).to_numpy()
        return np.where(people["event_timestamp"] < SUMMER, churned, np.nan)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[DecisionLog]:
    times = iter([f"{day:%Y-%m-%dT%H:%M:%S.%fZ}" for day in (SPRING, SPRING, SUMMER, SUMMER)])
    with closing(DecisionLog(SQLite(tmp_path / "log.db"), clock=lambda: next(times))) as log:
        yield log


def location(tmp_path: Path) -> LogLocation:
    return LogLocation("sqlite:///log.db", f"sqlite:///{tmp_path / 'log.db'}")


def listed(log: DecisionLog, name: str) -> None:
    people = [f"{number:032x}" for number in range(2000)]
    score = np.random.default_rng(1).uniform(0.3, 0.9, len(people))
    scores = pd.DataFrame({"customer_id": people, "score": score, "model_version": "1"})
    usual = {"size": 2000, "value": "", "share": 0.3, "effect": 0.05, "key": KEY}
    campaign.draw(log, scores, name=name, **usual)  # type: ignore[arg-type]


def test_the_newest_campaign_with_known_outcomes_is_on_the_card(
    log: DecisionLog, tmp_path: Path
) -> None:
    listed(log, "spring-2026")
    listed(log, "summer-2026")
    found = CampaignFacts.model_validate(
        campaign_facts(location(tmp_path), lambda: Outcomes(0.1))  # type: ignore[arg-type,return-value]
    )
    assert (found.name, found.newer_open) == ("spring-2026", 1)
    assert f"{found.listed_on}" == "2026-03-01"
    assert found.low is not None
    assert found.high is not None
    assert found.low <= 0.1 <= found.high
    assert found.is_shown
    assert (found.treated, found.control) == ("1,000-9,999", "100-999")


def test_without_an_effect_the_card_claims_none(log: DecisionLog, tmp_path: Path) -> None:
    listed(log, "spring-2026")
    found = campaign_facts(location(tmp_path), lambda: Outcomes(0.0))  # type: ignore[arg-type,return-value]
    assert not CampaignFacts.model_validate(found).is_shown


def test_a_score_that_is_no_probability_does_not_count(log: DecisionLog, tmp_path: Path) -> None:
    scores = [0.5, 1.0, 1.7, float("nan"), "high", None]
    bodies = [json.dumps({"score": score, "outcome": "no_offer"}) for score in scores]
    log.append([Draft("decision", f"c-{n}", f"{n:032x}", body) for n, body in enumerate(bodies)])
    table = read_decisions(location(tmp_path), datetime(2027, 1, 1), 90)
    assert table is not None
    assert list(table.rows["score"]) == [0.5, 1.0]
    assert table.unusable == 3
    assert table.blanked == 0


def test_without_a_campaign_no_transaction_is_read(log: DecisionLog, tmp_path: Path) -> None:
    outcomes = Outcomes(0.1)

    def past() -> Any:
        outcomes.asked += 1
        return outcomes

    assert campaign_facts(location(tmp_path), past) == {}
    assert campaign_facts(LogLocation("sqlite:///log.db", ""), past) == {}
    assert outcomes.asked == 0
