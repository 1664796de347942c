"""File formats: search people in one file, and remove their rows."""

from __future__ import annotations

import gzip
import mmap
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from sovereign_ml.data_subjects.stores.protocol import People

HEAD = 16
FEW = 4


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
    """Return the number of rows about ``people``, or 1 for a mention in an unknown format."""
    return kind.count(path, people) if kind else int(mentions(path, people))


def mentions(path: Path, people: People) -> bool:
    """Return whether a pseudonym is in the bytes of ``path``, also inside a zip or gzip file."""
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
    if head == b"PK" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return any(pattern.search(archive.read(name)) for name in archive.namelist())
    if head == b"\x1f\x8b":
        with gzip.open(path) as packed:
            return bool(pattern.search(packed.read()))
    return False
