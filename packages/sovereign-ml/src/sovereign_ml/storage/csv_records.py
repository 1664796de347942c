"""CSV read as text, record by record (RFC 4180), without silent skips, guesses or repairs."""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from sovereign_ml.config.data_tables import ReaderSettings
from sovereign_ml.errors import Misuse
from sovereign_ml.storage.file_format import FileFormat, open_bytes

if TYPE_CHECKING:
    from _csv import Reader

    import pyarrow as pa

BATCH = 50_000
LONGEST_VALUE = 1 << 24
"""Characters of one value; a quote that never ends is longer."""
BLOCK = 65_536
"""Number of bytes that are decoded at a time in search of one that cannot be."""
SAMPLE = 65_536
"""Number of characters in which the delimiter is searched."""
UNREADABLE = (UnicodeError, OSError, EOFError, zlib.error)
DELIMITERS = (",", ";", "\t", "|")
MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
"""Encoding by byte order mark. The long marks come first: they start with the short ones."""
OUTER_SPACES = re.compile(r"^ +| +(?=[\r\n]*$)")
"""Spaces at both ends of a line, which columns aligned by spaces have too."""
CONTROLS = re.compile(r"[\x00-\x1f\x7f]+|[\u00a0\u2007\u2009\u202f]")
UNSEEN = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff]")
"""Characters that nobody sees in a name, such as the byte order mark of a file that has two."""
END_OF_FILE = "\x1a"
"""The last character of a text file of DOS, and of a few old programs to this day."""
LINE_END = re.compile(r"\n|\r(?!\n)")
VALUE = re.compile(
    r"(?P<number>[-+]?\d+([.,]\d+)*)|\S+@\S+[.]\S+|\d{4}-\d\d-\d\d([ T].*)?|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}.*"
)
"""A number, an e-mail address or a date: hardly the name of a column."""
SEPARATOR_LINE = re.compile(r"sep=(.)\s*", re.IGNORECASE)
"""First line in which Excel names the delimiter."""


