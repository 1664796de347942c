"""How many people are in each store, counted where it can be read here; for the breach sheet (GDPR 33(3)(a))."""

from __future__ import annotations

from sovereign_ml.data_subjects.project_stores import ProjectStores
from sovereign_ml.errors import Misuse
from sovereign_ml.privacy import objections

TABLES = {
    "raw": "1_raw/transactions",
    "features": "3_features/snapshots",
    "train_snapshot": "3_features/training",
    "scores": "8_scores/scores",
}
"""The stored objects of the card and the table whose people are counted."""


def people_in_stores(stores: ProjectStores) -> dict[str, int]:
    """Return the number of distinct pseudonyms by stored object; a store that is not here is left out."""
    import pyarrow.parquet as pq

    counts = {}
    for name, table in TABLES.items():
        path = stores.root / "data" / f"{table}.parquet"
        if path.is_file():
            column = pq.read_table(path, columns=["customer_id"])["customer_id"]
            counts[name] = len(column.unique())
    try:
        with objections.decision_log(stores.log) as log:
            if log:
                people = {entry.subject for entry in log.of_kind("decision") if entry.subject}
                counts["decision_log"] = len(people)
    except Misuse:
        # The sheet is needed most when a store is down: the range of the card stands in.
        return counts
    return counts
