"""Files below a folder and objects of data versions: search them, remove rows or files."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from sovereign_ml.data_subjects.stores.formats import (
    Format,
    UnsearchableError,
    count_people,
    format_of,
    unknown_packer,
)
from sovereign_ml.data_subjects.stores.protocol import Action, People, Trace
from sovereign_ml.storage.duckdb import SPILLED

ROWS, FILE = "rows", "file"
HAND: Final = "by hand"
LEFTOVER = re.compile(r"\..+\.(part(-journal|-wal|-shm)?|old)")
OBJECT = re.compile(r"[0-9a-f]{30}(\.dir)?")


class Files:
    """All files below ``root`` but those under ``skip``. Only ``ours`` may be changed."""

    name = "files of the project"

    def __init__(
        self, root: Path, formats: Sequence[Format], *, skip: Sequence[Path], ours: Sequence[Path]
    ) -> None:
        self._root, self._formats = root, formats
        self._skip = frozenset(skip)
        self._ours = ours

    def find(self, people: People) -> list[Trace]:
        """Return one trace for each file."""
        return [trace for path in self._walk() if (trace := self._look(path, people))]

    def remove(self, people: People, traces: Sequence[Trace]) -> None:
        """Remove the rows from each file, or the file. Each file changes in one step."""
        for trace in traces:
            path = self._root / trace.place
            if not path.is_file():
                continue
            if trace.action == "file removed":
                path.unlink()
            elif trace.action == "rows removed" and (kind := format_of(path, self._formats)):
                kind.remove(path, people)

    def _look(self, path: Path, people: People) -> Trace | None:
        kind = format_of(path, self._formats)
        place = str(path.relative_to(self._root))
        try:
            count = count_people(path, people, kind)
            unknown = not count and unknown_packer(path)
            # A plot of one customer may have the pseudonym in its name only.
            named = any(person in place for person in people)
        except UnsearchableError:
            unknown, named = "a damaged file", False
        # Not knowing is no proof: a person has to look, or to put the file elsewhere.
        if unknown:
            return Trace(self.name, place, 1, "file that cannot be unpacked", HAND)
        if named:
            return Trace(self.name, place, 1, FILE, "file removed" if self._is_ours(path) else HAND)
        if not count:
            return None
        # With a link only the link would be replaced, and not the file that it leads to.
        by_hand = path.is_symlink() or not self._is_ours(path)
        action: Action = HAND if by_hand else "rows removed" if kind else "file removed"
        return Trace(self.name, place, count, ROWS if kind else FILE, action)

    def _is_ours(self, path: Path) -> bool:
        """Return whether a file is below a folder of ours, which may itself lie elsewhere."""
        real = path.resolve()
        return any(real.is_relative_to(folder.resolve()) for folder in self._ours)

    def _walk(self) -> Iterator[Path]:
        seen = {self._root.resolve()}
        for folder, names, files in os.walk(self._root, followlinks=True):
            parent = Path(folder)
            # os.walk enters only the folders that stay in this list.
            names[:] = sorted(name for name in names if self._enters(parent / name, seen))
            for name in sorted(files):
                path = parent / name
                if path not in self._skip and path.is_file() and self._is_within(path):
                    yield path

    def _enters(self, folder: Path, seen: set[Path]) -> bool:
        if folder in self._skip or not self._is_within(folder):
            return False
        # Links may lead in a circle, or twice to one folder.
        is_new = folder.resolve() not in seen
        seen.add(folder.resolve())
        return is_new

    def _is_within(self, path: Path) -> bool:
        """Return whether a path is no link, or one in a folder of ours.

        The folder may be one itself, as ``data`` on a larger disk is.
        """
        # Another link may lead out of the project, to files of somebody else.
        ours = any(path.is_relative_to(folder) for folder in self._ours)
        return ours or not path.is_symlink()


class Versions:
    """Old versions of the data as DVC stores them, in a cache and in folder remotes.

    An object is named by its hash. ``keep`` puts the present files into the cache as the new
    version, before the old objects are deleted.
    """

    name = "data versions"

    def __init__(
        self, places: Mapping[str, Path], formats: Sequence[Format], keep: Callable[[], None]
    ) -> None:
        self._places, self._formats, self._keep = places, formats, keep

    def find(self, people: People) -> list[Trace]:
        """Return one trace for each object that holds people or was cut short.

        A manifest that names such an object gets a trace too.
        """
        counts: dict[str, int] = {}
        traces = [
            self._trace(label, path, 1, "unfinished object") for label, path in self._unfinished()
        ]
        for label, path in self._objects():
            key = digest_of(path)
            if key not in counts:
                counts[key] = self._count(path, people)
            if counts[key]:
                traces.append(self._trace(label, path, counts[key], "rows or mentions"))
        held = {key for key, count in counts.items() if count}
        traces += [
            self._trace(label, path, len(names & held), "objects")
            for label, path, names in self._manifests()
            if names & held
        ]
        return traces

    def remove(self, people: People, traces: Sequence[Trace]) -> None:
        """Keep the present version, then remove what ``find`` found, manifests first."""
        self._keep()
        removed = {digest_of(Path(trace.place)) for trace in traces}
        # Manifests first: after a crash a manifest without its objects would look whole.
        for _, path, names in list(self._manifests()):
            if names & removed:
                path.unlink(missing_ok=True)
        for trace in traces:
            label, _, place = trace.place.partition(": ")
            if label in self._places:
                (self._places[label] / place).unlink(missing_ok=True)

    def _count(self, path: Path, people: People) -> int:
        try:
            return count_people(path, people, format_of(path, self._formats))
        except UnsearchableError:
            # The file itself is in the project, where it is left to a person. Its version stays:
            # it may be the present one.
            return 0

    def _trace(self, label: str, path: Path, count: int, unit: str) -> Trace:
        place = f"{label}: {path.relative_to(self._places[label])}"
        return Trace(self.name, place, count, unit, "old version removed")

    def _unfinished(self) -> Iterator[tuple[str, Path]]:
        """Yield copies that a killed process left under a name that is no hash."""
        for label, path in self._all():
            if not OBJECT.fullmatch(path.name):
                yield label, path

    def _objects(self) -> Iterator[tuple[str, Path]]:
        for label, path in self._all():
            if OBJECT.fullmatch(path.name) and path.suffix != ".dir":
                yield label, path

    def _manifests(self) -> Iterator[tuple[str, Path, set[str]]]:
        for label, path in self._all():
            if OBJECT.fullmatch(path.name) and path.suffix == ".dir":
                yield label, path, entries(path)

    def _all(self) -> Iterator[tuple[str, Path]]:
        for label, folder in self._places.items():
            yield from ((label, path) for path in held(folder))


def held(folder: Path) -> list[Path]:
    """Return the files that DVC has put into a cache or a folder remote.

    Its cache of runs has names of stages and hashes, and no content.
    """
    # A remote may be a folder that other programs use too, such as the root of a disk. What is
    # theirs is no data version, and is never deleted.
    paths = [*(folder / "files").rglob("*"), *folder.glob(".*.tmp")]
    # DVC 2 wrote into folders of two characters, and "de" may also be a folder for German.
    older = folder.glob("[0-9a-f][0-9a-f]/*")
    paths += [path for path in older if OBJECT.fullmatch(path.name) or path.suffix == ".tmp"]
    return sorted(path for path in paths if path.is_file())


def digest_of(path: Path) -> str:
    """Return the hash that names an object: DVC's folder of two characters and the rest."""
    return path.parent.name + path.name


def entries(manifest: Path) -> set[str]:
    """Return the hashes of the files of one version, none if a crash cut the manifest short."""
    try:
        return {str(entry["md5"]) for entry in json.loads(manifest.read_text(encoding="utf-8"))}
    except (ValueError, KeyError, TypeError):
        return set()


def is_whole(manifest: Path, digest: str) -> bool:
    """Return whether the list of files of one version has the content that ``digest`` names."""
    # DVC names objects by MD5. It shows damage, and is no protection against an attack.
    content = hashlib.md5(manifest.read_bytes(), usedforsecurity=False).hexdigest()
    return content == digest.removesuffix(".dir")


def clear_leftovers(root: Path) -> None:
    """Remove what killed processes left in the project ``root``.

    These are half-written files, ``.name.part`` and ``.name.old``, and tables that did not fit
    into DuckDB's memory.
    """
    shutil.rmtree(root / SPILLED, ignore_errors=True)
    for path in sorted((root / "data").rglob(".*")):
        if LEFTOVER.fullmatch(path.name):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
