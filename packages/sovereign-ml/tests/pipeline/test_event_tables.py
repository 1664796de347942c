"""Events beside the transactions: whose they are, why a row is set aside, what a cut-off sees, where they are found."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from mapped_file import gates, input_files
from own_files import PEOPLE, Shop, as_csv, line, named
from small_project import KEY, configure, load
from sovereign_ml.cli.composition import project_stores
from sovereign_ml.config.data_tables import DataSettings
from sovereign_ml.data_subjects import access, erasure, retention
from sovereign_ml.data_subjects.stores import inventory
from sovereign_ml.data_subjects.stores.files import Files
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.features import event_tables, queries
from sovereign_ml.pipeline import source
from sovereign_ml.pipeline.input_checks.plausibility import history
from sovereign_ml.pipeline.intake import Intake
from sovereign_ml.privacy import corrections, retention_plan
from sovereign_ml.privacy.corrections import CorrectedRow
from sovereign_ml.project import Feature

END = datetime(2026, 6, 30, tzinfo=UTC)
TICKETS = {"file": "tickets.csv", "customer_id": "who", "event_time": "opened"}
LOOSE = {"min_matched_customers": 0.0, "max_unusable_share": 1.0, "max_one_customer_share": 1.0}


def purchases(*customers: str) -> str:
    days = [END - timedelta(days=day) for day in range(0, 200, 2)]
    lines = [f"{customer},{day:%Y-%m-%d %H:%M:%S},10" for day in days for customer in customers]
    return "\n".join(["customer_id,event_time,amount", *lines, ""])


class Tickets:
    """Step 1 over a shop and one event table, in memory."""

    def __init__(
        self,
        root: Path,
        text: str,
        buyers: Sequence[str] = ("A", "B"),
        people: str = "",
        **data: Any,
    ) -> None:
        (root / "lines.csv").write_text(purchases(*buyers))
        (root / "tickets.csv").write_bytes(text.encode())
        (root / "people.csv").write_text(people)
        table = TICKETS | data.pop("tickets", {})
        if people:
            data |= {"customers": "people.csv"}
        files = input_files(root, as_of="2026-06-30", events={"tickets": table}, **data)
        pin = root / "source.json"
        pin.write_text(json.dumps(files.describe(None)))
        tables = Intake(files, gates(root, files)).read(pin)
        tables.mark_erased_and_expired()
        tables.set_aside()
        (self.rows,) = tables._events
        self.shop = history(tables._connection)

    @property
    def aside(self) -> dict[str, int]:
        return {reason: n for reason, n in self.rows.counts.set_aside.items() if n}

    @property
    def problems(self) -> list[str]:
        return self.rows.problems(self.shop)

    def kept(self, columns: str) -> list[Any]:
        self.rows.connection.execute("SET TimeZone = 'UTC'")
        found = self.rows.connection.execute(
            f"SELECT {columns} FROM gated WHERE reason IS NULL ORDER BY ALL"
        )
        return [row[0] if len(row) == 1 else row for row in found.fetchall()]


def tickets(*rows: str, head: str = "who,opened") -> str:
    return "\n".join([head, *rows, ""])


DAY = "2026-06-30 10:00:00"
BARRED = "customer_id,consent,objected_at,restricted_at,withdrawn_at,erased_at\n" + "\n".join(
    (
        "A,true,,,,",
        "B,true,,,,",
        "objector,true,2026-01-01,,,",
        "restricted,true,,2026-01-01,,",
        "withdrawn,true,,,2026-01-01,",
        "erased,true,,,,2026-01-01",
        "silent,false,,,,",
        "browser,true,,,,",
    )
)
MARKS = {name: name for name in BARRED.partition("\n")[0].split(",")}


def test_rows_of_people_who_may_not_be_processed_are_set_aside_with_their_reason(
    tmp_path: Path,
) -> None:
    everybody = ("A", "B", "objector", "restricted", "withdrawn", "erased", "silent")
    names = (*everybody, "browser", "stranger", "")
    done = Tickets(
        tmp_path,
        tickets(*(f"{name},{DAY}" for name in (*names, "A"))),
        everybody,
        BARRED,
        customer_columns=MARKS,
    )
    assert done.rows.counts.read == 11 == done.rows.counts.kept + sum(done.aside.values())
    assert done.kept("customer_id") == ["A", "B"]
    assert done.aside == {
        **dict.fromkeys(("objected", "restricted", "withdrawn", "erased"), 1),
        **{"duplicate": 1, "no_customer_id": 1, "no_consent": 2, "no_purchase": 1},
    }


def test_without_consent_a_stranger_and_a_customer_without_purchase_are_set_aside(
    tmp_path: Path,
) -> None:
    people = "customer_id\nA\nbrowser\n"
    rows = tickets(f"A,{DAY}", f"browser,{DAY}", f"stranger,{DAY}")
    done = Tickets(tmp_path, rows, people=people)
    assert (done.kept("customer_id"), done.aside) == (["A"], {"no_purchase": 2})


@pytest.mark.parametrize(
    ("row", "table", "timezone", "kept", "aside"),
    [
        ("A,2026-06-30T08:00:00Z", {}, "UTC", ["2026-06-30 08:00:00"], {}),
        ("A,2026-06-30T08:00:00+05:00", {}, "UTC", ["2026-06-30 03:00:00"], {}),
        (f"A,{DAY}", {}, "Europe/Berlin", ["2026-06-30 08:00:00"], {}),
        ("A,2026-06-30 23:59:59", {}, "UTC", ["2026-06-30 23:59:59"], {}),
        ("A,2026-07-01 00:00:00", {}, "UTC", [], {"in_future": 1}),
        ("A,2026-07-01 00:00:00", {}, "America/New_York", [], {"in_future": 1}),
        ("A,2026-07-01T02:00:00Z", {}, "America/New_York", ["2026-07-01 02:00:00"], {}),
        (" A ,2026-06-30", {}, "UTC", ["2026-06-30 00:00:00"], {}),
        ("A,31.02.2026", {}, "UTC", [], {"unreadable_time": 1}),
        ("guest,2026-06-30", {}, "UTC", [], {"no_customer_id": 1}),
        ("A,2026-06-30", {"where": "topic = '1'"}, "UTC", [], {"filtered": 1}),
        ("A,2026-06-30", {"where": "topic::INT = 1"}, "UTC", [], {"unreadable_filter": 1}),
        ("A,2026-06-30", {"kind": "topic::INT::VARCHAR"}, "UTC", [], {"unreadable_kind": 1}),
        ("A,2026-06-30", {"value": "topic"}, "UTC", [], {"unreadable_value": 1}),
        ("A,2026-06-30", {"value": "topic / 60"}, "UTC", [], {"unreadable_value": 1}),
        ("A,2026-06-30", {"value": "nullif(topic, 'x')"}, "UTC", ["2026-06-30 00:00:00"], {}),
    ],
)
def test_a_row_is_read_like_a_row_of_the_transactions(
    tmp_path: Path,
    row: str,
    table: dict[str, str],
    timezone: str,
    kept: list[str],
    aside: dict[str, int],
) -> None:
    # Others keep the file readable, so that one row at fault stops nothing.
    others = [f"B,2026-06-29 10:00:0{second},1" for second in range(3)]
    text = tickets(f"{row},x", *others, head="who,opened,topic")
    done = Tickets(tmp_path, text, tickets=table, timezone=timezone)
    seen = done.kept("customer_id, CAST(event_time AS VARCHAR)")
    assert [at[:19] for name, at in seen if name == "A"] == kept
    assert (done.aside, done.rows.counts.kept) == (aside, 3 + len(kept))


@pytest.mark.parametrize(
    ("ids", "buyers", "refused"),
    [
        (["101.0", "102.0"], ("101", "102"), ""),
        (["0101", "0102"], ("101", "102"), "0 of 2 customers are among the 2 buyers"),
        (["a@x.eu", "b@x.eu"], ("A@x.eu", "b@x.eu"), "1 customers whom no purchase names differ"),
        (["A", "1.23E+11"], ("A", "B"), "exponent notation"),
        (["A", "z1", "z2", "z3"], ("A", "B", "C"), "1 of 4 customers are among the 3 buyers"),
        (["z1"], ("A",), "no event is left"),
    ],
)
def test_ids_that_are_written_otherwise_are_refused_and_never_matched_by_guess(
    tmp_path: Path, ids: list[str], buyers: tuple[str, ...], refused: str
) -> None:
    done = Tickets(tmp_path, tickets(*(f"{id_},{DAY}" for id_ in ids)), buyers)
    told = "; ".join(done.problems)
    assert refused in told if refused else not told
    assert not told or "tickets: " in told


@pytest.mark.parametrize(
    ("days", "a_day", "table", "refused"),
    [
        (range(0, 100), 5, {}, ""),
        (range(8, 100), 5, {}, "newest event is 8 days older"),
        (range(8, 100), 5, {"max_days_behind": 8, "checks": LOOSE | {"min_recent_volume": 0}}, ""),
        (range(6, 100), 5, {"checks": LOOSE}, "the last 7 days have"),
        (range(7, 100, 20), 1, {}, ""),
        (range(40, 100, 20), 1, {}, "newest event is 40 days older"),
    ],
)
def test_a_feed_that_lags_behind_the_purchases_is_refused(
    tmp_path: Path, days: range, a_day: int, table: dict[str, Any], refused: str
) -> None:
    rows = [
        f"{'AB'[n % 2]},{END - timedelta(days=day, minutes=n):%Y-%m-%d %H:%M:%S}"
        for day in days
        for n in range(a_day)
    ]
    done = Tickets(tmp_path, tickets(*rows), tickets={"checks": LOOSE} | table)
    told = "; ".join(done.problems)
    assert refused in told if refused else not told


def test_too_many_unusable_rows_name_the_table_and_what_to_do(tmp_path: Path) -> None:
    rows = [f"A,2026-06-30 10:00:0{n},{n}" for n in range(5)]
    text = tickets(*rows, "A,2026-06-30,five", head="who,opened,minutes")
    done = Tickets(tmp_path, text, tickets={"value": "minutes"})
    (told,) = (problem for problem in done.problems if "cannot be used" in problem)
    assert "1 unreadable value" in told
    assert "[data.events.tickets], such as value =" in told
    done.rows.write_values(tmp_path)
    (written,) = list(csv.DictReader(io.StringIO((tmp_path / "set_aside_tickets.csv").read_text())))
    assert written == {"reason": "unreadable_value", "value": "aaaa", "rows": "1"}


def test_values_keep_their_digits_and_the_reader_of_the_table_is_its_own(tmp_path: Path) -> None:
    text = "who;opened;minutes\nA;2026-06-30;1.234,5678\nB;2026-06-30;\nB;2026-06-29;0\n"
    reader = {"delimiter": ";", "decimal": ","}
    done = Tickets(tmp_path, text, tickets={"value": "minutes", "reader": reader})
    assert done.kept("value") == [0.0, 1234.5678, None]
    assert (
        done.rows.config.reader.null_words == DataSettings.model_fields["reader"].default.null_words
    )


def test_equal_rows_are_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    text = tickets(f"A,{DAY}", f"A,{DAY}")
    assert Tickets(tmp_path, text).aside == {"duplicate": 1}
    done = Tickets(tmp_path, text, tickets={"duplicates": "keep"})
    assert (done.aside, len(done.kept("customer_id"))) == ({}, 2)


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ({"Tickets": TICKETS}, "small letters"),
        ({"transactions": TICKETS}, "have a table already"),
        ({"tickets": TICKETS | {"file": ""}}, "name a file"),
        ({"tickets": TICKETS | {"file": []}}, "name a file"),
        ({"tickets": TICKETS | {"customer_id": " "}}, "this column is needed"),
        ({"tickets": TICKETS | {"knd": "x"}}, "data.events.tickets.knd"),
        ({"tickets": TICKETS | {"checks": {"max_unusable_shar": 1}}}, "max_unusable_shar"),
        ({"tickets": "tickets.csv"}, "data.events.tickets"),
    ],
)
def test_a_wrong_table_is_one_line(
    new_project: Callable[..., Path], tables: dict[str, Any], told: str
) -> None:
    root = new_project({"data.events": tables})
    with pytest.raises(Misuse) as refused:
        load(root)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


# What a cut-off sees.

CUT = datetime(2026, 3, 1)


@pytest.fixture
def valid(tmp_path: Path) -> Callable[..., Path]:
    def write(*times: str, name: str = "tickets") -> Path:
        table = pd.DataFrame(
            {
                "customer_id": named("A") * len(times),
                "event_time": pd.to_datetime(list(times), format="ISO8601", utc=True),
                "kind": [None] * len(times),
                "value": [None] * len(times),
            }
        )
        table.to_parquet(tmp_path / f"events_{name}.parquet")
        return tmp_path

    return write


def of(*sources: str) -> list[Feature]:
    return [Feature(f"from_{name}", "count", name, "because", source=name) for name in sources]


def loaded(folder: Path, *sources: str) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    queries.read(connection, folder, event_tables.selects(folder, of(*sources)))
    event_tables.past(connection, 30)
    connection.execute("SET VARIABLE cut = CAST(? AS TIMESTAMP)", [CUT])
    return connection


@pytest.mark.parametrize(
    ("at", "seen"),
    [
        ("2026-03-01T00:00:00", False),
        ("2026-03-01T00:00:00.001", False),
        ("2026-02-28T23:59:59.999", True),
        ("2026-03-01T00:30:00+01:00", True),
        ("2026-02-28T23:30:00-01:00", False),
        ("2026-01-30T00:00:00", True),
        ("2026-01-29T23:59:59.999", False),
    ],
)
def test_only_events_before_the_cut_off_and_in_the_lookback_are_seen(
    valid: Callable[..., Path], at: str, seen: bool
) -> None:
    connection = loaded(valid(at), "tickets")
    found = connection.sql("SELECT count(*) FROM past_tickets").fetchall()
    assert found == [(int(seen),)]
    types = dict(
        connection.sql("SELECT column_name, column_type FROM (DESCRIBE past_tickets)").fetchall()
    )
    assert (types["kind"], types["value"]) == ("VARCHAR", "DOUBLE")


def test_what_is_forgotten_is_not_seen_by_any_later_cut_off(valid: Callable[..., Path]) -> None:
    connection = loaded(valid("2026-02-10", "2026-02-20"), "tickets")
    event_tables.forget_from(connection, datetime(2026, 2, 20))
    event_tables.past(connection, 30)
    assert connection.sql("SELECT count(*) FROM past_tickets").fetchall() == [(1,)]


def test_a_table_and_the_features_made_from_it_need_each_other(valid: Callable[..., Path]) -> None:
    folder = valid("2026-02-10")
    with pytest.raises(Misuse, match=r"events\.tickets\] is read and no feature is made from it"):
        loaded(folder)
    with pytest.raises(Misuse, match=r"from_logins .* source='logins': map that table"):
        loaded(folder, "tickets", "logins")


def test_a_table_that_begins_after_the_oldest_cut_off_is_refused(
    valid: Callable[..., Path],
) -> None:
    connection = loaded(valid("2026-02-10"), "tickets")
    event_tables.check_history(connection, datetime(2026, 2, 11))
    with pytest.raises(Refused, match=r"tickets begins on 2026-02-10, and the oldest cut-off"):
        event_tables.check_history(connection, datetime(2026, 2, 10))
    connection.execute("DELETE FROM events_tickets")
    with pytest.raises(Refused, match="has no valid event"):
        event_tables.check_history(connection, CUT)


# Where the rows are found afterwards.


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Step 1 of a project with a table of tickets, in which A, B and an objector have one each."""
    lines = [line(name, order_line=n) for n, name in enumerate(("A", "B", "objected", "erased"))]
    shop = Shop(tmp_path_factory.mktemp("events") / "own", lines, PEOPLE)
    rows = [{"who": name, "opened": "2026-01-15"} for name in ("A", "B", "objected", "erased")]
    (shop.root / "tickets.csv").write_text(as_csv(rows))
    configure(shop.root, {f"data.events.tickets.{key}": value for key, value in TICKETS.items()})
    return shop.read()


