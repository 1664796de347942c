"""Does the input look right? Small tables in memory: what is refused, what is said, what passes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest

from sovereign_ml.config.data_tables import CheckSettings
from sovereign_ml.config.tables import FeatureSettings
from sovereign_ml.pipeline.input_checks import plausibility, unusable
from sovereign_ml.pipeline.input_checks.customer_ids import id_text
from sovereign_ml.pipeline.input_checks.matching import CustomerMatch, match_customers
from sovereign_ml.storage import duckdb as db

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
WINDOWS = FeatureSettings(
    cutoffs=8, every_days=30, horizon_days=30, active_within_days=90, lookback_days=365
)
BARRED = ("objected", "restricted", "withdrawn", "erased", "no consent")


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    found = db.connect()
    found.execute("SET TimeZone = 'UTC'")
    return found


# Ids: one number has one spelling.


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("101.0::DOUBLE", "101"),
        ("101.0::FLOAT", "101"),
        ("-7.0::DOUBLE", "-7"),
        ("123000000000.0::DOUBLE", "123000000000"),
        ("9007199254740991::DOUBLE", "9007199254740991"),
        ("9007199254740993::DOUBLE", "9.0071992547409920e+15"),
        ("16777217::FLOAT", "1.6777216000000000e+07"),
        ("'1.000'", "1.000"),
        ("1.000::DECIMAL(9, 3)", "1"),
        ("chr(12) || 'A 7' || chr(0) || chr(26)", "A 7"),
        ("chr(8206) || 'A7' || chr(8236)", "A7"),
        ("101.00::DECIMAL(9, 2)", "101"),
        ("'101.0'", "101"),
        ("'00101.000'", "00101"),
        ("101", "101"),
        ("'0101'", "0101"),
        ("101.5::DOUBLE", "101.5"),
        ("'101.10'", "101.10"),
        ("'v1.0'", "v1.0"),
        ("' \u00a0A7\u200b\t'", "A7"),
        ("'12345678901234567891'", "12345678901234567891"),
        ("NULL::DOUBLE", None),
        ("'nan'::DOUBLE", "nan"),
    ],
)
def test_an_id_is_written_as_text_without_the_float_of_a_tool(
    connection: duckdb.DuckDBPyConnection, value: str, text: str | None
) -> None:
    found = connection.execute(f"SELECT {id_text('x')} FROM (SELECT {value} AS x)").fetchone()
    assert found == (text,)


# People of the customers table against the buyers.


def met(
    connection: duckdb.DuckDBPyConnection,
    buyers: Iterable[str],
    people: Iterable[str],
    barred: Iterable[tuple[str, str]] = (),
) -> CustomerMatch:
    connection.execute("CREATE TABLE mapped (customer_id VARCHAR)")
    for id_ in buyers:
        connection.execute("INSERT INTO mapped VALUES (?)", [id_])
    connection.execute(
        "CREATE TABLE people (customer_id VARCHAR, consent BOOLEAN, objected BOOLEAN, "
        "restricted BOOLEAN, withdrawn BOOLEAN, erased BOOLEAN)"
    )
    rows = [(id_, "") for id_ in people] + list(barred)
    for id_, why in rows:
        marks = [why == mark for mark in BARRED[:4]]
        consent = why != "no consent"
        connection.execute("INSERT INTO people VALUES (?, ?, ?, ?, ?, ?)", [id_, consent, *marks])
    return match_customers(connection)


def test_people_who_are_met_are_counted_by_what_bars_them(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    barred = [(f"x{why}", why) for why in BARRED] + [(f"y{why}", why) for why in BARRED]
    found = met(connection, ["a", "b", *(f"x{why}" for why in BARRED)], ["a", "z"], barred)
    assert (found.customers, found.customers_met, found.buyers) == (12, 6, 7)
    assert (found.objected, found.objected_met) == (2, 1)
    assert (found.restricted, found.restricted_met) == (2, 1)
    assert (found.refused_consent, found.refused_consent_met) == (4, 2)
    assert (found.erased, found.erased_met) == (2, 1)
    assert found.headline == (
        "6 of 12 customers met among 7 buyers "
        "(objected 1 of 2, restricted 1 of 2, without consent 2 of 4, erased 1 of 2)"
    )
    assert found.problems(CheckSettings()) == []


OTHERWISE = {
    "lost zeros": ("0017{:02}", "17{:02}", "'999999', of the buyers like '9999'"),
    "upper case": ("A{:03}@X.EU", "a{:03}@x.eu", "'a999@a.aa'"),
    "uuid": (
        "AB{:02}0000-0000-4000-8000-000000000000",
        "ab{:02}000000004000800000000000000",
        "'aa999999-9999-",
    ),
    "quote": ("'0{:03}", "0{:03}", "''9999', of the buyers like '9999'"),
    "prefix": ("C-{:03}", "{:03}", "'a-999', of the buyers like '999'"),
    "inner space": ("C {:03}", "C{:03}", "'a 999', of the buyers like 'a999'"),
    "wrong column": ("Name {:03}", "{:03}-1", "'aaaa 999', of the buyers like '999-9'"),
    "exponent": ("1.5{:02}E+11", "15{:02}00000012", "'9.999a+99'"),
}


@pytest.mark.parametrize("name", OTHERWISE)
@pytest.mark.parametrize("turned", [False, True])
def test_ids_that_are_written_otherwise_are_refused_with_their_shapes(
    connection: duckdb.DuckDBPyConnection, name: str, turned: bool
) -> None:
    left, right, said = OTHERWISE[name]
    ids = [[pattern.format(i) for i in range(10, 30)] for pattern in (left, right)]
    buyers, people = ids if turned else ids[::-1]
    problems = met(connection, buyers, people).problems(CheckSettings())
    assert problems[0].startswith("0 of 20 customers are among the 20 buyers")
    assert turned or said in problems[0]
    assert not any(id_ in " ".join(problems) for id_ in [*buyers, *people])
    never = met_again(connection, min_matched_customers=0.0, max_similar_ids=99)
    assert never[0].startswith("0 of 20 customers")


def met_again(connection: duckdb.DuckDBPyConnection, **limits: Any) -> list[str]:
    config = CheckSettings(**limits)
    return match_customers(connection).problems(config)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ann@x.eu", "ann@x.eu"),
        ("0042", "42"),
        ("'42", "42"),
        ("c 42", "c42"),
        ("{42}", "42"),
        ("17.850", "17850"),
        ("17,850", "17850"),
        ("1'017.850", "1017850"),
        ("42,0", "42"),
        ("C-0042", "C-42"),
        ("KD_42", "KD-42"),
        ("KD\N{NON-BREAKING HYPHEN}42", "kd-42"),
        ("4\N{LEFT-TO-RIGHT MARK}2", "42"),
        ("C42", "42"),
        ("kd-0042", "42"),
    ],
)
@pytest.mark.parametrize("why", BARRED)
def test_one_barred_person_who_is_written_otherwise_is_enough(
    connection: duckdb.DuckDBPyConnection, one: str, other: str, why: str
) -> None:
    same = [f"id{i}" for i in range(50)]
    problems = met(connection, [*same, one], same, [(other, why)]).problems(CheckSettings())
    assert len(problems) == 1
    assert "1 customers whom no purchase names differ from buyers" in problems[0]
    assert "max_similar_ids allows 0" in problems[0]
    assert met_again(connection, max_similar_ids=1) == []


def test_ids_that_look_alike_and_are_both_known_are_different_people(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    found = met(connection, ["007", "7", "A"], ["007", "7", "a", "A"])
    assert found.problems(CheckSettings()) == []


def test_a_prefix_of_people_who_may_be_processed_is_a_number_range_of_its_own(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    assert met(connection, ["a", "b", "42"], ["a", "b", "W42"]).problems(CheckSettings()) == []


def test_two_prefixes_are_two_systems(connection: duckdb.DuckDBPyConnection) -> None:
    found = met(connection, ["a", "b", "DE42"], ["a", "b"], [("FR42", "objected")])
    assert found.problems(CheckSettings()) == []


def test_few_matches_are_refused_under_the_limit_and_pass_at_it(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    both = [f"k{i}" for i in range(4)]
    found = met(
        connection, [*both, *(f"b{i}b" for i in range(6))], [*both, *(f"c{i}c" for i in range(9))]
    )
    problem = found.problems(CheckSettings())[0]
    assert problem.startswith("4 of 13 customers are among the 10 buyers (40.0%;")
    assert "min_matched_customers asks for 50%" in problem
    assert found.problems(CheckSettings(min_matched_customers=0.4)) == []


@pytest.mark.parametrize(("buyers", "people"), [(["a"] * 9, ["a"]), (["a"], ["a", *"bcdefgh"])])
def test_a_table_that_names_many_more_people_than_the_other_passes(
    connection: duckdb.DuckDBPyConnection, buyers: list[str], people: list[str]
) -> None:
    assert met(connection, buyers, people).problems(CheckSettings()) == []


@pytest.mark.parametrize(("buyers", "people"), [([], ["a"]), (["a"], [])])
def test_a_table_without_people_is_compared_with_nothing(
    connection: duckdb.DuckDBPyConnection, buyers: list[str], people: list[str]
) -> None:
    found = met(connection, buyers, people)
    assert found.problems(CheckSettings()) == []


def test_objectors_with_ids_of_another_system_are_noticed(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    same = [f"id{i}" for i in range(20)]
    others = [(f"mail{i}@x.eu", "objected") for i in range(10)]
    problems = met(connection, same, same, others).problems(CheckSettings())
    assert [p[:62] for p in problems] == [
        "none of 10 customers who objected, are restricted or gave no c"
    ]
    assert met_again(connection, max_unmet_objectors=10) == []


# Rows that are kept.

Row = tuple[str, int, float]
"""Customer, day, amount."""


def gate(
    connection: duckdb.DuckDBPyConnection, rows: Sequence[Row], *, plain: bool = True
) -> duckdb.DuckDBPyConnection:
    connection.execute(
        "CREATE TABLE gated (customer_id VARCHAR, event_time TIMESTAMPTZ, "
        "amount_eur DECIMAL(18, 2), amount_read DOUBLE, plain_amount BOOLEAN, reason VARCHAR, rate_age INTEGER, rate_seen VARCHAR)"
    )
    values = [(id_, START + timedelta(days=day), a, a, plain, None) for id_, day, a in rows]
    connection.executemany("INSERT INTO gated VALUES (?, ?, ?, ?, ?, ?, NULL, NULL)", values)
    return connection


def said(
    connection: duckdb.DuckDBPyConnection, rows: Sequence[Row], *, plain: bool = True, **limits: Any
) -> list[str]:
    config = CheckSettings(**limits)
    return plausibility.signs_of_a_fault(gate(connection, rows, plain=plain), config)


def usual(days: int = 100, a_day: int = 4, amount: float = 9.99) -> list[Row]:
    return [
        (f"c{(day * a_day + i) % 40}", day, amount) for day in range(days) for i in range(a_day)
    ]


def test_a_usual_shop_looks_right(connection: duckdb.DuckDBPyConnection) -> None:
    assert said(connection, usual()) == []


def test_a_turned_sign_is_named(connection: duckdb.DuckDBPyConnection) -> None:
    problems = said(connection, usual(amount=-9.99))
    assert len(problems) == 1
    assert problems[0].startswith("all 400 amounts (100.0%) are negative")
    assert 'amount_eur = "-amount"' in problems[0]


@pytest.mark.parametrize("returns", [0, 20])
def test_amounts_without_a_purchase_among_them_are_another_column(
    connection: duckdb.DuckDBPyConnection, returns: int
) -> None:
    rows = [(f"c{i}", i, -1.0 if i < returns else 0.0) for i in range(100)]
    problems = said(connection, rows)
    assert [p.split(",")[0] for p in problems] == ["none of 100 amounts is above zero"]


@pytest.mark.parametrize(("negative", "refused"), [(33, False), (34, True)])
def test_more_than_a_third_of_returns_is_a_turned_sign(
    connection: duckdb.DuckDBPyConnection, negative: int, refused: bool
) -> None:
    rows = [("c", 1, -1.0 if i < negative else 1.0) for i in range(100)]
    problems = said(connection, rows, max_one_customer_share=1.0)
    assert [p.startswith("34 of 100 amounts (34.0%)") for p in problems] == [True] * refused


@pytest.mark.parametrize(
    ("name", "rows", "refused"),
    [("visitor", 500, True), ("visitor", 90, False), ("0", 101, True), ("0", 9, False)],
)
def test_one_id_with_most_rows_may_be_a_word_for_nobody(
    connection: duckdb.DuckDBPyConnection, name: str, rows: int, refused: bool
) -> None:
    small = [(f"c{i}", i % 100, 5.0) for i in range(300)]
    problems = said(connection, [*small, *((name, i % 100, 5.0) for i in range(rows))])
    assert [p.startswith("one customer_id") for p in problems] == [True] * refused
    assert name == "0" or not any(name in problem for problem in problems)


def test_amounts_of_less_than_a_cent_are_in_another_unit(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    problems = said(connection, usual(amount=0.0042), plain=False)
    assert ["less than a cent" in problem for problem in problems] == [True]


@pytest.mark.parametrize(
    ("amount", "plain", "refused"),
    [(1.459, True, True), (1.459, False, False), (12.34, True, False), (0.1 + 0.2, True, False)],
)
def test_parts_of_a_cent_are_asked_about_where_nothing_was_computed(
    connection: duckdb.DuckDBPyConnection, amount: float, plain: bool, refused: bool
) -> None:
    problems = said(connection, usual(amount=amount), plain=plain)
    assert ["parts of a cent" in problem for problem in problems] == [True] * refused


def test_a_feed_that_lags_leaves_a_thin_end(connection: duckdb.DuckDBPyConnection) -> None:
    late = [("c1", 100 + day, 9.99) for day in range(10)]
    problems = said(connection, [*usual(), *late])
    assert len(problems) == 1
    assert problems[0].startswith("the last 7 days have 7 rows, a usual week has 28 (25%;")


def test_one_event_far_after_the_others_leaves_a_thin_end_too(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    assert "last 7 days have 1 rows" in said(connection, [*usual(), ("c1", 120, 9.99)])[0]


@pytest.mark.parametrize(
    "rows",
    [usual(days=40), usual(a_day=1)[::5], [("c1", month * 30, 5.0) for month in range(12)]],
    ids=["short history", "few rows", "once a month"],
)
def test_a_quiet_end_says_nothing_where_nothing_is_usual(
    connection: duckdb.DuckDBPyConnection, rows: list[Row]
) -> None:
    assert said(connection, [*rows, ("c1", 400, 9.99)], max_one_customer_share=1.0) == []


# Rows that are set aside.


def test_unusable_rows_are_refused_in_total_or_by_their_own_limit() -> None:
    counts = {"no_customer_id": 25, "unreadable_time": 1, "unreadable_amount": 2, "in_future": 0}
    values = [("unreadable_amount", "(20.50)", 1), ("unreadable_amount", "20.50-", 1)]

    def problems(**limits: Any) -> list[str]:
        return plausibility.too_many_unusable(100, counts, values, CheckSettings(**limits))

    assert problems()[0].startswith(
        "28 of 100 rows (28.00%) cannot be used, [data.checks] max_unusable_share allows 2.00%: "
        "25 no customer id; 1 unreadable time; 2 unreadable amount, for example '(20.50)', '20.50-'"
    )
    with_own = problems(max_share_of_reason={"no_customer_id": 0.3})
    assert with_own[0].startswith("3 of 100 rows (3.00%)")
    assert "no customer id" not in with_own[0]
    assert problems(max_share_of_reason={"no_customer_id": 0.3}, max_unusable_share=0.03) == []
    under = problems(max_share_of_reason={"no_customer_id": 0.2}, max_unusable_share=0.03)
    assert under[0].startswith("25 of 100 rows (25.00%)")
    assert "max_share_of_reason.no_customer_id allows 20.00%" in under[0]


@pytest.mark.parametrize("reason", unusable.UNUSABLE)
def test_every_reason_has_an_advice(reason: str) -> None:
    (told,) = plausibility.too_many_unusable(10, {reason: 9}, [], CheckSettings(), "data.events.x")
    assert "{" not in told
    advice = told.partition("To do: ")[2]
    assert "[data.events.x]" in advice or "[data]" in advice


@pytest.mark.parametrize(
    ("seen", "shown"),
    [
        ("31/02/2026", "31/02/2026"),
        ("(1,234.50) EUR", "(1,234.50) EUR"),
        ("05 March 2026 10am", "05 March 2026 10am"),
        ("n/a", "n/a"),
        ("Jane Miller", "aaaa aaaaaa"),
        ("jane7@x.eu", "aaaa9@x.eu"),
        ("C0042", "a9999"),
        ("x" * 90, "a" * 40),
    ],
)
def test_a_value_is_shown_unless_it_may_be_a_name_an_address_or_an_id(
    connection: duckdb.DuckDBPyConnection, seen: str, shown: str
) -> None:
    connection.execute(
        "CREATE TABLE mapped AS SELECT 'C0042' AS customer_id; "
        "CREATE TABLE people AS SELECT 'C0043' AS customer_id"
    )
    connection.execute(
        "CREATE TABLE gated AS SELECT 'C0042' AS customer_id, now() AS event_time, ? AS amount_seen, "
        "NULL::VARCHAR AS time_seen, NULL::VARCHAR AS id_seen, NULL::VARCHAR AS rate_seen, 'unreadable_amount' AS reason",
        [seen],
    )
    assert unusable.values(connection) == [("unreadable_amount", shown, 1)]


# The span of the history.


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (540, "history of 540 days to 2026-12-31"),
        (250, "8 cut-offs every 30 days ask for 330: [features]: set cutoffs = 5, or give 330"),
        (160, "set cutoffs = 4, or give 330"),
        (90, "set cutoffs = 3, every_days = 15 and horizon_days = 15, or give 330"),
        (3, "[features]: give 330 days"),
    ],
)
def test_a_history_shorter_than_the_windows_is_told_with_numbers(days: int, said: str) -> None:
    last = datetime(2026, 12, 31, tzinfo=UTC)
    headline = plausibility.History(last - timedelta(days=days), last).headline(WINDOWS)
    assert said in headline
    assert headline.startswith(f"history of {days} days to 2026-12-31")
