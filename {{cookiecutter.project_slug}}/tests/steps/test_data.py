"""Step 1: rows read are rows kept plus rows set aside; who must not be there is not there."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from churn import source
from churn.artifacts import read_json
from churn.errors import Misuse, Refused
from churn.steps._1_data import data
from churn.synthetic import make
from small_project import KEY, churn, configure, load, make_project
from sovereign.pseudonym import pseudonyms

New = Callable[..., Path]
Row = dict[str, Any]
TABLES = ("transactions", "customers", "groups")
FILES = {"data.transactions": "lines.csv", "data.customers": "people.csv"}
NO_PEOPLE = {"data.transactions": "lines.csv", "data.customers": "", "data.lawful_basis": "contract"}


def line(customer: str | None = "A", **more: object) -> Row:
    given = {"order_line": 1, "customer_id": customer, "ordered_at": "2026-01-15 10:00:00", "amount": 10.0}
    return {**given, "currency": "EUR", "category": "books", **more}


def person(customer: str = "A", **more: object) -> Row:
    given = {"customer_id": customer, "consent": True, "objected_at": None, "erased_at": None}
    return {**given, "birth_year": 1980, "country": "DE", **more}


def as_csv(rows: Iterable[Row]) -> str:
    rows, text = list(rows), io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


class Shop:
    """A project with the team's own files."""

    def __init__(self, root: Path, lines: Iterable[Row], people: Iterable[Row] = ()) -> None:
        self.root, people = root, list(people)
        if not (root / "config.toml").exists():
            make_project(root)
        configure(root, FILES if people else NO_PEOPLE)
        (root / "lines.csv").write_text(as_csv(lines))
        if people:
            (root / "people.csv").write_text(as_csv(people))

    def read(self) -> Shop:
        found = load(self.root)
        data(source.refresh(found), found.path("raw"), settings=found)
        return self

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_parquet(self.root / "data/1_raw" / f"{name}.parquet")

    @property
    def times(self) -> list[datetime]:
        return [time.to_pydatetime() for time in self.table("transactions")["event_time"].dt.tz_convert("UTC")]

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = read_json(self.root / "data/1_raw/summary.json")
        return found

    @property
    def everything_written(self) -> bytes:
        return b"".join(path.read_bytes() for path in sorted((self.root / "data/1_raw").iterdir()))

    def values_written(self) -> set[str]:
        return {str(value) for name in TABLES for value in self.table(name).to_numpy().ravel()}


@pytest.fixture
def shop(tmp_path: Path) -> Callable[..., Shop]:
    return lambda lines, people=(): Shop(tmp_path / "own", lines, people)


@pytest.fixture(scope="module")
def shared_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("dirty") / "own")


def named(*ids: str) -> list[str]:
    return pseudonyms(ids, bytes.fromhex(KEY))


# What comes out of the built-in shop.


def test_rows_of_the_shop_are_kept_or_set_aside_by_reason(raw: Path) -> None:
    found = read_json(raw / "summary.json")
    assert found["rows_in"] == found["rows_out"] + sum(found["set_aside"].values())
    assert found["rows_out"] == len(pd.read_parquet(raw / "transactions.parquet"))
    assert all(found["set_aside"][reason] for reason in ("duplicate", "no_customer_id", "unreadable_time", "objected"))
    assert f"{found['rows_in']:,} read = {found['rows_out']:,} kept" in found["headline"]


def test_the_shop_makes_the_same_bytes_every_time(project: Path, raw: Path, tmp_path: Path) -> None:
    found = load(project)
    data(found.path("source"), tmp_path / "again", settings=found)
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
    values = {str(v) for name in TABLES for v in pd.read_parquet(raw / f"{name}.parquet").to_numpy().ravel()}
    assert not ids & values
    written = b"".join(path.read_bytes() for path in raw.iterdir())
    assert not [one for one in ids if one.encode() in written]


def test_nobody_of_the_shop_who_objected_was_erased_or_gave_no_consent_has_transactions(
    raw: Path, project: Path
) -> None:
    people = make(load(project).data.synthetic).customers
    barred = people[people["objected_at"].notna() | people["erased_at"].notna() | ~people["consent"]]
    bought = set(pd.read_parquet(raw / "transactions.parquet")["customer_id"])
    grouped = set(pd.read_parquet(raw / "groups.parquet")["customer_id"])
    assert len(barred) > 50
    assert not set(named(*barred["customer_id"])) & (bought | grouped)


# The team's own files.

