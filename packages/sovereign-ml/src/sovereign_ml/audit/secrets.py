"""Search for passwords, keys and tokens in text and in a project's committed files.

A hit names its kind, never its value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path

from sovereign_ml import git
from sovereign_ml.audit._normalise import LOCK_HASH
from sovereign_ml.audit._secret_kinds import (
    ASSIGNED,
    DATA_BLOCK,
    DEFAULT_VALUE,
    ENCODED,
    INLINE,
    KEY_STORES,
    LOGIN_FILES,
    NAME_LINE,
    NAMED_VALUE,
    NO_SECRET,
    OPENED,
    OPENED_TAG,
    PATTERNS,
    REFERENCE,
    SECRET_DOCUMENT,
    STANDS_FOR,
    TERRAFORM,
    UNQUOTED,
    VARIABLE_OF_ONE,
)
from sovereign_ml.errors import Misuse
from sovereign_ml.git import GitError

_CODE = (
    ".py",
    ".pyi",
    ".js",
    ".ts",
    ".jsx",
    ".tsx",
    ".r",
    ".java",
    ".go",
    ".rs",
    ".ipynb",
    ".sql",
    ".md",
    ".html",
    ".css",
    ".sh",
    ".lock",
    ".j2",
)
_ESCAPING = (".ipynb", ".json", ".jsonl")
_LONGEST_LINE = 5_000
"""Number of characters of one line that are searched at once.

A longer line is cut at blanks, commas and semicolons.
"""
_LARGEST = 2_000_000
_HEAD = 8000
"""Number of bytes in which a zero marks a file as binary, as for git."""


@dataclass(frozen=True, slots=True)
class ScanHit:
    """Content at ``file:line`` that should not be committed."""

    file: str
    line: int
    kind: str


def secrets_in(text: str, file: str = "") -> Iterator[tuple[int, str]]:
    """Yield line number (from 1) and kind of each secret in ``text``.

    The name of ``file`` tells how values are written.
    """
    name = file.rpartition("/")[2].lower()
    settings = bool(file) and not name.endswith(_CODE)
    login = LOGIN_FILES.get(name)
    named = ""  # the name of the variable whose value the next line holds
    opened = ""  # the key whose value stands below it
    variable = False
    terraform = name.endswith((".tf", ".hcl", ".tfvars"))
    encoded = _encoded_values(text) if SECRET_DOCUMENT.search(text) else set()
    for number, whole in enumerate(text.splitlines(), start=1):
        if LOCK_HASH.fullmatch(whole):
            opened = named = ""
            continue
        kinds: dict[str, None] = {}
        # JSON escapes the quotes that mark a value.
        for line in _pieces(whole.replace('\\"', '"') if name.endswith(_ESCAPING) else whole):
            kinds |= dict.fromkeys(_by_pattern(line))
            if not kinds and any(map(_assigned_secret, ASSIGNED.finditer(line))):
                kinds["password or key"] = None
            reference = terraform and TERRAFORM.search(line) is not None
            looked_at = _settings_of(line, opened) if settings and not (kinds or reference) else ()
            if any(map(_unquoted_secret, looked_at)):
                kinds["password or key without quotes"] = None
            if variable and not kinds and DEFAULT_VALUE.match(line):
                kinds["default of a secret"] = None
            pair = NAMED_VALUE.search(f"{named}\n{line}" if named else line)
            if pair and not kinds and _is_mixed(pair.group(1)):
                kinds["password or key beside its name"] = None
            if login and login.search(line):
                kinds["password of a login file"] = None
        if number in encoded and not kinds:
            kinds["value of a Kubernetes Secret"] = None
        match = (
            OPENED.match(whole) or OPENED_TAG.match(whole)
            if settings and len(whole) < 300
            else None
        )
        opened = match.group(1) if match else ""
        variable = bool(VARIABLE_OF_ONE.match(whole[:300])) or (
            variable and not whole.startswith("}")
        )
        named = whole if len(whole) < 300 and NAME_LINE.match(whole) else ""
        if kinds and not _is_waived(whole):
            yield from ((number, kind) for kind in kinds)


_BY_FORM = {"service token", "S3 access key"}
"""Kinds known by their form alone, in which a placeholder has the form too (``AKIA1111…``)."""
_VALUES = {*_BY_FORM, "password or key in an environment file", "password in XML"}
"""Kinds whose match is the value itself.

