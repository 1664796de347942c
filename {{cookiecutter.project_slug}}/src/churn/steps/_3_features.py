"""Step 3, features: point-in-time snapshots, labels and the training set, offline and online."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from sovereign_ml.config.connections import FeatureStores
from sovereign_ml.config.tables import FeatureSettings, LabelSettings
from sovereign_ml.features import event_tables, feast, feast_stores
from sovereign_ml.features.history import check_populations, populations_of
from sovereign_ml.storage import duckdb as db
from sovereign_ml.storage.artifacts import summarise, writing

from churn import feature_repo
from churn import features as sql
from churn.contract import FEATURES, TARGET


def features(
    valid: Path,
    output: Path,
    *,
    config: FeatureSettings,
    label: LabelSettings,
    stores: FeatureStores,
) -> None:
    """Write ``snapshots.parquet``, ``training.parquet`` and both stores of Feast.

    Snapshots hold the labelled cut-offs and the current day, the training set the labelled ones.
    Raises Refused if the history is too short, if all or none of the customers of a cut-off
    churned, or if its share of churners is far from that of the other cut-offs.
    """
    connection = sql.load(valid, label.kind)
    first, last = sql.history(connection)
    labelled, current = sql.cutoffs(last, config)
    event_tables.check_history(connection, labelled[0])
    sql.compute(connection, [*labelled, current], config, label.kind)
    sql.label(connection, config.horizon_days, label.kind)
    populations = populations_of(connection, labelled)
    check_populations(populations, (last - first).days, config, label.kind)
    with writing(output) as folder:
        ordered = "FROM snapshots ORDER BY event_timestamp, customer_id"
        db.write_parquet(connection, ordered, folder / feast.SNAPSHOTS)
        labels = connection.execute(
            "SELECT * FROM labels WHERE event_timestamp <= ? ORDER BY ALL", [labelled[-1]]
        ).df()
        labels["event_timestamp"] = labels["event_timestamp"].dt.tz_localize("UTC")
        with feast_stores.alone(stores):
            store = feast.apply(folder, stores, feature_repo.definitions)
            training = feast.historical(store, labels)
            feast.materialise(store, current)
        _write_training_set(training, folder / "training.parquet")
        now = db.count(connection, "snapshots", f"event_timestamp = TIMESTAMP '{current}'")
        summarise(
            folder,
            rows_in=db.count(connection, "lines"),
            rows_out=len(training),
            headline=f"{len(FEATURES)} features, {len(labelled)} cut-offs to "
            f"{labelled[-1]:%Y-%m-%d} with "
            f"{', '.join(str(population) for population in populations)}; {now:,} customers now",
            cutoffs=[f"{cutoff:%Y-%m-%d}" for cutoff in labelled],
            populations=[population.facts() for population in populations],
            current=f"{current:%Y-%m-%d}",
            customers_now=now,
        )


def _write_training_set(joined: pd.DataFrame, path: Path) -> None:
    """Write the rows of Feast's point-in-time join: the model sees nothing else."""
    rows = joined.rename(columns={"churned": TARGET})
    rows = rows.sort_values(["event_timestamp", "customer_id"], kind="stable")
    rows["event_timestamp"] = rows["event_timestamp"].dt.as_unit("us")
    names = [feature.name for feature in FEATURES]
    rows[["customer_id", "event_timestamp", TARGET, *names]].to_parquet(path, index=False)
