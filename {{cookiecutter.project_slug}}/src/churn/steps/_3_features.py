"""Step 3, features: point-in-time snapshots, labels and the training set, offline and online."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from sovereign_ml.config.connections import FeatureStores, SparkCluster
from sovereign_ml.config.tables import FeatureSettings, LabelSettings
from sovereign_ml.features import event_tables, feast, feast_stores, spark
from sovereign_ml.features.history import check_populations, populations_of
from sovereign_ml.project import chosen_features
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
    cluster: SparkCluster,
) -> None:
    """Write ``snapshots.parquet``, ``training.parquet`` and both stores of Feast.

    Snapshots hold the labelled cut-offs and the current day, the training set the labelled ones.
    Only the features that ``[features] inputs`` names are stored.
    Raises Refused if the history is too short, if all or none of the customers of a cut-off
    churned, or if its share of churners is far from that of the other cut-offs.
    """
    connection = sql.load(valid, label.kind, config.engine)
    first, last = sql.history(connection)
    labelled, current = sql.cutoffs(last, config)
    event_tables.check_history(connection, labelled[0])
    if config.engine == "spark":
        wanted = sql.for_spark(valid, config, label.kind)
        spark.compute(connection, cluster, wanted, [*labelled, current])
    else:
        sql.compute(connection, [*labelled, current], config, label.kind)
        sql.label(connection, config.horizon_days, label.kind)
    names = [feature.name for feature in chosen_features(FEATURES, config.inputs)]
    populations = populations_of(connection, labelled)
    check_populations(populations, (last - first).days, config, label.kind)
    with writing(output) as folder:
        ordered = (
            f"SELECT customer_id, event_timestamp, {', '.join(names)} "  # noqa: S608
            "FROM snapshots ORDER BY event_timestamp, customer_id"
        )
        db.write_parquet(connection, ordered, folder / feast.SNAPSHOTS)
        past = (
            f"SELECT customer_id, event_timestamp, churned AS {TARGET} FROM labels "  # noqa: S608
            f"WHERE event_timestamp <= TIMESTAMP '{labelled[-1]}'"  # the current day has no label
        )
        with feast_stores.alone(stores):  # two pipelines may share the registry
            definitions = partial(feature_repo.definitions, inputs=config.inputs)
            store = feast.apply(folder, stores, definitions)
            training = folder / "training.parquet"
            rows = feast.write_history(store, connection, past, [TARGET, *names], training)
            feast.materialise(store, current)
        now = db.count(connection, "snapshots", f"event_timestamp = TIMESTAMP '{current}'")
        summarise(
            folder,
            rows_in=db.count(connection, "lines"),
            rows_out=rows,
            headline=f"{len(names)} features, {len(labelled)} cut-offs to "
            f"{labelled[-1]:%Y-%m-%d} with "
            f"{', '.join(str(population) for population in populations)}; {now:,} customers now",
            cutoffs=[f"{cutoff:%Y-%m-%d}" for cutoff in labelled],
            populations=[population.facts() for population in populations],
            current=f"{current:%Y-%m-%d}",
            customers_now=now,
        )
