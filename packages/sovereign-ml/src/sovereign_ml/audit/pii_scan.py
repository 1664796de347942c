"""Scan for content that must not be in a model (GDPR 5(1)(c), 9, 25).

It looks for identifiers, free text and special categories.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

PERSON_KEY = (
    r"(?:user|customer|client|account|acct|member|person|people|contact|subscriber|patient"
    r"|employee|visitor"
    r"|cookie|session|device"
    r"|subject|party|profile|login|shopper|guest|lead|recipient|policyholder|tenant|citizen"
    r"|student)_?(?:id"
    r"|no|nr|num|number|key|uuid|guid|hash|ref|code)"
    r"|uid|guid|uuid|msisdn|imei|imsi|idfa|gaid|advertising_?id|kunden_?(?:nummer|nr|id)"
    r"|mitglieds_?(?:nummer|nr)|cust_?(?:id|no)"
)
"""Names of keys that single out a person."""
IDENTIFIER_NAMES = re.compile(
    r"(^|_)(first_?name|last_?name|surname|full_?name|user_?name|nick_?name|maiden_?name"
    r"|display_?name"
    r"|e_?mail(?:_?address)?|phone|mobile|telephone"
    r"|street|address|postcode|postal_?code|zip(?:_?code)?|iban|bic|card_?number|passport|ssn"
    r"|tax_?id"
    r"|national_?id|ip|ip_?address|mac_?address"
    r"|birth_?date|birthday|date_?of_?birth|dob|vorname|nachname|anschrift|strasse|telefon"
    r"|geburtsdatum|plz"
    r"|latitude|longitude|licen[cs]e_?plate"
    rf"|{PERSON_KEY})($|_)",
    re.IGNORECASE,
)
VALUES = {
    "e-mail address": re.compile(
        r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[a-zA-Z]{2,24}\b"
    ),
    "IBAN": re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b"),
    "card number": re.compile(r"(?<![\w.+-])(?:\d[ -]?){12,18}\d(?![\w-])"),
    "telephone number": re.compile(
        r"(?<![\w+])(?<!\d )(?:\+\d(?:[ /-]?\d){8,14}|0\d{2,4}[ /-]\d{3,9}(?:[ -]\d{2,6})?"
        r"|\(0\d{2,4}\) ?\d{4,9})(?![\d.:-])"
    ),
}


def values_in(text: str) -> Iterator[tuple[re.Match[str], str]]:
    """Yield the identifiers in a text with their kind.

    Numbers count only if their check digits are right.
    """
    for kind, pattern in VALUES.items():
        for match in pattern.finditer(text):
            if _is_right(kind, match.group()):
                yield match, kind


def _is_right(kind: str, text: str) -> bool:
    if kind == "card number":
        return is_card_number(text)
    if kind == "IBAN":
        # ISO 13616: the first four signs go to the end, a letter counts from 10 on, modulo 97 gives
        # 1.
        letters = text.replace(" ", "")
        moved = letters[4:] + letters[:4]
        return int("".join(str(int(letter, 36)) for letter in moved)) % 97 == 1
    return True


def is_card_number(text: str) -> bool:
    """Return True for 13 to 19 digits that are a card number (ISO/IEC 7812).

    They need the prefix of an issuer and a right check digit.
    """
    digits = re.sub(r"[ -]", "", text)
    if not re.fullmatch(
        r"(?:4\d{12,18}|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3[068]\d{12,16}|6\d{12,18})", digits
    ):
        return False
    # The Luhn algorithm: every second digit from the right is doubled.
    total = sum(
        sum(map(int, str(int(digit) * 2))) if position % 2 == 0 else int(digit)
        for position, digit in enumerate(reversed(digits), 1)
    )
    return total % 10 == 0


def snake_case(name: str) -> str:
    """Return ``customerId`` as ``customer_id``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


FREE_TEXT_WORDS = 8
"""Number of words above which a category is somebody's sentence, not a category."""

SPECIAL = {
    "health": r"health|medic|pharma|drug|diagnos|disab|pregnan|baby|diabet|cancer|incontinen"
    r"|hearing.?aid"
    r"|allerg|psych"
    r"|gesundheit|krank|apothek|schwanger|behinder|arznei",
    "religion": r"religio|church|mosque|halal|kosher|bible|koran|quran|rosary|confession"
    r"|kirche|moschee|konfession|glaube",
    "political opinion": r"politic|party.?member|campaign.?donat|parteimitglied|parteispende",
    "trade union": r"trade.?union|union.?member|gewerkschaft|syndicat",
    "sex life or orientation": r"sexual|erotic|condom|lgbt|gay|lesbian|fetish",
    "ethnic origin": (
        r"ethnic|racial|race$|skin.?colou?r|nationality|migra|herkunft|staatsangeh"
        r"|hautfarbe"
    ),
    "genetic or biometric data": (
        r"genetic|\bdna\b|biometri|fingerprint|fingerabdruck|face.?id"
        r"|genetisch"
    ),
    "criminal record": r"criminal|convict|offence|straftat|vorstrafe",
}
"""A first lexicon of English and German stems. Extend it in the project's own language.

A hit is a question, not a proof.
"""


def identifiers(names: Iterable[str], values: Iterable[str] = ()) -> tuple[str, ...]:
    """Return columns named like direct identifiers, and kinds of identifiers in categories."""
    columns = [name for name in names if IDENTIFIER_NAMES.search(snake_case(name))]
    kinds = {kind for value in values for _, kind in values_in(value)}
    return (*columns, *sorted(kinds))


def free_text(values: Iterable[str]) -> tuple[str, ...]:
    """Return the number of category values that are sentences, as one entry.

    The result is empty when there is none. The text itself is not repeated.
    """
    count = sum(len(value.split()) > FREE_TEXT_WORDS for value in values)
    return (f"{count} category values of more than {FREE_TEXT_WORDS} words",) if count else ()


def special_categories(words: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return pairs of a word and the special category (GDPR 9(1)) that its spelling suggests.

    An inference counts (C-184/20).
    """
    return tuple(
        (word, category)
        for word in words
        for category, pattern in SPECIAL.items()
        if re.search(pattern, word, re.IGNORECASE)
    )


def bucket(count: int) -> tuple[str, int]:
    """Return a count as its power-of-ten range and lower end, which identify nobody.

    2,576 is ``("1,000-9,999", 1000)``.
    """
    # The exact number of so few people could point to one of them.
    if count < 10:
        return "0-9", 0
    low = 10 ** (len(str(count)) - 1)
    return f"{low:,}-{low * 10 - 1:,}", low
