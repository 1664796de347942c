"""Great Expectations: the suite made from the contract, and which rows broke which expectation."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from churn.contract import Column

if TYPE_CHECKING:
    import pandas as pd

ROW = "row_"


@dataclass(frozen=True)
class Check:
    """One expectation and what it found."""

    expectation: str
    column: str
    wanted: str
    failed: int
    rows: tuple[int, ...]


def validate(table: pd.DataFrame, columns: Iterable[Column]) -> list[Check]:
    """Run the expectations of ``columns`` over ``table``; each check names the positions of the rows that broke it."""
    import great_expectations as gx

    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    columns = tuple(columns)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("memory").add_dataframe_asset("table")
    batch = asset.add_batch_definition_whole_dataframe("all")
    suite = context.suites.add(
        gx.ExpectationSuite(name="contract", expectations=list(_expectations(columns)))
    )
    definition = gx.ValidationDefinition(name="contract", data=batch, suite=suite)
    context.validation_definitions.add(definition)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = definition.run(
            batch_parameters={"dataframe": _prepared(table, columns)},
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": [ROW]},
        )
    return [_check(entry) for entry in result.results]


def _prepared(table: pd.DataFrame, columns: tuple[Column, ...]) -> pd.DataFrame:
    """Pandas compares aware times only with aware bounds, which the suite cannot hold: naive UTC on both sides."""
    import pandas as pd

    frame = table.copy()
    for column in columns:
        if column.dtype == "timestamp":
            frame[column.name] = pd.to_datetime(frame[column.name], utc=True).dt.tz_localize(None)
        if column.dtype == "float":
            frame[column.name] = frame[column.name].astype("float64")
    frame[ROW] = range(len(frame))
    return frame


def _expectations(columns: Iterable[Column]) -> Iterable[Any]:
    import great_expectations.expectations as gxe

    for column in columns:
        yield gxe.ExpectColumnToExist(column=column.name)
        if not column.nullable:
            yield gxe.ExpectColumnValuesToNotBeNull(column=column.name)
        if column.pattern:
            yield gxe.ExpectColumnValuesToMatchRegex(column=column.name, regex=column.pattern)
        if column.minimum is not None or column.maximum is not None:
            yield gxe.ExpectColumnValuesToBeBetween(
                column=column.name,
                min_value=_bound(column, column.minimum),
                max_value=_bound(column, column.maximum),
            )


def _bound(column: Column, value: float | str | None) -> Any:
    from datetime import datetime

    return (
        datetime.fromisoformat(str(value))
        if column.dtype == "timestamp" and value is not None
        else value
    )


def _check(entry: Any) -> Check:
    kwargs = {
        k: v for k, v in entry.expectation_config.kwargs.items() if k not in ("column", "batch_id")
    }
    rows = tuple(int(index[ROW]) for index in entry.result.get("unexpected_index_list") or ())
    return Check(
        expectation=str(entry.expectation_config.type),
        column=str(entry.expectation_config.kwargs["column"]),
        wanted=", ".join(
            f"{k.replace('_value', '')} {v}" for k, v in kwargs.items() if v is not None
        ),
        failed=len(rows) if entry.success or rows else 1,
        rows=rows,
    )
