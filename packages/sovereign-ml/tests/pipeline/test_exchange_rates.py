"""Exchange rates that change: the rate of the purchase's day, against pandas, and every line that is no rate."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mapped_file import Mapped, input_files, read
from own_files import Shop, line
from small_project import configure, load
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.pipeline import source
from sovereign_ml.pipeline.suggest import suggestions
from sovereign_ml.storage.artifacts import read_json

RATES = "currency,date,rate\nSEK,2026-01-01,0.1\nSEK,2026-02-01,0.2\nUSD,2026-01-15,0.5\n"


def purchases(*rows: str) -> str:
    return "customer_id,event_time,amount,currency\n" + "\n".join(rows) + "\n"


def converted(root: Path, lines: str, file: str, **changes: object) -> Mapped:
    (root / "rates.csv").write_text(file)
    given = {"rates": {"EUR": 1.0}, "rates_file": "rates.csv", "columns": {"currency": "currency"}}
    return read(root, lines, **(given | changes))


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Pacific/Kiritimati"])
def test_each_purchase_has_the_rate_of_its_day_as_pandas_finds_it(
    tmp_path: Path, zone: str
) -> None:
    random = np.random.default_rng(len(zone))
    days = pd.date_range("2024-01-01", "2025-12-31")
    codes = ["SEK", "USD", "PLN"]
    each = [
        pd.DataFrame({"currency": code, "day": random.choice(days, 120, replace=False)})
        for code in codes
    ]
    rates = pd.concat([*each, pd.DataFrame({"currency": codes, "day": pd.Timestamp("2023-12-01")})])
    rates["cents"] = random.integers(1, 500, len(rates))
    rates = rates.sample(frac=1, random_state=1)  # the order of the lines does not count
    written = "".join(
        f"{r.currency},{r.day:%Y-%m-%d},{r.cents / 100}\n" for r in rates.itertuples()
    )

    times = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(
        random.integers(0, 730 * 96, 2000) * 15, unit="min"
    )
    frame = pd.DataFrame({"at": times, "currency": random.choice([*codes, "EUR"], 2000)})
    frame["amount"] = random.integers(1, 900, 2000)
    frame["id"] = [f"C{i}" for i in range(2000)]
    clocks = [zone, "UTC", "Asia/Tokyo"]
    shown = [at.tz_convert(clocks[i % 3]).isoformat(sep=" ") for i, at in enumerate(frame["at"])]
    lines = [
        f"{one.id},{at},{one.amount},{one.currency}"
        for one, at in zip(frame.itertuples(), shown, strict=True)
    ]
    done = converted(
        tmp_path,
        purchases(*lines),
        "currency,date,rate\n" + written,
        timezone=zone,
        checks={"max_rate_age_days": 9999},
    )

    frame["day"] = frame["at"].dt.tz_convert(zone).dt.tz_localize(None).dt.normalize()
    wanted = pd.merge_asof(
        frame.sort_values("day"), rates.sort_values("day"), on="day", by="currency"
    ).set_index("id")
    wanted["cents"] = wanted["cents"].where(wanted["currency"] != "EUR", 100).astype(int)
    assert len(done.rows) == 2000
    assert {row["customer_id"]: row["amount_eur"] for row in done.rows} == {
        one.Index: Decimal(one.amount * one.cents) / 100 for one in wanted.itertuples()
    }


def test_a_rate_holds_from_midnight_of_its_day_in_the_configured_zone(tmp_path: Path) -> None:
    rows = [
        "A,2026-01-31 22:59:59+00:00,10,SEK",  # the last second of January in Berlin
        "B,2026-01-31 23:00:00+00:00,10,SEK",
        "C,2026-01-31 23:59:59,10,SEK",
        "D,2026-02-01,10,SEK",
        "E,2026-03-29 02:30:00,10,SEK",  # in the gap of summer time
        "F,2026-01-01,10,SEK",
    ]
    done = converted(tmp_path, purchases(*rows), RATES, timezone="Europe/Berlin")
    assert {row["customer_id"]: str(row["amount_eur"]) for row in done.rows} == {
        **dict.fromkeys("ACF", "1.00"),
        **dict.fromkeys("BDE", "2.00"),
    }


def test_constant_rates_and_those_of_the_file_go_together(tmp_path: Path) -> None:
    rows = [f"A,2026-01-20,100,{code}" for code in ("EUR", "SEK", "USD", "PLN")]
    rates = RATES + "EUR,2026-01-01,1.0\n"
    done = converted(tmp_path, purchases(*rows), rates, rates={"EUR": 1.0, "PLN": 0.25})
    assert sorted(str(one) for one in done.column("amount_eur")) == [
        "10.00",
        "100.00",
        "25.00",
        "50.00",
    ]


def test_a_purchase_before_the_first_rate_is_set_aside_and_counted(tmp_path: Path) -> None:
    rows = ["A,2025-12-31,10,SEK", "B,2026-01-01,10,SEK", "C,2026-01-20,x,SEK", "D,never,1,SEK"]
    rows += [f"E{i},2026-01-20,1,SEK" for i in range(9)]
    done = converted(tmp_path, purchases(*rows), RATES)
    assert done.aside == {"no_rate": 1, "unreadable_amount": 1, "unreadable_time": 1}
    assert done.counts.read == done.counts.kept + 3


def test_what_a_filter_leaves_out_needs_no_rate(tmp_path: Path) -> None:
    rows = ["A,2026-01-20,10,SEK", "B,2026-01-20,10,GBP", "C,2020-01-20,10,USD"]
    done = converted(tmp_path, purchases(*rows), RATES, where="currency = 'SEK'")
    assert done.aside == {"filtered": 2}


REFUSED = {
    "a currency without a rate": (
        ["A,2026-01-20,10,GBP", "B,2026-01-20,10,GBP", "C,2026-01-20,10,SEK"],
        r"No rate to EUR for the currency GBP: \[data.rates\] in config.toml and rates.csv know "
        r"EUR, SEK, USD\. 2 rows have none",
    ),
    "an empty currency": (["A,2026-01-20,10,"], r"for the currency \(empty\): .* 1 rows have none"),
    "all purchases before the first rate": (
        ["A,2026-01-14,10,USD", "B,2026-01-13,10,USD", "C,2026-01-20,10,SEK"],
        r"rates\.csv line 4: the first rate of USD is of 2026-01-15, and the newest of its 2 purchases "
        r"is of 2026-01-14",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_currency_that_has_no_rate_for_its_purchases_is_refused(
    tmp_path: Path, name: str
) -> None:
    rows, said = REFUSED[name]
    with pytest.raises(Misuse, match=said):
        converted(tmp_path, purchases(*rows), RATES)


TOMORROW = f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%d}"
BAD_FILES = {
    "the same day twice": (
        RATES + "SEK,2026-02-01,0.2\n",
        r"line 5: SEK .* 2026-02-01 already, .*line 3",
    ),
    "zero": (RATES + "SEK,2026-03-01,0\n", r"line 5: the rate is '0'"),
    "below zero": (RATES + "SEK,2026-03-01,-0.1\n", r"line 5: the rate is '-0.1'"),
    "smaller than a float": (RATES + "SEK,2026-03-01,1e-400\n", r"line 5: the rate is '1e-400'"),
    "not a number": (RATES + "SEK,2026-03-01,nan\n", r"line 5: the rate is 'nan'"),
    "infinite": (RATES + "SEK,2026-03-01,inf\n", r"line 5: the rate is 'inf'"),
    "infinite as a number": (RATES + "SEK,2026-03-01,1e999\n", r"line 5: the rate is '1e999'"),
    "empty": (RATES + "SEK,2026-03-01,\n", r"line 5: the rate is ''"),
    "with a comma": (
        RATES.replace(",", ";") + "SEK;2026-03-01;0,1\n",
        r"line 5: the rate is '0,1'",
    ),
    "with an underscore": (RATES + "SEK,2026-03-01,1_0\n", r"line 5: the rate is '1_0'"),
    "no day": (RATES + "SEK,2026-02-30,0.1\n", r"line 5: the date is '2026-02-30'"),
    "another format": (RATES + "SEK,01.03.2026,0.1\n", r"line 5: the date is '01.03.2026'"),
    "a time": (RATES + "SEK,2026-03-01T00:00,0.1\n", r"line 5: the date is '2026-03-01T00:00'"),
    "no currency": (RATES + " ,2026-03-01,0.1\n", r"line 5: the currency is empty"),
    "after a blank line": (RATES + "\nSEK,2026-03-01,x\n", r"line 6: the rate is 'x'"),
    "euros that are none": (RATES + "EUR,2026-03-01,1.1\n", r"line 5: the rate of EUR is 1\.1"),
    "a constant rate beside it": (
        RATES + "PLN,2026-03-01,0.2\n",
        r"line 5: PLN has a constant rate",
    ),
    "a field too many": (RATES + "SEK,2026-03-01,0,1\n", r"line 5: 4 fields"),
    "another column": (
        RATES.replace("rate", "value"),
        r"rates.csv has the columns .*value: a file of",
    ),
    "a column more": ("currency,date,rate,per\nSEK,2026-01-01,8.8,100\n", r"and no other"),
    "future alone": (RATES + "GBP,2100-01-01,1.1\n", r"line 5: the first rate of GBP is of 2100"),
    "nothing": ("", r"rates.csv is empty"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_line_that_is_no_rate_is_refused_and_named(tmp_path: Path, name: str) -> None:
    rates, said = BAD_FILES[name]
    known = {"EUR": 1.0, "PLN": 0.2}
    with pytest.raises(Misuse, match=said) as refused:
        converted(tmp_path, purchases("A,2026-01-20,10,SEK"), rates, rates=known)
    assert "\n" not in str(refused.value)


def test_rates_that_start_tomorrow_are_refused_and_planned_ones_are_not(tmp_path: Path) -> None:
    rows = purchases("A,2026-01-20,10,SEK")
    with pytest.raises(Misuse, match=r"the first rate of GBP is of .*, after today"):
        converted(tmp_path, rows, RATES + f"GBP,{TOMORROW},1.1\n", as_of="")
    assert len(converted(tmp_path, rows, RATES + f"SEK,{TOMORROW},9\n", as_of="").rows) == 1


def test_old_rates_do_not_look_right_until_the_limit_says_so(tmp_path: Path) -> None:
    lines = [line(currency="USD", ordered_at="2026-03-01"), line("B", order_line=2)]
    done = Shop(tmp_path / "own", lines)
    (done.root / "rates.csv").write_text("currency,date,rate\nUSD,2026-01-01,0.9\n")
    configure(done.root, {"data.rates_file": "rates.csv"})
    with pytest.raises(
        Refused,
        match=r"1 of 2 purchases have a rate to EUR of more than 31 days before, such as USD 2026-03-01 with "
        "one of 59 days before: .*max_rate_age_days",
    ):
        done.read()
    configure(done.root, {"data.checks.max_rate_age_days": 59})
    assert done.read().summary["rows_out"] == 2


def test_rows_without_a_rate_count_towards_the_limit_and_are_shown(tmp_path: Path) -> None:
    rows = [line(currency="USD", order_line=i, ordered_at=f"2026-01-{i:02}") for i in range(1, 9)]
    done = Shop(tmp_path / "own", rows)
    (done.root / "rates.csv").write_text("currency,date,rate\nUSD,2026-01-03,0.9\n")
    configure(done.root, {"data.rates_file": "rates.csv", "data.checks.max_unusable_share": 0.2})
    with pytest.raises(
        Refused,
        match=r"2 no rate, for example 'USD 2026-01-01', 'USD 2026-01-02'\. To do: add the rates",
    ):
        done.read()
    configure(done.root, {"data.checks.max_share_of_reason": {"no_rate": 0.25}})
    assert done.read().summary["set_aside"]["no_rate"] == 2
    assert "no_rate,USD 2026-01-01,1" in (done.root / "data/1_raw/set_aside.csv").read_text()


@pytest.mark.parametrize("shop_kind", ["synthetic", "lines.csv"])
def test_another_rate_is_another_input_of_the_first_step(
    new_project: Callable[..., Path], shop_kind: str
) -> None:
    files = {"data.transactions": shop_kind, "data.customers": "", "data.lawful_basis": "contract"}
    root = new_project(files | {"data.rates_file": "rates.csv"})
    (root / "lines.csv").write_text("a\n1\n")
    with pytest.raises(Misuse, match=r"No file rates\.csv for rates: set \[data\] rates_file"):
        source.refresh(load(root))
    (root / "rates.csv").write_text(RATES)
    before = read_json(source.refresh(load(root)))
    (root / "rates.csv").write_text(RATES.replace("0.5", "0.6"))
    after = read_json(source.refresh(load(root)))
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {"rates"}
    (root / "rates.csv").unlink()  # a clone without the file keeps the pin
    assert read_json(source.refresh(load(root))) == after


def test_the_proposal_asks_for_no_rate_that_the_file_has(tmp_path: Path) -> None:
    rows = [f"C{i % 4},2026-01-{10 + i},{i}.50,{'SEK' if i % 2 else 'GBP'}" for i in range(12)]
    (tmp_path / "x.csv").write_text(purchases(*rows))
    (tmp_path / "rates.csv").write_text(RATES)
    files = input_files(tmp_path, transactions="x.csv", rates={"EUR": 1.0}, rates_file="rates.csv")
    found = suggestions.suggest(files, "x.csv", "", {"lawful_basis": "contract"}, in_clear=False)
    assert [one.name for one in found.open] == ["rates.GBP"]
    assert "12 read = 12 kept" in found.trial.headline
