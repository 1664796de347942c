"""Reports of the monitor on disk, and what the model card takes from the newest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from sovereign_ml.monitoring import alarms, outcomes
from sovereign_ml.monitoring.comparison import Comparison
from sovereign_ml.monitoring.judgement import RuleState
from sovereign_ml.monitoring.sequence import Look

FOLDER = Path("data/9_monitoring")
REPORT = "monitor.json"
Source = Literal["decision log", "past days computed anew"]
LOG: Source = "decision log"


class MonitorReport(BaseModel):
    """``monitor.json``: aggregates only, with small groups left out."""

    model_config = ConfigDict(frozen=True)

    schema_version: Literal["1"] = "1"
    day: str
    made_at: str
    status: Literal["ok", "watch", "alarm"]
    model_version: str
    reference_day: str
    source: Source
    states: tuple[RuleState, ...]
    comparison: Comparison
    weeks: tuple[outcomes.Cohort, ...]
    early: tuple[outcomes.EarlyLook, ...]
    looks: tuple[Look, ...]
    realised: tuple[outcomes.RealisedFigures, ...]
    fairness: tuple[tuple[dict[str, Any], ...], ...]
    groups_then: dict[str, dict[str, float]]
    groups_now: dict[str, dict[str, float]]
    people: dict[str, Any]
    rejected_share: float
    rejected: dict[str, int] = {}
    """Rows that step 2 rejected, by rule."""
    tolerance: float = 0.0
    next_outcomes: str | None = None
    """Day on which the next open outcome is known, None if none is open."""
    not_known: tuple[str, ...]
    alarms: tuple[alarms.AlarmRecord, ...]


def reports(root: Path) -> Iterator[MonitorReport]:
    """Yield the reports on disk, newest first, without those of an incompatible release."""
    # A run that was killed may leave a hidden folder, whose report does not count.
    for path in sorted((root / FOLDER).glob(f"[0-9]*/{REPORT}"), reverse=True):
        # The error of a model in pydantic is a ValueError too.
        with suppress(ValueError):
            yield MonitorReport.model_validate_json(path.read_bytes())


def newest_report(root: Path) -> MonitorReport | None:
    """Return the newest report, None before the first."""
    return next(reports(root), None)


def card_facts(root: Path) -> dict[str, dict[str, Any]]:
    """Return the monitor's part of the card: ``figures`` for the evaluation, and ``facts``."""
    report = newest_report(root)
    waiting = alarms.unanswered(root)
    if report is None:
        return {"figures": {}, "facts": {}}
    figures = {
        "largest_feature_shift": round(report.comparison.largest[1], 4),
        "score_shift": round(report.comparison.score_shift, 4),
    }
    if report.looks:
        last = report.looks[-1]
        figures |= {
            "observed_rate": round(last.observed, 4),
            "predicted_rate": round(last.expected, 4),
            "evidence": round(max(last.more, last.fewer), 3),
        }
    return {
        "figures": figures,
        "facts": {
            "last_run_on": report.made_at[:10],
            "status": report.status,
            "model_version": report.model_version,
            "unanswered": [record.id for record in waiting],
            "oldest_unanswered_on": min((record.opened for record in waiting), default=None),
        },
    }
