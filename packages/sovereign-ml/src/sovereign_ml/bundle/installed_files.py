"""Compare the installed library with its RECORD, and find code that runs before it.

This finds edits and accidents. It cannot defend against somebody who controls the interpreter:
such a person can edit this file too. The proof against that is an environment built anew from the
locks, whose hash of the wheel `churn library verify` compares with a rebuild from the tag.

Standard library only: the service checks itself with it when it starts.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.util
import io
import marshal
import site
import struct
import sys
import sysconfig
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
_BOOT = PACKAGE / "egress" / "boot" / "sitecustomize.py"
_compared: dict[bytes, bool] = {}
"""Whether compiled code is made from its source, by the SHA-256 of both.

The files are read anew at each check. Only the compilation of the same bytes is not repeated.
"""


def sha256_of(path: Path) -> str:
    """Return the SHA-256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_record(text: str) -> dict[str, str]:
    """Return the RECORD's files with their SHA-256 in hex, "" where a line carries none.

    Raises ValueError for a line that is no RECORD line or carries another kind of hash.
    """
    files: dict[str, str] = {}
    for row in csv.reader(io.StringIO(text)):
        if len(row) != 3 or row[0] in files:
            raise ValueError(f"RECORD line {','.join(row)!r} cannot be read or is there twice")
        algorithm, _, value = row[1].partition("=")
        if row[1] and algorithm != "sha256":
            raise ValueError(f"RECORD names {row[0]} by {algorithm}, not by sha256")
        # RECORD writes base64 without its padding (PEP 427).
        files[row[0]] = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).hex()
    return files


def is_cache(name: str) -> bool:
    """Return whether a file is compiled code that Python writes beside its source."""
    return "__pycache__" in Path(name).parts and name.endswith(".pyc")


def problems(library: Distribution, released: Mapping[str, str]) -> list[str]:
    """Return one line for each way in which the installed library is not what was released.

    ``released`` are the files of the library's wheel with their SHA-256. They count more than the
    installed RECORD, which can be rewritten to fit an edit. Empty where there is no wheel.
    """
    try:
        record = read_record(library.read_text("RECORD") or "")
    except ValueError as error:
        return [f"its RECORD cannot be read: {error}"]
    source = "its wheel" if released else "RECORD"
    return [
        *_differences(library, {**record, **released}, source),
        *_additions(library, record.keys() | released.keys()),
        *_import_problems(library),
    ]


def _root(library: Distribution) -> Path:
    """Return the folder of the installed package."""
    return Path(str(library.locate_file("sovereign_ml"))).resolve()


def _resolver() -> Callable[[Path], Path]:
    """Return a function that resolves links in paths, and each folder only once."""
    folders: dict[Path, Path] = {}

    def resolved(path: Path) -> Path:
        if path.name == ".." or path.is_symlink():
            return path.resolve()
        if path.parent not in folders:
            folders[path.parent] = path.parent.resolve()
        return folders[path.parent] / path.name

    return resolved


def _differences(library: Distribution, expected: Mapping[str, str], source: str) -> list[str]:
    """Return one line for each file that is missing or has another SHA-256 than ``expected``."""
    lines = []
    for name, digest in sorted(expected.items()):
        path = Path(str(library.locate_file(name)))
        if not digest:
            continue
        if not path.is_file():
            lines.append(f"{name} is missing")
        elif (actual := sha256_of(path)) != digest:
            lines.append(
                f"{name} was changed after it was installed: its SHA-256 is {actual[:12]}, "
                f"{source} says {digest[:12]}"
            )
    return lines


def _additions(library: Distribution, names: Iterable[str]) -> list[str]:
    """Return the files of the package that nobody released, and compiled code of other source.

    Every additional file counts, not only ``.py``: Python prefers an extension module (``.so``)
    to a source file of the same name.
    """
    lines = []
    root = _root(library)
    resolved = _resolver()
    released = {resolved(Path(str(library.locate_file(name)))) for name in names}
    for path in sorted(root.rglob("*")):
        relative = f"sovereign_ml/{path.relative_to(root).as_posix()}"
        if path.is_symlink():
            lines.append(f"{relative} is a link to another file")
        elif path.is_file() and path not in released and not is_cache(relative):
            lines.append(f"{relative} is not part of the released library")
        elif path.suffix == ".py":
            lines += _cache_problems(path, relative)
    return lines


