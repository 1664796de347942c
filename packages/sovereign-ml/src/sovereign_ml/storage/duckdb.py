"""DuckDB: loads the team's files, over a connection that never asks a server for extensions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sovereign_ml.config.data_tables import ReaderSettings
from sovereign_ml.errors import Misuse
from sovereign_ml.storage.csv_records import CsvRecords, is_row
from sovereign_ml.storage.file_format import format_of

if TYPE_CHECKING:
    import duckdb

__all__ = ["connect", "count", "literal", "write_parquet"]


SPILLED = ".tmp"
"""Folder in the project for tables that do not fit into memory. DuckDB empties it at its end."""
NO_TYPE = '"NULL"'
"""The type of a column of Parquet in which pandas and Arrow saw no value."""
TOKEN = re.compile(
    r"""(?P<string>'(?:[^']|'')*(?:'|$))|(?P<identifier>"(?:[^"]|"")*(?:"|$))"""
    r"""|(?P<comment>--[^\n]*|/\*.*?(?:\*/|$))|(?P<code>[^'"/-]+|.)""",
    re.DOTALL,
)
"""A part of SQL. An apostrophe begins no string in a quoted name, such as "Date d'achat"."""


def connect() -> duckdb.DuckDBPyConnection:
    """Return an in-memory database that installs no extension, so that it asks no server."""
    import duckdb

    connection = duckdb.connect()
    connection.execute(
        "SET autoinstall_known_extensions = false; SET autoload_known_extensions = false"
    )
    # It may hold ids in clear, so erasure has to know where it is.
    connection.execute(f"SET temp_directory = '{SPILLED}'")
    # This saves memory. Queries whose order matters have an ORDER BY.
    connection.execute("SET preserve_insertion_order = false; SET enable_progress_bar = false")
    return connection


@dataclass(frozen=True)
class LoadedFiles:
    """The names of the loaded columns, and notes on skipped lines."""

    columns: list[str]
    notes: list[str]


def load_files(
    connection: duckdb.DuckDBPyConnection, table: str, paths: Sequence[Path], reader: ReaderSettings
) -> LoadedFiles:
    """Load CSV (also compressed with gzip) or Parquet files with the same columns into ``table``.

    Every value of a CSV file stays text: the mapping casts it, so that nothing is guessed. Raises
    Misuse for a record that does not fit its header, and if the table lacks a record of the files.
    """
    notes: list[str] = []
    for path in paths:
        _check_there(path)
        if (file_format := format_of(path)) == "parquet":
            _load_parquet(connection, table, path)
        else:
            records = CsvRecords(path, file_format, reader)
            _load_csv(connection, table, records, path)
            notes += records.notes
    columns = columns_of(connection, table)
    if count(connection, table) == 0:
        raise Misuse(f"{paths[0]} has a header and no rows: it {columns_in_words(columns)}.")
    return LoadedFiles(columns, notes)


def columns_in_words(columns: Sequence[str]) -> str:
    """Return the columns for a message, without the values of a file that has no header."""
    if is_row(columns):
        return (
            "has a first line that looks like a row and not like a header; without a header, give "
            "the names of the columns in [data.reader] names"
        )
    return f"has the columns {', '.join(columns)}"


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise Misuse(
            f"No file {path}: set [data] in config.toml, or call with "
            "DATA=path/to/transactions.csv."
        )
    if path.stat().st_size == 0:
        raise Misuse(f"{path} is empty: it needs a header and at least one row.")


def _load_parquet(connection: duckdb.DuckDBPyConnection, table: str, path: Path) -> None:
    # Folder names such as day=2026-01-31 stay text, like the values of a CSV file.
    query = f"FROM read_parquet({literal(str(path))}, hive_types_autocast = false)"
    with refusing(f"Cannot read {path} as Parquet"):
        shape = types_of(connection, query)
        if times := _spark_instants(connection, path, shape):
            instants = ", ".join(f"timezone('UTC', {quoted(n)}) AS {quoted(n)}" for n in times)
            query = f"SELECT * REPLACE ({instants}) {query}"
            shape = types_of(connection, query)
        _prepare(connection, table, path, shape)
        connection.execute(f"INSERT INTO {table} BY NAME {query}")


def _spark_instants(
    connection: duckdb.DuckDBPyConnection, path: Path, shape: dict[str, str]
) -> list[str]:
    """Return the columns that Spark wrote as INT96, its default for a time.

    DuckDB reads them as times without a zone, but Spark stores instants in UTC (SPARK-36182).
    Impala stores local times in the same type, so files of other tools stay as they are.
    """
    file = literal(str(path))
    noted = f"parquet_kv_metadata({file})"
    if not count(connection, noted, "decode(key) LIKE 'org.apache.spark.%'"):
        return []
    query = f"SELECT DISTINCT name FROM parquet_schema({file}) WHERE type = 'INT96'"  # noqa: S608
    names = {str(name) for (name,) in connection.execute(query).fetchall()}
    return [name for name, kind in shape.items() if name in names and kind == "TIMESTAMP"]


def _load_csv(
    connection: duckdb.DuckDBPyConnection, table: str, records: CsvRecords, path: Path
) -> None:
    _prepare(connection, table, path, dict.fromkeys(records.columns, "VARCHAR"))
    before = count(connection, table)
    for batch in records.batches():
        connection.register("batch_", batch)
        connection.execute(f"INSERT INTO {table} BY NAME FROM batch_")
        connection.unregister("batch_")
    # Counted on both sides, so that no record is lost unseen.
    loaded = count(connection, table) - before
    if loaded != records.records:
        raise Misuse(
            f"{path} has {records.records:,} records and {loaded:,} arrived in the database: "
            "nothing was written. Please report this with the file's header."
        )


