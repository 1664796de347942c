"""Reader and writer of the library's pin in hash-locked requirement files."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sovereign_ml.bundle.library_identity import DISTRIBUTION
from sovereign_ml.errors import Refused

_PIN = re.compile(
    r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]\n]*\])?==(?P<version>[^\s;\\]+)"
    r"(?P<rest>(?:[^\\\n]|\\\r?\n)*)",
    re.MULTILINE,
)
_MARKER = re.compile(r"\s*;\s*([^\\#\n]+)")
_IGNORED = re.compile(r"^\s*(?:#.*)?$")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_REMARK = re.compile(r"(?:^|\s)#[^\n]*")
_REQUIREMENT = re.compile(
    r"^sovereign[-_.]ml\s*(?:\[(?P<extras>[^]]*)\])?\s*(?:$|[<>=!~;#@])", re.I
)
_INCLUDE = re.compile(r"^(?:-r|--requirement)[ =]\s*(?P<path>\S+)")


class LockError(ValueError):
    """The file is not a lock in which every package has a version and a hash."""


@dataclass(frozen=True)
class Pin:
    """One package of a lock: its version, and the hashes (hex) of the files it allows.

    ``marker`` gives the platforms and Pythons for which the package is, such as
    ``sys_platform == 'win32'``. It is empty where the package is for all.
    """

    name: str
    version: str
    hashes: tuple[str, ...]
    marker: str = ""


def normalise(name: str) -> str:
    """Return a package name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> list[Pin]:
    """Return the pins of a lock. A package pinned by Python version appears several times."""
    return [_pin(match) for match in _PIN.finditer(text)]


def _pin(match: re.Match[str]) -> Pin:
    marker = _MARKER.match(match["rest"])
    # pip does not read a hash in a remark either.
    hashes = tuple(sorted(_HASH.findall(_REMARK.sub("", match["rest"]))))
    condition = marker[1].strip() if marker else ""
    return Pin(normalise(match["name"]), match["version"], hashes, condition)


def read_lock(path: Path) -> list[Pin]:
    """Return the pins of the lock at ``path``, see :func:`parse_lock`."""
    return parse_lock(path.read_text(encoding="utf-8"), path.name)


def parse_lock(text: str, name: str) -> list[Pin]:
    """Return the pins of the lock ``name``.

    Raises LockError for a package without a hash, and for a line that pins nothing.
    """
    # Each pin is replaced by its line breaks, so that the numbers of the other lines stay right.
    rest = _PIN.sub(lambda match: "\n" * match[0].count("\n"), text)
    for number, line in enumerate(rest.splitlines(), start=1):
        if not _IGNORED.match(line):
            raise LockError(f"{name}:{number}: {line.strip()!r} is not name==version with a hash.")
    locked = pins(text)
    if bare := [pin.name for pin in locked if not pin.hashes]:
        raise LockError(
            f"{name}: without a hash: {', '.join(bare)}. Write it again with `make lock`."
        )
    return locked


def library_pin(text: str) -> Pin | None:
    """Return the pin of sovereign-ml, or None where the lock does not name it exactly once."""
    # A lock has thousands of hashes: only those of one package are read.
    of_library = [
        match for match in _PIN.finditer(text) if normalise(match["name"]) == DISTRIBUTION
    ]
    return _pin(of_library[0]) if len(of_library) == 1 else None


def with_library_pin(text: str, version: str, sha256: str) -> str:
    """Return the lock's text with another version and hash of sovereign-ml, all else unchanged."""

    def rewrite(match: re.Match[str]) -> str:
        if normalise(match["name"]) != DISTRIBUTION:
            return match[0]
        # The line end itself is no part of the pin; in a file of Windows a part of it is.
        end, last = ("\r\n", "\r") if match["rest"].endswith("\r") else ("\n", "")
        return f"{DISTRIBUTION}=={version} \\{end}    --hash=sha256:{sha256}{last}"

    return _PIN.sub(rewrite, text)


def hashed_lines(text: str, names: Iterable[str]) -> str:
    """Return the pins of ``names`` with their hashes, as lines that pip accepts."""
    packages = set(names)
    lines = [match[0] for match in _PIN.finditer(text) if normalise(match["name"]) in packages]
    return "\n".join(lines) + "\n"


def library_extras(
    requirements: Path, above: frozenset[Path] = frozenset()
) -> frozenset[str] | None:
    """Return the extras of sovereign-ml that a ``.in`` file asks for, includes (``-r``) followed.

    None means that the file does not name sovereign-ml at all. ``above`` are the files that include
    this one. Raises Refused for a file that includes itself, and for one that is not there.
    """
    file = requirements.resolve()
    if file in above:
        raise Refused(f"{requirements.name} includes itself by -r: take that line out.")
    if not file.is_file():
        raise Refused(f"{requirements.name} is included by -r and not there: correct that line.")
    extras: set[str] = set()
    is_named = False
    for line in requirements.read_text(encoding="utf-8").splitlines():
        if match := _REQUIREMENT.match(line.strip()):
            is_named = True
            extras.update(part.strip() for part in (match["extras"] or "").split(",") if part)
        elif match := _INCLUDE.match(line.strip()):
            included = library_extras(requirements.parent / match["path"], above | {file})
            if included is not None:
                is_named = True
                extras |= included
    return frozenset(extras) if is_named else None


def write_all(changes: Mapping[Path, bytes | None]) -> None:
    """Write every file, and delete those whose content is None. Undo all changes after an error."""
    before = {path: path.read_bytes() if path.is_file() else None for path in changes}
    try:
        for path, content in changes.items():
            _write(path, content)
    # Also after Ctrl-C: half of it would leave the wheel of one release and the lock of another.
    except BaseException:
        for path, content in before.items():
            _write(path, content)
        raise


def _write(path: Path, content: bytes | None) -> None:
    """Replace a file in one step, so that no reader sees half of it. Delete it for None."""
    if content is None:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(content)
        if path.exists():
            # A new file has the mode that the umask leaves, which may be narrower than the old one.
            shutil.copymode(path, temporary)
        os.replace(temporary, path)  # noqa: PTH105  the test makes this very call fail
    finally:
        temporary.unlink(missing_ok=True)
