"""A reviewer's browser session: a signed cookie and signed form fields, valid on every instance that has the key.

Signed with the key's hash, which every instance has and nobody outside does; revoking the key ends its sessions.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Iterable

from sovereign_ml.service.access.api_keys import NOBODY, Key

COOKIE = "reviewer"
VALID_S = 8 * 3600
_LOCAL_SECRET = secrets.token_bytes(32)


def new_session(key: Key) -> str:
    """The cookie's value for a reviewer who sent ``key``."""
    return stamp(key, "session")


def key_of_session(keys: Iterable[Key], cookie: str) -> Key | None:
    """The key that a cookie stands for, or None when it is forged, too old, or its key is gone."""
    from datetime import UTC, datetime

    today = datetime.now(UTC).date()
    for key in keys:
        if key.valid_on(today) and stamped_at(key, "session", cookie) is not None:
            return key
    return None


def stamp(key: Key, purpose: str) -> str:
    """A signed statement that ``key`` was here for ``purpose`` now."""
    at = str(int(time.time()))
    return f"{at}.{_signature(key, purpose, at)}"


def stamped_at(key: Key, purpose: str, value: str) -> int | None:
    """Seconds since the epoch at which ``value`` was signed; None when it is not ours or older than eight hours."""
    at, _, signature = value.partition(".")
    if not (at.isascii() and at.isdigit()) or not hmac.compare_digest(
        _signature(key, purpose, at).encode(), signature.encode()
    ):
        return None
    return int(at) if 0 <= time.time() - int(at) <= VALID_S else None


def _signature(key: Key, purpose: str, at: str) -> str:
    secret = _LOCAL_SECRET if key is NOBODY else bytes.fromhex(key.digest)
    return hmac.new(secret, f"{key.name}|{purpose}|{at}".encode(), hashlib.sha256).hexdigest()