def test_step_1_writes_pseudonyms_and_the_figures_of_each_table(own: Shop) -> None:
    table = own.table("events_tickets")
    assert sorted(table["customer_id"]) == sorted(named("A", "B"))
    assert list(table.columns) == ["customer_id", "event_time", "kind", "value"]
    assert (
        "tickets: 4 read = 2 kept + 2 set aside (1 erased, 1 objected)" in own.summary["headline"]
    )
    assert own.summary["events"]["tickets"]["people"] == 2
    assert own.summary["erased_found"] == 0


def test_the_pin_follows_the_content_of_an_event_table_and_keeps_it_where_the_file_is_away(
    own: Shop,
) -> None:
    pin, path = own.root / "data/source.json", own.root / "tickets.csv"
    text, before = path.read_bytes(), pin.read_text()
    path.write_bytes(text + b"A,2026-01-16\n")
    assert source.refresh(load(own.root)).read_text() != before
    path.write_bytes(text)
    assert source.refresh(load(own.root)).read_text() == before
    path.unlink()
    assert source.refresh(load(own.root)).read_text() == before
    configure(own.root, {"data.events.tickets.file": "other.csv"})
    with pytest.raises(
        Misuse, match=r"No file other\.csv for events\.tickets: set .*events\.tickets\]"
    ):
        source.refresh(load(own.root))
    configure(own.root, {"data.events.tickets.file": "tickets.csv"})
    path.write_bytes(text)


