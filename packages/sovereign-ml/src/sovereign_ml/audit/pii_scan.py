"""Look for what should not be in a model: identifiers, free text, special categories (GDPR 5(1)(c), 9, 25)."""

from __future__ import annotations

import re
from collections.abc import Iterable

IDENTIFIER_NAMES = re.compile(
    r"(^|_)(first_?name|last_?name|surname|full_?name|e_?mail|phone|mobile|street|address|postcode|zip|iban|card_?number|"
    r"passport|ssn|tax_?id|national_?id|ip|device_?id|customer_id)($|_)",
    re.IGNORECASE,
)
VALUES = {
    "e-mail address": re.compile(r"[\w.+-]+@[\w-]+\.[\w.]+"),
    "IBAN": re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b"),
    "card number": re.compile(r"\b(?:\d[ -]?){13,19}\b"),
    "telephone number": re.compile(r"\+\d[\d /-]{7,}\d"),
}
FREE_TEXT_WORDS = 8
"""A category of more words than this is somebody's sentence, not a category."""

SPECIAL = {
    "health": r"health|medic|pharma|drug|diagnos|disab|pregnan|baby|diabet|cancer|incontinen|hearing.?aid|allerg|psych"
    r"|gesundheit|krank|apothek|schwanger|behinder|arznei",
    "religion": r"religio|church|mosque|halal|kosher|bible|koran|quran|rosary|confession"
    r"|kirche|moschee|konfession|glaube",
    "political opinion": r"politic|party.?member|campaign.?donat|parteimitglied|parteispende",
    "trade union": r"trade.?union|union.?member|gewerkschaft|syndicat",
    "sex life or orientation": r"sexual|erotic|condom|lgbt|gay|lesbian|fetish",
    "ethnic origin": r"ethnic|racial|race$|skin.?colou?r|nationality|migra|herkunft|staatsangeh|hautfarbe",
    "genetic or biometric data": r"genetic|\bdna\b|biometri|fingerprint|fingerabdruck|face.?id|genetisch",
    "criminal record": r"criminal|convict|offence|straftat|vorstrafe",
}
"""A first lexicon of English and German stems; extend it in the project's own language. A hit asks, it proves
nothing."""


def identifiers(names: Iterable[str], values: Iterable[str] = ()) -> tuple[str, ...]:
    """Columns named like a direct identifier, and kinds of identifiers found among category values."""
    found = [name for name in names if IDENTIFIER_NAMES.search(name)]
    kinds = {kind for value in values for kind, pattern in VALUES.items() if pattern.search(value)}
    return (*found, *sorted(kinds))


def free_text(values: Iterable[str]) -> tuple[str, ...]:
    """How many category values are sentences, as one entry; empty when none is. The text itself is not repeated."""
    count = sum(len(value.split()) > FREE_TEXT_WORDS for value in values)
    return (f"{count} category values of more than {FREE_TEXT_WORDS} words",) if count else ()


def special_categories(words: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Pairs of word and special category (GDPR 9(1)) that its spelling points to (C-184/20: an inference counts)."""
    return tuple(
        (word, category)
        for word in words
        for category, pattern in SPECIAL.items()
        if re.search(pattern, word, re.IGNORECASE)
    )


def bucket(count: int) -> tuple[str, int]:
    """A count as its power-of-ten range and lower end, which tells nobody apart: 2,576 is ``("1,000-9,999", 1000)``."""
    if count < 10:
        return "0-9", 0
    low = 10 ** (len(str(count)) - 1)
    return f"{low:,}-{low * 10 - 1:,}", low
