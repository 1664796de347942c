"""Step 2: what breaks the contract is rejected with the rule it broke; too much of it stops the flow."""

from __future__ import annotations

import re
from collections.abc import Iterable
from copy import copy
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from small_project import load, make_project, step
from sovereign_ml.config.settings import Settings
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.pipeline import file_validation
from sovereign_ml.pipeline.file_validation import JudgedFile, judge_file
from sovereign_ml.pipeline.great_expectations import Check
from sovereign_ml.pipeline.validation_report import report
from sovereign_ml.project import Column
from sovereign_ml.storage.artifacts import read_json, summarise

Change = dict[str, Any]


class Raw:
    """A raw artifact of forty good transactions, and one that is changed."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self.settings, self.output = folder / "1_raw", settings, folder / "2_valid"
        self.folder.mkdir()

    def validate(
        self,
        change: Change | None = None,
        table: str = "transactions",
        rows: Iterable[int] = (3,),
        more: Change | None = None,
    ) -> dict[str, pd.DataFrame]:
        """Validate with ``change`` in some rows of ``table``, and ``more`` in all transactions."""
        tables = _tables()
        for column, value in (change or {}).items():
            tables[table][column] = tables[table][column].astype(object)
            for row in rows:
                tables[table].at[row, column] = value
        for column, value in (more or {}).items():
            tables["transactions"][column] = value
        for name, frame in tables.items():
            frame.to_parquet(self.folder / f"{name}.parquet", index=False)
        summarise(
            self.folder, rows_in=40, rows_out=40, headline="", set_aside={}, lawful_basis="contract"
        )
        step("validate", self.settings, self.folder, self.output)
        return {path.stem: pd.read_parquet(path) for path in self.output.glob("*.parquet")}

    @property
    def report(self) -> str:
        return (self.output / "report.html").read_text(encoding="utf-8")


def _tables() -> dict[str, pd.DataFrame]:
    ids = [f"{i:032x}" for i in range(40)]
    times = pd.to_datetime(["2026-01-01T10:00:00Z"] * 40, utc=True)
    money = [Decimal(f"{i}.50") for i in range(40)]
    return {
        "transactions": pd.DataFrame(
            {
                "customer_id": ids,
                "event_time": times,
                "amount_eur": money,
                "category": "books",
                "order_number": 1,
            }
        ),
        "customers": pd.DataFrame(
            {"customer_id": ids, "consent": True}
            | dict.fromkeys(
                ("objected_at", "restricted_at", "withdrawn_at", "started_at", "ended_at"), times
            )
        ),
        "groups": pd.DataFrame({"customer_id": ids, "birth_year": 1980, "country": "DE"}),
    }


@pytest.fixture(scope="module")
def tolerant(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load(
        make_project(
            tmp_path_factory.mktemp("tolerant") / "own", **{"validate.max_rejected_share": 0.03}
        )
    )


@pytest.fixture
def raw_of(tmp_path: Path, tolerant: Settings) -> Raw:
    return Raw(tmp_path, tolerant)


def test_rows_that_keep_the_contract_all_pass(raw_of: Raw) -> None:
    tables = raw_of.validate()
    assert {name: len(table) for name, table in tables.items()} == {
        **dict.fromkeys(("transactions", "customers", "groups"), 40),
        **dict.fromkeys(("rejected_transactions", "rejected_customers", "rejected_groups"), 0),
    }


@pytest.mark.parametrize(
    ("change", "expectation"),
    [
        ({"customer_id": "C0000001"}, "expect_column_values_to_match_regex(customer_id)"),
        ({"customer_id": None}, "expect_column_values_to_not_be_null(customer_id)"),
        ({"event_time": pd.NaT}, "expect_column_values_to_not_be_null(event_time)"),
        (
            {"event_time": pd.Timestamp("1970-01-01", tz="UTC")},
            "expect_column_values_to_be_between(event_time)",
        ),
        (
            {"event_time": pd.Timestamp("2199-01-01", tz="UTC")},
            "expect_column_values_to_be_between(event_time)",
        ),
        ({"amount_eur": None}, "expect_column_values_to_not_be_null(amount_eur)"),
        ({"amount_eur": Decimal("100000.01")}, "expect_column_values_to_be_between(amount_eur)"),
        ({"amount_eur": Decimal("-100000.01")}, "expect_column_values_to_be_between(amount_eur)"),
        ({"category": "x" * 65}, "expect_column_values_to_match_regex(category)"),
        ({"category": ""}, "expect_column_values_to_match_regex(category)"),
        ({"category": "two\nlines"}, "expect_column_values_to_match_regex(category)"),
        ({"category": "books\n"}, "expect_column_values_to_match_regex(category)"),
    ],
)
def test_a_transaction_is_rejected_with_the_rule_that_it_broke(
    raw_of: Raw, change: Change, expectation: str
) -> None:
    tables = raw_of.validate(change)
    assert list(tables["rejected_transactions"]["expectation"]) == [expectation]
    assert len(tables["transactions"]) == 39
    assert read_json(raw_of.output / "summary.json")["rejected"] == {expectation: 1}


@pytest.mark.parametrize(
    "change",
    [
        {"amount_eur": Decimal("100000.00")},
        {"amount_eur": Decimal("-100000.00")},
        {"event_time": pd.Timestamp("1995-01-01", tz="UTC")},
        {"category": None},
        {"category": "x" * 64},
    ],
)
def test_a_value_on_the_edge_of_the_contract_passes(raw_of: Raw, change: Change) -> None:
    assert len(raw_of.validate(change)["transactions"]) == 40


@pytest.mark.parametrize(
    ("table", "change", "expectation"),
    [
        ("groups", {"customer_id": "C1"}, "expect_column_values_to_match_regex(customer_id)"),
        ("customers", {"customer_id": "C1"}, "expect_column_values_to_match_regex(customer_id)"),
    ],
)
def test_the_other_tables_have_rules_too(
    raw_of: Raw, table: str, change: Change, expectation: str
) -> None:
    tables = raw_of.validate(change, table)
    assert list(tables[f"rejected_{table}"]["expectation"]) == [expectation]
    assert len(tables[table]) == 39


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"birth_year": 80}, "expect_column_values_to_be_between(birth_year)"),
        ({"birth_year": 1850}, "expect_column_values_to_be_between(birth_year)"),
        ({"country": ""}, "expect_column_values_to_match_regex(country)"),
        ({"country": "x" * 65}, "expect_column_values_to_match_regex(country)"),
    ],
)
def test_a_broken_group_is_emptied_and_the_person_keeps_the_other(
    raw_of: Raw, change: Change, rule: str
) -> None:
    tables = raw_of.validate(change, "groups")
    (broken,) = change
    (other,) = {"birth_year", "country"} - {broken}
    assert (len(tables["groups"]), len(tables["rejected_groups"])) == (40, 0)
    assert list(tables["groups"][broken].isna()) == [row == 3 for row in range(40)]
    assert tables["groups"][other].notna().all()
    found = read_json(raw_of.output / "summary.json")
    assert found["broken"]["groups"] == {rule: 1}
    assert "0 of 40 groups (1 lost a value); limit 3.00%" in found["headline"]
    assert str(change[broken]) in raw_of.report


@pytest.mark.parametrize(
    ("table", "columns", "said"),
    [
        (
            "groups",
            {"birth_year": 80},
            r"40 of 40 groups \(100\.00%\) break the contract: "
            r"expect_column_values_to_be_between\(birth_year\) by 40",
        ),
        (
            "customers",
            {"customer_id": "C1"},
            r"40 of 40 customers .*expect_column_values_to_match_regex\(customer_id\) by 40",
        ),
    ],
)
def test_each_table_is_held_to_the_limit_and_the_rules_are_named(
    raw_of: Raw, table: str, columns: Change, said: str
) -> None:
    with pytest.raises(Refused, match=said):
        raw_of.validate(columns, table, rows=range(40))
    assert not raw_of.output.exists()


def test_all_tables_that_break_the_limit_are_in_one_message(raw_of: Raw) -> None:
    with pytest.raises(Refused, match=r"transactions .* by 40.*; 40 of 40 groups"):
        raw_of.validate({"birth_year": 80}, "groups", rows=range(40), more={"amount_eur": None})


def test_an_expectation_of_a_whole_table_that_fails_is_never_passed_over() -> None:
    whole = Check("expect_column_mean_to_be_between", "a", "max 1", failed=1, rows=())
    judged = JudgedFile(Path("a.parquet"), (), Path())
    valid, _ = judged.add(pa.table({"a": [1, 2]}), [whole])
    assert len(valid) == 2
    assert judged.problem("transactions", 1.0).endswith(
        "expect_column_mean_to_be_between(a) by the whole table"
    )


def test_above_the_limit_the_flow_stops_and_the_report_is_kept(raw_of: Raw) -> None:
    raw_of.validate()
    before = (raw_of.output / "transactions.parquet").read_bytes()
    strict = raw_of.settings.model_copy(
        update={
            "validate_": raw_of.settings.validate_.model_copy(update={"max_rejected_share": 0.02})
        }
    )
    raw_of.settings = strict
    with pytest.raises(
        Refused,
        match=r"1 of 40 transactions \(2\.50%\) break the contract.*allows 2\.00%.*report\.html",
    ) as stop:
        raw_of.validate({"amount_eur": Decimal("999999")})
    refused = raw_of.output.with_name("2_valid_refused")
    assert stop.value.exit_code == 1
    assert "Refused" in (refused / "report.html").read_text()
    assert len(pd.read_parquet(refused / "rejected_transactions.parquet")) == 1
    assert (raw_of.output / "transactions.parquet").read_bytes() == before


def test_a_run_that_passes_takes_the_refused_report_away(raw_of: Raw) -> None:
    raw_of.output.with_name("2_valid_refused").mkdir()
    raw_of.validate()
    assert not raw_of.output.with_name("2_valid_refused").exists()


def test_exactly_at_the_limit_the_flow_goes_on(raw_of: Raw) -> None:
    share = {
        "validate_": raw_of.settings.validate_.model_copy(update={"max_rejected_share": 1 / 40})
    }
    raw_of.settings = raw_of.settings.model_copy(update=share)
    assert len(raw_of.validate({"amount_eur": None})["transactions"]) == 39


def test_the_report_opens_offline_and_asks_nobody(raw_of: Raw) -> None:
    raw_of.validate({"amount_eur": Decimal("999999")})
    assert not re.findall(
        r"https?://|<script|<link|<img|<iframe|@import|url\(|src\s*=|href\s*=", raw_of.report
    )
    assert "1 of 40 transactions rejected" in raw_of.report
    assert "999999" in raw_of.report


def test_the_report_escapes_what_came_from_the_data(raw_of: Raw) -> None:
    raw_of.validate({"category": "<script>alert(1)</script>\n"})
    assert "<script>" not in raw_of.report
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in raw_of.report


def test_the_report_names_no_customer(raw_of: Raw) -> None:
    raw_of.validate({"customer_id": "jane@acme.example"})
    assert "jane@acme.example" not in raw_of.report
    assert f"{7:032x}" not in raw_of.report


def test_the_shop_passes_with_few_rejects(valid: Path, raw: Path) -> None:
    kept, rejected = (
        len(pd.read_parquet(valid / f"{name}.parquet"))
        for name in ("transactions", "rejected_transactions")
    )
    assert kept + rejected == len(pd.read_parquet(raw / "transactions.parquet"))
    assert 0 < rejected < 0.01 * kept


def test_a_raw_folder_that_is_not_there_names_the_step(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(Misuse, match=r"run `churn data` first"):
        step("validate", settings, tmp_path / "1_raw", tmp_path / "2_valid")


MEAN = gxe.ExpectColumnMeanToBeBetween(column="value", max_value=10)
UNIQUE = gxe.ExpectColumnValuesToBeUnique(column="value")
NOT_NULL = gxe.ExpectColumnValuesToNotBeNull(column="value")
AT_MOST = gxe.ExpectColumnValuesToBeBetween(column="value", max_value=50)
VALUE = (Column("value", "float", "feature"),)


def _judged(
    folder: Path, values: list[Any], *expectations: gxe.Expectation, kind: Any = "float64"
) -> JudgedFile:
    source = folder / "table.parquet"
    pq.write_table(pa.table({"value": pa.array(values).cast(kind)}), source)
    (folder / "out").mkdir()
    suite = gx.ExpectationSuite(
        name="table", expectations=[copy(expectation) for expectation in expectations]
    )
    return judge_file(source, suite, VALUE, folder / "out")


@pytest.mark.parametrize("at_once", [1, 3, 7, 100])
def test_the_parts_of_a_file_are_judged_like_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(file_validation, "AT_ONCE", at_once)
    values = [1.0, None, 60.5, 4.0, 5.0, 70.0, 60.5, None]
    judged = _judged(tmp_path, values, NOT_NULL, AT_MOST)
    between, null = (
        f"expect_column_values_to_{name}(value)" for name in ("be_between", "not_be_null")
    )
    assert judged.broken == {between: 3, null: 2}
    assert (judged.rows, judged.valid_rows, judged.rejected_rows) == (8, 3, 5)
    assert [check.failed for check in judged.checks] == [2, 3]
    assert judged.values(judged.checks[1], 20) == ["60.5", "70.0"]
    assert pq.read_table(judged.valid)["value"].to_pylist() == [1.0, 4.0, 5.0]
    rejected = pq.read_table(judged.rejected).to_pydict()
    assert rejected["value"] == [None, 60.5, 70.0, 60.5, None]
    assert rejected["expectation"] == [null, between, between, between, null]


@pytest.mark.parametrize(("expectation", "failed"), [(MEAN, "unmet"), (UNIQUE, "broken")])
def test_an_expectation_that_needs_all_rows_gets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expectation: gxe.Expectation, failed: str
) -> None:
    monkeypatch.setattr(file_validation, "AT_ONCE", 1)
    # Alone, each of these rows would be unique, and the mean of the first one is low enough.
    judged = _judged(tmp_path, [7.0, 50.0, 7.0], expectation)
    assert getattr(judged, failed)
    assert judged.problem("table", 0.5)


def test_an_expectation_about_the_table_or_several_columns_counts_too(tmp_path: Path) -> None:
    values = {"value": [1.0, 2.0, 2.0], "other": [1.0, 1.0, 3.0]}
    source, columns = tmp_path / "table.parquet", (*VALUE, Column("other", "float", "feature"))
    pq.write_table(pa.table(values), source)
    expectations = [
        gxe.ExpectTableRowCountToBeBetween(min_value=10),
        gxe.ExpectCompoundColumnsToBeUnique(column_list=["value", "other"]),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="value", column_B="other", or_equal=True
        ),
    ]
    (tmp_path / "out").mkdir()
    suite = gx.ExpectationSuite(name="table", expectations=expectations)
    judged = judge_file(source, suite, columns, tmp_path / "out")
    assert judged.unmet == ("expect_table_row_count_to_be_between",)
    assert judged.broken == {"expect_column_pair_values_a_to_be_greater_than_b(value, other)": 1}
    assert (judged.valid_rows, judged.rejected_rows) == (2, 1)
    assert "by the whole table" in judged.problem("table", 1.0)
    page = report("t", {"table": judged.checks}, {"table": judged}, limit=0.1, refused=True)
    assert ">whole table</th><td>table row count to be between" in page


def test_the_columns_of_a_file_keep_their_types(tmp_path: Path) -> None:
    judged = _judged(
        tmp_path, [Decimal("1.25"), Decimal("99.00")], AT_MOST, kind=pa.decimal128(18, 2)
    )
    for path in (judged.valid, judged.rejected):
        assert pq.read_schema(path).field("value").type == pa.decimal128(18, 2)


def test_a_file_without_rows_is_checked_for_its_columns(tmp_path: Path) -> None:
    there = _judged(tmp_path, [], gxe.ExpectColumnToExist(column="value"))
    assert (there.rows, there.unmet, there.valid.is_file()) == (0, (), True)
    (tmp_path / "other").mkdir()
    absent = _judged(tmp_path / "other", [], gxe.ExpectColumnToExist(column="absent"))
    assert absent.problem("table", 1).endswith("expect_column_to_exist(absent) by the whole table")


def test_a_time_beyond_the_years_of_nanoseconds_is_rejected(raw_of: Raw) -> None:
    tables = raw_of.validate(more={"event_time": pd.Timestamp("2026-01-01", tz="UTC")})
    assert len(tables["transactions"]) == 40
    far = pa.array([datetime(9999, 1, 1, tzinfo=UTC)] * 2 + [datetime(2026, 1, 1, tzinfo=UTC)] * 38)
    path = raw_of.folder / "transactions.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index("event_time")
    pq.write_table(table.set_column(place, "event_time", far), path)
    with pytest.raises(
        Refused, match=r"2 of 40 .*expect_column_values_to_be_between\(event_time\)"
    ):
        step("validate", raw_of.settings, raw_of.folder, raw_of.output)
