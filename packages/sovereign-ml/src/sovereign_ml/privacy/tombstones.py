"""Tombstones: keyed hashes of erased people, so that no import or backup brings them back.

One HMAC over the pseudonym remains, with a key derived from the pseudonyms' key. Without that key
nobody can tell who it is. With it the next import leaves the person out (GDPR Art. 17(1), 5(2)).
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

HEADER = """\
# Erased people: keyed hash, day, receipt. `churn data-subject erase` writes this file.
# Step 1 leaves these people out.
# Keep it in git: it is what keeps an old file or a restored backup from bringing them back.
"""


class Tombstones:
    """Tombstones in several files. An old copy of one that is restored forgets nobody."""

    def __init__(self, files: Sequence[Path], key: bytes, former: Sequence[bytes] = ()) -> None:
        """Read the files. ``former`` keys count too, so that a rotation brings nobody back."""
        self._files = files
        self._key, *self._former = (
            hmac.digest(secret, b"tombstone", "sha256") for secret in (key, *former)
        )
        self._marks = {line.split()[0] for file in files for line in _lines(file)}

    def __len__(self) -> int:
        return len(self._marks)

    @property
    def digest(self) -> str:
        """Return a hash that changes when a tombstone is added, empty without any."""
        if not self._marks:
            return ""
        return hashlib.sha256("\n".join(sorted(self._marks)).encode()).hexdigest()

    def mark(self, pseudonym: str) -> str:
        """Return the keyed hash of an erased person: 64 hex characters."""
        return _mark(self._key, pseudonym)

    def among(self, pseudonyms: Iterable[str]) -> list[str]:
        """Return those of ``pseudonyms`` who were erased, in their order."""
        keys = (self._key, *self._former)
        # Without tombstones, an import of millions computes no hashes.
        if not self._marks:
            return []
        return [name for name in pseudonyms if any(_mark(key, name) in self._marks for key in keys)]

    def add(self, pseudonyms: Iterable[str], *, day: str, receipt: str) -> None:
        """Write a tombstone for each person into every file that has none for them."""
        marks = [self.mark(name) for name in pseudonyms]
        for file in self._files:
            lines = _lines(file)
            present = {line.split()[0] for line in lines}
            new = [f"{mark} {day} {receipt}" for mark in marks if mark not in present]
            if new or not file.exists():
                write_durably(file, HEADER + "".join(f"{line}\n" for line in [*lines, *new]))
        self._marks |= set(marks)


def _mark(key: bytes, pseudonym: str) -> str:
    return hmac.digest(key, pseudonym.encode(), "sha256").hex()


def marks(text: str) -> list[str]:
    """Return the lines of tombstones in a file: keyed hash, day, receipt."""
    # A merge of two branches leaves its signs, and the tombstones of both.
    others = ("#", "<<<<<<<", "|||||||", "=======", ">>>>>>>")
    return [line for line in text.splitlines() if line.strip() and not line.startswith(others)]


def _lines(file: Path) -> list[str]:
    return marks(file.read_text(encoding="utf-8")) if file.is_file() else []


def write_durably(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace ``path`` by ``text`` so that a crash leaves the old or the new content, no part."""
    # An empty path is the folder ".", which has no name to put the new file beside.
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    # Flushed to disk before it replaces the old file, which a power failure would else empty.
    side = path.with_name(f".{path.name}.part")
    try:
        # Created with its mode: with a chmod afterwards, others could read it for a moment.
        descriptor = os.open(side, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        side.replace(path)
    except BaseException as error:
        # On a full disk, or where the path is a folder, half a file would stay beside it.
        with suppress(OSError):
            side.unlink()
        if isinstance(error, OSError):
            # Nobody asked for the file beside it.
            error.filename, error.filename2 = str(path), None
        raise
