"""National openings of the GDPR and the authorities' lists of Article 35(4), as data.

A team extends them. The library's entries stand in ``national.toml`` beside this file, those of a
team in ``governance/law.toml``.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from sovereign_ml.card.build import CardError
from sovereign_ml.card.conditions import CONDITIONS
from sovereign_ml.card.questions import walk
from sovereign_ml.card.rules.engine import Case, Hits, rule
from sovereign_ml.card.schema.answers import Answers
from sovereign_ml.card.schema.base import is_open, plain
from sovereign_ml.card.schema.facts import NationalLaw

TABLE: Final = Path(__file__).with_suffix(".toml")
# GDPR 8(1): the age unless a member state lowers it. None may go below 13.
UNLESS_LOWERED: Final = 16


class _Entries(BaseModel):
    model_config = ConfigDict(extra="forbid")

    entry: tuple[NationalLaw, ...] = ()


def read_entries(path: Path) -> tuple[NationalLaw, ...]:
    """Return the entries of a file such as ``governance/law.toml``.

    Raises CardError with one line about a wrong one.
    """
    try:
        entries = _Entries.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).entry
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CardError(f"{path.name} is not valid TOML: {error}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise CardError(f"{path.name}: {place}: {first['msg']}.") from None
    questions = {field for field, _, _ in walk(Answers())}
    for entry in entries:
        if entry.when not in CONDITIONS:
            raise CardError(
                f"{path.name}: when = '{entry.when}' of {entry.name} is no condition: "
                f"one of {', '.join(CONDITIONS)}."
            )
        if entry.field and entry.field not in questions:
            raise CardError(
                f"{path.name}: field = '{entry.field}' of {entry.name} is no answer of "
                "model_card.toml."
            )
    return entries


@cache
def known_entries() -> tuple[NationalLaw, ...]:
    """Return the library's own entries."""
    return read_entries(TABLE)


@rule(
    "R78",
    "GDPR 6(2), 8(1), 9(4), 22(2)(b), 35(4), 88; Dir. 2002/58 Art. 13(2)",
    "Name the provision or the entry in that answer, or say there why it does not fit.",
    severity="warn",
)
def national_law(case: Case) -> Hits:
    """A law or list of a country where the people live is not named, or the law exception has none there."""
    countries = case.answers.purpose.territories
    if is_open(countries):
        return
    entries = (*known_entries(), *case.facts.national_law)
    applicable = [e for e in entries if e.country in countries and case.when(e.when)]
    answers = {path: value for path, _, value in walk(case.answers)}
    for entry in applicable:
        answer = answers.get(entry.field)
        # An open answer is R01's. Its text has to name the entry, whatever it says about it.
        if (
            isinstance(answer, str)
            and not is_open(answer)
            and plain(entry.name) not in plain(answer)
        ):
            read = f"read {entry.read}" if entry.read else "not opened for this release: check it"
            yield (
                f"{entry.country}, {entry.article}: {entry.field} does not name {entry.name} "
                f"({entry.what}; {entry.source}, {entry.dated}; {read})."
            )
    if case.when("law_exception"):
        covered = {entry.country for entry in applicable if entry.article == "22(2)(b)"}
        for country in (c for c in countries if c not in covered):
            yield (
                f"{country}: no law that allows such decisions is known here. Add it to "
                "governance/law.toml, or rely on another exception there."
            )
    if case.answers.purpose.children_possible is True and case.when("consent_used"):
        limits = {entry.country: entry.age for entry in applicable if entry.age}
        ages = ", ".join(f"{c} {limits.get(c, UNLESS_LOWERED)}" for c in countries)
        yield (
            f"Children may be among them: their own consent counts from these ages (8(1)): {ages}."
        )
