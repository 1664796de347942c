"""Random names and salts from the system's generator, fetched many at a time.

Every call of ``os.urandom`` releases Python's lock, which another busy thread then keeps for up to
5 ms.
"""

from __future__ import annotations

import os
import time

BYTES, AT_ONCE = 16, 256


class RandomPool:
    """Pool of 128-bit values, of which each is handed out once.

    It must not be used by two threads at once.
    """

    def __init__(self) -> None:
        self._left: list[str] = []

    def hex(self) -> str:
        """Return 32 random hexadecimal digits."""
        if not self._left:
            block = os.urandom(BYTES * AT_ONCE).hex()
            self._left = [block[i : i + 2 * BYTES] for i in range(0, len(block), 2 * BYTES)]
        return self._left.pop()

    def ordered(self) -> str:
        """Return 32 hexadecimal digits: 48 bits of time and 80 random ones.

        Neighbours in time are neighbours in an index.
        """
        # Whatever the clock says, it has twelve digits.
        return f"{time.time_ns() // 1_000_000 % 2**48:012x}{self.hex()[:20]}"
