"""Planted cases on their way to the desk.

Each arrives as a real one would, so that its time does not reveal it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from sovereign_ml.decision_log import Draft, LogUnavailableError
from sovereign_ml.decision_log.entries import RandomPool

MOST_WAITING = 100
TIME_DIGITS = 12
"""Digits of the time in an ordered id. Neighbours in a batch share them."""
log = logging.getLogger(__name__)
_chance = secrets.SystemRandom()

Submit = Callable[[Sequence[Draft]], Awaitable[Sequence[Any]]]


class Planting:
    """Planted cases that wait for real ones to open.

    Cases come in batches or one by one. In a batch a planted one takes a place among the others, in
    the same transaction. After a single one it opens at a moment drawn from as long a time as lay
    before that one. Cases that still wait when the service stops are forgotten.
    """

    def __init__(self, submit: Submit, ids: RandomPool) -> None:
        self._submit, self._ids = submit, ids
        self._waiting: list[Draft] = []
        self._opened = time.monotonic()
        self._late: set[asyncio.Task[None]] = set()

    def add(self, seed: Draft) -> None:
        """Let ``seed`` wait for its turn. Its id is made when it opens."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting.insert(secrets.randbelow(len(self._waiting) + 1), seed)

    def mixed(self, drafts: Sequence[Draft]) -> list[Draft]:
        """Return ``drafts`` with planted ones among the cases that open together.

        After a single case, a planted one follows later.
        """
        opening = [draft for draft in drafts if draft.kind == "decision" and draft.opens_review]
        gap, mixed = time.monotonic() - self._opened, list(drafts)
        if opening:
            self._opened += gap
        if len(opening) == 1 and self._waiting:
            task = asyncio.get_running_loop().create_task(
                self._follow(self._waiting.pop(), _chance.uniform(0, gap))
            )
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        elif opening:
            for _ in range(min(len(opening) - 1, len(self._waiting))):
                place = secrets.randbelow(len(mixed) + 1)
                # Ids begin with the time, so a planted one takes that of its neighbour.
                near = mixed[max(0, place - 1)].case_id[:TIME_DIGITS]
                case_id = near + self._ids.ordered()[TIME_DIGITS:]
                mixed.insert(place, replace(self._waiting.pop(), case_id=case_id))
        return mixed

    async def close(self) -> None:
        """Forget the cases that were to follow later."""
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    async def _follow(self, seed: Draft, seconds: float) -> None:
        await asyncio.sleep(seconds)
        try:
            await self._submit([replace(seed, case_id=self._ids.ordered())])
        except LogUnavailableError as error:
            log.warning("a planted case was not written: %s", error)
