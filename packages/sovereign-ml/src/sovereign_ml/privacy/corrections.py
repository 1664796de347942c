"""Corrections on request (GDPR Art. 16), stored beside the raw data and applied by step 1."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
OF_AN_EVENT = {"event_time": "TIMESTAMPTZ", "kind": "VARCHAR", "value": "DOUBLE"}
OF_A_CUSTOMER = {
    "consent": "BOOLEAN",
    "objected_at": "TIMESTAMPTZ",
    "started_at": "TIMESTAMPTZ",
    "ended_at": "TIMESTAMPTZ",
    "birth_year": "INTEGER",
    "country": "VARCHAR",
}
NEVER_EMPTY = ("event_time", "amount_eur")
WORDS, LONGEST_WORD = ("category", "kind", "country"), 64
"""Columns with a word, and its characters, as the contract has them."""
# The database would round 12.345, and take the 1.000 of German for one euro.
AMOUNT = re.compile(r"[+-]?[0-9]+(\.[0-9]{1,2})?")
FIRST_YEAR = 1900
"""Earliest year of birth in the contract."""
SHAPE = (
    "customer_id VARCHAR, purchase TIMESTAMPTZ, name VARCHAR, value VARCHAR, "
    "noted_at TIMESTAMPTZ, event VARCHAR"
)
"""``purchase`` is the time of the purchase or event, and ``event`` names the event table."""
ORDER = "noted_at, name = 'event_time', name"
"""A new time comes last: the other values of one request are found by the time before."""


@dataclass(frozen=True)
class CorrectedRow:
    """Object of a correction: a customer, or the purchases or events of one second (UTC).

    ``event`` names the event table. Without it a ``time`` is that of a purchase.
    """

    time: datetime | None = None
    event: str = ""

    @property
    def columns(self) -> Mapping[str, str]:
        """Return the columns that can be corrected, with their types in SQL."""
        if self.event:
            return OF_AN_EVENT
        return OF_A_PURCHASE if self.time else OF_A_CUSTOMER

    @property
    def condition(self) -> str:
        """Return SQL that is true for the row.

        ``churn data-subject access`` shows whole seconds.
        """
        if self.time is None:
            return "true"
        return f"date_trunc('second', event_time) = TIMESTAMPTZ '{self.time.isoformat()}'"

    def __str__(self) -> str:
        """Return the row in words."""
        if self.time is None:
            return "a customer (a purchase needs --purchase TIME, an event --event NAME --at TIME)"
        return f"an event of {self.event}" if self.event else "a purchase"


def add(raw: Path, person: str, row: CorrectedRow, values: Mapping[str, str]) -> None:
    """Note that ``person`` (pseudonym) is right about ``values`` of ``row``.

    Raises Misuse for a column that is not there, or a value that step 1 or 2 would set aside.
    """
    from sovereign_ml.storage import duckdb as db

    connection = db.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for name, value in values.items():
        _check(connection, row, name, value)
    path = raw / NAME
    _load(connection, path)
    now = datetime.now(UTC)
    connection.executemany(
        "INSERT INTO noted VALUES (?, ?, ?, ?, ?, ?)",
        [
            (person, row.time, name, value or None, now, row.event or None)
            for name, value in values.items()
        ],
    )
    _write(connection, path)


def _check(connection: duckdb.DuckDBPyConnection, row: CorrectedRow, name: str, value: str) -> None:
    if name not in row.columns:
        raise Misuse(f"No column '{name}' of {row}: there are {', '.join(row.columns)}.")
    sql_type = row.columns[name]
    if not value:
        if name in NEVER_EMPTY:
            raise Misuse(f"{name} is empty: give a value, or erase the person's data.")
        return
    converted = connection.execute(f"SELECT TRY_CAST(? AS {sql_type})", [value]).fetchone()
    fits = converted is not None and converted[0] is not None
    # DuckDB reads "inf" as a number and "infinity" as a time.
    if fits and sql_type in ("DOUBLE", "TIMESTAMPTZ"):
        finite = connection.execute(f"SELECT isfinite(CAST(? AS {sql_type}))", [value])
        fits = finite.fetchone() == (True,)
    # A year that Python lacks, such as one before Christ, comes as text.
    if converted and sql_type == "TIMESTAMPTZ" and not isinstance(converted[0], datetime):
        fits = False
    if not fits:
        raise Misuse(f"{name} = {value!r} is no {sql_type.partition('(')[0].lower()}.")
    if name == "amount_eur" and not AMOUNT.fullmatch(value):
        raise Misuse(f"{name} = {value!r}: write euros and cents with a point, such as 1234.50.")
    year = datetime.now(UTC).year
    # A year with a fraction would be rounded.
    if name == "birth_year" and not (value.isdecimal() and FIRST_YEAR <= int(value) <= year):
        raise Misuse(f"{name} = {value!r}: write a year from {FIRST_YEAR} to {year}, such as 1985.")
    if name == "event_time" and converted and converted[0] > datetime.now(UTC):
        raise Misuse(f"event_time = {value!r} is in the future: step 1 would set the row aside.")
    if name in WORDS and (len(value) > LONGEST_WORD or not value.isprintable()):
        raise Misuse(
            f"{name} has {len(value):,} characters or a line break: "
            f"give one line of at most {LONGEST_WORD}."
        )


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
    events: Mapping[str, duckdb.DuckDBPyConnection],
    raw: Path,
    versions: DataVersions,
    keys: Sequence[bytes],
    pinned: Mapping[str, Any],
    folder: Path,
) -> None:
    """Correct ``mapped`` and ``people`` in the order in which the corrections were noted.

    ``events`` has the connection of each event table, in which ``mapped`` is corrected as well.
    All corrections are carried into ``folder``. Raises Misuse where the pinned input knows of
    corrections that are neither here nor in the DVC remote.
    """
    if "corrections" not in pinned:
        return
    from sovereign_ml.storage import duckdb as db

    path = _here(raw, versions, str(pinned["corrections"]), folder / NAME)
    noted = db.connect()
    noted.execute("SET TimeZone = 'UTC'")
    _load(noted, path)
    corrections = noted.execute(
        f"SELECT customer_id, purchase, event, name, value FROM noted ORDER BY {ORDER}"  # noqa: S608
    ).fetchall()
    names = subjects.names(connection, keys, {str(row[0]) for row in corrections})
    for person, time, event, column, value in corrections:
        row = CorrectedRow(time, event or "")
        # An event table may have left config.toml since.
        target = events.get(row.event) if row.event else connection
        if person not in names or target is None:
            continue
        change = f"{column} = CAST(? AS {row.columns[column]})"
        # The gates read the mark and not the date.
        if column == "objected_at":
            change += f", objected = {value is not None}"
        table = "mapped" if time else "people"
        target.execute(
            f"UPDATE {table} SET {change} WHERE customer_id = ? AND {row.condition}",  # noqa: S608
            [value, names[person]],
        )


def _load(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Make the table ``noted`` of the corrections so far. Older files have no column ``event``."""
    connection.execute(f"CREATE TABLE noted ({SHAPE})")
    if path.is_file():
        connection.execute("INSERT INTO noted BY NAME FROM read_parquet(?)", [str(path)])


def _write(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    from sovereign_ml.storage import duckdb as db

    replaced(
        path,
        lambda side: db.write_parquet(connection, f"SELECT * FROM noted ORDER BY {ORDER}", side),  # noqa: S608
    )


def _here(raw: Path, versions: DataVersions, digest: str, target: Path) -> Path:
    """Write the pinned corrections to ``target`` and return it.

    They come from the raw data, or from the DVC remote.
    """
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
        # DVC names files by MD5, and the remote is asked for the corrections under that name.
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
