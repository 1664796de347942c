"""Texts for people: English and German here, further languages in a folder of the project.

A language is one TOML file ``<language>.toml`` with the keys and the placeholders of ``en.toml``.
A file that lacks a key is refused: nobody can read a letter that is half in another language.
"""

from __future__ import annotations

import re
import string
import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from sovereign_ml.errors import Misuse

HERE: Final = Path(__file__).parent
PACKAGED: Final = tuple(sorted(path.stem for path in HERE.glob("*.toml")))
LANGUAGE: Final = re.compile(r"[a-z]{2}")
PERIOD: Final = re.compile(r"P(?=\d)(?:(\d{1,6})Y)?(?:(\d{1,6})M)?(?:(\d{1,6})W)?(?:(\d{1,6})D)?")
"""Years, months, weeks and days; Python refuses to read a number of thousands of digits."""


LAWS: Final = (
    "GDPR",
    "AI Act",
    "EDPB",
    "Opinion",
    "rec.",
    "Articles",
    "Article",
    "paras",
    "para.",
)
"""Words of a source that have a name in each language."""


class Catalogue:
    """Texts of one language. ``names`` holds the team's words for inputs, by the input's name."""

    def __init__(self, language: str, texts: Mapping[str, str], names: Mapping[str, str]) -> None:
        self.language = language
        self._texts = texts
        self._names = names

    def __call__(self, key: str, /, **values: object) -> str:
        """Return the text of ``key`` with its placeholders filled. Raises KeyError."""
        return self._texts[key].format(**values)

    def named(self, names: Mapping[str, str]) -> Catalogue:
        """Return this catalogue with the team's words for its inputs."""
        return Catalogue(self.language, self._texts, names)

    def input(self, name: str, label: str) -> str:
        """Return the words for an input: the team's, else the ``label`` in the contract."""
        return self._names.get(name) or label or name

    def code(self, value: str) -> str:
        """Return the words for a code such as ``6_1_f``, else the code with spaces for ``_``."""
        return self._texts.get(f"codes.{value}", value.replace("_", " "))

    def knows(self, value: str) -> bool:
        """Return whether this language has words for the code ``value``."""
        return f"codes.{value}" in self._texts

    def cite(self, source: str) -> str:
        """Return a source such as ``GDPR 13(1)(c)`` with the names of the laws in this language."""
        # The plural stands before the singular, which it contains.
        for english in LAWS:
            source = source.replace(english, self._texts[f"laws.{english.rstrip('.')}"])
        return re.sub(r"\bs\. (?=\d)", f"{self._texts['laws.s']} ", source)

    def number(self, value: float, digits: int = 0) -> str:
        """Return a number with the separators of the language."""
        # German swaps the two marks, so they are replaced in one pass.
        marks = {",": self("format.thousands"), ".": self("format.decimal")}
        rounded = round(value, digits) + 0.0  # turns -0.0 into 0.0
        return "".join(marks.get(character, character) for character in f"{rounded:,.{digits}f}")

    def day(self, value: date) -> str:
        """Return a date, with the time in UTC where ``value`` has one."""
        if isinstance(value, datetime) and value.tzinfo is not None:
            value = value.astimezone(UTC)
        month = self("format.months").split()[value.month - 1]
        text = self("format.date", day=value.day, month=month, year=value.year)
        return f"{text}, {value:%H:%M} UTC" if isinstance(value, datetime) else text

    def period(self, text: str) -> str:
        """Return the words for an ISO 8601 period such as ``P2Y6M``. Leave other text as it is."""
        numbers = period.groups() if (period := PERIOD.fullmatch(text)) else ()
        parts = [
            f"{int(number)} {self(f'units.{unit}_one' if int(number) == 1 else f'units.{unit}_many')}"
            for number, unit in zip(numbers, "YMWD", strict=False)
            if number and int(number)
        ]
        if len(parts) < 2:
            return parts[0] if parts else text
        return f"{', '.join(parts[:-1])} {self('words.and')} {parts[-1]}"


@cache
def _read(path: Path) -> dict[str, str]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Misuse(f"{path} is no TOML file: {error}. Correct it and try again.") from None
    return {
        f"{table}.{key}": str(text)
        for table, texts in tables.items()
        if isinstance(texts, dict)
        for key, text in texts.items()
    }


def catalogue(language: str = "en", folder: Path | None = None) -> Catalogue:
    """Return the texts of ``language``, packaged or from ``folder``. Raises Misuse."""
    if not LANGUAGE.fullmatch(language):
        raise Misuse(f"{language!r} is no language code: write two small letters, such as de.")
    if language in PACKAGED:
        return Catalogue(language, packaged(language), {})
    path = (folder or Path()) / f"{language}.toml"
    if folder is None or not path.is_file():
        raise Misuse(
            f"There are no texts in {language!r}. The languages are {', '.join(PACKAGED)}. For "
            f"another one copy {HERE / 'en.toml'} to {path} and translate it."
        )
    texts = _read(path)
    if wrong := faults(texts, packaged("en")):
        raise Misuse(f"{path}: {wrong[0]} ({len(wrong)} in all). Every key of en.toml is needed.")
    return Catalogue(language, texts, {})


def available(folder: Path) -> set[str]:
    """Return the languages that are packaged or in ``folder``."""
    return {*PACKAGED, *(path.stem for path in folder.glob("*.toml"))}


def faults(texts: Mapping[str, str], english: Mapping[str, str]) -> list[str]:
    """Return the faults of a translation: keys missing, unknown or empty, other placeholders."""
    problems = [f"the key {key} is missing" for key in english if key not in texts]
    for key, text in texts.items():
        if key not in english:
            problems.append(f"the key {key} is unknown")
        elif not text.strip():
            problems.append(f"the text of {key} is empty")
        elif placeholders(text) != (names := placeholders(english[key])):
            problems.append(f"{key} has other placeholders than {sorted(names)}")
    return problems


def placeholders(text: str) -> set[Any]:
    """Return the names in braces in a text. A text that cannot be parsed matches no other."""
    try:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError as error:
        return {str(error)}


def packaged(language: str) -> dict[str, str]:
    """Return every text of a packaged language by its key."""
    return dict(_read(HERE / f"{language}.toml"))


ENGLISH: Final = catalogue("en")
