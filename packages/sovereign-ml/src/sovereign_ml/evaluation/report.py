"""The parts of the evaluation report: figures, what each feature is worth, attacks, explanations, rolling cut-offs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sovereign_ml.config.tables import EvaluateSettings, ScoreSettings
from sovereign_ml.evaluation import metrics
from sovereign_ml.model.explain import Explainer
from sovereign_ml.model.scorecard import Floats, Scorecard

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Procedure", "explanations", "feature_worth", "figures", "membership", "rolling"]

SAMPLE = 200
"""Customers for whom a counterfactual is looked for."""


@dataclass(frozen=True)
class Procedure:
    """How a team trains: ``fit(rows)`` returns a fitted pipeline, ``inputs(rows)`` the columns it takes."""

    fit: Callable[[pd.DataFrame], Any]
    inputs: Callable[[pd.DataFrame], pd.DataFrame]
    target: str
    numeric: Sequence[str]
    categorical: Sequence[str]

    def labels(self, rows: pd.DataFrame) -> metrics.Labels:
        """Return the label of each row, shape (n,)."""
        return rows[self.target].to_numpy(dtype=np.int64)

    def probability(self, fitted: Any, rows: pd.DataFrame) -> Floats:
        """Return the predicted probability of each row, shape (n,)."""
        result: Floats = fitted.predict_proba(self.inputs(rows))[:, 1]
        return result


def figures(
    y: metrics.Labels,
    p: Floats,
    *,
    baselines: Mapping[str, Floats],
    benchmark: tuple[str, Floats],
    config: EvaluateSettings,
    score: ScoreSettings,
) -> dict[str, Any]:
    """Return the headline figures of probabilities ``p`` (n,) on labels ``y`` (n,), with intervals.

    ``baselines`` and ``benchmark`` (name, probabilities) are measured on the same resamples.
    """
    rows = metrics.resamples(y, config.bootstrap, config.seed)
    measure = metrics.all_metrics()
    name, q = benchmark
    compared: dict[str, Any] = {"name": name}
    for metric in ("roc_auc", "brier"):
        draws = np.array([measure[metric](y[r], q[r]) for r in rows])
        compared[metric] = metrics.interval(measure[metric](y, q), draws)
    for metric in ("roc_auc", "brier"):
        compared[f"{metric}_difference"] = metrics.difference(y, p, q, measure[metric], rows)
    # The best constant there is, known only afterwards: the strictest one to beat.
    rate = np.full(len(y), y.mean())
    constant = {k: metrics.rounded(measure[k](y, rate)) for k in ("brier", "log_loss")}
    others = {
        label: {k: metrics.rounded(measure[k](y, values)) for k in ("roc_auc", "brier")}
        for label, values in baselines.items()
    }
    return {
        "customers": len(y),
        "base_rate": metrics.rounded(y.mean()),
        "model": metrics.with_intervals(y, p, rows),
        "baselines": {"constant_rate": constant, **others},
        "benchmark": compared,
        "lift": metrics.lift(y, p, config.contact_budget),
        "at_threshold": metrics.at_threshold(y, p, score.action_threshold),
        "calibration_bins": metrics.bins(y, p),
    }


def feature_worth(
    procedure: Procedure,
    past: pd.DataFrame,
    test: pd.DataFrame,
    contributions: Mapping[str, Floats],
) -> list[dict[str, Any]]:
    """Return what each feature is worth: mean absolute log-odds on ``test``, and the AUC lost without it.

    ``contributions`` are the log-odds of each feature on ``test``, each of shape (n,).
    """
    from sklearn.metrics import roc_auc_score

    y = procedure.labels(test)

    def auc(without: str | None) -> float:
        absent = None if without in procedure.categorical else np.nan
        blank = {} if without is None else {without: absent}
        fitted = procedure.fit(past.assign(**blank))
        return float(roc_auc_score(y, procedure.probability(fitted, test.assign(**blank))))

    whole = auc(None)
    weight = {name: np.abs(values).mean() for name, values in contributions.items()}
    return [
        {
            "name": name,
            "importance": metrics.rounded(weight.get(name, 0.0)),
            "ablation_delta": metrics.rounded(whole - auc(name)),
            "missing_share": metrics.rounded(past[name].isna().mean()),
        }
        for name in (*procedure.numeric, *procedure.categorical)
    ]


def membership(procedure: Procedure, past: pd.DataFrame, seed: int) -> float:
    """Return the ROC AUC of a membership-inference attack (Yeom et al. 2018) on a model of half of the customers."""
    rng = np.random.default_rng(seed)
    ids = past["customer_id"].unique()
    mine = past["customer_id"].isin(ids[rng.random(len(ids)) < 0.5])
    fitted = procedure.fit(past[mine])

    def losses(rows: pd.DataFrame) -> Floats:
        p = fitted.predict_proba(procedure.inputs(rows))
        result: Floats = -np.log(p[np.arange(len(rows)), procedure.labels(rows)])
        return result

    return metrics.membership_auc(losses(past[mine]), losses(past[~mine]))


def rolling(procedure: Procedure, everything: pd.DataFrame) -> list[dict[str, Any]]:
    """Return figures of the procedure, not of the one model: each cut-off predicted from the earlier ones only."""
    measure = metrics.all_metrics()
    rows = []
    for cutoff in sorted(everything["event_timestamp"].unique())[2:]:
        past = everything[everything["event_timestamp"] < cutoff]
        now = everything[everything["event_timestamp"] == cutoff]
        y, p = procedure.labels(now), procedure.probability(procedure.fit(past), now)
        values = {name: metrics.rounded(measure[name](y, p)) for name in ("roc_auc", "brier")}
        share = metrics.rounded(y.mean())
        rows.append(
            {"cutoff": f"{cutoff:%Y-%m-%d}", "customers": len(y), "base_rate": share, **values}
        )
    return rows


def explanations(
    explainer: Explainer, scorecard: Scorecard, fitted: Any, inputs: pd.DataFrame, seed: int
) -> dict[str, Any]:
    """Return the largest gap between the explained model and the fitted pipeline, and the share of people with a
    counterfactual, on a sample of ``inputs``."""
    columns = {str(name): values.to_numpy() for name, values in inputs.items()}
    gap = np.abs(scorecard.probability(columns) - fitted.predict_proba(inputs)[:, 1]).max()
    sample = inputs.sample(min(SAMPLE, len(inputs)), random_state=seed)
    rows = [{str(name): value for name, value in row.items()} for row in sample.to_dict("records")]
    explained = [explainer.explain(row).counterfactual is not None for row in rows]
    return {
        "fidelity": float(f"{gap:.0e}"),
        "counterfactual_coverage": metrics.rounded(np.mean(explained)),
        "counterfactual_sample": len(explained),
    }
