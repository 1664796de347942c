"""Scoring everyone who may be scored, from a sealed bundle alone, in parts that fit into memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sovereign_ml.bundle.sealed import Bundle, read_bundle
from sovereign_ml.config.connections import LogLocation
from sovereign_ml.errors import Refused
from sovereign_ml.model.explain import reason_codes, reason_texts
from sovereign_ml.model.scorecard import Coded, Scorecard, sigmoid
from sovereign_ml.privacy import objections
from sovereign_ml.storage.artifacts import need, read_json

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ScoringGate", "current_customers", "read_whole", "write_scores"]

REASONS = 3
AT_ONCE = 131_072
"""Customers held in memory at a time."""


@dataclass(frozen=True)
class ScoringGate:
    """Keeps out who objected (GDPR Art. 21(3)) and, where the processing stands on consent, who gave none."""

    asks_consent: bool
    log: LogLocation

    def allowed(
        self, customers: pa.ChunkedArray, valid: Path
    ) -> tuple[NDArray[np.bool_], dict[str, int]]:
        """Return who of ``customers`` may be scored, shape (n,), and how many may not for which reason."""
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        people = pq.read_table(need(valid, "validate") / "customers.parquet")
        ids = people["customer_id"].cast(pa.string())

        def among(names: Any) -> NDArray[np.bool_]:
            return np.asarray(pc.is_in(customers, names).to_numpy(), dtype=np.bool_)

        against = pa.array(sorted(objections.objectors(self.log)), pa.string())
        objected = among(ids.filter(people["objected_at"].is_valid())) | among(against)
        without = np.zeros(len(customers), dtype=bool)
        if self.asks_consent:
            agreed = people["consent"].cast(pa.bool_()).fill_null(False)
            without = ~among(ids.filter(agreed)) | among(ids.filter(pc.invert(agreed)))
        barred = {"objected": int(objected.sum()), "no_basis": int((without & ~objected).sum())}
        return ~objected & ~without, barred


def read_whole(bundle: Path) -> Bundle:
    """Return the bundle. Raises Refused if it was changed after it was sealed."""
    try:
        return read_bundle(bundle)
    except ValueError as error:
        raise Refused(f"Nobody is scored by a bundle that is not whole. {error}") from None


def current_customers(features: Path, names: Iterable[str]) -> tuple[str, pa.Table]:
    """Return the day of the newest snapshot in the artifact ``features``, and its rows with the features ``names``."""
    from datetime import datetime

    import pyarrow.parquet as pq

    day = str(read_json(need(features, "features") / "summary.json")["current"])
    today = [("event_timestamp", "==", datetime.fromisoformat(day))]
    path = features / "snapshots.parquet"
    return day, pq.read_table(path, columns=["customer_id", *names], filters=today)


def write_scores(path: Path, bundle: Bundle, rows: pa.Table) -> dict[str, int]:
    """Score ``rows`` part by part into ``path``; return how many customers are in each band."""
    import pyarrow.parquet as pq

    bands: Counter[str] = Counter()
    parts = (_scores(bundle, part) for part in rows.to_batches(AT_ONCE))
    first = next(parts)
    with pq.ParquetWriter(path, first.schema, store_schema=False) as writer:
        for scores in chain([first], parts):
            bands.update(
                {
                    row["values"].as_py(): row["counts"].as_py()
                    for row in scores["band"].value_counts()
                }
            )
            writer.write_batch(scores)
    return dict(sorted(bands.items()))


def _scores(bundle: Bundle, rows: pa.RecordBatch) -> pa.RecordBatch:
    import pyarrow as pa

    parts = bundle.model.contributions(_columns(bundle.model, rows))
    probability = sigmoid(bundle.model.intercept + parts.sum(axis=1))
    texts = reason_texts(bundle.model, bundle.contract)
    codes = reason_codes(parts, REASONS)
    return pa.RecordBatch.from_pydict(
        {
            "customer_id": rows["customer_id"],
            "score": probability.round(6),
            "band": _named(bundle.policy.band_index(probability), bundle.policy.names),
            "act": bundle.policy.acts_on(probability),
            **{f"reason_{i + 1}": _named(codes[:, i], texts) for i in range(codes.shape[1])},
            "model_version": _named(np.zeros(len(parts), dtype=np.int8), [bundle.manifest.version]),
        }
    )


def _columns(model: Scorecard, rows: pa.RecordBatch) -> dict[str, Any]:
    """The scorecard's view of ``rows``: raw values by feature."""
    numbers = {part.name: rows[part.name].to_numpy(zero_copy_only=False) for part in model.numeric}
    return numbers | {part.name: _coded(rows[part.name]) for part in model.categorical}


def _coded(column: pa.Array) -> Coded:
    encoded = column.dictionary_encode()
    return Coded(encoded.indices.fill_null(-1).to_numpy(), encoded.dictionary.to_pylist())


def _named(codes: NDArray[Any], names: Any) -> pa.DictionaryArray:
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(
        pa.array(codes.astype(np.int16)), pa.array(names, pa.string())
    )
