"""An instant is an instant, however the team's files write it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from mapped_file import read
from sovereign_ml.errors import Misuse

INSTANT = datetime(2026, 7, 5, 9, tzinfo=UTC)
SECONDS = int(INSTANT.timestamp())
UNITS = {"to_timestamp(t)": 1, "to_timestamp(t / 1000)": 10**3, "to_timestamp(t / 1000000)": 10**6}
ZONES = [
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "Asia/Kolkata",
    "Pacific/Apia",
]


def times(
    root: Path, expression: str, *written: object, zone: str = "Europe/Berlin"
) -> list[datetime]:
    rows = "".join(f'{i},"{text}",1\n' for i, text in enumerate(written, 1))
    done = read(root, "c,t,a\n" + rows, timezone=zone, columns=columns(expression))
    return [time.astimezone(UTC) for time in done.column("event_time")]


def columns(expression: str) -> dict[str, str]:
    return {"customer_id": "c", "event_time": expression, "amount_eur": "a"}


@pytest.mark.parametrize(
    ("expression", "written"),
    [
        *((expression, SECONDS * unit) for expression, unit in UNITS.items()),
        ("to_timestamp(t / 1000000000)", SECONDS * 10**9),
        ("to_timestamp(CAST(t AS BIGINT))", SECONDS),
        ("t", "2026-07-05T09:00:00Z"),
        ("t", "2026-07-05 11:00:00+02:00"),
        ("t", "2026-07-05 11:00:00+02"),
        ("t", "2026-07-05 11:00:00"),
        ("t::TIMESTAMPTZ", "2026-07-05T09:00:00Z"),
        ("t::TIMESTAMP AT TIME ZONE 'UTC'", "2026-07-05T09:00:00Z"),
        ("strptime(t, '%d.%m.%Y %H:%M %z')", "05.07.2026 09:00 +0000"),
        ("strptime(t, '%d.%m.%Y %H:%M')", "05.07.2026 11:00"),
        ("strptime(t, '%m/%d/%Y %I:%M %p')", "07/05/2026 11:00 AM"),
        ("strptime(t, '%y%m%d%H%M')", "2607051100"),
        ("strptime(t, '%Y%m%d%H%M%S')", "20260705110000"),
    ],
)
def test_one_instant_is_read_the_same_in_every_notation(
    tmp_path: Path, expression: str, written: object
) -> None:
    assert times(tmp_path, expression, written, written) == [INSTANT] * 2


@pytest.mark.parametrize(
    ("expression", "written", "fix"),
    [
        ("t", SECONDS, 'to_timestamp("t")'),
        ("t", SECONDS * 1000, 'to_timestamp("t" / 1000)'),
        ("CAST(t AS BIGINT)", SECONDS * 1000, "to_timestamp(CAST(t AS BIGINT) / 1000)"),
        ("epoch_ms(t)", SECONDS * 1000, "to_timestamp(t / 1000)"),
        ("epoch_ms(CAST(t AS BIGINT))", SECONDS * 1000, "to_timestamp(t / 1000)"),
        ("make_timestamp(t)", SECONDS * 10**6, "to_timestamp(t / 1000000)"),
        ("make_timestamp_ns(t)", SECONDS * 10**9, "to_timestamp(t / 1000000000)"),
        ("TIMESTAMP '1970-01-01' + to_seconds(t)", SECONDS, "to_timestamp(t)"),
        ("to_timestamp(t)::TIMESTAMP", SECONDS, "to_timestamp(t)"),
        ("t::TIMESTAMP", "2026-07-05T09:00:00Z", "event_time = 't'"),
        ("t::TIMESTAMP", "2026-07-05T09:00:00+02:00", "event_time = 't'"),
        ("strptime(t, '%Y-%m-%dT%H:%M:%SZ')", "2026-07-05T09:00:00Z", "event_time = 't'"),
        ("left(t, 19)", "2026-07-05T09:00:00.000Z", "event_time = 't'"),
        ("replace(t, ' UTC', '')", "2026-07-05 09:00:00 UTC", "event_time = 't'"),
        ("CAST(t AS DATE)", "2026-07-05T23:00:00-04:00", "event_time = 't'"),
    ],
)
def test_an_expression_that_loses_the_instant_is_refused_with_what_keeps_it(
    tmp_path: Path, expression: str, written: object, fix: str
) -> None:
    with pytest.raises(Misuse) as error:
        times(tmp_path, expression, written)
    assert fix in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["BST", "IST"])
@pytest.mark.parametrize("expression", ["t", "trim(t)", "strptime(t, '%Y-%m-%d %H:%M:%S %Z')"])
def test_an_abbreviation_of_two_zones_is_refused_with_its_offset(
    tmp_path: Path, expression: str, name: str
) -> None:
    """DuckDB knows BST as the time of Bangladesh, five hours before that of London."""
    written = ["2026-01-05 09:00:00 GMT", f"2026-07-05 10:00:00 {name}"]
    with pytest.raises(Misuse, match=f"{name} in .* is the name of several zones"):
        times(tmp_path, expression, *written)
    assert times(tmp_path, f"replace(t, ' {name}', '+01:00')", *written)[1] == INSTANT


@pytest.mark.parametrize("name", ["GMT", "UTC", "WET"])
def test_other_abbreviations_are_read(tmp_path: Path, name: str) -> None:
    assert times(tmp_path, "t", f"2026-01-05 09:00:00 {name}")[0].hour == 9


@pytest.mark.parametrize(
    "written", ["2026-07-05  ", "\t2026-07-05", "2026-07-05\u00a0", " 2026-07-05 00:00 "]
)
def test_spaces_of_a_column_of_fixed_width_are_no_part_of_a_time(
    tmp_path: Path, written: str
) -> None:
    assert times(tmp_path, "t", written, zone="UTC") == [datetime(2026, 7, 5, tzinfo=UTC)]


def test_one_time_with_a_zone_among_many_without_is_enough(tmp_path: Path) -> None:
    many = ["2026-07-05 11:00:00"] * 9
    with pytest.raises(Misuse, match="drops the zone of '2026-07-05T09:00:00Z'"):
        times(tmp_path, "t::TIMESTAMP", *many, "2026-07-05T09:00:00Z")


def test_an_apostrophe_in_the_name_of_the_column_hides_no_zone(tmp_path: Path) -> None:
    text = "c,Date d'achat,a\n1,2026-07-05T09:00:00Z,1\n"
    expression = "strptime(\"Date d'achat\", '%Y-%m-%dT%H:%M:%SZ')"
    with pytest.raises(Misuse, match="drops the zone of '2026-07-05T09:00:00Z'"):
        read(tmp_path, text, timezone="Europe/Berlin", columns=columns(expression))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", None])
def test_the_times_of_parquet_are_instants_or_local(
    tmp_path: Path, unit: str, zone: str | None
) -> None:
    local = INSTANT if zone else INSTANT.astimezone(ZoneInfo("Europe/Berlin")).replace(tzinfo=None)
    series = pd.Series([local]).dt.as_unit(unit)
    pd.DataFrame({"c": ["1"], "t": series, "a": [1.0]}).to_parquet(tmp_path / "lines.csv")
    done = read(tmp_path, timezone="Europe/Berlin", columns=columns("t"))
    assert [time.astimezone(UTC) for time in done.column("event_time")] == [INSTANT]


@pytest.mark.parametrize(
    ("note", "hour"),
    [
        ("org.apache.spark.version", 9),
        ("org.apache.spark.sql.parquet.row.metadata", 9),
        ("writer.model.name", 7),  # Impala and others write the time of a clock
    ],
)
def test_the_int96_of_spark_is_an_instant(tmp_path: Path, note: str, hour: int) -> None:
    rows = pa.table({"c": ["1"], "a": [1.0], "t": pa.array([INSTANT.replace(tzinfo=None)])})
    rows = rows.replace_schema_metadata({note: "3.5.1"})
    pq.write_table(rows, tmp_path / "lines.csv", use_deprecated_int96_timestamps=True)
    done = read(tmp_path, timezone="Europe/Berlin", columns=columns("t"))
    (time,) = done.column("event_time")
    assert time.astimezone(UTC) == INSTANT.replace(hour=hour)


@pytest.mark.parametrize("expression", ["t", "epoch_ms(t)"])
def test_numbers_of_parquet_are_no_times(tmp_path: Path, expression: str) -> None:
    frame = pd.DataFrame({"c": ["1"], "t": [SECONDS * 1000], "a": [1.0]})
    frame.to_parquet(tmp_path / "lines.csv")
    with pytest.raises(Misuse, match=r"to_timestamp\(t / 1000\)"):
        read(tmp_path, columns=columns(expression))
    done = read(tmp_path, columns=columns("to_timestamp(t / 1000)"))
    assert [time.astimezone(UTC) for time in done.column("event_time")] == [INSTANT]


def test_an_instant_of_parquet_does_not_become_local_on_the_way(tmp_path: Path) -> None:
    frame = pd.DataFrame({"c": ["1"], "t": pd.Series([INSTANT]), "a": [1.0]})
    frame.to_parquet(tmp_path / "lines.csv")
    with pytest.raises(Misuse, match="drops the zone of"):
        read(tmp_path, columns=columns("t::TIMESTAMP"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("instants")


@given(
    st.lists(
        st.one_of(
            st.datetimes(datetime(1999, 1, 1), datetime(2037, 1, 1)),
            st.datetimes(datetime(2026, 10, 24, 23), datetime(2026, 10, 25, 3)),
            st.datetimes(datetime(2026, 3, 8, 5), datetime(2026, 3, 8, 9)),
        ).map(lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000)),
        min_size=1,
        max_size=20,
        unique=True,
    ),
    st.sampled_from(ZONES),
)
@examples(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_instant_comes_through_in_any_zone(
    place: Path, naive: list[datetime], zone: str
) -> None:
    instants = sorted(time.replace(tzinfo=UTC) for time in naive)
    there = ZoneInfo(zone)
    offset = [time.astimezone(there).isoformat() for time in instants]
    assert sorted(times(place, "t", *offset, zone=zone)) == instants
    millis = [
        (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1) for time in instants
    ]
    assert sorted(times(place, "to_timestamp(t / 1000)", *millis, zone=zone)) == instants
    # A local time that exists twice means the later instant.
    local = [time.astimezone(there).replace(tzinfo=None, fold=1) for time in instants]
    later = [time.replace(tzinfo=there).astimezone(UTC) for time in local]
    assert sorted(times(place, "t", *(f"{time} " for time in local), zone=zone)) == sorted(later)


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("2026-03-29 02:30:00", datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),  # does not exist
        ("2026-10-25 02:30:00", datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),  # exists twice
        ("2026-10-25T02:30:00+01:00", datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),
    ],
)
def test_gaps_and_overlaps_of_summer_time(tmp_path: Path, local: str, utc: datetime) -> None:
    assert times(tmp_path, "t", local) == [utc]


def test_a_wrong_column_for_the_time_is_told_without_its_addresses(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match=r"times cannot be read, for example 'aaaa9@aaaa\.aaaaaaa'"):
        times(tmp_path, "t", "anna7@mail.example")
