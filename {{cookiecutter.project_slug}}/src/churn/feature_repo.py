"""The Feast repository: an entity, a feature view over the snapshots, and a feature service."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.types import Float64, String
from feast.value_type import ValueType
from sovereign_ml.features.feast import SERVICE, VIEW
from sovereign_ml.project import chosen_features

from churn.contract import FEATURES


def definitions(
    source: FileSource, ttl: timedelta, inputs: Sequence[str] = ()
) -> Sequence[Entity | FeatureView | FeatureService]:
    """Return entity, feature view and feature service over ``source``, the snapshots of step 3.

    ``source`` is a local file or one on S3. A snapshot older than ``ttl`` is not served.
    """
    customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)
    view = FeatureView(
        name=VIEW,
        entities=[customer],
        ttl=ttl,
        schema=[
            Field(name="customer_id", dtype=String),  # else Feast infers its type from the file
            *(
                Field(name=feature.name, dtype=String if feature.dtype == "string" else Float64)
                for feature in chosen_features(FEATURES, inputs)
            ),
        ],
        source=source,
        description="What a customer bought before the cut-off; computed by `churn features`",
    )
    return [customer, view, FeatureService(name=SERVICE, features=[view])]