class CsvRecords:
    """One CSV file: its columns, its records as Arrow batches, and notes on skipped lines."""

    def __init__(self, path: Path, file_format: FileFormat, settings: ReaderSettings) -> None:
        """Read the header. Raises Misuse where there is none."""
        self._path, self._format, self._settings = path, file_format, settings
        self._encoding = self._find_encoding()
        self.records = self.blank_lines = self._separator_lines = self._headers_again = 0
        self._renamed: list[str] = []
        with self._text() as text:
            self._skip(text)
            first = self._read(text, "line")
            match = SEPARATOR_LINE.fullmatch(first)
            self._separator_lines = 1 if match else 0
            sample = ("" if match else first) + self._read(text, "sample")
        self.delimiter = settings.delimiter or (match[1] if match else self._detect(sample))
        self.columns = self._header()

    @property
    def notes(self) -> list[str]:
        """Return one sentence for each kind of skipped line and each renamed column."""
        counted = {
            "skip_lines": self._settings.skip_lines,
            "sep= line": self._separator_lines,
            "blank": self.blank_lines,
            "the header again": self._headers_again,
        }
        skipped = [
            f"{n:,} {'line' if n == 1 else 'lines'} of {self._path.name} skipped ({why})"
            for why, n in counted.items()
            if n
        ]
        return skipped + [
            f"a column of {self._path.name} has the name of an earlier one: it is read as {name}"
            for name in self._renamed
        ]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the records in batches, every value as text, with null for an empty value.

        Raises Misuse at the first record that has another number of fields than the header.
        """
        rows: list[list[str]] = []
        for _, row in self.numbered():
            rows.append(row)
            if len(rows) == BATCH:
                yield self._batch(rows)
                rows = []
        if rows:
            yield self._batch(rows)

    def numbered(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each record with the line on which it starts, and raise like :meth:`batches`."""
        return self._rows(header=False)

    def _batch(self, rows: list[list[str]]) -> pa.RecordBatch:
        import pyarrow as pa

        self.records += len(rows)
        values = [
            pa.array([value or None for value in column], pa.string())
            for column in zip(*rows, strict=True)
        ]
        return pa.RecordBatch.from_arrays(values, names=self.columns)

    def _header(self) -> list[str]:
        if self._settings.names:
            return _unique(self._settings.names)
        for _, row in self._rows(header=True):
            if any("\x00" in name for name in row):
                raise Misuse(
                    f"{self._path} is no CSV: its header holds NUL bytes. If it is UTF-16 without "
                    'a byte order mark, set encoding = "utf-16-le" under [data.reader].'
                )
            names = _unique(row)
            self._renamed = [
                n for n, raw in zip(names, row, strict=True) if _on_one_line(raw) not in ("", n)
            ]
            return names
        raise Misuse(f"{self._path} is empty: it needs a header and at least one row.")

    def _rows(self, *, header: bool) -> Iterator[tuple[int, list[str]]]:
        """Yield the header alone, or every record after it, with the line on which it starts."""
        last, lines_before = 0, self._settings.skip_lines + self._separator_lines
        with self._text() as text:
            self._skip(text)
            if self._separator_lines:
                text.readline()
            reader = self._reader(text)
            width, blank, again = len(self._settings.names), 0, 0
            names: list[str] = []
            while True:
                try:
                    row = next(reader)
                except StopIteration:
                    break
                except csv.Error as error:
                    raise Misuse(self._broken(lines_before + last + 1, error)) from None
                except UNREADABLE as error:
                    raise Misuse(self._undecodable(error)) from None
                start, last = lines_before + last + 1, reader.line_num
                # An empty line is a record with one empty field, or with none.
                if len(row) < 2 and not "".join(row).strip().strip(END_OF_FILE):
                    blank += 1
                elif not width:
                    width, names = len(row), row
                    if header:
                        yield start, row
                        return
                elif len(row) != width:
                    raise Misuse(self._ragged(start, len(row), width))
                # The two ends are looked at first, because this runs for every row.
                elif (row[0] in names or row[-1] in names) and self._is_header(row, names, start):
                    again += 1
                else:
                    yield start, row
            self.blank_lines, self._headers_again = blank, again

    def _is_header(self, row: Sequence[str], header: Sequence[str], line: int) -> bool:
        """Return whether ``row`` is the header again, as in files that were put together.

        Raises Misuse where it has other columns or another order: values would change places.
        """
        names, known = ([_on_one_line(name) for name in cells] for cells in (row, header))
        if names == known:
            return len(known) > 1
        if 2 * len({name for name in names if name} & set(known)) > len(known):
            raise Misuse(
                f"{self._path}, line {line:,}: a second header has other columns or another order "
                "than the first. Name the files that were put together one by one in [data], or a "
                "pattern such as sales-*.csv."
            )
        return False

    def _reader(self, lines: Iterable[str], delimiter: str = "", *, strict: bool = True) -> Reader:
        quote = self._settings.quote
        delimiter = delimiter or self.delimiter
        if delimiter == " ":
            lines = (OUTER_SPACES.sub("", line) for line in lines)
        # Python's own limit would stop at a long note and blame its quotes.
        csv.field_size_limit(LONGEST_VALUE)
        return csv.reader(
            lines,
            delimiter=delimiter,
            skipinitialspace=delimiter == " ",
            quotechar=quote or None,
            quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
            strict=strict,
        )

    def _detect(self, sample: str) -> str:
        """Return the delimiter of the header, or of several the one that splits all rows evenly."""
        widths = {mark: self._widths(sample, mark) for mark in DELIMITERS}
        candidates = {mark: counts for mark, counts in widths.items() if counts and counts[0] > 1}
        even = {mark: counts for mark, counts in candidates.items() if len(set(counts)) == 1}
        ranked = sorted(even or candidates, key=lambda mark: -candidates[mark][0])
        # A wrong guess would move every value into another column.
        if len(ranked) > 1 and candidates[ranked[0]][0] == candidates[ranked[1]][0]:
            raise Misuse(
                f"{self._path}: the header could be split at {ranked[0]!r} or at {ranked[1]!r}. "
                "Set delimiter under [data.reader] in config.toml."
            )
        return ranked[0] if ranked else ","

    def _widths(self, sample: str, delimiter: str) -> list[int]:
        rows = self._reader(io.StringIO(sample, newline=""), delimiter, strict=False)
        try:
            counts = [len(row) for row in rows if len(row) > 1 or "".join(row).strip()]
        except csv.Error:
            return []
        # The sample may end in the middle of its last record.
        return counts[:-1] if len(sample) >= SAMPLE and len(counts) > 1 else counts

    def _find_encoding(self) -> str:
        with open_bytes(self._path, self._format) as file:
            head = file.read(4)
        for mark, name in MARKS.items():
            if head.startswith(mark):
                return name
        encoding = self._settings.encoding or "utf-8"
        if not codecs.lookup(encoding).name.startswith("utf"):
            self._refuse_utf_8(encoding)
        return encoding

    def _refuse_utf_8(self, encoding: str) -> None:
        """Raise Misuse for UTF-8 that would be read in an encoding in which all bytes are letters.

        One of several files may have another encoding, and its ids and words would become others.
        """
        with open_bytes(self._path, self._format) as file:
            try:
                start = codecs.getincrementaldecoder("utf-8")().decode(file.read(16 * BLOCK))
            except UNREADABLE:
                return
        letters = [letter for letter in start if not letter.isascii()]
        # A single one may be by chance: the ß and the closing quote of Windows in „Spaß“ are one.
        if len(letters) >= 10 and len(set(letters)) > 1:
            raise Misuse(
                f"{self._path} is UTF-8, and [data.reader] encoding is {encoding!r}: its letters "
                "would become others. Leave encoding empty, or save all files in one encoding."
            )

    def _text(self) -> IO[str]:
        raw = open_bytes(self._path, self._format)
        return io.TextIOWrapper(raw, encoding=self._encoding, errors="strict", newline="")

    def _read(self, text: IO[str], part: Literal["line", "sample"]) -> str:
        try:
            return text.readline() if part == "line" else text.read(SAMPLE)
        except UNREADABLE as error:
            raise Misuse(self._undecodable(error)) from None

    def _skip(self, text: IO[str]) -> None:
        for _ in range(self._settings.skip_lines):
            self._read(text, "line")

    def _ragged(self, line: int, fields: int, width: int) -> str:
        counted = f"{fields} {'field' if fields == 1 else 'fields'}"
        header = "names" if self._settings.names else "the header"
        return (
            f"{self._path}, line {line:,}: {counted} where {header} has {width}, split at "
            f"{self.delimiter!r}. Quote the values that hold the delimiter, or set delimiter, "
            "quote or skip_lines under [data.reader] in config.toml."
        )

    def _broken(self, line: int, error: csv.Error) -> str:
        return (
            f"{self._path}, line {line:,}: a quoted value does not end where it should ({error}). "
            "Double the quotes inside of values (RFC 4180), or set quote under [data.reader] in "
            'config.toml; quote = "" where the file quotes nothing.'
        )

    def _undecodable(self, error: Exception) -> str:
        """Return a message with the first line that cannot be decoded."""
        if not isinstance(error, UnicodeError):
            return f"Cannot read {self._path}: {error}."
        return (
            f"Cannot read {self._path} as CSV, line {self._line_of_fault():,}: it is not {self._encoding.upper()}. Set "
            'encoding under [data.reader] in config.toml, such as "cp1252" (Windows), "latin-1" '
            'or "utf-16-le"; `churn data suggest` names it.'
        )

    def _line_of_fault(self) -> int:
        """Return the first line that cannot be decoded."""
        # The decoder of the reader reads ahead, so its error does not tell the line.
        decoder = codecs.getincrementaldecoder(self._encoding)()
        line, last = 1, ""
        with open_bytes(self._path, self._format) as file:
            while block := file.read(BLOCK):
                state = decoder.getstate()
                try:
                    text = decoder.decode(block)
                except UnicodeError as failure:
                    # The error counts from the bytes that were left over from the block before.
                    start = getattr(failure, "start", 0) - len(state[0])
                    decoder.setstate(state)
                    text = decoder.decode(block[: max(0, start)])
                    block = b""
                # A line end of two characters may be in two blocks.
                line += len(LINE_END.findall(text)) - (last == "\r" and text[:1] == "\n")
                last = text[-1:]
                if not block:
                    break
        return line


def is_row(names: Iterable[str]) -> bool:
    """Return whether the names look like values: those of a person must not get into a message."""
    signs = [VALUE.fullmatch(name.strip()) for name in names]
    numbers = sum(bool(sign and sign["number"]) for sign in signs)
    return numbers > 1 or any(sign and not sign["number"] for sign in signs)


def _unique(header: Sequence[str]) -> list[str]:
    """Return the names of the columns. A repeated name gets a number, an empty one its place."""
    names: list[str] = []
    used: set[str] = set()
    own = {_on_one_line(raw).casefold() for raw in header}
    for place, raw in enumerate(header):
        base = _on_one_line(raw) or f"column{place}"
        name, again = base, 0
        # DuckDB ignores the case of column names. A number that another column has as its own name
        # is left to that column.
        while name.casefold() in used or (again and name.casefold() in own):
            again += 1
            name = f"{base}_{again}"
        used.add(name.casefold())
        names.append(name)
    return names


def _on_one_line(name: str) -> str:
    """Return the name as it is seen, on one line, so that it fits into config.toml.

    An accent is part of its letter (Unicode NFC): a Mac writes it apart.
    """
    return unicodedata.normalize("NFC", CONTROLS.sub(" ", UNSEEN.sub("", name)).strip())
