"""People of the input in step 1, which still has their ids: pseudonyms, and marks that bar."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from sovereign_ml.decision_log.entries import BARS, Barred
from sovereign_ml.pseudonyms import names_of
from sovereign_ml.storage import duckdb as db

if TYPE_CHECKING:
    import duckdb

MARKS = (*BARS.values(), "erased")
"""Columns of ``people`` that keep somebody out."""


def batches(connection: duckdb.DuckDBPyConnection) -> Iterator[list[str]]:
    """Yield the ids in ``mapped`` and ``people``, each once, in parts that fit into memory."""
    yield from db.texts(
        connection,
        "SELECT customer_id FROM mapped WHERE customer_id IS NOT NULL UNION "
        "SELECT customer_id FROM people WHERE customer_id IS NOT NULL",
    )


def names(
    connection: duckdb.DuckDBPyConnection, keys: Sequence[bytes], among: Collection[str]
) -> dict[str, str]:
    """Return the id in ``mapped`` or ``people`` of each pseudonym of ``among``, under all ``keys``."""
    ids: dict[str, str] = {}
    for batch in batches(connection):
        of_batch = names_of(batch, keys)
        ids |= {name: of_batch[name] for name in of_batch.keys() & among}
    return ids


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
        # With a NULL in its list, NOT IN is never true, and nobody would be inserted.
        "WHERE customer_id NOT IN (SELECT customer_id FROM people WHERE customer_id IS NOT NULL)"
    )
