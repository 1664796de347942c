"""Suppression list: people who were erased, and the retention cut-off for purchases."""

from __future__ import annotations

import hmac
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sovereign_ml.config.connections import SuppressionFiles
from sovereign_ml.errors import Misuse
from sovereign_ml.privacy import subjects
from sovereign_ml.privacy.tombstones import Tombstones, write_durably
from sovereign_ml.pseudonyms import names_of

if TYPE_CHECKING:
    import duckdb

FOLDER = "governance"
KEY_FILE, EXPIRY = "key.txt", "expired.txt"
SENTENCE = "Purchases before"
SIGN = re.compile(r"\b[0-9a-f]{16}\b")


def tombstones(files: SuppressionFiles) -> Tombstones:
    """Return the tombstones in git and in the copy beside the key."""
    # A restored backup of the folder does not restore the copy, so nobody is forgotten.
    key, *former = files.keys()
    return Tombstones(paths(files), key, former)


def count(files: SuppressionFiles) -> int:
    """Return the number of tombstones. It needs no key."""
    return len(_without_key(files))


def expired_before(files: SuppressionFiles) -> datetime | None:
    """Return the moment before which `churn retain` deleted purchases, None if it deleted none."""
    path = files.folder / EXPIRY
    return cut_off(path.read_text(encoding="utf-8")) if path.is_file() else None


def cut_off(text: str) -> datetime:
    """Return the moment in the content of ``expired.txt``, the last of several.

    Raises Misuse if there is none.
    """
    # The file is a sentence for readers of git, which ends with the moment. A merge of two branches
    # leaves two of them, and purchases before either were deleted.
    words = [line.split()[-1] for line in text.splitlines() if line.startswith(SENTENCE)]
    try:
        moments = [datetime.fromisoformat(word) for word in words]
        return max(moment if moment.tzinfo else moment.replace(tzinfo=UTC) for moment in moments)
    except ValueError:
        raise Misuse(
            f"{FOLDER}/{EXPIRY} does not say before which moment purchases were deleted: take the "
            "file of the last commit again, with one line such as "
            f"'{SENTENCE} 2026-11-28T03:00:00+00:00'."
        ) from None


def expire_before(files: SuppressionFiles, moment: datetime) -> None:
    """Make step 1 leave out purchases before ``moment``. An earlier moment changes nothing."""
    present = expired_before(files)
    if present is None or moment > present:
        write_durably(files.folder / EXPIRY, f"{SENTENCE} {moment.astimezone(UTC).isoformat()}\n")


def fingerprint(files: SuppressionFiles) -> dict[str, str]:
    """Return the entries in ``data/source.json`` that make DVC run step 1 after a change.

    Empty without any tombstone, key sign or cut-off.
    """
    expired = expired_before(files)
    state = {
        "tombstones": _without_key(files).digest,
        "pseudonym_key": noted_key(files),
        "expired_before": expired.isoformat() if expired else "",
    }
    return {name: value for name, value in state.items() if value}


def mark_expired(connection: duckdb.DuckDBPyConnection, files: SuppressionFiles) -> None:
    """Mark the rows in ``mapped`` that are past their retention period."""
    connection.execute("ALTER TABLE mapped ADD COLUMN expired BOOLEAN DEFAULT false")
    if moment := expired_before(files):
        condition = f"event_time < TIMESTAMPTZ '{moment.isoformat()}'"
        connection.execute(f"UPDATE mapped SET expired = true WHERE {condition}")  # noqa: S608


def mark_erased(connection: duckdb.DuckDBPyConnection, files: SuppressionFiles) -> None:
    """Mark the erased in ``people``, also those whom no customers table names."""
    erased = tombstones(files)
    if not len(erased):
        return
    ids: list[str] = []
    for batch in subjects.batches(connection):
        names = names_of(batch, files.keys())
        ids += [names[name] for name in erased.among(names)]
    subjects.mark(connection, "erased", ids)


def paths(files: SuppressionFiles) -> list[Path]:
    """Return the two files of tombstones."""
    return [files.folder / "tombstones.txt", files.copy]


def key_sign(key: bytes) -> str:
    """Return 16 hex characters by which a key is recognised without being disclosed."""
    return hmac.digest(key, b"which key", "sha256").hex()[:16]


def note_key(files: SuppressionFiles, key: bytes) -> None:
    """Note in git which key is in use since a rotation."""
    text = (
        f"Key of the pseudonyms since the last `churn data-subject rotate-key`: {key_sign(key)}\n"
    )
    write_durably(files.folder / KEY_FILE, text)


def noted_key(files: SuppressionFiles) -> str:
    """Return the sign of the key of the last rotation, empty without any. Raises Misuse."""
    path = files.folder / KEY_FILE
    if not path.is_file():
        return ""
    signs: set[str] = set(SIGN.findall(path.read_text(encoding="utf-8")))
    if len(signs) != 1:
        raise Misuse(
            f"{FOLDER}/{KEY_FILE} names {len(signs)} keys, as after a merge of two branches: keep "
            "the line of the last rotation."
        )
    return signs.pop()


def check_key(files: SuppressionFiles) -> None:
    """Raise Misuse if the key in use is not the one of the last rotation."""
    # Another key would split every customer in two.
    noted = noted_key(files)
    if noted and not hmac.compare_digest(noted, key_sign(files.keys()[0])):
        raise Misuse(
            "The pseudonym key here is not the one of the last rotation (governance/key.txt). "
            "Copy the keys, newest first, from the person who ran "
            "`churn data-subject rotate-key`. If it was interrupted here, call it again."
        )


def _without_key(files: SuppressionFiles) -> Tombstones:
    """Return the tombstones for counting, which needs no key because nobody is recognised."""
    return Tombstones(paths(files), key=b"")
