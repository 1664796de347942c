"""Detect a file's format by its first bytes, because a suffix may be wrong."""

from __future__ import annotations

import gzip
import re
import zipfile
import zlib
from pathlib import Path
from typing import IO, Literal, cast

from sovereign_ml.errors import Misuse

FileFormat = Literal["parquet", "text", "gzip"]

HEAD = 512
"""Number of bytes that are read. The mark of a tar archive is at 257."""
AS_TABLE = "export the table as CSV or Parquet"
OTHER_FORMATS = {
    b"PK\x05\x06": ("an empty zip archive", AS_TABLE),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook (.xls)", "save the sheet as 'CSV UTF-8'"),
    b"BZh": ("compressed with bzip2", "unpack it, or use gzip"),
    b"\xfd7zXZ\x00": ("compressed with xz", "unpack it, or use gzip"),
    b"\x28\xb5\x2f\xfd": ("compressed with zstd", "unpack it, or use gzip"),
    b"\x04\x22\x4d\x18": ("compressed with lz4", "unpack it, or use gzip"),
    b"\x1f\x9d": ("compressed with compress (.Z)", "unpack it, or use gzip"),
    b"\xffNaPpY": ("compressed with snappy", "unpack it, or use gzip"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "unpack it"),
    b"Rar!\x1a\x07": ("a RAR archive", "unpack it"),
    b"PARE": ("an encrypted Parquet file", "write it without encryption"),
    b"ARROW1": ("an Arrow or Feather file", AS_TABLE),
    b"ORC": ("an ORC file", AS_TABLE),
    b"Obj\x01": ("an Avro file", AS_TABLE),
    b"SQLite format 3\x00": ("an SQLite database", AS_TABLE),
    b"%PDF": ("a PDF", AS_TABLE),
    b"\x89HDF": ("an HDF5 file", AS_TABLE),
    b"\x93NUMPY": ("an array of NumPy", AS_TABLE),
    b"\x80\x04\x95": ("a pickle of Python", AS_TABLE),
    b"\x80\x05\x95": ("a pickle of Python", AS_TABLE),
    b"RDX3\n": ("a file of R", AS_TABLE),
    b"X\n\x00\x00\x00": ("a file of R (.rds)", AS_TABLE),
    b"<stata_dta>": ("a file of Stata", AS_TABLE),
    b"$FL2@(#)": ("a file of SPSS", AS_TABLE),
    b"\x00\x01\x00\x00Standard ": ("a database of Access", AS_TABLE),
    bytes(12) + b"\xc2\xea\x81\x60": ("a file of SAS", AS_TABLE),
}
"""First bytes of formats that are refused, each with its name and the advice."""
BINARY = re.compile(rb"[\x00-\x08\x0e-\x1f]")
"""A byte that no text has, but every file of the formats whose first bytes are letters."""
AS_SHEET = "save the sheet as 'CSV UTF-8'"
OTHER_TEXTS = {
    rb'[\[{]\s*(["{\[\]}])': ("JSON", AS_TABLE),
    # Shops and SAP write such a file under a name that ends in .xls.
    rb"(?i)<(\?xml|!doctype|html|head|body|meta|table|workbook)[\s>]": (
        "HTML or XML",
        f"open it in a spreadsheet program and {AS_SHEET}, or {AS_TABLE}",
    ),
}
"""The same for formats of text, each with the pattern of its first letters."""
IN_ZIP = {
    "[Content_Types].xml": ("an Excel workbook", f"{AS_SHEET} and name that file"),
    "content.xml": ("an OpenDocument spreadsheet (.ods)", f"{AS_SHEET} and name that file"),
    "Index/Document.iwa": ("a Numbers document", f"{AS_SHEET} and name that file"),
}
"""Spreadsheets that are zip archives, each with one of its entries."""


def format_of(path: Path) -> FileFormat:
    """Return the format of ``path`` by its first bytes. Raises Misuse for an unsupported format."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
        file_format = _format(path, head)
        if file_format == "gzip":
            with gzip.open(path) as file:
                inner = file.read(HEAD)
            if _format(path, inner) != "text":
                raise Misuse(f"{path} is gzip around something that is no CSV: unpack it first.")
    except (OSError, EOFError, zlib.error) as error:
        raise Misuse(f"Cannot read {path}: {error}.") from None
    return file_format


def open_bytes(path: Path, file_format: FileFormat) -> IO[bytes]:
    """Open a text file for reading bytes, through gzip where it is compressed."""
    return cast("IO[bytes]", gzip.open(path)) if file_format == "gzip" else path.open("rb")


def _format(path: Path, head: bytes) -> FileFormat:
    # The header of a CSV file may start with such letters: ORCID, PARENT_ID, PAR1.
    is_text = BINARY.search(head) is None
    if head.startswith(b"PAR1") and not is_text:
        return "parquet"
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith(b"PK\x03\x04"):
        kind, advice = _zipped(path)
        raise Misuse(f"{path} is {kind}: {advice}.")
    if head[257:262] == b"ustar":
        raise Misuse(f"{path} is a tar archive: unpack it.")
    for mark, (kind, advice) in OTHER_FORMATS.items():
        if mark.isalnum() and is_text:
            continue
        if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(mark):
            raise Misuse(f"{path} is {kind}: {advice}.")
    # Without the NUL bytes of UTF-16 and the marks of byte orders.
    text = head.replace(b"\x00", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \r\n\t")
    for pattern, (kind, advice) in OTHER_TEXTS.items():
        if re.match(pattern, text):
            raise Misuse(f"{path} is {kind}: {advice}.")
    return "text"


def _zipped(path: Path) -> tuple[str, str]:
    try:
        names = zipfile.ZipFile(path).namelist()
    except (zipfile.BadZipFile, OSError):
        names = []
    for entry, kind_and_advice in IN_ZIP.items():
        if entry in names:
            return kind_and_advice
    return "a zip archive", "unpack it and name the file inside"
