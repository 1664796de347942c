"""Step 1 reads what teams have: formats, zones, currencies; bad input gets one line and loses nothing."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from own_files import Shop, as_csv, line, named, person
from small_project import configure
from sovereign_ml.errors import Misuse, Refused


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
    done = shop(
        [
            line(ordered_at="2026-01-15 10:00:00"),
            line(order_line=2, ordered_at="2026-01-15T10:00:00+00:00"),
        ]
    )
    configure(done.root, {"data.timezone": "Europe/Berlin"})
    assert done.read().times == [datetime(2026, 1, 15, hour, tzinfo=UTC) for hour in (9, 10)]


@pytest.mark.parametrize("day", ["15/01/2026", "01/02/2026"])
def test_another_format_is_never_guessed_and_works_once_it_is_named(
    shop: Callable[..., Shop], day: str
) -> None:
    done = shop([line(ordered_at=day)])
    with pytest.raises(
        Misuse, match=rf"1 of 1 times cannot be read, for example '{day}': give the format"
    ):
        done.read()
    configure(done.root, {"data.columns.event_time": "strptime(ordered_at, '%d/%m/%Y')"})
    assert done.read().times == [datetime.strptime(day, "%d/%m/%Y").replace(tzinfo=UTC)]


def test_one_row_that_breaks_an_expression_is_set_aside_and_stops_nothing(
    shop: Callable[..., Shop],
) -> None:
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
    assert (
        set_aside["unreadable_time"],
        set_aside["unreadable_amount"],
        done.summary["rows_out"],
    ) == (1, 1, 2)


@pytest.mark.parametrize("name", ["lines.csv", "lines.csv.gz", "lines.parquet"])
def test_csv_gzip_and_parquet_give_the_same_bytes(shop: Callable[..., Shop], name: str) -> None:
    rows = [
        line("007"),
        line("B", order_line=2, amount=-3.5),
        line("C", order_line=3, category=None),
    ]
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


# Bad input: one line, and the old artifact stays.


def broken(text: str | bytes, name: str = "lines.csv", **changes: object) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        configure(
            root,
            {
                "data.transactions": name,
                **{f"data.{k.replace('__', '.')}": v for k, v in changes.items()},
            },
        )

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
    "expression that is no SQL": (
        broken(GOOD, columns__amount_eur="amount *"),
        r"\[data.columns\] amount_eur",
    ),
    "two statements": (
        broken(GOOD, columns__amount_eur="1; DROP TABLE once"),
        r"\[data.columns\] amount_eur",
    ),
    "empty file": (broken(""), r"lines\.csv is empty"),
    "header only": (
        broken(GOOD.splitlines()[0] + "\n"),
        r"has a header and no rows: it has the columns order_line, customer_id",
    ),
    "garbage for gzip": (
        broken(b"\x1f\x8bgarbage" * 9, "lines.csv.gz"),
        r"Cannot read .*lines\.csv\.gz: ",
    ),
    "half a gzip": (
        broken(gzip.compress(GOOD.encode() * 500)[:60], "lines.csv.gz"),
        r"Cannot read .*lines\.csv\.gz: ",
    ),
    "half a parquet": (
        broken(parquet()[:200], "lines.parquet"),
        r"Cannot read .*lines\.parquet as Parquet",
    ),
    "binary for csv": (broken(bytes(range(256)) * 20), r"."),
    "a folder": (
        lambda root: (root / "lines.csv").unlink() or (root / "lines.csv").mkdir(),
        r"No file .*lines\.csv",
    ),
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
def test_bad_input_is_refused_in_one_line_and_the_old_artifact_stays(
    shop: Callable[..., Shop], name: str
) -> None:
    spoil, said = BAD[name]
    done = shop([line(), line("B", order_line=2)]).read()
    before = done.everything_written
    spoil(done.root)
    with pytest.raises((Misuse, Refused), match=said) as refused:
        done.read()
    assert "\n" not in str(refused.value)
    assert done.everything_written == before
    assert [path.name for path in (done.root / "data").iterdir() if path.is_dir()] == ["1_raw"]


def test_a_file_of_which_nothing_is_left_is_refused_with_the_reasons(
    shop: Callable[..., Shop],
) -> None:
    with pytest.raises(
        Refused, match=r"No transaction is left: all 2 rows were set aside.*'no_consent': 2"
    ):
        shop([line("x"), line("y", order_line=2)], [person("A")]).read()


def test_ids_without_their_last_digits_are_refused_without_a_customers_table_too(
    shop: Callable[..., Shop],
) -> None:
    done = shop([line("1.23457E+11"), line("B", order_line=2)])
    with pytest.raises(Refused, match=r"1 ids stand in exponent notation .* several people become"):
        done.read()


def test_an_objection_that_cannot_be_read_stops_the_step_instead_of_being_forgotten(
    shop: Callable[..., Shop],
) -> None:
    done = shop([line()], [person(objected_at="yesterday")])
    assert not (done.root / "data/1_raw/summary.json").exists()
    configure(done.root, {"data.customer_columns.objected_at": "strptime(objected_at, '%Y-%m-%d')"})
    with pytest.raises(Misuse, match=r"\[data.customer_columns\]"):
        done.read()


def test_a_misspelt_column_of_the_customers_is_named_with_its_table(
    shop: Callable[..., Shop],
) -> None:
    done = shop([line()], [person()])
    configure(done.root, {"data.customer_columns.country": "land"})
    with pytest.raises(
        Misuse,
        match=r"\[data.customer_columns\] country = 'land'.*The file has the columns customer_id, consent",
    ):
        done.read()
