"""Age limits of feature values, checked wherever a score is made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

__all__ = ["AHEAD", "read_time", "shown", "too_early", "too_old"]

AHEAD = timedelta(days=1, minutes=5)
"""Time by which a date may lie ahead: a snapshot has the midnight that ends its day as its date."""


def read_time(text: str) -> datetime:
    """Return an ISO time in UTC. A time without a zone is UTC. Raises ValueError for other text."""
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def shown(as_of: datetime) -> str:
    """Return the time as answers and the decision log show it: in UTC, to the second."""
    return as_of.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def too_old(as_of: datetime, now: datetime, most_days: int) -> bool:
    """Return whether values as of ``as_of`` are older than ``most_days`` days."""
    return now - as_of > timedelta(days=most_days)


def too_early(as_of: datetime, now: datetime) -> bool:
    """Return whether the values are dated in the future, so that their age is unknown."""
    return as_of - now > AHEAD
