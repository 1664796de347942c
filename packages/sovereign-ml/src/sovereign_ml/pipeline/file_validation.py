"""Validation of a Parquet file in parts that fit into memory.

Valid and rejected rows are written part by part. An expectation that needs all rows at once, such
as one about a mean or about unique values, has the file validated in one part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sovereign_ml.pipeline.great_expectations import Check, run
from sovereign_ml.project import Column
from sovereign_ml.storage import duckdb as db
from sovereign_ml.storage.artifacts import scratch

if TYPE_CHECKING:
    import great_expectations as gx
    import pyarrow as pa

__all__ = ["AT_ONCE", "JudgedFile", "judge_file", "judging"]

AT_ONCE = 262_144
"""Number of rows in memory at a time."""
ROW_GROUP = 122_880
"""Number of rows of one row group, as DuckDB writes it."""
SAMPLE = 20
"""Number of distinct values that are kept of each broken rule."""
OF_ONE_ROW = frozenset(
    f"expect_column_{name}"
    for name in (
        "to_exist",
        "values_to_be_null",
        "values_to_not_be_null",
        "values_to_be_between",
        "values_to_be_in_set",
        "values_to_not_be_in_set",
        "values_to_match_regex",
        "values_to_not_match_regex",
        "values_to_match_regex_list",
        "values_to_not_match_regex_list",
        "value_lengths_to_be_between",
        "value_lengths_to_equal",
        "values_to_match_strftime_format",
        "values_to_be_dateutil_parseable",
        "values_to_be_json_parseable",
    )
)
"""Expectations whose result for a row depends on this row alone. Any other one needs all rows."""


class JudgedFile:
    """A file after its checks, with counts. Its rows are in the files ``valid`` and ``rejected``.

    Of a check only the number of rows is kept, and not which ones they are. ``unmet`` are checks
    that failed without naming a row. A broken value of a protected column that may be empty is
    emptied, and the row stays, because these columns are read for the fairness test only.
    """

    def __init__(self, source: Path, columns: Sequence[Column], folder: Path) -> None:
        self.source = source
        self.valid, self.rejected = folder / source.name, folder / f"rejected_{source.name}"
        self.rows = self.valid_rows = self.rejected_rows = self.emptied_rows = 0
        self.unmet: tuple[str, ...] = ()
        self._spared = {
            column.name for column in columns if column.role == "protected" and column.nullable
        }
        self._broken: Counter[str] = Counter()
        self._checks: dict[tuple[str, str, str], Check] = {}
        self._samples: dict[str, dict[str, None]] = {}

    @property
    def checks(self) -> list[Check]:
        """Return the checks with their counts."""
        return list(self._checks.values())

    @property
    def broken(self) -> dict[str, int]:
        """Return how many rows broke each rule first, by the rule and its column."""
        return dict(sorted(self._broken.items()))

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

    def values(self, check: Check, most: int) -> list[str]:
        """Return up to ``most`` distinct values that broke ``check`` before any other rule."""
        return list(self._samples.get(check.name, ()))[:most]

    def newest(self, column: str) -> str:
        """Return the last day (UTC) in a time ``column`` of the source, as 2026-06-30."""
        with closing(db.connect()) as connection:
            # strftime writes the day of the session's zone.
            connection.execute("SET TimeZone = 'UTC'")
            ((day,),) = connection.execute(
                f"SELECT strftime(max({db.quoted(column)}), '%Y-%m-%d') FROM read_parquet(?)",  # noqa: S608
                [str(self.source)],
            ).fetchall()
        return str(day)

    def move_into(self, folder: Path) -> None:
        """Move the two files of rows into ``folder``."""
        for path in (self.valid, self.rejected):
            # A rename is enough, because `judging` keeps the files beside the output, on one disk.
            path.rename(folder / path.name)

    def add(self, rows: pa.Table, checks: Sequence[Check]) -> tuple[pa.Table, pa.Table]:
        """Count the ``checks`` of more ``rows``, and return the valid and the rejected ones."""
        import pyarrow as pa

        self._count(checks)
        strict = [check for check in checks if check.column not in self._spared]
        lenient = [check for check in checks if check.column in self._spared]
        refused = _first_broken(strict, len(rows))
        stays = refused < 0
        rejected = rows.filter(pa.array(~stays))
        rules = pa.array([strict[rule].name for rule in refused[~stays]], pa.string())
        self._sample(rejected, rules, strict)
        lost = _first_broken(lenient, len(rows))
        # A rejected row counts once, although a protected value of it may be broken too.
        emptied = stays & (lost >= 0)
        names = pa.array([lenient[rule].name for rule in lost[emptied]], pa.string())
        self._sample(rows.filter(pa.array(emptied)), names, lenient)
        valid = _emptied(rows, lenient).filter(pa.array(stays))
        self.rows += len(rows)
        self.valid_rows += len(valid)
        self.rejected_rows += len(rejected)
        self.emptied_rows += int(emptied.sum())
        return valid, rejected.append_column("expectation", rules)

    def _count(self, checks: Sequence[Check]) -> None:
        for check in checks:
            key = (check.expectation, check.column, check.wanted)
            # A check that fails without a row, such as one of a missing column, fails once.
            before = self._checks.get(key)
            failed = len(check.rows) + (before.failed if before else 0)
            if check.failed and not check.rows:
                self.unmet = tuple(dict.fromkeys((*self.unmet, check.name)))
                failed = max(failed, 1)
            self._checks[key] = replace(check, failed=failed, rows=())

    def _sample(self, rows: pa.Table, rules: pa.Array, checks: Sequence[Check]) -> None:
        import pyarrow.compute as pc

        self._broken.update(
            {str(entry["values"]): int(entry["counts"].as_py()) for entry in rules.value_counts()}
        )
        for check in checks:
            values = self._samples.setdefault(check.name, {})
            # Of an expectation about several columns no single value is wrong.
            named = check.column in rows.schema.names
            if not check.rows or not named or len(values) >= SAMPLE:
                continue
            column = rows[check.column].filter(pc.equal(rules, check.name))
            for value in column.unique()[:SAMPLE].to_pylist():
                values.setdefault(str(value))


@contextmanager
def judging(
    raw: Path, output: Path, suites: Mapping[str, tuple[gx.ExpectationSuite, tuple[Column, ...]]]
) -> Iterator[dict[str, JudgedFile]]:
    """Yield the verdict on each table in the folder ``raw`` of which ``suites`` has the suite.

    The rows are beside ``output`` until :meth:`JudgedFile.move_into`, or they are deleted.
    """
    with scratch(output) as side:
        yield {
            name: judge_file(raw / f"{name}.parquet", suite, columns, side)
            for name, (suite, columns) in suites.items()
        }


def judge_file(
    source: Path, suite: gx.ExpectationSuite, columns: tuple[Column, ...], folder: Path
) -> JudgedFile:
    """Run ``suite`` over the rows of ``source``, and write valid and rejected rows to ``folder``.

    The files are ``<table>.parquet`` and ``rejected_<table>.parquet``, where the column
    ``expectation`` has the first rule that a row broke. A broken value of a protected column that
    may be empty is emptied, and the row stays. Columns keep the types of ``source``.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole = any(
        expectation.expectation_type not in OF_ONE_ROW for expectation in suite.expectations
    )
    judged = JudgedFile(source, columns, folder)
    with pq.ParquetFile(source) as file:
        # What pandas notes in a schema is about rows that are rejected now.
        schema = file.schema_arrow.remove_metadata()
        with_rule = schema.append(pa.field("expectation", pa.string()))
        size = max(1, file.metadata.num_rows) if whole else AT_ONCE
        with (
            pq.ParquetWriter(judged.valid, schema, compression="zstd") as good,
            pq.ParquetWriter(judged.rejected, with_rule, compression="zstd") as bad,
        ):
            # A file without rows has no part, and its columns are checked all the same.
            empty = schema.empty_table()
            batches = file.iter_batches(batch_size=size) if file.metadata.num_rows else [None]
            for batch in batches:
                rows = empty if batch is None else pa.Table.from_batches([batch]).cast(schema)
                checks = run(suite, _frame(rows, columns), columns)
                kept, refused = judged.add(rows, checks)
                good.write_table(kept, row_group_size=ROW_GROUP)
                bad.write_table(refused.cast(with_rule), row_group_size=ROW_GROUP)
    return judged


