"""Pack a staged folder the way the sota CLI does, so that what is checked is what is sent.

The rules are those of the official client (sota-deploy/cli v1.1.0, ``internal/archive``). Its
ignore matcher differs from gitignore's: ``name/`` is one path from the root, ``name`` is any
component, ``*`` never crosses a slash, and a leading slash or ``!`` does nothing.
"""

from __future__ import annotations

import gzip
import io
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

LIMIT_BYTES = 50_000_000  # documented as 50 MB; the smaller reading of MB
ALWAYS_IGNORED = (
    *(".git/", ".git", "node_modules/", "node_modules", ".env", ".env.*", "*.log", ".DS_Store"),
    *(".sota.json", "__pycache__/", "__pycache__", ".venv/", ".venv", "vendor/"),
)


def ignore_patterns(folder: Path) -> tuple[str, ...]:
    """Return the client's own patterns, then those of ``.sotaignore``, or else ``.gitignore``."""
    for path in (folder / ".sotaignore", folder / ".gitignore"):
        if path.is_file():
            lines = map(str.strip, path.read_text(encoding="utf-8").splitlines())
            return (*ALWAYS_IGNORED, *(line for line in lines if line and not line.startswith("#")))
    return ALWAYS_IGNORED


def is_ignored(path: str, patterns: tuple[str, ...]) -> bool:
    """Return whether the client leaves out ``path``, relative and without a trailing slash."""
    return any(_matches(path, pattern) for pattern in patterns)


def packed_paths(folder: Path) -> Iterator[Path]:
    """Yield the files and folders that are sent, in lexical order, without ignored folders."""
    patterns = ignore_patterns(folder)

    def walk(parent: Path) -> Iterator[Path]:
        for path in sorted(parent.iterdir()):
            if is_ignored(path.relative_to(folder).as_posix(), patterns):
                continue
            yield path
            # A link is yielded, so that `pack` refuses it, but it is never followed.
            if path.is_dir() and not path.is_symlink():
                yield from walk(path)

    yield from walk(folder)


def pack(folder: Path) -> bytes:
    """Return ``folder`` as tar.gz. Equal folders give equal bytes.

    Raises ValueError on a symbolic link.
    """
    buffer = io.BytesIO()
    with (
        # gzip writes the time into its header, so equal folders would differ without mtime=0.
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        for path in packed_paths(folder):
            if path.is_symlink():
                raise ValueError(
                    f"{path} is a symbolic link, which the sota archive cannot hold: "
                    "copy the file instead"
                )
            _add(tar, path, path.relative_to(folder).as_posix())
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    # Only name, mode, type and size: owner and time would make equal folders differ.
    entry = tarfile.TarInfo(name)
    entry.mode = 0o755 if path.is_dir() else 0o644
    if path.is_dir():
        entry.type = tarfile.DIRTYPE
        tar.addfile(entry)
        return
    content = path.read_bytes()
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _matches(path: str, pattern: str) -> bool:
    if pattern.endswith("/"):
        return path == pattern[:-1] or path.startswith(pattern)
    parts = path.split("/")
    if path == pattern or pattern in parts:
        return True
    return "*" in pattern and (_glob(pattern, parts[-1]) or _glob(pattern, path))


def _glob(pattern: str, text: str) -> bool:
    """Match as Go's ``filepath.Match`` does ``*`` and ``?``: neither crosses a slash."""
    pieces = (
        "[^/]*" if char == "*" else "[^/]" if char == "?" else re.escape(char) for char in pattern
    )
    return re.fullmatch("".join(pieces), text) is not None