def _cache_problems(source: Path, name: str) -> list[str]:
    """Return a line where the compiled code that Python would run does not come from the source."""
    # Python trusts a cache whose header names the source's time and size, so the header proves
    # nothing. Code objects are compared, because the bytes of a cache differ between two runs.
    lines = []
    for level in ("", "1", "2"):
        cache = Path(importlib.util.cache_from_source(str(source), optimization=level))
        if not cache.is_file():
            continue
        data = cache.read_bytes()
        # 16 bytes are the header: magic number, flags, then time and size, or a hash (PEP 552).
        if not _is_trusted(data[:16], source):
            continue
        if not _is_made_from(source, int(level or 0), data[16:]):
            lines.append(f"{name}: its compiled code ({cache.name}) is not made from it")
    return lines


def _is_made_from(source: Path, level: int, compiled: bytes) -> bool:
    """Return whether ``compiled`` is what the source compiles to at an optimisation level."""
    code = source.read_bytes()
    names = f"{level} {len(code)} {len(compiled)} {source}\n".encode()
    key = hashlib.sha256(names + code + compiled).digest()
    if key not in _compared:
        expected = compile(code, str(source), "exec", dont_inherit=True, optimize=level)
        try:
            _compared[key] = marshal.loads(compiled) == expected  # noqa: S302
        except (EOFError, ValueError, TypeError):
            _compared[key] = False
    return _compared[key]


def _is_trusted(header: bytes, source: Path) -> bool:
    """Return whether Python would run a cache with this header, or ignore and rewrite it."""
    if header[:4] != importlib.util.MAGIC_NUMBER:
        return False
    if header[4:8] != bytes(4):
        return True  # named by a hash of the source, which Python need not compare
    status = source.stat()
    stamp = (int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF)
    return header[8:16] == struct.pack("<II", *stamp)


def _import_problems(library: Distribution) -> list[str]:
    """Return the modules of the library that were imported from somewhere else (PYTHONPATH)."""
    root, resolved = _root(library), _resolver()
    lines = []
    # A copy, because another thread may import something meanwhile.
    for name, module in sorted(sys.modules.copy().items()):
        file = getattr(module, "__file__", None)
        if name.split(".")[0] == "sovereign_ml" and file:
            path = resolved(Path(file))
            if not path.is_relative_to(root):
                lines.append(f"{name} was imported from {path}, not from {root}")
    return lines


def startup_code() -> list[str]:
    """Return the start-up code of this interpreter that belongs to no installed package.

    That is a ``.pth`` file with an ``import`` line, ``sitecustomize`` or ``usercustomize``. The
    one of the Python installation is known, and so is the egress guard's, by its content.
    """
    lines = []
    folders = {Path(path) for path in (*site.getsitepackages(), site.getusersitepackages())}
    suspects = [path for folder in folders for path in folder.glob("*.pth") if _runs_code(path)]
    owned = _owned_files(suspects)
    lines += [f"{path} runs code at start-up" for path in sorted(suspects) if path not in owned]
    for name in ("sitecustomize", "usercustomize"):
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and not _is_known_start(Path(file)):
            lines.append(f"{file} runs at start-up")
    return lines


def _is_known_start(path: Path) -> bool:
    """Return whether a start-up module is Python's own, or our egress guard's to the byte."""
    standard = path.is_relative_to(sysconfig.get_path("stdlib"))
    return standard or (path.is_file() and path.read_bytes() == _BOOT.read_bytes())


def _runs_code(path: Path) -> bool:
    """Return whether a ``.pth`` file holds a line that Python executes."""
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = [line for line in text.splitlines() if line.startswith(("import ", "import\t"))]
    # virtualenv and uv put this file into every environment; no package owns it.
    return bool(lines) and not (path.name == "_virtualenv.pth" and lines == ["import _virtualenv"])


def _owned_files(paths: Iterable[Path]) -> set[Path]:
    """Return those of ``paths`` that some installed package recorded with their present hash."""
    hashes = {(path.name, sha256_of(path)): path for path in paths}
    owned: set[Path] = set()
    for package in distributions() if hashes else ():
        # Thousands of lines in all: only those of the files in question are taken apart.
        lines = (package.read_text("RECORD") or "").splitlines()
        few = "\n".join(line for line in lines if line.split(",")[0].endswith(".pth"))
        owned |= {hashes[item] for item in read_record(few).items() if item in hashes}
    return owned
