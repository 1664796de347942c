"""How to look for people in one file, and how to take them out of it."""

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
        """Whether a file that starts with ``head`` is of this format."""

    def count(self, path: Path, people: People) -> int:
        """Rows about ``people``."""

    def remove(self, path: Path, people: People) -> None:
        """Take the rows about ``people`` out of ``path``, in one step; all else stays in the same order."""


def format_of(path: Path, formats: Sequence[Format]) -> Format | None:
    """The format that reads ``path``; None for one whose rows we do not know: it is searched byte by byte."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    return next((one for one in formats if one.reads(head)), None)


def mentions(path: Path, people: People) -> bool:
    """Whether any pseudonym stands in the bytes of ``path``, also inside a zip archive or gzip file."""
    pattern = re.compile(b"|".join(re.escape(one.encode()) for one in people))
    if path.stat().st_size == 0:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        few = len(people) <= FEW  # then one fast search each is quicker than one pattern for all
        if (
            any(content.find(one.encode()) >= 0 for one in people)
            if few
            else pattern.search(content)
        ):
            return True
        head = content[:2]
    if head == b"PK" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return any(pattern.search(archive.read(name)) for name in archive.namelist())
    if head == b"\x1f\x8b":
        with gzip.open(path) as packed:
            return bool(pattern.search(packed.read()))
    return False
