"""Scoring of all current customers by a sealed bundle alone, in parts that fit into memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sovereign_ml.bundle.sealed import Bundle, read_bundle
from sovereign_ml.config.connections import LogLocation
from sovereign_ml.decision_log.entries import BARS
from sovereign_ml.decisions import freshness
from sovereign_ml.errors import Refused
from sovereign_ml.model.explain import reason_codes, reason_texts, shared, windows_of
from sovereign_ml.model.scorecard import Coded, Scorecard, sigmoid
from sovereign_ml.privacy import objections
from sovereign_ml.storage import duckdb as db
from sovereign_ml.storage.artifacts import need, read_json

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["ScoringGate", "current_customers", "read_whole", "write_scores"]

DATE = "event_timestamp"
REASONS = 3
AT_ONCE = 131_072
"""Number of customers whose scores are held in memory at a time."""
GATE_MEMORY = "800MB"
"""Memory for the comparison of the customers with those who agreed. The rest goes to disk."""


@dataclass(frozen=True)
class ScoringGate:
    """Gate that keeps out people who objected, are restricted or withdrew their consent.

    The sources are GDPR Art. 21(3), 18(2) and 7(3). Where the lawful basis is consent, people who
    gave none are kept out too.
    """

    asks_consent: bool
    log: LogLocation
    old_features: bool = False
    """True to score features older than the policy allows. The scores carry their date."""

    def allowed(
        self, customers: pa.ChunkedArray, valid: Path
    ) -> tuple[NDArray[np.bool_], dict[str, int]]:
        """Return a mask (n,) of the ``customers`` who may be scored, and the others by reason.

        Each reason has a count.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        path = need(valid, "validate") / "customers.parquet"

        nobody = np.zeros(len(customers), dtype=bool)

        def among(names: Any) -> NDArray[np.bool_]:
            # Most bars name nobody, and looking millions of people up in nothing takes its time.
            return pc.is_in(customers, names).to_numpy() if len(names) else nobody

        free, counts = ~nobody, dict[str, int]()
        with closing(db.connect()) as connection:
            # Of millions of people only those who are kept out are held in memory.
            connection.execute(f"SET memory_limit = '{GATE_MEMORY}'")
            connection.register("current_ids", pa.table({"customer_id": customers}))
            people = f"read_parquet({db.literal(str(path))})"
            columns = db.types_of(connection, f"SELECT * FROM {people}")  # noqa: S608
            for bar, against in objections.barred(self.log).items():
                barred, column = among(pa.array(sorted(against), pa.string())), f"{BARS[bar]}_at"
                if column in columns:
                    barred = barred | among(
                        _ids(connection, f"FROM {people} WHERE {column} IS NOT NULL")
                    )
                # Each person counts for the first reason only, so that the counts add up.
                counts[BARS[bar]], free = int((barred & free).sum()), free & ~barred
            without = nobody
            if self.asks_consent:
                agreed = "coalesce(CAST(consent AS BOOLEAN), false)"
                # Of two rows with different answers the refusal counts.
                refused = _ids(connection, f"FROM {people} WHERE NOT {agreed}")
                known = f"SELECT CAST(customer_id AS VARCHAR) AS customer_id FROM {people}"  # noqa: S608
                unknown = _ids(
                    connection,
                    f"FROM current_ids ANTI JOIN ({known} WHERE {agreed}) USING (customer_id)",
                )
                without = among(refused) | among(unknown)
        counts["no_basis"] = int((without & free).sum())
        return free & ~without, counts


def _ids(connection: duckdb.DuckDBPyConnection, source: str) -> pa.ChunkedArray:
    """Return the customers of the rows that ``source``, a FROM clause of SQL, selects."""
    query = f"SELECT DISTINCT CAST(customer_id AS VARCHAR) AS customer_id {source}"
    return connection.sql(query).to_arrow_table()["customer_id"]


