"""People of the input in step 1, which still has their ids: pseudonyms, and marks that bar."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from sovereign_ml.decision_log.entries import BARS, Barred
from sovereign_ml.pseudonyms import names_of

if TYPE_CHECKING:
    import duckdb

MARKS = (*BARS.values(), "erased")
"""Columns of ``people`` that keep somebody out."""


def names(connection: duckdb.DuckDBPyConnection, keys: Sequence[bytes]) -> dict[str, str]:
    """Return the id in ``mapped`` or ``people`` of each pseudonym, under all ``keys``."""
    rows = connection.execute(
        "SELECT customer_id FROM mapped WHERE customer_id IS NOT NULL UNION "
        "SELECT customer_id FROM people WHERE customer_id IS NOT NULL"
    ).fetchall()
    return names_of([str(row[0]) for row in rows], keys)


def mark(
    connection: duckdb.DuckDBPyConnection, column: Barred | Literal["erased"], ids: Iterable[str]
) -> None:
    """Set ``column`` of ``ids`` in ``people``, with those whom no customers table names."""
    import pyarrow as pa

    connection.register(
        "barred", pa.table({"customer_id": pa.array(sorted(set(ids)), pa.string())})
    )
    present = "customer_id IN (SELECT customer_id FROM barred)"
    connection.execute(f"UPDATE people SET {column} = true WHERE {present}")  # noqa: S608
    connection.execute(
        f"INSERT INTO people (customer_id, {', '.join(MARKS)}) SELECT customer_id, "  # noqa: S608
        f"{', '.join(str(mark == column) for mark in MARKS)} FROM barred "
        "WHERE customer_id NOT IN (SELECT customer_id FROM people WHERE customer_id IS NOT NULL)"
    )
