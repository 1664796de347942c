"""Browser session of a reviewer: a signed cookie and signed form fields.

The secret has no other use. The hash of a key would be no secret, because many people see it. The
hash is part of the signed text, so that a revoked key ends its sessions.
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
    """Time of a signature in seconds since the epoch, and the text that was signed with it."""

    at: int
    text: str


class Sessions:
    """Sessions signed with ``secret``, or with a random secret that ends with this process."""

    def __init__(self, secret: str = "", clock: Callable[[], float] = time.time) -> None:
        self._secret = secret.encode() or secrets.token_bytes(32)
        self._clock = clock
        self._views: dict[tuple[str, ...], str] = {}

    def new(self, key: Key) -> str:
        """Return the value of the cookie for a reviewer who sent ``key``."""
        return self.stamp(key, "session")

    def key_of(self, keys: Iterable[Key], cookie: str) -> Key | None:
        """Return the key of a cookie, or None where it is forged, too old, or of a removed key."""
        today = datetime.now(UTC).date()
        for key in keys:
            if key.valid_on(today) and self.read(key, "session", cookie) is not None:
                return key
        return None

    def stamp(self, key: Key, purpose: str, text: str = "", since: Stamp | None = None) -> str:
        """Return a signed text: the time (now or that of ``since``), ``text`` and the signature.

        ``key`` and ``purpose`` are part of what is signed.
        """
        at = str(int(self._clock()) if since is None else since.at)
        return f"{at}.{text}.{self._signature(key, purpose, at, text)}"

    def read(self, key: Key, purpose: str, value: str) -> Stamp | None:
        """Return the stamp in ``value``, or None where it is forged or older than eight hours.

        It may also lie eight hours ahead: clocks of instances differ, and a clock can go back.
        """
        at, _, rest = value.partition(".")
        text, _, signature = rest.rpartition(".")
        # isdigit() is also true for ², which int() refuses.
        # Signatures are compared as bytes: compare_digest refuses text that is not ASCII.
        if not (at.isascii() and at.isdigit()) or not hmac.compare_digest(
            self._signature(key, purpose, at, text).encode(), signature.encode()
        ):
            return None
        return Stamp(int(at), text) if abs(self._clock() - int(at)) <= VALID_S else None

    def first_view(self, key: Key, case: str, version: str, view: str) -> str:
        """Return the first view that ``key`` stated on this version of a case.

        Going back in the browser does not change it.
        """
        # A dict keeps the order of insertion, so this drops the oldest view and bounds the memory.
        if len(self._views) >= MOST_VIEWS:
            del self._views[next(iter(self._views))]
        return self._views.setdefault((key.name, case, version), view)

    def seconds_since(self, stamp: Stamp) -> int:
        """Return the seconds from a stamp until now, at least 0 also where clocks differ."""
        return max(0, round(self._clock() - stamp.at))

    def _signature(self, key: Key, purpose: str, at: str, text: str) -> str:
        # With the key's digest in the text, a session ends together with its key.
        message = "\n".join((key.digest, key.name, purpose, at, text))
        return hmac.new(self._secret, message.encode(), hashlib.sha256).hexdigest()
