"""Addresses in the cells and outputs of a notebook."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from sovereign_ml.audit._mention import Mention
from sovereign_ml.audit._payloads import Payload, context
from sovereign_ml.audit._services import by_text
from sovereign_ml.audit.readers.python_code import python
from sovereign_ml.audit.readers.text_lines import block, lines

_PICTURES = re.compile(r"image/|text/html$")
_MAGIC = re.compile(r"\s*(?:[!?]|%%?\w|\w[\w, ]{0,60}=\s*[!%])")


def notebook(file: str, text: str) -> Iterator[Mention]:
    """Scan the cells and outputs of a notebook, each at its line in the file.

    Code is read as Python, so that comments do not count. Magics and commands are read as a shell
    script. Links in text cells carry nothing. A file that is not a notebook is read line by line.
    """
    try:
        cells = [dict(cell) for cell in json.loads(text)["cells"]]
        mentions = list(_cells(file, cells, _Finder(text.splitlines())))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        yield from lines(file, text)
        return
    yield from mentions


class _Finder:
    """Finder of the file's line that holds a line of a cell, from the last hit onwards."""

    def __init__(self, raw: list[str]) -> None:
        self._raw = raw
        self._at = 0

    def line(self, source_line: str) -> int:
        """Return the number of the next line that holds ``source_line``, from 1."""
        text = json.dumps(source_line[:200], ensure_ascii=False)[1:-1]
        # Some editors write other letters as they are, and some as escapes.
        plain = json.dumps(source_line[:200])[1:-1]
        for start in (self._at, 0):
            for number in range(start, len(self._raw)):
                if text in self._raw[number] or plain in self._raw[number]:
                    self._at = number
                    return number + 1
        return self._at + 1


def _cells(file: str, cells: list[dict[str, Any]], finder: _Finder) -> Iterator[Mention]:
    parts: list[str] = []
    places: list[int] = []
    for cell in cells:
        source = _text_of(cell.get("source", ""))
        numbers = [finder.line(line) for line in source.splitlines()]
        if cell.get("cell_type") != "code":
            for number, line in zip(numbers, source.splitlines(), strict=True):
                yield from block(file, number, "description", line)
            continue
        plain, commands = _split_magics(source)
        yield from _placed(lines("cell.sh", commands), file, numbers)
        yield from _placed(by_text("cell.sh", commands), file, numbers)
        try:
            ast.parse(plain)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            yield from _placed(lines("cell.sh", plain), file, numbers)
        else:
            parts.append(plain)
            places += numbers
        for output in cell.get("outputs") or ():
            for line in _shown_lines(output):
                if "." in line or ":" in line:
                    yield from block(file, finder.line(line), "notebook", line)
    # what one cell imports the next ones use
    yield from _placed(python("cell.py", "\n".join(parts)), file, places)


def _placed(mentions: Iterable[Mention], file: str, numbers: list[int]) -> Iterator[Mention]:
    for row in mentions:
        at = numbers[min(row.line, len(numbers)) - 1] if numbers else 1
        component, carries = row.component, row.carries
        if row.kind in ("url", "host") and carries != (Payload.CODE,) and carries:
            component, carries = context(file, row.key, row.address)
        yield replace(row, file=file, line=at, component=component, carries=carries)


def _split_magics(source: str) -> tuple[str, str]:
    """Return the Python of a cell, and its magics and commands.

    Each has empty lines in place of the other.
    """
    rows = source.splitlines()
    first = next((row for row in rows if row.strip()), "")
    if first.startswith("%%") and not first.startswith(("%%time", "%%capture", "%%prun")):
        return "", source
    python_rows, command_rows = [], []
    for row in rows:
        magic = _MAGIC.match(row[:200]) is not None
        indent = row[: len(row) - len(row.lstrip())]
        python_rows.append(f"{indent}pass" if magic else row)
        command_rows.append(row.lstrip().lstrip("!") if magic else "")
    return "\n".join(python_rows), "\n".join(command_rows)


def _shown_lines(output: dict[str, Any]) -> Iterator[str]:
    data = output.get("data") or {}
    texts = [_text_of(value) for kind, value in data.items() if not _PICTURES.match(kind)]
    for text in (_text_of(output.get("text", "")), *texts):
        yield from text.splitlines()


def _text_of(value: Any) -> str:
    if isinstance(value, dict):
        return json.dumps(value)
    return "".join(map(str, value)) if isinstance(value, list) else str(value)
