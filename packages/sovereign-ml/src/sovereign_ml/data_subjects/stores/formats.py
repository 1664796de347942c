"""File formats: search people in one file, and remove their rows."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import mmap
import re
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from sovereign_ml.data_subjects.stores.protocol import People
from sovereign_ml.errors import Misuse

HEAD = 16
FEW = 4
PIECE = 1 << 20
LONGEST = 1 << 10
"""Bytes of the longest pseudonym that is found across two pieces."""
TAR_END = 262
"""Bytes of a tar file up to the end of its sign."""
DEEPEST = 5
"""Packed files in one another that are opened."""
UNKNOWN = {
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!\x1a\x07": "RAR",
    b"\x04\x22\x4d\x18": "LZ4",
}
_BROKEN = (
    EOFError,
    OSError,
    zlib.error,
    zipfile.BadZipFile,
    tarfile.TarError,
    RuntimeError,
    lzma.LZMAError,
    # pyarrow's errors are of this kind.
    ValueError,
)
"""What is raised for a file that is cut short, damaged or encrypted."""


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
    """Return whether a pseudonym is in the bytes of ``path``, also in packed files inside of it.

    Raises UnsearchableError for a packed file with a part that cannot be unpacked.
    """
    spellings = [spelling for name in people for spelling in _spellings(name)]
    pattern = re.compile(b"|".join(map(re.escape, spellings)))
    # An empty file cannot be mapped.
    if path.stat().st_size == 0:
        return False
    # Mapped and not read, because a data version may be larger than the memory.
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        # For few people one search each is faster than one pattern for all.
        if len(people) <= FEW and any(content.find(spelling) >= 0 for spelling in spellings):
            return True
        if len(people) > FEW and pattern.search(content):
            return True
    try:
        with path.open("rb") as packed:
            return any(_holds(stream, pattern) for stream in _unpacked(packed))
    except _BROKEN as error:
        raise UnsearchableError(path, error) from None


def unknown_packer(path: Path) -> str:
    """Return the name of a packer that Python lacks, if ``path`` was packed by it, else ""."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    return next((name for magic, name in UNKNOWN.items() if head.startswith(magic)), "")


def _spellings(name: str) -> tuple[bytes, ...]:
    """Return a pseudonym in UTF-8, and as Excel and PowerShell write it: UTF-16, either order."""
    # The first byte of big endian and the last of little endian are the zero that is cut off.
    return name.encode(), name.encode("utf-16-le")[:-1]


def _unpacked(stream: IO[bytes], depth: int = 0) -> Iterator[IO[bytes]]:
    """Yield the content of each file in ``stream``, nothing if it is not packed.

    Raises OSError for files that are packed in one another without end.
    """
    if depth > DEEPEST:
        raise OSError(f"more than {DEEPEST} packed files are in one another")
    head = stream.read(TAR_END)
    stream.seek(0)
    opener = _opener(head)
    for content in opener(stream) if opener else ():
        part = io.BufferedReader(content, PIECE)
        if not _opener(part.peek(TAR_END)[:TAR_END]):
            yield part
            continue
        # A stream is read once, and a zip file has its directory at the end.
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(part, copy, PIECE)
            copy.seek(0)
            yield copy
            copy.seek(0)
            yield from _unpacked(copy, depth + 1)


def _opener(head: bytes) -> Callable[[Any], Iterator[Any]] | None:
    """Return the function that unpacks a file with this beginning, None if it is not packed."""
    by_magic: dict[bytes, Callable[[Any], Iterator[Any]]] = {
        b"\x1f\x8b": lambda stream: iter([gzip.GzipFile(fileobj=stream)]),
        b"BZh": lambda stream: iter([bz2.BZ2File(stream)]),
        b"\xfd7zXZ\0": lambda stream: iter([lzma.LZMAFile(stream)]),  # noqa: SIM115
        b"PK\x03\x04": _in_zip,
        b"ARROW1": _in_batches,
        b"ORC": _in_batches,
    }
    if head.endswith(b"ustar") and len(head) == TAR_END:
        return _in_tar
    # A text may begin with BZh too, but not with the number that follows.
    if head.startswith(b"BZh") and head[4:10] != b"1AY&SY":
        return None
    return next((opener for magic, opener in by_magic.items() if head.startswith(magic)), None)


def _in_zip(stream: IO[bytes]) -> Iterator[IO[bytes]]:
    if zipfile.is_zipfile(stream):
        with zipfile.ZipFile(stream) as archive:
            for name in archive.namelist():
                with archive.open(name) as content:
                    yield content


def _in_tar(stream: IO[bytes]) -> Iterator[IO[bytes]]:
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            if content := archive.extractfile(member):
                yield content


def _in_batches(stream: IO[bytes]) -> Iterator[IO[bytes]]:
    """Yield the parts of a table of Arrow (Feather) or ORC, not compressed."""
    import pyarrow as pa
    from pyarrow import orc

    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - len(b"ARROW1")))
    end = stream.read()
    stream.seek(0)
    # Both formats have their sign at the end too. A text may begin with the word.
    if end == b"ARROW1" and size > HEAD:
        table = pa.ipc.open_file(stream)
        batches = (table.get_batch(number) for number in range(table.num_record_batches))
    elif end[2:5] == b"ORC" and size > HEAD:
        table = orc.ORCFile(stream)
        batches = (table.read_stripe(number) for number in range(table.nstripes))
    else:
        return
    for batch in batches:
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, batch.schema) as plain:
            plain.write_batch(batch)
        sink.seek(0)
        yield sink


def _holds(stream: IO[bytes], pattern: re.Pattern[bytes]) -> bool:
    """Return whether ``pattern`` is in ``stream``, of which only a part is held in memory."""
    rest = b""
    while content := stream.read(PIECE):
        if pattern.search(rest + content):
            return True
        # A pseudonym may begin in one piece and end in the next.
        rest = (rest + content)[-LONGEST:]
    return False
