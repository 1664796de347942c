"""The smallest change of a row's changeable inputs that moves its band.

The change is of one input if one is enough. Otherwise it is the smallest set of two, three or four
inputs that do not follow from one another, found exactly (``sovereign_ml.model.pareto``). Inputs
that do, and more than four changes, are found greedily, and taken where that needs no more changes.

The size of a change is the way along the curve's own axis as a share of the range between its outer
knots (in the spirit of Wachter, Mittelstadt and Russell 2017). C-203/22, paragraph 62, names such a
statement as one fitting form of explanation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from sovereign_ml.decisions.decision_policy import DecisionPolicy
from sovereign_ml.decisions.feature_contract import FeatureContract
from sovereign_ml.model.feasible_changes import Move, Moves, Row, Value, missing
from sovereign_ml.model.pareto import EXACT, Combination, Search
from sovereign_ml.model.scorecard import Scorecard, sigmoid

MARGIN = 1e-9
"""Log-odds by which a threshold must be passed, so that rounding never decides."""
DEEPEST = 6
"""Largest number of changes. More of them explain nothing."""


class Change(BaseModel):
    """One input before and after. ``follows`` marks a change that only results from another one."""

    model_config = ConfigDict(frozen=True)
    feature: str
    before: Value
    after: Value
    follows: bool


class Counterfactual(BaseModel):
    """The changes, and the probability and band that they lead to."""

    model_config = ConfigDict(frozen=True)
    changes: tuple[Change, ...]
    score: float
    band: str


Step = tuple[float, dict[str, Value], tuple[str, ...]]
"""Size of a change, the row after it and the inputs that were moved on purpose."""


class Finder:
    """Search for counterfactuals of one model, contract and policy."""

    def __init__(self, model: Scorecard, contract: FeatureContract, policy: DecisionPolicy) -> None:
        self._model = model
        self._policy = policy
        self._moves = Moves(model, contract)
        ends = np.asarray(policy.thresholds)
        # In log-odds, because there the parts of a score add up.
        self._thresholds = np.log(ends / (1 - ends))

    def find(self, row: Row) -> Counterfactual | None:
        """Return the smallest change for ``row``, which maps each feature name to its value.

        Returns None when no allowed change moves the band.
        """
        # Towards the band below and the one above: a person is told the smaller change of the two.
        needs = [(need, sign) for sign in (-1, 1) if (need := self._need(row, sign)) is not None]
        moves = list(self._moves.of(row))
        for steps in self._tries(row, moves, needs):
            if steps:
                return self._result(row, min(steps, key=lambda step: step[0]))
        return None

    def _tries(
        self, row: Row, moves: list[Move], needs: list[tuple[float, int]]
    ) -> Iterator[list[Step]]:
        """Yield the results of each kind of search in both directions, fewest changes first."""
        yield _some(self._single(row, moves, need, sign) for need, sign in needs)
        linked = _some(self._greedy(row, moves, need, sign) for need, sign in needs)
        if (
            not self._model.additive
        ):  # gains of several changes do not add up: each is tried after the one before
            yield linked
            return
        searches = [Search(moves, need, sign) for need, sign in needs]
        for count in range(2, EXACT + 1):
            apart = _some(_several(row, moves, search.smallest(count)) for search in searches)
            yield apart + [step for step in linked if len(step[2]) == count]
        yield linked

    def _need(self, row: Row, sign: int) -> float | None:
        now = self._log_odds(row)
        # A score on a threshold belongs to the band above it.
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
                # The grid is coarse, so the answer is searched again on the finest steps around it.
                exact = _nearest(fine, need, sign)
                steps.append(_step(row, move, chosen) if exact is None else _step(row, fine, exact))
        return min(steps, key=lambda step: step[0], default=None)

    def _greedy(self, row: Row, moves: Sequence[Move], need: float, sign: int) -> Step | None:
        state, size = dict(row), 0.0
        used: tuple[str, ...] = ()
        while moves and len(used) < DEEPEST:
            gain, strongest, chosen = max(
                (_strongest(move, sign) for move in moves), key=lambda option: option[0]
            )
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
        changed = [
            name
            for name in (*moved, *(n for n in row if n not in moved))
            if not _same(row[name], after[name])
        ]
        changes = (
            Change(feature=name, before=row[name], after=after[name], follows=name not in moved)
            for name in changed
        )
        return Counterfactual(changes=tuple(changes), score=score, band=self._policy.band_of(score))


def _some(steps: Iterable[Step | None]) -> list[Step]:
    return [step for step in steps if step is not None]


def _several(row: Row, moves: Sequence[Move], combination: Combination | None) -> Step | None:
    if combination is None:
        return None
    after = dict(row)
    for i, pick in zip(combination.moves, combination.picks, strict=True):
        after = _step(after, moves[i], pick)[1]
    return combination.size, after, tuple(moves[i].name for i in combination.moves)


def _nearest(move: Move, need: float, sign: int) -> int | None:
    enough = np.flatnonzero(sign * move.gain >= need)
    return int(enough[np.argmin(move.distance[enough])]) if enough.size else None


def _step(row: Row, move: Move, chosen: int) -> Step:
    after = {name: column[chosen] for name, column in move.values.items()}
    plain = {
        name: value if value is None or isinstance(value, str) else float(value)
        for name, value in after.items()
    }
    return float(move.distance[chosen]), {**row, **plain}, (move.name,)


def _strongest(move: Move, sign: int) -> tuple[float, Move, int]:
    gain = sign * move.gain
    # A curve may be level at its best, and the nearest value of that stretch is the one to tell.
    most = np.flatnonzero(gain == gain.max())
    return float(gain.max()), move, int(most[np.argmin(move.distance[most])])


def _same(before: Value, after: Value) -> bool:
    return before == after or (missing(before) and missing(after))
