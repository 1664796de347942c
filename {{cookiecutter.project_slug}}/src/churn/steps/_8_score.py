"""Step 8, score: everyone who may be scored today, from the bundle alone."""

from __future__ import annotations

from pathlib import Path

from sovereign_ml.errors import Refused
from sovereign_ml.pipeline.batch_scoring import (
    ScoringGate,
    current_customers,
    read_whole,
    write_scores,
)
from sovereign_ml.storage.artifacts import need, summarise, writing


def score(bundle: Path, features: Path, valid: Path, output: Path, *, gate: ScoringGate) -> None:
    """Write ``scores.parquet``: customer_id, score, band, three reasons, and whether to act.

    Raises Refused for a bundle that was changed after sealing, and if nobody may be scored. People
    who objected (GDPR Art. 21(3)) or have no basis are absent and counted. The gates of step 1 are
    checked again here, because a customers table may have changed since.
    """
    whole = read_whole(need(bundle, "register"))
    day, customers = current_customers(features, whole.model.features)
    allowed, barred = gate.allowed(customers["customer_id"], valid)
    if not allowed.any():
        raise Refused(
            f"Nobody to score at {day}: {len(customers):,} current customers, all barred ({barred})."
        )
    with writing(output) as folder:
        bands = write_scores(folder / "scores.parquet", whole, customers.filter(allowed))
        in_bands = ", ".join(f"{count:,} {name}" for name, count in bands.items())
        left_out = ", ".join(f"{count:,} {why.replace('_', ' ')}" for why, count in barred.items())
        summarise(
            folder,
            rows_in=len(customers),
            rows_out=int(allowed.sum()),
            headline=f"{in_bands}; left out: {left_out}",
            bands=bands,
            barred=barred,
        )
