"""A foreign card as flat leaves, so that every value is either mapped or listed as unmapped, and none is lost."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Leaves = dict[str, Any]
INDEX = re.compile(r"\[\d+\]")


@dataclass(frozen=True)
class Suggestion:
    """A value for one key of ``model_card.toml``, and where it stood in the foreign card."""

    target: str
    value: Any
    origin: str


@dataclass(frozen=True)
class Parsed:
    """What a reader of one format made of a card: leaves, and the format's own words for version and status."""

    source: str
    leaves: Leaves
    mapping: Mapping[str, str]
    schema_version: str = ""
    foreign_status: str = ""
    handled: frozenset[str] = field(default_factory=frozenset)


def leaves_of(value: Any, path: str = "") -> Leaves:
    """Leaves of nested JSON; a key that holds a dot and meets another path gets a mark, so that both stay."""
    found: Leaves = {}
    for leaf, item in flatten(value, path):
        name = leaf
        while name in found:
            name += "'"
        found[name] = item
    return found


def flatten(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted paths and values of nested JSON; lists of plain values are one leaf, empty containers too."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from flatten(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for index, item in enumerate(value):
            yield from flatten(item, f"{path}[{index}]")
    else:
        yield path, value


def target_of(path: str, mapping: Mapping[str, str]) -> str | None:
    """The target of a leaf: an exact rule first (``[*]`` for any index), else the longest rule ending in ``.*``."""
    plain = INDEX.sub("[*]", path)
    if plain in mapping:
        return mapping[plain]
    prefixes = [rule for rule in mapping if rule.endswith("*") and plain.startswith(rule[:-1])]
    return mapping[max(prefixes, key=len)] if prefixes else None


def sentences(value: Any) -> list[str]:
    """A value as a list of texts: list items, lines of a bulleted text, or the one text."""
    if isinstance(value, list):
        return [str(item).strip() for item in value if str(item).strip()]
    lines = [line.strip().lstrip("-*•").strip() for line in str(value).splitlines()]
    return [line for line in lines if line]
