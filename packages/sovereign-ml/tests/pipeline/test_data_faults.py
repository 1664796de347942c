"""Every fault that ten data scientists met with files of their own, tried again: input, old outcome, outcome now.

``again`` is step 1 over the smallest such input, and ``now`` a pattern of what it says. Faults of later steps have
tests of their own, which the table names.
"""

from __future__ import annotations

import ast
import gzip
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from churn.model import benchmark_estimator
from churn.steps._1_data import data
from mapped_file import gates, input_files
from sovereign_ml.config.tables import FeatureSettings, TrainSettings
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.pipeline.intake import Intake
from sovereign_ml.storage.artifacts import read_json

TESTS = Path(__file__).resolve().parents[1]
END = date(2026, 6, 30)
HEADER = "customer_id,event_time,amount\n"
WINDOWS = FeatureSettings(
    cutoffs=4, every_days=30, horizon_days=30, active_within_days=90, lookback_days=365
)
Again = Callable[[Path], str]


def step_1(root: Path, content: str | bytes | None, people: str = "", **changes: Any) -> str:
    """Run step 1 over ``content`` in lines.csv; return its headline, or what it refuses with."""
    if content is not None:
        raw = content if isinstance(content, bytes) else content.encode()
        (root / "lines.csv").write_bytes(raw)
    if people:
        (root / "people.csv").write_text(people)
        changes = {"customers": "people.csv", **changes}
    pin, output = root / "source.json", root / "raw"
    try:
        files = input_files(root, **{"as_of": str(END), **changes})
        pin.write_text(json.dumps(files.describe(None)))
        data(pin, output, intake=Intake(files, gates(root, files)), windows=WINDOWS)
    except (Misuse, Refused) as refusal:
        return f"refused: {refusal}"
    return str(read_json(output / "summary.json")["headline"])


def shop(*rows: str, header: str = HEADER, orders: int = 100) -> str:
    """Return a shop of one order a day that ends with END, followed by ``rows``."""
    days = [END - timedelta(days=n) for n in range(orders)]
    lines = [f"{n % 20 + 1},{day},{n % 7 + 5}.5" for n, day in enumerate(days)]
    return header + "\n".join([*lines, *rows]) + "\n"


def with_lines(*numbers: str) -> str:
    """Return a shop whose rows have a number; the last ones are equal but for ``numbers``."""
    rows = [f"{row},{n}" for n, row in enumerate(shop().splitlines()[1:])]
    return HEADER.replace("\n", ",line\n") + "\n".join(
        [*rows, *(f"1,2026-06-01,5,{number}" for number in numbers)]
    )


def kept(content: str | bytes | None, **changes: Any) -> Again:
    return lambda root: step_1(root, content, **changes)


def of_people(people: str, content: str = "", **columns: str) -> Again:
    """Return step 1 with a customers table."""
    customer = {"customer_id": "customer_id", **columns}
    return lambda root: step_1(root, content or shop(), people, customer_columns=customer)


def parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


def folder_of_parts(root: Path) -> str:
    (root / "parts").mkdir()
    rows = pd.read_csv(io.StringIO(shop()))
    for n in range(2):
        rows.iloc[n::2].to_parquet(root / f"parts/part-{n}.parquet")
    return step_1(root, None, transactions="parts")


def several_files(root: Path) -> str:
    rows = shop().splitlines(keepends=True)
    for n in range(2):
        (root / f"sales-{n}.csv").write_text(HEADER + "".join(rows[1 + n :: 2]))
    return step_1(root, None, transactions="sales-*.csv")


def orders_of_lines(order_id: str) -> Again:
    """Return how many purchases step 1 makes of an order whose two lines are six seconds apart."""

    def again(root: Path) -> str:
        lines = ("1,2026-06-30 10:00:00,5,A7", "1,2026-06-30 10:00:06,6,A7")
        headline = step_1(root, "\n".join([with_lines(), *lines]), columns={"order_id": order_id})
        table = pd.read_parquet(root / "raw/transactions.parquet")
        last = table[table["event_time"] >= "2026-06-30 10:00:00Z"]
        return f"{headline}; {last['order_number'].nunique(dropna=False)} purchase"

    return again


