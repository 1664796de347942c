"""Every consistent change of one changeable input of a row, with its effect on the log-odds.

A change carries along what must follow from it (links of the contract). A purchase in the last 30
days is also one in the last 90. A ratio follows its parts. A more recent last purchase fills the
window that it enters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sovereign_ml.decisions.feature_contract import (
    FeatureContract,
    FeatureSpec,
    Nested,
    Ratio,
    Since,
    Window,
)
from sovereign_ml.model.scorecard import TRANSFORMS, Curve, Floats, Levels, Scorecard

Value = float | str | None
Row = Mapping[str, Value]
STEPS = {"days": 1.0, "count": 1.0, "EUR": 1.0, "share": 0.01, "ratio": 0.01}
"""Smallest change worth telling a person, per unit."""
ROUNDING = 1e-9
"""Tolerance of comparisons between totals."""
GRID, GRID_OF_TREES = 400, 40
"""Candidates per input: in general, and for trees, which are evaluated anew for each.

A coarser grid is refined around the answer.
"""
FINEST = 10_000
"""Candidates between two of a grid. Without a limit, an amount of 10^9 EUR would fill the memory."""


@dataclass(frozen=True)
class Move:
    """Candidates (m,) of one change.

    Each has the values of every input that it touches, its gain in log-odds and its size.
    """

    name: str
    values: dict[str, NDArray[Any]]
    gain: Floats
    distance: Floats


class Moves:
    """The changes that a model and its contract allow."""

    def __init__(self, model: Scorecard, contract: FeatureContract) -> None:
        self.model = model
        self.contract = contract
        self._parts = {part.name: part for part in model.parts}
        self._ratios = [link for link in contract.links if isinstance(link, Ratio)]
        self._chains = [link.features for link in contract.links if isinstance(link, Nested)]
        self._since = [link for link in contract.links if isinstance(link, Since)]

    def of(self, row: Row) -> Iterator[Move]:
        """Yield one move for each changeable, known input of ``row``.

        An input that follows from others has none.
        """
        following = {ratio.feature for ratio in self._ratios}
        for spec in self.contract.features:
            if not spec.changeable or spec.name in following or missing(row[spec.name]):
                continue
            part = self._parts[spec.name]
            candidates = (
                _levels(part, row)
                if isinstance(part, Levels)
                else _grid(
                    spec,
                    part,
                    _number(row, spec.name),
                    GRID if self.model.additive else GRID_OF_TREES,
                )
            )
            move = self.at(row, spec, candidates)
            if move.gain.size:
                yield move

    def at(self, row: Row, spec: FeatureSpec, candidates: NDArray[Any]) -> Move:
        """Return the consistent ones of the ``candidates`` (m,) for one input.

        Each has all that follows from it.
        """
        # The row's own value is no change, not even where what follows from it is off in the row.
        values = self._with_followers(row, spec.name, candidates[candidates != row[spec.name]])
        keep = self._consistent(row, values)
        values = {
            name: np.broadcast_to(column, keep.shape)[keep] for name, column in values.items()
        }
        gain = self._together(row, values, int(keep.sum()))
        return Move(spec.name, values, gain, self._distance(row, spec.name, values[spec.name]))

    def refined(self, row: Row, move: Move, chosen: int) -> Move:
        """Return ``move`` with every step between the chosen candidate and its nearer neighbour.

        The neighbour is the one on the side of the row's value.
        """
        spec = self.contract.feature(move.name)
        if spec.dtype == "string":
            return move
        column, now = move.values[move.name], _number(row, move.name)
        far = float(column[chosen])
        between = [float(v) for v in column if min(now, far) < v < max(now, far)]
        near = min([now, *between], key=lambda v: abs(v - far))
        return self.at(row, spec, _steps(min(near, far), max(near, far), STEPS[spec.unit], FINEST))

    def _with_followers(
        self, row: Row, name: str, candidates: NDArray[Any]
    ) -> dict[str, NDArray[Any]]:
        values = {name: candidates}
        for chain in self._chains:
            if name in chain:
                added = candidates - _number(row, name)
                values |= {
                    # A purchase in a short window is one in every longer window too.
                    longer: _number(row, longer) + added
                    for longer in chain[chain.index(name) + 1 :]
                }
        for link in self._since:
            if name == link.feature:
                values |= {
                    w.feature: _filled(row, w, candidates)
                    for w in link.windows
                    if _is_empty(row, link, w)
                }
        for ratio in self._ratios:
            if {ratio.over, ratio.under} & values.keys() and not missing(row[ratio.feature]):
                over, under = (
                    values.get(part, _number(row, part)) for part in (ratio.over, ratio.under)
                )
                # A ratio over zero is infinite, and `_consistent` leaves such a candidate out.
                with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                    values[ratio.feature] = np.divide(over, under)
        return values

    def _consistent(self, row: Row, values: dict[str, NDArray[Any]]) -> NDArray[np.bool_]:
        keep = np.ones(len(next(iter(values.values()))), dtype=bool)
        for name, column in values.items():
            spec = self.contract.feature(name)
            if spec.dtype == "float":
                low = -np.inf if spec.minimum is None else spec.minimum
                high = np.inf if spec.maximum is None else spec.maximum
                keep &= np.isfinite(column) & (column >= low) & (column <= high)
        return keep & self._ordered(row, values) & self._timed(row, values)

    def _ordered(self, row: Row, values: dict[str, NDArray[Any]]) -> NDArray[np.bool_] | bool:
        keep: NDArray[np.bool_] | bool = True
        for chain in self._chains:
            never_negative = self._never_negative(chain)
            for shorter, longer in pairwise(chain):
                if shorter not in values and longer not in values:
                    continue
                before = _number(row, shorter) <= _number(row, longer)
                # Returns can make a longer window the smaller one, and then it may stay so.
                if before or {shorter, longer} <= set(never_negative):
                    less, more = (
                        values.get(name, _number(row, name)) for name in (shorter, longer)
                    )
                    keep &= less <= more + ROUNDING
        return keep

    def _never_negative(self, chain: tuple[str, ...]) -> list[str]:
        return [
            name
            for name in chain
            if (low := self.contract.feature(name).minimum) is not None and low >= 0
        ]

    def _timed(self, row: Row, values: dict[str, NDArray[Any]]) -> NDArray[np.bool_] | bool:
        keep: NDArray[np.bool_] | bool = True
        for link in self._since:
            for window in link.windows:
                if link.feature in values and not _is_empty(row, link, window):
                    # A window with events in it cannot have its last purchase before it began.
                    keep &= values[link.feature] < window.days
                elif window.feature in values and link.feature not in values:
                    keep &= not _is_empty(row, link, window)
                    if self._never_negative((window.feature,)):
                        keep &= values[window.feature] > 0
        return keep

    def _together(self, row: Row, values: dict[str, NDArray[Any]], count: int) -> Floats:
        """Return what all ``values`` together do to the log-odds, shape (count,)."""
        if self.model.additive:
            gains = (self._gain(row, name, column) for name, column in values.items())
            return sum(gains, np.zeros(count))
        if not count:
            return np.zeros(0)
        # The row itself goes along as the last one.
        columns: dict[str, Any] = {
            name: np.concatenate([values[name], np.asarray([row[name]], dtype=object)])
            if name in values
            else np.repeat(np.asarray([row[name]], dtype=_kind(self._parts[name])), count + 1)
            for name in self.model.features
        }
        log_odds = self.model.log_odds(columns)
        gain: Floats = log_odds[:-1] - log_odds[-1]
        return gain

    def _gain(self, row: Row, name: str, column: NDArray[Any]) -> Floats:
        part = self._parts[name]
        return part.contribution(column) - part.contribution([row[name]])

    def _distance(self, row: Row, name: str, column: NDArray[Any]) -> Floats:
        part = self._parts[name]
        if isinstance(part, Levels):
            # Categories have no axis: any other one counts like the whole range of a number.
            return np.ones(len(column))
        scale = TRANSFORMS[part.transform]
        low, high, now = scale(np.array([part.knots[0], part.knots[-1], _number(row, name)]))
        size: Floats = np.abs(scale(column) - now) / (high - low)
        return size


def _grid(spec: FeatureSpec, curve: Curve, now: float, most: int) -> NDArray[np.float64]:
    low, high = min(curve.knots[0], now), max(curve.knots[-1], now)
    steps = _steps(low, high, STEPS[spec.unit], most)
    others: NDArray[np.float64] = steps[steps != now]
    return others


def _kind(part: Curve | Levels) -> type:
    return object if isinstance(part, Levels) else np.float64


def _steps(low: float, high: float, step: float, most: int) -> NDArray[np.float64]:
    """Return the multiples of ``step`` from ``low`` to ``high``, evenly thinned to ``most``."""
    # A value may lie so far out that its multiples could not be counted: see `_consistent`.
    with np.errstate(over="ignore", invalid="ignore"):
        first = np.floor(np.float64(low) / step)
        count = np.ceil(np.float64(high) / step) - first + 1
        places = np.arange(count) if count <= most else np.floor(np.linspace(0, count - 1, most))
        # Multiples of 0.01 are not exact as floats, and these values are shown to people.
        steps: NDArray[np.float64] = np.round((first + places) * step, 2)
    return steps


def _levels(part: Levels, row: Row) -> NDArray[Any]:
    return np.array([level for level in part.log_odds if level != row[part.name]], dtype=object)


def _filled(row: Row, window: Window, days_since: NDArray[np.float64]) -> NDArray[np.float64]:
    event_value = (
        _number(row, window.one_event) if isinstance(window.one_event, str) else window.one_event
    )
    return np.where(days_since < window.days, event_value, _number(row, window.feature))


def _is_empty(row: Row, link: Since, window: Window) -> bool:
    return _number(row, link.feature) >= window.days and _number(row, window.feature) == 0


def _number(row: Row, name: str) -> float:
    value = row[name]
    return float("nan") if value is None else float(value)


def missing(value: Value) -> bool:
    """Return whether ``value`` is None or NaN, which means "not known"."""
    return value is None or (isinstance(value, float) and math.isnan(value))
