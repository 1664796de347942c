"""Who and what may not come back: tombstones of erased people, and the day before which purchases are expired."""

from __future__ import annotations

import hmac
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sovereign_ml.config.settings import Settings
from sovereign_ml.errors import Misuse
from sovereign_ml.privacy import subjects
from sovereign_ml.privacy.tombstones import Tombstones, write_durably

if TYPE_CHECKING:
    import duckdb

FOLDER = "governance"
KEY = Path(FOLDER) / "key.txt"


def tombstones(settings: Settings) -> Tombstones:
    """Those in git, and a copy beside the pseudonyms' key: a backup of the whole folder does not restore that one."""
    key, *former = settings.pseudonym_keys()
    return Tombstones(stones(settings), key, former)


def count(settings: Settings) -> int:
    """How many tombstones there are; needs no key."""
    return len(_unnamed(settings))


def expired_before(settings: Settings) -> datetime | None:
    """Purchases before this moment were deleted by `churn retain`; None if none were."""
    file = _expiry(settings)
    return (
        datetime.fromisoformat(file.read_text(encoding="utf-8").split()[-1])
        if file.is_file()
        else None
    )


def expire_before(settings: Settings, moment: datetime) -> None:
    """Let step 1 leave out purchases before ``moment``; an earlier one changes nothing."""
    present = expired_before(settings)
    if present is None or moment > present:
        write_durably(_expiry(settings), f"Purchases before {moment.isoformat()}\n")


def fingerprint(settings: Settings) -> dict[str, str]:
    """What DVC watches of this in ``data/source.json``: step 1 runs again when it changes. Empty without any."""
    expired = expired_before(settings)
    found = {
        "tombstones": _unnamed(settings).digest,
        "pseudonym_key": noted_key(settings),
        "expired_before": expired.isoformat() if expired else "",
    }
    return {key: value for key, value in found.items() if value}


def leave_out(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Mark the erased in ``people``, also those whom no customers table names, and the expired rows in ``mapped``."""
    connection.execute("ALTER TABLE mapped ADD COLUMN expired BOOLEAN DEFAULT false")
    if moment := expired_before(settings):
        connection.execute(
            f"UPDATE mapped SET expired = true WHERE event_time < TIMESTAMPTZ '{moment.isoformat()}'"
        )  # noqa: S608
    found = tombstones(settings)
    if not len(found):
        return
    names = subjects.names(connection, settings)
    subjects.mark(connection, "erased", (names[one] for one in found.among(names)))


def stones(settings: Settings) -> list[Path]:
    """The two files of tombstones."""
    return [
        settings.root / FOLDER / "tombstones.txt",
        settings.secrets.key_file.with_suffix(".tombstones"),
    ]


def sign(key: bytes) -> str:
    """By what a key is known without being told: 16 hex characters."""
    return hmac.digest(key, b"which key", "sha256").hex()[:16]


def note_key(settings: Settings, key: bytes) -> None:
    """Note in git which key is in use since a rotation."""
    write_durably(
        settings.root / KEY,
        f"Key of the pseudonyms since the last `churn rotate-key`: {sign(key)}\n",
    )


def noted_key(settings: Settings) -> str:
    """The sign of the key that the last rotation brought; empty without any."""
    file = settings.root / KEY
    return file.read_text(encoding="utf-8").split()[-1] if file.is_file() else ""


def check_key(settings: Settings) -> None:
    """Raises Misuse if the key in use is not the one of the last rotation: it would split every customer in two."""
    noted = noted_key(settings)
    if noted and not hmac.compare_digest(noted, sign(settings.pseudonym_key())):
        raise Misuse(
            "The pseudonym key here is not the one of the last rotation (governance/key.txt): take over the keys, "
            "newest first, from whoever ran `churn rotate-key`; if it was interrupted here, call it again."
        )


def _unnamed(settings: Settings) -> Tombstones:
    """The tombstones where nobody has to be told by them: that needs no key."""
    return Tombstones(stones(settings), key=b"")


def _expiry(settings: Settings) -> Path:
    return settings.root / FOLDER / "expired.txt"