def _first_broken(checks: Sequence[Check], rows: int) -> NDArray[np.int64]:
    """Return for each of ``rows`` the position of the first check that it broke, else -1."""
    first = np.full(rows, -1, dtype=np.int64)
    # Backwards, so that the first check of a row is written last and stays.
    for position, check in reversed(list(enumerate(checks))):
        first[list(check.rows)] = position
    return first


def _emptied(rows: pa.Table, checks: Sequence[Check]) -> pa.Table:
    """Return ``rows`` without the values that broke one of ``checks``."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for check in checks:
        if check.rows:
            mask = np.zeros(len(rows), dtype=np.bool_)
            mask[list(check.rows)] = True
            column = rows[check.column]
            nothing = pa.scalar(None, column.type)
            place = rows.schema.get_field_index(check.column)
            values = pc.if_else(pa.array(mask), nothing, column)
            rows = rows.set_column(place, rows.schema.field(place), values)
    return rows


def _frame(rows: pa.Table, columns: Sequence[Column]) -> Any:
    """Return ``rows`` as a data frame, with decimals as floats where the contract says float."""
    import pyarrow as pa

    for column in columns:
        place = rows.schema.get_field_index(column.name)
        if column.dtype == "float" and place >= 0 and pa.types.is_decimal(rows.schema.types[place]):
            # Decimals are Python objects in pandas, of a hundred bytes each.
            rows = rows.set_column(place, column.name, rows[column.name].cast(pa.float64()))
    return rows.to_pandas()