def floats_and_gaps(root: Path) -> str:
    """Return what becomes of an objector and an erased person where a tool made the ids floats."""
    frame = pd.read_csv(io.StringIO(shop()))
    frame["customer_id"] = frame["customer_id"].astype(float)
    people = ["customer_id,objected_at,erased_at", "1,2025-12-01,", "2,,2025-12-01"]
    people += [f"{n},," for n in range(3, 21)]
    columns = {name: name for name in people[0].split(",")}
    table = "\n".join(people)
    return step_1(root, parquet(frame), table, customer_columns=columns)


def early_stopping(_: Path) -> str:
    rows = pd.DataFrame({"recency_days": [1.0, 2.0], "churned": [0, 1]})
    config = TrainSettings(
        knots=2, regularisation=(1.0,), folds=1, max_categories=2, min_customers=1, seed=7
    )
    found = benchmark_estimator(rows, config)
    return f"early stopping: {found.get_params()['boosting__early_stopping']}"


RETURNS = [f"{n % 20 + 1},2026-06-{n + 1:02},{{}}" for n in range(30)]
ALL_KEPT = r"^100 read = 100 kept \+ 0 set aside \(none\)"


def returns(written: str) -> Again:
    return kept(shop(*(row.format(written) for row in RETURNS), orders=200))


@dataclass(frozen=True)
class Fault:
    """One row of the table."""

    id: str
    input: str
    old: str
    now: str = ""
    again: Again | None = None
    tests: Sequence[str] = field(default=())

    def __str__(self) -> str:
        return f"{self.id} {self.input}"


