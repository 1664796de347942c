"""Who and what may not come back: tombstones of erased people, and the day before which purchases are expired."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from churn.settings import Settings
from sovereign.pseudonym import pseudonyms
from sovereign.rights.tombstones import Tombstones, write_durably

if TYPE_CHECKING:
    import duckdb

FOLDER = "governance"


def tombstones(settings: Settings) -> Tombstones:
    """Those in git, and a copy beside the pseudonyms' key: a backup of the whole folder does not restore that one."""
    return Tombstones(_stones(settings), settings.pseudonym_key())


def expired_before(settings: Settings) -> datetime | None:
    """Purchases before this moment were deleted by `churn retain`; None if none were."""
    file = _expiry(settings)
    return datetime.fromisoformat(file.read_text(encoding="utf-8").split()[-1]) if file.is_file() else None


def expire_before(settings: Settings, moment: datetime) -> None:
    """Let step 1 leave out purchases before ``moment``; an earlier one changes nothing."""
    present = expired_before(settings)
    if present is None or moment > present:
        write_durably(_expiry(settings), f"Purchases before {moment.isoformat()}\n")


def fingerprint(settings: Settings) -> dict[str, str]:
    """What DVC watches of this in ``data/source.json``: step 1 runs again when it changes. Empty without any."""
    expired = expired_before(settings)
    stones = Tombstones(_stones(settings), key=b"")  # the digest needs no key
    found = {"tombstones": stones.digest, "expired_before": expired.isoformat() if expired else ""}
    return {key: value for key, value in found.items() if value}


def leave_out(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Mark the erased in ``people``, also those whom no customers table names, and the expired rows in ``mapped``."""
    import pyarrow as pa

    connection.execute("ALTER TABLE mapped ADD COLUMN expired BOOLEAN DEFAULT false")
    if moment := expired_before(settings):
        connection.execute(f"UPDATE mapped SET expired = true WHERE event_time < TIMESTAMPTZ '{moment.isoformat()}'")  # noqa: S608
    stones = tombstones(settings)
    if not len(stones):
        return
    rows = connection.execute(
        "SELECT customer_id FROM mapped WHERE customer_id IS NOT NULL UNION SELECT customer_id FROM people"
    ).fetchall()
    ids = [str(row[0]) for row in rows]
    names = dict(zip(pseudonyms(ids, settings.pseudonym_key()), ids, strict=True))
    gone = [names[one] for one in stones.among(names)]
    connection.register("gone", pa.table({"customer_id": pa.array(gone, pa.string())}))
    connection.execute("UPDATE people SET erased = true WHERE customer_id IN (SELECT customer_id FROM gone)")
    connection.execute(
        "INSERT INTO people (customer_id, objected, erased) SELECT customer_id, false, true FROM gone "
        "WHERE customer_id NOT IN (SELECT customer_id FROM people WHERE customer_id IS NOT NULL)"
    )


def _stones(settings: Settings) -> list[Path]:
    return [settings.root / FOLDER / "tombstones.txt", settings.secrets.key_file.with_suffix(".tombstones")]


def _expiry(settings: Settings) -> Path:
    return settings.root / FOLDER / "expired.txt"
