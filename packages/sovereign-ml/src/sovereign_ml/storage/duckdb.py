"""DuckDB: reads the team's files, and one closed connection for every query."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sovereign_ml.errors import Misuse

if TYPE_CHECKING:
    import duckdb

__all__ = [
    "columns_of",
    "connect",
    "count",
    "first_line",
    "load_file",
    "mentioned",
    "problem_with",
    "run_mapped",
    "set_zone",
    "write_parquet",
]


def connect() -> duckdb.DuckDBPyConnection:
    """An in-memory database in UTC that installs no extension and so asks no server for one."""
    import duckdb

    connection = duckdb.connect()
    connection.execute(
        "SET autoinstall_known_extensions = false; SET autoload_known_extensions = false"
    )
    connection.execute("SET preserve_insertion_order = false; SET enable_progress_bar = false")
    return connection


def load_file(
    connection: duckdb.DuckDBPyConnection, table: str, path: Path, *, text: Sequence[str] = ()
) -> list[str]:
    """Load CSV (also .gz) or Parquet into ``table`` and return its column names.

    CSV types are found from every row, not from the first ones: a column that turns into words at the end stays
    text, and the rows that cannot be cast are set aside and counted later. Columns that the SQL expressions ``text``
    mention are never numbers, so that the ids 007 and 7 stay two people; no column is guessed to hold times.
    """
    import duckdb

    if not path.is_file():
        raise Misuse(
            f"No file {path}: set [data] in config.toml, or call with DATA=path/to/transactions.csv."
        )
    if path.stat().st_size == 0:
        raise Misuse(f"{path} is empty: it needs a header and at least one row.")
    try:
        columns = _columns(connection, path)
        types = dict.fromkeys(mentioned(columns, *text), "VARCHAR")
        connection.execute(
            f"CREATE TABLE {table} AS SELECT * FROM {_reader(path, types)}",  # noqa: S608
            [str(path), *([types] if types and _kind(path) == "CSV" else [])],
        )
    except duckdb.Error as error:
        raise Misuse(f"Cannot read {path} as {_kind(path)}: {first_line(error)}") from None
    if count(connection, table) == 0:
        raise Misuse(f"{path} has a header and no rows: its columns are {', '.join(columns)}.")
    return columns


def _kind(path: Path) -> str:
    return "Parquet" if path.suffix in (".parquet", ".pq") else "CSV"


def _reader(path: Path, types: dict[str, str]) -> str:
    """Times stay text: DuckDB would guess between 1 February and 2 January, and read mixed zones as UTC."""
    if _kind(path) == "Parquet":
        return "read_parquet(?)"
    guessed = "auto_type_candidates = ['BOOLEAN', 'BIGINT', 'DOUBLE', 'VARCHAR']"
    return (
        f"read_csv(?, header = true, sample_size = -1, {guessed}{', types = ?' if types else ''})"
    )


def _columns(connection: duckdb.DuckDBPyConnection, path: Path) -> list[str]:
    reader = (
        "read_parquet(?)"
        if _kind(path) == "Parquet"
        else "read_csv(?, header = true, all_varchar = true)"
    )
    found = connection.execute(f"DESCRIBE SELECT * FROM {reader}", [str(path)]).fetchall()  # noqa: S608
    return [str(row[0]) for row in found]


def columns_of(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    """Column names of ``table``."""
    return [str(row[0]) for row in connection.execute(f"DESCRIBE {table}").fetchall()]


def mentioned(columns: Sequence[str], *expressions: str) -> list[str]:
    """Those of ``columns`` that SQL ``expressions`` name, outside of string literals."""
    code = " ".join(re.sub(r"'[^']*'", "''", expression) for expression in expressions)
    return [c for c in columns if re.search(rf"(?<!\w){re.escape(c)}(?!\w)", code, re.IGNORECASE)]


def run_mapped(connection: duckdb.DuckDBPyConnection, query: str, section: str) -> None:
    """Run a query that holds the team's expressions. Raises Misuse that names their ``section`` of config.toml."""
    import duckdb

    try:
        connection.execute(query)
    except duckdb.Error as error:
        raise Misuse(f"config.toml [{section}]: {first_line(error)}") from None


def problem_with(connection: duckdb.DuckDBPyConnection, table: str, expression: str) -> str:
    """Why ``expression`` cannot be computed over ``table``, in one line; empty if it can."""
    import duckdb

    try:
        connection.execute(f"SELECT {expression} FROM {table} LIMIT 0")  # noqa: S608
    except duckdb.Error as error:
        return first_line(error)
    return ""


def set_zone(connection: duckdb.DuckDBPyConnection, zone: str) -> None:
    """Read times that name no zone in ``zone``. Raises Misuse if it is no IANA zone."""
    import duckdb

    try:
        connection.execute("SET TimeZone = ?", [zone])
    except duckdb.Error:
        raise Misuse(
            f"config.toml: data.timezone is {zone!r}, which is no IANA zone such as Europe/Berlin."
        ) from None


def count(connection: duckdb.DuckDBPyConnection, table: str, where: str = "true") -> int:
    """Rows of ``table`` that satisfy ``where``."""
    row = connection.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()  # noqa: S608
    return int(row[0]) if row else 0


def write_parquet(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    """Write the rows of ``query`` (ordered by it, for the same bytes every time) to a Parquet file."""
    target = str(path).replace("'", "''")
    connection.execute(
        f"COPY ({query}) TO '{target}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880)"
    )


def first_line(error: Exception) -> str:
    """The first line of a library's message, which is the part that a reader can use."""
    return str(error).strip().splitlines()[0]
