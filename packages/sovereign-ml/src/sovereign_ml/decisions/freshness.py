"""The age limit of a score's inputs, checked against the clock wherever a score is made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

__all__ = ["AHEAD", "read_time", "shown", "too_early", "too_old"]

# A snapshot carries the midnight that ends its day, and clocks differ a little.
AHEAD = timedelta(days=1, minutes=5)
"""Allowed distance of a date in the future."""


def read_time(text: str) -> datetime:
    """Return an ISO time in UTC. Without a zone it is UTC. Raises ValueError for anything else."""
    time = datetime.fromisoformat(text)
    try:
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    # The first and the last day of the calendar may not exist in UTC.
    except OverflowError:
        raise ValueError(f"{text[:40]} is no time in UTC") from None


def shown(as_of: datetime) -> str:
    """Return the time in the form of answers and of the log: in UTC, to the second."""
    return as_of.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def too_old(as_of: datetime, now: datetime, most_days: int) -> bool:
    """Return whether values as of ``as_of`` are older than ``most_days`` days."""
    return now - as_of > timedelta(days=most_days)


def too_early(as_of: datetime, now: datetime) -> bool:
    """Return whether the values are dated in the future, so that their age is unknown."""
    return as_of - now > AHEAD
