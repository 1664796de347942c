"""Languages as people write them: a code, or a name in English or in the language itself."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

NAMES: Final = {
    "bg": "Bulgarian, български",
    "cs": "Czech, čeština, český, česky",
    "da": "Danish, dansk",
    "de": "German, Deutsch, deu, ger",
    "el": "Greek, ελληνικά",
    "en": "English, eng",
    "es": "Spanish, español, castellano",
    "et": "Estonian, eesti, eesti keel",
    "fi": "Finnish, suomi",
    "fr": "French, français, fra, fre",
    "ga": "Irish, Gaeilge",
    "hr": "Croatian, hrvatski",
    "hu": "Hungarian, magyar",
    "is": "Icelandic, íslenska",
    "it": "Italian, italiano, ita",
    "lb": "Luxembourgish, Lëtzebuergesch",
    "lt": "Lithuanian, lietuvių, lietuvių kalba",
    "lv": "Latvian, latviešu, latviešu valoda",
    "mt": "Maltese, Malti",
    "nb": "Norwegian, norsk, bokmål, norsk bokmål",
    "nl": "Dutch, Nederlands, Flemish, Vlaams",
    "pl": "Polish, polski",
    "pt": "Portuguese, português",
    "ro": "Romanian, română",
    "sk": "Slovak, slovenčina, slovenský, slovensky",
    "sl": "Slovenian, Slovene, slovenščina, slovenski",
    "sv": "Swedish, svenska",
}
"""Official languages of the EU and the EEA by their code of ISO 639-1."""
CODE: Final = re.compile(r"([a-z]{2})(?:[-_][a-z0-9]+)*")


def language_code(text: str) -> str:
    """Return the code of a language such as ``German``, ``Deutsch``, ``DE`` or ``de-AT``.

    The texts know languages and no countries, so de-AT is ``de``. Return an empty text for a name
    that is not known.
    """
    # What stands in brackets is a country, as in "German (Austria)".
    name = _plain(re.sub(r"\(.*?\)", "", text))
    return _CODES.get(name) or (match[1] if (match := CODE.fullmatch(name)) else "")


def _plain(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(c for c in letters if not unicodedata.combining(c)).split())


_CODES: Final = {_plain(name): code for code, names in NAMES.items() for name in names.split(",")}
