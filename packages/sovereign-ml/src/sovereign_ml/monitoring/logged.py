"""Decisions in the decision log as rows of a table: person, time, score and outcome."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sovereign_ml.config.connections import LogLocation
from sovereign_ml.decision_log import Entry
from sovereign_ml.decision_log.evidence import counted, tally
from sovereign_ml.decisions.decision_policy import NO_DECISION
from sovereign_ml.privacy.objections import decision_log

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    *("customer_id", "event_timestamp", "score", "outcome"),
    *("control", "model_version", "features"),
)


@dataclass(frozen=True)
class DecisionTable:
    """Decisions with a score, one row each, and counts of other entries.

    ``contacts`` has who got an offer of a campaign, and when (UTC). ``blanked`` decisions are erased
    or expired, ``unusable`` ones have a score that is no probability, and ``strangers`` are about
    people whom the data do not have. ``reviews`` has figures of human review in the window.
    ``waiting_days`` is the age of the oldest case that nobody has decided.
    """

    rows: pd.DataFrame
    contacts: pd.DataFrame
    blanked: int
    unusable: int
    pending: int
    contests: int
    erasures: int
    objections: int
    reviews: dict[str, Any]
    waiting_days: float | None
    strangers: int = 0

    def among(self, customers: pd.DataFrame) -> DecisionTable:
        """Return the table without decisions about people who are not in ``customers``.

        No purchase of theirs can be seen, so each would count as a customer who left.
        """
        is_known = self.rows["customer_id"].isin(customers["customer_id"])
        return replace(
            self,
            rows=self.rows[is_known].reset_index(drop=True),
            strangers=int((~is_known).sum()),
        )


def read_decisions(
    location: LogLocation, as_of: datetime, window_days: int, *, with_features: bool = False
) -> DecisionTable | None:
    """Return the decisions up to ``as_of`` (UTC), None before there is a log.

    ``features`` are as they were served if ``with_features``. Of many decisions they take most of
    the memory.

    Reviews, contests, erasures and objections are those of the last ``window_days``: a desk that
    stopped working a year ago must not show a fine override rate today.
    """
    with decision_log(location) as log:
        if log is None:
            return None
        end = f"{as_of:%Y-%m-%dT%H:%M:%S}"
        begin = f"{as_of - timedelta(days=window_days):%Y-%m-%dT%H:%M:%S}"
        # One snapshot, or a review written in between would fit only one of the two tables.
        with log.snapshot() as tables:
            waiting = {row[1] for row in tables.open_reviews}
            entries = (Entry(*row) for row in tables.entries)
            # Times in the log are ISO texts in UTC, which sort like times.
            return _table(
                (entry for entry in entries if entry.at < end), begin, as_of, waiting, with_features
            )


def _table(
    entries: Iterable[Entry],
    begin: str,
    as_of: datetime,
    waiting: set[int],
    with_features: bool,
) -> DecisionTable:
    import pandas as pd

    cases: dict[str, list[Any]] = {}
    replaced: set[str] = set()
    others: dict[str, list[Entry]] = {"contact": [], "review": []}
    counts = dict.fromkeys(("blanked", "unusable", "contest", "erasure", "objection"), 0)
    oldest = ""
    for entry in entries:
        if entry.seq in waiting:
            oldest = oldest or entry.at
        if entry.kind in ("contest", "erasure", "objection") and entry.at >= begin:
            counts[entry.kind] += 1
        # Erasure and expiry blank the body and keep the entry.
        if entry.body is None:
            counts["blanked"] += entry.kind == "decision"
        elif entry.kind == "decision":
            body = json.loads(entry.body)
            # A correction counts in place of the decision that it corrects.
            if body.get("corrects"):
                replaced.add(body["corrects"])
            if _is_probability(body.get("score")):
                cases[entry.case_id] = _row(entry, body, with_features)
            else:
                counts["unusable"] += body.get("score") is not None
        elif entry.kind in others:
            others[entry.kind].append(entry)
    _review(cases, others["review"])
    rows = pd.DataFrame(
        [row for case, row in cases.items() if case not in replaced], columns=list(COLUMNS)
    )
    offers = pd.DataFrame(
        [
            (entry.subject, entry.at)
            for entry in others["contact"]
            if json.loads(entry.body or "{}")["group"] == "treated"
        ],
        columns=["customer_id", "contacted_at"],
    )
    for table, column in ((rows, "event_timestamp"), (offers, "contacted_at")):
        times = pd.to_datetime(table[column], utc=True, format="ISO8601")
        table[column] = times.dt.tz_localize(None).dt.as_unit("us")
    figures = tally(counted([entry for entry in others["review"] if entry.at >= begin]))
    waiting_days = None
    if oldest:
        began = datetime.fromisoformat(oldest).replace(tzinfo=None)
        waiting_days = (as_of - began) / timedelta(days=1)
    return DecisionTable(
        rows=rows[~rows["outcome"].isin(NO_DECISION)].reset_index(drop=True),
        contacts=offers,
        blanked=counts["blanked"],
        unusable=counts["unusable"],
        pending=int((rows["outcome"] == "pending_review").sum()),
        contests=counts["contest"],
        erasures=counts["erasure"],
        objections=counts["objection"],
        reviews={
            "cases": figures.cases,
            "override_rate": figures.override_rate,
            "median_seconds": figures.median_seconds,
            "seeded": figures.seeded,
            "caught": figures.caught,
        },
        waiting_days=waiting_days,
    )


def _review(cases: dict[str, list[Any]], reviews: Iterable[Entry]) -> None:
    """Put the outcomes of ``reviews`` into the rows of ``cases``."""
    for entry in reviews:
        body = json.loads(entry.body or "{}")
        # A planted case tests the reviewer, so its outcome is no decision about a person.
        if entry.case_id in cases and not body.get("seeded"):
            cases[entry.case_id][COLUMNS.index("outcome")] = body["outcome"]


def _row(entry: Entry, body: Mapping[str, Any], with_features: bool) -> list[Any]:
    return [
        entry.subject,
        entry.at,
        body["score"],
        body["outcome"],
        bool(body.get("control")),
        str(body.get("model_version", "")),
        body.get("features") if with_features else None,
    ]


def _is_probability(score: object) -> bool:
    # A script of a team may have written the entry. NaN is in no range.
    return isinstance(score, int | float) and 0 <= score <= 1
