"""Countries as ISO codes: the EEA, and the adequacy decisions of ``countries.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from sovereign_ml.jurisdictions._table import Jurisdiction


@dataclass(frozen=True, slots=True)
class Adequacy:
    """A decision under GDPR Art. 45(3). ``counts`` is False where it covers certified companies only."""

    country: str
    decision: str
    date: date
    source: str
    note: str
    counts: bool


@cache
def _table() -> dict[str, Any]:
    path = Path(__file__).with_name("countries.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


@cache
def adequacy_decisions() -> dict[str, Adequacy]:
    """Return the decisions by ISO code."""
    table = _table()
    return {
        code: Adequacy(
            code,
            row["decision"],
            row["date"],
            table["source"],
            row.get("note", ""),
            row.get("counts", True),
        )
        for code, row in table["adequacy"].items()
    }


@cache
def country_codes() -> frozenset[str]:
    """Return the codes of ISO 3166-1 alpha-2."""
    return frozenset(_table()["iso"].split())


def in_eea(country: str) -> bool:
    """Return True for the code of a country of the European Economic Area."""
    return country in _table()["eea"]


def class_of_country(country: str, parent: str = "") -> Jurisdiction:
    """Return the class of an operator seated in ``country``, owned from ``parent`` (ISO codes).

    An operator in the EEA without an owner elsewhere stays SELF_DECLARED: nobody checked it.
    """
    if country == "US":
        return Jurisdiction.US
    if parent == "US":
        return Jurisdiction.US_PARENT_EU_REGION if in_eea(country) else Jurisdiction.US
    if in_eea(country):
        foreign = parent and not in_eea(parent)
        return Jurisdiction.EU_HQ_FOREIGN_OWNER if foreign else Jurisdiction.SELF_DECLARED
    decision = adequacy_decisions().get(country)
    if decision is not None and decision.counts:
        return Jurisdiction.ADEQUATE_NON_EU
    return Jurisdiction.OTHER_THIRD_COUNTRY
