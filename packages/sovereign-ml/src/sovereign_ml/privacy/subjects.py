"""The people of the input, while step 1 still has their ids: their pseudonyms, and marks that bar them."""

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
    """Each pseudonym, under the key in use and the former ones, with its id in ``mapped`` or ``people``."""
    rows = connection.execute(
        "SELECT customer_id FROM mapped WHERE customer_id IS NOT NULL UNION "
        "SELECT customer_id FROM people WHERE customer_id IS NOT NULL"
    ).fetchall()
    return names_of([str(row[0]) for row in rows], keys)


def mark(
    connection: duckdb.DuckDBPyConnection, column: Barred | Literal["erased"], ids: Iterable[str]
) -> None:
    """Set ``column`` of the people ``ids`` in ``people``, also of those whom no customers table names."""
    import pyarrow as pa

    connection.register(
        "barred", pa.table({"customer_id": pa.array(sorted(set(ids)), pa.string())})
    )
    connection.execute(
        f"UPDATE people SET {column} = true WHERE customer_id IN (SELECT customer_id FROM barred)"  # noqa: S608
    )
    connection.execute(
        f"INSERT INTO people (customer_id, {', '.join(MARKS)}) SELECT customer_id, "  # noqa: S608
        f"{', '.join(str(mark == column) for mark in MARKS)} FROM barred "
        "WHERE customer_id NOT IN (SELECT customer_id FROM people WHERE customer_id IS NOT NULL)"
    )