dirt = st.fixed_dictionaries(
    {
        "customer_id": st.sampled_from(["A", "B", "007", "7", "", "  ", "erased", "objected", "silent", "unknown"]),
        "ordered_at": st.sampled_from(
            ["2026-01-15 10:00:00", "2026-01-16", "31/02/2026", "", "2026-01-17T10:00:00+02:00"]
        ),
        "amount": st.sampled_from(["10", "-2.50", "", "twelve", "1e30", "nan", "0"]),
        "currency": st.sampled_from(["EUR", "SEK"]),
        "category": st.sampled_from(["books", "", "a,b", 'say "hi"', "é"]),
    }
)
PEOPLE = [
    *(person(name) for name in ("A", "B", "007", "7")),
    person("erased", erased_at="2026-01-01"),
    person("objected", objected_at="2026-01-01"),
    person("silent", consent=False),
]


@given(rows=st.lists(dirt, min_size=1, max_size=30))
@examples(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_row_of_any_dirty_file_is_kept_or_set_aside_once(shared_root: Path, rows: list[Row]) -> None:
    good = [line("A", order_line=i) for i in range(len(rows) + 1)]
    dirty = [{"order_line": 1000 + i % 7, **row} for i, row in enumerate(rows)]
    shop = Shop(shared_root, [*good, *dirty], PEOPLE).read()
    assert shop.summary["rows_in"] == len(good) + len(rows)
    assert shop.summary["rows_in"] == shop.summary["rows_out"] + sum(shop.summary["set_aside"].values())
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
        (line("unknown"), "no_consent"),
        (line(), "duplicate"),
    ],
)
def test_each_reason_sets_aside_its_row_and_no_other(shop: Callable[..., Shop], bad: Row, reason: str) -> None:
    done = shop([line(), line("B", order_line=2), bad], PEOPLE).read()
    assert {k: n for k, n in done.summary["set_aside"].items() if n} == {reason: 1}
    assert done.summary["rows_out"] == 2


def test_an_erased_person_leaves_no_trace_in_any_table(shop: Callable[..., Shop]) -> None:
    done = shop([line(), line("erased", order_line=2)], PEOPLE).read()
    gone = named("erased")[0]
    assert gone not in done.values_written()
    assert gone.encode() not in done.everything_written
    assert done.summary["erased_found"] == 0


def test_an_objector_stays_only_as_a_flag_so_that_scoring_can_check_again(shop: Callable[..., Shop]) -> None:
    done = shop([line(), line("objected", order_line=2)], PEOPLE).read()
    someone = named("objected")[0]
    customers = done.table("customers").set_index("customer_id")
    assert customers.loc[someone, "objected_at"] is not pd.NaT
    assert someone not in set(done.table("transactions")["customer_id"]) | set(done.table("groups")["customer_id"])


def test_one_line_that_objects_is_enough_when_a_customer_stands_twice(shop: Callable[..., Shop]) -> None:
    twice = [person("A"), person("A", objected_at="2026-01-01"), person("B"), person("B", consent=False)]
    done = shop([line("A"), line("B", order_line=2), line("C", order_line=3)], [*twice, person("C")]).read()
    assert list(done.table("transactions")["customer_id"]) == named("C")


def test_the_ids_007_and_7_stay_two_people(shop: Callable[..., Shop]) -> None:
    done = shop([line("007"), line("7", order_line=2), line("7", order_line=3)], [person("007"), person("7")]).read()
    assert dict(done.table("transactions")["customer_id"].value_counts()) == dict(
        zip(named("007", "7"), (1, 2), strict=True)
    )


def test_ids_keep_their_zeros_under_a_column_name_that_must_be_quoted(shop: Callable[..., Shop]) -> None:
    done = shop([line("007"), line("7", order_line=2)])
    (done.root / "lines.csv").write_text((done.root / "lines.csv").read_text().replace("customer_id", "Customer ID"))
    configure(done.root, {"data.columns.customer_id": '"Customer ID"'})
    assert set(done.read().table("transactions")["customer_id"]) == set(named("007", "7"))


def test_spaces_around_an_id_do_not_make_another_person(shop: Callable[..., Shop]) -> None:
    done = shop([line(" A "), line("A", order_line=2)], [person("A ")]).read()
    assert set(done.table("transactions")["customer_id"]) == set(named("A"))


def test_money_becomes_eur_by_the_configured_rate(shop: Callable[..., Shop]) -> None:
    done = shop([line(amount=100, currency="SEK"), line("B", order_line=2, amount=100)]).read()
    amounts = done.table("transactions").set_index("customer_id")["amount_eur"].astype(float)
    assert dict(amounts) == dict(zip(named("A", "B"), (8.80, 100.0), strict=True))


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("2026-01-15 10:00:00", datetime(2026, 1, 15, 9, tzinfo=UTC)),
        ("2026-07-15 10:00:00", datetime(2026, 7, 15, 8, tzinfo=UTC)),
        ("2026-03-29 01:59:59", datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC)),
        ("2026-03-29 03:00:00", datetime(2026, 3, 29, 1, tzinfo=UTC)),
        ("2026-01-15T10:00:00Z", datetime(2026, 1, 15, 10, tzinfo=UTC)),
        ("2026-01-15T10:00:00+05:00", datetime(2026, 1, 15, 5, tzinfo=UTC)),
    ],
)
def test_times_become_utc_from_their_own_zone_or_the_configured_one(
    shop: Callable[..., Shop], written: str, utc: datetime
) -> None:
    done = shop([line(ordered_at=written)])
    configure(done.root, {"data.timezone": "Europe/Berlin"})
    assert done.read().times == [utc]


