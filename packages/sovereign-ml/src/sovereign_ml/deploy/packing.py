"""Pack a staged folder the way the sota CLI does, so that what is checked is what is sent.

The rules are those of the official client (sota-deploy/cli v1.1.0, ``internal/archive``). Its ignore matcher
is not gitignore's: ``name/`` is one path from the root, ``name`` any component, ``*`` never crosses a slash,
a leading slash or ``!`` does nothing.
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
    *(
        ".git/",
        ".git",
        "node_modules/",
        "node_modules",
        ".env",
        ".env.*",
        "*.log",
        ".DS_Store",
        ".sota.json",
    ),
    *("__pycache__/", "__pycache__", ".venv/", ".venv", "vendor/"),
)


def ignore_patterns(folder: Path) -> tuple[str, ...]:
    """The patterns in force in ``folder``: the client's own, then ``.sotaignore``, else ``.gitignore``."""
    for name in (".sotaignore", ".gitignore"):
        if (folder / name).is_file():
            lines = [
                line.strip() for line in (folder / name).read_text(encoding="utf-8").splitlines()
            ]
            return (*ALWAYS_IGNORED, *(line for line in lines if line and not line.startswith("#")))
    return ALWAYS_IGNORED


def is_ignored(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether the client leaves out ``path`` (relative, with slashes; a folder has no trailing slash)."""
    return any(_matches(path, pattern) for pattern in patterns)


def packed_paths(folder: Path) -> Iterator[Path]:
    """Files and folders that are sent, in lexical order; what lies in an ignored folder is never looked at."""
    patterns = ignore_patterns(folder)

    def walk(parent: Path) -> Iterator[Path]:
        for path in sorted(parent.iterdir()):
            if is_ignored(path.relative_to(folder).as_posix(), patterns):
                continue
            yield path
            if path.is_dir() and not path.is_symlink():
                yield from walk(path)

    yield from walk(folder)


def pack(folder: Path) -> bytes:
    """The archive of ``folder`` as tar.gz; equal folders give equal bytes. ValueError on a symbolic link."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        for path in packed_paths(folder):
            if path.is_symlink():
                raise ValueError(
                    f"{path} is a symbolic link: the sota archive cannot hold one; copy the file instead"
                )
            _add(tar, path, path.relative_to(folder).as_posix())
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
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
    """Go's ``filepath.Match`` for ``*`` and ``?``: neither crosses a slash."""
    pieces = (
        "[^/]*" if char == "*" else "[^/]" if char == "?" else re.escape(char) for char in pattern
    )
    return re.fullmatch("".join(pieces), text) is not None
