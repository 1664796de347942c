"""Rules on texts: something was said, in enough words, or in the form that is asked for.

Texts are judged only by what can be checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from pydantic.fields import FieldInfo

from sovereign_ml.card.questions import walk
from sovereign_ml.card.rules.answered.adequacy import COUNTRIES
from sovereign_ml.card.rules.answered.periods import days
from sovereign_ml.card.rules.engine import Case, Hits, rule
from sovereign_ml.card.schema.base import NOT_ANSWERED, is_open, plain

WORD: Final = re.compile(r"[^\W\d_]{2,}")
MIN_WORDS: Final = 3
# For languages that are written without spaces.
MIN_CHARACTERS: Final = 8
# An answer that is put off, in a text short enough to say nothing else.
POSTPONED: Final = re.compile(
    r"\blorem ipsum|\bfoo bar|\b(asdf|qwert)\w*|\bt\. ?b\. ?[acd]\b|\b(we|will) fill (this|it) in\b"
    r"|^\W*(this is |still )?to be (decided|determined|defined|done|confirmed|completed|filled)\b"
    r"|^\W*(see|add|write|do|answer)\b.*\blater\W*$"
    r"|\bwird noch (ergänzt|geklärt|nachgereicht|ausgefüllt|entschieden)\b"
    r"|\bnoch (offen|zu klären)\b"
    r"|\bà (compléter|définir|déterminer|préciser)\b|\bpor (determinar|definir|completar)\b"
    r"|\bda (definire|determinare|completare)\b|\bdo (uzupełnienia|ustalenia)\b",
    re.IGNORECASE,
)
# A mark of work that is left, whatever follows. In small letters "todo" is a word in Spanish.
LEFT_OPEN: Final = re.compile(
    r"^\W*(?:TODO|todo(?=\s?[:(])|(?i:tbd|tbc|fixme))(?!\w)(?=.*\w)", re.DOTALL
)
# Words that point somewhere and name nothing. A text of these alone says nothing that could be
# looked up.
POINTERS: Final = frozenset(
    # English
    "a an and as at by for from in is it its of on or our per the their to under with your see "
    "refer cf according accordance line defined described documented specified stated mentioned "
    "given set out above below elsewhere another other same separate relevant applicable "
    "appropriate usual usually normal common standard internal external company corporate general "
    "existing current respective responsible policy policies document documents documentation "
    "guideline guidelines rule rules regulation regulations process processes procedure procedures "
    "practice law laws handbook manual intranet wiki department team there here what needed "
    "required necessary "
    # German
    "der die das den dem des ein eine einem einer eines und oder aus auf im in ist laut gemäß nach "
    "siehe vgl wie bei beim zum zur von vom interner anderer separater üblicher allgemeiner unser "
    "unsere unserer unserem andere anderes anderem anderen separates separatem separate oben unten "
    "dort hier üblich übliche üblichen internen interne internes intern allgemeine allgemeinen "
    "geltende geltenden geltendem jeweilige zuständige zuständigen richtlinie richtlinien dokument "
    "dokumente dokumentation vorgabe vorgaben regelung regelungen prozess prozesse verfahren "
    "gesetz gesetze recht handbuch abteilung "
    # French, Spanish, Italian, Dutch, Polish
    "le la les un une du de des selon voir conformément à au aux notre autre interne internes "
    "politique document procédure procédures règle règles el los las una del según ver otro otra "
    "documento política políticas procedimiento interna interno nuestra il lo gli secondo vedi "
    "altro altra procedura regole nostra volgens zie het een ander beleid onze procedure intern "
    "zgodnie z patrz inny dokument polityką procedurą".casefold().split()
)
FEW_WORDS: Final = 8
# Signs that turn the order of the letters around: people read another text than the rules.
BIDI: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")
PLACE_MARK: Final = re.compile(r"[\d/@.:#_-]")


def _no_sentence(text: str) -> str:
    words = {word for word in WORD.findall(plain(text)) if not is_open(word)}
    unspaced = not text.isascii() and any(len(word) >= MIN_CHARACTERS for word in words)
    enough = len(words) >= MIN_WORDS or unspaced
    return "" if enough else f"says too little; write at least {MIN_WORDS} different words"


def _points_nowhere(text: str) -> str:
    """Return why a short text says nothing: it is put off, or points to "the other document"."""
    words = re.findall(r"[^\W\d_]+", plain(text).casefold())
    # A longer text says more than where to look.
    if len(words) > FEW_WORDS:
        return ""
    if put_off := POSTPONED.search(plain(text)):
        return f"puts the answer off ('{put_off.group()}')"
    named = PLACE_MARK.search(text) or any(word not in POINTERS for word in words)
    return (
        "" if named else "points somewhere without naming it; write a path, a title or what it says"
    )


def _no_place(text: str) -> str:
    words = {word for word in WORD.findall(plain(text)) if not is_open(word)}
    if len(words) >= 2 or (PLACE_MARK.search(text) and len(plain(text)) >= 3):
        return ""
    return "names no place; write a path, a link, an address, a number or at least two words"


def _no_country(text: str) -> str:
    return "" if text in COUNTRIES else "is no country code of ISO 3166-1 such as DE (Greece is GR)"


def _no_period(text: str) -> str:
    return "" if days(text) is not None else "is no ISO 8601 period such as P24M"


FORMS: Final[dict[str, Callable[[str], str]]] = {
    "sentence": _no_sentence,
    "place": _no_place,
    "country": _no_country,
    "period": _no_period,
}


@rule(
    "R59",
    "GDPR 5(2), 24(1)",
    "Write what holds here, so that somebody who was not there can check it.",
)
def empty_words(case: Case) -> Hits:
    """A text is a placeholder, says too little, names no place, or is no country code or period."""
    for path, field, value in walk(case.answers):
        for text in _texts(value):
            if problem := _problem(text, field):
                yield case.open(f"{path} = '{text}' {problem}.")


def _texts(value: object) -> tuple[str, ...]:
    listed = value if isinstance(value, tuple) else (value,)
    return tuple(item for item in listed if isinstance(item, str))


def _problem(text: str, field: FieldInfo) -> str:
    """Return what is wrong with one text, "" if nothing is.

    An open answer is rule R01's, unless nobody asks for the field.
    """
    extra = field.json_schema_extra
    form = str(extra.get("form", "short")) if isinstance(extra, dict) else "short"
    if isinstance(extra, dict) and text in ("", NOT_ANSWERED):
        return ""
    if turned := BIDI.search(text):
        return (
            f"has the invisible character U+{ord(turned.group()):04X}, which turns letters around"
        )
    if mark := LEFT_OPEN.search(text):
        return f"puts the answer off ('{mark.group()}')"
    if " " in text.strip() and (empty := _points_nowhere(text)):
        return empty
    # In a free text not_known is a placeholder. Among choices such a word is an answer.
    in_words = text.replace("_", " ") if "_" in text and field.annotation is str else text
    if is_open(in_words):
        return "is a placeholder, not an answer"
    return FORMS[form](text) if form in FORMS else ""
