"""Step 4, train: the scorecard and its benchmark, on every cut-off but the last."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from churn import model
from churn.contract import TARGET
from sovereign_ml.config.settings import Settings
from sovereign_ml.config.tables import Train
from sovereign_ml.errors import Refused
from sovereign_ml.registry import mlflow, skops
from sovereign_ml.storage import dvc, lineage
from sovereign_ml.storage.artifacts import need, summarise, write_json, writing

if TYPE_CHECKING:
    import pandas as pd


def train(features: Path, output: Path, *, settings: Settings) -> None:
    """Fit on the older cut-offs and write ``model.json``, both pipelines in skops format and the search's figures.

    The newest cut-off is never read here: it is the test set of the next step. Raises Refused for too few customers.
    """
    need(features, "features")
    everything = model.training_set(features)
    frame = _older(everything)
    people = frame["customer_id"].nunique()
    if people < settings.train.min_customers:
        raise Refused(
            f"{people:,} customers to train on; [train] min_customers asks for {settings.train.min_customers:,}. "
            "Give more data, or lower the floor if you accept wide intervals."
        )
    search = regularisation_search(frame, settings.train)
    best = min(search, key=lambda row: (row["log_loss"], row["c"]))["c"]
    fitted = model.fit(model.scorecard_estimator(frame, best, settings.train), frame)
    boosting = model.fit(model.benchmark_estimator(settings.train), frame)
    card = model.to_scorecard(fitted, frame)
    with writing(output) as folder:
        (folder / "model.json").write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
        skops.write(fitted, folder / "scorecard.skops")
        skops.write(boosting, folder / "benchmark.skops")
        write_json(folder / "search.json", search)
        run = _run(features, folder, settings, best, search)
        run_id = mlflow.log_run(settings, run, fitted, model.inputs(frame.head(1)))
        write_json(folder / "run.json", {"run_id": run_id, **run.tags})
        summarise(
            folder,
            rows_in=len(everything),
            rows_out=len(frame),
            headline=f"{len(card.features)} features, C = {best:g}, {people:,} customers",
            customers=people,
            c=best,
        )


def _older(everything: pd.DataFrame) -> pd.DataFrame:
    """All cut-offs but the newest, which is the test set."""
    older: pd.DataFrame = everything[
        everything["event_timestamp"] < everything["event_timestamp"].max()
    ]
    return older


def search_on(features: Path, config: Train) -> list[dict[str, float]]:
    """The search alone, on the artifact ``features``: for searches that run elsewhere, one value of C at a time."""
    import pandas as pd

    return regularisation_search(_older(pd.read_parquet(features / "training.parquet")), config)


def regularisation_search(frame: pd.DataFrame, config: Train) -> list[dict[str, float]]:
    """Mean log loss of each C on time-ordered folds: train on the earlier cut-offs, test on the next one."""
    from sklearn.metrics import log_loss

    cuts = sorted(frame["event_timestamp"].unique())
    folds = cuts[max(1, len(cuts) - config.folds) :]
    rows = []
    for c in config.regularisation:
        losses = []
        for cut in folds:
            past, now = (
                frame[frame["event_timestamp"] < cut],
                frame[frame["event_timestamp"] == cut],
            )
            fitted = model.fit(model.scorecard_estimator(past, c, config), past)
            losses.append(
                log_loss(now[TARGET], fitted.predict_proba(model.inputs(now))[:, 1], labels=[0, 1])
            )
        rows.append({"c": c, "log_loss": round(float(np.mean(losses)), 9)})
    return rows


def _run(
    features: Path, folder: Path, settings: Settings, best: float, search: list[dict[str, Any]]
) -> mlflow.Run:
    losses = {f"search_log_loss_c_{row['c']:g}": row["log_loss"] for row in search}
    return mlflow.Run(
        params={"c": best, **settings.train.model_dump(), **settings.features.model_dump()},
        metrics=losses,
        tags={
            "data_version": dvc.data_version(features),
            "git_commit": lineage.git_commit(settings.root),
            "lock_sha256": lineage.lock_sha256(settings),
            "scikit_learn": version("scikit-learn"),
        },
        artifacts=folder,
    )
