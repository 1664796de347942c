"""Step 8, score: everyone who may be scored today, from the bundle alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sovereign_ml.bundle.sealed import Bundle, read_bundle
from sovereign_ml.config.settings import Settings
from sovereign_ml.errors import Refused
from sovereign_ml.model.explain import reason_codes, reason_texts
from sovereign_ml.model.scorecard import Coded, Scorecard, sigmoid
from sovereign_ml.privacy import objections
from sovereign_ml.storage.artifacts import need, read_json, summarise, writing

if TYPE_CHECKING:
    import pyarrow as pa

REASONS = 3
AT_ONCE = 131_072
"""Customers held in memory at a time."""


def score(bundle: Path, features: Path, valid: Path, output: Path, *, settings: Settings) -> None:
    """Write ``scores.parquet``: customer_id, score, band, the three strongest reasons, and whether the action applies.

    Raises Refused for a bundle that was changed after sealing, and if nobody may be scored. People who objected
    (GDPR Art. 21(3)) or have no basis are absent and counted. The gates of step 1 are checked
    again here, because a customers table may have changed since the features were computed.
    """
    whole = _whole(need(bundle, "register"))
    current = read_json(need(features, "features") / "summary.json")["current"]
    now = _current(features / "snapshots.parquet", current, whole.model.features)
    allowed, barred = _gate(now["customer_id"], valid, settings)
    if not allowed.any():
        raise Refused(
            f"Nobody to score at {current}: {len(now):,} current customers, all barred ({barred})."
        )
    with writing(output) as folder:
        bands = _write(folder / "scores.parquet", whole, now.filter(allowed))
        words = ", ".join(f"{n:,} {name}" for name, n in bands.items())
        left = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in barred.items())
        summarise(
            folder,
            rows_in=len(now),
            rows_out=int(allowed.sum()),
            headline=f"{words}; left out: {left}",
            bands=bands,
            barred=barred,
        )


def _whole(bundle: Path) -> Bundle:
    try:
        return read_bundle(bundle)
    except ValueError as error:
        raise Refused(f"Nobody is scored by a bundle that is not whole. {error}") from None


def _current(snapshots: Path, current: str, names: Iterable[str]) -> pa.Table:
    """The rows of today's snapshot with the features ``names``."""
    from datetime import datetime

    import pyarrow.parquet as pq

    today = [("event_timestamp", "==", datetime.fromisoformat(current))]
    return pq.read_table(snapshots, columns=["customer_id", *names], filters=today)


def _gate(
    customers: pa.ChunkedArray, valid: Path, settings: Settings
) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Who of ``customers`` may be scored, shape (n,), and how many may not for which reason."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    people = pq.read_table(need(valid, "validate") / "customers.parquet")
    ids = people["customer_id"].cast(pa.string())

    def among(names: Any) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = pc.is_in(customers, names).to_numpy()
        return found

    against = pa.array(sorted(objections.objectors(settings)), pa.string())
    objected = among(ids.filter(people["objected_at"].is_valid())) | among(against)
    without = np.zeros(len(customers), dtype=bool)
    if settings.data.customers and settings.data.customer_columns.consent:
        agreed = people["consent"].cast(pa.bool_()).fill_null(False)
        without = ~among(ids.filter(agreed)) | among(ids.filter(pc.invert(agreed)))
    barred = {"objected": int(objected.sum()), "no_basis": int((without & ~objected).sum())}
    return ~objected & ~without, barred


def _write(path: Path, bundle: Bundle, rows: pa.Table) -> dict[str, int]:
    """Score ``rows`` part by part into ``path``; return how many are in each band."""
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
