"""Step 5, evaluate: figures with intervals on the newest cut-off, which training has never read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from churn import evaluation, model
from churn.contract import CATEGORICAL, FEATURES, NUMERIC, TARGET
from churn.project import PROJECT
from sovereign_ml.config.tables import EvaluateSettings, ScoreSettings, TrainSettings
from sovereign_ml.evaluation import metrics, plots, proxies, report
from sovereign_ml.model import scorecard as scorecards
from sovereign_ml.model.explain import Explainer
from sovereign_ml.registry import bundle_files, skops
from sovereign_ml.storage.artifacts import need, read_json, summarise, write_json, writing


def evaluate(
    model_folder: Path,
    features: Path,
    valid: Path,
    output: Path,
    *,
    config: EvaluateSettings,
    score: ScoreSettings,
    train: TrainSettings,
) -> None:
    """Write ``metrics.json`` and pictures: the scorecard beside simple rules and gradient boosting."""
    need(model_folder, "train")
    need(features, "features")
    everything = model.training_set(features)
    newest = everything["event_timestamp"].max()
    test = everything[everything["event_timestamp"] == newest].reset_index(drop=True)
    past = everything[everything["event_timestamp"] < newest]
    y = test[TARGET].to_numpy(dtype=np.int64)
    scorecard = scorecards.read(model_folder / "model.json")
    p = scorecard.probability(model.columns(test))
    boosting = skops.read(model_folder / "benchmark.skops", model.TRUSTED_TYPES)
    c = read_json(model_folder / "summary.json")["c"]
    procedure = report.Procedure(
        fit=lambda rows: model.fit(model.scorecard_estimator(rows, c, train), rows),
        inputs=model.inputs,
        target=TARGET,
        numeric=NUMERIC,
        categorical=CATEGORICAL,
    )
    results: dict[str, Any] = {"test_cutoff": f"{newest:%Y-%m-%d}"}
    results |= report.figures(
        y,
        p,
        baselines={"recency_only": evaluation.recency_only(past, test)},
        benchmark=(
            "HistGradientBoostingClassifier",
            boosting.predict_proba(model.inputs(test))[:, 1],
        ),
        config=config,
        score=score,
    )
    people = evaluation.protected(valid, test["customer_id"], newest.year, config.groups)
    slices, smallest = evaluation.behavioural(test) | people, config.min_group
    results["slices"] = metrics.slices(y, p, slices, smallest)
    results["fairness"] = metrics.fairness(y, p, people, score.action_threshold, smallest)
    results["associations"] = proxies.associations(
        test, p, people, smallest, config.seed, NUMERIC, CATEGORICAL
    )
    results["representativeness"] = evaluation.representativeness(past, features, valid, config)
    contributions = scorecard.contributions(model.columns(test))
    by_feature = dict(zip(scorecard.features, contributions.T, strict=True))
    results["features"] = report.feature_worth(procedure, past, test, by_feature)
    results["membership_auc"] = report.membership(procedure, past, config.seed)
    policy = bundle_files.draft_policy(score, TARGET)
    results["explanations"] = report.explanations(
        Explainer(scorecard, PROJECT.feature_contract(), policy),
        scorecard,
        skops.read(model_folder / "scorecard.skops", model.TRUSTED_TYPES),
        model.inputs(test),
        config.seed,
    )
    results["rolling"] = report.rolling(procedure, everything)
    with writing(output) as folder:
        write_json(folder / "metrics.json", results)
        plots.draw(folder / "plots", results, scorecard, FEATURES)
        auc, brier = results["model"]["roc_auc"], results["model"]["brier"]
        summarise(
            folder,
            rows_in=len(everything),
            rows_out=len(test),
            headline=f"ROC AUC {auc['value']:.3f} ({auc['low']:.3f}-{auc['high']:.3f}), "
            f"Brier {brier['value']:.3f}",
        )
