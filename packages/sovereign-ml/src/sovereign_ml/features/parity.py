"""Comparison of the offline with the online store, customer by customer and value by value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sovereign_ml.config.connections import FeatureStores
from sovereign_ml.features import feast, feast_stores, hopsworks
from sovereign_ml.storage.artifacts import need, read_json

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class FeatureDifference:
    """One value that differs between the service and the training set, by customer pseudonym."""

    customer_id: str
    feature: str
    offline: float | str | None
    online: float | str | None


@dataclass(frozen=True)
class Parity:
    """Result of a comparison as of one day, with every difference by customer and feature."""

    as_of: str
    customers: int
    features: tuple[str, ...]
    differences: tuple[FeatureDifference, ...]

    def differing(self, feature: str) -> int:
        """Return the number of customers whose ``feature`` differs."""
        return sum(row.feature == feature for row in self.differences)


def compare(folder: Path, stores: FeatureStores, features: Sequence[str]) -> Parity:
    """Read the newest snapshot of every current customer through Feast, offline and online.

    ``folder`` is the artifact of step 3. Values are equal when they have the same bits or are both
    missing.
    """
    need(folder, "features")
    current = read_json(folder / "summary.json")["current"]
    customers = _customers(folder, current)
    with feast_stores.reached(stores):
        store = feast.open_store(folder, stores)
        offline = _offline(store, customers, current)
        online = _online(stores, store, customers, features)
    differences = [
        FeatureDifference(customer, name, before, after)
        for name in features
        for customer, before, after in zip(
            customers, _values(offline[name]), _values(online[name]), strict=True
        )
        # The online store holds copies and not approximations, so there is no tolerance.
        if before != after
    ]
    differences.sort(key=lambda row: (row.customer_id, row.feature))
    return Parity(current, len(customers), tuple(features), tuple(differences))


def materialise_again(folder: Path, stores: FeatureStores, definitions: feast.Definitions) -> int:
    """Write the newest snapshot into the online store, as step 3 did.

    Returns the number of customers in it.
    """
    need(folder, "features")
    current = read_json(folder / "summary.json")["current"]
    with feast_stores.alone(stores):
        store = feast.apply(folder, stores, definitions)
        feast.materialise(store, datetime.fromisoformat(current))
    return len(_customers(folder, current))


def _customers(folder: Path, current: str) -> list[str]:
    import pandas as pd

    rows = pd.read_parquet(folder / feast.SNAPSHOTS, columns=["customer_id", "event_timestamp"])
    return sorted(rows.loc[rows["event_timestamp"] == pd.Timestamp(current), "customer_id"])


def _offline(store: Any, customers: list[str], current: str) -> pd.DataFrame:
    import pandas as pd

    when = pd.Timestamp(datetime.fromisoformat(current), tz="UTC")
    entities = pd.DataFrame({"customer_id": customers, "event_timestamp": when})
    # A join returns rows in any order, and the values are compared by position.
    return feast.historical(store, entities).set_index("customer_id").loc[customers]


def _online(
    stores: FeatureStores, store: Any, customers: list[str], features: Sequence[str]
) -> pd.DataFrame:
    if stores.hopsworks:
        import pandas as pd

        known = hopsworks.look_up(stores.hopsworks, customers)
        rows = pd.DataFrame.from_dict(known, orient="index")
        return rows.reindex(index=customers, columns=list(features))
    return feast.online(store, customers).set_index("customer_id").loc[customers]


def _values(column: pd.Series[Any]) -> list[Any]:
    return [None if absent else value for value, absent in zip(column, column.isna(), strict=True)]
