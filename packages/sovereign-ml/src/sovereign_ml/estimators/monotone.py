"""Logistic regression whose curves only rise or only fall, as experts expect of a feature.

The penalty is ridge, and the fit is exact up to rounding. Each Newton step is a quadratic problem
with non-negative increments (monotone regression by increments of the basis, Ramsay 1988;
non-negative least squares, Lawson and Hanson 1974).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag, cholesky, solve, solve_triangular
from scipy.optimize import nnls
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin

from sovereign_ml.model.scorecard import Floats

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MonotoneLogistic", "monotone_curves"]

_JITTER = 1e-4
"""Weight that makes the increments unique. Beside thousands of customers it changes nothing."""
_SAMPLE = 50_000
"""Number of rows up to which the curvature is exact. Of more rows this many give an estimate."""
_COARSE = 0.1
"""Change of the log-odds of a row above which an estimate of the curvature is made anew."""
_FINE = 1e-4
"""Change of the log-odds of a row below which a step is taken as it is."""
_STEPS = 100
_SMALLEST = 1e-9
"""Change of the log-odds of every row at which the fit has converged."""


class MonotoneCurve(NamedTuple):
    """Position and direction of one curve among the columns of a design.

    Columns ``first`` to ``first + points`` hold the heights of the curve, in the order of its
    knots. ``sign`` is 1 where the curve may only rise and -1 where it may only fall. ``gap`` is the
    column that marks a missing value, -1 for none. ``at_fill`` holds the columns' values where a
    missing value is filled.
    """

    first: int
    points: int
    sign: int
    gap: int = -1
    at_fill: tuple[float, ...] = ()


def monotone_curves(
    rows: pd.DataFrame,
    knots: Mapping[str, Floats],
    gaps: Sequence[str],
    expected: Mapping[str, str],
) -> tuple[tuple[Any, ...], ...]:
    """Return the ``curves`` of a design for :class:`MonotoneLogistic`.

    The design has heights at ``knots``, followed by an indicator for each name in ``gaps``.
    ``expected`` is "raises" or "lowers" for the features that have a direction. A missing value is
    filled with the median of ``rows``.
    """
    signs = {"raises": 1, "lowers": -1}
    width = sum(map(len, knots.values()))
    curves, first = [], 0
    for name, values in knots.items():
        if direction := expected.get(name):
            gap = width + list(gaps).index(name) if name in gaps else -1
            fill = np.arcsinh(float(rows[name].median()))
            heights = [np.interp(fill, np.arcsinh(values), row) for row in np.eye(len(values))]
            at_fill = tuple(map(float, heights)) if name in gaps else ()
            curve = MonotoneCurve(first, len(values), signs[direction], gap, at_fill)
            curves.append(tuple(curve))  # a plain tuple: skops stores no other
        first += len(values)
    return tuple(curves)


class MonotoneLogistic(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Logistic regression with inverse penalty ``C`` under which each of ``curves`` is monotone.

    A missing value counts no more than the highest point of its curve and no less than the lowest.
    Without ``curves`` this is scikit-learn's LogisticRegression.
    """

    def __init__(self, C: float = 1.0, curves: Sequence[Sequence[Any]] = ()) -> None:  # noqa: N803
        self.C = C
        self.curves = curves

    def fit(self, X: Floats, y: NDArray[Any]) -> MonotoneLogistic:  # noqa: N803
        """Fit on the design ``X`` (n, p) and labels ``y`` (n,) of two classes.

        Raises ValueError for another number of classes.
        """
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) != 2:
            raise ValueError(f"Two classes are needed, seen: {len(self.classes_)}")
        mapping, bounded = self._mapping(X.shape[1])
        design = _Small(X, mapping) if len(X) <= _SAMPLE else _Large(X, mapping)
        penalty = np.zeros((mapping.shape[1] + 1,) * 2)
        penalty[1:, 1:] = mapping.T @ mapping / self.C
        at_least_zero = np.r_[False, bounded]
        penalty[at_least_zero, at_least_zero] += _JITTER
        rate = labels.mean()
        start = np.zeros(len(penalty))
        start[0] = np.log(rate / (1 - rate))
        weights = _minimum(design, labels, penalty, at_least_zero, start)
        self.intercept_ = weights[:1]
        self.coef_ = self._coefficients(weights[1:], mapping)[None, :]
        self.n_features_in_ = X.shape[1]
        return self

    def decision_function(self, X: Floats) -> Floats:  # noqa: N803
        """Return log-odds of the second class, shape (n,)."""
        log_odds: Floats = np.asarray(X) @ self.coef_[0] + self.intercept_[0]
        return log_odds

    def predict_proba(self, X: Floats) -> Floats:  # noqa: N803
        """Return the probability of each class, shape (n, 2)."""
        p = expit(self.decision_function(X))
        return np.column_stack([1 - p, p])

    def predict(self, X: Floats) -> NDArray[Any]:  # noqa: N803
        """Return the likelier class of each row, shape (n,)."""
        classes: NDArray[Any] = self.classes_[(self.decision_function(X) > 0).astype(int)]
        return classes

    def _mapping(self, width: int) -> tuple[Floats, NDArray[np.bool_]]:
        """Return the matrix from free weights and increments to coefficients (p,).

        The second array tells which of the weights are increments.
        """
        curves = [MonotoneCurve(*curve) for curve in self.curves]
        held = {i for c in curves for i in (*range(c.first, c.first + c.points), c.gap)}
        columns = [np.eye(width)[i] for i in range(width) if i not in held]
        bounded = [False] * len(columns)
        for curve in curves:
            last = curve.first + curve.points
            for start in range(curve.first, last):
                # Where a value may be missing, each increment has two parts: one that also counts
                # for a missing value, and one that only values above the knot count.
                for counted in (True, False) if curve.gap >= 0 and start > curve.first else (True,):
                    column = np.zeros(width)
                    column[start:last] = 1.0 if start == curve.first else curve.sign
                    if curve.gap >= 0:
                        at_gap = column[last - 1] if counted else 0.0
                        column[curve.gap] = at_gap - column[curve.first : last] @ curve.at_fill
                    columns.append(column)
                    bounded.append(start > curve.first)
        return np.column_stack(columns), np.array(bounded)

    def _coefficients(self, weights: Floats, mapping: Floats) -> Floats:
        """Return the coefficients (p,), in monotone order to the last bit."""
        coefficients: Floats = mapping @ weights
        for curve in (MonotoneCurve(*curve) for curve in self.curves):
            part = slice(curve.first, curve.first + curve.points)
            # Sums of many numbers are monotone up to rounding only.
            run = np.maximum.accumulate(curve.sign * coefficients[part])
            coefficients[part] = curve.sign * run
        return coefficients


