"""Look-up of features at Hopsworks' REST server: the request, and the rows of an answer.

The API is documented in ``README_feature_store.md`` of the repository logicalclocks/rondb. The
feature view has to select the customer, the day of the snapshot and every feature, without
prefixes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

PATH = "/0.1.0/batch_feature_store"
KEY = "customer_id"
"""Key of a row: a pseudonym."""
AS_OF = "event_timestamp"
"""Column of the snapshots that dates a row."""


def request(store: str, view: str, version: int, customers: Sequence[str]) -> dict[str, Any]:
    """Return the body that asks for ``customers``. The answer names the columns as well."""
    return {
        "featureStoreName": store,
        "featureViewName": view,
        "featureViewVersion": version,
        "entries": [{KEY: customer} for customer in customers],
        "metadataOptions": {"featureName": True, "featureType": True},
    }


def rows(answer: Any, customers: Sequence[str]) -> Iterator[dict[str, Any] | None]:
    """Yield the row of each customer in the order of the request, None for an unknown one.

    COMPLETE is a row, MISSING without any value is an unknown customer. The rest raises ValueError.

    MISSING also occurs where one of several feature groups has a row. A part of the features is
    neither a row nor nothing.
    """
    columns = [column["featureName"] for column in answer["metadata"]]
    parts = zip(customers, answer["status"], answer["features"], strict=True)
    for customer, status, values in parts:
        row = dict(zip(columns, values, strict=True))
        owner = row.pop(KEY)
        if status == "MISSING" and owner in (customer, None):
            if any(value is not None for value in row.values()):
                raise ValueError("a part of the features is missing")
            yield None
            continue
        # The row of somebody else must never be taken for that of this customer.
        if status != "COMPLETE" or owner != customer:
            raise ValueError("a row that failed, or that of somebody else")
        yield row