A word beside it, as in ``host=db.example.com password=…``, does not count.
"""


def _by_pattern(line: str) -> Iterator[str]:
    """Yield the kinds of secrets in a line, without placeholders."""
    for kind, pattern in PATTERNS.items():
        for match in pattern.finditer(line):
            text = match.group()
            placeholder = kind in _VALUES and NO_SECRET.search(text)
            if not placeholder and not (kind in _BY_FORM and _is_one_character(text)):
                yield kind
                break


def _is_one_character(text: str) -> bool:
    return max(map(text.count, set(text))) > len(text) / 2


def _assigned_secret(match: re.Match[str]) -> bool:
    """Return True where the value looks random.

    Letters and digits alternate in one word.
    """
    value = match.group(2)
    if re.search(STANDS_FOR, value, re.IGNORECASE) or NO_SECRET.search(match.group()):
        return False
    if REFERENCE.fullmatch(value) or _is_one_character(value):
        return False
    if re.match(r"[a-z]+:|[./~]|[A-Z_]+$|\w+\.\w+\(", value):  # a reference, a path, a variable
        return False
    return any(map(_is_random, re.findall(r"[A-Za-z0-9]{12,}", value)))


def _is_random(word: str) -> bool:
    """Return True where digits stand among letters, or capitals and digits change often."""
    mixed = len(re.findall(r"(?i)(?<=[a-z])\d|(?<=\d)[a-z]", word))
    changes = len(re.findall(r"(?<=[a-z])[A-Z0-9]|(?<=[A-Z])[a-z0-9]|(?<=\d)[A-Za-z]", word))
    return mixed >= 3 or (mixed > 0 and len(word) >= 20 and changes >= 8)


def _encoded_values(text: str) -> set[int]:
    """Return the lines below ``data:`` in the documents of a file that are Kubernetes Secrets."""
    lines: set[int] = set()
    rows = text.splitlines()
    first = 0
    for last in [*(number for number, row in enumerate(rows) if row == "---"), len(rows)]:
        if any(map(SECRET_DOCUMENT.match, rows[first:last])):
            indent = -1
            for number in range(first, last):
                row = rows[number]
                depth = len(row) - len(row.lstrip())
                if match := DATA_BLOCK.match(row):
                    indent = len(match.group(1))
                elif row.strip() and depth <= indent:
                    indent = -1
                elif indent >= 0 and ENCODED.match(row.strip()):
                    lines.add(number + 1)
        first = last
    return lines


def _settings_of(line: str, opened: str) -> Iterator[str]:
    """Yield the settings in a line.

    They are the line itself, the pairs of a mapping in braces, and the value under a key that was
    opened.
    """
    yield line
    if "{" in line:
        yield from INLINE.findall(line)
    if opened:
        yield f"{opened}: {line.strip()}"


def _pieces(line: str) -> Iterator[str]:
    if len(line) <= _LONGEST_LINE:
        yield line
        return
    for part in re.split(r"[\s,;]+", line):
        for start in range(0, len(part), _LONGEST_LINE):
            yield part[start : start + _LONGEST_LINE]


def _unquoted_secret(line: str) -> bool:
    """Return True for a secret such as ``password: s3cretS3cret``.

    Its value has digits or capitals mixed in. A word, a path or a reference is none.
    """
    match = UNQUOTED.match(line)
    if match is None or re.search(STANDS_FOR, match.group(3), re.IGNORECASE):
        return False
    value = match.group(3)
    if REFERENCE.fullmatch(value) or NO_SECRET.search(line):
        return False
    if re.fullmatch(
        r"[\d.:-]+|(?i:true|false|none|null)|[./~].*|[A-Z][A-Z0-9_]*|\w+://.*|sha\d+:.*", value
    ):
        return False
    mixed = (
        re.search(r"\d", value) is not None
        or re.search(r"[a-z][A-Z]|[A-Z][a-z]*[^\w.-]", value) is not None
    )
    if match.group(1):
        return mixed or re.search(r"[^\w.-]", value) is not None
    # a name such as churn-db-2 is what Kubernetes calls a secret
    is_name = (
        re.fullmatch(r"[a-z]+\d{0,2}(?:[-.][a-z0-9]+)*", value) is not None and len(value) < 24
    )
    return mixed and not is_name


def _is_mixed(value: str) -> bool:
    return (
        re.search(r"\d", value) is not None
        and re.search(r"[A-Za-z]", value) is not None
        and re.search(STANDS_FOR, value, re.IGNORECASE) is None
    )


def _is_waived(line: str) -> bool:
    # Few lines have a waiver, so its parser is imported only for them.
    if "audit-waiver" not in line:
        return False
    from sovereign_ml.audit._policy import LineWaiver, line_waiver, void_because

    waiver, today = line_waiver(line), datetime.now(UTC).date()
    return isinstance(waiver, LineWaiver) and not void_because(waiver.until, today)


def scan_secrets(root: Path, exclude: Iterable[str] = ()) -> list[ScanHit]:
    """Return the secrets in the files that git tracks or would track below ``root``."""
    hits: list[ScanHit] = []
    for name, text in _texts(root, exclude):
        if name.lower().endswith(KEY_STORES):
            hits.append(ScanHit(name, 1, "store of keys"))
        elif text is not None:
            hits += [ScanHit(name, line, kind) for line, kind in secrets_in(text, name)]
    return hits


def unread(root: Path, exclude: Iterable[str] = ()) -> list[str]:
    """Return the files that ``scan_secrets`` does not read.

    They are binary, such as a wheel, or over 2 MB.
    """
    return [name for name, text in _texts(root, exclude) if text is None]


def _texts(root: Path, exclude: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """Yield each committed file with its text, or None if it is binary or too large."""
    patterns = tuple(exclude)
    for path in committed(root):
        # A name of a file may be any bytes; what is shown is text.
        name = os.fsencode(path.relative_to(root).as_posix()).decode("utf-8", "replace")
        if any(fnmatch(name, pattern) for pattern in patterns):
            continue
        # A zero byte stands for a file that is too large: it is not read either.
        data = path.read_bytes() if path.stat().st_size <= _LARGEST else b"\0"
        yield name, decoded(data)


def decoded(content: bytes) -> str | None:
    """Return the text of a file without its byte order mark, None if it is binary."""
    # A mark of UTF-8 would hide the key at the start of the first line.
    if b"\0" not in content[:_HEAD]:
        return content.decode("utf-8-sig", "replace")
    # In UTF-16, as PowerShell writes it, every second byte may be zero. Without a zero its mark
    # proves nothing, and text behind it would become other letters.
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    return None


def _listed(root: Path) -> list[str]:
    # Without -z git puts unusual names into quotes.
    options = ("-z", "--cached", "--others", "--exclude-standard")
    try:
        # A name may be any bytes, and only exactly these open the file.
        names = git.ask(root, "ls-files", *options, errors="surrogateescape")
    except GitError as error:
        raise Misuse(
            f"Git does not tell which files belong to the project: {error}. Nothing was searched: "
            "let git answer, then run this again."
        ) from None
    return [name for name in names.split("\0") if name]


def committed(root: Path, pattern: str = "*", *, symlinks: bool = False) -> list[Path]:
    """Return files below ``root`` that git tracks or does not ignore.

    Every file is returned where there is no git repository, or one around the folder that ignores
    it. Raises Misuse where git does not answer.
    """
    names = _listed(root) if git.in_repository(root) else []
    if names:
        paths = (root / name for name in names if fnmatch(Path(name).name, pattern))
    else:
        below = ((path, set(path.relative_to(root).parts)) for path in root.rglob(pattern))
        paths = (path for path, parts in below if not {".venv", ".git"} & parts)
    return sorted(
        path
        for path in paths
        if (path.is_symlink() and symlinks) or (path.is_file() and not path.is_symlink())
    )
