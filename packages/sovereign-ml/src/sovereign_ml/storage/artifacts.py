"""Artifact folders that are whole or not there: written beside, then renamed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sovereign_ml.errors import Misuse

__all__ = ["need", "read_json", "replaced", "summarise", "write_json", "writing"]


@contextmanager
def writing(output: Path) -> Iterator[Path]:
    """Give a fresh folder beside ``output`` and put it in its place when the block ends well.

    A process that is killed half-way leaves only the side folder, which the next run clears;
    ``output`` is never half-written. Raises Misuse if the place cannot be written.
    """
    side, old = output.with_name(f".{output.name}.part"), output.with_name(f".{output.name}.old")
    try:
        for left in (side, old):
            shutil.rmtree(left, ignore_errors=True)
        side.mkdir(parents=True)
    except OSError as error:
        raise Misuse(
            f"Cannot write {output}: {error.strerror}. Free space or make {output.parent} writable."
        ) from None
    try:
        yield side
    except BaseException:
        shutil.rmtree(side, ignore_errors=True)
        raise
    _flush(side)
    if output.exists():
        output.rename(old)
    side.rename(output)
    shutil.rmtree(old, ignore_errors=True)


def _flush(folder: Path) -> None:
    """The data must be on disk before the name is: a power cut must not leave an empty file under it."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def need(folder: Path, verb: str) -> Path:
    """``folder`` if the step ``verb`` has written it; otherwise Misuse that names the command to run."""
    if not (folder / "summary.json").is_file():
        raise Misuse(
            f"{folder} is not there yet: run `churn {verb}` first, or `make run` for all steps."
        )
    return folder


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON: two spaces, keys in the order given, same bytes for the same value."""
    path.write_text(
        json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )


def read_json(path: Path) -> Any:
    """Read a JSON artifact."""
    return json.loads(path.read_text(encoding="utf-8"))


def summarise(folder: Path, *, rows_in: int, rows_out: int, headline: str, **more: Any) -> None:
    """Write ``summary.json``: what the table at the end of `make run` shows of this step."""
    write_json(
        folder / "summary.json",
        {"rows_in": rows_in, "rows_out": rows_out, "headline": headline, **more},
    )


def replaced(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` make a file beside ``path`` and put it in its place in one step, durably."""
    side = path.with_name(f".{path.name}.part")
    write(side)
    with side.open("rb") as file:
        os.fsync(file.fileno())
    side.chmod(path.stat().st_mode)
    side.replace(path)
