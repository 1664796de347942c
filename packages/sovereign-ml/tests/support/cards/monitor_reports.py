"""Reports of the monitor with something in every section."""

from __future__ import annotations

from datetime import date
from typing import Any

from sovereign_ml.monitoring.alarms import AlarmRecord
from sovereign_ml.monitoring.comparison import Comparison, FeatureChange
from sovereign_ml.monitoring.judgement import RULES, RuleState
from sovereign_ml.monitoring.outcomes import Cohort, EarlyLook, RealisedFigures
from sovereign_ml.monitoring.page import page
from sovereign_ml.monitoring.population import FeatureProfile, PopulationProfile, Reference
from sovereign_ml.monitoring.reporting.stored_reports import MonitorReport
from sovereign_ml.monitoring.sequence import Look

DAY = date(2026, 6, 1)
EMPTY = dict.fromkeys(
    ("weeks", "early", "looks", "realised", "fairness", "not_known", "alarms"), ()
) | {"groups_now": {}, "people": {}, "status": "ok"}
"""Before the first decision."""


def state(rule: str, status: str) -> RuleState:
    """Return the state of a rule on `DAY`."""
    kind, name, todo, source = RULES[rule]
    values = {"rule": rule, "kind": kind, "name": name, "status": status, "found": "found"}
    rest = {"limit": "limit", "since": f"{DAY}", "todo": todo, "source": source}
    return RuleState.model_validate(values | rest)


def a_reference() -> Reference:
    """Return a reference with one feature."""
    feature = FeatureProfile(missing=0.1, beyond=0.0, unseen=0.0, mean=0.2, quantiles=(0.1, 0.3))
    return Reference(
        customers=1000,
        mean_score=0.54,
        mean_log_odds=0.2,
        log_odds=(0.1, 0.3),
        features={"recency_days": feature},
        day=DAY,
        base_rate=0.53,
        limits={"recency_days": 120.0},
        early={7: 0.4},
        groups={"country": {"DE": 0.4}},
    )


def people_of_today() -> PopulationProfile:
    """Return the people whom `a_report` compares with `a_reference`."""
    feature = FeatureProfile(missing=0.3, beyond=0.0, unseen=0.0, mean=0.19, quantiles=(0.1, 0.28))
    return PopulationProfile(
        customers=900,
        mean_score=0.55,
        mean_log_odds=0.22,
        log_odds=(0.1, 0.28),
        features={"recency_days": feature},
    )


def a_page(**changes: Any) -> str:
    """Return the page of `a_report`."""
    card = {"roc_auc": {"value": 0.72}}
    return page(a_report(**changes), a_reference(), people_of_today(), card)


def a_report(**changes: Any) -> MonitorReport:
    """Return a report with one unanswered alarm about missing values."""
    broken = state("missing", "alarm")
    interval = {"value": 0.7, "low": 0.65, "high": 0.75}
    figures = dict.fromkeys(("roc_auc", "brier", "calibration_slope"), interval)
    feature = FeatureChange(shift=0.02, mean=-0.01, missing=0.2, beyond=0.0, unseen=0.0)
    gap = {"group": "country", "metric": "tpr_difference", "value": 0.12}
    values = {
        "day": f"{DAY}",
        "made_at": "2026-06-02T04:30:00Z",
        "status": "alarm",
        "model_version": "3",
        "reference_day": "2026-05-01",
        "source": "decision log",
        "states": (broken, state("shift", "watch")),
        "comparison": Comparison(
            customers=900,
            volume=-0.1,
            age_days=0.4,
            score_shift=0.05,
            mean_score=0.55,
            mean_log_odds=0.02,
            features={"recency_days": feature},
        ),
        "weeks": (
            Cohort(week="2026-04-20", n=300, open=0, expected=0.55, observed=0.52),
            Cohort(week="2026-04-27", n=310, open=0, expected=0.54, observed=0.55),
            Cohort(week="2026-05-25", n=280, open=280, expected=0.56, observed=None),
        ),
        "early": (
            EarlyLook(
                day=7,
                decided="2026-05-25",
                n=280,
                expected=60.0,
                observed=58.0,
                z=-0.3,
                estimate=0.57,
            ),
        ),
        "looks": (Look("2026-04-27", 610, 0.545, 0.535, 0.4, 0.9),),
        "realised": tuple(
            RealisedFigures(who=who, n=600, expected=0.55, observed=0.54, figures=figures)
            for who in ("untreated", "treated")
        ),
        "fairness": ((gap,), (gap,)),
        "groups_then": {"country": {"DE": 0.4}},
        "groups_now": {"country": {"DE": 0.42, "FR": 0.2}},
        "people": {
            "cases": 12,
            "override_rate": 0.25,
            "median_seconds": 40.0,
            "seeded": 4,
            "caught": 3,
            "contests": 1,
            "waiting_days": 3.0,
            "erasures": 1,
            "objections": 2,
            "window_days": 90,
        },
        "rejected_share": 0.01,
        "not_known": ("280 of 890 decisions are younger than the horizon.",),
        "alarms": (
            AlarmRecord(
                id=f"A-{DAY}-missing",
                rule="missing",
                kind="data",
                name=broken.name,
                opened=DAY,
                found=broken.found,
                limit=broken.limit,
                todo=broken.todo,
                model_version="3",
            ),
        ),
    }
    return MonitorReport.model_validate(values | changes)
