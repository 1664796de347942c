"""Vocabulary of the card's fields: who fills them, why they exist, when they are required.

Facts come from the pipeline, answers come from people. An answer that nobody gave is
``NOT_ANSWERED``, and stays visible as such: a default "no" would be a legal statement that nobody
made.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import (
    AfterValidator,
    AllowInfNan,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
)

NOT_ANSWERED: Final = "?"
"""The one constant for an answer that nobody gave. In ``model_card.toml`` it is written ``"?"``."""

Item = TypeVar("Item")


class Code(str):
    """A code of a country or language, which is an answer whatever it reads like (`is_open`).

    NA is Namibia, EE is Estonia, nn is Norwegian Nynorsk.
    """

    __slots__ = ()


def _coded(pattern: str) -> AfterValidator:
    return AfterValidator(lambda text: Code(text) if re.fullmatch(pattern, text) else text)


Open = Literal["?"]
# Strict types, because pydantic would take 1 for true and "0.1" for a number.
Flag = StrictBool | Open
Text = str
Texts = tuple[str, ...] | Open
CountryCode = Annotated[str, _coded("[A-Z]{2}")]
CountryCodes = tuple[CountryCode, ...] | Open
# Nobody writes a notice in Nauruan, whose code people write for "not applicable".
LanguageCodes = tuple[Annotated[str, _coded("(?!na)[a-z]{2}")], ...] | Open
# TOML allows nan and inf, and the card's JSON does not: nobody could read the card again.
Number = StrictInt | Annotated[StrictFloat, AllowInfNan(False)] | Open
Day = date | Open
Tri = bool | Open
"""A derived yes or no that stays open while an answer it depends on is open."""


Form = Literal["short", "sentence", "place", "country", "period"]
"""The form of a text answer: anything said, a sentence, a place, a country, a period."""


class Group(BaseModel):
    """A group of card fields. It is frozen, and a key that is not a field is refused by name."""

    # A command uses few of these groups, and to build all of them would slow its start.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


def ask(
    question: str,
    source: str,
    *,
    when: str = "always",
    default: Any = NOT_ANSWERED,
    by: str = "person",
    empty: bool = False,
    form: Form = "short",
    information: str = "",
) -> Any:
    """Return a field that a person answers.

    ``question`` is the sentence they read, ``source`` the article or judgment. ``when`` names the
    condition under which the answer is required (``sovereign_ml.card.conditions``). ``optional``
    means never. ``by`` is ``both`` where the pipeline checks or proposes what the person answers.
    ``empty`` says that an empty list is an answer. ``form`` is what a text must look like (rule
    R59). ``information`` says why no rule judges the answer. Without it a rule reads every answer.
    """
    extra: dict[str, Any] = {
        "filled_by": by,
        "source": source,
        "required_when": when,
        "empty_is_answer": empty,
        "form": form,
        "information": information,
    }
    return Field(default=default, description=question, json_schema_extra=extra)


def part(model: type[Group]) -> Any:
    """Return a nested group whose fields start out not answered."""
    return Field(default_factory=model)


def fill(
    meaning: str, source: str, *, when: str = "optional", default: Any = None, by: str = "pipeline"
) -> Any:
    """Return a field that the pipeline fills. None means that the fact was not recorded."""
    extra: dict[str, Any] = {"filled_by": by, "source": source, "required_when": when}
    return Field(default=default, description=meaning, json_schema_extra=extra)


def is_future(day: date, today: date) -> bool:
    """Return whether ``day`` lies ahead of ``today``, more than by another time zone."""
    return (day - today).days > 1


def is_open(value: object) -> bool:
    """Return whether an answer is missing.

    It is not given, empty, or a placeholder in any of several languages.
    """
    if isinstance(value, tuple):
        return any(is_open(item) for item in value)
    if isinstance(value, Code):
        return False
    if isinstance(value, str):
        # A leftover mark of the template is no answer.
        return "{{" in value or _stands_for_nothing(plain(value))
    return value is None


def items_of(answer: tuple[Item, ...] | str) -> tuple[Item, ...]:
    """Return the items of an answer that is a list, none while it is open."""
    return answer if isinstance(answer, tuple) else ()


# The rules look at the same answers again and again.
@lru_cache(maxsize=4096)
def plain(text: str) -> str:
    """Return the text as it is compared.

    It is in NFKC and one case, with single spaces and without invisible characters.
    """
    visible = "".join(c for c in unicodedata.normalize("NFKC", text) if _visible(c))
    return " ".join(visible.casefold().split())


def _visible(character: str) -> bool:
    return unicodedata.category(character) not in ("Cf", "Cc", "Mn", "Me") or character in "\t\n\r"


@lru_cache(maxsize=4096)
def _stands_for_nothing(text: str) -> bool:
    """Return whether nothing was said.

    That is no letter or digit, one letter, one letter repeated, or a placeholder.
    """
    # In NFD an accent is a sign of its own, which the next line drops.
    bare = " ".join(re.sub(r"[^\w\s]|_", " ", unicodedata.normalize("NFD", text)).split())
    bare = "".join(c for c in bare if unicodedata.category(c) != "Mn")
    letters = bare.replace(" ", "")
    if text in ANSWERED_BY_CODE:
        return False
    repeated = letters.isalpha() and letters.isascii() and len(set(letters)) == 1
    if not letters or (repeated and len(letters) < 10):  # a longer one may be a checksum
        return True
    return letters in PLACEHOLDERS or letters.startswith("loremipsum")


# All versions, in dpia.model_versions_covered, and a value that two questions offer as a choice.
ANSWERED_BY_CODE: Final = ("*", "not_applicable")
# Placeholders in several languages, without spaces, accents and punctuation: what people write who
# have no answer.
PLACEHOLDERS: Final = frozenset(
    "".join(words.split())
    for words in """
    todo, tbd, tbc, tba, tbdecided, fixme, na, n a, nil, null, nan, none yet, change me, changeme, dummy, test, foo,
    bar, asdf, qwerty, qwertz, blah, bla bla, no idea, dont know, do not know, i dont know, idk, unknown, unclear,
    i do not know, we do not know,
    not known, not known yet, not yet, not available, not applicable, not answered, pending, placeholder, see above, see below,
    as above, as below, same as above, ditto, to follow, to be done, to be defined, to be decided, to be confirmed,
    to be announced, to be determined, later, coming soon, your text here, insert here, fill in, wip, open,
    ka, k a, keine angabe, keine angaben, keine ahnung, kein plan, unbekannt, unklar, weiss nicht, weis nicht,
    siehe oben, siehe unten, s o, s u, wie oben, dito, folgt, folgt noch, wird nachgereicht, noch offen, offen,
    noch nicht bekannt, nicht bekannt, nicht zutreffend, entfallt, zu klaren, wird geklart, spater, platzhalter,
    a completer, a definir, a venir, a determiner, voir ci dessus, voir ci dessous, voir plus haut, inconnu,
    inconnue, sans objet, non applicable, non renseigne, je ne sais pas, plus tard, en attente,
    por definir, por determinar, pendiente, ver arriba, desconocido, no se, no aplica, no procede, sin datos,
    da definire, da determinare, da completare, vedi sopra, sconosciuto, non so, non applicabile, in attesa,
    a definir depois, por preencher, ver acima, desconhecido, nao sei, nao aplicavel,
    nvt, n v t, niet van toepassing, zie boven, zie hierboven, onbekend, weet ik niet, nog te bepalen, volgt,
    brak, brak danych, nie dotyczy, nie wiem, do uzupełnienia, do ustalenia, jak wyzej, nieznane, jw,
    ej tillampligt, se ovan, okand, vet inte, ikke relevant, se ovenfor, ukendt, ukjent, ved ikke, vet ikke,
    ei tietoa, ei sovellu, katso ylla, neznamo, nevim, viz vyse, nem tudom, lasd fent, nu stiu, nedefinit,
    不明, 未定, 待定, 无, 同上
    """.replace("\n", " ").split(",")
)
