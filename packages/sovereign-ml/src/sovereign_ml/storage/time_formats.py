"""The strptime formats in which a written time can be read."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["formats_of"]

WEEKDAY = re.compile(r"(?i)(mon|tue|wed|thu|fri|sat|sun)|(mon|tues|wednes|thurs|fri|satur|sun)day")
TOKEN = re.compile(r"\d+|[^\W\d_]+|[\W_]+")
OF_A_CLOCK = ("T", "UHR", "H")
"""Words beside the digits of a time of day that tell nothing."""


def formats_of(sample: str) -> list[str]:
    """Return the strptime format of ``sample``, or two where day and month may be exchanged.

    The first of two has the day first.
    """
    tokens = TOKEN.findall(sample)
    parts = [i for i, token in enumerate(tokens) if token.isalnum()]
    weekday: dict[int, str] = {}
    if parts and WEEKDAY.fullmatch(tokens[parts[0]]):
        first = parts.pop(0)
        weekday = {first: "%a" if len(tokens[first]) == 3 else "%A"}
    if len(parts) < 3:
        return []
    date = [tokens[i] for i in parts[:3]]
    if date[0].isdigit() and len(date[0]) == 4:
        orders = [("%Y", "%m", "%d")]
    elif date[0].isalpha() and date[1].isdigit():
        orders = [(_month(date[0]), "%d", _year(date[2]))]
    elif date[1].isalpha():
        orders = [("%d", _month(date[1]), _year(date[2]))]
    elif all(d.isdigit() for d in date) and len(date[0]) <= 2 and len(date[1]) <= 2:
        year = _year(date[2])
        orders = [("%d", "%m", year), ("%m", "%d", year)]
    else:
        return []
    clock = _clock(tokens, parts[3:])
    if clock is None:
        return []
    formats = []
    for order in orders:
        named = dict(zip(parts[:3], order, strict=True)) | clock | weekday
        formats.append("".join(named.get(i, token) for i, token in enumerate(tokens)))
    return formats


def _clock(tokens: list[str], places: Sequence[int]) -> dict[int, str] | None:
    """Return the parts of the format after the date, None where they are no time of day."""
    named: dict[int, str] = {}
    names = iter(("%H", "%M", "%S", "%g"))
    for i in places:
        token = tokens[i]
        if token.isdigit() and i and tokens[i - 1].strip() in ("+", "-"):
            # %z reads the sign as well.
            tokens[i - 1] = tokens[i - 1].rstrip("+-")
            named[i] = "%z"
            named |= dict.fromkeys(range(i + 1, len(tokens)), "")
            break
        if token.isdigit():
            named[i] = next(names, "")
        elif token.upper() in ("AM", "PM"):
            named = {k: "%I" if v == "%H" else v for k, v in named.items()} | {i: "%p"}
        elif token.upper() in ("UTC", "GMT", "CET", "CEST", "Z"):
            named[i] = "%Z"
        # A word after the hour may be the half of the day, as in 3:04 μμ (PM in Greek).
        elif named and token.upper() not in OF_A_CLOCK:
            return None
    return named


def _month(word: str) -> str:
    return "%b" if len(word) <= 3 else "%B"


def _year(digits: str) -> str:
    return "%Y" if len(digits) == 4 else "%y"
