"""Feast: the entity, feature view and feature service over the snapshots, and the stores behind them."""

from __future__ import annotations

import warnings
from contextlib import chdir, redirect_stderr, redirect_stdout
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn.contract import FEATURES
from sovereign_ml.config.settings import Settings
from sovereign_ml.features import feast_stores as stores

if TYPE_CHECKING:
    import pandas as pd

VIEW, SERVICE, ENTITY = "customer_snapshot", "churn_v1", "customer"
SNAPSHOTS = "snapshots.parquet"


def store(folder: Path, settings: Settings) -> Any:
    """The feature store: beside the snapshots of ``folder``, or on the servers of the profile."""
    from feast import FeatureStore, RepoConfig

    warnings.filterwarnings("ignore", module="feast|ibis")
    config = RepoConfig(
        project=project(settings),
        provider="local",
        registry=stores.registry(folder, settings),
        offline_store=stores.offline(settings),
        online_store=stores.online(folder, settings),
        entity_key_serialization_version=3,
        repo_path=folder,
    )
    with stores.reached(settings):
        return FeatureStore(repo_path=str(folder), config=config)


def project(settings: Settings) -> str:
    """The project's name as Feast allows it."""
    return settings.project.name.replace("-", "_")


def apply(folder: Path, settings: Settings) -> Any:
    """Register entity, view and service over ``snapshots.parquet`` of ``folder``; return the store."""
    from feast import Entity, FeatureService, FeatureView, Field
    from feast.types import Float64, String
    from feast.value_type import ValueType

    entity = Entity(name=ENTITY, join_keys=["customer_id"], value_type=ValueType.STRING)
    view = FeatureView(
        name=VIEW,
        entities=[entity],
        # A snapshot older than this says nothing about a customer any more.
        ttl=timedelta(days=settings.features.every_days),
        schema=[
            Field(name="customer_id", dtype=String),
            *(
                Field(name=f.name, dtype=String if f.dtype == "string" else Float64)
                for f in FEATURES
            ),
        ],
        source=stores.source(folder / SNAPSHOTS, settings),
        description="What a customer bought before the cut-off; computed by `churn features`",
    )
    feature_store = store(folder, settings)
    with stores.reached(settings):
        feature_store.apply([entity, view, FeatureService(name=SERVICE, features=[view])])
    return feature_store


def source_of(folder: Path, settings: Settings) -> str:
    """Where the registry says that the snapshots lie; empty before step 3 has registered any."""
    from feast.errors import FeastObjectNotFoundException

    feature_store = store(folder, settings)
    try:
        with stores.reached(settings):
            return str(feature_store.get_feature_view(VIEW).batch_source.path)
    except FeastObjectNotFoundException:
        return ""


def historical(feature_store: Any, entities: pd.DataFrame) -> pd.DataFrame:
    """Features as they were at each (customer_id, event_timestamp) of ``entities``, point in time."""
    with chdir(feature_store.repo_path):
        frame: pd.DataFrame = feature_store.get_historical_features(
            entity_df=entities, features=feature_store.get_feature_service(SERVICE)
        ).to_df()
    return frame


def online(feature_store: Any, customers: list[str]) -> pd.DataFrame:
    """Features of ``customers`` as the online store has them now; unknown customers have none."""
    rows = [{"customer_id": customer} for customer in customers]
    service = feature_store.get_feature_service(SERVICE)
    frame: pd.DataFrame = feature_store.get_online_features(
        features=service, entity_rows=rows
    ).to_df()
    return frame


def materialise(feature_store: Any, as_of: datetime) -> None:
    """Put the snapshot of the day ``as_of`` (UTC midnight) into the online store."""
    from datetime import UTC

    end = as_of.replace(tzinfo=UTC)
    with chdir(feature_store.repo_path), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        feature_store.materialize(
            start_date=end - timedelta(hours=1), end_date=end, feature_views=[VIEW]
        )
