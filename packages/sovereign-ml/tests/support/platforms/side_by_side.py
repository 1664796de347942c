"""Both systems side by side for `make leave-demo`: old features and answers that are equal to ours, and runs in both tracks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import bundles
from mlflow_here import mlflow_server, variables
from purchases import shop
from sagemaker_double import dumped
from sagemaker_sdk_double import account_of, sdk
from small_project import load
from sovereign_ml.leaving.both_tracks.tracker import tracked
from sovereign_ml.leaving.feature_parity.past_moments import FeatureReplay
from sovereign_ml.leaving.minimise import marks_key
from sovereign_ml.project import load_project
from sovereign_ml.pseudonyms import pseudonyms

GROUP, ENDPOINT = "shop-features", "churn-live"
DEFINITIONS = [
    {"FeatureName": "customer_id", "FeatureType": "String"},
    {"FeatureName": "event_time", "FeatureType": "String"},
    {"FeatureName": "recency_days", "FeatureType": "Fractional"},
    {"FeatureName": "purchase_count_30d", "FeatureType": "Integral"},
    {"FeatureName": "preferred_category", "FeatureType": "String"},
]
COLUMNS = bundles.model().features
_MOMENT = datetime(2026, 4, 1, 2, 30)


def old_store(root: Path, dump: Path, people: int = 40) -> None:
    """Give the project purchases and a bundle, and the dump features and answers that are computed from them."""
    project = load(root)
    valid = shop(project.path("valid"), people=people) / "transactions.parquet"
    table = pq.read_table(valid)
    # In SageMaker are keys, and here their pseudonyms.
    keys = sorted(set(table["customer_id"].to_pylist()))
    key_of = dict(zip(pseudonyms(keys, project.pseudonym_key()), keys, strict=True))
    name_of = {key: name for name, key in key_of.items()}
    names = pa.array([name_of[key] for key in table["customer_id"].to_pylist()], pa.string())
    pq.write_table(table.set_column(0, "customer_id", names), valid)
    with TemporaryDirectory() as spill:
        replay = FeatureReplay(
            *(load_project(root), project.path("valid"), project.features, project.label.kind),
            Path(spill),
        )
        replay.compute([_MOMENT])
        features = [row["FeatureName"] for row in DEFINITIONS[2:]]
        query = f"SELECT customer_id, {', '.join(features)} FROM snapshots"
        rows: Any = replay.connection.execute(query).to_arrow_table()
        replay.close()
    written = [_MOMENT.replace(tzinfo=UTC) + timedelta(minutes=1)] * rows.num_rows
    columns = {name: rows[name] for name in features}
    columns["customer_id"] = pa.array([key_of[name] for name in rows["customer_id"].to_pylist()])
    columns["event_time"] = pa.array([f"{_MOMENT:%Y-%m-%dT%H:%M:%SZ}"] * rows.num_rows)
    for name in ("write_time", "api_invocation_time"):
        columns[name] = pa.array(written, pa.timestamp("us", "UTC"))
    columns["is_deleted"] = pa.array([False] * rows.num_rows)
    path = dump / f"offline/{GROUP}/data/year=2026/rows.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table(columns), path)
    bundles.write_bundle(project.path("bundle"))
    _captured(dump)


def _captured(dump: Path, count: int = 20) -> None:
    """Write what data capture keeps of requests that the model of the bundle would answer in the same way."""
    customers = bundles.customers(count)
    scores = bundles.model().probability(customers)
    lines = []
    for number, score in enumerate(scores):
        values = [customers[name][number] for name in COLUMNS]
        text = ",".join("" if value is None or value != value else str(value) for value in values)
        sides = {"endpointInput": text, "endpointOutput": repr(float(score))}
        content = {"observedContentType": "text/csv", "encoding": "CSV"}
        lines.append(
            json.dumps({"captureData": {n: {**content, "data": t} for n, t in sides.items()}})
        )
    path = dump / f"capture/{ENDPOINT}/AllTraffic/2026/11/01/00/part.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(lines) + "\n")


def trained_on_both(root: Path, dump: Path, runs: int = 3) -> Path:
    """Train with the printed tracker's `Run`, so that SageMaker and MLflow have each run; return a dump made after them."""
    project, old = load(root), sdk()
    with mlflow_server(project) as address:
        key = marks_key(project.pseudonym_key()).hex()
        environ = variables(address) | {"BOTH_TRACKS_KEY": key, "BOTH_TRACKS_WAIT": "60"}
        run_class, _ = tracked(old, project.tracking.project, environ)
        for number in range(runs):
            with run_class("churn-model", f"both-{number}") as run:
                run.log_parameters({"learning_rate": 0.0003, "training_users": 847293})
                for step in range(10):
                    run.log_metric("auc", 0.5 + step / 100, step=step)
    return dumped(account_of(old), dump, datetime.now(UTC) + timedelta(seconds=2))
