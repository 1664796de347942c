"""Figures of a scored test set: calibration, lift, slices and gaps between groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sovereign_ml.model.scorecard import Floats

if TYPE_CHECKING:
    import pandas as pd

Labels = NDArray[np.int64]


def lift(y: Labels, p: Floats, budget: float) -> dict[str, float]:
    """Return the lift of contacting the ``budget`` share of people with the highest scores.

    It compares with contacting the same number at random.
    """
    # At least one person, because a choice of nobody has no precision.
    n = max(1, round(len(y) * budget))
    # Stable, so that people of one score are chosen alike on every machine.
    top = np.argsort(-p, kind="stable")[:n]
    precision = float(y[top].mean())
    return {
        "budget": budget,
        "contacted": n,
        "lift": rounded(precision / y.mean()),
        "precision": rounded(precision),
        "recall": rounded(y[top].sum() / y.sum()),
    }


def at_threshold(y: Labels, p: Floats, threshold: float) -> dict[str, float]:
    """Return the figures of acting on every score of at least ``threshold``.

    ``agreement`` is the share of people whose outcome fits the act.
    """
    from sklearn.metrics import accuracy_score, precision_score, recall_score

    chosen = (p >= threshold).astype(np.int64)
    return {
        "contacted_share": rounded(chosen.mean()),
        "precision": rounded(precision_score(y, chosen, zero_division=0)),
        "recall": rounded(recall_score(y, chosen, zero_division=0)),
        "agreement": rounded(accuracy_score(y, chosen)),
    }


def bins(y: Labels, p: Floats, count: int = 10) -> list[dict[str, float]]:
    """Return mean score and observed rate in ``count`` groups of equal size, low scores first."""
    parts = np.array_split(np.argsort(p, kind="stable"), count)
    return [
        {"mean_score": rounded(p[i].mean()), "observed": rounded(y[i].mean()), "n": len(i)}
        for i in parts
        if len(i)
    ]


def slices(
    y: Labels, p: Floats, groups: Mapping[str, pd.Series[Any]], smallest: int
) -> list[dict[str, Any]]:
    """Return the figures of each group. Below ``smallest`` people only the count is listed."""
    from sklearn.metrics import brier_score_loss, roc_auc_score

    rows: list[dict[str, Any]] = []
    for name, values in groups.items():
        for value in sorted(values.dropna().unique()):
            mask = (values == value).to_numpy()
            n = int(mask.sum())
            # Without both labels there is no ROC AUC.
            suppressed = n < smallest or len(set(y[mask])) < 2
            row = {"slice": f"{name}={value}", "n": n, "suppressed": suppressed}
            if not suppressed:
                row |= {
                    "roc_auc": rounded(roc_auc_score(y[mask], p[mask])),
                    "brier": rounded(brier_score_loss(y[mask], p[mask])),
                    "base_rate": rounded(y[mask].mean()),
                    "mean_score": rounded(p[mask].mean()),
                }
            rows.append(row)
    return rows


def fairness(
    y: Labels, p: Floats, groups: Mapping[str, pd.Series[Any]], threshold: float, smallest: int
) -> list[dict[str, Any]]:
    """Return the largest gaps between groups, by Fairlearn.

    They are of selection rate, true-positive rate and calibration. Selected means a score of at
    least ``threshold``. Groups under ``smallest`` are left out and counted.
    """
    from fairlearn.metrics import MetricFrame, mean_prediction, selection_rate, true_positive_rate

    rows: list[dict[str, Any]] = []
    for name, values in groups.items():
        sizes = values.value_counts()
        small = sorted(str(g) for g, n in sizes.items() if 0 < n < smallest)
        mask = values.isin([g for g, n in sizes.items() if n >= smallest]).to_numpy()
        if values[mask].nunique() < 2:
            continue
        chosen = {"y_true": y[mask], "sensitive_features": values[mask]}
        gaps = {}
        # In a group without the outcome no share of it can be found. Fairlearn says 0, which would
        # be the widest gap of all.
        has_outcome = mask & values.isin(values[mask & (y == 1)]).to_numpy()
        for metric, function, rows_of in (
            ("selection_rate_difference", selection_rate, mask),
            ("tpr_difference", true_positive_rate, has_outcome),
        ):
            if values[rows_of].nunique() > 1:
                decided = MetricFrame(
                    metrics=function,
                    y_true=y[rows_of],
                    y_pred=(p[rows_of] >= threshold).astype(int),
                    sensitive_features=values[rows_of],
                )
                gaps[metric] = decided.difference()
        scored = MetricFrame(
            metrics={"gap": lambda t, s: abs(mean_prediction(t, s) - t.mean())},
            y_pred=p[mask],
            **chosen,
        )
        gaps["calibration_gap"] = scored.by_group["gap"].max()
        for metric, value in gaps.items():
            rows.append(
                {
                    "group": name,
                    "metric": metric,
                    "value": rounded(value),
                    "n_smallest": int(sizes[sizes >= smallest].min()),
                    "groups_suppressed": small,
                }
            )
    return rows


def membership_auc(in_losses: Floats, out_losses: Floats) -> float:
    """Return the ROC AUC of a loss threshold that guesses membership (Yeom et al. 2018)."""
    from sklearn.metrics import roc_auc_score

    member = np.r_[np.ones(len(in_losses)), np.zeros(len(out_losses))]
    return rounded(roc_auc_score(member, -np.r_[in_losses, out_losses]))


def rounded(value: Any) -> float:
    """Return the figure with six decimals."""
    # More digits than any interval here supports, and the same bytes on every run. Adding 0.0 turns
    # -0.0 into 0.0.
    return round(float(value), 6) + 0.0
