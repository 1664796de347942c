"""The Great Expectations suite of each input table, made from the columns of contract.py."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import great_expectations as gx
import great_expectations.expectations as gxe
from sovereign_ml.project import Column


def suite(table: str, columns: tuple[Column, ...]) -> gx.ExpectationSuite:
    """Return the suite of the input table ``table``. Add expectations of your own here."""
    expectations = [expectation for column in columns for expectation in _of(column)]
    return gx.ExpectationSuite(name=table, expectations=expectations)


def _of(column: Column) -> Iterator[gxe.Expectation]:
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


def _bound(column: Column, value: float | str | None) -> datetime | float | str | None:
    if column.dtype == "timestamp" and value is not None:
        return datetime.fromisoformat(str(value))  # pandas compares times with no text
    return value
