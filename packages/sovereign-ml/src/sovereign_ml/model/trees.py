"""Boosted trees as data: read, check, score and explain them with numpy alone.

``model.json`` holds every tree with its thresholds. A score is the sum of one leaf of each tree.
Its parts are Shapley values of the trees (Lundberg et al. 2020, path-dependent). They add up to the
score, up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sovereign_ml.decisions.feature_contract import Direction
from sovereign_ml.model.scorecard import Coded, Columns, Floats, Scorecard

__all__ = ["Codes", "Forest", "Tree"]

_AT_ONCE = 256
"""Rows explained at a time. Each holds a number for every leaf and feature of its path."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tree(_Frozen):
    """One tree as columns with a number for each node. Node 0 is the root.

    A leaf has feature -1. A number goes left up to ``threshold``. A category goes right if its code
    is ``threshold``. ``covered`` counts training rows, and ``value`` is in log-odds.
    """

    feature: tuple[int, ...]
    threshold: tuple[float, ...]
    missing_left: tuple[bool, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    value: tuple[float, ...]
    covered: tuple[int, ...]

    @model_validator(mode="after")
    def _is_a_tree(self) -> Tree:
        """Raise ValueError for columns that do not form a tree."""
        if not self.feature or {len(column) for _, column in self} != {len(self.feature)}:
            raise ValueError("the columns of a tree must have one length, at least 1")
        for node, feature in enumerate(self.feature):
            children = (self.left[node], self.right[node])
            # Children come after their parent, so no walk through a changed file can go round in
            # circles.
            if feature >= 0 and not all(node < child < len(self.feature) for child in children):
                raise ValueError(f"node {node} of a tree has the children {children}")
            if feature >= 0 and not all(self.covered[child] > 0 for child in children):
                raise ValueError(f"node {node} of a tree has a child that no training row reached")
        return self


class Codes(_Frozen):
    """The code of each category, of every other one, and of a missing one."""

    codes: dict[str, int]
    other: int
    missing: int


class _Leaves(NamedTuple):
    """Every leaf of every tree with the features of its path.

    Arrays have the shape (leaves, most features of a path).
    """

    value: Floats
    feature: NDArray[np.intp]
    low: Floats
    high: Floats
    takes_missing: NDArray[np.bool_]
    allowed: NDArray[np.int64]
    share: Floats
    """Share of the training rows that go the leaf's way at the splits of the feature.

    The value 1 fills a shorter path.
    """


class Forest(Scorecard):
    """Boosted trees with the interface of a scorecard.

    ``intercept`` is the average log-odds of the training rows as the trees count them. ``numeric``
    and ``categorical`` hold the average effect of each feature, for words and pictures. No score is
    made of them. ``directions`` are the constraints under which the trees were grown.
    """

    kind: Literal["trees"] = "trees"
    start: float
    trees: tuple[Tree, ...]
    codes: dict[str, Codes] = Field(default={})
    directions: dict[str, Direction] = Field(default={})

    @model_validator(mode="after")
    def _trees_fit_the_features(self) -> Forest:
        used = {feature for tree in self.trees for feature in tree.feature}
        if used and max(used) >= len(self.features):
            raise ValueError("a tree splits by a feature that the model does not have")
        if {part.name for part in self.categorical} != set(self.codes):
            raise ValueError("codes and categorical name different features")
        return self

    @property
    def additive(self) -> bool:
        """Return False: in a tree, one feature may change the effect of another one."""
        return False

    def keeps_to(self, name: str, direction: Direction) -> bool:
        """Return whether the trees were grown under this constraint."""
        return self.directions.get(name) == direction

    def stored(self, name: str) -> list[Any]:
        """Return every value of a feature that stands in the file."""
        place = self.features.index(name)
        if name in self.codes:
            return list(self.codes[name].codes)
        splits = {
            threshold
            for tree in self.trees
            for feature, threshold in zip(tree.feature, tree.threshold, strict=True)
            if feature == place
        }
        return sorted(splits) + super().stored(name)

    def log_odds(self, columns: Columns) -> Floats:
        """Return the sum of one leaf of each tree, shape (n,)."""
        rows = self._coded(columns)
        feature, threshold, missing_left, left_child, right_child, value = self._nodes
        by_code = np.arange(len(self.features)) >= len(self.numeric)
        node = np.broadcast_to(self._roots, (len(rows), len(self._roots))).copy()
        # All rows go down one level of all trees at a time: a loop over rows would be far slower.
        while (inner := feature[node] >= 0).any():
            # A leaf has feature -1, which is no column. What is read for it is not used.
            x = np.take_along_axis(rows, np.maximum(feature[node], 0), axis=1)
            at = threshold[node]
            go_left = np.where(by_code[feature[node]], x != at, x <= at)
            go_left = np.where(np.isnan(x), missing_left[node], go_left)
            node = np.where(inner, np.where(go_left, left_child[node], right_child[node]), node)
        total: Floats = self.start + value[node].sum(axis=1)
        return total

    def contributions(self, columns: Columns) -> Floats:
        """Return the Shapley value of each feature, shape (n, p).

        With the intercept they add up to the log-odds.
        """
        rows = self._coded(columns)
        parts = [self._shapley(rows[i : i + _AT_ONCE]) for i in range(0, len(rows), _AT_ONCE)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.features)))

    def _shapley(self, rows: Floats) -> Floats:
        """Return Shapley values (n, p) of coded ``rows``.

        In a leaf, a known feature has the factor 1 or 0 (the row goes that way or not). An unknown
        one has the share of training rows that do. The weights of all coalitions are the integral
        over s of the product of ``s * known + (1 - s) * unknown`` (Owen 1972). It is a polynomial,
        which Gauss-Legendre sums without error.
        """
        leaves = self._leaves
        total = np.zeros((len(rows), len(self.features)))
        depth = leaves.feature.shape[1]
        # n points sum a polynomial of degree 2n - 1 without error, and this one has less than
        # depth.
        points, weights = np.polynomial.legendre.leggauss(depth // 2 + 1)
        points, weights = (points + 1) / 2, weights / 2
        ways = [self._goes(rows, leaves, j) for j in range(depth)]
        for s, weight in zip(points, weights, strict=True):
            factors = [s * passes + (1 - s) * leaves.share[:, j] for j, passes in enumerate(ways)]
            # Products from both ends: a factor may be 0, so none can be divided out again.
            before = [np.ones_like(factors[0])]
            for factor in factors[:-1]:
                before.append(before[-1] * factor)
            after = weight * np.broadcast_to(leaves.value, factors[0].shape)
            for j in reversed(range(depth)):
                effect = before[j] * after * (ways[j] - leaves.share[:, j])
                total += effect @ self._of_feature[j]
                after = after * factors[j]
        return total

    @staticmethod
    def _goes(rows: Floats, leaves: _Leaves, j: int) -> Floats:
        """Return 1 where a row (n) goes the way of a leaf (m), else 0.

        It looks at the splits of the j-th feature of the leaf's path.
        """
        x = rows[:, leaves.feature[:, j]]
        inside = (x > leaves.low[:, j]) & (x <= leaves.high[:, j])
        # The allowed codes of a path are the bits of one 64-bit integer.
        code = np.where(np.isnan(x), 0, np.clip(x, 0, 62)).astype(np.int64)
        inside &= (leaves.allowed[:, j] >> code) & 1 == 1
        result: Floats = np.where(np.isnan(x), leaves.takes_missing[:, j], inside).astype(
            np.float64
        )
        return result

    def _coded(self, columns: Columns) -> Floats:
        """Return all features as numbers, shape (n, p).

        A missing number is NaN, and a category is its code.
        """
        self._need(columns)
        numbers = [np.asarray(columns[part.name], dtype=np.float64) for part in self.numeric]
        codes = [_codes(self.codes[part.name], columns[part.name]) for part in self.categorical]
        return np.column_stack([*numbers, *codes])

    @cached_property
    def _roots(self) -> NDArray[np.intp]:
        sizes = [len(tree.feature) for tree in self.trees]
        return np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp)

    @cached_property
    def _nodes(self) -> tuple[NDArray[Any], ...]:
        """Return the nodes of all trees in one array for each column.

        Children are given by their place there.
        """
        pairs = list(zip(self.trees, self._roots, strict=True))

        def joined(name: str, *, shift: bool = False) -> NDArray[Any]:
            return np.concatenate([np.array(getattr(t, name)) + root * shift for t, root in pairs])

        return (
            joined("feature"),
            joined("threshold"),
            joined("missing_left").astype(bool),
            joined("left", shift=True),
            joined("right", shift=True),
            joined("value"),
        )

    @cached_property
    def _leaves(self) -> _Leaves:
        paths = [path for tree in self.trees for path in _paths(tree, len(self.numeric))]
        most = max(1, *(len(path) for _, path in paths)) if paths else 1
        shape = (len(paths), most)
        leaves = _Leaves(
            np.array([value for value, _ in paths]),
            np.zeros(shape, dtype=np.intp),
            np.full(shape, -np.inf),
            np.full(shape, np.inf),
            np.ones(shape, dtype=bool),
            np.full(shape, -1, dtype=np.int64),
            np.ones(shape),
        )
        for i, (_, path) in enumerate(paths):
            for j, (feature, limits) in enumerate(path.items()):
                leaves.feature[i, j] = feature
                leaves.low[i, j], leaves.high[i, j] = limits.low, limits.high
                leaves.takes_missing[i, j], leaves.allowed[i, j] = (
                    limits.takes_missing,
                    limits.allowed,
                )
                leaves.share[i, j] = limits.share
        return leaves

    @cached_property
    def _of_feature(self) -> list[Floats]:
        """Return for each place j of a path a matrix (leaves, p) of 0 and 1.

        It is 1 where the j-th feature of a leaf is the feature.
        """
        leaves = self._leaves
        names = np.arange(len(self.features))
        return [
            # A share of 1 only fills a shorter path, so it belongs to no feature.
            ((column[:, None] == names) & (share < 1)[:, None]).astype(np.float64)
            for column, share in zip(leaves.feature.T, leaves.share.T, strict=True)
        ]


