"""Customers of any past day and their later events, by the project's own point-in-time SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sovereign_ml.config.tables import FeatureSettings, LabelKind
from sovereign_ml.errors import Misuse
from sovereign_ml.features import event_tables
from sovereign_ml.model.scorecard import Floats
from sovereign_ml.project import Project
from sovereign_ml.storage.artifacts import need

if TYPE_CHECKING:
    import pandas as pd

NEEDED = ("load", "compute", "label", "history")


class PastDays:
    """The valid transactions before ``as_of``. Later ones are unknown on that day.

    All times are UTC without a zone, as in the project's SQL.
    """

    def __init__(
        self,
        project: Project,
        valid: Path,
        config: FeatureSettings,
        kind: LabelKind,
        as_of: datetime | None = None,
    ) -> None:
        self._sql: Any = project.module("features")
        if lacking := [name for name in NEEDED if not hasattr(self._sql, name)]:
            raise Misuse(
                f"src/{project.package}/features.py lacks {', '.join(lacking)}(): the monitor "
                "computes the features of past days with it."
            )
        self._config, self._kind = config, kind
        self.connection = self._sql.load(need(valid, "validate"), kind)
        self.oldest_event: datetime
        self.newest_event: datetime
        self.forget_from(as_of)

    def forget_from(self, moment: datetime | None) -> None:
        """Delete the events at ``moment`` or later, as if nobody knew them yet."""
        if moment is not None:
            self.connection.execute("DELETE FROM lines WHERE ts >= ?", [moment])
            event_tables.forget_from(self.connection, moment)
        self.oldest_event, self.newest_event = self._sql.history(self.connection)

    @property
    def horizon_days(self) -> int:
        """Return the number of days that the label covers."""
        return self._config.horizon_days

    @property
    def complete_until(self) -> datetime:
        """Return the start of the newest day, which may be unfinished: no window ends in it."""
        return self.newest_event.replace(hour=0, minute=0, second=0, microsecond=0)

    @property
    def usable_from(self) -> datetime:
        """Return the first day whose history covers the time in which customers are active."""
        return self.oldest_event + timedelta(days=self._config.active_within_days)

    @property
    def events_are_churn(self) -> bool:
        """Return whether an event is churn (a contract ended) and not its opposite (a purchase)."""
        return self._kind == "ended"

    def customers(self) -> pd.DataFrame:
        """Return the ids of everybody with an event, as the column ``customer_id``."""
        people: pd.DataFrame = self.connection.execute(
            "SELECT DISTINCT customer_id FROM lines"
        ).df()
        return people

    def snapshots(self, days: Sequence[datetime]) -> pd.DataFrame:
        """Return customers and features as of each of ``days``."""
        self._sql.compute(self.connection, list(days), self._config, self._kind)
        rows: pd.DataFrame = self.connection.execute(
            "SELECT * FROM snapshots ORDER BY event_timestamp, customer_id"
        ).df()
        return rows

    def churned(self, people: pd.DataFrame, days: int) -> Floats:
        """Return the label (1 or 0) over ``days`` from ``event_timestamp`` on, shape (n,).

        It is NaN while the window of a row is not over, and where the outcome is unknown.
        """
        # The labels come in any order and once a person, so they are joined to the rows.
        keys = people[["customer_id", "event_timestamp"]].reset_index(drop=True)
        self.connection.register("people_", keys.drop_duplicates())
        self.connection.execute(
            "CREATE OR REPLACE TABLE snapshots AS SELECT customer_id, "
            "CAST(event_timestamp AS TIMESTAMP) AS event_timestamp FROM people_"
        )
        self.connection.unregister("people_")
        self._sql.label(self.connection, days, self._kind)
        labels = self.connection.execute("SELECT * FROM labels").df()
        joined = keys.merge(labels, on=["customer_id", "event_timestamp"], how="left")
        open_still = joined["event_timestamp"] + timedelta(days=days) > self.complete_until
        result = joined["churned"].to_numpy(dtype=float, na_value=np.nan)
        return np.where(open_still, np.nan, result)

    def early_shares(
        self, people: pd.DataFrame, days: Sequence[int], horizon_days: int
    ) -> dict[int, float]:
        """Return the share of the horizon's events that had happened after each of ``days``."""
        whole = self.events(people, horizon_days)
        total = float(np.nansum(whole))
        if not total:
            return {}
        return {
            day: round(float(np.nansum(self.events(people, day))) / total, 4)
            for day in days
            if day < horizon_days
        }

    def events(self, people: pd.DataFrame, days: int) -> Floats:
        """Return 1 for people with the event that reveals the label in ``days``, shape (n,)."""
        churned = self.churned(people, days)
        return churned if self.events_are_churn else 1 - churned
