"""Find what a committed notebook must not hold: rows of data, people's ids and addresses, attachments, secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from sovereign_ml.audit.pii_scan import VALUES
from sovereign_ml.audit.secrets import ScanHit, committed, secrets_in

_TABLE_ROW = re.compile(r"^\s*\d+\s+\S+(?:\s{2,}|\t|\s*[|│])\s*\S+")
_CSV_ROW = re.compile(r"^\s*[\"']?[\w.@:+ -]+(?:[,;\t][\w.@:+ -]*){2,}\\?[\"']?\s*$")
_ID = re.compile(r"\b(?:[0-9a-f]{32}|[0-9a-f]{64}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b")
_ROW_TYPES = (
    "application/vnd.dataresource+json",
    "application/json",
    "application/vnd.dataframe+json",
)
_ENOUGH_ROWS = 3


def scan_notebooks(root: Path, exclude: Iterable[str] = ()) -> list[ScanHit]:
    """What should not be there in the notebooks that git tracks or would track below ``root``."""
    patterns = tuple(exclude)
    hits: list[ScanHit] = []
    for path in committed(root, "*.ipynb"):
        name = path.relative_to(root).as_posix()
        if not any(fnmatch(name, pattern) for pattern in patterns):
            hits += scan_notebook(name, path.read_text(encoding="utf-8", errors="replace"))
    return hits


def scan_notebook(file: str, text: str) -> list[ScanHit]:
    """Hits in one notebook, at the line of the .ipynb file. A file that is not a notebook is a hit itself."""
    try:
        cells = json.loads(text)["cells"]
    except (ValueError, KeyError, TypeError):
        return [ScanHit(file, 1, "not a readable notebook")]
    found = [(needle, kind) for cell in cells for needle, kind in _cell(cell)]
    raw = text.splitlines()
    hits = {ScanHit(file, _line_of(raw, needle), kind): None for needle, kind in found}
    return sorted(hits, key=lambda hit: (hit.line, hit.kind))


def _cell(cell: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """``(text to find again, kind)`` for the source, the attachments and the outputs of a cell."""
    source = _joined(cell.get("source", ""))
    yield from _text(source)
    yield from _rows(source, _CSV_ROW, "rows of data in the source")
    for name in cell.get("attachments", {}):
        yield name, "attachment"
    for output in cell.get("outputs", ()):
        yield from _output(output)


def _output(output: dict[str, Any]) -> Iterator[tuple[str, str]]:
    data = output.get("data", {})
    for kind in _ROW_TYPES:
        if kind in data:
            yield kind, "rows of data in an output"
    html = _joined(data.get("text/html", ""))
    if "<td" in html:
        yield "<td", "rows of data in an output"
    plain = _joined(output.get("text", "")) + "\n" + _joined(data.get("text/plain", ""))
    if "<td" not in html:
        yield from _rows(plain, _TABLE_ROW, "rows of data in an output")
    for text in (html, plain, _joined(output.get("traceback", ""))):
        yield from _text(text)
        yield from (
            (match.group(), "identifier of a person or record") for match in _ID.finditer(text)
        )


def _text(text: str) -> Iterator[tuple[str, str]]:
    lines = text.splitlines()
    for number, kind in secrets_in(text):
        yield lines[number - 1], kind
    for kind, pattern in VALUES.items():
        yield from (
            (match.group(), kind) for match in pattern.finditer(text) if not _harmless(text, match)
        )


def _harmless(text: str, match: re.Match[str]) -> bool:
    """The decimals of a number are no card number, and git@host is no person."""
    return text[: match.start()].endswith(".") or match.group().startswith("git@")


def _rows(text: str, pattern: re.Pattern[str], kind: str) -> Iterator[tuple[str, str]]:
    """A run of lines that look like rows; one or two may be anything."""
    run: list[str] = []
    for line in [*text.splitlines(), ""]:
        if pattern.match(line):
            run.append(line)
            continue
        if len(run) >= _ENOUGH_ROWS:
            yield run[0], kind
        run = []


def _joined(value: Any) -> str:
    return "".join(map(str, value)) if isinstance(value, list) else str(value)


def _line_of(raw: list[str], needle: str) -> int:
    """The first line of the file that holds ``needle``, written as JSON writes it."""
    spellings = {json.dumps(needle)[1:-1], json.dumps(needle, ensure_ascii=False)[1:-1]}
    return next(
        (number for number, line in enumerate(raw, 1) if any(text in line for text in spellings)), 1
    )
