"""Step 3, features: point-in-time snapshots, labels and the training set, offline and online through Feast."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from churn import features as snapshots
from churn.contract import FEATURES, TARGET
from sovereign_ml.config.settings import Settings
from sovereign_ml.errors import Refused
from sovereign_ml.features import feast
from sovereign_ml.features import feast_stores as stores
from sovereign_ml.storage import duckdb as db
from sovereign_ml.storage.artifacts import need, summarise, writing

if TYPE_CHECKING:
    import duckdb


def features(valid: Path, output: Path, *, settings: Settings) -> None:
    """Write ``snapshots.parquet`` (also the current one), ``training.parquet`` and the Feast stores.

    Raises Refused if nobody bought in the population window, or if all or none of them churned.
    """
    need(valid, "validate")
    connection = snapshots.load(valid)
    labelled, current = snapshots.cutoffs(snapshots.last_event(connection), settings.features)
    snapshots.compute(connection, [*labelled, current], settings.features)
    snapshots.label(connection, settings.features.horizon_days)
    _check_population(connection, labelled)
    with writing(output) as folder:
        db.write_parquet(
            connection,
            "FROM snapshots ORDER BY event_timestamp, customer_id",
            folder / feast.SNAPSHOTS,
        )
        rows = _training_set(connection, labelled, folder, settings)
        now = db.count(connection, "snapshots", f"event_timestamp = TIMESTAMP '{current}'")
        summarise(
            folder,
            rows_in=db.count(connection, "lines"),
            rows_out=rows,
            headline=f"{len(FEATURES)} features, {len(labelled)} cut-offs to {labelled[-1]:%Y-%m-%d}, "
            f"{now:,} customers now",
            cutoffs=[f"{cut:%Y-%m-%d}" for cut in labelled],
            current=f"{current:%Y-%m-%d}",
            customers_now=now,
        )


def _check_population(connection: duckdb.DuckDBPyConnection, labelled: list[datetime]) -> None:
    for cut in labelled:
        at = f"event_timestamp = TIMESTAMP '{cut}'"
        everyone, churned = (
            db.count(connection, "labels", at),
            db.count(connection, "labels", f"{at} AND churned = 1"),
        )
        if everyone == 0:
            raise Refused(
                f"Nobody bought in the days before the cut-off {cut:%Y-%m-%d}: the data is shorter than [features] "
                "cutoffs x every_days + horizon_days. Lower cutoffs, or give more history."
            )
        if churned in (0, everyone):
            raise Refused(
                f"The label has one class at {cut:%Y-%m-%d}: {churned:,} of {everyone:,} customers made no purchase in "
                "the horizon. Change [features] horizon_days, or check the dates."
            )


def _training_set(
    connection: duckdb.DuckDBPyConnection,
    labelled: list[datetime],
    folder: Path,
    settings: Settings,
) -> int:
    """Everything the model sees comes out of Feast's point-in-time join, not out of the table it was put into."""
    labels = connection.execute(
        "SELECT customer_id, event_timestamp, churned FROM labels WHERE event_timestamp <= ? ORDER BY ALL",
        [labelled[-1]],
    ).df()
    labels["event_timestamp"] = labels["event_timestamp"].dt.tz_localize("UTC")
    _, current = snapshots.cutoffs(snapshots.last_event(connection), settings.features)
    with stores.alone(settings):
        store = feast.apply(folder, settings)
        joined = feast.historical(store, labels).rename(columns={"churned": TARGET})
        feast.materialise(store, current)
    joined = joined.sort_values(["event_timestamp", "customer_id"], kind="stable")
    columns = ["customer_id", "event_timestamp", TARGET, *(f.name for f in FEATURES)]
    joined["event_timestamp"] = joined["event_timestamp"].dt.as_unit("us")
    joined[columns].to_parquet(folder / "training.parquet", index=False)
    return len(joined)
