"""Tombstones: a keyed hash of each erased person, so that no import and no restored backup brings them back.

What stays of an erased person is one HMAC over the pseudonym, with a key derived from the pseudonyms' key: without
that key nobody can tell whose it is, with it the next import can tell whom to leave out (GDPR Art. 17(1), 5(2)).
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

HEADER = """\
# Erased people: keyed hash, day, receipt. `churn data-subject erase` writes it; step 1 leaves out whoever stands here.
# Keep it in git: it is what keeps an old file or a restored backup from bringing them back.
"""


class Tombstones:
    """The tombstones in ``files``, read as one list: a restored old copy of one of them forgets nobody."""

    def __init__(self, files: Sequence[Path], key: bytes, former: Sequence[bytes] = ()) -> None:
        """``former`` keys are asked too, so that a rotation of the key brings nobody back."""
        self._files = files
        self._key, *self._former = (
            hmac.digest(one, b"tombstone", "sha256") for one in (key, *former)
        )
        self._marks = {line.split()[0] for file in files for line in _lines(file)}

    def __len__(self) -> int:
        return len(self._marks)

    @property
    def digest(self) -> str:
        """Changes when a tombstone is added; empty without any."""
        return (
            hashlib.sha256("\n".join(sorted(self._marks)).encode()).hexdigest()
            if self._marks
            else ""
        )

    def mark(self, pseudonym: str) -> str:
        """The keyed hash under which an erased person is remembered: 64 hex characters."""
        return _mark(self._key, pseudonym)

    def among(self, pseudonyms: Iterable[str]) -> list[str]:
        """Those of ``pseudonyms`` who were erased, in their order."""
        keys = (self._key, *self._former)
        return (
            [one for one in pseudonyms if any(_mark(key, one) in self._marks for key in keys)]
            if self._marks
            else []
        )

    def add(self, pseudonyms: Iterable[str], *, day: str, receipt: str) -> None:
        """Write a tombstone for each person into every file; one that a file has already is not written again."""
        marks = [self.mark(one) for one in pseudonyms]
        for file in self._files:
            there = _lines(file)
            known = {line.split()[0] for line in there}
            new = [f"{mark} {day} {receipt}" for mark in marks if mark not in known]
            if new or not file.exists():
                write_durably(file, HEADER + "".join(f"{line}\n" for line in [*there, *new]))
        self._marks |= set(marks)


def _mark(key: bytes, pseudonym: str) -> str:
    return hmac.digest(key, pseudonym.encode(), "sha256").hex()


def marks(text: str) -> list[str]:
    """The lines of a file of tombstones that stand for somebody: keyed hash, day, receipt."""
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _lines(file: Path) -> list[str]:
    return marks(file.read_text(encoding="utf-8")) if file.is_file() else []


def write_durably(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace ``path`` by ``text`` so that a crash leaves either the old or the new content, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    side = path.with_name(f".{path.name}.part")
    descriptor = os.open(side, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    side.replace(path)
