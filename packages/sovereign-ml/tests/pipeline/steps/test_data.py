"""Step 1: rows read are rows kept plus rows set aside; who must not be there is not there."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from own_files import PEOPLE, TABLES, Row, Shop, as_csv, line, named, person
from small_project import churn, configure, load, make_project, step
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.pipeline.demo_shop import make
from sovereign_ml.storage.artifacts import read_json

New = Callable[..., Path]
MAPPINGS = ("columns", "customer_columns")


@pytest.fixture(scope="module")
def shared_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("dirty") / "own")


# What comes out of the built-in shop.


def test_rows_of_the_shop_are_kept_or_set_aside_by_reason(raw: Path) -> None:
    found = read_json(raw / "summary.json")
    assert found["rows_in"] == found["rows_out"] + sum(found["set_aside"].values())
    assert found["rows_out"] == len(pd.read_parquet(raw / "transactions.parquet"))
    assert all(
        found["set_aside"][reason]
        for reason in ("duplicate", "no_customer_id", "unreadable_time", "objected")
    )
    assert f"{found['rows_in']:,} read = {found['rows_out']:,} kept" in found["headline"]


def test_the_shop_makes_the_same_bytes_every_time(project: Path, raw: Path, tmp_path: Path) -> None:
    found = load(project)
    step("data", found, found.path("source"), tmp_path / "again")
    for path in raw.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_another_seed_makes_another_shop(new_project: New) -> None:
    shops = [load(new_project({"data.synthetic.seed": seed})).data.synthetic for seed in (7, 8)]
    one, other = (make(config).transactions for config in shops)
    assert not one.equals(other)


def test_the_number_of_customers_is_what_was_asked_for(new_project: New) -> None:
    root = new_project()
    assert churn(root, "data", "--customers", "70").returncode == 0
    assert read_json(root / "data/source.json")["customers"] == 70
    assert 50 < len(pd.read_parquet(root / "data/1_raw/customers.parquet")) <= 70


def test_no_raw_id_of_the_shop_is_in_any_byte_or_value(raw: Path, project: Path) -> None:
    ids = set(make(load(project).data.synthetic).customers["customer_id"])
    values = {
        str(v)
        for name in TABLES
        for v in pd.read_parquet(raw / f"{name}.parquet").to_numpy().ravel()
    }
    assert not ids & values
    written = b"".join(path.read_bytes() for path in raw.iterdir())
    assert not [one for one in ids if one.encode() in written]


def test_nobody_of_the_shop_who_objected_was_erased_or_gave_no_consent_has_transactions(
    raw: Path, project: Path
) -> None:
    people = make(load(project).data.synthetic).customers
    barred = people[
        people["objected_at"].notna() | people["erased_at"].notna() | ~people["consent"]
    ]
    bought = set(pd.read_parquet(raw / "transactions.parquet")["customer_id"])
    grouped = set(pd.read_parquet(raw / "groups.parquet")["customer_id"])
    assert len(barred) > 50
    assert not set(named(*barred["customer_id"])) & (bought | grouped)


# The team's own files.

dirt = st.fixed_dictionaries(
    {
        "customer_id": st.sampled_from(
            ["A", "B", "007", "7", "", "  ", "erased", "objected", "silent", "unknown"]
        ),
        "ordered_at": st.sampled_from(
            ["2026-01-15 10:00:00", "2026-01-16", "31/02/2026", "", "2026-01-17T10:00:00+02:00"]
        ),
        "amount": st.sampled_from(["10", "-2.50", "", "twelve", "1e30", "nan", "0"]),
        "currency": st.sampled_from(["EUR", "SEK"]),
        "category": st.sampled_from(["books", "", "a,b", 'say "hi"', "é"]),
    }
)


@given(rows=st.lists(dirt, min_size=1, max_size=30))
@examples(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_row_of_any_dirty_file_is_kept_or_set_aside_once(
    shared_root: Path, rows: list[Row]
) -> None:
    good = [line("A", order_line=i) for i in range(len(rows) + 1)]
    dirty = [{"order_line": 1000 + i % 7, **row} for i, row in enumerate(rows)]
    shop = Shop(shared_root, [*good, *dirty], PEOPLE).read()
    assert shop.summary["rows_in"] == len(good) + len(rows)
    assert shop.summary["rows_in"] == shop.summary["rows_out"] + sum(
        shop.summary["set_aside"].values()
    )
    assert shop.summary["rows_out"] == len(shop.table("transactions"))
    assert set(shop.table("transactions")["customer_id"]) <= set(named("A", "B", "007", "7"))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (line(None), "no_customer_id"),
        (line("  "), "no_customer_id"),
        (line(ordered_at="31/02/2026"), "unreadable_time"),
        (line(ordered_at=None), "unreadable_time"),
        (line(amount="twelve"), "unreadable_amount"),
        (line(amount=None), "unreadable_amount"),
        (line("erased"), "erased"),
        (line("objected"), "objected"),
        (line("silent"), "no_consent"),
        (line("stranger"), "no_consent"),
        (line("unknown"), "no_customer_id"),
        (line(), "duplicate"),
    ],
)
def test_each_reason_sets_aside_its_row_and_no_other(
    shop: Callable[..., Shop], bad: Row, reason: str
) -> None:
    done = shop([line(), line("B", order_line=2), bad], PEOPLE).read()
    assert {k: n for k, n in done.summary["set_aside"].items() if n} == {reason: 1}
    assert done.summary["rows_out"] == 2


def test_an_erased_person_leaves_no_trace_in_any_table(shop: Callable[..., Shop]) -> None:
    done = shop([line(), line("erased", order_line=2)], PEOPLE).read()
    gone = named("erased")[0]
    assert gone not in done.values_written()
    assert gone.encode() not in done.everything_written
    assert done.summary["erased_found"] == 0


def test_an_objector_stays_only_as_a_flag_so_that_scoring_can_check_again(
    shop: Callable[..., Shop],
) -> None:
    done = shop([line(), line("objected", order_line=2)], PEOPLE).read()
    someone = named("objected")[0]
    customers = done.table("customers").set_index("customer_id")
    assert customers.loc[someone, "objected_at"] is not pd.NaT
    assert someone not in set(done.table("transactions")["customer_id"]) | set(
        done.table("groups")["customer_id"]
    )


def test_one_line_that_objects_is_enough_when_a_customer_stands_twice(
    shop: Callable[..., Shop],
) -> None:
    twice = [
        person("A"),
        person("A", objected_at="2026-01-01"),
        person("B"),
        person("B", consent=False),
    ]
    done = shop(
        [line("A"), line("B", order_line=2), line("C", order_line=3)], [*twice, person("C")]
    ).read()
    assert list(done.table("transactions")["customer_id"]) == named("C")


def test_the_ids_007_and_7_stay_two_people(shop: Callable[..., Shop]) -> None:
    done = shop(
        [line("007"), line("7", order_line=2), line("7", order_line=3)],
        [person("007"), person("7")],
    ).read()
    assert dict(done.table("transactions")["customer_id"].value_counts()) == dict(
        zip(named("007", "7"), (1, 2), strict=True)
    )


def test_ids_keep_their_zeros_under_a_column_name_that_must_be_quoted(
    shop: Callable[..., Shop],
) -> None:
    done = shop([line("007"), line("7", order_line=2)])
    (done.root / "lines.csv").write_text(
        (done.root / "lines.csv").read_text().replace("customer_id", "Customer ID")
    )
    configure(done.root, {"data.columns.customer_id": '"Customer ID"'})
    assert set(done.read().table("transactions")["customer_id"]) == set(named("007", "7"))


def test_spaces_around_an_id_do_not_make_another_person(shop: Callable[..., Shop]) -> None:
    done = shop([line(" A "), line("A", order_line=2)], [person("A ")]).read()
    assert set(done.table("transactions")["customer_id"]) == set(named("A"))


OBJECTORS = {"data.customer_columns.consent": "", "data.lawful_basis": "contract"}


def test_blanks_are_no_country_and_do_not_make_another(shop: Callable[..., Shop]) -> None:
    countries = {"A": "DE", "B": " DE ", "C": "  ", "D": ""}
    people = [person(name, country=country) for name, country in countries.items()]
    groups = shop([line(name) for name in countries], people).read().table("groups")
    assert sorted(groups["country"].fillna("unknown")) == ["DE", "DE", "unknown", "unknown"]


def test_an_objection_holds_where_a_tool_made_the_ids_floats(shop: Callable[..., Shop]) -> None:
    people = [person("101", objected_at="2026-01-01"), person("102"), person("103", consent=False)]
    done = shop([line()], people)
    ids = [101.0, 102.0, None, 103.0]
    rows = [line(ids[i % 4], order_line=i) for i in range(8)]
    pd.DataFrame(rows).to_parquet(done.root / "lines.parquet")
    configure(done.root, {**OBJECTORS, "data.transactions": "lines.parquet"})
    found = done.read().summary
    assert set(done.table("transactions")["customer_id"]) == set(named("102", "103"))
    assert (found["set_aside"]["objected"], found["set_aside"]["no_customer_id"]) == (2, 2)
    met = {name: found["customers_met"][name] for name in ("customers", "customers_met", "buyers")}
    assert met == {"customers": 3, "customers_met": 3, "buyers": 3}
    assert "3 of 3 customers met among 3 buyers (objected 1 of 1)" in found["headline"]


def test_an_objection_holds_for_every_spelling_of_one_name(shop: Callable[..., Shop]) -> None:
    """An accent of one character or of two, and what programs leave around a value of fixed width."""
    rows = [
        line(name, order_line=i) for i, name in enumerate(("Zoe\u0308", "Zo\u00eb", "B\0\0", "C"))
    ]
    people = [person("Zo\u00eb", objected_at="2026-01-01"), person("B", objected_at="2026-01-01")]
    done = shop(rows, [*people, person("C")])
    configure(done.root, OBJECTORS)
    assert done.read().summary["set_aside"]["objected"] == 3


def test_a_word_for_no_date_is_no_objection_and_any_other_is_one(shop: Callable[..., Shop]) -> None:
    written = ("", "NULL", "0000-00-00", "nan", "x", "yes", "2026-01-01", "99.99.9999")
    rows = [line(f"P{i}", order_line=i) for i in range(8)]
    done = shop(rows, [person(f"P{i}", objected_at=written[i]) for i in range(8)])
    configure(done.root, OBJECTORS)
    assert done.read().summary["set_aside"]["objected"] == 4
    assert set(done.table("transactions")["customer_id"]) == set(named("P0", "P1", "P2", "P3"))


def test_an_objector_whose_id_is_written_otherwise_stops_the_step(
    shop: Callable[..., Shop],
) -> None:
    rows = [line(f"P{i}@x.eu", order_line=i) for i in range(9)]
    people = [person(f"P{i}@x.eu") for i in range(8)]
    done = shop(rows, [*people, person("p8@X.eu", objected_at="2026-01-01")])
    configure(done.root, OBJECTORS)
    with pytest.raises(Refused, match=r"1 customers .* differ from buyers .* only in case") as stop:
        done.read()
    assert stop.value.exit_code == 1
    assert not re.search(r"(?i)p[0-9]@x", str(stop.value))
    lower = {f"data.{table}.customer_id": "lower(customer_id)" for table in MAPPINGS}
    configure(done.root, lower)
    assert done.read().summary["set_aside"]["objected"] == 1


def test_what_does_not_look_right_is_refused_in_one_line_and_may_be_looked_at(
    shop: Callable[..., Shop],
) -> None:
    rows = [line(f"C{i % 9}", order_line=i) for i in range(60)]
    done = shop(rows).read()
    before = done.everything_written
    configure(done.root, {"data.checks.max_unusable_share": 0.02})
    spoilt = [{**row, "amount": f"({i}.50)"} for i, row in enumerate(rows[:4])]
    (done.root / "lines.csv").write_text(
        as_csv([*spoilt, {**rows[4], "ordered_at": "C5"}, line(None), *rows[6:]])
    )
    with pytest.raises(Refused) as stop:
        done.read()
    said = str(stop.value)
    assert "\n" not in said
    assert "6 of 60 rows (10.00%) cannot be used, [data.checks] max_unusable_share" in said
    assert "4 unreadable amount, for example '(0.50)', '(1.50)', '(2.50)'" in said
    assert done.everything_written == before
    refused = done.root / "data/1_raw_refused"
    assert (refused / "set_aside.csv").read_text().splitlines() == [
        "reason,value,rows",
        "no_customer_id,,1",
        *(f"unreadable_amount,({i}.50),1" for i in range(4)),
        "unreadable_time,a9,1",
    ]
    configure(done.root, {"data.checks.max_unusable_share": 0.1})
    done.read()
    assert not refused.exists()
    assert (done.root / "data/1_raw/set_aside.csv").read_text().count("\n") == 7


def test_an_event_in_the_future_is_set_aside_and_moves_nothing(shop: Callable[..., Shop]) -> None:
    done = shop([line(), line(order_line=2, ordered_at="2068-01-05 10:00:00")]).read()
    assert done.summary["set_aside"]["in_future"] == 1
    assert done.times == [datetime(2026, 1, 15, 10, tzinfo=UTC)]


@pytest.mark.parametrize(("last_day", "kept"), [("2026-01-14", 0), ("2026-01-15", 1), ("", 2)])
def test_the_last_day_of_the_data_may_be_named_and_ends_in_its_zone(
    shop: Callable[..., Shop], last_day: str, kept: int
) -> None:
    done = shop(
        [
            line(ordered_at="2026-01-15 23:59:59"),
            line(order_line=2, ordered_at="2026-01-16 00:00:00"),
        ]
    )
    configure(done.root, {"data.as_of": last_day, "data.timezone": "Europe/Berlin"})
    if not kept:
        with pytest.raises(Refused, match=r"No transaction is left: all 2 rows .*'in_future': 2"):
            done.read()
        return
    assert done.read().summary["rows_out"] == kept


def test_words_for_nobody_are_no_customer(shop: Callable[..., Shop]) -> None:
    words = ["NULL", "nan", "N/A", "None", "-", "guest", "\\N", "#N/A"]
    rows = [line(word, order_line=i) for i, word in enumerate([*words, "A", "Nanny"])]
    done = shop(rows).read()
    assert done.summary["set_aside"]["no_customer_id"] == len(words)
    assert set(done.table("transactions")["customer_id"]) == set(named("A", "Nanny"))


def test_the_people_of_the_shop_are_met_among_its_buyers(raw: Path) -> None:
    found = read_json(raw / "summary.json")
    met = found["customers_met"]
    assert met["customers_met"] == met["customers"] == met["buyers"] == 1500
    assert met["objected_met"] == met["objected"] > 20
    assert f"objected {met['objected']} of {met['objected']}" in found["headline"]


def test_without_customers_the_basis_must_be_named(shop: Callable[..., Shop]) -> None:
    done = shop([line()])
    configure(done.root, {"data.lawful_basis": ""})
    with pytest.raises(Misuse, match=r"config.toml must name lawful_basis"):
        done.read()


def test_without_customers_the_named_basis_goes_on_to_the_card(shop: Callable[..., Shop]) -> None:
    done = shop([line()]).read()
    assert done.summary["lawful_basis"] == "contract"
    assert done.table("customers").empty
    assert done.table("groups").empty


def test_customers_without_a_consent_column_still_give_groups(shop: Callable[..., Shop]) -> None:
    done = shop(
        [line("A"), line("B", order_line=2)], [person("A"), person("B", objected_at="2026-01-01")]
    )
    configure(done.root, {"data.customer_columns.consent": "", "data.lawful_basis": "contract"})
    assert list(done.read().table("groups")["country"]) == ["DE"]
    assert list(done.table("transactions")["customer_id"]) == named("A")


def test_another_key_gives_other_pseudonyms(shop: Callable[..., Shop]) -> None:
    done = shop([line()]).read()
    before = set(done.table("transactions")["customer_id"])
    found = load(done.root, CHURN_PSEUDONYM_KEY="a1" * 32)
    step("data", found, found.path("source"), found.path("raw"))
    assert not before & set(done.table("transactions")["customer_id"])


def test_the_data_step_writes_columns_of_the_contract_only(raw: Path) -> None:
    found = {name: list(pd.read_parquet(raw / f"{name}.parquet")) for name in TABLES}
    assert found == {
        "transactions": ["customer_id", "event_time", "amount_eur", "category", "order_number"],
        "customers": [
            "customer_id",
            "consent",
            "objected_at",
            "restricted_at",
            "withdrawn_at",
            "started_at",
            "ended_at",
        ],
        "groups": ["customer_id", "birth_year", "country"],
    }


def test_an_order_gets_a_number_of_its_customers_own_and_its_id_goes_nowhere(
    shop: Callable[..., Shop],
) -> None:
    receipts = [
        ("A", "R-900417"),
        ("A", "R-900417"),
        ("A", "R-100200"),
        ("A", None),
        ("B", "R-900417"),
    ]
    done = shop(
        [line(who, order_line=i, receipt=receipt) for i, (who, receipt) in enumerate(receipts)]
    )
    configure(done.root, {"data.columns.order_id": "receipt"})
    frame = done.read().table("transactions")
    numbers = {
        name: sorted(part["order_number"].dropna()) for name, part in frame.groupby("customer_id")
    }
    assert numbers == dict(zip(named("A", "B"), ([1, 2, 2], [1]), strict=True))
    assert frame["order_number"].isna().sum() == 1
    assert b"900417" not in done.everything_written


@pytest.mark.parametrize(("second", "told"), [("2026-02-14", False), ("2026-03-20", True)])
def test_purchases_of_one_order_that_are_far_apart_are_named(
    shop: Callable[..., Shop], second: str, told: bool
) -> None:
    """All lines of one order are one purchase: the number of a line is no order."""
    lines = [
        line("A", order_line=1, ordered_at="2026-01-15 10:00:00", receipt="7"),
        line("A", order_line=2, ordered_at=f"{second} 10:00:00", receipt="7"),
        # What comes back later has the number of its purchase.
        line("B", order_line=3, ordered_at="2026-01-15 10:00:00", receipt="7"),
        line("B", order_line=4, ordered_at="2026-05-15 10:00:00", receipt="7", amount=-5),
    ]
    done = shop(lines)
    configure(done.root, {"data.columns.order_id": "receipt"})
    assert ("1 of 1 orders of several lines go on for" in done.read().summary["headline"]) is told