def test_retention_access_and_erasure_reach_the_event_tables(own: Shop) -> None:
    settings = load(own.root)
    keepers = retention._tables(project_stores(settings))
    due = retention_plan.plan(keepers, datetime(2036, 1, 1, tzinfo=UTC))
    assert "data/1_raw/events_tickets.parquet" in {item.place for item in due}
    assert access.event_rows(own.root / "data", named("A"))["events_tickets"][0]["event_time"]
    told = erasure.in_source(source.input_files(settings), [bytes.fromhex(KEY)], named("A"))
    assert any(sentence.startswith("tickets.csv: 1 row is about them") for sentence in told)
    files = Files(own.root, inventory.FORMATS, skip=[], ours=[own.root / "data"])
    (trace,) = (one for one in files.find(named("A")) if "events_tickets" in one.place)
    assert (trace.count, trace.action) == (1, "rows removed")
    files.remove(named("A"), [trace])
    assert list(own.table("events_tickets")["customer_id"]) == named("B")


# What a person has corrected (GDPR Art. 16).


OF_A = CorrectedRow(datetime(2026, 1, 15, 8, tzinfo=UTC), "tickets")
"""The ticket that A opened within one second of 8 o'clock."""


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "delivery"},
        {"value": ""},
        {"value": "7.25", "kind": "delivery"},
        {"event_time": "2026-01-10 09:30:00", "value": "1", "kind": ""},
    ],
)
def test_an_import_corrects_the_event_and_no_other_row(
    tmp_path: Path, values: dict[str, str]
) -> None:
    shop = Shop(tmp_path / "own", [line("A"), line("B", order_line=2)])
    rows = [
        {"who": who, "opened": f"2026-01-15 08:00:0{second}", "topic": "bill", "minutes": 5}
        for who, second in (("A", "0.250"), ("A", "1.250"), ("B", "0.250"))
    ]
    (shop.root / "tickets.csv").write_text(as_csv(rows))
    columns = TICKETS | {"kind": "topic", "value": "minutes"}
    configure(shop.root, {f"data.events.tickets.{key}": value for key, value in columns.items()})
    raw = shop.root / "data/1_raw"
    raw.mkdir(parents=True)
    corrections.add(raw, named("A")[0], OF_A, values)
    table = shop.read().table("events_tickets").sort_values(["customer_id", "event_time"])
    theirs = table["customer_id"] == named("A")[0]
    ((other,), (first, second)) = (
        table[~theirs].to_dict("records"),
        table[theirs].to_dict("records"),
    )
    for untouched in (second, other):
        assert (untouched["kind"], untouched["value"]) == ("bill", 5)
    at = values.get("event_time", "2026-01-15 08:00:00.250")
    assert first["event_time"] == pd.Timestamp(at, tz="UTC")
    assert (first["kind"] or "") == values.get("kind", "bill")
    number = values.get("value", "5")
    assert pd.isna(first["value"]) if number == "" else first["value"] == float(number)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"amount_eur": "3"}, "No column 'amount_eur' of an event of tickets"),
        ({"value": "three"}, "is no double"),
        ({"value": "nan"}, "is no double"),
        ({"event_time": "infinity"}, "is no timestamptz"),
        ({"event_time": ""}, "event_time is empty"),
        ({"event_time": "2999-01-01"}, "in the future"),
        ({"kind": "x" * 65}, "65 characters"),
        ({"kind": "two\nlines"}, "line break"),
    ],
)
def test_a_correction_that_would_lose_the_event_is_refused(
    tmp_path: Path, values: dict[str, str], told: str
) -> None:
    with pytest.raises(Misuse, match=re.escape(told)):
        corrections.add(tmp_path, named("A")[0], OF_A, values)
    assert not list(tmp_path.iterdir())
