"""The data contract, the SQL, the Great Expectations suite and the Feast definitions agree."""

from __future__ import annotations

from datetime import timedelta

import pytest
from feast import Entity, FeatureService, FeatureView, FileSource

from churn import contract, feature_repo
from churn.expectations import suite
from churn.project import PROJECT


def test_every_name_is_used_once() -> None:
    for columns in (contract.FEATURES, *contract.TABLES.values()):
        names = [column.name for column in columns]
        assert len(names) == len(set(names))


def test_the_relations_between_features_name_features_of_the_contract() -> None:
    contract_file = PROJECT.feature_contract()  # refuses a name that is no feature
    assert [feature.name for feature in contract_file.features] == [
        feature.name for feature in contract.FEATURES
    ]


def test_every_feature_says_why_it_is_necessary() -> None:
    assert all(feature.label and feature.necessity_reason for feature in contract.FEATURES)


def test_no_protected_column_is_a_feature() -> None:
    protected = {column.name for column in contract.GROUPS if column.role == "protected"}
    assert not protected & {feature.name for feature in contract.FEATURES}


@pytest.mark.parametrize("table", contract.TABLES)
def test_the_suite_expects_every_column_of_the_contract(table: str) -> None:
    columns = contract.TABLES[table]
    expected = {
        (type(expectation).__name__, expectation.column)
        for expectation in suite(table, columns).expectations
    }
    for column in columns:
        assert ("ExpectColumnToExist", column.name) in expected
        assert (("ExpectColumnValuesToNotBeNull", column.name) in expected) == (not column.nullable)
        bounded = (column.minimum, column.maximum) != (None, None)
        assert (("ExpectColumnValuesToBeBetween", column.name) in expected) == bounded


def test_the_feature_service_serves_the_features_of_the_contract() -> None:
    source = FileSource(path="snapshots.parquet", timestamp_field="event_timestamp")
    definitions = feature_repo.definitions(source, timedelta(days=60))
    (view,) = (item for item in definitions if isinstance(item, FeatureView))
    (service,) = (item for item in definitions if isinstance(item, FeatureService))
    (entity,) = (item for item in definitions if isinstance(item, Entity))
    assert {field.name for field in view.schema} == {
        entity.join_key,
        *(feature.name for feature in contract.FEATURES),
    }
    assert view.ttl == timedelta(days=60)
    assert [projection.name for projection in service.feature_view_projections] == [view.name]
