"""Import of notebooks from Studio's home directories, without content unfit for a repository.

Outputs, attachments, pictures and metadata are removed. A cell with data of people is removed
unless somebody has reviewed it. A notebook with a secret is not imported: the secret has to be
changed first.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sovereign_ml.audit.notebooks import scan_notebook
from sovereign_ml.audit.secrets import secrets_in
from sovereign_ml.errors import Misuse
from sovereign_ml.leaving.dump import whole_json
from sovereign_ml.leaving.minimise import Minimiser, is_cohort
from sovereign_ml.privacy.tombstones import write_durably

HOMES = ("efs", "ebs", "notebook-instances")
"""Folders of a dump with one home directory per owner."""
_LARGEST = 50_000_000
# Studio names a kernel by the ARN of its image, which Jupyter elsewhere does not know.
_KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
_LOOK_UP = re.compile(r"RecordIdentifiers?ValueAsString[\"']?\s*[=:]\s*\[?\s*[\"']")
"""A query for one record of the feature store by its key."""
_COMMENT = re.compile(r"(?m)(?:^|\s)#.*$")


@dataclass
class BroughtNotebooks:
    """Counts of imported and existing notebooks, removed parts, and skipped files by reason."""

    imported: int = 0
    present: int = 0
    removed: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)


def bring_notebooks(
    dump: Path, output: Path, minimiser: Minimiser, *, with_hits: bool = False
) -> BroughtNotebooks:
    """Write every notebook of the home directories to ``<output>/<mark of the owner>/``.

    ``with_hits`` imports cells with data of people too. A notebook that was changed after its
    import is not overwritten. Raises Misuse if the dump has no home directory.
    """
    homes = [home for name in HOMES for home in sorted((dump / name).glob("*")) if home.is_dir()]
    if not homes:
        raise Misuse(
            f"{dump} has no home directory: copy those of Studio to {dump}/efs/<user>, of spaces "
            "to ebs/<space>, of notebook instances to notebook-instances/<name>."
        )
    counts = BroughtNotebooks()
    for home in homes:
        folder = output / f"owner-{minimiser.mark('owner', home.name)}"
        for path in _notebooks(home, counts):
            target = folder / _name(path.relative_to(home), minimiser)
            _bring(path, target, counts, with_hits=with_hits)
    return counts


def _notebooks(home: Path, result: BroughtNotebooks) -> Iterator[Path]:
    """Yield the notebooks of a home directory, and count the other files. Do not follow links."""
    for folder, folders, names in os.walk(home):
        # Of two notebooks with the same new name the first is written, so the order must be fixed.
        folders.sort()
        for name in sorted(names):
            path = Path(folder) / name
            if path.is_symlink():
                result.skipped["a link, which is not followed"] += 1
            elif path.suffix != ".ipynb":
                result.skipped["no notebook"] += 1
            elif ".ipynb_checkpoints" in path.parts:
                result.skipped["a checkpoint of Jupyter"] += 1
            elif path.stat().st_size > _LARGEST:
                result.skipped[f"over {_LARGEST // 1_000_000} MB"] += 1
            else:
                yield path


def _name(path: Path, minimiser: Minimiser) -> Path:
    """Return the path of an imported notebook, with marks for names that tell about people."""
    folders = [minimiser.title(part, "folder") for part in path.parts[:-1]]
    stem = minimiser.title(path.stem, "notebook")
    return Path(*folders, f"{stem}.ipynb")


def _bring(path: Path, target: Path, result: BroughtNotebooks, *, with_hits: bool) -> None:
    try:
        cells, dropped = _cells(whole_json(path.read_text(encoding="utf-8-sig")))
    # A copied home may hold files that this user must not read.
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        result.skipped["not a readable notebook"] += 1
        return
    # To drop the cell would not be enough: others could read the secret, so it must be changed.
    if any(any(secrets_in(source)) for _, source in cells):
        result.skipped["a secret in it: change the secret, remove it, then call again"] += 1
        return
    notebook, hits = stripped(cells, with_hits=with_hits)
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    before = target.read_text(encoding="utf-8") if target.is_file() else ""
    # Somebody may have worked on this file, and their work has no other copy.
    if before and before != text:
        result.skipped["changed after its import, or another of the same name"] += 1
        return
    result.removed.update(dropped + hits)
    if before:
        result.present += 1
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    write_durably(target, text)
    result.imported += 1


def _cells(notebook: dict[str, Any]) -> tuple[list[tuple[str, str]], Counter[str]]:
    """Return kind and source of each cell of format 3 or 4, and counts of the removed parts."""
    dropped: Counter[str] = Counter()
    # Format 3 has its cells in worksheets.
    sheets = [notebook] if "cells" in notebook else notebook["worksheets"]
    rows = [cell for sheet in sheets for cell in sheet["cells"]]
    cells = []
    for row in rows:
        # Format 3 had two more kinds of cells with prose.
        kind = {"heading": "markdown", "html": "markdown"}.get(row["cell_type"], row["cell_type"])
        if kind not in ("code", "markdown", "raw"):
            raise ValueError(kind)
        source = row.get("source", row.get("input", ""))
        cells.append((kind, "".join(source) if isinstance(source, list) else str(source)))
        dropped["outputs"] += len(row.get("outputs") or ())
        dropped["attachments"] += len(row.get("attachments") or ())
    dropped["states of widgets"] += "widgets" in notebook.get("metadata", {})
    return cells, +dropped


def stripped(
    cells: list[tuple[str, str]], *, with_hits: bool = False
) -> tuple[dict[str, Any], Counter[str]]:
    """Return a notebook (format 4.5) of the sources alone, and counts of removed cells."""
    hits: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    for number, (kind, source) in enumerate(cells):
        row: dict[str, Any] = {
            "cell_type": kind,
            # A fixed id, so that a repeated import gives the same file.
            "id": hashlib.sha256(f"{number} {source}".encode()).hexdigest()[:8],
            "metadata": {},
            "source": source.splitlines(keepends=True),
        }
        row |= {"execution_count": None, "outputs": []} if kind == "code" else {}
        reasons = set() if with_hits else _hits(row, source)
        hits.update(f"cells with {reason}" for reason in sorted(reasons)[:1])
        if not reasons:
            rows.append(row)
    return {"cells": rows, "metadata": _KERNEL, "nbformat": 4, "nbformat_minor": 5}, hits


def _hits(row: dict[str, Any], source: str) -> set[str]:
    """Return the kinds (never values) of a cell's content that a repository must not hold."""
    kinds = {hit.kind for hit in scan_notebook("", json.dumps({"cells": [row]}))}
    if _LOOK_UP.search(source):
        kinds.add("filter on one person")
    # A variable may be named cohort in any code. In prose the word tells whom somebody chose.
    words = source if row["cell_type"] == "markdown" else " ".join(_COMMENT.findall(source))
    return kinds | ({"words on which people were chosen"} if is_cohort(words) else set())
