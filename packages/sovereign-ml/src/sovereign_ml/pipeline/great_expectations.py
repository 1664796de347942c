"""Running a Great Expectations suite over a table, and naming the rows that broke it."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sovereign_ml.project import Column

if TYPE_CHECKING:
    import great_expectations as gx
    import pandas as pd

__all__ = ["Check", "broken_rows", "run"]

ROW = "row_"


@dataclass(frozen=True)
class Check:
    """One expectation and its result: how many rows failed, and their positions in the table."""

    expectation: str
    column: str
    wanted: str
    failed: int
    rows: tuple[int, ...]

    @property
    def name(self) -> str:
        """Return the expectation and its column, as rejected rows name it."""
        return f"{self.expectation}({self.column})"


def run(
    suite: gx.ExpectationSuite, table: pd.DataFrame, columns: tuple[Column, ...]
) -> list[Check]:
    """Run ``suite`` over ``table``; each check names the positions of the rows that broke it."""
    import great_expectations as gx

    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("memory").add_dataframe_asset("table")
    batch = asset.add_batch_definition_whole_dataframe("all")
    definition = gx.ValidationDefinition(
        name=suite.name, data=batch, suite=context.suites.add(suite)
    )
    context.validation_definitions.add(definition)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = definition.run(
            batch_parameters={"dataframe": _prepared(table, columns)},
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": [ROW]},
        )
    return [_check(entry) for entry in result.results]


def broken_rows(table: pd.DataFrame, checks: list[Check]) -> pd.DataFrame:
    """Return the rows that broke an expectation, with the first one they broke in ``expectation``."""
    reason: dict[int, str] = {}
    for check in checks:
        for row in check.rows:
            reason.setdefault(row, check.name)
    positions = sorted(reason)
    rejected = table.iloc[positions].copy()
    rejected["expectation"] = [reason[row] for row in positions]
    return rejected


def _prepared(table: pd.DataFrame, columns: tuple[Column, ...]) -> pd.DataFrame:
    """Return ``table`` with naive UTC times: pandas compares aware times only with aware bounds, which a suite cannot
    hold."""
    import pandas as pd

    frame = table.copy()
    for column in columns:
        if column.dtype == "timestamp":
            frame[column.name] = pd.to_datetime(frame[column.name], utc=True).dt.tz_localize(None)
        if column.dtype == "float":
            frame[column.name] = frame[column.name].astype("float64")
    frame[ROW] = range(len(frame))
    return frame


def _check(entry: Any) -> Check:
    settings = entry.expectation_config.kwargs
    limits = {k: v for k, v in settings.items() if k not in ("column", "batch_id")}
    rows = tuple(int(index[ROW]) for index in entry.result.get("unexpected_index_list") or ())
    return Check(
        expectation=str(entry.expectation_config.type),
        column=str(settings["column"]),
        wanted=", ".join(
            f"{k.replace('_value', '')} {v}" for k, v in limits.items() if v is not None
        ),
        failed=len(rows) if entry.success or rows else 1,
        rows=rows,
    )
