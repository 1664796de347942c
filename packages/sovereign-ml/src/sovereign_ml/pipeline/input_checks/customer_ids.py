"""Customer ids in SQL: the spelling of numbers, variants of one id, and shapes for messages."""

from __future__ import annotations

from collections.abc import Sequence

from sovereign_ml.storage.expressions import is_word

__all__ = ["exponent", "folded", "id_text", "is_number", "named_id", "shape", "without_prefix"]

SPACES = (
    "' ' || chr(0) || chr(9) || chr(10) || chr(13) || "
    "chr(160) || chr(8203) || chr(8239) || chr(65279)"
)
"""Space, NUL, tab, line ends, no-break spaces, zero-width space and byte order mark."""


def id_text(expression: str) -> str:
    """Return SQL for the id as text: 101 for the number 101.0 and for the text ``101.0``.

    A tool that meets a gap in a column of whole numbers makes all of them floats.
    """
    value = f"({expression})"
    # Ids of more than 19 digits do not fit into BIGINT.
    whole = f"CAST(TRY_CAST(TRY_CAST({value} AS DOUBLE) AS HUGEINT) AS VARCHAR)"
    # A letter with an accent is one character in some tools and two in others (Unicode NFC and
    # NFD), and looks the same.
    text = f"nfc_normalize(trim(CAST({value} AS VARCHAR), {SPACES}))"
    return (
        f"CASE WHEN typeof({value}) IN ('FLOAT', 'DOUBLE') AND TRY_CAST({value} AS DOUBLE) "
        f"= TRY_CAST(TRY_CAST({value} AS DOUBLE) AS HUGEINT) THEN {whole} "
        f"ELSE regexp_replace({text}, '^(-?[0-9]+)[.]0+$', '\\1') END"
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

    They are case, spaces, signs around it, dashes of a UUID and leading zeros.
    """
    text = (
        f"regexp_replace(lower({column}), '\\s|\\x00|\\x{{00A0}}|\\x{{200B}}|\\x{{202F}}', '', 'g')"
    )
    bare = f"regexp_replace({text}, '^[^\\p{{L}}\\p{{N}}]+|[^\\p{{L}}\\p{{N}}]+$', '', 'g')"
    uuid_or_text = (
        f"CASE WHEN regexp_full_match(replace({bare}, '-', ''), '[0-9a-f]{{32}}') "
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
    """Return SQL that is true where a spreadsheet has cut off digits: 1.23457E+11."""
    return f"regexp_full_match({column}, '[0-9]([.,][0-9]+)?[eE][+][0-9]+')"


def shape(column: str) -> str:
    """Return SQL for the shape of an id: 9 for a digit, a for a letter, at most 40 characters."""
    letters = f"regexp_replace({column}, '\\p{{L}}', 'a', 'g')"
    return f"left(regexp_replace({letters}, '\\p{{N}}', '9', 'g'), 40)"