FLAT = "pipeline/steps/test_flat_features.py::"
READER = "pipeline/test_reader.py::"
CHECKS = "pipeline/test_input_checks.py::"
TABLE = (
    Fault(
        "F1",
        "a feature that does not vary: no category, no returns, one order each",
        "KeyError in step 5, or a bundle that step 8 refuses",
        tests=(
            f"{FLAT}test_every_step_ends_and_model_contract_and_card_know_the_same_features",
            "pipeline/steps/test_register.py::test_a_bundle_that_the_service_could_not_use_is_never_registered",
        ),
    ),
    Fault(
        "F2",
        "a block of the pipeline that the scorecard does not know",
        "shipped without it, off by .7695",
        tests=(
            f"{FLAT}test_what_is_shipped_is_what_was_fitted",
            "evaluation/test_fidelity.py::test_a_block_that_a_team_adds_is_refused_by_name",
            "pipeline/steps/test_train.py::test_the_weight_of_a_gap_is_shipped_where_the_value_itself_never_varies",
        ),
    ),
    Fault(
        "F3",
        "a row that starts with #",
        "50 read = 50 kept of 100",
        ALL_KEPT,
        kept(shop().replace("\n2,", "\n#2,")),
    ),
    Fault(
        "F3",
        "a second export with one column more behind the first",
        "the first 100 rows are gone",
        "refused: .*lines.csv, line 103: 4 fields where the header has 3",
        kept(shop("customer_id,event_time,amount", "1,2026-02-05,2.5,web")),
    ),
    Fault(
        "F3",
        "a value of 200,000 characters",
        "refused: a quoted value does not end",
        ALL_KEPT,
        kept(
            re.sub(r"(?m)$", ",x", shop().strip()).replace(",x\n", f",{'y' * 200_000}\n", 2) + "\n"
        ),
    ),
    Fault(
        "F4",
        "ids as floats in one file, whole numbers in the other",
        "erased_found 0, the objector is processed",
        r"100 read = 90 kept \+ 10 set aside \(5 erased, 5 objected\).*objected 1 of 1, erased 1 of 1",
        floats_and_gaps,
    ),
    *(
        Fault(
            "F4",
            f"ids of customers written {spelled}",
            "passed silently",
            "refused: .*0 of 20 customers are among the 20 buyers",
            of_people("customer_id\n" + "\n".join(spelled.format(n) for n in range(1, 21)), lines),
        )
        for spelled, lines in (
            ("00{}", ""),
            ("'{}", ""),
            ("C-{}", ""),
            ("1.2{:02}E+11", ""),
            ("a{}@x.eu", re.sub(r"(?m)^(\d+),", r"A\1@x.eu,", shop())),
        )
    ),
    *(
        Fault(
            "F5",
            f"30 returns written as {written} beside 200 sales",
            "0 of 30 kept, step OK",
            r"refused: .*30 unreadable amount.*\[data.columns\]",
            returns(f'"{written}"'),
        )
        for written in ("(20.50)", "20.50-", "1,234.56", "12,50", "1.234,56")
    ),
    Fault(
        "F5",
        "30 returns written as -20.50",
        "30 of 30 kept",
        r"230 read = 230 kept",
        returns("-20.50"),
    ),
    Fault(
        "F5",
        "times as yyyy-mm-dd until April, dd.mm.yyyy after",
        "150 of 550 lost, step OK",
        "refused: .*30 unreadable time",
        kept(shop(*(f"1,{n + 1:02}.06.2026,5" for n in range(30)), orders=200)),
    ),
    *(
        Fault(
            "F6",
            f"one order {days} days after the end",
            "the cut-offs move: base rate .45 becomes .95",
            r"101 read = 100 kept \+ 1 set aside \(1 in future\).*to 2026-06-30",
            kept(shop(f"1,{END + timedelta(days=days)},5")),
        )
        for days in (20, 29, 120, 15_000)
    ),
    *(
        Fault(
            "F6",
            f"one order at {zero}, a zero of some calendar",
            "a history of 2,000 years, or a traceback",
            r"101 read = 100 kept \+ 1 set aside \(1 unreadable time\).*history of 99 days",
            kept(shop(f"1,{zero},5")),
        )
        for zero in (
            "1970-01-01",
            "0001-01-01",
            "0026-06-05",
            "-infinity",
            "2026-06-05 (BC)",
            "epoch",
        )
    ),
    Fault(
        "F6",
        "a feed that lags ten days; the base rate of one cut-off",
        "never compared",
        tests=(
            f"{CHECKS}test_a_feed_that_lags_leaves_a_thin_end",
            "pipeline/steps/test_features.py::test_a_cut_off_far_from_the_others_is_refused",
        ),
    ),
    Fault(
        "F7",
        "a snapshot of 148 days in the online store",
        "served as PRESENT, leads to an offer",
        tests=(
            "service/test_service_freshness.py::test_a_snapshot_of_months_ago_is_no_reason_for_a_decision",
            "pipeline/steps/test_score.py::test_nobody_is_scored_on_features_older_than_the_policy",
        ),
    ),
    *(
        Fault(
            "F8",
            f"customer_id {word}",
            "one customer",
            r"102 read = 100 kept \+ 2 set aside \(2 no customer id\)",
            kept(shop(f"{word},2026-06-01,5", f" {word.upper()} ,2026-06-02,5")),
        )
        for word in (
            *(
                "NULL",
                "NA",
                "n.a.",
                "None",
                "nan",
                r"\N",
                "-",
                "0",
                "guest",
                "---",
                "\u2026",
                "(blank)",
            ),
            *("#REF!", "unknown", "00000000-0000-0000-0000-000000000000", "???", "<null>"),
        )
    ),
    Fault(
        "F8",
        "one id with most of the rows",
        "26 of 39 rows are one customer",
        r"refused: .*one customer_id \(it looks like",
        kept(shop(*(f"Z,2026-05-{n % 28 + 1:02},{n}" for n in range(2_000)))),
    ),
    *(
        Fault(
            "F9",
            f"event_time = {expression}",
            "2 h early",
            rf"refused: .*{hint}",
            kept(
                re.sub(r"\d{4}-\d\d-\d\d", written, shop()),
                timezone="Europe/Berlin",
                columns={"event_time": expression},
            ),
        )
        for expression, written, hint in (
            ("epoch_ms(event_time)", "1783242000000", r"to_timestamp\("),
            ("make_timestamp(event_time)", "1783242000000000", r"to_timestamp\("),
            ("event_time::TIMESTAMP", "2026-06-05T09:00:00Z", "event_time"),
            ("strptime(event_time, '%Y-%m-%dT%H:%M:%SZ')", "2026-06-05T09:00:00Z", "zone"),
            ("event_time", "1783242000", r'to_timestamp\("event_time"\)'),
        )
    ),
    Fault(
        "F10",
        "two lines of one order, six seconds apart",
        "two purchases",
        "102 read = 102 kept.*; 1 purchase$",
        orders_of_lines("line"),
        ("pipeline/steps/test_features.py::test_lines_of_one_order_number_are_one_purchase",),
    ),
    *(
        Fault(
            "F11",
            f"lines {one} and {other}",
            "2 read = 1 kept + 1 duplicate",
            r"102 read = 102 kept",
            kept(with_lines(one, other)),
        )
        for one, other in (
            ("4711.1", "4711.10"),
            ("12345678901234567890", "12345678901234567891"),
            ("1E5", "100000"),
        )
    ),
    Fault(
        "F11",
        "real equal lines",
        "lost: CDNOW loses 255",
        "102 read = 102 kept",
        kept(shop("1,2026-06-01,5", "1,2026-06-01,5"), duplicates="keep"),
    ),
    Fault(
        "F11",
        "a column named copies_",
        "multiplies rows",
        ALL_KEPT,
        kept(
            re.sub(r"(?m)$", ",3", shop().strip()).replace("amount,3", "amount,copies_", 1) + "\n"
        ),
    ),
    Fault(
        "F12",
        "birth_year 80 for 1980",
        "all groups are gone, 0 rows rejected",
        tests=(
            "pipeline/steps/test_validate.py::test_a_broken_group_is_emptied_and_the_person_keeps_the_other",
            "pipeline/steps/test_validate.py::test_each_table_is_held_to_the_limit_and_the_rules_are_named",
        ),
    ),
    Fault(
        "F13",
        "amount = -amount, accounts of revenue",
        "219 customers become 108, no word",
        "refused: .*sign",
        kept(shop(), columns={"amount_eur": "-amount"}),
    ),
    Fault(
        "F14",
        "Windows-1252",
        "CSV Error on Line: 2",
        r'refused: .*line 102: it is not UTF-8. Set encoding .*"cp1252"',
        kept(shop("Käse,2026-06-01,5").encode("cp1252")),
    ),
    Fault(
        "F14",
        "Windows-1252 and encoding",
        "cannot be read",
        "101 read = 101 kept",
        kept(shop("Käse,2026-06-01,5").encode("cp1252"), reader={"encoding": "cp1252"}),
    ),
    *(
        Fault("F14", name, "CSV Error on Line: 1 or 8", ALL_KEPT, kept(content))
        for name, content in (
            ("UTF-16", shop().encode("utf-16")),
            ("gzip named .csv", gzip.compress(shop().encode(), mtime=0)),
            ("Parquet named .csv", parquet(pd.read_csv(io.StringIO(shop())))),
            ("line ends mixed", shop().replace("\n", "\r\n", 40).encode()),
        )
    ),
    Fault("F14", "sales*.csv", "No file", ALL_KEPT, several_files),
    Fault("F14", "a folder of Parquet parts", "No file", ALL_KEPT, folder_of_parts),
    Fault(
        "F14",
        "a row with a field too few after row 2,048",
        "Error when sniffing file",
        r"refused: .*line 3,002: 2 fields where the header has 3",
        kept(shop("1,2026-06-01", orders=3_000)),
    ),
    Fault(
        "F14",
        "zip, Excel, JSON lines",
        "CSV Error on Line: 1, or a header and no rows",
        "refused: .*is JSON: export the table as CSV or Parquet",
        kept('{"customer_id": 1}\n'),
        (f"{READER}test_what_is_no_table_is_named_with_what_to_do",),
    ),
    Fault(
        "F14",
        'amount_eur = ""',
        "KeyError",
        tests=(f"{READER}test_a_column_that_is_needed_is_not_empty",),
    ),
    Fault(
        "F14",
        "one bad value in a cast",
        "the whole file is refused",
        r"201 read = 200 kept \+ 1 set aside \(1 unreadable category\)",
        kept(
            shop("1,2026-06-01,5", orders=200).replace(",5\n", ",5.x\n"),
            columns={"category": "CAST(amount AS DOUBLE)::VARCHAR", "amount_eur": "1.0"},
        ),
    ),
    Fault(
        "S1",
        'lawful_basis = "consent" without a consent column',
        "accepted; 397 withdrawn rows in the card",
        "refused: .*nothing says who consented",
        kept(shop(), lawful_basis="consent"),
    ),
    Fault(
        "S2",
        "people.csv with the synthetic shop",
        "ignored without a word",
        "refused: .*customers is 'people.csv' but transactions is 'synthetic'",
        kept(shop(), transactions="synthetic", customers="people.csv"),
    ),
    Fault(
        "S3",
        "horizon_days = 60 and a card that says 30",
        "no rule compares",
        tests=(
            "card/test_card_rules.py::test_a_card_with_one_thing_changed_is_found_by_the_rule",
            "pipeline/steps/test_features.py::test_no_name_says_over_how_many_days_the_label_looks",
        ),
    ),
    Fault(
        "S5",
        "other WINDOWS in contract.py",
        "Binder Error: column revenue_eur_14d",
        tests=(
            "pipeline/steps/test_features.py::test_other_windows_give_columns_features_sql_and_slices_that_follow",
            "pipeline/steps/test_features.py::test_the_bands_of_tenure_and_purchases_cover_everybody",
        ),
    ),
    Fault(
        "S7",
        "90 days of history",
        "lower cutoffs, and 3 is refused with the same words",
        "history of 89 days.*set cutoffs = 3, every_days = 14 and horizon_days = 14",
        kept(shop(orders=90)),
        ("pipeline/steps/test_features.py::test_the_settings_that_a_short_history_is_told_work",),
    ),
    Fault(
        "S8",
        "154 of 5,134 rows break the contract",
        "the refusal names no rule and no column",
        tests=(
            "pipeline/steps/test_validate.py::test_each_table_is_held_to_the_limit_and_the_rules_are_named",
        ),
    ),
    Fault(
        "S9",
        "a change in the library",
        "dvc status: up to date",
        tests=(
            "pipeline/test_flow.py::test_a_changed_file_of_the_library_makes_every_stage_run_again",
        ),
    ),
    Fault(
        "S10",
        "5 million lines",
        "8.9 GB in step 3; 0.67 GB a million lines now, docs/benchmarks/features.md",
        tests=(
            "pipeline/steps/test_features.py::test_the_snapshots_are_the_same_bytes_on_every_run",
        ),
    ),
    Fault(
        "S11",
        "early_stopping of the boosting benchmark",
        "auto: a random 10 % of the same customers",
        "early stopping: False",
        early_stopping,
    ),
    Fault(
        "S12",
        "Kunden-Nr without quotes",
        'Referenced column "Kunden" not found',
        r"""refused: .*Write the column in double quotes: customer_id = '"Kunden-Nr"'""",
        kept(
            shop(header=HEADER.replace("customer_id", "Kunden-Nr")),
            columns={"customer_id": "Kunden-Nr"},
        ),
    ),
    Fault(
        "S13",
        "cancelled orders",
        "can only be counted as no customer id",
        r"101 read = 100 kept \+ 1 set aside \(1 filtered\)",
        kept(shop("1,2026-06-01,-99"), where="amount > -99"),
    ),
    Fault(
        "S14",
        "a rate that changes",
        "one rate for all time",
        tests=(
            "pipeline/test_exchange_rates.py::test_each_purchase_has_the_rate_of_its_day_as_pandas_finds_it",
        ),
    ),
    Fault(
        "S14",
        "a window function in an expression",
        "not allowed in try",
        r"refused: .*\[data.columns\] amount_eur = ",
        kept(shop(), columns={"amount_eur": "sum(amount) OVER ()"}),
    ),
)


@pytest.mark.parametrize("fault", [fault for fault in TABLE if fault.again], ids=str)
def test_the_fault_is_gone(fault: Fault, tmp_path: Path) -> None:
    assert fault.again
    assert re.search(fault.now, fault.again(tmp_path)), fault.old


@pytest.mark.parametrize("fault", [fault for fault in TABLE if fault.tests], ids=str)
def test_the_test_that_a_row_names_is_there(fault: Fault) -> None:
    for name in fault.tests:
        file, _, test = name.partition("::")
        tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
        assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_fault_that_was_found_has_a_row() -> None:
    numbers = [f"F{n}" for n in range(1, 15)]
    numbers += [f"S{n}" for n in (1, 2, 3, 5, 7, 8, 9, 10, 11, 12, 13, 14)]
    assert list(dict.fromkeys(fault.id for fault in TABLE)) == numbers
    assert not [fault.id for fault in TABLE if not (fault.again or fault.tests)]