def test_times_with_and_without_zone_may_stand_in_one_file(shop: Callable[..., Shop]) -> None:
    done = shop([line(ordered_at="2026-01-15 10:00:00"), line(order_line=2, ordered_at="2026-01-15T10:00:00+00:00")])
    configure(done.root, {"data.timezone": "Europe/Berlin"})
    assert done.read().times == [datetime(2026, 1, 15, hour, tzinfo=UTC) for hour in (9, 10)]


@pytest.mark.parametrize("day", ["15/01/2026", "01/02/2026"])
def test_another_format_is_never_guessed_and_works_once_it_is_named(shop: Callable[..., Shop], day: str) -> None:
    done = shop([line(ordered_at=day)])
    with pytest.raises(Misuse, match=rf"1 of 1 times cannot be read, for example '{day}': give the format"):
        done.read()
    configure(done.root, {"data.columns.event_time": "strptime(ordered_at, '%d/%m/%Y')"})
    assert done.read().times == [datetime.strptime(day, "%d/%m/%Y").replace(tzinfo=UTC)]


def test_one_row_that_breaks_an_expression_is_set_aside_and_stops_nothing(shop: Callable[..., Shop]) -> None:
    rows = [
        line(ordered_at="15/01/2026"),
        line(order_line=2, ordered_at="never"),
        line(order_line=3, ordered_at="16/01/2026"),
    ]
    done = shop([*rows, line(order_line=4, ordered_at="17/01/2026", amount="x")])
    configure(
        done.root,
        {
            "data.columns.event_time": "strptime(ordered_at, '%d/%m/%Y')",
            "data.columns.amount_eur": "CAST(amount AS DOUBLE)",
        },
    )
    set_aside = done.read().summary["set_aside"]
    assert (set_aside["unreadable_time"], set_aside["unreadable_amount"], done.summary["rows_out"]) == (1, 1, 2)


@pytest.mark.parametrize("name", ["lines.csv", "lines.csv.gz", "lines.parquet"])
def test_csv_gzip_and_parquet_give_the_same_bytes(shop: Callable[..., Shop], name: str) -> None:
    rows = [line("007"), line("B", order_line=2, amount=-3.5), line("C", order_line=3, category=None)]
    done = shop(rows)
    expected = done.read().everything_written
    if name.endswith(".gz"):
        (done.root / name).write_bytes(gzip.compress(as_csv(rows).encode()))
    if name.endswith(".parquet"):
        pd.DataFrame(rows).to_parquet(done.root / name)
    configure(done.root, {"data.transactions": name})
    assert done.read().everything_written == expected


def test_a_file_of_semicolons_and_a_byte_order_mark_is_read(shop: Callable[..., Shop]) -> None:
    done = shop([line(), line("B", order_line=2)])
    text = "\ufeff" + (done.root / "lines.csv").read_text().replace(",", ";")
    (done.root / "lines.csv").write_text(text, encoding="utf-8")
    assert done.read().summary["rows_out"] == 2


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
    done = shop([line("A"), line("B", order_line=2)], [person("A"), person("B", objected_at="2026-01-01")])
    configure(done.root, {"data.customer_columns.consent": "", "data.lawful_basis": "contract"})
    assert list(done.read().table("groups")["country"]) == ["DE"]
    assert list(done.table("transactions")["customer_id"]) == named("A")


def test_another_key_gives_other_pseudonyms(shop: Callable[..., Shop]) -> None:
    done = shop([line()]).read()
    before = set(done.table("transactions")["customer_id"])
    found = load(done.root, CHURN_PSEUDONYM_KEY="a1" * 32)
    data(found.path("source"), found.path("raw"), settings=found)
    assert not before & set(done.table("transactions")["customer_id"])


# Bad input: one line, and the old artifact stays.


def broken(text: str | bytes, name: str = "lines.csv", **changes: object) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        configure(root, {"data.transactions": name, **{f"data.{k.replace('__', '.')}": v for k, v in changes.items()}})

    return spoil


def parquet() -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame([line()]).to_parquet(buffer)
    return buffer.getvalue()


