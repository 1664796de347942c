"""Feast: the store of the project's feature repository, point-in-time joins and look-ups."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typeguard

from sovereign_ml.config.connections import FeatureStores
from sovereign_ml.features import feast_stores
from sovereign_ml.storage import duckdb as db

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

__all__ = [
    "SERVICE",
    "SNAPSHOTS",
    "VIEW",
    "apply",
    "historical",
    "materialise",
    "source_of",
    "write_history",
    "write_training_set",
]

VIEW, SERVICE = "customer_snapshot", "churn_v1"
"""Names of the feature view and the feature service. Erasure and the HTTP service use them."""
SNAPSHOTS = "snapshots.parquet"
"""Name of the file of snapshots in the artifact of step 3."""
# While it is imported, Feast compiles run-time type checks into its functions: five of the six
# seconds that it takes. What the library and a project hand to it is checked by mypy.
vars(typeguard)["typechecked"] = lambda target: target
ONLINE_AT_ONCE = 10_000
"""Number of customers written to the online store at a time."""
Definitions = Callable[[Any, timedelta], Sequence[Any]]
"""Function from the source and a snapshot's time to live to the Feast objects.

The objects are the entity, the feature view and the feature service.
"""


def open_store(folder: Path, stores: FeatureStores) -> Any:
    """Return the feature store beside the snapshots of ``folder``, or on the profile's servers."""
    from feast import FeatureStore, RepoConfig

    warnings.filterwarnings("ignore", module="feast|ibis")
    config = RepoConfig(
        project=stores.project.replace("-", "_"),  # Feast allows no hyphen
        provider="local",
        registry=feast_stores.registry(folder, stores),
        offline_store=feast_stores.offline(stores),
        online_store=feast_stores.online(folder, stores),
        # Erasure makes keys of this version itself, to delete rows without importing Feast.
        entity_key_serialization_version=3,
        # Otherwise all values are protocol buffers in memory at once, a kilobyte for each customer.
        materialization={"online_write_batch_size": ONLINE_AT_ONCE},
        repo_path=folder,
    )
    with feast_stores.reached(stores):
        return FeatureStore(repo_path=str(folder), config=config)


def apply(folder: Path, stores: FeatureStores, definitions: Definitions) -> Any:
    """Register ``definitions`` over the snapshots of ``folder`` and return the feature store.

    The time to live holds for point-in-time joins only, because Feast ignores it online. The
    service compares the date of what it looks up with the policy of the bundle.
    """
    source = feast_stores.source(folder / SNAPSHOTS, stores)
    objects = list(definitions(source, timedelta(days=stores.ttl_days)))
    store = open_store(folder, stores)
    with feast_stores.reached(stores):
        store.apply(objects)
    return store


def source_of(folder: Path, stores: FeatureStores) -> str:
    """Return the registered path of the snapshots, empty before step 3 has registered any."""
    from feast.errors import FeastObjectNotFoundException

    store = open_store(folder, stores)
    try:
        with feast_stores.reached(stores):
            return str(store.get_feature_view(VIEW).batch_source.path)
    except FeastObjectNotFoundException:
        return ""


def historical(store: Any, entities: pd.DataFrame) -> pd.DataFrame:
    """Return the features of ``entities`` (customer_id, event_timestamp) as they were then."""
    with chdir(store.repo_path):
        job = store.get_historical_features(
            entity_df=entities, features=store.get_feature_service(SERVICE)
        )
        frame: pd.DataFrame = job.to_df()
    return frame


def write_training_set(joined: pd.DataFrame, names: Sequence[str], path: Path) -> None:
    """Write the columns ``names`` of a point-in-time join, sorted by cut-off and customer.

    The model sees no other columns.
    """
    rows = joined.sort_values(["event_timestamp", "customer_id"], kind="stable")
    rows["event_timestamp"] = rows["event_timestamp"].dt.as_unit("us")
    rows[["customer_id", "event_timestamp", *names]].to_parquet(path, index=False)


def write_history(
    store: Any,
    connection: duckdb.DuckDBPyConnection,
    entities: str,
    names: Sequence[str],
    path: Path,
) -> int:
    """Write ``names`` for each row of the SQL query ``entities`` as they were then, as Parquet.

    The query has customer_id, event_timestamp (UTC) and what else ``names`` lists, such as the
    label. Rows are sorted by cut-off and customer. In the profile local they are never all in
    memory. Returns the number of rows.
    """
    from feast.infra.offline_stores.file_source import SavedDatasetFileStorage

    rows = path.with_name(f".{path.name}.entities.part")
    try:
        db.write_parquet(connection, entities, rows)
        if store.config.offline_store.type == feast_stores.ASOF:
            job = store.get_historical_features(
                entity_df=f"SELECT * FROM read_parquet({db.literal(str(rows.resolve()))})",  # noqa: S608
                features=store.get_feature_service(SERVICE),
            )
            job.persist(SavedDatasetFileStorage(str(path.resolve())))
        else:
            import pandas as pd

            frame = pd.read_parquet(rows)
            frame["event_timestamp"] = pd.to_datetime(frame["event_timestamp"], utc=True)
            write_training_set(historical(store, frame), names, path)
        return db.count(connection, f"read_parquet({db.literal(str(rows))})")
    finally:
        rows.unlink(missing_ok=True)


def online(store: Any, customers: list[str]) -> pd.DataFrame:
    """Return the features of ``customers`` as the online store has them now.

    A customer that the store does not know has no values.
    """
    rows = [{"customer_id": customer} for customer in customers]
    service = store.get_feature_service(SERVICE)
    frame: pd.DataFrame = store.get_online_features(features=service, entity_rows=rows).to_df()
    return frame


def materialise(store: Any, as_of: datetime) -> None:
    """Put the snapshot of the day ``as_of`` (UTC midnight) into the online store."""
    end = as_of.replace(tzinfo=UTC)
    # Cut-offs are at midnight, so a span of one hour holds the rows of one snapshot.
    start = end - timedelta(hours=1)
    # Feast prints its progress on both streams.
    with chdir(store.repo_path), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        store.materialize(start_date=start, end_date=end, feature_views=[VIEW])
