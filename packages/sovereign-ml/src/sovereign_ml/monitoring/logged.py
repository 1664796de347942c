"""Decisions on record as rows of a table: what was decided about whom, when, and with which score."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sovereign_ml.config.connections import LogLocation
from sovereign_ml.decision_log import Entry
from sovereign_ml.decision_log.evidence import counted, tally
from sovereign_ml.decisions.decision_policy import NO_DECISION
from sovereign_ml.privacy.objections import decision_log

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DecisionTable", "read_decisions"]

COLUMNS = (
    "customer_id",
    "event_timestamp",
    "score",
    "outcome",
    "control",
    "model_version",
    "features",
)


@dataclass(frozen=True)
class DecisionTable:
    """Decisions with a score, one row each, and counts of what else is on record.

    ``blanked`` are erased or expired. ``reviews`` are figures of human review in the window, and
    ``waiting_days`` the age of the oldest case that nobody has decided.
    """

    rows: pd.DataFrame
    blanked: int
    pending: int
    contests: int
    erasures: int
    objections: int
    reviews: dict[str, Any]
    waiting_days: float | None


def read_decisions(
    location: LogLocation, as_of: datetime, window_days: int
) -> DecisionTable | None:
    """Return what the decision log says up to ``as_of`` (UTC); None before there is a log.

    Reviews, contests, erasures and objections are those of the last ``window_days``: a desk that
    stopped working a year ago must not show a fine override rate today.
    """
    with decision_log(location) as log:
        if log is None:
            return None
        end = f"{as_of:%Y-%m-%dT%H:%M:%S}"
        begin = f"{as_of - timedelta(days=window_days):%Y-%m-%dT%H:%M:%S}"
        with log.snapshot() as tables:
            waiting = {row[1] for row in tables.open_reviews}
            entries = (Entry(*row) for row in tables.entries)
            return _table((entry for entry in entries if entry.at < end), begin, as_of, waiting)


def _table(
    entries: Iterable[Entry], begin: str, as_of: datetime, waiting: set[int]
) -> DecisionTable:
    import pandas as pd

    made: dict[str, list[Any]] = {}
    replaced: set[str] = set()
    reviews: list[Entry] = []
    counts = dict.fromkeys(("blanked", "contest", "erasure", "objection"), 0)
    oldest = ""
    for entry in entries:
        if entry.seq in waiting:
            oldest = oldest or entry.at
        if entry.kind in counts and entry.at >= begin:
            counts[entry.kind] += 1
        if entry.body is None:
            counts["blanked"] += entry.kind == "decision"
        elif entry.kind == "decision":
            body = json.loads(entry.body)
            if body.get("corrects"):
                replaced.add(body["corrects"])
            if body.get("score") is not None:
                made[entry.case_id] = [
                    entry.subject,
                    entry.at,
                    body["score"],
                    body["outcome"],
                    bool(body.get("control")),
                    str(body.get("model_version", "")),
                    body.get("features"),
                ]
        elif entry.kind == "review":
            body = json.loads(entry.body)
            if entry.case_id in made and not body.get("seeded"):
                made[entry.case_id][3] = body["outcome"]
            if entry.at >= begin:
                reviews.append(entry)
    rows = pd.DataFrame(
        [row for case, row in made.items() if case not in replaced], columns=list(COLUMNS)
    )
    times = pd.to_datetime(rows["event_timestamp"], utc=True, format="ISO8601")
    rows["event_timestamp"] = times.dt.tz_localize(None).dt.as_unit("us")
    seen = tally(counted(reviews))
    return DecisionTable(
        rows=rows[~rows["outcome"].isin(NO_DECISION)].reset_index(drop=True),
        blanked=counts["blanked"],
        pending=int((rows["outcome"] == "pending_review").sum()),
        contests=counts["contest"],
        erasures=counts["erasure"],
        objections=counts["objection"],
        reviews={
            "cases": seen.cases,
            "override_rate": seen.override_rate,
            "median_seconds": seen.median_seconds,
            "seeded": seen.seeded,
            "caught": seen.caught,
        },
        waiting_days=_age(oldest, as_of) if oldest else None,
    )


def _age(at: str, as_of: datetime) -> float:
    began = datetime.fromisoformat(at).replace(tzinfo=None)
    return (as_of - began).total_seconds() / 86_400
