"""What the service's decision log tells the flow: who is barred there, and what reviewers really did."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, get_args

from sovereign_ml.config.connections import LogLocation
from sovereign_ml.decision_log import DecisionLog, LogUnavailableError, open_log
from sovereign_ml.decision_log.entries import BARS, Bar
from sovereign_ml.decision_log.evidence import of_decisions, of_outcomes, of_reviews
from sovereign_ml.errors import Misuse
from sovereign_ml.privacy import subjects

if TYPE_CHECKING:
    import duckdb


@contextmanager
def decision_log(location: LogLocation) -> Iterator[DecisionLog | None]:
    """The profile's log; None before the service has made one. Raises Misuse if there is one and it cannot be read:
    an objection that is not seen would be an objection that is not kept."""
    if not location.address:
        yield None
        return
    try:
        log = open_log(location.address)
        try:
            yield log
        finally:
            log.close()
    except LogUnavailableError as error:
        raise Misuse(
            f"{error}: the flow must know who objected, withdrew consent or is restricted. Bring the log back, then "
            "run again."
        ) from None


def barred(location: LogLocation) -> dict[Bar, frozenset[str]]:
    """Pseudonyms of the people barred through the service, by what bars them (GDPR Art. 21(2), 18, 7(3))."""
    with decision_log(location) as log:
        return {bar: frozenset(log.barred_by(bar)) if log else frozenset() for bar in _bars()}


def fingerprint(location: LogLocation, pinned: Mapping[str, Any]) -> dict[str, str]:
    """What DVC watches of this in ``data/source.json``: step 1 runs again after a new bar or its end.

    Empty without any. Where the log is not, as in another clone, the pinned one stays: the versioned data keeps to
    it already.
    """
    if not location.address:
        return {name: pinned[name] for name in map(_key, BARS) if name in pinned}
    return {
        _key(bar): hashlib.sha256("\n".join(sorted(people)).encode()).hexdigest()
        for bar, people in barred(location).items()
        if people
    }


def mark(
    connection: duckdb.DuckDBPyConnection,
    location: LogLocation,
    keys: Sequence[bytes],
    pinned: Mapping[str, Any],
) -> None:
    """Mark in ``people`` who is barred through the service, also those whom no customers table names.

    ``keys`` are those of the pseudonyms. Raises Misuse where the pinned input knows of a bar and the log that holds
    it is not here. A log that once held one may have none left: it was lifted.
    """
    people = barred(location)
    known = [bar for bar in people if _key(bar) in pinned and not people[bar]]
    with decision_log(location) as log:
        missing = [_key(bar) for bar in known if not log or log.first(bar) is None]
    if missing:
        raise Misuse(
            f"data/source.json knows of {' and '.join(missing)}, but the decision log is not here: set DATABASE_URL, "
            f"or put the log at {location.setting}. Without it people who are barred would come back."
        )
    if not any(people.values()):
        return
    names = subjects.names(connection, keys)
    for bar, against in people.items():
        ids = [names[name] for name in names.keys() & against]
        subjects.mark(connection, BARS[bar], ids)


def _bars() -> tuple[Bar, ...]:
    return get_args(Bar)


def _key(bar: str) -> str:
    """Name in ``data/source.json``."""
    return f"{bar}s"


def facts(location: LogLocation) -> dict[str, dict[str, Any]]:
    """``review`` and ``decision`` facts of the card, from what is on record; empty before the service ran."""
    with decision_log(location) as log:
        if log is None:
            return {"review": {}, "decision": {}}
        counts = log.counts()
        return {
            "review": of_reviews(counts),
            "decision": of_decisions(counts, log.first("decision")) | of_outcomes(counts),
        }