def read_whole(bundle: Path) -> Bundle:
    """Return the bundle. Raises Refused if it was changed after it was sealed."""
    try:
        return read_bundle(bundle)
    except ValueError as error:
        raise Refused(f"Nobody is scored by a bundle that is not whole. {error}") from None


@dataclass(frozen=True)
class SnapshotRows:
    """Rows of one snapshot in a Parquet file, read in parts. Millions of rows need not fit.

    It has the methods of a ``pyarrow.Table`` that scoring needs.
    """

    path: Path
    day: datetime
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self[DATE])

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        """Return a whole column."""
        import pyarrow as pa

        columns = [part[name] for part in self._read([name], AT_ONCE)]
        return pa.chunked_array(columns, self._file().schema_arrow.field(name).type)

    def to_batches(self, max_chunksize: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows in parts of up to ``max_chunksize``, and no empty part."""
        yield from self._read(self.names, max_chunksize)

    def filter(self, mask: pa.ChunkedArray) -> pa.Table:
        """Return the rows for which ``mask`` (n,) is true, in memory."""
        import pyarrow as pa

        fields = self._file().schema_arrow
        # A day without customers has no part that would tell the columns.
        schema = pa.schema([fields.field(name) for name in self.names])
        return pa.Table.from_batches(self.to_batches(AT_ONCE), schema).filter(mask)

    def _read(self, names: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa
        import pyarrow.compute as pc

        with self._file() as file:
            columns = list(dict.fromkeys([*names, DATE]))
            day = pa.scalar(self.day, file.schema_arrow.field(DATE).type)
            for rows in file.iter_batches(size, row_groups=self._groups(file), columns=columns):
                # Columns come in the order of the file.
                part = rows.select(columns)
                is_current = pc.equal(part[DATE], day)
                # A filter copies each row, and in most parts it would keep all of them.
                current = part if pc.all(is_current).as_py() else part.filter(is_current)
                if len(current):
                    yield current

    def _file(self) -> pq.ParquetFile:
        import pyarrow.parquet as pq

        return pq.ParquetFile(self.path)

    def _groups(self, file: pq.ParquetFile) -> list[int]:
        """Return the row groups of ``file`` that can have a row of the day."""
        place, day = file.schema_arrow.names.index(DATE), self.day
        chosen = []
        for number in range(file.num_row_groups):
            ends = file.metadata.row_group(number).column(place).statistics
            # Without statistics nobody knows, so the group is read.
            known = ends is not None and ends.has_min_max
            if not known or _naive(ends.min) <= day <= _naive(ends.max):
                chosen.append(number)
        return chosen


def _naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)


def current_customers(features: Path, names: Iterable[str]) -> tuple[str, SnapshotRows]:
    """Return the day of the newest snapshot in ``features``, and its rows.

    The rows have the features ``names``. They have the column ``event_timestamp`` too, because
    scores carry the date of their features.
    """
    day = str(read_json(need(features, "features") / "summary.json")["current"])
    columns = ("customer_id", DATE, *names)
    return day, SnapshotRows(features / "snapshots.parquet", datetime.fromisoformat(day), columns)


def write_scores(
    path: Path,
    bundle: Bundle,
    rows: pa.Table | SnapshotRows,
    *,
    allowed: NDArray[np.bool_] | None = None,
    old_features: bool = False,
) -> dict[str, int]:
    """Write the scores of ``rows`` part by part into ``path``.

    ``allowed`` is a mask (n,) of the rows that are scored, None for all of them. Returns the number
    of customers in each band. Raises Refused for rows that are dated in the future, and for rows
    older than the policy of the bundle unless ``old_features`` is set.
    """
    import pyarrow.parquet as pq

    _check_age(bundle, rows, old_features=old_features)
    bands: Counter[str] = Counter()
    parts = (_scores(bundle, part) for part in _parts(rows, allowed))
    first = next(parts)
    # Every id is another one and nearly every score, so a dictionary of them only takes time.
    repeated = [name for name in first.schema.names if name not in ("customer_id", "score")]
    with pq.ParquetWriter(
        path, first.schema, store_schema=False, use_dictionary=repeated
    ) as writer:
        for scores in chain([first], parts):
            bands.update(
                {
                    row["values"].as_py(): row["counts"].as_py()
                    for row in scores["band"].value_counts()
                }
            )
            writer.write_batch(scores)
    return dict(sorted(bands.items()))


def _parts(
    rows: pa.Table | SnapshotRows, allowed: NDArray[np.bool_] | None
) -> Iterator[pa.RecordBatch]:
    """Yield the ``allowed`` rows in parts, and no empty part."""
    import pyarrow as pa

    start = 0
    for part in rows.to_batches(max_chunksize=AT_ONCE):
        mask = None if allowed is None else allowed[start : start + len(part)]
        start += len(part)
        chosen = part if mask is None or mask.all() else part.filter(pa.array(mask))
        if len(chosen):
            yield chosen


def _check_age(bundle: Bundle, rows: pa.Table | SnapshotRows, *, old_features: bool) -> None:
    import pyarrow.compute as pc

    now, most = datetime.now(UTC), bundle.policy.max_feature_age_days
    ends = pc.min_max(rows[DATE])
    oldest, newest = (freshness.read_time(str(ends[end].as_py())) for end in ("min", "max"))
    # A row from the future is never too old, so the age alone would let it pass.
    if freshness.too_early(newest, now):
        raise Refused(
            f"Nobody is scored: the features are dated {newest:%Y-%m-%d}, and today is "
            f"{now:%Y-%m-%d}. "
            "Look for rows with a date in the future, or set the clock of this machine."
        )
    if freshness.too_old(oldest, now, most) and not old_features:
        raise Refused(
            f"Nobody is scored: the features are as of {oldest:%Y-%m-%d}, {(now - oldest).days:,} "
            f"days ago, and the policy of the bundle allows {most} ([score] max_feature_age_days, "
            "else [features] horizon_days). Run the flow on newer data, or call `churn score "
            "--old-features`."
        )


def _scores(bundle: Bundle, rows: pa.RecordBatch) -> pa.RecordBatch:
    import pyarrow as pa

    parts = bundle.model.contributions(_columns(bundle.model, rows))
    probability = sigmoid(bundle.model.intercept + parts.sum(axis=1))
    texts = reason_texts(bundle.model, bundle.contract)
    codes = reason_codes(shared(parts, windows_of(bundle.model, bundle.contract)), REASONS)
    return pa.RecordBatch.from_pydict(
        {
            "customer_id": rows["customer_id"],
            "score": probability.round(6),
            "band": _named(bundle.policy.band_index(probability), bundle.policy.names),
            "act": bundle.policy.acts_on(probability),
            "features_as_of": rows["event_timestamp"]
            .cast(pa.timestamp("us"))
            .cast(pa.timestamp("us", "UTC")),
            **{f"reason_{i + 1}": _named(codes[:, i], texts) for i in range(codes.shape[1])},
            "model_version": _named(np.zeros(len(parts), dtype=np.int8), [bundle.manifest.version]),
        }
    )


def _columns(model: Scorecard, rows: pa.RecordBatch) -> dict[str, Any]:
    """Return the scorecard's view of ``rows``: raw values by feature."""
    # A column with nulls cannot be viewed without a copy. The copy has NaN in their place.
    numbers = {part.name: rows[part.name].to_numpy(zero_copy_only=False) for part in model.numeric}
    return numbers | {part.name: _coded(rows[part.name]) for part in model.categorical}


def _coded(column: pa.Array) -> Coded:
    encoded = column.dictionary_encode()
    return Coded(encoded.indices.fill_null(-1).to_numpy(), encoded.dictionary.to_pylist())


def _named(codes: NDArray[Any], names: Any) -> pa.DictionaryArray:
    import pyarrow as pa

    # Two bytes a row: the texts of reasons are long and stand in the column once.
    return pa.DictionaryArray.from_arrays(
        pa.array(codes.astype(np.int16)), pa.array(names, pa.string())
    )
