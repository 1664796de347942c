"""Intervals by percentile bootstrap (Efron 1979), in numpy on scores that are sorted once.

Measuring the rows of a resample gives the same figures as weighting each row by how often it was
drawn. Sorting, logarithms and squares are therefore paid once, not once for each resample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from sovereign_ml.evaluation.metrics import Labels, rounded
from sovereign_ml.model.scorecard import Floats

Metric = Callable[[Labels, Floats], float]


def all_metrics() -> dict[str, Metric]:
    """Return the metrics of the report by name, for labels and probabilities of shape (n,)."""
    from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

    return {
        "roc_auc": roc_auc_score,
        "pr_auc": average_precision_score,
        "brier": brier_score_loss,
        "log_loss": lambda y, p: float(log_loss(y, p, labels=[0, 1])),
        "calibration_slope": lambda y, p: recalibration(y, log_odds(p))[0],
        "calibration_intercept": lambda y, p: recalibration(y, log_odds(p))[1],
    }


def log_odds(p: Floats) -> Floats:
    """Return the log-odds of probabilities ``p`` (n,), finite for 0 and 1 too."""
    odds: Floats = np.log(np.clip(p, 1e-9, 1 - 1e-9) / np.clip(1 - p, 1e-9, 1 - 1e-9))
    return odds


def recalibration(y: Labels, x: Floats, weights: Labels | int = 1) -> tuple[float, float]:
    """Return slope and intercept of a logistic regression of the label on the log-odds ``x`` (n,).

    1 and 0 are perfect (Cox 1958). ``weights`` says how often each row counts.
    """
    from scipy.special import expit

    slope, intercept = 1.0, 0.0
    for _ in range(25):  # Newton: two parameters, a concave likelihood
        fitted = expit(slope * x + intercept)
        rest = weights * (y - fitted)
        curvature = weights * fitted * (1 - fitted)
        tilt = curvature @ x
        # The tiny addition keeps the matrix invertible where all scores are alike.
        hessian = [[(curvature * x) @ x + 1e-9, tilt], [tilt, curvature.sum() + 1e-9]]
        step = np.linalg.solve(hessian, [rest @ x, rest.sum()])
        slope, intercept = slope + step[0], intercept + step[1]
        if np.abs(step).max() < 1e-10:
            break
    return float(slope), float(intercept)


def resamples(y: Labels, count: int, seed: int) -> Iterator[Labels]:
    """Yield ``count`` resamples: how often each row of ``y`` (n,) was drawn.

    One that has a single class is drawn again, as no metric exists for it.
    """
    rng = np.random.default_rng(seed)
    while count:
        weights = np.bincount(rng.integers(0, len(y), len(y)), minlength=len(y))
        if 0 < weights @ y < len(y):
            count -= 1
            yield weights


class Ranked:
    """Labels and probabilities (n,), prepared to be measured under many weights."""

    def __init__(self, y: Labels, p: Floats) -> None:
        self._order = np.argsort(-p, kind="stable")
        self._y, p = y[self._order], p[self._order]
        # People with the same score are told apart by no threshold: only the last of them counts.
        self._last = np.r_[np.flatnonzero(np.diff(p)), len(p) - 1]
        self._squares = (self._y - p) ** 2
        tiny = np.finfo(p.dtype).eps  # as scikit-learn limits a certain score
        likely = np.clip(p, tiny, 1 - tiny)
        self._losses = -np.log(np.where(self._y == 1, likely, 1 - likely))
        self._log_odds = log_odds(p)

    def figures(self, weights: Labels) -> dict[str, float]:
        """Return areas and losses with each row counted ``weights`` (n,) times."""
        weights = weights[self._order]
        hits, chosen = self._counts(weights)
        # Scores above the highest one that was drawn have nobody in them, and gain nothing.
        precision = np.divide(hits, chosen, out=np.zeros(len(hits)), where=chosen > 0)
        return {
            "roc_auc": _area(hits, chosen - hits),
            "pr_auc": float(_steps(hits) @ precision / hits[-1]),
            "brier": float(weights @ self._squares / chosen[-1]),
            "log_loss": float(weights @ self._losses / chosen[-1]),
        }

    def roc_auc(self, weights: Labels) -> float:
        """Return the area under the ROC curve alone, with each row counted ``weights`` (n,) times."""
        hits, chosen = self._counts(weights[self._order])
        return _area(hits, chosen - hits)

    def _counts(self, weights: Labels) -> tuple[Labels, Labels]:
        """Return the positives and the rows at each score and above, for sorted ``weights``."""
        return np.cumsum(weights * self._y)[self._last], np.cumsum(weights)[self._last]

    def calibration(self, weights: Labels) -> dict[str, float]:
        """Return slope and intercept with each row counted ``weights`` (n,) times."""
        slope, intercept = recalibration(self._y, self._log_odds, weights[self._order])
        return {"calibration_slope": slope, "calibration_intercept": intercept}


def _steps(counts: Labels) -> Labels:
    """Return what each of the running ``counts`` (n,) adds."""
    steps = counts.copy()
    steps[1:] -= counts[:-1]
    return steps


def _area(hits: Labels, misses: Labels) -> float:
    """Return the area under the ROC curve with these running counts (n,)."""
    twice_the_trapezoids = _steps(misses) @ (2 * hits - _steps(hits))
    return float(twice_the_trapezoids / (2 * hits[-1] * misses[-1]))


def drawn(measured: Sequence[dict[str, float]]) -> dict[str, Floats]:
    """Return the figures of all resamples by name, each of shape (resamples,)."""
    return {name: np.array([figures[name] for figures in measured]) for name in measured[0]}


def intervals(
    y: Labels, measure: Callable[[Labels], dict[str, float]], count: int, seed: int
) -> dict[str, dict[str, float]]:
    """Return the figures of ``measure``, which takes the weight of each row, with intervals.

    The intervals are over ``count`` resamples.
    """
    draws = drawn([measure(weights) for weights in resamples(y, count, seed)])
    once = measure(np.ones(len(y), dtype=np.int64))
    return {name: interval(once[name], draws[name]) for name in once}


def interval(value: float, draws: Floats) -> dict[str, float]:
    """Return a figure with its 95 % percentile interval."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return {"value": rounded(value), "low": rounded(low), "high": rounded(high)}
