"""Step 4, train: the model and its benchmark, on every cut-off but the last."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from sklearn.metrics import log_loss
from sovereign_ml.config.connections import Tracking
from sovereign_ml.config.tables import FeatureSettings, TrainSettings
from sovereign_ml.errors import Refused
from sovereign_ml.evaluation import report
from sovereign_ml.pipeline.lineage import Lineage
from sovereign_ml.registry import skops
from sovereign_ml.registry.mlflow import log_pipeline, training_run
from sovereign_ml.storage.artifacts import summarise, write_json, writing

from churn.contract import TARGET
from churn.model import TRUSTED_TYPES, fit, inputs, training_set
from churn.scorecard import benchmark, chosen


def train(
    features: Path,
    output: Path,
    *,
    config: TrainSettings,
    windows: FeatureSettings,
    tracking: Tracking,
    lineage: Lineage,
) -> None:
    """Write the fitted model as it is shipped, both pipelines as skops, and the search for ``C``.

    Only the older cut-offs are read here, because the newest is the test set of step 5. Raises
    Refused for fewer customers than ``[train] min_customers``, and where what is shipped
    says anything else than what was fitted.
    """
    everything = training_set(features)
    frame, _ = report.split(everything)
    customers = frame["customer_id"].nunique()
    if customers < config.min_customers:
        raise Refused(
            f"{customers:,} customers to train on; [train] min_customers asks for "
            f"{config.min_customers:,}. Give more data, or lower the floor if you accept wide "
            "intervals."
        )
    search = regularisation_search(frame, config)
    best = min(search, key=lambda row: (row["log_loss"], row["c"]))["c"]  # of equals, the smoother
    fitted = chosen(config).fit(frame, best, config)
    with writing(output) as folder:
        fitted.to_bundle(folder, frame)
        skops.write(fit(benchmark(frame, best, config), frame), folder / "benchmark.skops")
        write_json(folder / "search.json", search)
        tags = lineage.tags(features)
        with training_run(tracking, tags) as run_id:
            params = {"c": best, **config.model_dump(), **windows.model_dump()}
            mlflow.log_params({name: str(value) for name, value in params.items()})
            for row in search:
                mlflow.log_metric(f"search_log_loss_c_{row['c']:g}", row["log_loss"])
            mlflow.log_artifacts(str(folder))
            log_pipeline(fitted.pipeline, inputs(frame.head(1)), TRUSTED_TYPES)
        write_json(folder / "run.json", {"run_id": run_id, **tags})
        summarise(
            folder,
            rows_in=len(everything),
            rows_out=len(frame),
            headline=f"{len(fitted.shipped.features)} features, C = {best:g}, "
            f"{customers:,} customers",
            customers=customers,
            c=best,
            algorithm=fitted.algorithm,
        )


def search_on(features: Path, config: TrainSettings) -> list[dict[str, float]]:
    """Run the search alone on the artifact ``features``, for a search that runs elsewhere."""
    return regularisation_search(report.split(training_set(features))[0], config)


def regularisation_search(frame: pd.DataFrame, config: TrainSettings) -> list[dict[str, float]]:
    """Return the mean log loss of each C on time-ordered folds: fitted on earlier cut-offs only."""
    cutoffs = sorted(frame["event_timestamp"].unique())
    losses: dict[float, list[float]] = {c: [] for c in config.regularisation}
    for cutoff in cutoffs[max(1, len(cutoffs) - config.folds) :]:  # the first has no past
        past = frame[frame["event_timestamp"] < cutoff]
        now = frame[frame["event_timestamp"] == cutoff]
        tries = chosen(config).held_out(past, now, config.regularisation, config)
        for c, probability in zip(config.regularisation, tries, strict=True):
            losses[c].append(log_loss(now[TARGET], probability, labels=[0, 1]))
    return [{"c": c, "log_loss": round(float(np.mean(losses[c])), 9)} for c in losses]
