"""Texts for people in one catalogue: English and German here, further languages in a folder of the project.

A language is one TOML file ``<language>.toml`` with the same keys and the same placeholders as ``en.toml``. A file
that lacks a key is refused as a whole: a letter that is half in another language helps nobody.
"""

from __future__ import annotations

import re
import string
import tomllib
from collections.abc import Mapping
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from sovereign_ml.errors import Misuse

HERE: Final = Path(__file__).parent
PACKAGED: Final = tuple(sorted(path.stem for path in HERE.glob("*.toml")))
LANGUAGE: Final = re.compile(r"[a-z]{2}")
PERIOD: Final = re.compile(r"P(\d+)([YMWD])")


class Catalogue:
    """The texts of one language. ``names`` are the team's own words for inputs, by the input's name."""

    def __init__(self, language: str, texts: Mapping[str, str], names: Mapping[str, str]) -> None:
        self.language = language
        self._texts = texts
        self._names = names

    def __call__(self, key: str, /, **values: object) -> str:
        """Return the text of ``key`` with its placeholders filled; KeyError for an unknown key."""
        return self._texts[key].format(**values)

    def named(self, names: Mapping[str, str]) -> Catalogue:
        """Return this catalogue with the team's own words for its inputs."""
        return Catalogue(self.language, self._texts, names)

    def input(self, name: str, label: str) -> str:
        """Return the words for an input: the team's in this language, else ``label`` of the contract."""
        return self._names.get(name) or label or name

    def code(self, value: str) -> str:
        """Return a code such as ``6_1_f`` in words; an unknown one is read with spaces for underscores."""
        return self._texts.get(f"codes.{value}", value.replace("_", " "))

    def knows(self, value: str) -> bool:
        """Return whether ``value`` is a code with words of its own."""
        return f"codes.{value}" in self._texts

    def cite(self, source: str) -> str:
        """Return a source such as ``GDPR 13(1)(c)`` with the names of the laws in this language."""
        for english in ("GDPR", "AI Act", "rec.", "Articles", "Article", "paras", "para."):
            source = source.replace(english, self._texts[f"laws.{english.rstrip('.')}"])
        return source

    def number(self, value: float, digits: int = 0) -> str:
        """Return a number with the separators of the language."""
        marks = {",": self("format.thousands"), ".": self("format.decimal")}
        rounded = round(value, digits) + 0.0  # not -0
        return "".join(marks.get(character, character) for character in f"{rounded:,.{digits}f}")

    def day(self, value: date) -> str:
        """Return a date, with the time in UTC where ``value`` has one."""
        month = self("format.months").split()[value.month - 1]
        text = self("format.date", day=value.day, month=month, year=value.year)
        return f"{text}, {value:%H:%M} UTC" if isinstance(value, datetime) else text

    def period(self, text: str) -> str:
        """Return an ISO 8601 period such as ``P24M`` in words; anything else as it is."""
        if not (period := PERIOD.fullmatch(text)):
            return text
        form = "one" if period[1] == "1" else "many"
        return f"{period[1]} {self(f'units.{period[2]}_{form}')}"


@cache
def _read(path: Path) -> dict[str, str]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Misuse(
            f"{path} is no TOML file: {error}. Correct it, then call this again."
        ) from None
    return {
        f"{table}.{key}": str(text)
        for table, texts in tables.items()
        if isinstance(texts, dict)
        for key, text in texts.items()
    }


def catalogue(language: str = "en", folder: Path | None = None) -> Catalogue:
    """Return the texts of ``language``, packaged or from ``folder``. Raises Misuse for one that is not complete."""
    if not LANGUAGE.fullmatch(language):
        raise Misuse(f"{language!r} is no language code: write two small letters, such as de.")
    own = folder / f"{language}.toml" if folder else None
    if language in PACKAGED:
        return Catalogue(language, _read(HERE / f"{language}.toml"), {})
    if own is None or not own.is_file():
        where = own or f"{language}.toml"
        raise Misuse(
            f"There are no texts in {language!r}: {', '.join(PACKAGED)} are here. For another language copy "
            f"{HERE / 'en.toml'} to {where} and translate it."
        )
    texts, wanted = _read(own), _read(HERE / "en.toml")
    if wrong := faults(texts, wanted):
        raise Misuse(f"{own}: {wrong[0]} ({len(wrong)} in all). Every key of en.toml is needed.")
    return Catalogue(language, texts, {})


def available(folder: Path) -> set[str]:
    """Return the languages that are here, packaged or in ``folder``."""
    return {*PACKAGED, *(path.stem for path in folder.glob("*.toml"))}


def faults(texts: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """Return what keeps ``texts`` from standing in for ``wanted``: keys missing, unknown, empty, or other placeholders."""
    found = [f"the key {key} is missing" for key in wanted if key not in texts]
    found += [f"the key {key} is unknown" for key in texts if key not in wanted]
    both = [key for key in wanted if key in texts]
    found += [f"the text of {key} is empty" for key in both if not texts[key].strip()]
    return found + [
        f"{key} has other placeholders than {sorted(placeholders(wanted[key]))}"
        for key in both
        if placeholders(texts[key]) != placeholders(wanted[key])
    ]


def placeholders(text: str) -> set[Any]:
    """Return the names in braces in a text; one that cannot be read counts as a placeholder of its own."""
    try:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError as error:
        return {str(error)}


def packaged(language: str) -> dict[str, str]:
    """Return every text of a packaged language by its key."""
    return dict(_read(HERE / f"{language}.toml"))


ENGLISH: Final = catalogue("en")
