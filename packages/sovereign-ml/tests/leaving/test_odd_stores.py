"""Offline stores unlike those of other tests: exports by Athena, other types, empty files, odd names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.leaving.offline_rows import BroughtGroup, bring_group, group_of
from sovereign_ml.pseudonyms import pseudonyms

MADE = datetime(2026, 11, 20, tzinfo=UTC)
WRITTEN = pa.array([datetime(2026, 1, 3, tzinfo=UTC)] * 4, pa.timestamp("us", "UTC"))
NAMES = {
    "CustomerID": "Integral",
    "EventTime": "String",
    "N": "Integral",
    "avg-value": "Fractional",
}
PLAIN: dict[str, Any] = {
    "CustomerID": pa.array([1, 2, 3, 4], pa.int64()),
    "EventTime": ["2026-01-02T00:00:00Z"] * 4,
    "N": pa.array([1, 2, 3, 4], pa.int64()),
    "avg-value": [1.5, 2.0, 3.0, 4.0],
    "write_time": WRITTEN,
    "api_invocation_time": WRITTEN,
    "is_deleted": [False] * 4,
}


def brought(
    folder: Path,
    *tables: pa.Table,
    name: str = "",
    barred: Callable[[Iterable[str]], set[str]] = lambda _: set(),
    **offline: Any,
) -> BroughtGroup:
    """Bring a group of the tables, each in a file of its own."""
    definitions = [{"FeatureName": key, "FeatureType": kind} for key, kind in NAMES.items()]
    description = {
        "FeatureGroupName": "Cust-Feat-v2",
        "RecordIdentifierFeatureName": "CustomerID",
        "EventTimeFeatureName": "EventTime",
        "FeatureDefinitions": definitions,
        "OfflineStoreConfig": offline,
    }
    for number, table in enumerate(tables):
        path = folder / "store" / (name or f"year=2026/part-{number}.parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)
    group = group_of(description, folder / "store", "person")
    result = bring_group(group, folder / "out", dump_time=MADE, keys=(b"k" * 32,), barred=barred)
    assert result.read == result.rows + sum(result.skipped.values())
    return result


def rows(folder: Path) -> list[dict[str, Any]]:
    table = pq.read_table(folder / "out/Cust-Feat-v2/rows.parquet")
    return sorted(table.to_pylist(), key=lambda row: (row["event_timestamp"], str(row["N"])))


def plain(**changed: Any) -> pa.Table:
    return pa.table({**PLAIN, **changed})


LOWER = plain().rename_columns([name.lower() for name in plain().column_names])
OTHER = plain(N=pa.array([1, 2, 3, 4], pa.int32()), EventTime=["2026-02-02T00:00:00Z"] * 4)


@pytest.mark.parametrize(
    ("tables", "name", "count"),
    [
        ([plain()], "", 4),
        ([LOWER], "20261120_064512_00012_bucket-00000", 4),
        ([plain(), OTHER.select(OTHER.column_names[::-1])], "", 8),
        ([plain(), plain().slice(0, 0)], "", 4),
        ([plain().slice(0, 0)], "", 0),
        ([plain().drop(["avg-value"]), OTHER], "", 8),
        ([plain(is_deleted=["true", "false", "False", "TRUE"])], "", 2),
        ([plain(), plain(is_deleted=["true"] * 4, EventTime=["2026-01-09T00:00:00Z"] * 4)], "", 0),
        # One person at one moment has one row, and who is nobody has none.
        ([plain(CustomerID=["7", "7.0", " 7", None])], "", 1),
        ([plain(CustomerID=["7", "NaN", "", "None"])], "", 1),
        ([plain(CustomerID=[7.0, float("nan"), 8.0, None])], "", 2),
        ([plain(N=[1.0, float("nan"), 3.0, None])], "", 4),
        ([plain(N=["1", "2.0", "", "NaN"])], "", 4),
    ],
)
def test_every_row_comes_in_or_has_a_reason(
    tmp_path: Path, tables: list[pa.Table], name: str, count: int
) -> None:
    result = brought(tmp_path, *tables, name=name)
    assert result.rows == len(rows(tmp_path)) == count
    assert result.undescribed == ()
    assert {type(row["N"]) for row in rows(tmp_path)} <= {int, type(None)}


@pytest.mark.parametrize(
    ("times", "readable"),
    [
        (["2026-01-02T01:00:00+01:00", "2026-01-02T01:00:00+0100", "2026-01-02 00:00:00"], 3),
        (["1767312000", "1767312000.0", "1.767312E9"], 3),
        (["2026-01-02T00:00:00.000Z", "2026-01-02", "2026-01-01T19:00:00-05:00"], 3),
        # Milliseconds are no event time of SageMaker.
        (["1767312000000", "yesterday", ""], 0),
        (pa.array([1767312000] * 3, pa.int64()), 3),
        (pa.array([1767312000.0] * 3), 3),
    ],
)
def test_forms_of_one_event_time_are_one_moment(tmp_path: Path, times: Any, readable: int) -> None:
    table = plain().slice(0, 3)
    place = table.column_names.index("EventTime")
    result = brought(tmp_path, table.set_column(place, "EventTime", [pa.array(times)]))
    assert result.rows == readable
    moments = {row["event_timestamp"].replace(tzinfo=None) for row in rows(tmp_path)}
    assert moments == ({datetime(2026, 1, 2)} if readable else set())


LATER = {"EventTime": ["2026-01-09T00:00:00Z"] * 4, "is_deleted": [True] * 4}


@pytest.mark.parametrize(
    ("stored", "deleted"),
    [
        (["Zo\u00e9", "1", "2", "3"], ["Zoe\u0301", "1.0", " 2", "3\u200b"]),
        (["1", "2", "3", "4"], [1.0, 2.0, 3.0, 4.0]),
    ],
)
def test_a_marker_under_another_spelling_deletes_the_person(
    tmp_path: Path, stored: list[str], deleted: list[Any]
) -> None:
    result = brought(tmp_path, plain(CustomerID=stored), plain(CustomerID=deleted, **LATER))
    assert (result.rows, result.deleted_people) == (0, 4)


@pytest.mark.parametrize("spelling", ["Zo\u00e9", "Zoe\u0301", " Zo\u00e9\u00a0"])
def test_who_was_erased_here_stays_out_under_every_spelling(tmp_path: Path, spelling: str) -> None:
    erased = set(pseudonyms(["Zo\u00e9"], b"k" * 32))
    table = plain(CustomerID=[spelling, "2", "3", "4"])
    result = brought(tmp_path, table, barred=lambda names: erased & set(names))
    assert result.rows == 3


@pytest.mark.parametrize("name", ["Young", "Event_Timestamp", "moment"])
def test_a_feature_with_a_name_of_the_export_is_refused_in_any_letter_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(NAMES, name, "Integral")
    with pytest.raises(Misuse, match=f"has a feature named {name}, which is a name of the export"):
        brought(tmp_path, plain(**{name: [1, 2, 3, 4]}))


def test_a_value_of_another_type_is_one_line_without_the_value(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="2 values of N are no Integral number") as error:
        brought(tmp_path, plain(N=["1", "jane", "3", "x"]))
    assert "jane" not in str(error.value)
    assert not (tmp_path / "out").exists()
    with pytest.raises(Misuse, match="4 values of N are no Integral number"):
        brought(tmp_path, plain(N=pa.array([2**63 + n for n in range(4)], pa.uint64())))


def test_an_iceberg_table_is_refused_with_the_next_step_and_its_export_comes_in(
    tmp_path: Path,
) -> None:
    catalogue = {"TableName": "cust_feat_17", "Database": "d", "Catalog": "AwsDataCatalog"}
    config = {"TableFormat": "Iceberg", "DataCatalogConfig": catalogue}
    trunc = "abc/EventTime_trunc=2026-01-02/a.parquet"
    with pytest.raises(Refused, match="in place of all files of offline/Cust-Feat-v2") as error:
        brought(tmp_path / "a", plain(), name=trunc, **config)
    assert 'UNLOAD (SELECT * FROM "cust_feat_17") TO' in str(error.value)
    assert brought(tmp_path / "b", LOWER, name="export-0", **config).rows == 4
