"""API keys of the service, with scopes and an expiry date. The service stores only their hashes."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime

SCOPES = ("score", "subject", "review", "admin")
PREFIX = "churn_"
NAME = "[a-z0-9-]{1,32}"
_LINE = re.compile(
    rf"(?P<name>{NAME}):"
    r"(?P<scopes>[a-z+]+):(?P<digest>[0-9a-f]{64})(:(?P<expires>[0-9-]{10}))?"
)


@dataclass(frozen=True)
class Key:
    """One key as the environment holds it.

    Two entries of one name are a rotation: both work until one is removed.
    """

    name: str
    scopes: frozenset[str]
    digest: str
    expires: date | None = None

    def valid_on(self, day: date) -> bool:
        """Return whether the key works on ``day`` (UTC). The day of expiry is the last one."""
        return self.expires is None or day <= self.expires


NOBODY = Key("local", frozenset(SCOPES), "")
"""Key of everybody where there are no keys: profile local, loopback only."""


def new_key(name: str, scopes: Iterable[str], expires: date | None = None) -> tuple[str, str]:
    """Return a new key (256 random bits) and its line for ``CHURN_KEYS``.

    The key itself is stored nowhere. Raises ValueError for a bad name or scope.
    """
    if not re.fullmatch(NAME, name):
        raise ValueError(
            f"the name {name!r} is not possible: write 1 to 32 of a-z, 0-9 and -, such as crm"
        )
    scopes = list(dict.fromkeys(scopes))
    if unknown := [scope for scope in scopes if scope not in SCOPES]:
        raise ValueError(f"there is no scope {unknown[0]!r}; scopes are {', '.join(SCOPES)}")
    token = PREFIX + secrets.token_urlsafe(32)
    line = f"{name}:{'+'.join(scopes)}:{digest(token)}" + (
        f":{expires.isoformat()}" if expires else ""
    )
    # Read as at the start of the service, before anybody gets a key that would stop it.
    read_keys(line)
    return token, line


def read_keys(text: str) -> tuple[Key, ...]:
    """Return the keys in ``text``: ``name:scope+scope:sha256[:YYYY-MM-DD]``, split by white space.

    Raises ValueError with the number of the wrong entry.
    """
    return tuple(_key(entry, number) for number, entry in enumerate(text.split(), start=1))


def digest(token: str) -> str:
    """Return the SHA-256 (hex) of a key. Passwords need a slow hash, 256 random bits do not."""
    return hashlib.sha256(token.encode()).hexdigest()


def find(keys: Iterable[Key], token: str, day: date | None = None) -> Key | None:
    """Return the valid key for ``token``, or None.

    The time does not depend on which key fits, nor on how much of it does.
    """
    token_digest, today = digest(token), day or datetime.now(UTC).date()
    match = None
    # No early return: the time must not depend on which key fits.
    for key in keys:
        if hmac.compare_digest(token_digest, key.digest) and key.valid_on(today):
            match = key
    return match


def _key(entry: str, number: int) -> Key:
    match = _LINE.fullmatch(entry)
    if not match:
        raise ValueError(
            f"entry {number} is not name:scope+scope:sha256[:YYYY-MM-DD]; "
            "make one with: churn keys new"
        )
    scopes = frozenset(match["scopes"].split("+"))
    if unknown := sorted(scopes - set(SCOPES)):
        raise ValueError(
            f"entry {number} has scope {', '.join(unknown)}; scopes are {', '.join(SCOPES)}"
        )
    try:
        expires = date.fromisoformat(match["expires"]) if match["expires"] else None
    except ValueError:
        raise ValueError(
            f"entry {number} expires on {match['expires']}, which is no day: write YYYY-MM-DD"
        ) from None
    return Key(match["name"], scopes, match["digest"], expires)
