"""The provider table of ``providers.toml``, and the longest-suffix look-up in it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from pathlib import Path
from typing import Any


class Jurisdiction(StrEnum):
    """Whose law reaches an address. The words of ``providers.toml`` explain each class."""

    LOCAL = "LOCAL"
    EU_OWNED = "EU_OWNED"
    EU_HQ_FOREIGN_OWNER = "EU_HQ_FOREIGN_OWNER"
    EU_HQ_US_NEXUS = "EU_HQ_US_NEXUS"
    EU_ON_US_SUBSTRATE = "EU_ON_US_SUBSTRATE"
    ADEQUATE_NON_EU = "ADEQUATE_NON_EU"
    US_PARENT_EU_REGION = "US_PARENT_EU_REGION"
    US = "US"
    OTHER_THIRD_COUNTRY = "OTHER_THIRD_COUNTRY"
    SELF_DECLARED = "SELF_DECLARED"

    @property
    def us_nexus(self) -> bool:
        """Whether US law reaches the operator or someone it depends on."""
        return self in _US_NEXUS


_US_NEXUS = {
    Jurisdiction.EU_HQ_US_NEXUS,
    Jurisdiction.EU_ON_US_SUBSTRATE,
    Jurisdiction.US_PARENT_EU_REGION,
    Jurisdiction.US,
}


@dataclass(frozen=True, slots=True)
class Provider:
    """One operator: seat, owner, what was not confirmed, and its host suffixes by class."""

    name: str
    country: str
    parent: str
    note: str
    confirmed: bool
    us_nexus: bool
    schemes: tuple[str, ...]
    suffixes: tuple[tuple[str, Jurisdiction], ...]
    checked: date
    source: str
    regions_outside_eu: Mapping[str, str]

    def region_outside_eu(self, host: str) -> str:
        """Return the country of a region in ``host`` that sounds European and is not, else nothing."""
        padded = f".{host.replace('.', '..')}."
        for region, country in self.regions_outside_eu.items():
            if re.search(rf"[.-]{region}[.-]", padded):
                return country
        return ""


@cache
def providers() -> tuple[Provider, ...]:
    """Every provider of the table, in its order."""
    table = tomllib.loads(Path(__file__).with_name("providers.toml").read_text(encoding="utf-8"))
    return tuple(_provider(row) for row in table["provider"])


def _provider(row: dict[str, Any]) -> Provider:
    return Provider(
        name=str(row["name"]),
        country=str(row["country"]),
        parent=str(row.get("parent", "")),
        note=str(row.get("note", "")),
        confirmed=bool(row.get("confirmed", True)),
        us_nexus=bool(row.get("us_nexus", False)),
        schemes=tuple(row.get("schemes", ())),
        suffixes=tuple(
            (suffix, Jurisdiction(group))
            for group, names in row["suffixes"].items()
            for suffix in names
        ),
        checked=row["checked"],
        source=str(row["source"]),
        regions_outside_eu=dict(row.get("regions_outside_eu", {})),
    )


@cache
def _index() -> tuple[
    dict[str, tuple[Provider, Jurisdiction]], list[tuple[str, Provider, Jurisdiction]]
]:
    """Plain suffixes by name, and the few with a ``*`` or ``[x]`` in a label, most specific first."""
    plain: dict[str, tuple[Provider, Jurisdiction]] = {}
    patterns: list[tuple[str, Provider, Jurisdiction]] = []
    for provider in providers():
        for suffix, jurisdiction in provider.suffixes:
            if "*" in suffix or "[" in suffix:
                patterns.append((suffix, provider, jurisdiction))
            else:
                plain[suffix] = (provider, jurisdiction)
    patterns.sort(key=lambda row: -len(row[0].replace("*", "")))
    return plain, patterns


@cache
def scheme_owner(scheme: str) -> Provider | None:
    """The provider that a URL scheme implies, such as ``gs`` for Google."""
    return next((provider for provider in providers() if scheme in provider.schemes), None)


LONGEST_NAME = 253
"""Characters of a host name (RFC 1035); of a longer text the end is looked at."""


@cache
def _endings() -> frozenset[str]:
    """Return the last labels of all suffixes, so that most words are dismissed at once."""
    return frozenset(suffix.rpartition(".")[2] for row in providers() for suffix, _ in row.suffixes)


@lru_cache(maxsize=4096)
def look_up(host: str) -> tuple[Provider, Jurisdiction] | None:
    """Return the provider and class of the longest suffix that ``host`` ends with, on a label boundary.

    ``host`` is lower case and ASCII. An EU region of a table's pattern that lies in London or Zurich is not one.
    """
    if host.rpartition(".")[2] not in _endings():
        return None
    found = _longest_suffix(host[-LONGEST_NAME:])
    if found is None or found[1] is not Jurisdiction.US_PARENT_EU_REGION:
        return found
    provider = found[0]
    return (provider, Jurisdiction.US) if provider.region_outside_eu(host) else found


def _longest_suffix(host: str) -> tuple[Provider, Jurisdiction] | None:
    plain, patterns = _index()
    for suffix in _suffixes(host):
        if suffix in plain:
            return plain[suffix]
        for pattern, provider, jurisdiction in patterns:
            if _fits(suffix, pattern):
                return provider, jurisdiction
    return None


def _suffixes(host: str) -> Iterator[str]:
    """``a.b.c`` -> ``a.b.c``, ``b.c``, ``c``: the longest first."""
    labels = host.split(".")
    return (".".join(labels[start:]) for start in range(len(labels)))


def _fits(suffix: str, pattern: str) -> bool:
    have, want = suffix.split("."), pattern.split(".")
    return len(have) == len(want) and all(
        fnmatchcase(label, glob) for label, glob in zip(have, want, strict=True)
    )
