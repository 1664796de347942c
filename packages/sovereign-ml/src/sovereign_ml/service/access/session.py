"""A reviewer's browser session: a signed cookie and signed form fields.

Signed with a secret that is nothing but that: the hash of a key, which passes through many hands, signs nothing. It is
part of what is signed, so that revoking the key ends its sessions.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from sovereign_ml.service.access.api_keys import Key

COOKIE = "reviewer"
VALID_S = 8 * 3600
SHORTEST_SECRET = 32
MOST_VIEWS = 10_000


class Stamp(NamedTuple):
    """When something was signed (seconds since the epoch), and the word that was signed with it."""

    at: int
    said: str


class Sessions:
    """Signs with ``secret``; without one with a random secret, whose sessions end with this process."""

    def __init__(self, secret: str = "", clock: Callable[[], float] = time.time) -> None:
        self._secret = secret.encode() or secrets.token_bytes(32)
        self._clock = clock
        self._views: dict[tuple[str, ...], str] = {}

    def new(self, key: Key) -> str:
        """The cookie's value for a reviewer who sent ``key``."""
        return self.stamp(key, "session")

    def key_of(self, keys: Iterable[Key], cookie: str) -> Key | None:
        """The key that a cookie stands for, or None when it is forged, too old, or its key is gone."""
        today = datetime.now(UTC).date()
        for key in keys:
            if key.valid_on(today) and self.read(key, "session", cookie) is not None:
                return key
        return None

    def stamp(self, key: Key, purpose: str, said: str = "", since: Stamp | None = None) -> str:
        """A signed statement that ``key`` was here for ``purpose`` now, or ``since`` then, with a word of ours."""
        at = str(int(self._clock()) if since is None else since.at)
        return f"{at}.{said}.{self._signature(key, purpose, at, said)}"

    def read(self, key: Key, purpose: str, value: str) -> Stamp | None:
        """What was stamped; None when it is not ours or older than eight hours.

        The clock of the instance that stamped it may be ahead of ours by as much, or ours went back meanwhile.
        """
        at, _, rest = value.partition(".")
        said, _, signature = rest.rpartition(".")
        if not (at.isascii() and at.isdigit()) or not hmac.compare_digest(
            self._signature(key, purpose, at, said).encode(), signature.encode()
        ):
            return None
        return Stamp(int(at), said) if abs(self._clock() - int(at)) <= VALID_S else None

    def first_view(self, key: Key, case: str, version: str, view: str) -> str:
        """The view that ``key`` took first of this version of a case: going back does not change it."""
        if len(self._views) >= MOST_VIEWS:
            del self._views[next(iter(self._views))]
        return self._views.setdefault((key.name, case, version), view)

    def seconds_since(self, stamp: Stamp) -> int:
        """Seconds from a stamp until now; never less than none, whatever the clocks say."""
        return max(0, round(self._clock() - stamp.at))

    def _signature(self, key: Key, purpose: str, at: str, said: str) -> str:
        message = "\n".join((key.digest, key.name, purpose, at, said))
        return hmac.new(self._secret, message.encode(), hashlib.sha256).hexdigest()
