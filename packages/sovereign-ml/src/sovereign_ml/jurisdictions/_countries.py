"""Countries by ISO code, from ``countries.toml``: the EEA, and those with an adequacy decision."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from sovereign_ml.jurisdictions._table import Jurisdiction


@cache
def _table() -> dict[str, Any]:
    path = Path(__file__).with_name("countries.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


@cache
def adequate_countries() -> frozenset[str]:
    """Return the codes of countries with an adequacy decision (GDPR Art. 45(3)).

    A decision about certified companies only does not count.
    """
    decisions = _table()["adequacy"]
    return frozenset(code for code, row in decisions.items() if row.get("counts", True))


@cache
def country_codes() -> frozenset[str]:
    """Return the codes of ISO 3166-1 alpha-2."""
    return frozenset(_table()["iso"].split())


def in_eea(country: str) -> bool:
    """Return whether a country is in the European Economic Area."""
    return country in _table()["eea"]


def class_of_country(country: str, parent: str = "") -> Jurisdiction:
    """Return the class of an operator with its seat in ``country`` and its owner in ``parent``.

    An operator in the EEA without an owner elsewhere stays SELF_DECLARED: nobody checked it.
    """
    if country == "US":
        return Jurisdiction.US
    if parent == "US":
        return Jurisdiction.US_PARENT_EU_REGION if in_eea(country) else Jurisdiction.US
    if in_eea(country):
        foreign = parent and not in_eea(parent)
        return Jurisdiction.EU_HQ_FOREIGN_OWNER if foreign else Jurisdiction.SELF_DECLARED
    if country in adequate_countries():
        return Jurisdiction.ADEQUATE_NON_EU
    return Jurisdiction.OTHER_THIRD_COUNTRY
