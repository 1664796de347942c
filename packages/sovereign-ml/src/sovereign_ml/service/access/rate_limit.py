"""Rate limit: a token bucket per key."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from sovereign_ml.service.problems import ProblemError


class Limiter:
    """Limit of ``rate`` customers per second and key.

    A key may spend two seconds' worth at once, or one full batch where that is more.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._most = rate, max(2 * rate, 1000.0)
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}

    def spend(self, name: str, cost: int = 1) -> None:
        """Take ``cost`` from the bucket of ``name``.

        Raises ProblemError (429, with Retry-After) where the bucket holds less.
        """
        now = self._clock()
        tokens, since = self._left.get(name, (self._most, now))
        # A clock that goes back gives nothing, and takes nothing away.
        tokens = min(self._most, tokens + max(0.0, now - since) * self._rate)
        if tokens < cost:
            wait = math.ceil((cost - tokens) / self._rate)
            # The refill is stored with its time, so that the next request does not count it again.
            self._left[name] = (tokens, now)
            raise ProblemError(
                429,
                f"This key may score {self._rate:g} customers per second.",
                headers={"retry-after": str(wait)},
            )
        self._left[name] = (tokens - cost, now)