class _Small:
    """A design of few rows with the mapping applied. Column 0 is the intercept."""

    def __init__(self, rows: Floats, mapping: Floats) -> None:
        self._columns = np.column_stack([np.ones(len(rows)), rows @ mapping])

    def log_odds(self, weights: Floats) -> Floats:
        """Return the log-odds of each row, shape (n,)."""
        result: Floats = self._columns @ weights
        return result

    def slope(self, residuals: Floats) -> Floats:
        """Return the gradient of the log loss from ``residuals`` (n,)."""
        result: Floats = self._columns.T @ residuals
        return result

    def curvature(self, spread: Floats) -> Floats:
        """Return the Hessian of the log loss from the variances ``spread`` (n,)."""
        result: Floats = (self._columns * spread[:, None]).T @ self._columns
        return result


class _Large:
    """A design of many rows, of which no copy is made.

    The curvature is that of evenly spaced rows, scaled so that its diagonal is that of all rows. A
    column that few rows have may be missing in the sample, and a step along it would be far too
    long. The minimum stays the same, because the gradient is exact (sub-sampled Newton methods,
    Roosta-Khorasani and Mahoney 2019).
    """

    def __init__(self, rows: Floats, mapping: Floats) -> None:
        self._rows = rows
        self._mapping = block_diag(1.0, mapping)
        self._places = np.linspace(0, len(rows) - 1, _SAMPLE).astype(int)
        self._sample = np.column_stack([np.ones(_SAMPLE), rows[self._places]])

    def log_odds(self, weights: Floats) -> Floats:
        """Return the log-odds of each row, shape (n,)."""
        coefficients = self._mapping @ weights
        result: Floats = self._rows @ coefficients[1:] + coefficients[0]
        return result

    def slope(self, residuals: Floats) -> Floats:
        """Return the gradient of the log loss from ``residuals`` (n,)."""
        result: Floats = self._mapping.T @ np.r_[residuals.sum(), self._rows.T @ residuals]
        return result

    def curvature(self, spread: Floats) -> Floats:
        """Return an estimate of the Hessian of the log loss from the variances ``spread`` (n,)."""
        weighted = self._sample * spread[self._places, None]
        estimate = weighted.T @ self._sample * (len(spread) / _SAMPLE)
        squares = np.einsum("ij,ij,i->j", self._rows, self._rows, spread)
        exact, guess = np.r_[spread.sum(), squares], np.diag(estimate).copy()
        scale = np.sqrt(np.divide(exact, guess, out=np.ones_like(exact), where=guess > 0))
        estimate *= np.outer(scale, scale)
        np.fill_diagonal(estimate, exact)
        result: Floats = self._mapping.T @ estimate @ self._mapping
        return result


