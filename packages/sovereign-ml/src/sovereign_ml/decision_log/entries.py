"""An entry of the log, and the computation of its seal.

The seal covers the previous seal and a salted digest of the body, not the body. So a body can be
blanked later (GDPR Art. 17, Art. 5(1)(e)) without breaking the chain. The digest that stays
discloses nothing once the salt is gone.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple, get_args

Bar = Literal["objection", "restriction", "withdrawal"]
Lift = Literal["restriction_lifted", "consent"]
Decided = Literal["bundle", "decision", "rectification", "contest", "seed", "review", "erasure"]
Kind = Literal[Decided, Bar, Lift, "campaign", "contact"]
Barred = Literal["objected", "restricted", "withdrawn"]
Case = Literal["not_open", "gone", "changed", "contested", "corrected", "same_reviewer"]
Refusal = Literal[Barred, Case, "erased", "not_barred"]
BARS: dict[str, Barred] = {
    "objection": "objected",
    "restriction": "restricted",
    "withdrawal": "withdrawn",
}
"""Entries after which nobody is scored (GDPR Art. 21(3), 18(2), 7(3)), with their outcome.

If several are in force, the first one counts.
"""
LIFTS: dict[str, Bar] = {"restriction_lifted": "restriction", "consent": "withdrawal"}
"""Acts that end a bar, each under the case id of the entry that it ends.

Nothing ends an objection.
"""
KINDS: tuple[str, ...] = get_args(Kind)
# The first entry has none before it, so its seal starts from zeros.
GENESIS = "0" * 64
LEAP = timedelta(days=1)
"""Largest lead of a clock that is believed.

It is a lead over the entry before and over another clock.
"""


class LogUnavailableError(RuntimeError):
    """The log could not be written or read, so no answer may be given."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry that is not written yet.

    ``case_id`` is the decision it belongs to (or a name of its own). ``subject`` is the pseudonym,
    if it concerns a person.

    ``body_if_barred`` replaces ``body`` when the subject is barred by the time of writing. The log
    then names the bar in its ``outcome``.

    ``closes_review`` takes the case off the reviewers' desk, unless the person contests it.
    ``reviewed_seal`` is the seal of the newest entry of the case that a reviewer had read. A
    review is not written once there is a newer one.

    ``corrects`` is the decision that this one replaces. Each is replaced once. ``changes_nothing``
    means that the outcome of this review leaves everything as it is, so that it is allowed for
    somebody who is barred.
    """

    kind: Kind
    case_id: str
    subject: str | None
    body: str
    body_if_barred: str | None = None
    opens_review: bool = False
    closes_review: bool = False
    reviewed_seal: str | None = None
    corrects: str | None = None
    changes_nothing: bool = False


class Entry(NamedTuple):
    """One written entry. ``at`` is UTC, ISO 8601.

    ``salt``, ``subject`` and ``body`` are None once they are blanked.
    """

    seq: int
    kind: str
    case_id: str
    subject: str | None
    at: str
    salt: str | None
    body: str | None
    digest: str
    previous: str
    seal: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """A draft that was not written, and the reason.

    ``objected``, ``restricted``, ``withdrawn``: there is no body for that case, or the outcome acts
    on a barred person, or the same bar is repeated.

    ``not_barred``: there is no such bar to lift. ``erased``: the subject was erased. ``gone``: the
    decision was blanked. ``not_open``: there is no such open review. ``changed``: an entry was
    added since it was read. ``contested``: a contest of the case waits already. ``corrected``: the
    decision was replaced already. ``same_reviewer``: it is contested, and this reviewer decided it
    before.
    """

    reason: Refusal


def digest_of(salt: str, subject: str | None, body: str) -> str:
    """Return the SHA-256 over salt, subject and body."""
    # Without the salt, whoever knows a pseudonym could guess a short body from its digest.
    return hashlib.sha256(f"{salt}\n{subject or ''}\n{body}".encode()).hexdigest()


def mark_of(subject: str) -> str:
    """Return the hash of an erased pseudonym, which recognises it when it is sent again."""
    return hashlib.sha256(f"erased\n{subject}".encode()).hexdigest()


def seal_of(previous: str, seq: int, head: tuple[str, str, str], digest: str) -> str:
    """Return the SHA-256 that binds an entry to the one before it.

    ``head`` is kind, case id and time.
    """
    return hashlib.sha256("\n".join((previous, str(seq), *head, digest)).encode()).hexdigest()


def dated(clock: str, last: str, own: str) -> str:
    """Return the time of the next entry: that of ``clock``, never before the ``last`` entry.

    A time too early passes with the next entry of a right clock. One far ahead would stay, because
    time never runs backwards. So it is not taken from one clock alone: this machine's ``own`` has
    to be near it, or where that one is far behind, the last entry.
    """
    near = own if not last or _after(own) >= last else last
    return max(own, last) if clock > _after(near) else max(clock, last)


def _after(at: str) -> str:
    """Return the time a leap after ``at``. There is no limit where ``at`` is no time."""
    try:
        return f"{datetime.fromisoformat(at) + LEAP:%Y-%m-%dT%H:%M:%S.%fZ}"
    except (ValueError, OverflowError):
        # In the order of text it comes after every digit.
        return "~"


def now() -> str:
    """Return UTC time with microseconds and fixed width, so that text order is time order."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


RANDOM_BYTES, RANDOM_AT_ONCE = 16, 256


class RandomPool:
    """Pool of 128-bit values of the system's generator, of which each is handed out once.

    Many are fetched at a time: every call of ``os.urandom`` releases Python's lock, which another
    busy thread then keeps for up to 5 ms.

    It must not be used by two threads at once.
    """

    def __init__(self) -> None:
        self._left: list[str] = []

    def hex(self) -> str:
        """Return 32 random hexadecimal digits."""
        if not self._left:
            block = os.urandom(RANDOM_BYTES * RANDOM_AT_ONCE).hex()
            self._left = [
                block[i : i + 2 * RANDOM_BYTES] for i in range(0, len(block), 2 * RANDOM_BYTES)
            ]
        return self._left.pop()

    def ordered(self) -> str:
        """Return 32 hexadecimal digits: 48 bits of time and 80 random ones.

        Neighbours in time are neighbours in an index.
        """
        # Whatever the clock says, it has twelve digits.
        return f"{time.time_ns() // 1_000_000 % 2**48:012x}{self.hex()[:20]}"
