"""The gate of step 8 keeps out everybody who may not be scored, and counts each person once."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from sovereign_ml.config.connections import LogLocation
from sovereign_ml.pipeline.batch_scoring import ScoringGate, current_customers
from sovereign_ml.storage.artifacts import write_json

DAY = pa.scalar(0, pa.timestamp("us", "UTC"))
NO_LOG = LogLocation("sqlite:///decisions.db", "")


def _allowed(
    folder: Path, current: list[str], people: dict[str, list[Any]], *, asks_consent: bool = True
) -> tuple[list[str], dict[str, int]]:
    """Return which of the ``current`` customers may be scored, and the others by reason."""
    pq.write_table(pa.table(people), folder / "customers.parquet")
    write_json(folder / "summary.json", {})
    customers = pa.chunked_array([pa.array(current)])
    mask, counts = ScoringGate(asks_consent, NO_LOG).allowed(customers, folder)
    return customers.filter(pa.array(mask)).to_pylist(), {k: n for k, n in counts.items() if n}


@pytest.mark.parametrize(
    ("consents", "scored"),
    [
        ({"a": True, "b": True}, ["a", "b"]),
        ({"a": True, "b": False}, ["a"]),
        ({"a": True, "b": None}, ["a"]),
        ({"a": True}, ["a"]),  # nobody in the table says whether b agreed
        ({"a": None, "b": None}, []),
    ],
)
def test_only_people_who_agreed_are_scored(
    tmp_path: Path, consents: dict[str, bool | None], scored: list[str]
) -> None:
    consent = pa.array(list(consents.values()), pa.bool_())
    people: dict[str, Any] = {"customer_id": list(consents), "consent": consent}
    allowed, counts = _allowed(tmp_path, ["a", "b"], people)
    assert (allowed, counts.get("no_basis", 0)) == (scored, 2 - len(scored))


def test_of_two_answers_of_a_person_the_refusal_counts(tmp_path: Path) -> None:
    people = {"customer_id": ["a", "a", "b"], "consent": [True, False, True]}
    assert _allowed(tmp_path, ["a", "b"], people)[0] == ["b"]


def test_who_objected_is_counted_for_that_and_not_for_consent_too(tmp_path: Path) -> None:
    moments = pa.array([DAY, None, None], pa.timestamp("us", "UTC"))
    people: dict[str, Any] = {
        "customer_id": ["a", "b", "c"],
        "consent": [False, False, True],
        "objected_at": moments,
    }
    allowed, counts = _allowed(tmp_path, ["a", "b", "c"], people)
    assert (allowed, counts) == (["c"], {"objected": 1, "no_basis": 1})


def test_without_consent_as_the_basis_people_the_table_lacks_are_scored(tmp_path: Path) -> None:
    people: dict[str, Any] = {"customer_id": ["a"], "consent": pa.array([None], pa.bool_())}
    assert _allowed(tmp_path, ["a", "b"], people, asks_consent=False) == (["a", "b"], {})


@pytest.mark.parametrize("zone", [None, "UTC"])
@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("day", ["2026-05-01", "2026-06-01", "2026-07-01"])
def test_the_rows_of_the_newest_day_are_those_that_a_whole_read_gives(
    day: str, statistics: bool, zone: str | None, tmp_path: Path
) -> None:
    days = [datetime(2026, 5, 1)] * 500 + [datetime(2026, 6, 1)] * 700
    snapshots = pa.table(
        {
            "gap": [None if number % 7 == 0 else number / 3 for number in range(1200)],
            "customer_id": [f"{number:032x}" for number in range(1200)],
            "event_timestamp": pa.array(days, pa.timestamp("us", zone)),
        }
    )
    path = tmp_path / "snapshots.parquet"
    pq.write_table(snapshots, path, row_group_size=300, write_statistics=statistics)
    write_json(tmp_path / "summary.json", {"current": day})
    moment = pa.scalar(datetime.fromisoformat(day), pa.timestamp("us", zone))
    expected = snapshots.filter(pc.equal(snapshots["event_timestamp"], moment))
    found, rows = current_customers(tmp_path, ["gap"])
    assert (found, len(rows)) == (day, len(expected))
    assert rows["gap"].to_pylist() == expected["gap"].to_pylist()
    batches = list(rows.to_batches(100))
    assert max(map(len, batches), default=0) <= 100
    columns = expected.select(["customer_id", "event_timestamp", "gap"])
    assert pa.Table.from_batches(batches, columns.schema).equals(columns)
    late = pc.greater(rows["gap"], 300.0)
    assert rows.filter(late)["gap"].to_pylist() == [
        g for g in expected["gap"].to_pylist() if g and g > 300
    ]
