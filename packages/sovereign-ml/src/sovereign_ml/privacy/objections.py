"""Facts from the service's decision log for the flow: who is barred, and the reviews."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, get_args

from sovereign_ml.config.connections import LogLocation
from sovereign_ml.decision_log import DecisionLog, Entry, LogUnavailableError, open_log
from sovereign_ml.decision_log.entries import BARS, Bar
from sovereign_ml.decision_log.evidence import of_decisions, of_outcomes, of_reviews
from sovereign_ml.decision_log.reading import ENDS, fields_of
from sovereign_ml.errors import Misuse
from sovereign_ml.privacy import subjects
from sovereign_ml.pseudonyms import names_of

if TYPE_CHECKING:
    import duckdb


@contextmanager
def decision_log(location: LogLocation) -> Iterator[DecisionLog | None]:
    """Open the profile's log, None before the service has made one. Raises Misuse."""
    if not location.address:
        yield None
        return
    with opened_log(location) as log:
        yield log


@contextmanager
def opened_log(location: LogLocation) -> Iterator[DecisionLog]:
    """Open the log at ``location``, which has an address.

    Raises Misuse if the log cannot be read: an objection that is not seen would not be respected.
    """
    try:
        log = open_log(location.address)
        try:
            yield log
        finally:
            log.close()
    except LogUnavailableError as error:
        raise Misuse(
            f"{error}: it holds who objected, withdrew consent or is restricted. "
            "Bring the log back, then run again."
        ) from None


def barred(location: LogLocation) -> dict[Bar, frozenset[str]]:
    """Return the pseudonyms of people barred through the service, by the kind of bar.

    The bars are those of GDPR Art. 21(2), 18 and 7(3).
    """
    with decision_log(location) as log:
        return {bar: frozenset(log.barred_by(bar)) if log else frozenset() for bar in get_args(Bar)}


def standing(log: DecisionLog, names: Sequence[str], bar: Bar) -> list[Entry]:
    """Return what bars one person, whose pseudonyms under all keys are ``names``.

    After a rotation of the key a bar stands under two pseudonyms, and nothing in the log connects
    them. What ends it is about one of them, and ends every older bar of the person with that
    ground.
    """
    bars = [entry for name in names for entry in log.in_force(name, bar)]
    if bar not in ENDS:
        return bars
    history = [entry for name in names for entry in log.of_subject(name)]
    grounds = {entry.case_id: _ground(entry) for entry in history if entry.kind == bar}
    ended: dict[object, int] = {}
    for entry in history:
        if entry.kind == ENDS[bar]:
            ground = grounds.get(entry.case_id)
            ended[ground] = max(ended.get(ground, 0), entry.seq)
    return [entry for entry in bars if entry.seq > ended.get(_ground(entry), 0)]


def _ground(entry: Entry) -> object:
    return fields_of(entry.body).get("ground")


def fingerprint(location: LogLocation, pinned: Mapping[str, Any]) -> dict[str, str]:
    """Return entries for ``data/source.json`` that change with the bars, empty without any."""
    if not location.address:
        # In a clone without the log the pinned entries stay: the versioned data respects them
        # already.
        return {name: pinned[name] for name in map(_key, BARS) if name in pinned}
    return {
        # Sorted, because a set has no order, and hashed, because source.json is kept in git.
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
    """Mark the people in ``people`` who are barred through the service.

    People whom no customers table names are included. ``keys`` are the keys of the pseudonyms.
    Raises Misuse where the pinned input knows of a bar and the log that holds it is not here.
    """
    people = barred(location)
    unseen = [bar for bar in people if _key(bar) in pinned and not people[bar]]
    with decision_log(location) as log:
        # A log that once held a bar may have none any more: it was lifted.
        missing = [_key(bar) for bar in unseen if not log or log.first(bar) is None]
    if missing:
        raise Misuse(
            f"data/source.json lists {' and '.join(missing)}, but the decision log is not here: "
            f"set DATABASE_URL, or put the log at {location.setting}. "
            "Without it people who are barred would come back."
        )
    if not any(people.values()):
        return
    names = subjects.names(connection, keys, set().union(*people.values()))
    with decision_log(location) as log:
        for bar, against in people.items():
            ids = {names[name] for name in names.keys() & against}
            freed = _freed(log, bar, ids, keys) if log else set()
            subjects.mark(connection, BARS[bar], ids - freed)


def _freed(log: DecisionLog, bar: Bar, ids: Collection[str], keys: Sequence[bytes]) -> set[str]:
    """Return those of ``ids`` whose bar stands under a former pseudonym only, and has ended."""
    # With one key the list of the log is right, and nobody has to be looked up.
    if len(keys) == 1 or bar not in ENDS:
        return set()
    lifted = log.subjects(ENDS[bar])
    names = {id_: [*names_of([id_], keys)] for id_ in ids}
    return {
        id_
        for id_, own in names.items()
        if not lifted.isdisjoint(own) and not standing(log, own, bar)
    }


def _key(bar: str) -> str:
    """Return the name in ``data/source.json``."""
    return f"{bar}s"


def facts(location: LogLocation) -> dict[str, dict[str, Any]]:
    """Return the ``review`` and ``decision`` facts of the card, empty before the service ran."""
    with decision_log(location) as log:
        if log is None:
            return {"review": {}, "decision": {}}
        counts = log.counts()
        number, seal, _ = log.head()
        head = {"log_head": f"{number}:{seal}"} if number else {}
        decisions = of_decisions(counts, log.first("decision")) | of_outcomes(counts)
        return {"review": of_reviews(counts), "decision": decisions | head}
