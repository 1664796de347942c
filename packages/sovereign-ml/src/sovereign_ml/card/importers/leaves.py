"""Flat leaves of a foreign card.

Every value is either mapped or listed as unmapped, and none is lost.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Leaves = dict[str, Any]
INDEX = re.compile(r"\[\d+\]")
# A foreign file may be huge or nested without end. No model card comes near these limits.
MOST_LEAVES = 5_000
DEEPEST = 50
_BULLET = re.compile(r"\s*(?:[-*•+]|\d{1,3}[.)])\s+(?=\S)")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


@dataclass(frozen=True)
class Suggestion:
    """A value for one key of ``model_card.toml``, and its place in the foreign card."""

    target: str
    value: Any
    origin: str


@dataclass(frozen=True)
class Parsed:
    """A card as the reader of one format returns it.

    It holds the leaves, and the format's own words for version and status.
    """

    source: str
    leaves: Leaves
    mapping: Mapping[str, str]
    schema_version: str = ""
    foreign_status: str = ""
    handled: frozenset[str] = field(default_factory=frozenset)
    notes: tuple[str, ...] = ()


def read_json(text: str) -> Any:
    """Return parsed JSON. A long number stays text.

    Raises ValueError for a key that stands twice in an object, and for half of a character.
    """
    content = json.loads(
        text,
        object_pairs_hook=_unique,
        # Python refuses to convert integers of more than 4,300 digits.
        parse_int=lambda digits: int(digits) if len(digits) <= 20 else digits,
    )
    try:
        # JSON can write half of a character as an escape. No file can hold it.
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise HalfCharacterError(
            f"it holds \\u{ord(half):04x}, half of a character: write the whole character"
        ) from None
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique: dict[str, Any] = {}
    for key, value in pairs:
        if key in unique:
            raise DuplicateKeyError(
                f"the key {key[:60]!r} stands twice: keep one of the two values"
            )
        unique[key] = value
    return unique


class DuplicateKeyError(ValueError):
    """A repeated key, of which one value would be lost."""


class HalfCharacterError(ValueError):
    """Half of a character (a lone surrogate), which can be neither printed nor written."""


def leaves_of(value: Any, path: str = "") -> Leaves:
    """Return the leaves of nested JSON.

    A key that holds a dot and meets another path gets a mark, so that both stay.
    """
    leaves: Leaves = {}
    for leaf, item in flatten(value, path):
        if len(leaves) >= MOST_LEAVES:
            raise ValueError(f"more than {MOST_LEAVES:,} values; a model card has fewer")
        _put(leaves, leaf, item)
    return leaves


def merged(*parts: Leaves) -> Leaves:
    """Return all leaves of several parts.

    Where two parts say different things under one path, the later gets a mark.
    """
    leaves: Leaves = {}
    for part in parts:
        for leaf, item in part.items():
            if leaf not in leaves or leaves[leaf] != item:
                _put(leaves, leaf, item)
    return leaves


def _put(leaves: Leaves, leaf: str, item: Any) -> None:
    # a counter, not a growing mark: thousands of equal paths stay cheap
    if leaf not in leaves:
        leaves[leaf] = item
        return
    number = 1
    while f"{leaf}'{number if number > 1 else ''}" in leaves:
        number += 1
    leaves[f"{leaf}'{number if number > 1 else ''}"] = item


def flatten(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield dotted paths and values of nested JSON.

    A list of plain values is one leaf, and so is an empty container.
    """
    if depth > DEEPEST:
        raise ValueError(f"nested deeper than {DEEPEST} levels; a model card is not")
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from flatten(item, f"{path}.{key}" if path else str(key), depth + 1)
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for index, item in enumerate(value):
            yield from flatten(item, f"{path}[{index}]", depth + 1)
    else:
        yield path, value


def target_of(path: str, mapping: Mapping[str, str]) -> str | None:
    """Return the target of a leaf, or None.

    An exact rule comes first (``[*]`` for any index), then the longest rule ending in ``.*``.
    """
    plain = INDEX.sub("[*]", path)
    if plain in mapping:
        return mapping[plain]
    prefixes = [rule for rule in mapping if rule.endswith("*") and plain.startswith(rule[:-1])]
    return mapping[max(prefixes, key=len)] if prefixes else None


def _uncommented(text: str) -> str:
    # Behind the last end no comment can match. To look for one from every "<!--" there would take
    # a time that grows with the square of the length.
    before, end, after = text.rpartition("-->")
    return _COMMENT.sub("", before + end) + after


def sentences(value: Any) -> list[str]:
    """Return a value as a list of texts.

    These are the items of a list or of a bulleted text, else the one text. Prose is never cut:
    wrapped lines are joined. A marker goes only where a blank follows it, so a sign stays ("-3
    points").
    """
    if isinstance(value, list):
        return [str(item).strip() for item in value if str(item).strip()]
    lines = _uncommented(str(value)).splitlines()
    bullets = [line for line in lines if _BULLET.match(line)]
    # A single line such as "- 3 points" may be a sign and not a bullet.
    alone = len(bullets) == 1 and re.match(r"\s*-\s+\d", bullets[0]) is not None
    if not bullets or alone:
        text = " ".join(" ".join(lines).split())
        return [text] if text else []
    items: list[str] = []
    for line in lines:
        if match := _BULLET.match(line):
            items.append(line[match.end() :].strip())
        elif line.strip() and items:
            items[-1] = f"{items[-1]} {line.strip()}"
        elif line.strip():
            items.append(line.strip())
    return items
