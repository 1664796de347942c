"""Great Expectations: run of a suite over a table, with the rows that broke it."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sovereign_ml.project import Column

if TYPE_CHECKING:
    import great_expectations as gx
    import pandas as pd

__all__ = ["Check", "run"]

ROW = "row_"
COLUMN_KEYS = ("column", "column_A", "column_B", "column_list", "column_set")
"""Arguments of an expectation that name its columns."""
GRAMMAR, CHARTS = "rfc3987_syntax", "altair"


def _is_valid_syntax(term: str, value: str) -> bool:
    """Return whether ``value`` is the ``term`` of RFC 3987."""
    # The first call replaces the stand-in by the real grammar.
    sys.modules.pop(GRAMMAR, None)
    return bool(import_module(GRAMMAR).is_valid_syntax(term, value))


def _of_charts(stand_in: ModuleType, name: str) -> Any:
    """Return an attribute of the library of charts, which the first call imports.

    One expectation can draw a chart. ``inspect`` asks every module for ``__file__`` only.
    """
    if name == "__file__":
        raise AttributeError(name)
    if sys.modules.get(CHARTS) is stand_in:
        del sys.modules[CHARTS]
    return getattr(import_module(CHARTS), name)


# The grammar takes a third of the time to import Great Expectations, whose plots bring jsonschema
# in. jsonschema asks it about schemas with international addresses only.
if GRAMMAR not in sys.modules and find_spec(GRAMMAR):
    sys.modules[GRAMMAR] = ModuleType(GRAMMAR)
    vars(sys.modules[GRAMMAR])["is_valid_syntax"] = _is_valid_syntax
if CHARTS not in sys.modules and find_spec(CHARTS):
    sys.modules[CHARTS] = ModuleType(CHARTS)
    vars(sys.modules[CHARTS])["__getattr__"] = partial(_of_charts, sys.modules[CHARTS])


@dataclass(frozen=True)
class Check:
    """One expectation and its result: how many rows failed, and their positions in the table.

    ``column`` has the names of several columns where it is about more than one, and is empty where
    it is about the table.
    """

    expectation: str
    column: str
    wanted: str
    failed: int
    rows: tuple[int, ...]

    @property
    def name(self) -> str:
        """Return the expectation and its column, as rejected rows name it."""
        return f"{self.expectation}({self.column})" if self.column else self.expectation


def run(
    suite: gx.ExpectationSuite, table: pd.DataFrame, columns: tuple[Column, ...]
) -> list[Check]:
    """Run ``suite`` over ``table`` and return its checks.

    Each check has the positions of the rows that broke it.
    """
    import great_expectations as gx

    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    # A context of files would write a folder into the project.
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
            # The other formats name a sample of the failed rows, and rejection needs all of them.
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": [ROW]},
        )
    return [_check(entry) for entry in result.results]


def _prepared(table: pd.DataFrame, columns: tuple[Column, ...]) -> pd.DataFrame:
    """Return ``table`` with naive UTC times, in types that are compared column by column."""
    import pandas as pd

    frame = table.copy()
    for column in columns:
        # An expectation of its own names a column that is not there.
        if column.name not in frame:
            continue
        values = frame[column.name]
        # pandas compares aware times only with aware bounds, which a suite cannot hold.
        if column.dtype == "timestamp":
            times = pd.to_datetime(values, utc=True).dt.tz_localize(None)
            # Great Expectations compares other units than nanoseconds value by value. They hold
            # the years 1678 to 2261, so other times keep their unit.
            with suppress(pd.errors.OutOfBoundsDatetime):
                times = times.dt.as_unit("ns")
            frame[column.name] = times
        if column.dtype == "float":
            frame[column.name] = values.astype("float64")
        if column.dtype == "integer" and pd.api.types.is_integer_dtype(values.dtype):
            frame[column.name] = values.astype("int64")
    # Failed rows are named by a column, and no column of the input is sure to be unique.
    frame[ROW] = range(len(frame))
    return frame


def _columns_of(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield the columns that an expectation names, none for one about the table."""
    for key in COLUMN_KEYS:
        named = settings.get(key) or ()
        yield from [named] if isinstance(named, str) else map(str, named)


def _check(entry: Any) -> Check:
    settings = entry.expectation_config.kwargs
    limits = {k: v for k, v in settings.items() if k not in (*COLUMN_KEYS, "batch_id")}
    rows = tuple(int(index[ROW]) for index in entry.result.get("unexpected_index_list") or ())
    return Check(
        expectation=str(entry.expectation_config.type),
        column=", ".join(_columns_of(settings)),
        wanted=", ".join(
            f"{k.replace('_value', '')} {v}" for k, v in limits.items() if v is not None
        ),
        # An expectation about the whole table names no row.
        failed=len(rows) if entry.success or rows else 1,
        rows=rows,
    )
