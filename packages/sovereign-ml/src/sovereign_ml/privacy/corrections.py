"""Corrections on request (GDPR Art. 16), stored beside the raw data and applied by step 1."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sovereign_ml.config.connections import DataVersions
from sovereign_ml.errors import Misuse
from sovereign_ml.privacy import subjects
from sovereign_ml.storage.artifacts import replaced

if TYPE_CHECKING:
    import duckdb

NAME = "corrections.parquet"
OF_A_PURCHASE = {"event_time": "TIMESTAMPTZ", "amount_eur": "DECIMAL(18, 2)", "category": "VARCHAR"}
OF_A_CUSTOMER = {
    "consent": "BOOLEAN",
    "objected_at": "TIMESTAMPTZ",
    "started_at": "TIMESTAMPTZ",
    "ended_at": "TIMESTAMPTZ",
    "birth_year": "INTEGER",
    "country": "VARCHAR",
}
SHAPE = (
    "customer_id VARCHAR, purchase TIMESTAMPTZ, name VARCHAR, value VARCHAR, noted_at TIMESTAMPTZ"
)


def add(raw: Path, person: str, purchase: datetime | None, values: Mapping[str, str]) -> None:
    """Note that ``person`` (pseudonym) asked to correct ``values``.

    They are of the purchase at that time, or of the customer without a time. Raises Misuse for
    an unknown column, or a value that the column cannot hold.
    """
    from sovereign_ml.storage import duckdb as db

    types = OF_A_PURCHASE if purchase else OF_A_CUSTOMER
    connection = db.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for name, value in values.items():
        if name not in types:
            owner = (
                "of a purchase" if purchase else "of a customer (a purchase needs --purchase TIME)"
            )
            raise Misuse(f"No column '{name}' {owner}: there are {', '.join(types)}.")
        # DuckDB decides: step 1 will cast the text in the same way.
        if value and connection.execute(
            f"SELECT TRY_CAST(? AS {types[name]})", [value]
        ).fetchone() == (None,):
            raise Misuse(f"{name} = {value!r} is no {types[name].partition('(')[0].lower()}.")
    path = raw / NAME
    _load(connection, path)
    now = datetime.now(UTC)
    rows = [(person, purchase, name, value or None, now) for name, value in values.items()]
    connection.executemany("INSERT INTO noted VALUES (?, ?, ?, ?, ?)", rows)
    path.touch()
    _write(connection, path)


def rename(raw: Path, names: Mapping[str, str]) -> int:
    """Replace former pseudonyms by new ones, and return the number of rows that changed."""
    import pyarrow as pa

    from sovereign_ml.storage import duckdb as db

    path = raw / NAME
    if not path.is_file():
        return 0
    connection = db.connect()
    columns = {
        "old": pa.array(names.keys(), pa.string()),
        "new": pa.array(names.values(), pa.string()),
    }
    connection.register("names", pa.table(columns))
    _load(connection, path)
    changed = db.count(connection, "noted", "customer_id IN (SELECT old FROM names)")
    if changed:
        connection.execute("UPDATE noted SET customer_id = new FROM names WHERE customer_id = old")
        _write(connection, path)
    return changed


def fingerprint(raw: Path, pinned: Mapping[str, Any]) -> dict[str, str]:
    """Return the entry in ``data/source.json`` that makes DVC run step 1 after a correction."""
    path = raw / NAME
    if path.is_file():
        return {"corrections": _md5(path)}
    # In a clone without the raw data the pinned entry stays valid.
    away = "corrections" in pinned and not raw.is_dir()
    return {"corrections": pinned["corrections"]} if away else {}


def apply(
    connection: duckdb.DuckDBPyConnection,
    raw: Path,
    versions: DataVersions,
    keys: Sequence[bytes],
    pinned: Mapping[str, Any],
    folder: Path,
) -> None:
    """Apply the corrections to ``mapped`` and ``people``, in the order in which they were noted.

    They are carried into ``folder``. Raises Misuse where the pinned input knows of corrections
    that are neither here nor in the DVC remote.
    """
    if "corrections" not in pinned:
        return
    path = _fetch(raw, versions, str(pinned["corrections"]), folder / NAME)
    names = subjects.names(connection, keys)
    noted = connection.execute(
        "SELECT * EXCLUDE (noted_at) FROM read_parquet(?)", [str(path)]
    ).fetchall()
    for person, purchase, column, value in noted:
        if person not in names:
            continue
        if purchase:
            cast = f"CAST(? AS {OF_A_PURCHASE[column]})"
            change = f"UPDATE mapped SET {column} = {cast}"  # noqa: S608
            parameters = [value, names[person], purchase]
            connection.execute(f"{change} WHERE customer_id = ? AND event_time = ?", parameters)
        else:
            cast = f"CAST(? AS {OF_A_CUSTOMER[column]})"
            change = f"UPDATE people SET {column} = {cast}"  # noqa: S608
            if column == "objected_at":
                change += f", objected = {value is not None}"
            connection.execute(f"{change} WHERE customer_id = ?", [value, names[person]])


def _load(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Create the table ``noted`` with the corrections so far."""
    connection.execute(f"CREATE TABLE noted ({SHAPE})")
    if path.is_file():
        connection.execute("INSERT INTO noted FROM read_parquet(?)", [str(path)])


def _write(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    from sovereign_ml.storage import duckdb as db

    replaced(
        path,
        lambda side: db.write_parquet(
            connection, "SELECT * FROM noted ORDER BY noted_at, name", side
        ),
    )


def _fetch(raw: Path, versions: DataVersions, digest: str, target: Path) -> Path:
    """Copy the pinned corrections to ``target``, from the raw data or from the DVC remote."""
    from sovereign_ml.storage import dvc

    path = raw / NAME
    if path.is_file() and _md5(path) == digest:
        shutil.copyfile(path, target)
    elif versions.in_bucket and dvc.stored(versions.storage, digest):
        target.write_bytes(dvc.content(versions.storage, digest))
    else:
        raise Misuse(
            "data/source.json lists corrections that are not here: run `churn pull` first, "
            "then run this again."
        )
    return target


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
