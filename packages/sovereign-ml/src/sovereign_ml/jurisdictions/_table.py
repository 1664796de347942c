"""Table of providers (``providers.toml``), and the look-up of the longest host suffix in it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from pathlib import Path
from typing import Any


class Jurisdiction(StrEnum):
    """Class of the law that reaches an address. ``providers.toml`` explains each class."""

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
        """Return whether US law reaches the operator, or somebody on whom it depends."""
        return self in _US_NEXUS


_US_NEXUS = {
    Jurisdiction.EU_HQ_US_NEXUS,
    Jurisdiction.EU_ON_US_SUBSTRATE,
    Jurisdiction.US_PARENT_EU_REGION,
    Jurisdiction.US,
}


@dataclass(frozen=True, slots=True)
class Provider:
    """One operator: seat, owner, and host suffixes with their class.

    ``confirmed`` is False where the row rests on general knowledge.
    """

    name: str
    country: str
    suffixes: tuple[tuple[str, Jurisdiction], ...]
    checked: date
    source: str
    parent: str = ""
    note: str = ""
    confirmed: bool = True
    us_nexus: bool = False
    schemes: tuple[str, ...] = ()
    regions_outside_eu: Mapping[str, str] = field(default_factory=dict)

    def region_outside_eu(self, host: str) -> str:
        """Return the country of a region in ``host`` that sounds European but is not, else ""."""
        # Doubled dots let each label have a separator of its own on both sides.
        padded = f".{host.replace('.', '..')}."
        for region, country in self.regions_outside_eu.items():
            if re.search(rf"[.-]{region}[.-]", padded):
                return country
        return ""


@cache
def providers() -> tuple[Provider, ...]:
    """Return all providers in the order of the table."""
    table = tomllib.loads(Path(__file__).with_name("providers.toml").read_text(encoding="utf-8"))
    return tuple(_provider(row) for row in table["provider"])


def _provider(row: dict[str, Any]) -> Provider:
    suffixes = tuple(
        (suffix, Jurisdiction(group))
        for group, names in row["suffixes"].items()
        for suffix in names
    )
    return Provider(**row | {"suffixes": suffixes})


@cache
def _index() -> tuple[
    dict[str, tuple[Provider, Jurisdiction]], list[tuple[str, Provider, Jurisdiction]]
]:
    """Return plain suffixes by name, and those with ``*`` or ``[x]``, most specific first."""
    plain: dict[str, tuple[Provider, Jurisdiction]] = {}
    patterns: list[tuple[str, Provider, Jurisdiction]] = []
    for provider in providers():
        for suffix, jurisdiction in provider.suffixes:
            if "*" in suffix or "[" in suffix:
                patterns.append((suffix, provider, jurisdiction))
            else:
                plain[suffix] = (provider, jurisdiction)
    # The more letters a pattern names, the less it covers.
    patterns.sort(key=lambda row: -len(row[0].replace("*", "")))
    return plain, patterns


@cache
def scheme_owner(scheme: str) -> Provider | None:
    """Return the provider that a URL scheme implies, such as Google for ``gs``."""
    return next((provider for provider in providers() if scheme in provider.schemes), None)


LONGEST_NAME = 253
"""Characters of a host name (RFC 1035). Of a longer text only the end is looked up."""


@cache
def _endings() -> frozenset[str]:
    """Return the last labels of all suffixes. They rule out most words at once."""
    return frozenset(suffix.rpartition(".")[2] for row in providers() for suffix, _ in row.suffixes)


@lru_cache(maxsize=4096)
def look_up(host: str) -> tuple[Provider, Jurisdiction] | None:
    """Return the provider and class of the longest suffix of ``host``, None where none fits.

    ``host`` is lower case and ASCII. Suffixes end on a label boundary. A region such as eu-west-2
    (London) has the pattern of an EU region, but it lies outside the EU.
    """
    # The audit asks about every word of every file, and most are no hosts.
    if host.rpartition(".")[2] not in _endings():
        return None
    match = _longest_suffix(host[-LONGEST_NAME:])
    if match is None or match[1] is not Jurisdiction.US_PARENT_EU_REGION:
        return match
    provider = match[0]
    return (provider, Jurisdiction.US) if provider.region_outside_eu(host) else match


def _longest_suffix(host: str) -> tuple[Provider, Jurisdiction] | None:
    plain, patterns = _index()
    labels = host.split(".")
    for start in range(len(labels)):
        suffix = ".".join(labels[start:])
        if suffix in plain:
            return plain[suffix]
        for pattern, provider, jurisdiction in patterns:
            if _fits(suffix, pattern):
                return provider, jurisdiction
    return None


def _fits(suffix: str, pattern: str) -> bool:
    have, want = suffix.split("."), pattern.split(".")
    return len(have) == len(want) and all(
        fnmatchcase(label, glob) for label, glob in zip(have, want, strict=True)
    )
