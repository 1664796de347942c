"""Step 5, evaluate: figures with intervals on the newest cut-off, which training has never read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from churn import groups, metrics, model, plots
from churn.artifacts import need, read_json, summarise, write_json, writing
from churn.contract import TARGET
from churn.settings import Settings
from churn.tools import skops
from sovereign import scorecard
from sovereign.scorecard import Floats

if TYPE_CHECKING:
    import pandas as pd


def evaluate(model_folder: Path, features: Path, valid: Path, output: Path, *, settings: Settings) -> None:
    """Write ``metrics.json`` and pictures: the scorecard against the constant rate, recency alone and boosting."""
    import pandas as pd

    need(model_folder, "train")
    need(features, "features")
    everything = pd.read_parquet(features / "training.parquet")
    newest = everything["event_timestamp"].max()
    test = everything[everything["event_timestamp"] == newest].reset_index(drop=True)
    past = everything[everything["event_timestamp"] < newest]
    card = scorecard.read(model_folder / "model.json")
    p = card.probability(columns(test))
    boosted = skops.read(model_folder / "benchmark.skops").predict_proba(model.inputs(test))[:, 1]
    people = groups.protected(valid, test["customer_id"], newest.year, settings.evaluate.groups)
    found = _figures(test, past, p, boosted, settings)
    found |= _by_group(test, p, people, settings)
    c = read_json(model_folder / "summary.json")["c"]
    found["rolling"] = _rolling(everything, c, settings)
    with writing(output) as folder:
        write_json(folder / "metrics.json", found)
        plots.draw(folder / "plots", found, card)
        auc, brier = found["model"]["roc_auc"], found["model"]["brier"]
        summarise(
            folder,
            rows_in=len(everything),
            rows_out=len(test),
            headline=f"ROC AUC {auc['value']:.3f} ({auc['low']:.3f}-{auc['high']:.3f}), Brier {brier['value']:.3f}",
        )


def columns(frame: pd.DataFrame) -> dict[str, Any]:
    """The scorecard's view of a table: raw values by feature, absent categories as None."""
    table = model.inputs(frame)
    return {name: table[name].to_numpy() for name in table.columns}


def _figures(
    test: pd.DataFrame, past: pd.DataFrame, p: Floats, boosted: Floats, settings: Settings
) -> dict[str, Any]:
    y = test[TARGET].to_numpy(dtype=np.int64)
    rows = metrics.resamples(y, settings.evaluate.bootstrap, settings.evaluate.seed)
    measure = metrics.all_metrics()
    rate = np.full(len(y), past[TARGET].mean())
    recency = _recency_only(past, test)
    benchmark = {name: metrics.interval(measure[name](y, boosted), np.array([measure[name](y[r], boosted[r]) for r in rows]))
                 for name in ("roc_auc", "brier")}
    gaps = {f"{name}_difference": metrics.difference(y, p, boosted, measure[name], rows) for name in ("roc_auc", "brier")}
    return {
        "test_cutoff": f"{test['event_timestamp'].iloc[0]:%Y-%m-%d}",
        "customers": len(y),
        "base_rate": metrics.rounded(y.mean()),
        "model": metrics.with_intervals(y, p, rows),
        "baselines": {
            "constant_rate": {k: metrics.rounded(measure[k](y, rate)) for k in ("brier", "log_loss")},
            "recency_only": {k: metrics.rounded(measure[k](y, recency)) for k in ("roc_auc", "brier")},
        },
        "benchmark": {"name": "HistGradientBoostingClassifier", **benchmark, **gaps},
        "lift": metrics.lift(y, p, settings.evaluate.contact_budget),
        "calibration_bins": metrics.bins(y, p),
    }


def _recency_only(past: pd.DataFrame, test: pd.DataFrame) -> Floats:
    """What a rule of thumb gives: a logistic regression on the days since the last purchase alone."""
    from sklearn.linear_model import LogisticRegression

    def column(frame: pd.DataFrame) -> Floats:
        result: Floats = np.arcsinh(frame[["recency_days"]].to_numpy())
        return result

    fitted = LogisticRegression(solver="newton-cholesky").fit(column(past), past[TARGET])
    result: Floats = fitted.predict_proba(column(test))[:, 1]
    return result


def _by_group(
    test: pd.DataFrame, p: Floats, people: dict[str, pd.Series[Any]], settings: Settings
) -> dict[str, Any]:
    y, smallest = test[TARGET].to_numpy(dtype=np.int64), settings.evaluate.min_group
    return {
        "slices": metrics.slices(y, p, groups.behavioural(test) | people, smallest),
        "fairness": metrics.fairness(y, p, people, settings.score.action_threshold, smallest),
    }


def _rolling(everything: pd.DataFrame, c: float, settings: Settings) -> list[dict[str, Any]]:
    """The procedure, not the one model: each cut-off predicted by a model fitted on the cut-offs before it."""
    measure = metrics.all_metrics()
    rows = []
    for cut in sorted(everything["event_timestamp"].unique())[2:]:
        past, now = everything[everything["event_timestamp"] < cut], everything[everything["event_timestamp"] == cut]
        fitted = model.fit(model.scorecard_estimator(past, c, settings.train), past)
        y, p = now[TARGET].to_numpy(dtype=np.int64), fitted.predict_proba(model.inputs(now))[:, 1]
        figures = {name: metrics.rounded(measure[name](y, p)) for name in ("roc_auc", "brier")}
        rows.append({"cutoff": f"{cut:%Y-%m-%d}", "customers": len(y), "base_rate": metrics.rounded(y.mean()), **figures})
    return rows
