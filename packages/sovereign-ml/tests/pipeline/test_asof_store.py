"""The point-in-time join of the profile local gives the values of Feast's own DuckDB store."""

from __future__ import annotations

from contextlib import chdir
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.types import Float64, String
from feast.value_type import ValueType

from sovereign_ml.features import feast_asof
from sovereign_ml.features.feast_stores import ASOF

TTL = timedelta(days=30)
START = datetime(2026, 1, 1)
REFERENCES = ["snapshot:amount", "snapshot:category"]


def _store(folder: Path, kind: str, **source: Any) -> Any:
    config = RepoConfig(
        project="small",
        provider="local",
        registry=str(folder / f"{kind.rpartition('.')[2]}.db"),
        offline_store={"type": kind},
        online_store=None,
        entity_key_serialization_version=3,
        repo_path=folder,
    )
    store = FeatureStore(repo_path=str(folder), config=config)
    customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)
    rows = FileSource(path="snapshots.parquet", timestamp_field="event_timestamp", **source)
    schema = [
        Field(name="customer_id", dtype=String),
        Field(name="amount", dtype=Float64),
        Field(name="category", dtype=String),
    ]
    view = FeatureView(name="snapshot", entities=[customer], ttl=TTL, schema=schema, source=rows)
    store.apply([customer, view])
    return store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with snapshots at uneven times, some values of which are missing."""
    folder = tmp_path_factory.mktemp("asof")
    draw = np.random.default_rng(3)
    rows = pd.DataFrame(
        {
            "customer_id": [f"c{i}" for i in draw.integers(0, 40, 600)],
            "event_timestamp": pd.to_datetime(
                [START + timedelta(hours=int(hour)) for hour in draw.integers(0, 6000, 600)]
            ).as_unit("us"),
            "amount": np.where(draw.random(600) < 0.1, np.nan, draw.random(600)),
            "category": draw.choice(["books", "wine", None], 600),
            "made_at": pd.Timestamp(START),
        }
    )
    rows = rows.drop_duplicates(["customer_id", "event_timestamp"])
    rows.to_parquet(folder / "snapshots.parquet", index=False)
    return folder


@pytest.fixture(scope="module")
def entities(folder: Path) -> pd.DataFrame:
    """Return rows before, between and after the snapshots, at their moments, and of a stranger."""
    draw = np.random.default_rng(4)
    snapshots = pd.read_parquet(folder / "snapshots.parquet").head(60)
    exact = snapshots[["customer_id", "event_timestamp"]]
    last_moment = exact.assign(event_timestamp=exact["event_timestamp"] + TTL)
    too_late = last_moment.assign(
        event_timestamp=last_moment["event_timestamp"] + timedelta(microseconds=1)
    )
    hours = draw.integers(-500, 7000, 400)
    random = pd.DataFrame(
        {
            "customer_id": [f"c{i}" for i in draw.integers(0, 42, 400)],
            "event_timestamp": [START + timedelta(hours=int(hour)) for hour in hours],
        }
    )
    rows = pd.concat([exact, last_moment, too_late, random], ignore_index=True)
    rows = rows.drop_duplicates(ignore_index=True)
    rows["event_timestamp"] = pd.to_datetime(rows["event_timestamp"], utc=True).dt.as_unit("us")
    return rows.assign(churned=np.arange(len(rows), dtype=np.int32) % 2)


def _values(frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame.sort_values(["event_timestamp", "customer_id"], ignore_index=True)
    frame["event_timestamp"] = frame["event_timestamp"].dt.as_unit("us")
    frame["category"] = frame["category"].astype(object).where(frame["category"].notna(), None)
    return frame[["customer_id", "event_timestamp", "churned", "amount", "category"]]


def test_the_join_is_that_of_feasts_own_store(folder: Path, entities: pd.DataFrame) -> None:
    tables = []
    with chdir(folder):
        for kind in (ASOF, "duckdb"):
            job = _store(folder, kind).get_historical_features(entities, REFERENCES)
            assert isinstance(job, feast_asof.AsofJob) == (kind == ASOF)
            tables.append(_values(job.to_df()))
    # The comparison would prove little without values that are there, missing and expired.
    assert 100 < tables[1]["amount"].notna().sum() < len(entities) - 100
    pd.testing.assert_frame_equal(*tables)


def test_a_query_is_written_to_a_sorted_file_that_is_never_overwritten_unasked(
    folder: Path, entities: pd.DataFrame, tmp_path: Path
) -> None:
    entities.to_parquet(tmp_path / "entities.parquet", index=False)
    query = f"SELECT * FROM read_parquet('{tmp_path / 'entities.parquet'}')"
    store = _store(folder, ASOF)
    storage = SavedDatasetFileStorage(str(tmp_path / "training.parquet"))
    store.get_historical_features(query, REFERENCES).persist(storage)
    written = pd.read_parquet(tmp_path / "training.parquet")
    order = written.sort_values(["event_timestamp", "customer_id"], kind="stable").index
    assert list(order) == list(range(len(entities)))
    in_memory = store.get_historical_features(entities, REFERENCES).to_arrow().to_pandas()
    pd.testing.assert_frame_equal(_values(written), _values(in_memory))
    with pytest.raises(FileExistsError, match=r"training\.parquet exists already"):
        store.get_historical_features(query, REFERENCES).persist(storage)


@pytest.mark.parametrize(
    ("source", "arguments"),
    [
        ({"created_timestamp_column": "made_at"}, {}),
        ({"field_mapping": {"made_at": "made"}}, {}),
        ({}, {"full_feature_names": True}),
    ],
)
def test_what_the_join_cannot_answer_goes_to_feasts_own_store(
    folder: Path, entities: pd.DataFrame, source: dict[str, Any], arguments: dict[str, Any]
) -> None:
    with chdir(folder):
        job = _store(folder, ASOF, **source).get_historical_features(
            entities, REFERENCES, **arguments
        )
        assert not isinstance(job, feast_asof.AsofJob)
        assert len(job.to_df()) == len(entities)


def test_naive_entity_times_are_read_as_utc(folder: Path, entities: pd.DataFrame) -> None:
    store = _store(folder, ASOF)
    naive = entities.assign(event_timestamp=entities["event_timestamp"].dt.tz_localize(None))
    frames = [store.get_historical_features(rows, REFERENCES).to_df() for rows in (entities, naive)]
    pd.testing.assert_frame_equal(*map(_values, frames))
