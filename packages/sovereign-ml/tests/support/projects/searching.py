"""Search every byte below a folder for words, without the product's own code: archives, Parquet, git objects too."""

import gzip
import re
import subprocess
import zipfile
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path

import pyarrow.parquet


def places(folder: Path, words: Iterable[str], *, but: Iterable[Path] = ()) -> list[str]:
    """Files below ``folder`` (those under ``but`` left out) that hold one of ``words`` in any form."""
    pattern = re.compile(b"|".join(re.escape(word.encode()) for word in words))
    left_out = tuple(but)
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
    found = [
        str(path.relative_to(folder))
        for path in files
        if not any(path.is_relative_to(one) for one in left_out)
        and any(pattern.search(part) for part in _contents(path))
    ]
    return found + [
        f"git objects of {root}" for root in _repositories(folder) if pattern.search(_objects(root))
    ]


def held(content: bytes, words: Iterable[str]) -> bool:
    """Whether one of ``words`` stands in ``content`` in any form."""
    pattern = re.compile(b"|".join(re.escape(word.encode()) for word in words))
    return any(pattern.search(part) for part in _parts(content))


def _contents(path: Path) -> Iterator[bytes]:
    yield str(path.name).encode()
    yield from _parts(path.read_bytes())


def _parts(raw: bytes) -> Iterator[bytes]:
    yield raw
    if raw[:4] == b"PAR1":
        table = pyarrow.parquet.read_table(BytesIO(raw))
        for column in table.columns:
            yield "\n".join(map(str, column.unique().to_pylist())).encode()
    elif raw[:2] == b"PK" and zipfile.is_zipfile(BytesIO(raw)):
        with zipfile.ZipFile(BytesIO(raw)) as archive:
            yield from (archive.read(name) for name in archive.namelist())
    elif raw[:2] == b"\x1f\x8b":
        yield gzip.decompress(raw)


def _repositories(folder: Path) -> list[Path]:
    return [path.parent for path in folder.glob("*/.git")]


def _objects(root: Path) -> bytes:
    command = ["git", "-C", str(root), "cat-file", "--batch", "--batch-all-objects"]
    return subprocess.run(command, check=True, capture_output=True).stdout
