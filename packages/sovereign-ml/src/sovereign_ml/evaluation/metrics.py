"""Figures of a scored test set: calibration, lift, slices and group gaps. Intervals are in bootstrap.py."""

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
    """What contacting the ``budget`` share with the highest scores reaches, against contacting at random."""
    n = max(1, round(len(y) * budget))
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
    """What acting on every score of at least ``threshold`` does. ``agreement``: people for whom it came true."""
    from sklearn.metrics import accuracy_score, precision_score, recall_score

    chosen = (p >= threshold).astype(np.int64)
    return {
        "contacted_share": rounded(chosen.mean()),
        "precision": rounded(precision_score(y, chosen, zero_division=0)),
        "recall": rounded(recall_score(y, chosen, zero_division=0)),
        "agreement": rounded(accuracy_score(y, chosen)),
    }


def bins(y: Labels, p: Floats, count: int = 10) -> list[dict[str, float]]:
    """Mean score against observed rate in ``count`` groups of equal size, lowest scores first."""
    parts = np.array_split(np.argsort(p, kind="stable"), count)
    return [
        {"mean_score": rounded(p[i].mean()), "observed": rounded(y[i].mean()), "n": len(i)}
        for i in parts
        if len(i)
    ]


def slices(
    y: Labels, p: Floats, groups: Mapping[str, pd.Series[Any]], smallest: int
) -> list[dict[str, Any]]:
    """Figures of each group of at least ``smallest`` people; smaller ones are named with their count only."""
    from sklearn.metrics import brier_score_loss, roc_auc_score

    found: list[dict[str, Any]] = []
    for name, values in groups.items():
        for value in sorted(values.dropna().unique()):
            mask = (values == value).to_numpy()
            n, entry = (
                int(mask.sum()),
                {"slice": f"{name}={value}", "n": int(mask.sum()), "suppressed": False},
            )
            if n < smallest or len(set(y[mask])) < 2:
                found.append({**entry, "suppressed": True})
                continue
            figures = {"roc_auc": roc_auc_score, "brier": brier_score_loss}
            entry |= {k: rounded(metric(y[mask], p[mask])) for k, metric in figures.items()}
            found.append(
                {
                    **entry,
                    "base_rate": rounded(y[mask].mean()),
                    "mean_score": rounded(p[mask].mean()),
                }
            )
    return found


def fairness(
    y: Labels, p: Floats, groups: Mapping[str, pd.Series[Any]], threshold: float, smallest: int
) -> list[dict[str, Any]]:
    """Largest gap between groups in selection rate, true-positive rate and calibration, by Fairlearn.

    Selected means a score of at least ``threshold``. Groups under ``smallest`` are left out and counted.
    """
    from fairlearn.metrics import MetricFrame, mean_prediction, selection_rate, true_positive_rate

    found: list[dict[str, Any]] = []
    for name, values in groups.items():
        sizes = values.value_counts()
        small = sorted(str(g) for g, n in sizes.items() if n < smallest)
        mask = values.isin([g for g, n in sizes.items() if n >= smallest]).to_numpy()
        if values[mask].nunique() < 2:
            continue
        chosen = {"y_true": y[mask], "sensitive_features": values[mask]}
        decided = MetricFrame(
            metrics={"selection_rate": selection_rate, "tpr": true_positive_rate},
            y_pred=(p[mask] >= threshold).astype(int),
            **chosen,
        )
        scored = MetricFrame(
            metrics={"gap": lambda t, s: abs(mean_prediction(t, s) - t.mean())},
            y_pred=p[mask],
            **chosen,
        )
        gaps = {f"{k}_difference": v for k, v in decided.difference().items()}
        gaps["calibration_gap"] = scored.by_group["gap"].max()
        for metric, value in gaps.items():
            found.append(
                {
                    "group": name,
                    "metric": metric,
                    "value": rounded(value),
                    "n_smallest": int(sizes[sizes >= smallest].min()),
                    "groups_suppressed": small,
                }
            )
    return found


def membership_auc(in_losses: Floats, out_losses: Floats) -> float:
    """How well a loss threshold tells training customers from others (Yeom et al. 2018): ROC AUC, 0.5 is a guess."""
    from sklearn.metrics import roc_auc_score

    member = np.r_[np.ones(len(in_losses)), np.zeros(len(out_losses))]
    return rounded(roc_auc_score(member, -np.r_[in_losses, out_losses]))


def rounded(value: Any) -> float:
    """Six decimals: more than any interval here supports, and the same bytes on every run."""
    return round(float(value), 6) + 0.0