def _minimum(
    design: _Small | _Large,
    labels: NDArray[Any],
    penalty: Floats,
    bounded: NDArray[np.bool_],
    start: Floats,
) -> Floats:
    """Return the weights of the smallest penalised log loss.

    Weights that are ``bounded`` are at least 0.
    """

    def loss(weights: Floats, log_odds: Floats) -> float:
        likelihood = np.logaddexp(0, log_odds).sum() - log_odds @ labels
        return float(likelihood + weights @ penalty @ weights / 2)

    weights, log_odds, change = start, design.log_odds(start), np.inf
    now = loss(weights, log_odds)
    for _ in range(_STEPS):
        p = expit(log_odds)
        gradient = design.slope(p - labels) + penalty @ weights
        # An estimate does not become better close to the minimum, so the last one stays.
        if isinstance(design, _Small) or change > _COARSE:
            hessian = design.curvature(p * (1 - p)) + penalty
        step = _bounded_minimum(hessian, gradient - hessian @ weights, bounded) - weights
        # Log-odds are linear in the weights: one product serves every length of the step.
        along = design.log_odds(step)
        change = float(np.abs(along).max())
        if change < _SMALLEST:
            break
        size = 1.0
        # Backtracking with the Armijo condition: a full Newton step may overshoot. Of a small one
        # the loss of many rows tells rounding alone.
        while (
            (later := loss(weights + size * step, log_odds + size * along))
            > now + 1e-4 * size * (gradient @ step)
            and change > _FINE
            and size > 1e-8
        ):
            size /= 2
        weights, log_odds, now = weights + size * step, log_odds + size * along, later
    return weights


def _bounded_minimum(hessian: Floats, linear: Floats, bounded: NDArray[np.bool_]) -> Floats:
    """Return the minimum of ``w'Hw/2 + linear'w`` over weights.

    Those that are ``bounded`` are at least 0.
    """
    free = ~bounded
    result = np.zeros(len(linear))
    # The free weights are put in terms of the bounded ones, which leaves a least-squares problem
    # without negatives.
    solved = solve(
        hessian[np.ix_(free, free)],
        np.column_stack([hessian[np.ix_(free, bounded)], linear[free]]),
        assume_a="pos",
    )
    if bounded.any():
        across = hessian[np.ix_(bounded, free)]
        rest = hessian[np.ix_(bounded, bounded)] - across @ solved[:, :-1]
        root = cholesky(rest)
        target = solve_triangular(root, across @ solved[:, -1] - linear[bounded], trans="T")
        result[bounded] = nnls(root, target)[0]
    result[free] = -solved[:, -1] - solved[:, :-1] @ result[bounded]
    return result
