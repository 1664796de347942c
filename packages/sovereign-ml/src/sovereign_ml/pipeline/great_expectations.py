"""Great Expectations: run of a suite over a table, with the rows that broke it."""

from __future__ import annotations

import logging
import sys
import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
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

__all__ = ["Check", "JudgedTable", "Judgement", "judge", "run", "spared"]

ROW = "row_"
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
    """Run ``suite`` over ``table`` and return its checks.

    Each check has the positions of the rows that broke it.
    """
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


def _broken_rows(table: pd.DataFrame, checks: Sequence[Check]) -> pd.DataFrame:
    """Return the rows that broke an expectation. Their column ``expectation`` has the first one."""
    reason: dict[int, str] = {}
    for check in checks:
        for row in check.rows:
            reason.setdefault(row, check.name)
    positions = sorted(reason)
    rejected = table.iloc[positions].copy()
    rejected["expectation"] = [reason[row] for row in positions]
    return rejected


class Judgement(ABC):
    """Counts of a table after its checks.

    ``rows`` are all rows, and ``unmet`` are expectations that failed without naming a row.
    """

    rows: int
    unmet: tuple[str, ...]

    @property
    @abstractmethod
    def broken(self) -> dict[str, int]:
        """Return how many rows broke each rule first, by the rule and its column."""

    @property
    @abstractmethod
    def rejected_rows(self) -> int:
        """Return the number of rejected rows."""

    @property
    @abstractmethod
    def emptied_rows(self) -> int:
        """Return the number of rows that lost a value but stay."""

    @abstractmethod
    def values(self, check: Check, most: int) -> list[str]:
        """Return up to ``most`` distinct values that broke ``check`` before any other rule."""

    @property
    def share(self) -> float:
        """Return the share of rows that are rejected or lost a value."""
        return sum(self.broken.values()) / max(1, self.rows)

    def problem(self, name: str, limit: float) -> str:
        """Return the reason against using the table ``name``, empty if it can be used.

        The reason has the broken rules and their counts.
        """
        if self.share <= limit and not self.unmet:
            return ""
        rules = [f"{rule} by {count:,}" for rule, count in self.broken.items()]
        rules += [f"{rule} by the whole table" for rule in self.unmet]
        return (
            f"{sum(self.broken.values()):,} of {self.rows:,} {name} ({self.share:.2%}) break the "
            f"contract: {', '.join(rules)}"
        )


@dataclass(frozen=True)
class JudgedTable(Judgement):
    """A table after its checks: valid rows, rejected rows, and rows that lost a value but stay.

    ``unmet`` are expectations that failed without naming a row.
    """

    rows: int
    valid: pd.DataFrame
    rejected: pd.DataFrame
    emptied: pd.DataFrame
    unmet: tuple[str, ...]

    @property
    def broken(self) -> dict[str, int]:
        """Return how many rows broke each rule first, by the rule and its column."""
        rules = [*self.rejected["expectation"], *self.emptied["expectation"]]
        return dict(sorted(Counter(map(str, rules)).items()))

    @property
    def rejected_rows(self) -> int:
        """Return the number of rejected rows."""
        return len(self.rejected)

    @property
    def emptied_rows(self) -> int:
        """Return the number of rows that lost a value but stay."""
        return len(self.emptied)

    def values(self, check: Check, most: int) -> list[str]:
        """Return up to ``most`` distinct values that broke ``check`` before any other rule."""
        import pandas as pd

        broken = pd.concat([self.rejected, self.emptied])
        rows = broken[broken["expectation"] == check.name]
        return [str(value) for value in rows[check.column].drop_duplicates().head(most)]


def judge(table: pd.DataFrame, checks: Sequence[Check], columns: Sequence[Column]) -> JudgedTable:
    """Return the valid and the rejected rows of ``table``.

    A broken value of a protected column that may be empty is emptied. The person stays, with all
    other groups, because these columns are read for the fairness test only.
    """
    names = spared(columns)
    rejected = _broken_rows(table, [check for check in checks if check.column not in names])
    of_values = [check for check in checks if check.column in names]
    emptied = _broken_rows(table, of_values)
    valid = table.copy()
    for check in of_values:
        rows = valid.index.isin(table.index[list(check.rows)])
        valid[check.column] = valid[check.column].mask(rows)
    return JudgedTable(
        rows=len(table),
        valid=valid.drop(index=rejected.index),
        rejected=rejected,
        # A row may lose a value and be rejected for another one.
        emptied=emptied.drop(index=rejected.index, errors="ignore"),
        unmet=tuple(check.name for check in checks if check.failed and not check.rows),
    )


def spared(columns: Sequence[Column]) -> set[str]:
    """Return the columns of which a broken value is emptied, while the row stays."""
    return {column.name for column in columns if column.role == "protected" and column.nullable}


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
        # An expectation about the whole table names no row.
        failed=len(rows) if entry.success or rows else 1,
        rows=rows,
    )
