"""Offline against online: the same customers and features from both stores, compared value by value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from churn.contract import FEATURES
from sovereign_ml.config.settings import Settings
from sovereign_ml.features import feast
from sovereign_ml.features import feast_stores as stores
from sovereign_ml.storage.artifacts import need, read_json

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Difference:
    """One value that the service would see and the training set would not. The customer is a pseudonym."""

    customer_id: str
    feature: str
    offline: float | str | None
    online: float | str | None


@dataclass(frozen=True)
class Parity:
    """How many values were compared as of which day, and every difference by customer and feature."""

    as_of: str
    customers: int
    features: tuple[str, ...]
    differences: tuple[Difference, ...]

    def differing(self, feature: str) -> int:
        """Customers whose ``feature`` differs."""
        return sum(row.feature == feature for row in self.differences)


def compare(settings: Settings) -> Parity:
    """Read the newest snapshot of every current customer through Feast, offline and online.

    Values are equal when they are the same bits or both missing: the online store holds copies, not approximations.
    """
    folder = need(settings.path("features"), "features")
    current = read_json(folder / "summary.json")["current"]
    customers = _customers(settings, current)
    with stores.reached(settings):
        store = feast.store(folder, settings)
        offline, online = _offline(store, customers, current), _online(store, customers)
    names = tuple(feature.name for feature in FEATURES)
    found = [
        Difference(customer, name, before, after)
        for name in names
        for customer, before, after in zip(
            customers, _values(offline[name]), _values(online[name]), strict=True
        )
        if before != after
    ]
    found.sort(key=lambda row: (row.customer_id, row.feature))
    return Parity(current, len(customers), names, tuple(found))


def materialise_again(settings: Settings) -> int:
    """Write the newest snapshot into the online store, as step 3 did; return how many customers it has."""
    folder = need(settings.path("features"), "features")
    current = read_json(folder / "summary.json")["current"]
    with stores.alone(settings):
        feast.materialise(feast.apply(folder, settings), datetime.fromisoformat(current))
    return len(_customers(settings, current))


def _customers(settings: Settings, current: str) -> list[str]:
    import pandas as pd

    rows = pd.read_parquet(
        settings.path("features") / feast.SNAPSHOTS, columns=["customer_id", "event_timestamp"]
    )
    return sorted(rows.loc[rows["event_timestamp"] == pd.Timestamp(current), "customer_id"])


def _offline(store: Any, customers: list[str], current: str) -> pd.DataFrame:
    import pandas as pd

    when = pd.Timestamp(datetime.fromisoformat(current), tz="UTC")
    entities = pd.DataFrame({"customer_id": customers, "event_timestamp": when})
    return feast.historical(store, entities).set_index("customer_id").loc[customers]


def _online(store: Any, customers: list[str]) -> pd.DataFrame:
    return feast.online(store, customers).set_index("customer_id").loc[customers]


def _values(column: pd.Series[Any]) -> list[Any]:
    return [None if absent else value for value, absent in zip(column, column.isna(), strict=True)]
