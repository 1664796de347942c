"""Feast's DuckDB offline store with DuckDB's own point-in-time join, over Parquet on this machine.

Feast's store compares each entity row with every older row of the same customer, and keeps all of
them in memory. An ASOF join finds the newest one in one pass, and writes to disk what does not fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from feast import FileSource, OnDemandFeatureView
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig
from feast.infra.offline_stores.offline_store import RetrievalJob

from sovereign_ml.storage import duckdb as db

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import pyarrow as pa

TIME = "event_timestamp"


class AsofOfflineStoreConfig(DuckDBOfflineStoreConfig):  # type: ignore[misc]
    """Settings of the store: those of Feast's own."""

    type: Literal["sovereign_ml.features.feast_asof.AsofOfflineStore"] = (
        "sovereign_ml.features.feast_asof.AsofOfflineStore"
    )


class AsofOfflineStore(DuckDBOfflineStore):  # type: ignore[misc]
    """Feast's own store, apart from the point-in-time join."""

    @staticmethod
    def get_historical_features(
        config: Any,
        feature_views: Sequence[Any],
        feature_refs: Sequence[str],
        entity_df: Any,
        registry: Any,
        project: str,
        full_feature_names: bool = False,
        **more: Any,
    ) -> RetrievalJob:
        """Return the features as they were at each entity's time.

        ``entity_df`` is a data frame or an SQL query with the column ``event_timestamp``. What an
        ASOF join cannot answer goes to Feast's own store: other sources than a Parquet file on this
        machine, a time of creation, renamed columns, features on demand, full feature names.
        """
        plain = not full_feature_names and not any(more.values())
        plain = plain and (isinstance(entity_df, str) or TIME in getattr(entity_df, "columns", ()))
        plain = plain and all(_is_plain(view) for view in feature_views)
        if not plain or OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry):
            return DuckDBOfflineStore.get_historical_features(
                config,
                feature_views,
                feature_refs,
                entity_df,
                registry,
                project,
                full_feature_names,
                **more,
            )
        joins = [_join(view, n, config, feature_refs) for n, view in enumerate(feature_views)]
        return AsofJob(
            entity_df, joins, [key for view in feature_views for key in _keys(view).values()]
        )


def _is_plain(view: Any) -> bool:
    """Return whether the rows of a feature view are a Parquet file as it stands."""
    source = view.batch_source
    return (
        isinstance(source, FileSource)
        and source.path.endswith(".parquet")
        and "://" not in source.path
        and not source.field_mapping
        and not source.created_timestamp_column
    )


def _keys(view: Any) -> dict[str, str]:
    """Return the column of the entities for each key of a feature view."""
    names = {column.name: column.name for column in view.entity_columns}
    return dict(view.projection.join_key_map or names)


def _join(view: Any, number: int, config: Any, feature_refs: Sequence[str]) -> tuple[str, str]:
    """Return the features of a view as columns, and its ASOF join to the table ``entities``."""
    path = FileSource.get_uri_for_file_path(repo_path=config.repo_path, uri=view.batch_source.path)
    prefix, alias = f"{view.projection.name_to_use()}:", f"view_{number}"
    names = [ref.removeprefix(prefix) for ref in feature_refs if ref.startswith(prefix)]
    time = f"CAST({db.quoted(view.batch_source.timestamp_field)} AS TIMESTAMPTZ)"
    keys = _keys(view)
    there = [f"{db.quoted(key)} AS key_{i}" for i, key in enumerate(keys)]
    stored = ", ".join([*there, f"{time} AS time_", *map(db.quoted, names)])
    equal = [f"entities.{db.quoted(key)} = {alias}.key_{i}" for i, key in enumerate(keys.values())]
    condition = " AND ".join([*equal, f"entities.{TIME} >= {alias}.time_"])
    # A row is served for as long as the view says, its last moment included.
    fresh = "true"
    if view.ttl:
        ttl = view.ttl // timedelta(microseconds=1)
        fresh = f"{alias}.time_ + to_microseconds({ttl}) >= entities.{TIME}"
    columns = ", ".join(
        f"CASE WHEN {fresh} THEN {alias}.{db.quoted(name)} END AS {db.quoted(name)}"
        for name in names
    )
    rows = f"(SELECT {stored} FROM read_parquet({db.literal(str(path))})) AS {alias}"  # noqa: S608
    return columns, f"ASOF LEFT JOIN {rows} ON {condition}"


class AsofJob(RetrievalJob):  # type: ignore[misc]
    """A point-in-time join that runs when its rows are asked for."""

    def __init__(
        self, entities: pd.DataFrame | str, joins: Sequence[tuple[str, str]], keys: Sequence[str]
    ) -> None:
        super().__init__()
        self._entities, self._joins, self._keys = entities, joins, keys

    full_feature_names = False
    on_demand_feature_views: Sequence[Any] = ()
    metadata = None

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        with closing(self._connected()) as connection:
            frame: pd.DataFrame = connection.execute(self._query()).df()
        return frame

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        with closing(self._connected()) as connection:
            return connection.sql(self._query()).to_arrow_table()

    def persist(
        self, storage: Any, allow_overwrite: bool = False, timeout: int | None = None
    ) -> None:
        """Write the rows as Parquet to the path of ``storage``, sorted by time and entity.

        Raises FileExistsError for a file that is there, unless ``allow_overwrite`` is set.
        """
        path = Path(storage.to_data_source().path)
        if path.exists() and not allow_overwrite:
            raise FileExistsError(f"{path} exists already.")
        with closing(self._connected()) as connection:
            order = ", ".join(map(db.quoted, dict.fromkeys([TIME, *self._keys])))
            ordered = f"FROM ({self._query()}) ORDER BY {order}"
            db.write_parquet(connection, ordered, path)

    def _query(self) -> str:
        columns = ", ".join(["entities.*", *(columns for columns, _ in self._joins)])
        return f"SELECT {columns} FROM entities {' '.join(join for _, join in self._joins)}"  # noqa: S608

    def _connected(self) -> duckdb.DuckDBPyConnection:
        """Return a connection that has the entities, with times in UTC."""
        connection = db.connect()
        connection.execute("SET TimeZone = 'UTC'")
        source = "given"
        if isinstance(self._entities, str):
            source = f"({self._entities})"
        else:
            connection.register("given", self._entities)
        # A time without a zone is read as UTC, which is the zone of this connection.
        utc = f"* REPLACE (CAST({TIME} AS TIMESTAMPTZ) AS {TIME})"
        connection.execute(f"CREATE VIEW entities AS SELECT {utc} FROM {source}")  # noqa: S608
        return connection
