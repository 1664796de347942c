"""Simulations for the benchmark of the monitor: histories with shocks, and campaigns."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sovereign_ml.config.monitoring import MonitorSettings
from sovereign_ml.decision_log import DecisionLog
from sovereign_ml.decision_log.sqlite import SQLite
from sovereign_ml.monitoring import campaign
from sovereign_ml.monitoring.past_days import PastDays
from sovereign_ml.monitoring.sequence import EDetector

HISTORIES, MONTHS, PEOPLE, SHOCK = 2_000, 24, 1_500, 0.02
BIAS_FROM = 12
BIASES = (-0.08, -0.05)
PREDICTED = (0.2, 0.9)
"""Ends of the uniform distribution of predictions."""
WANTED, MOST_FALSE = 0.99, 0.05
"""Share of biases that should be found within a month, and of histories with a false alarm."""
CAMPAIGNS, LISTED, CONTROL, EFFECT = 100, 2_000, 0.3, 0.08
DRAWN_AT = datetime(2026, 5, 1)


def histories() -> dict[str, Any]:
    """Return the share of histories with a false alarm, and the delay until a bias is found.

    Predictions are uniform on .2 to .9. Each month has a shock of its own, normal with a standard
    deviation of two points. From month 12 on all rates are off by the bias.
    """
    healthy = _first_alarms(0.0)
    return {
        "histories": HISTORIES,
        "months": MONTHS,
        "people": PEOPLE,
        "shock": SHOCK,
        "false_alarms": float(np.mean([month is not None for month in healthy])),
        "biases": [_delays(bias) for bias in BIASES],
        "limits": _limits(),
    }


def _limits() -> dict[str, float]:
    """Return what no test can do better on two months with a bias of eight points either way.

    By Neyman and Pearson the best test of two months is one of their mean gap. A bias may begin in
    any month, so 24 months have twelve pairs that each may give a false alarm.
    """
    from scipy.stats import norm

    low, high = PREDICTED
    middle, width = (low + high) / 2, high - low
    one_person = middle - middle**2 - width**2 / 12
    spread = np.sqrt((SHOCK**2 + one_person / PEOPLE) / 2)
    pairs, bias = MONTHS // 2, abs(BIASES[0])
    in_pair = 2 * norm.sf(bias / spread - norm.isf(1 - WANTED))
    allowed = 1 - (1 - MOST_FALSE) ** (1 / pairs)
    return {
        "least_false_alarms": float(1 - (1 - in_pair) ** pairs),
        "most_in_one_month": float(norm.sf(norm.isf(allowed / 2) - bias / spread)),
    }


def _delays(bias: float) -> dict[str, float]:
    first = _first_alarms(bias)
    # A false alarm before the bias began says nothing about the time to find it.
    fair = [month for month in first if month is None or month >= BIAS_FROM]
    waits = [MONTHS if month is None else month - BIAS_FROM for month in fair]
    return {
        "bias": bias,
        "same_month": float(np.mean([wait == 0 for wait in waits])),
        "one_month": float(np.mean([wait <= 1 for wait in waits])),
        "two_months": float(np.mean([wait <= 2 for wait in waits])),
        "median_months": float(np.median(waits)),
        "missed": float(np.mean([wait == MONTHS for wait in waits])),
    }


def _first_alarms(bias: float) -> list[int | None]:
    """Return the month of the first alarm of each history, or None."""
    rng, limits = np.random.default_rng(7), MonitorSettings()
    first: list[int | None] = []
    for _ in range(HISTORIES):
        detector = EDetector(limits.tolerance, limits.looks_per_false_alarm)
        alarmed = None
        for month in range(MONTHS):
            predicted = rng.uniform(*PREDICTED, PEOPLE)
            rate = predicted + rng.normal(0, SHOCK) + (bias if month >= BIAS_FROM else 0.0)
            churned = (rng.random(PEOPLE) < np.clip(rate, 0, 1)).astype(float)
            if detector.look(f"{month}", churned, predicted):
                alarmed = month
                break
        first.append(alarmed)
    return first


class Buyers:
    """A shop after a campaign: who stays buys once in the horizon, and nobody else does."""

    def __init__(self, past: PastDays) -> None:
        self.past = past
        rows = past.connection.execute(
            "SELECT DISTINCT CAST(customer_id AS VARCHAR) AS customer_id FROM lines WHERE ts < ? "
            "ORDER BY 1",
            [DRAWN_AT],
        ).df()
        people = rows["customer_id"].head(LISTED)
        rng = np.random.default_rng(5)
        score = rng.uniform(0.3, 0.9, len(people))
        self.scores = pd.DataFrame(
            {"customer_id": people, "score": score, "model_version": "1"}
        ).reset_index(drop=True)

    def outcomes(self, rng: np.random.Generator, name: str, effect: float, key: bytes) -> None:
        """Let people buy after the list: churn follows the score, less ``effect`` if treated."""
        people = self.scores["customer_id"]
        control = np.array([campaign.is_control(key, name, person, CONTROL) for person in people])
        chance = self.scores["score"].to_numpy() - effect * ~control
        stays = rng.random(len(people)) >= np.clip(chance, 0, 1)
        days = rng.uniform(0.1, self.past.horizon_days - 0.1, int(stays.sum()))
        times = pd.to_datetime(DRAWN_AT) + pd.to_timedelta(days, unit="D")
        # One purchase after the horizon ends it for everybody.
        last = DRAWN_AT + timedelta(days=self.past.horizon_days + 3)
        rows = pd.DataFrame({"customer_id": people[stays], "ts": times})
        rows.loc[len(people)] = [people[0], pd.Timestamp(last)]
        connection = self.past.connection
        connection.execute("DELETE FROM lines WHERE ts >= ?", [DRAWN_AT])
        connection.register("bought_", rows)
        connection.execute(
            "INSERT INTO lines SELECT CAST(customer_id AS customer), CAST(ts AS TIMESTAMP), 10, "
            "(SELECT min(category) FROM lines), NULL FROM bought_"
        )
        connection.unregister("bought_")
        self.past.forget_from(None)


def campaigns(past: PastDays, folder: Path) -> dict[str, Any]:
    """Draw lists into a real log, and measure a known effect, and none, by the command's own code.

    Every campaign has its own control group. Outcomes come from transactions, by the label of the
    project.
    """
    key, rng = b"k" * 32, np.random.default_rng(3)
    buyers = Buyers(past)
    clock = f"{DRAWN_AT:%Y-%m-%dT%H:%M:%S.%fZ}"
    results: dict[float, list[campaign.Uplift]] = {EFFECT: [], 0.0: []}
    for number in range(CAMPAIGNS):
        name = f"trial-{number}"
        with closing(DecisionLog(SQLite(folder / f"{name}.db"), clock=lambda: clock)) as log:
            campaign.draw(
                log,
                buyers.scores,
                name=name,
                size=LISTED,
                value="",
                share=CONTROL,
                effect=EFFECT,
                key=key,
            )
            for effect, uplifts in results.items():
                buyers.outcomes(rng, name, effect, key)
                outcome = campaign.result(log, past, name, customer_value=80, cost=1)
                uplifts.append(outcome.uplift)
    known, none = results[EFFECT], results[0.0]
    covered = sum(each.adjusted_low <= EFFECT <= each.adjusted_high for each in known)
    plain = sum(each.low <= EFFECT <= each.high for each in known)
    return {
        "campaigns": CAMPAIGNS,
        "people": len(buyers.scores),
        "control_share": CONTROL,
        "effect": EFFECT,
        "covered": covered,
        "covered_plain": plain,
        "mean_estimate": float(np.mean([each.adjusted for each in known])),
        "shown": sum(each.is_shown for each in known),
        "none_called_effect": sum(each.is_shown for each in none),
        "width_against_plain": float(
            np.mean([(e.adjusted_high - e.adjusted_low) / (e.high - e.low) for e in known])
        ),
    }
