"""Customer ids in SQL: the spelling of numbers, variants of one id, and shapes for messages."""

from __future__ import annotations

from collections.abc import Sequence

from sovereign_ml.pseudonyms import INVISIBLE
from sovereign_ml.storage.expressions import is_word

__all__ = ["exponent", "folded", "id_text", "is_number", "named_id", "shape", "without_prefix"]

UNSEEN = "[" + "".join(f"\\x{{{code:04X}}}" for code in INVISIBLE) + "]"
DASHES = "\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{FIGURE DASH}\N{EN DASH}\N{EM DASH}\N{MINUS SIGN}"
LARGEST = "CASE WHEN typeof({0}) = 'FLOAT' THEN 16777216 ELSE 9007199254740992 END"
"""From this number on (2^24, 2^53), a float stands for several whole numbers."""


def id_text(expression: str) -> str:
    """Return SQL for the id as text: 101 for the number 101.0 and for the text ``101.0``.

    A tool that meets a gap in a column of whole numbers makes all of them floats. A float too large
    for its digits is written as 1.23e+17, which :func:`exponent` knows.
    """
    value = f"({expression})"
    float_ = f"TRY_CAST({value} AS DOUBLE)"
    # Ids of more than 19 digits do not fit into BIGINT.
    whole = f"CAST(TRY_CAST({float_} AS HUGEINT) AS VARCHAR)"
    # A letter with an accent is one character in some tools and two in others (Unicode NFC and
    # NFD), and looks the same.
    # A regular expression is many times faster than trim() with so many characters.
    bare = f"regexp_replace(CAST({value} AS VARCHAR), '^{UNSEEN}+|{UNSEEN}+$', '', 'g')"
    text = f"nfc_normalize({bare})"
    # In a text, 1.000 is the thousandth customer of a spreadsheet rather than the first one.
    grouped = f"typeof({value}) = 'VARCHAR' AND regexp_full_match({text}, '[0-9]{{1,3}}[.]000')"
    return (
        f"CASE WHEN typeof({value}) IN ('FLOAT', 'DOUBLE') AND {float_} "
        f"= TRY_CAST({float_} AS HUGEINT) THEN CASE WHEN abs({float_}) < {LARGEST.format(value)} "
        f"THEN {whole} ELSE format('{{:.16e}}', {float_}) END "
        f"WHEN {grouped} THEN {text} ELSE regexp_replace({text}, '^(-?[0-9]+)[.]0+$', '\\1') END"
    )


def named_id(expression: str, words: Sequence[str]) -> str:
    """Return SQL for the id as :func:`id_text` returns it, null where it names no person.

    That is one of ``words``, or a value without any letter or digit, such as ``---``.
    """
    text = id_text(expression)
    named = f"NOT {is_word(text, words)} AND regexp_matches({text}, '[\\p{{L}}\\p{{N}}]')"
    return f"CASE WHEN {named} THEN {text} END"


def folded(column: str) -> str:
    """Return SQL for the id without marks of its spelling.

    They are case, spaces, signs around it, dashes of a UUID, leading zeros, marks of thousands and
    the zeros of a float.
    """
    text = f"regexp_replace(lower(translate({column}, '{DASHES}', '------')), '{UNSEEN}', '', 'g')"
    bare = f"regexp_replace({text}, '^[^\\p{{L}}\\p{{N}}]+|[^\\p{{L}}\\p{{N}}]+$', '', 'g')"
    grouped = f"regexp_full_match({bare}, '[0-9]{{1,3}}([.,''\\x{{2019}}][0-9]{{3}})+')"
    # C-007, C_7 and c7 are one number with one prefix.
    numbered = "^(\\p{L}{1,20})[-_#:/.]?0*([0-9]+)$"
    bare = (
        f"CASE WHEN {grouped} THEN regexp_replace({bare}, '[^0-9]', '', 'g') "
        f"ELSE regexp_replace(regexp_replace({bare}, '{numbered}', '\\1\\2'), "
        "'^([0-9]+)[.,]0+$', '\\1') END"
    )
    uuid_or_text = (
        f"CASE WHEN regexp_full_match(replace(({bare}), '-', ''), '[0-9a-f]{{32}}') "
        f"THEN replace({bare}, '-', '') ELSE {bare} END"
    )
    return f"ltrim({uuid_or_text}, '0')"


def without_prefix(column: str) -> str:
    """Return SQL for the number of an id such as ``C-00101`` or ``101``, null for other ids."""
    number = f"regexp_extract(lower({column}), '^(?:\\p{{L}}{{1,8}}[-_#:/. ]?)?0*([0-9]+)$', 1)"
    return f"nullif({number}, '')"


def is_number(column: str) -> str:
    """Return SQL that is true where the id has digits only."""
    return f"regexp_full_match({column}, '[0-9]+')"


def exponent(column: str) -> str:
    """Return SQL that is true where a spreadsheet or a float has cut off digits: 1.23457E+11."""
    # Java writes no plus. Without a point, 1E5 may be a code.
    return f"regexp_full_match({column}, '[0-9]([.,][0-9]+[eE][+]?|[eE][+])[0-9]+')"


def shape(column: str) -> str:
    """Return SQL for the shape of an id: 9 for a digit, a for a letter, at most 40 characters."""
    letters = f"regexp_replace({column}, '\\p{{L}}', 'a', 'g')"
    return f"left(regexp_replace({letters}, '\\p{{N}}', '9', 'g'), 40)"
