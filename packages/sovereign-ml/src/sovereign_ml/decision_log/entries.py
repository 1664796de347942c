"""What an entry of the log is and how its seal is computed.

The seal covers the previous seal and a salted digest of the body, not the body: a body can be blanked later
(GDPR Art. 17, Art. 5(1)(e)) without breaking the chain, and the digest that stays says nothing once the salt is gone.
"""

from __future__ import annotations

import hashlib
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
"""Entries after which nobody is scored (GDPR Art. 21(3), 18(2), 7(3)), with the outcome they lead to; the first counts."""
LIFTS: dict[str, Bar] = {"restriction_lifted": "restriction", "consent": "withdrawal"}
"""Acts that end a bar, each under the case id of the entry that it ends. Nothing ends an objection."""
KINDS: tuple[str, ...] = get_args(Kind)
GENESIS = "0" * 64
LEAP = timedelta(days=1)
"""A clock that is further ahead than this, of the entry before and of another clock, is not believed."""


class LogUnavailableError(RuntimeError):
    """The log could not be written or read: no answer may be given."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry that is not written yet.

    ``case_id`` is the decision it belongs to (or a name of its own); ``subject`` the pseudonym, if it concerns one.
    ``body_if_barred`` replaces ``body`` when the subject is barred by the time of writing, and the log names in its
    ``outcome`` what bars. ``closes_review`` takes the case off the reviewers' desk, unless the person contests it.
    ``seen`` is the seal of the newest entry of the case that a reviewer had read: a review is not written once there
    is a newer one. ``corrects`` is the decision that this one replaces; each is replaced once. ``changes_nothing``:
    the outcome of this review leaves everything as it is, so that it may be given to somebody who is barred.
    """

    kind: Kind
    case_id: str
    subject: str | None
    body: str
    body_if_barred: str | None = None
    opens_review: bool = False
    closes_review: bool = False
    seen: str | None = None
    corrects: str | None = None
    changes_nothing: bool = False


class Entry(NamedTuple):
    """One written entry; ``salt``, ``subject`` and ``body`` are None once blanked. ``at`` is UTC, ISO 8601."""

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
    """A draft that was not written.

    ``objected``, ``restricted``, ``withdrawn``: no body for that case, an outcome that acts on who is barred, or the same bar
    again; ``not_barred``: there is no such bar to lift; ``erased``: the subject was erased; ``gone``:
    the decision was blanked; ``not_open``: no such open review; ``changed``: something was said since it was read;
    ``contested``: a contest of the case waits already; ``corrected``: the decision was replaced already;
    ``same_reviewer``: it is contested, and this reviewer decided it before.
    """

    reason: Refusal


def digest_of(salt: str, subject: str | None, body: str) -> str:
    """SHA-256 over salt, subject and body."""
    return hashlib.sha256(f"{salt}\n{subject or ''}\n{body}".encode()).hexdigest()


def mark_of(subject: str) -> str:
    """What stays of an erased pseudonym: a hash, enough to know it when it is sent again."""
    return hashlib.sha256(f"erased\n{subject}".encode()).hexdigest()


def seal_of(previous: str, seq: int, head: tuple[str, str, str], digest: str) -> str:
    """SHA-256 that binds an entry to the one before it; ``head`` is kind, case id and time."""
    return hashlib.sha256("\n".join((previous, str(seq), *head, digest)).encode()).hexdigest()


def dated(clock: str, last: str, own: str) -> str:
    """Return the time of the next entry: that of ``clock``, never before the ``last`` entry.

    A time too early passes with the next entry of a right clock. One far ahead would stay, because time never
    runs backwards. So it is not taken from one clock alone: this machine's ``own`` has to be near it, or where
    that one is far behind, the last entry.
    """
    near = own if not last or _after(own) >= last else last
    return max(own, last) if clock > _after(near) else max(clock, last)


def _after(at: str) -> str:
    """The time a leap after ``at``; no limit where that is no time."""
    try:
        return f"{datetime.fromisoformat(at) + LEAP:%Y-%m-%dT%H:%M:%S.%fZ}"
    except (ValueError, OverflowError):
        return "~"


def now() -> str:
    """UTC time with microseconds, fixed width, so that text order is time order."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
