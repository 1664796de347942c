"""File formats: search people in one file, and remove their rows."""

from __future__ import annotations

import gzip
import lzma
import mmap
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Protocol

from sovereign_ml.data_subjects.stores.protocol import People
from sovereign_ml.errors import Misuse

HEAD = 16
FEW = 4
PIECE = 1 << 20
LONGEST = 1 << 10
"""Bytes of the longest pseudonym that is found across two pieces."""
_BROKEN = (EOFError, OSError, zlib.error, zipfile.BadZipFile, RuntimeError, lzma.LZMAError)
"""What the standard library raises for a file that is cut short, damaged or encrypted."""


class UnsearchableError(Misuse):
    """Say that nobody can tell whether the file at ``place`` is about somebody, and why."""

    def __init__(self, place: object, reason: object) -> None:
        super().__init__(
            f"{place} cannot be unpacked, so nobody knows who is in it: {reason}. Look at it, and "
            "repair or remove it, then call this again."
        )
        self.reason = reason


class Format(Protocol):
    """A file format from which single rows can be taken out."""

    def reads(self, head: bytes) -> bool:
        """Return whether a file that starts with ``head`` is of this format."""

    def count(self, path: Path, people: People) -> int:
        """Return the number of rows about ``people``."""

    def remove(self, path: Path, people: People) -> None:
        """Remove the rows about ``people`` from ``path`` in one step, and keep the order."""


def format_of(path: Path, formats: Sequence[Format]) -> Format | None:
    """Return the format that reads ``path``, None for one whose rows are unknown."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    return next((candidate for candidate in formats if candidate.reads(head)), None)


def count_people(path: Path, people: People, kind: Format | None) -> int:
    """Return the number of rows about ``people``, or 1 for a mention in an unknown format.

    Raises UnsearchableError.
    """
    return kind.count(path, people) if kind else int(mentions(path, people))


def mentions(path: Path, people: People) -> bool:
    """Return whether a pseudonym is in the bytes of ``path``, also inside a zip or gzip file.

    Raises UnsearchableError for such a file with a part that cannot be unpacked.
    """
    pattern = re.compile(b"|".join(re.escape(name.encode()) for name in people))
    # An empty file cannot be mapped.
    if path.stat().st_size == 0:
        return False
    # Mapped and not read, because a data version may be larger than the memory.
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        # For few people one search each is faster than one pattern for all.
        if len(people) <= FEW:
            present = any(content.find(person.encode()) >= 0 for person in people)
        else:
            present = pattern.search(content) is not None
        if present:
            return True
        head = content[:2]
    try:
        return any(_holds(stream, pattern) for stream in _unpacked(path, head))
    except _BROKEN as error:
        raise UnsearchableError(path, error) from None


def _unpacked(path: Path, head: bytes) -> Iterator[IO[bytes] | gzip.GzipFile]:
    """Yield the content of each file in ``path``, nothing if it is no zip or gzip file."""
    if head == b"PK" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as packed:
                    yield packed
    elif head == b"\x1f\x8b":
        with gzip.open(path) as packed:
            yield packed


def _holds(stream: IO[bytes] | gzip.GzipFile, pattern: re.Pattern[bytes]) -> bool:
    """Return whether ``pattern`` is in ``stream``, of which only a part is held in memory."""
    rest = b""
    while content := stream.read(PIECE):
        if pattern.search(rest + content):
            return True
        # A pseudonym may begin in one piece and end in the next.
        rest = (rest + content)[-LONGEST:]
    return False
