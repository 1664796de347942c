"""Digest of the installed library's files, by which DVC notices that one of them changed."""

from __future__ import annotations

import hashlib
from functools import cache

from sovereign_ml.bundle.installed_files import PACKAGE


@cache
def content_digest() -> str:
    """Return the SHA-256 (hex) over the names and bytes of the package's files.

    Compiled modules are left out: Python writes them when it likes.
    """
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            # NUL ends a name, so that a name and a hash can never be split in another place.
            digest.update(f"{path.relative_to(PACKAGE).as_posix()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
