"""Compare the installed library with what was released, and digest the code of the rules.

This finds edits and accidents. It cannot defend against somebody who controls the interpreter:
such a person can edit this file too. The proof against that is an environment built anew from the
locks, whose hash of the wheel `make vendor-verify` compares with a rebuild from the tag.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import marshal
import site
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path

from sovereign_ml.errors import Refused
from sovereign_ml.supply_chain.lockfile import DISTRIBUTION, library_pin
from sovereign_ml.supply_chain.wheel import read_record, read_wheel, sha256_of

PACKAGE = Path(__file__).resolve().parents[1]

# The code that decides what a card may do: the rules and all that they import of the card, so
# that a weakened helper (`is_open`) shows as well, the approval, the promotion, and the check at
# the start of the service.
RULE_CODE = (
    "bundle/release_check.py",
    "card/approval.py",
    "card/build.py",
    "card/conditions.py",
    "card/derive.py",
    "card/duties.py",
    "card/promotion.py",
    "card/questions.py",
    "card/rules",
    "card/schema",
)


@dataclass(frozen=True)
class Installed:
    """The library in this environment, and each way in which it is not what RECORD says."""

    version: str
    wheel_sha256: str  # "" unless the installer wrote it down (it does for a path or an address)
    files: int
    problems: tuple[str, ...]
    editable: bool  # a development install: there is nothing released to compare with
    startup_code: tuple[str, ...]  # code of unknown origin that Python runs before the library


def installed(name: str = DISTRIBUTION) -> Installed:
    """Return how the installed library compares with its RECORD."""
    library = _library(name)
    origin = json.loads(library.read_text("direct_url.json") or "{}")
    editable = bool(origin.get("dir_info", {}).get("editable"))
    archive = origin.get("archive_info", {})
    sha256 = archive.get("hashes", {}).get("sha256") or ""
    record = _recorded(library)
    problems = [] if editable else [*_file_problems(library, record), *_import_problems(library)]
    return Installed(
        version=library.version,
        wheel_sha256=sha256,
        files=sum(1 for digest in record.values() if digest),
        problems=tuple(problems),
        editable=editable,
        startup_code=tuple(startup_code()),
    )


def _library(name: str) -> Distribution:
    """Return the installed distribution, or refuse where there is none."""
    try:
        return distribution(name)
    except PackageNotFoundError as error:
        raise Refused(f"{name} is not installed in {sys.prefix}: run `make setup`.") from error


def _recorded(library: Distribution) -> dict[str, str]:
    """Return the installed RECORD. `Distribution.files` would leave out what is missing."""
    try:
        return read_record(library.read_text("RECORD") or "")
    except ValueError as error:
        raise Refused(f"The installed sovereign-ml cannot be checked: {error}.") from error


def _root(library: Distribution) -> Path:
    """Return the folder of the installed package."""
    return Path(str(library.locate_file("sovereign_ml"))).resolve()


def _is_cache(name: str) -> bool:
    """Return whether a file is compiled code that Python writes beside its source."""
    return "__pycache__" in Path(name).parts and name.endswith(".pyc")


def _file_problems(library: Distribution, record: dict[str, str]) -> list[str]:
    """Return the files that are changed, missing, or unknown to RECORD.

    Every additional file counts, not only ``.py``: Python prefers an extension module (``.so``)
    to a source file of the same name.
    """
    problems = _differences(library, record)
    root = _root(library)
    known = {Path(str(library.locate_file(name))).resolve() for name in record}
    for path in sorted(root.rglob("*")):
        relative = f"sovereign_ml/{path.relative_to(root).as_posix()}"
        if path.is_symlink():
            problems.append(f"{relative} is a link to another file")
        elif path.is_file() and path not in known and not _is_cache(relative):
            problems.append(f"{relative} is not part of the released library")
        elif path.suffix == ".py":
            problems += _cache_problems(path, relative)
    return problems


def _differences(library: Distribution, expected: dict[str, str]) -> list[str]:
    """Return one line for each file that is missing or has another SHA-256 than ``expected``."""
    problems = []
    for name, digest in sorted(expected.items()):
        path = Path(str(library.locate_file(name)))
        if not digest:
            continue
        if not path.is_file():
            problems.append(f"{name} is missing")
        elif sha256_of(path) != digest:
            problems.append(f"{name} was changed after it was installed")
    return problems


def _cache_problems(source: Path, name: str) -> list[str]:
    """Return a line where the compiled code that Python would run does not come from the source.

    Python believes a cache whose header names the source's time and size, so the header proves
    nothing. Code objects are compared, because the bytes of a cache differ between two runs.
    """
    problems = []
    for level in ("", "1", "2"):
        cache = Path(importlib.util.cache_from_source(str(source), optimization=level))
        if not cache.is_file():
            continue
        data = cache.read_bytes()
        if data[:4] != importlib.util.MAGIC_NUMBER:
            continue  # Python ignores and rewrites it
        expected = compile(
            source.read_bytes(), str(source), "exec", dont_inherit=True, optimize=int(level or 0)
        )
        try:
            same = marshal.loads(data[16:]) == expected  # noqa: S302
        except (EOFError, ValueError, TypeError):
            same = False
        if not same:
            problems.append(f"{name}: its compiled code ({cache.name}) is not made from it")
    return problems


def _import_problems(library: Distribution) -> list[str]:
    """Return the modules of the library that were imported from somewhere else (PYTHONPATH)."""
    root = _root(library)
    problems = []
    for name, module in sorted(sys.modules.copy().items()):
        file = getattr(module, "__file__", None)
        if name.split(".")[0] == "sovereign_ml" and file:
            path = Path(file).resolve()
            if not path.is_relative_to(root):
                problems.append(f"{name} was imported from {path}, not from {root}")
    return problems


def startup_code() -> list[str]:
    """Return the start-up code of this interpreter that belongs to no installed package.

    That is a ``.pth`` file with an ``import`` line, ``sitecustomize`` or ``usercustomize``. The
    library's own ``sitecustomize`` and the one of the Python installation are known.
    """
    lines = []
    folders = {Path(path) for path in (*site.getsitepackages(), site.getusersitepackages())}
    suspects = [path for folder in folders for path in folder.glob("*.pth") if _runs_code(path)]
    owned = _owned_files(suspects)
    lines += [f"{path} runs code at start-up" for path in sorted(suspects) if path not in owned]
    standard = Path(sysconfig.get_path("stdlib"))
    for name in ("sitecustomize", "usercustomize"):
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and not any(Path(file).is_relative_to(known) for known in (PACKAGE, standard)):
            lines.append(f"{file} runs at start-up")
    return lines


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


def verify_against(wheel: Path, locks: Sequence[Path], name: str = DISTRIBUTION) -> list[str]:
    """Return how installed files differ from ``wheel``, and ``wheel`` from the hash in ``locks``.

    A RECORD that was rewritten to fit an edit passes `installed`; it does not pass here.
    """
    released = read_wheel(wheel)
    library = _library(name)
    problems = _differences(library, dict(released.files))
    for lock in locks:
        pin = library_pin(lock.read_text(encoding="utf-8"))
        if pin is None or (pin.version, pin.hashes) != (released.version, (released.sha256,)):
            problems.append(f"{lock.name} does not name {wheel.name} by its version and hash")
    return problems


def rule_digest(package: Path = PACKAGE) -> str:
    """Return one SHA-256 (hex) over names and contents of the rule code, the same on every machine.

    Raises Refused where a file of `RULE_CODE` is missing.
    """
    files: dict[str, Path] = {}
    for name in RULE_CODE:
        path = package / name
        members = [path] if path.is_file() else sorted(path.rglob("*")) if path.is_dir() else []
        members = [file for file in members if file.is_file() and not _is_cache(str(file))]
        if not members:
            raise Refused(f"The rule code {name} is missing in {package}: run `make setup`.")
        files |= {file.relative_to(package).as_posix(): file for file in members}
    lines = [f"{sha256_of(path)}  {name}\n" for name, path in sorted(files.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
