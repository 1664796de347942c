"""The SQL of step 3 apart from who runs it: DuckDB on this machine, or Spark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sovereign_ml.config.tables import FeatureEngine
from sovereign_ml.storage import duckdb as db

if TYPE_CHECKING:
    import duckdb

__all__ = ["FILES", "FeatureQueries", "fill", "open_tables", "read"]

FILES = "valid_"
"""Prefix of the name that a file of step 2 has in SQL: ``valid_transactions``."""


@dataclass(frozen=True)
class FeatureQueries:
    """The queries of step 3 in DuckDB's dialect, the only one that a project writes.

    ``tables`` are SELECTs over the files of the folder ``valid``, by the name of the table.
    ``views`` and ``snapshots`` look at the tables as of the variable ``cut``, a time in UTC.
    ``labels`` looks at the snapshots of all cut-offs.
    """

    valid: Path
    tables: Mapping[str, str]
    views: Mapping[str, str]
    snapshots: str
    labels: str

    @property
    def files(self) -> dict[str, Path]:
        """Return the Parquet files that the tables read, by their name in SQL."""
        return files_of(self.valid, self.tables)


def files_of(valid: Path, tables: Mapping[str, str]) -> dict[str, Path]:
    """Return the Parquet files of ``valid`` that the SELECTs name, by their name in SQL."""
    text = " ".join(tables.values()).split()
    named = {f"{FILES}{path.stem}": path for path in sorted(valid.glob("*.parquet"))}
    return {name: path for name, path in named.items() if name in text}


def open_tables(
    valid: Path, tables: Mapping[str, str], engine: FeatureEngine = "duckdb"
) -> duckdb.DuckDBPyConnection:
    """Return a connection in UTC that has ``tables``, SELECTs over the files of ``valid``.

    For DuckDB they are read now. For Spark they are views, which read a file when they are asked.
    """
    connection = db.connect()
    connection.execute("SET TimeZone = 'UTC'")
    read(connection, valid, tables, engine)
    return connection


def read(
    connection: duckdb.DuckDBPyConnection,
    valid: Path,
    tables: Mapping[str, str],
    engine: FeatureEngine = "duckdb",
) -> None:
    """Make ``tables`` on a connection, as `open_tables` does."""
    for name, path in files_of(valid, tables).items():
        source = f"read_parquet({db.literal(str(path))})"
        connection.execute(f"CREATE VIEW {name} AS FROM {source}")
    for name, select in tables.items():
        query, kind = select, "TABLE"
        if engine == "spark":
            kind = "VIEW"
        elif name == "lines":
            # Numbers in alphabetical order take a tenth of the memory of pseudonyms, and sort
            # alike.
            ids = f"SELECT DISTINCT customer_id FROM ({select}) ORDER BY 1"  # noqa: S608
            connection.execute(f"CREATE TYPE customer AS ENUM ({ids})")
            as_number = "* REPLACE (CAST(customer_id AS customer) AS customer_id)"
            query = f"SELECT {as_number} FROM ({select})"  # noqa: S608
        connection.execute(f"CREATE {kind} {name} AS {query}")


def fill(connection: duckdb.DuckDBPyConnection, snapshots: str, cuts: Sequence[datetime]) -> None:
    """Make the table ``snapshots`` from the query, once for each cut-off in the variable ``cut``."""
    # One cut-off after the other: a line counts for several, and all copies at once fill memory.
    connection.execute("SET VARIABLE cut = CAST(NULL AS TIMESTAMP)")
    connection.execute(f"CREATE OR REPLACE TABLE snapshots AS {snapshots} LIMIT 0")
    for cut in cuts:
        connection.execute("SET VARIABLE cut = CAST(? AS TIMESTAMP)", [cut])
        connection.execute(f"INSERT INTO snapshots {snapshots}")
