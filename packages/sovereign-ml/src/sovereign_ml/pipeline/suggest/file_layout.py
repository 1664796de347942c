"""Layout of a text file: encoding, lines above the header, delimiter, quote and header."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sovereign_ml.errors import Misuse
from sovereign_ml.pipeline.suggest.proposal import Candidate, ProposedSetting
from sovereign_ml.storage.csv_records import DELIMITERS, MARKS, SAMPLE, SEPARATOR_LINE, UNREADABLE
from sovereign_ml.storage.file_format import FileFormat, format_of, open_bytes
from sovereign_ml.storage.text_encoding import encoding_of

__all__ = ["FileLayout", "layout_of"]

TABLE = "data.reader"
NUMBER = re.compile(r"[-+(]?\d[\d.,:/ T-]*[-)]?")
"""A number, a date or a time, which are common in rows and rare in a header."""
MOST_LINES_ABOVE = 20


@dataclass(frozen=True)
class FileLayout:
    """The layout of a file, and the names of the columns if the file has a header."""

    decisions: tuple[ProposedSetting, ...]
    first_rows: tuple[tuple[str, ...], ...] = ()
    has_header: bool = True
    delimiter: str = ""
    above: tuple[str, ...] = ()
    """Lines above the header."""

    def with_names(self, names: Sequence[str], why: str) -> FileLayout:
        """Return the layout of a file without a header, its columns named."""
        named = ProposedSetting(TABLE, "names", tuple(names), (why,))
        return replace(self, decisions=(*self.decisions, named))


def layout_of(path: Path) -> FileLayout:
    """Return the layout of the file ``path``, empty for a Parquet file, which describes itself."""
    if not path.is_file():
        raise Misuse(f"No file {path}: name the file with your transactions.")
    file_format = format_of(path)
    if file_format == "parquet":
        return FileLayout(())
    try:
        guess = encoding_of(path, file_format)
    except UNREADABLE as error:  # such as a download that broke off
        raise Misuse(f"Cannot read {path}: {error}.") from None
    candidates = tuple(Candidate(name, evidence) for name, evidence in guess.candidates)
    encoding = ProposedSetting(TABLE, "encoding", guess.name, guess.why, candidates)
    text = _sample(path, file_format, str(encoding.trial_value or "utf-8-sig"))
    # Not splitlines(): form feeds and the vertical tabs of notes in a value end no line.
    lines = re.split(r"\r\n|\n|\r", text.rstrip("\r\n"))
    decisions = [encoding]
    start = 0
    # A first line such as sep=; tells a spreadsheet the delimiter.
    separator = SEPARATOR_LINE.fullmatch(lines[0])
    body = lines[1:] if separator else lines
    mark, start, equal = (separator[1], 0, []) if separator else _delimiter(body)
    if not mark:
        marks = tuple(Candidate(m, "the header could be split here") for m in equal)
        decisions.append(ProposedSetting(TABLE, "delimiter", None, (), marks))
        mark = equal[0]
    else:
        decisions.append(ProposedSetting(TABLE, "delimiter", mark, (_named(mark),)))
    if start:
        why = f"{start} {'line' if start == 1 else 'lines'} above the header, of another width"
        decisions.append(ProposedSetting(TABLE, "skip_lines", start, (why,)))
    above, body = body[:start], body[start:]
    quote = _quote(body, mark)
    if quote != '"':
        why = "values stand in apostrophes" if quote else 'a " in this file quotes nothing'
        decisions.append(ProposedSetting(TABLE, "quote", quote, (why,)))
    rows = tuple(tuple(row) for row in _rows(body, mark, quote)[:200])
    return FileLayout(tuple(decisions), rows, _has_header(rows), mark, tuple(above))


def _sample(path: Path, file_format: FileFormat, encoding: str) -> str:
    with open_bytes(path, file_format) as file:
        head = file.read(4)
        for mark, name in MARKS.items():
            if head.startswith(mark):
                encoding = name
                break
    raw = open_bytes(path, file_format)
    # The layout alone is looked at: a letter that cannot be read changes nothing of it.
    with io.TextIOWrapper(raw, encoding=encoding, errors="replace", newline="") as text:
        try:
            return text.read(SAMPLE)
        except UNREADABLE as error:
            raise Misuse(f"Cannot read {path}: {error}.") from None


def _delimiter(lines: Sequence[str]) -> tuple[str, int, list[str]]:
    """Return the delimiter and the number of lines above the header.

    Where several delimiters fit, it is empty, and the candidates are returned.
    """
    fitting: dict[str, tuple[int, int]] = {}
    for mark in (*DELIMITERS, " "):
        # The last line of the sample may be cut off.
        rows = _rows(lines, mark, '"')
        widths = [len(row) for row in (rows[:-1] if len(rows) > 2 else rows)]
        # Many values contain spaces, so they count only where no other mark fits.
        if mark == " " and fitting:
            break
        common, n = Counter(widths).most_common(1)[0] if widths else (0, 0)
        # A mark that splits nothing gives every line the same width of one.
        if common < 2 or n < 0.9 * len(widths[MOST_LINES_ABOVE:] or widths[-2:]):
            continue
        start = next(i for i, width in enumerate(widths) if width == common)
        if start <= MOST_LINES_ABOVE and n >= 0.9 * len(widths[start:]):
            fitting[mark] = (common, start)
    if not fitting:
        return ",", 0, []
    widest = max(width for width, _ in fitting.values())
    best = [mark for mark, (width, _) in fitting.items() if width == widest]
    if len(best) > 1:
        return "", 0, best
    rows = _rows(lines, best[0], '"')
    return best[0], _line_of(lines, fitting[best[0]][1], rows), []


def _line_of(lines: Sequence[str], row: int, rows: Sequence[Sequence[str]]) -> int:
    """Return the line in which the record ``row`` starts. Blank lines are no records."""
    if not row:
        return 0
    numbers = [i for i, line in enumerate(lines) if line.strip()]
    return numbers[row] if row < len(numbers) and row < len(rows) else 0


def _rows(lines: Sequence[str], mark: str, quote: str) -> list[list[str]]:
    if mark == " ":
        return [line.split() for line in lines if line.strip()]
    reader = csv.reader(
        [f"{line}\n" for line in lines],
        delimiter=mark,
        quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
    )
    try:
        return [row for row in reader if len(row) > 1 or "".join(row).strip()]
    except csv.Error:
        return []


def _quote(lines: Sequence[str], mark: str) -> str:
    """Return the sign around values, the usual one unless the file cannot be read with it."""
    if mark == " ":
        return '"'
    plain = [cell for row in _rows(lines, mark, "") for cell in row if cell.strip()]
    if sum(cell.startswith("'") and cell.endswith("'") for cell in plain) > len(plain) / 2:
        return "'"
    whole = [f"{line}\n" for line in lines[:-1] or lines]
    try:
        widths = {len(row) for row in csv.reader(whole, delimiter=mark, strict=True) if row}
    except csv.Error:
        widths = set()
    without = {len(row) for row in _rows(lines[:-1] or lines, mark, "")}
    return "" if len(widths) != 1 and len(without) == 1 else '"'


def _has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row has fewer numbers and dates than the others."""
    if len(rows) < 2:
        return True
    counts = [sum(bool(NUMBER.fullmatch(cell.strip())) for cell in row) for row in rows[:20]]
    usual = sorted(counts[1:])[len(counts[1:]) // 2]
    return counts[0] == 0 or counts[0] < 0.5 * usual


def _named(mark: str) -> str:
    return {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", " ": "runs of spaces"}.get(
        mark, "the sep= line names it"
    )
