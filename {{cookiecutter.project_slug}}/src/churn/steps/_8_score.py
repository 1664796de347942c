"""Step 8, score: every customer who may be scored today, with the model of the bundle."""

from __future__ import annotations

from pathlib import Path

from sovereign_ml.errors import Refused
from sovereign_ml.pipeline.batch_scoring import (
    ScoringGate,
    current_customers,
    read_whole,
    write_scores,
)
from sovereign_ml.storage.artifacts import summarise, writing


def score(bundle: Path, features: Path, valid: Path, output: Path, *, gate: ScoringGate) -> None:
    """Write ``scores.parquet``: customer_id, score, band, three reasons, and whether to act.

    Customers who objected (GDPR Art. 21(3)), are restricted (Art. 18(2)), withdrew consent
    (Art. 7(3)) or whose data has no lawful basis are left out and counted. Step 1 has left them
    out already, but some may have done so since, through the service. Raises Refused for a bundle
    that was changed after sealing, if nobody is left, and for features that are older than the
    policy of the bundle allows.
    """
    sealed = read_whole(bundle)
    day, customers = current_customers(features, sealed.model.features)
    allowed, barred = gate.allowed(customers["customer_id"], valid)
    left_out = ", ".join(f"{count:,} {why.replace('_', ' ')}" for why, count in barred.items())
    if not allowed.any():  # write_scores needs a first part
        raise Refused(
            f"Nobody to score at {day}: {len(customers):,} current customers, all barred "
            f"({left_out})."
        )
    with writing(output) as folder:
        bands = write_scores(
            folder / "scores.parquet",
            sealed,
            customers,
            allowed=allowed,
            old_features=gate.old_features,
        )
        in_bands = ", ".join(f"{count:,} {name}" for name, count in bands.items())
        summarise(
            folder,
            rows_in=len(customers),
            rows_out=int(allowed.sum()),
            headline=f"{in_bands}; left out: {left_out}",
            bands=bands,
            barred=barred,
        )
