"""Find passwords, keys and tokens in text and in a project's committed files. A hit names its kind, never its value."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

# `secret = "churn-service"` names a Kubernetes secret; a value with a digit or a capital is one
_NOT_A_NAME = r"[\"']?\s*[:=]\s*[\"'](?-i:[a-z_.-]*[^a-z_.\"'-])"
_KINDS = {
    "private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----",
    "S3 access key": r"\b(?:AKIA|ASIA|SCW)[0-9A-Z]{16,17}\b",
    "forge token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{60,}|glpat-[\w-]{20,})",
    "service token": r"\b(?:sotap?_|sk-|hf_|xox[bap]-)[A-Za-z0-9_-]{20,}",
    "signed token": r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}",
    "password in an address": r"://[^/\s:@\"'{}$<]+:(?!\*+@)[^@\s/\"'{}$<]{3,}@",
    "password or key in an environment file": (
        r"(?<![\w-])[A-Z0-9_]*(?:PASSWORD|SECRET|TOKEN|ACCESS_KEY|API_KEY|SECRET_KEY)=(?!not-a-|\w+\[)[^\s$<{\"'(@*]{8,}"
    ),
    "password or key": (
        r"(?i)\b[\w.-]*(?:(?:password|passwd|(?:api|access|private|secret)_?key)|(?:secret|token)(?="
        + _NOT_A_NAME
        + r"))"
        # "tracking_password": "MLFLOW_TRACKING_PASSWORD" says in which variable it is
        r"[\"']?\s*[:=]\s*[\"'](?!(?-i:[A-Z]+(?:_[A-Z]+)+)[\"'])(?![^\"']*(?:\$|\{|<|\.\.\.|example|change|placeholder|not-a-))[^\"'\s]{8,}[\"']"
    ),
}
_PATTERNS = {kind: re.compile(pattern) for kind, pattern in _KINDS.items()}
_LARGEST = 1_000_000
_HEAD = 8000
"""Bytes in which a zero marks a file as binary, as for git."""


@dataclass(frozen=True, slots=True)
class ScanHit:
    """Something that should not be committed, at ``file:line``."""

    file: str
    line: int
    kind: str


def secrets_in(text: str) -> Iterator[tuple[int, str]]:
    """Line number (from 1) and kind of each secret in ``text``."""
    for number, line in enumerate(text.splitlines(), start=1):
        for kind, pattern in _PATTERNS.items():
            if pattern.search(line):
                yield number, kind


def scan_secrets(root: Path, exclude: Iterable[str] = ()) -> list[ScanHit]:
    """Return the secrets in the files that git tracks or would track below ``root``."""
    hits: list[ScanHit] = []
    for name, text in _texts(root, exclude):
        if text is not None:
            hits += [ScanHit(name, line, kind) for line, kind in secrets_in(text)]
    return hits


def unread(root: Path, exclude: Iterable[str] = ()) -> list[str]:
    """Return the files that ``scan_secrets`` does not read: binary ones, such as a wheel, and those over 1 MB."""
    return [name for name, text in _texts(root, exclude) if text is None]


def _texts(root: Path, exclude: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """Yield each committed file with its text; None for one that is binary or too large."""
    patterns = tuple(exclude)
    for path in committed(root):
        name = path.relative_to(root).as_posix()
        if any(fnmatch(name, pattern) for pattern in patterns):
            continue
        data = path.read_bytes() if path.stat().st_size <= _LARGEST else b"\0"
        yield name, None if b"\0" in data[:_HEAD] else data.decode("utf-8", "replace")


def committed(root: Path, pattern: str = "*", *, symlinks: bool = False) -> list[Path]:
    """Files below ``root`` that git tracks or does not ignore; every file where there is no git repository."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=False,
    )
    if listing.returncode:
        found = (path for path in root.rglob(pattern) if not {".venv", ".git"} & set(path.parts))
    else:
        names = listing.stdout.decode("utf-8", "replace").split("\0")
        found = (root / name for name in names if name and fnmatch(Path(name).name, pattern))
    return sorted(
        path for path in found if path.is_symlink() and symlinks or path.is_file() and not path.is_symlink()
    )
