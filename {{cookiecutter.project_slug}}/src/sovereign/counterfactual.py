"""The smallest change of a row's changeable inputs that moves its band.

One input if one is enough, else the best pair, else as few as a greedy search finds. Size is the way along
the curve's own axis as a share of the range between its outer knots (in the spirit of Wachter, Mittelstadt and
Russell 2017); C-203/22, paragraph 62, names such a statement as one fitting form of explanation.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from sovereign.bands import Policy
from sovereign.contract import Contract
from sovereign.moves import Move, Moves, Row, Value, missing
from sovereign.scorecard import Scorecard, sigmoid

MARGIN = 1e-9
"""Log-odds by which a threshold must be passed, so that rounding never decides."""
DEEPEST = 6
"""More changes than this are no explanation."""


class Change(BaseModel):
    """One input before and after; ``follows`` when it changes only because another one does."""

    model_config = ConfigDict(frozen=True)
    feature: str
    before: Value
    after: Value
    follows: bool


class Counterfactual(BaseModel):
    """The changes and the probability and band they lead to."""

    model_config = ConfigDict(frozen=True)
    changes: tuple[Change, ...]
    score: float
    band: str


Step = tuple[float, dict[str, Value], tuple[str, ...]]
"""Size of a change, the row after it and the inputs that were moved on purpose."""


class Finder:
    """Finds counterfactuals for one model, contract and policy."""

    def __init__(self, model: Scorecard, contract: Contract, policy: Policy) -> None:
        self._model = model
        self._policy = policy
        self._moves = Moves(model, contract)
        ends = np.asarray(policy.thresholds)
        self._thresholds = np.log(ends / (1 - ends))

    def find(self, row: Row) -> Counterfactual | None:
        """The smallest change for ``row`` (feature name to value); None when no allowed change moves the band."""
        needs = [(need, sign) for sign in (-1, 1) if (need := self._need(row, sign)) is not None]
        moves = list(self._moves.of(row))
        for search in (self._single, self._pair, self._greedy):
            found = [step for need, sign in needs if (step := search(row, moves, need, sign)) is not None]
            if found:
                return self._result(row, min(found, key=lambda step: step[0]))
        return None

    def _need(self, row: Row, sign: int) -> float | None:
        now = self._log_odds(row)
        band = int(np.searchsorted(self._thresholds, now, side="right")) - (sign < 0)
        if not 0 <= band < len(self._thresholds):
            return None
        return float(abs(self._thresholds[band] - now)) + MARGIN

    def _single(self, row: Row, moves: Sequence[Move], need: float, sign: int) -> Step | None:
        steps = []
        for move in moves:
            chosen = _nearest(move, need, sign)
            if chosen is not None:
                fine = self._moves.refined(row, move, chosen)
                exact = _nearest(fine, need, sign)
                steps.append(_step(row, move, chosen) if exact is None else _step(row, fine, exact))
        return min(steps, key=lambda step: step[0], default=None)

    def _pair(self, row: Row, moves: Sequence[Move], need: float, sign: int) -> Step | None:
        best: Step | None = None
        fronts = [(move, _front(move, sign)) for move in moves]
        for (one, front_one), (two, front_two) in combinations(fronts, 2):
            if one.values.keys() & two.values.keys():
                continue
            size, i, j = _cheapest((one, two), (front_one, front_two), need, sign)
            if np.isfinite(size) and (best is None or size < best[0]):
                after = _step(_step(row, one, i)[1], two, j)[1]
                best = (size, after, (one.name, two.name))
        return best

    def _greedy(self, row: Row, moves: Sequence[Move], need: float, sign: int) -> Step | None:
        state, size = dict(row), 0.0
        used: tuple[str, ...] = ()
        while moves and len(used) < DEEPEST:
            gain, strongest, chosen = max((_strongest(move, sign) for move in moves), key=lambda found: found[0])
            if gain <= 0:
                break
            step = _step(state, strongest, chosen)
            state, used, size, need = step[1], (*used, strongest.name), size + step[0], need - gain
            moves = [move for move in self._moves.of(state) if move.name not in used]
            last = self._single(state, moves, need, sign)
            if last is not None:
                return size + last[0], last[1], (*used, *last[2])
        return None

    def _log_odds(self, row: Row) -> float:
        return float(self._model.log_odds({name: [row[name]] for name in self._model.features})[0])

    def _result(self, row: Row, step: Step) -> Counterfactual:
        _, after, moved = step
        score = float(sigmoid(np.asarray(self._log_odds(after))))
        changed = [name for name in (*moved, *(n for n in row if n not in moved)) if not _same(row[name], after[name])]
        changes = (
            Change(feature=name, before=row[name], after=after[name], follows=name not in moved) for name in changed
        )
        return Counterfactual(changes=tuple(changes), score=score, band=self._policy.band_of(score))


def _nearest(move: Move, need: float, sign: int) -> int | None:
    enough = np.flatnonzero(sign * move.gain >= need)
    return int(enough[np.argmin(move.distance[enough])]) if enough.size else None


def _step(row: Row, move: Move, chosen: int) -> Step:
    after = {name: column[chosen] for name, column in move.values.items()}
    plain = {name: value if value is None or isinstance(value, str) else float(value) for name, value in after.items()}
    return float(move.distance[chosen]), {**row, **plain}, (move.name,)


def _strongest(move: Move, sign: int) -> tuple[float, Move, int]:
    gain = sign * move.gain
    most = np.flatnonzero(gain == gain.max())
    return float(gain.max()), move, int(most[np.argmin(move.distance[most])])


def _front(move: Move, sign: int) -> NDArray[np.intp]:
    """Candidates, smallest first, that gain more than every smaller one."""
    order = np.argsort(move.distance, kind="stable")
    gain = sign * move.gain[order]
    before = np.maximum.accumulate(np.concatenate([[0.0], gain[:-1]]))
    return order[gain > before]


def _cheapest(
    pair: tuple[Move, Move], fronts: tuple[NDArray[np.intp], NDArray[np.intp]], need: float, sign: int
) -> tuple[float, int, int]:
    """Size and candidates of the smallest pair that gains ``need``; infinite size when none does."""
    (one, two), (front_one, front_two) = pair, fronts
    gains = sign * two.gain[front_two]
    partner = np.searchsorted(gains, need - sign * one.gain[front_one], side="left")
    able = np.flatnonzero(partner < len(gains))
    if not able.size:
        return np.inf, 0, 0
    sizes = one.distance[front_one[able]] + two.distance[front_two[partner[able]]]
    best = int(np.argmin(sizes))
    return float(sizes[best]), int(front_one[able[best]]), int(front_two[partner[able[best]]])


def _same(before: Value, after: Value) -> bool:
    return before == after or (missing(before) and missing(after))
