"""Artifact folders that exist completely or not at all: written beside, then renamed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sovereign_ml.errors import Misuse

__all__ = ["need", "read_json", "replaced", "scratch", "summarise", "write_json", "writing"]


@contextmanager
def writing(output: Path) -> Iterator[Path]:
    """Yield a fresh folder beside ``output``, and rename it to ``output`` when the block succeeds.

    ``output`` is never half-written. A process that is killed leaves only the side folder, which
    the next run clears. Raises Misuse if the folder cannot be written.
    """
    old = output.with_name(f".{output.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    side = _emptied(output, "part")
    try:
        yield side
    except BaseException:
        shutil.rmtree(side, ignore_errors=True)
        raise
    # The data must be on disk before the name is: a power cut must not leave empty files under it.
    for path in side.rglob("*"):
        if path.is_file():
            _flush(path)
    # A folder cannot be renamed to a name that another folder has.
    if output.exists():
        output.rename(old)
    side.rename(output)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def scratch(output: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``output``, and remove it at the end.

    It holds what is written before it is known into which folder it goes. A process that is killed
    leaves a folder that the next run clears. Raises Misuse if the folder cannot be written.
    """
    side = _emptied(output, "scratch.part")
    try:
        yield side
    finally:
        shutil.rmtree(side, ignore_errors=True)


def _emptied(output: Path, suffix: str) -> Path:
    """Return a new, empty folder beside ``output``. Raises Misuse if it cannot be made."""
    side = output.with_name(f".{output.name}.{suffix}")
    shutil.rmtree(side, ignore_errors=True)
    try:
        side.mkdir(parents=True)
    except OSError as error:
        raise Misuse(
            f"Cannot write {output}: {error.strerror}. Free space or make {output.parent} writable."
        ) from None
    return side


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def need(folder: Path, verb: str) -> Path:
    """Return ``folder``. Raises Misuse, with the command to run, if step ``verb`` has not run."""
    if not (folder / "summary.json").is_file():
        raise Misuse(
            f"{folder} does not exist yet: run `churn {verb}` first, or `make run` for all steps."
        )
    return folder


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON, with the same bytes for the same value. Keys keep their order.

    The file appears whole: a process that is killed leaves the one before.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    replaced(path, lambda side: side.write_text(text, encoding="utf-8"))


def read_json(path: Path) -> Any:
    """Return the content of a JSON artifact."""
    return json.loads(path.read_text(encoding="utf-8"))


def summarise(folder: Path, *, rows_in: int, rows_out: int, headline: str, **more: Any) -> None:
    """Write ``summary.json``, from which the table at the end of `make run` is made."""
    write_json(
        folder / "summary.json",
        {"rows_in": rows_in, "rows_out": rows_out, "headline": headline, **more},
    )


def replaced(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` create a file beside ``path``, then replace ``path`` by it durably.

    ``path`` need not exist: a process that is killed leaves no empty file of that name.
    """
    side = path.with_name(f".{path.name}.part")
    try:
        write(side)
        _flush(side)
        # The new file must not be readable by more people than the old one.
        if path.exists():
            side.chmod(path.stat().st_mode)
        side.replace(path)
    except BaseException:
        side.unlink(missing_ok=True)
        raise
