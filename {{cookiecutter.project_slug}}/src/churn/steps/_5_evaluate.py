"""Step 5, evaluate: figures with intervals on the newest cut-off, which training has never read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from churn import evaluation, model
from churn.contract import CATEGORICAL, NUMERIC, TARGET
from sovereign_ml.config.settings import Settings
from sovereign_ml.evaluation import drift, metrics, plots, proxies
from sovereign_ml.model import scorecard
from sovereign_ml.model.explain import Explainer
from sovereign_ml.model.scorecard import Floats, Scorecard
from sovereign_ml.registry import bundle_files, skops
from sovereign_ml.storage.artifacts import need, read_json, summarise, write_json, writing

if TYPE_CHECKING:
    import pandas as pd

SAMPLE = 200
"""Customers for whom a counterfactual is looked for."""


def evaluate(
    model_folder: Path, features: Path, valid: Path, output: Path, *, settings: Settings
) -> None:
    """Write ``metrics.json`` and pictures: the scorecard against the constant rate, recency alone and boosting."""
    need(model_folder, "train")
    need(features, "features")
    everything = model.training_set(features)
    newest = everything["event_timestamp"].max()
    test = everything[everything["event_timestamp"] == newest].reset_index(drop=True)
    past = everything[everything["event_timestamp"] < newest]
    card = scorecard.read(model_folder / "model.json")
    p = card.probability(model.columns(test))
    boosted = skops.read(model_folder / "benchmark.skops").predict_proba(model.inputs(test))[:, 1]
    people = evaluation.protected(valid, test["customer_id"], newest.year, settings.evaluate.groups)
    found = _figures(test, past, p, boosted, settings)
    found |= _by_group(test, p, people, settings)
    found["representativeness"] = _representativeness(past, features, valid, settings)
    c = read_json(model_folder / "summary.json")["c"]
    found["features"] = _features(past, test, card, c, settings)
    found["membership_auc"] = _membership(past, c, settings)
    found["explanations"] = _explanations(model_folder, card, test, settings)
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


def _figures(
    test: pd.DataFrame, past: pd.DataFrame, p: Floats, boosted: Floats, settings: Settings
) -> dict[str, Any]:
    y = test[TARGET].to_numpy(dtype=np.int64)
    rows = metrics.resamples(y, settings.evaluate.bootstrap, settings.evaluate.seed)
    measure = metrics.all_metrics()
    rate = np.full(
        len(y), y.mean()
    )  # the best constant there is, known only afterwards: the strictest one to beat
    recency = _recency_only(past, test)
    benchmark = {
        name: metrics.interval(
            measure[name](y, boosted), np.array([measure[name](y[r], boosted[r]) for r in rows])
        )
        for name in ("roc_auc", "brier")
    }
    gaps = {
        f"{name}_difference": metrics.difference(y, p, boosted, measure[name], rows)
        for name in ("roc_auc", "brier")
    }
    return {
        "test_cutoff": f"{test['event_timestamp'].iloc[0]:%Y-%m-%d}",
        "customers": len(y),
        "base_rate": metrics.rounded(y.mean()),
        "model": metrics.with_intervals(y, p, rows),
        "baselines": {
            "constant_rate": {
                k: metrics.rounded(measure[k](y, rate)) for k in ("brier", "log_loss")
            },
            "recency_only": {
                k: metrics.rounded(measure[k](y, recency)) for k in ("roc_auc", "brier")
            },
        },
        "benchmark": {"name": "HistGradientBoostingClassifier", **benchmark, **gaps},
        "lift": metrics.lift(y, p, settings.evaluate.contact_budget),
        "at_threshold": metrics.at_threshold(y, p, settings.score.action_threshold),
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
        "slices": metrics.slices(y, p, evaluation.behavioural(test) | people, smallest),
        "fairness": metrics.fairness(y, p, people, settings.score.action_threshold, smallest),
        "associations": proxies.associations(test, p, people, smallest, settings.evaluate.seed),
    }


def _representativeness(
    past: pd.DataFrame, features: Path, valid: Path, settings: Settings
) -> dict[str, Any]:
    """The rows that the model learned from against the people it scores now."""
    import pandas as pd

    config, every = settings.evaluate, pd.read_parquet(features / "snapshots.parquet")
    now = every[
        every["event_timestamp"] == pd.Timestamp(read_json(features / "summary.json")["current"])
    ]
    year = now["event_timestamp"].max().year

    def grouped(frame: pd.DataFrame) -> dict[str, pd.Series[Any]]:
        return evaluation.behavioural(frame) | evaluation.protected(
            valid, frame["customer_id"], year, config.groups
        )

    learned, scored = grouped(past), grouped(now)
    both = {name: (learned[name], scored[name]) for name in learned.keys() & scored.keys()}
    return drift.compare(past, now, dict(sorted(both.items())), config.min_group)


def _rolling(everything: pd.DataFrame, c: float, settings: Settings) -> list[dict[str, Any]]:
    """The procedure, not the one model: each cut-off predicted by a model fitted on the cut-offs before it."""
    measure = metrics.all_metrics()
    rows = []
    for cut in sorted(everything["event_timestamp"].unique())[2:]:
        past, now = (
            everything[everything["event_timestamp"] < cut],
            everything[everything["event_timestamp"] == cut],
        )
        fitted = model.fit(model.scorecard_estimator(past, c, settings.train), past)
        y, p = now[TARGET].to_numpy(dtype=np.int64), fitted.predict_proba(model.inputs(now))[:, 1]
        figures = {name: metrics.rounded(measure[name](y, p)) for name in ("roc_auc", "brier")}
        rows.append(
            {
                "cutoff": f"{cut:%Y-%m-%d}",
                "customers": len(y),
                "base_rate": metrics.rounded(y.mean()),
                **figures,
            }
        )
    return rows


def _features(
    past: pd.DataFrame, test: pd.DataFrame, card: Scorecard, c: float, settings: Settings
) -> list[dict[str, Any]]:
    """What each feature is worth: mean absolute log-odds on the test set, and the AUC that is lost without it."""
    from sklearn.metrics import roc_auc_score

    y = test[TARGET].to_numpy()

    def auc(without: str | None) -> float:
        blank = {} if without is None else {without: None if without in CATEGORICAL else np.nan}
        fitted = model.fit(
            model.scorecard_estimator(past.assign(**blank), c, settings.train), past.assign(**blank)
        )
        return float(
            roc_auc_score(y, fitted.predict_proba(model.inputs(test.assign(**blank)))[:, 1])
        )

    whole = auc(None)
    weight = dict(
        zip(
            card.features, np.abs(card.contributions(model.columns(test))).mean(axis=0), strict=True
        )
    )
    return [
        {
            "name": name,
            "importance": metrics.rounded(weight.get(name, 0.0)),
            "ablation_delta": metrics.rounded(whole - auc(name)),
            "missing_share": metrics.rounded(past[name].isna().mean()),
        }
        for name in (*NUMERIC, *CATEGORICAL)
    ]


def _membership(past: pd.DataFrame, c: float, settings: Settings) -> float:
    """A membership-inference attack on a model of half of the customers: can it be told whose rows were used?"""
    rng = np.random.default_rng(settings.evaluate.seed)
    ids = past["customer_id"].unique()
    mine = past["customer_id"].isin(ids[rng.random(len(ids)) < 0.5])
    fitted = model.fit(model.scorecard_estimator(past[mine], c, settings.train), past[mine])

    def losses(frame: pd.DataFrame) -> Floats:
        p = fitted.predict_proba(model.inputs(frame))
        result: Floats = -np.log(p[np.arange(len(frame)), frame[TARGET].to_numpy()])
        return result

    return metrics.membership_auc(losses(past[mine]), losses(past[~mine]))


def _explanations(
    folder: Path, card: Scorecard, test: pd.DataFrame, settings: Settings
) -> dict[str, Any]:
    """Largest gap between the explained model and the fitted pipeline; share of people with a counterfactual."""
    fitted = skops.read(folder / "scorecard.skops").predict_proba(model.inputs(test))[:, 1]
    policy = bundle_files.policy(
        settings, significant_effect=False, human_review=False, reviewer_contact=""
    )
    explainer = Explainer(card, bundle_files.contract(), policy)
    sample = model.inputs(test.sample(min(SAMPLE, len(test)), random_state=settings.evaluate.seed))
    rows = [{str(name): value for name, value in row.items()} for row in sample.to_dict("records")]
    found = [explainer.explain(row).counterfactual is not None for row in rows]
    return {
        "fidelity": float(f"{np.abs(card.probability(model.columns(test)) - fitted).max():.0e}"),
        "counterfactual_coverage": metrics.rounded(np.mean(found)),
        "counterfactual_sample": len(found),
    }
