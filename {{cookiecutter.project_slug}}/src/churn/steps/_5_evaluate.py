"""Step 5, evaluate: figures with intervals on the newest cut-off, which training has never read."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from sovereign_ml.config import tables
from sovereign_ml.estimators.additive import blocks
from sovereign_ml.evaluation import plots, report
from sovereign_ml.features.history import current_rows, with_all_features
from sovereign_ml.registry import skops
from sovereign_ml.registry.bundle_files import draft_policy
from sovereign_ml.storage.artifacts import read_json, summarise, write_json, writing

from churn import evaluation, model
from churn import features as sql
from churn.contract import CATEGORICAL, FEATURES, NUMERIC, TARGET
from churn.project import PROJECT
from churn.scorecard import benchmark_name, chosen


def evaluate(
    model_folder: Path,
    features: Path,
    valid: Path,
    output: Path,
    *,
    config: tables.EvaluateSettings,
    score: tables.ScoreSettings,
    train: tables.TrainSettings,
    windows: tables.FeatureSettings,
    label: tables.LabelSettings,
) -> None:
    """Write ``metrics.json`` and pictures: the model beside simple rules and boosting."""
    everything = model.training_set(features)
    # Features that are left out are computed for these figures only, and stored nowhere.
    whole = partial(with_all_features, sql, valid, windows, label.kind)
    candidates, now = whole(everything), whole(current_rows(features))
    past, test = report.split(everything)
    older, newer = report.split(candidates)
    inputs = model.names(everything)
    newest = test["event_timestamp"].max()
    fitted = chosen(train).from_bundle(model_folder)
    other_kind = skops.read(model_folder / "benchmark.skops", model.TRUSTED_TYPES)
    c = read_json(model_folder / "summary.json")["c"]
    procedure = _procedure(c, train, inputs)
    p = fitted.shipped.probability(model.columns(test))
    results: dict[str, Any] = {"test_cutoff": f"{newest:%Y-%m-%d}"}
    results |= report.figures(
        procedure.labels(test),
        p,
        baselines={"recency_only": evaluation.recency_only(older, newer)},
        benchmark=(benchmark_name(train), other_kind.predict_proba(model.inputs(test))[:, 1]),
        config=config,
        score=score,
    )
    # The same model under the other setting: what the expected directions cost.
    other = _procedure(c, train.model_copy(update={"monotone": not train.monotone}), inputs)
    q = other.probability(other.fit(past), test)
    held, free = (p, q) if train.monotone else (q, p)
    results["constraints"] = report.constraints(procedure.labels(test), held, free, config)
    slices = evaluation.behavioural(newer)
    groups = evaluation.protected(valid, test["customer_id"], newest.year, config.groups)
    results |= report.groups(
        procedure, test, p, slices=slices, people=groups, config=config, score=score
    )
    results["representativeness"] = evaluation.representativeness(older, now, inputs, valid, config)
    fits = report.LeaveOut(procedure, past, test, fitted)
    results["features"] = report.feature_worth(fits)
    results["elimination"] = report.elimination(fits, config)
    results["left_out"] = report.left_out(procedure, everything, candidates, config)
    results["membership_auc"] = report.membership(procedure, past, config.seed)
    results["explanations"] = report.explanations(
        fitted,
        test,
        procedure=procedure,
        contract=PROJECT.with_inputs(windows.inputs).feature_contract(),
        policy=draft_policy(score, TARGET),
        seed=config.seed,
    )
    results["rolling"] = report.rolling(procedure, everything)
    with writing(output) as folder:
        write_json(folder / "metrics.json", results)
        plots.draw(folder / "plots", results, fitted.shipped, FEATURES)
        auc, brier = results["model"]["roc_auc"], results["model"]["brier"]
        summarise(
            folder,
            rows_in=len(everything),
            rows_out=len(test),
            headline=f"ROC AUC {auc['value']:.3f} ({auc['low']:.3f}-{auc['high']:.3f}), "
            f"Brier {brier['value']:.3f}{report.left_out_in_words(results['left_out'])}",
        )


def _procedure(c: float, train: tables.TrainSettings, inputs: list[str]) -> report.Procedure:
    """Return how step 4 trained its model: some figures need it trained again, on other rows."""
    return report.Procedure(
        fit=lambda rows: chosen(train).fit(rows, c, train),
        inputs=model.inputs,
        target=TARGET,
        numeric=[name for name in NUMERIC if name in inputs],
        categorical=[name for name in CATEGORICAL if name in inputs],
        blocks=blocks,
    )
