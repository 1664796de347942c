"""What the service's decision log tells the flow: who objected there, and what reviewers really did."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sovereign_ml.config.connections import LogLocation
from sovereign_ml.decision_log import DecisionLog, LogUnavailableError, open_log
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
            f"{error}: the flow must know who objected. Bring the log back, then run again."
        ) from None


def objectors(location: LogLocation) -> frozenset[str]:
    """Pseudonyms of the people who objected through the service (GDPR Art. 21(2))."""
    with decision_log(location) as log:
        return frozenset(log.objectors()) if log else frozenset()


def fingerprint(location: LogLocation, pinned: Mapping[str, Any]) -> dict[str, str]:
    """What DVC watches of this in ``data/source.json``: step 1 runs again after a new objection. Empty without any.

    Where the log is not, as in another clone, the pinned one stays: the versioned data keeps to it already.
    """
    if not location.address:
        return {"objections": pinned["objections"]} if "objections" in pinned else {}
    people = "\n".join(sorted(objectors(location)))
    return {"objections": hashlib.sha256(people.encode()).hexdigest()} if people else {}


def mark(
    connection: duckdb.DuckDBPyConnection,
    location: LogLocation,
    keys: Sequence[bytes],
    pinned: Mapping[str, Any],
) -> None:
    """Mark in ``people`` who objected through the service, also those whom no customers table names.

    ``keys`` are those of the pseudonyms. Raises Misuse where the pinned input knows of objections and the log that
    holds them is not here.
    """
    against = objectors(location)
    if "objections" in pinned and not against:
        raise Misuse(
            "data/source.json knows of objections, but the decision log is not here: set DATABASE_URL, or put the log "
            f"at {location.setting}. Without it people who objected would come back."
        )
    if not against:
        return
    names = subjects.names(connection, keys)
    subjects.mark(connection, "objected", (names[name] for name in names.keys() & against))


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