class _Limits(NamedTuple):
    """The values of one feature that its splits let through on the way to a leaf."""

    low: float = -np.inf
    high: float = np.inf
    takes_missing: bool = True
    # All bits of -1 are set, so every code passes until a split takes one out.
    allowed: int = -1
    share: float = 1.0


def _paths(tree: Tree, numbers: int) -> Iterator[tuple[float, dict[int, _Limits]]]:
    """Yield the value of each leaf and, by feature, the way that leads to it.

    Features from ``numbers`` on are codes.
    """
    waiting: list[tuple[int, dict[int, _Limits]]] = [(0, {})]
    while waiting:
        node, path = waiting.pop()
        feature, at = tree.feature[node], tree.threshold[node]
        if feature < 0:
            yield tree.value[node], path
            continue
        limits, parts = path.get(feature, _Limits()), (tree.left[node], tree.right[node])
        # The rows of the children and not of the node, so that the two shares add up to 1.
        total = sum(tree.covered[child] for child in parts)
        for child, is_left in zip(parts, (True, False), strict=True):
            share = limits.share * tree.covered[child] / total
            if feature >= numbers:
                bit = 1 << int(at)
                after = limits._replace(
                    allowed=limits.allowed & (~bit if is_left else bit), share=share
                )
            else:
                after = limits._replace(
                    low=limits.low if is_left else max(limits.low, at),
                    high=min(limits.high, at) if is_left else limits.high,
                    takes_missing=limits.takes_missing and tree.missing_left[node] == is_left,
                    share=share,
                )
            waiting.append((child, {**path, feature: after}))


def _codes(table: Codes, values: Any) -> Floats:
    if isinstance(values, Coded):
        coded: Floats = _codes(table, [*values.names, None])[values.codes]
        return coded
    codes: dict[Any, int] = {**table.codes, None: table.missing}
    return np.fromiter(
        (codes.get(value, table.other) for value in values), dtype=np.float64, count=len(values)
    )
