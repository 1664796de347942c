"""ISO 8601 periods of answers: their length, and whether two of them mean the same."""

from __future__ import annotations

import re
from typing import Final

DURATION: Final = re.compile(
    # Python refuses to read a number of thousands of digits.
    r"P(?=.)(?:(\d{1,6})Y)?(?:(\d{1,6})M)?(?:(\d{1,6})W)?(?:(\d{1,6})D)?(T(?=.)(\d+H)?(\d+M)?)?"
)
MONTH: Final = 146_097 / 4_800
"""Mean days of a month: the Gregorian calendar repeats after 400 years of 146,097 days."""
# Lets 30 days pass for a month, which is 1.4 % too short, and four weeks.
ROUGH_SHARE, ROUGH_DAYS = 0.02, 3


def days(period: str) -> int | None:
    """Return the days of an ISO 8601 period such as P24M, None for another text.

    Twelve months are taken as a year of 365 days, and a month more as 30 days.
    """
    if (parts := _months_and_days(period)) is None:
        return None
    years, months = divmod(parts[0], 12)
    return years * 365 + months * 30 + parts[1]


def same_period(first: str, second: str) -> bool:
    """Return whether two ISO 8601 periods mean the same. A text that is none means nothing.

    Years are twelve months and weeks are seven days, exactly. Months have no fixed number of days,
    so they equal days within 2 %, or three days if that is more.
    """
    left, right = _months_and_days(first), _months_and_days(second)
    if left is None or right is None:
        return False
    months, more_days = left[0] - right[0], right[1] - left[1]
    # Where the months are equal, so must the days be.
    if not months:
        return not more_days
    return abs(months * MONTH - more_days) <= max(ROUGH_DAYS, ROUGH_SHARE * abs(months) * MONTH)


def _months_and_days(period: str) -> tuple[int, int] | None:
    match = DURATION.fullmatch(period)
    if not match:
        return None
    years, months, weeks, more_days = (int(number or 0) for number in match.groups()[:4])
    return years * 12 + months, weeks * 7 + more_days