def epochs() -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame([line(ordered_at=1767225600)]).to_parquet(buffer)
    return buffer.getvalue()


GOOD = as_csv([line()])
BAD = {
    "misspelt column": (
        broken(GOOD, columns__customer_id="CustomerId_"),
        r"\[data.columns\] customer_id = 'CustomerId_'.*The file has the columns order_line, customer_id, ordered_at",
    ),
    "missing column": (
        broken(GOOD.replace("amount", "price")),
        r"\[data.columns\] amount_eur = 'amount'.*The file has the columns .*price",
    ),
    "expression that is no SQL": (broken(GOOD, columns__amount_eur="amount *"), r"\[data.columns\] amount_eur"),
    "two statements": (broken(GOOD, columns__amount_eur="1; DROP TABLE once"), r"\[data.columns\] amount_eur"),
    "empty file": (broken(""), r"lines\.csv is empty"),
    "header only": (
        broken(GOOD.splitlines()[0] + "\n"),
        r"has a header and no rows: its columns are order_line, customer_id",
    ),
    "garbage for gzip": (broken(b"\x1f\x8bgarbage" * 9, "lines.csv.gz"), r"Cannot read .*lines\.csv\.gz as CSV"),
    "plain text called gzip": (broken(GOOD, "lines.csv.gz"), r"Cannot read .*lines\.csv\.gz as CSV"),
    "half a gzip": (
        broken(gzip.compress(GOOD.encode() * 500)[:60], "lines.csv.gz"),
        r"Cannot read .*lines\.csv\.gz as CSV",
    ),
    "half a parquet": (broken(parquet()[:200], "lines.parquet"), r"Cannot read .*lines\.parquet as Parquet"),
    "binary for csv": (broken(bytes(range(256)) * 20), r"."),
    "a folder": (lambda root: (root / "lines.csv").unlink() or (root / "lines.csv").mkdir(), r"No file .*lines\.csv"),
    "times that cannot be read": (
        broken(GOOD.replace("2026-01-15 10:00:00", "mid January")),
        r"1 of 1 times cannot be read, for example 'mid January': give the format",
    ),
    "times as epochs": (broken(epochs(), "lines.parquet"), r"event_time|times cannot be read"),
    "currency without a rate": (
        broken(GOOD.replace("EUR", "USD")),
        r"No rate to EUR for the currency USD: \[data.rates\] in config.toml knows EUR, PLN, SEK",
    ),
    "no currency": (broken(GOOD.replace("EUR", "")), r"No rate to EUR for the currency \(empty\)"),
    "unknown zone": (
        broken(GOOD, timezone="Europe/Atlantis"),
        r"data.timezone is 'Europe/Atlantis', which is no IANA zone",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_one_line_and_the_old_artifact_stays(shop: Callable[..., Shop], name: str) -> None:
    spoil, said = BAD[name]
    done = shop([line(), line("B", order_line=2)]).read()
    before = done.everything_written
    spoil(done.root)
    with pytest.raises((Misuse, Refused), match=said) as refused:
        done.read()
    assert "\n" not in str(refused.value)
    assert done.everything_written == before
    assert [path.name for path in (done.root / "data").iterdir() if path.is_dir()] == ["1_raw"]


def test_a_file_of_which_nothing_is_left_is_refused_with_the_reasons(shop: Callable[..., Shop]) -> None:
    with pytest.raises(Refused, match=r"No transaction is left: all 2 rows were set aside.*'no_consent': 2"):
        shop([line("x"), line("y", order_line=2)], [person("A")]).read()


def test_an_objection_that_cannot_be_read_stops_the_step_instead_of_being_forgotten(shop: Callable[..., Shop]) -> None:
    done = shop([line()], [person(objected_at="yesterday")])
    assert not (done.root / "data/1_raw/summary.json").exists()
    configure(done.root, {"data.customer_columns.objected_at": "strptime(objected_at, '%Y-%m-%d')"})
    with pytest.raises(Misuse, match=r"\[data.customer_columns\]"):
        done.read()


def test_a_misspelt_column_of_the_customers_is_named_with_its_table(shop: Callable[..., Shop]) -> None:
    done = shop([line()], [person()])
    configure(done.root, {"data.customer_columns.country": "land"})
    with pytest.raises(
        Misuse, match=r"\[data.customer_columns\] country = 'land'.*The file has the columns customer_id, consent"
    ):
        done.read()


def test_the_data_step_writes_columns_of_the_contract_only(raw: Path) -> None:
    found = {name: list(pd.read_parquet(raw / f"{name}.parquet")) for name in TABLES}
    assert found == {
        "transactions": ["customer_id", "event_time", "amount_eur", "category"],
        "customers": ["customer_id", "consent", "objected_at"],
        "groups": ["customer_id", "birth_year", "country"],
    }
