"""Comparison of the runs that both tracks hold, from a dump and from MLflow."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sovereign_ml.config.connections import Tracking
from sovereign_ml.data_subjects.stores import mlflow_runs
from sovereign_ml.data_subjects.stores.mlflow_runs import ARN_TAG
from sovereign_ml.leaving.both_tracks.new_track import LOST, TRACKER
from sovereign_ml.leaving.dump import Dump
from sovereign_ml.leaving.minimise import Minimiser
from sovereign_ml.leaving.runs import STATE_TAG, past_runs
from sovereign_ml.registry import mlflow
from sovereign_ml.registry.mlflow import ImportedRun

WITHIN_MS = 2000
"""Largest difference of a start or an end. The two tracks read the clock one after the other."""


@dataclass(frozen=True)
class TrackDifference:
    """A difference of one run, in words without its values."""

    run: str
    what: str


@dataclass
class TrackComparison:
    """Runs in both tracks, their differences, and the runs in one track only.

    ``streak`` counts the newest runs without a difference, ``since`` is the start of the first.
    """

    compared: int = 0
    differences: list[TrackDifference] = field(default_factory=list)
    only_there: list[str] = field(default_factory=list)
    only_here: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    streak: int = 0
    since: datetime | None = None

    @property
    def verdict(self) -> str:
        """Return "same", "differs", or "not shown" if no run is in both."""
        if self.differences or self.only_there or self.only_here:
            return "differs"
        return "same" if self.compared else "not shown"

    def is_enough(self, runs: int, days: int, now: datetime) -> bool:
        """Return whether ``runs`` runs or ``days`` days in a row show no difference."""
        long_since = self.since is not None and (now - self.since).days >= days
        return self.streak >= runs or long_since


def compare_tracks(dump: Dump, tracking: Tracking, minimiser: Minimiser) -> TrackComparison:
    """Compare every finished run that the tracker wrote to MLflow with the dump.

    Runs that ended before the tracker was used are not compared.
    """
    tracked = {
        run.data.tags[ARN_TAG]: run
        for run in mlflow_runs.brought_runs(tracking)
        if TRACKER in run.data.tags
    }
    result = TrackComparison()
    if not tracked:
        return result
    first = min(run.info.start_time for run in tracked.values())
    there = {run.tags[ARN_TAG]: run for _, run in past_runs(dump, tracking.project, minimiser)}
    outcomes: list[tuple[int, bool]] = []
    for mark, old in sorted(there.items(), key=lambda row: row[1].start):
        new = tracked.get(mark)
        if not old.status:
            result.skipped["not finished when the dump was made"] += 1
        elif new is not None:
            found = [TrackDifference(old.name, what) for what in _differences(tracking, old, new)]
            result.compared += 1
            result.differences += found
            outcomes.append((old.start, not found))
        # Jobs are no runs of the script: SageMaker alone records them.
        elif old.start >= first and old.tags["sagemaker.kind"] == "TrialComponent":
            result.only_there.append(old.name)
            outcomes.append((old.start, False))
    made = int(dump.made.timestamp() * 1000)
    for mark, new in tracked.items():
        if mark not in there and new.info.start_time < made:
            result.only_here.append(new.info.run_name)
            outcomes.append((new.info.start_time, False))
        elif mark not in there:
            result.skipped["younger than the dump"] += 1
    for start, same in sorted(outcomes, reverse=True):
        if not same:
            break
        result.streak += 1
        result.since = datetime.fromtimestamp(start / 1000, UTC)
    return result


def _differences(tracking: Tracking, old: ImportedRun, new: Any) -> Iterator[str]:
    lost = new.data.tags.get(LOST)
    state = new.data.tags.get(STATE_TAG)
    if state != "done":
        calls = f", {lost} calls are not in MLflow" if lost else ""
        yield f"MLflow's track is {'incomplete' if lost else 'not finished'}{calls}"
    if new.info.status != old.status and state == "done":
        yield f"status: {old.status} in SageMaker, {new.info.status} in MLflow"
    for word, here, there in (
        ("start", new.info.start_time, old.start),
        ("end", new.info.end_time, old.end),
    ):
        if here and abs(here - there) > WITHIN_MS:
            yield f"{word}: {abs(here - there) / 1000:,.1f} s apart"
    yield from _of_params(old.params, new.data.params)
    yield from _of_metrics(tracking, old, new)


def _of_params(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield f"parameter {name}: only in SageMaker"
        elif name not in old:
            yield f"parameter {name}: only in MLflow"
        elif not _equal(old[name], new[name]):
            yield f"parameter {name}: another value"


def _equal(old: str, new: str) -> bool:
    if old == new:
        return True
    try:
        # SageMaker stores a number as a double, and writes it in another way than the script did.
        return math.isclose(float(old), float(new), rel_tol=1e-12)
    except ValueError:
        return False


def _of_metrics(tracking: Tracking, old: ImportedRun, new: Any) -> Iterator[str]:
    api = mlflow.client(tracking)
    points: dict[str, list[tuple[int, int, float]]] = {}
    for name, value, at, step in old.points:
        points.setdefault(name, []).append((step, at, value))
    for name in sorted(points.keys() | new.data.metrics.keys()):
        if name not in new.data.metrics:
            yield f"metric {name}: only in SageMaker"
            continue
        if name not in points:
            yield f"metric {name}: only in MLflow"
            continue
        # A point begins with step and time, so the largest is the last one, as MLflow counts too.
        if not math.isclose(max(points[name])[2], new.data.metrics[name], rel_tol=1e-9):
            yield f"metric {name}: another last value"
        history = len(api.get_metric_history(new.info.run_id, name))
        # A dump without curves has the number of points in the summary.
        count = old.tags.get(f"metric.{name}.count", "")
        number = int(float(count)) if count and len(points[name]) == 1 else len(points[name])
        if number != history:
            yield f"metric {name}: {number:,} points in SageMaker, {history:,} in MLflow"
