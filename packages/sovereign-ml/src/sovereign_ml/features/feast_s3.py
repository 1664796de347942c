"""Feast's DuckDB offline store over Parquet on S3, read by Arrow.

Feast's own store makes DuckDB install its extension ``httpfs`` from a server in the US, and passes
no endpoint to it.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import ibis
from feast.infra.offline_stores import ibis as offline
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig

from sovereign_ml.config.profiles import SCHEME
from sovereign_ml.storage.s3 import arrow


class S3OfflineStoreConfig(DuckDBOfflineStoreConfig):  # type: ignore[misc]
    """Settings of the Parquet files on S3. The keys come from the environment."""

    type: Literal["sovereign_ml.features.feast_s3.S3OfflineStore"] = (
        "sovereign_ml.features.feast_s3.S3OfflineStore"
    )
    region: str
    style: Literal["path", "virtual"]


class S3OfflineStore(DuckDBOfflineStore):  # type: ignore[misc]
    """Point-in-time joins in DuckDB as in the profile local, over rows from S3."""

    @staticmethod
    def get_historical_features(config: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the features as they were at each entity's time."""
        return offline.get_historical_features_ibis(config, *args, **_rows(config), **kwargs)

    @staticmethod
    def pull_latest_from_table_or_query(config: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the newest row of each entity."""
        return offline.pull_latest_from_table_or_query_ibis(
            config, *args, **_rows(config), **kwargs
        )

    @staticmethod
    def pull_all_from_table_or_query(config: Any, *args: Any, **kwargs: Any) -> Any:
        """Return all rows of a span of time, for the online store."""
        return offline.pull_all_from_table_or_query_ibis(config, *args, **_rows(config), **kwargs)


def _rows(config: Any) -> dict[str, Any]:
    return {
        "data_source_reader": partial(_read, config.offline_store),
        "data_source_writer": _no_writing,
    }


def _read(store: S3OfflineStoreConfig, source: Any, _repo: str) -> Any:
    import pyarrow.parquet as pq

    filesystem = arrow(source.s3_endpoint_override, store.region, store.style)
    return ibis.memtable(pq.read_table(source.path.removeprefix(SCHEME), filesystem=filesystem))


def _no_writing(*_: Any) -> None:
    raise ValueError("Feast only reads here: step 3 writes the Parquet files.")
