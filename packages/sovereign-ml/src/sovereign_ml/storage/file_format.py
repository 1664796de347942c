"""What a file is, by its first bytes: a suffix is only a name that somebody gave it."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from pathlib import Path
from typing import IO, Literal, cast

from sovereign_ml.errors import Misuse

FileFormat = Literal["parquet", "text", "gzip"]

HEAD = 512
"""Bytes that are looked at; the mark of a tar archive stands at 257."""
AS_TABLE = "export the table as CSV or Parquet"
OTHER_FORMATS = {
    b"PK\x05\x06": ("an empty zip archive", AS_TABLE),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook (.xls)", "save the sheet as 'CSV UTF-8'"),
    b"BZh": ("compressed with bzip2", "unpack it, or use gzip"),
    b"\xfd7zXZ\x00": ("compressed with xz", "unpack it, or use gzip"),
    b"\x28\xb5\x2f\xfd": ("compressed with zstd", "unpack it, or use gzip"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "unpack it"),
    b"PARE": ("an encrypted Parquet file", "write it without encryption"),
    b"ARROW1": ("an Arrow or Feather file", AS_TABLE),
    b"ORC": ("an ORC file", AS_TABLE),
    b"Obj\x01": ("an Avro file", AS_TABLE),
    b"SQLite format 3\x00": ("an SQLite database", AS_TABLE),
    b"%PDF": ("a PDF", AS_TABLE),
    b'{"': ("JSON", AS_TABLE),
    b"[{": ("JSON", AS_TABLE),
}
"""What begins so, what it is, and what to do."""


def format_of(path: Path) -> FileFormat:
    """Return what the first bytes of ``path`` say. Raises Misuse for what is no table here."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
        found = _format(path, head)
        if found == "gzip":
            with gzip.open(path) as file:
                inner = file.read(HEAD)
            if _format(path, inner) != "text":
                raise Misuse(f"{path} is gzip around something that is no CSV: unpack it first.")
    except (OSError, EOFError, zlib.error) as error:
        raise Misuse(f"Cannot read {path}: {error}.") from None
    return found


def open_bytes(path: Path, found: FileFormat) -> IO[bytes]:
    """Open a text file for reading bytes, through gzip where it is compressed."""
    return cast("IO[bytes]", gzip.open(path)) if found == "gzip" else path.open("rb")


def _format(path: Path, head: bytes) -> FileFormat:
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith(b"PK\x03\x04"):
        what, advice = _zipped(path)
        raise Misuse(f"{path} is {what}: {advice}.")
    if head[257:262] == b"ustar":
        raise Misuse(f"{path} is a tar archive: unpack it.")
    for mark, (what, advice) in OTHER_FORMATS.items():
        if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(mark):
            raise Misuse(f"{path} is {what}: {advice}.")
    return "text"


def _zipped(path: Path) -> tuple[str, str]:
    try:
        names = zipfile.ZipFile(path).namelist()
    except (zipfile.BadZipFile, OSError):
        names = []
    if "[Content_Types].xml" in names:
        return "an Excel workbook", "save the sheet as 'CSV UTF-8' and name that file"
    return "a zip archive", "unpack it and name the file inside"