def _prepare(
    connection: duckdb.DuckDBPyConnection, table: str, path: Path, shape: dict[str, str]
) -> None:
    """Create ``table`` for the first file. Raises Misuse if a later file has other columns."""
    existing = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE table_name = ?", [table]
    ).fetchall()
    if not existing:
        columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in shape.items())
        connection.execute(f"CREATE TABLE {table} ({columns})")
        return
    # DuckDB ignores the case of column names, and so does a database that writes an export.
    first = {
        name.casefold(): kind
        for name, kind in types_of(connection, f"SELECT * FROM {table}").items()  # noqa: S608
    }
    shape = {name.casefold(): kind for name, kind in shape.items()}
    # A month without any refund has a column without a type, which takes that of the others.
    for name in first.keys() & shape.keys():
        if first[name] == NO_TYPE != shape[name]:
            kind = first[name] = shape[name]
            connection.execute(f"ALTER TABLE {table} ALTER {quoted(name)} TYPE {kind}")
    shape = {n: first.get(n, kind) if kind == NO_TYPE else kind for n, kind in shape.items()}
    if first != shape:
        wrong = sorted({name for name, _ in first.items() ^ shape.items()})
        listed = f"it {columns_in_words(wrong)}" if is_row(wrong) else ", ".join(wrong)
        raise Misuse(
            f"{path} has other columns or types than the first file: {listed}. "
            "Files of one table need the same columns of the same types."
        )


def types_of(connection: duckdb.DuckDBPyConnection, query: str) -> dict[str, str]:
    """Return the names and types of the columns of ``query``."""
    return {str(row[0]): str(row[1]) for row in connection.execute(f"DESCRIBE {query}").fetchall()}


def quoted(name: str) -> str:
    """Return ``name`` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


@cache
def reserved_words() -> frozenset[str]:
    """Return the SQL words that need quotes as a column's name, such as ``end`` and ``order``."""
    rows = connect().execute(
        "SELECT keyword_name FROM duckdb_keywords() "
        "WHERE keyword_category IN ('reserved', 'type_function')"
    )
    return frozenset(str(word) for (word,) in rows.fetchall())


def literal(text: str) -> str:
    """Return ``text`` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def columns_of(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    """Return the column names of ``table``."""
    return list(types_of(connection, table))


def mentioned(columns: Sequence[str], *expressions: str) -> list[str]:
    """Return those of ``columns`` that SQL ``expressions`` name, outside of strings and comments."""
    identifiers: set[str] = set()
    bare: list[str] = []
    for expression in expressions:
        for match in TOKEN.finditer(expression):
            if match["identifier"]:
                identifiers.add(match["identifier"][1:-1].replace('""', '"').casefold())
            # A string or a comment may contain the name of a column.
            bare.append(match["code"] or " ")
        bare.append(" ")
    code = "".join(bare)
    return [
        c
        for c in columns
        if c.casefold() in identifiers
        or re.search(rf"(?<!\w){re.escape(c)}(?!\w)", code, re.IGNORECASE)
    ]


def run_mapped(connection: duckdb.DuckDBPyConnection, query: str, section: str) -> None:
    """Run a query with the team's expressions. Raises Misuse with their section of config.toml."""
    with refusing(f"config.toml [{section}]"):
        connection.execute(query)


def problem_with(connection: duckdb.DuckDBPyConnection, table: str, expression: str) -> str:
    """Return in one line why ``expression`` fails over ``table``, "" if it can be computed."""
    import duckdb

    try:
        connection.execute(f"SELECT {expression} FROM {table} LIMIT 0")  # noqa: S608
    except duckdb.Error as error:
        return short(error)
    return ""


def set_zone(connection: duckdb.DuckDBPyConnection, zone: str) -> None:
    """Set the zone in which times without a zone are read. Raises Misuse if it is no IANA zone."""
    import duckdb

    try:
        connection.execute("SET TimeZone = ?", [zone])
    except duckdb.Error:
        raise Misuse(
            f"config.toml: data.timezone is {zone!r}, which is no IANA zone such as Europe/Berlin."
        ) from None


@contextmanager
def refusing(subject: str) -> Iterator[None]:
    """Turn an error of DuckDB into Misuse with one line that starts with ``subject``."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise Misuse(f"{subject}: {short(error)}") from None


def count(connection: duckdb.DuckDBPyConnection, table: str, where: str = "true") -> int:
    """Return the number of rows of ``table`` that satisfy ``where``."""
    query = f"SELECT count(*) FROM {table} WHERE {where}"  # noqa: S608
    return int(connection.execute(query).fetchall()[0][0])


def texts(
    connection: duckdb.DuckDBPyConnection, query: str, at_once: int = 100_000
) -> Iterator[list[str]]:
    """Yield the text in the only column of ``query``, up to ``at_once`` values at a time.

    The query may not change what it reads. The connection is free for other queries meanwhile.
    """
    # A cursor of its own, because the next query on a connection ends the one before.
    for batch in connection.cursor().sql(query).to_arrow_reader(at_once):
        yield batch.column(0).to_pylist()


def write_parquet(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    """Write the rows of ``query`` to a Parquet file. An ordered query gives the same bytes."""
    # The size is DuckDB's default. It is written out because the bytes of a file depend on it.
    options = "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880)"
    connection.execute(f"COPY ({query}) TO {literal(str(path))} {options}")


def short(error: Exception) -> str:
    """Return DuckDB's message in one line: the error and its proposals, without the query."""
    text = str(error).strip() or type(error).__name__
    lines = [" ".join(line.split()) for line in text.splitlines()]
    useful = [line for line in lines[1:3] if line and not line.startswith(("LINE ", "^"))]
    return " ".join([lines[0], *useful])
