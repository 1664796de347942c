"""The best ways to gain log-odds by a few changes at once.

Of the ways that are kept, none is both longer and weaker than another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from sovereign_ml.model.feasible_changes import Move
from sovereign_ml.model.scorecard import Floats

EXACT = 4
"""Number of changes up to which the smallest set is found for certain.

Each further one multiplies the work.
"""


@dataclass(frozen=True)
class Front:
    """Combinations (n,) to change ``moves`` together, with gain, size and candidate (n, k).

    They are sorted by size and by gain at once, because only undominated ways are kept.
    """

    moves: tuple[int, ...]
    gain: Floats
    size: Floats
    picks: NDArray[np.intp]


@dataclass(frozen=True)
class Combination:
    """One combination of changes: its size, and the candidate chosen for each move."""

    size: float
    moves: tuple[int, ...]
    picks: tuple[int, ...]


class Search:
    """Search for the smallest sets of ``moves`` that gain ``need`` in the direction ``sign``.

    ``need`` is in log-odds and positive. The search is exact because the model is additive: moves
    that touch no input in common gain the sum of their gains.
    """

    def __init__(self, moves: Sequence[Move], need: float, sign: int) -> None:
        self._moves = moves
        self._need = need
        self._single = [_front(i, move, sign) for i, move in enumerate(moves)]
        self._pairs: dict[tuple[int, int], Front] = {}

    def smallest(self, count: int) -> Combination | None:
        """Return the smallest way that changes exactly ``count`` (2 to EXACT) inputs.

        Returns None when none gains enough.
        """
        candidates = [
            self._of(chosen)
            for chosen in combinations(range(len(self._moves)), count)
            if self._able(chosen)
        ]
        return min(
            (combination for combination in candidates if combination),
            key=lambda combination: combination.size,
            default=None,
        )

    def _able(self, chosen: tuple[int, ...]) -> bool:
        most = [self._most[i] for i in chosen]
        if min(most) <= 0 or sum(most) < self._need:
            return False
        return all(not self._touched[i] & self._touched[j] for i, j in combinations(chosen, 2))

    def _of(self, chosen: tuple[int, ...]) -> Combination | None:
        # Meeting in the middle: two fronts of half the moves are joined, not all combinations
        # tried.
        half = len(chosen) - len(chosen) // 2
        return _cheapest(self._front(chosen[:half]), self._front(chosen[half:]), self._need)

    def _front(self, chosen: tuple[int, ...]) -> Front:
        if len(chosen) == 1:
            return self._single[chosen[0]]
        first, second = chosen
        if (first, second) not in self._pairs:
            self._pairs[first, second] = _joined(
                self._single[first], self._single[second], self._need
            )
        return self._pairs[first, second]

    @cached_property
    def _most(self) -> list[float]:
        return [float(front.gain[-1]) if front.gain.size else 0.0 for front in self._single]

    @cached_property
    def _touched(self) -> list[set[str]]:
        return [set(move.values) for move in self._moves]


def _front(i: int, move: Move, sign: int) -> Front:
    gain = sign * move.gain
    undominated = _undominated(gain, move.distance)
    return Front((i,), gain[undominated], move.distance[undominated], undominated[:, None])


def _joined(first: Front, second: Front, need: float) -> Front:
    """Return every undominated way of both fronts at once."""
    # Gaining more than needed is worth no more.
    gain = np.minimum(np.add.outer(first.gain, second.gain).ravel(), need)
    size = np.add.outer(first.size, second.size).ravel()
    undominated = _undominated(gain, size)
    i, j = np.divmod(undominated, len(second.gain))
    return Front(
        first.moves + second.moves,
        gain[undominated],
        size[undominated],
        np.hstack([first.picks[i], second.picks[j]]),
    )


def _undominated(gain: Floats, size: Floats) -> NDArray[np.intp]:
    """Return the positions of ways that gain more than every way of at most their size.

    The smallest comes first. A way without gain does not count.
    """
    # Of equal sizes the largest gain comes first, so that it dominates the others.
    order = np.lexsort((-gain, size))
    before = np.maximum.accumulate(np.concatenate([[0.0], gain[order][:-1]]))
    return order[gain[order] > before]


def _cheapest(first: Front, second: Front, need: float) -> Combination | None:
    # Size rises with gain along a front, so the first partner that is enough is the smallest.
    partner = np.searchsorted(second.gain, need - first.gain, side="left")
    able = np.flatnonzero(partner < len(second.gain))
    if not able.size:
        return None
    sizes = first.size[able] + second.size[partner[able]]
    best = int(np.argmin(sizes))
    picks = (*first.picks[able[best]], *second.picks[partner[able[best]]])
    return Combination(
        float(sizes[best]), first.moves + second.moves, tuple(int(pick) for pick in picks)
    )
