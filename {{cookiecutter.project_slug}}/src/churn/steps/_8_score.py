"""Step 8, score: everyone who may be scored today, from the bundle alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from churn import model, operation
from churn.artifacts import need, read_json, summarise, writing
from churn.errors import Refused
from churn.settings import Settings
from sovereign.bundle import Bundle, read_bundle
from sovereign.explain import reason_texts
from sovereign.scorecard import sigmoid

if TYPE_CHECKING:
    import pandas as pd


def score(bundle: Path, features: Path, valid: Path, output: Path, *, settings: Settings) -> None:
    """Write ``scores.parquet``: customer_id, score, band, the three strongest reasons, and whether the action applies.

    Raises Refused for a bundle that was changed after sealing, and if nobody may be scored. People who objected
    (GDPR Art. 21(3)) or have no basis are absent and counted. The gates of step 1 are checked
    again here, because a customers table may have changed since the features were computed.
    """
    import pandas as pd

    need(bundle, "register")
    current = read_json(need(features, "features") / "summary.json")["current"]
    snapshots = pd.read_parquet(features / "snapshots.parquet")
    now = snapshots[snapshots["event_timestamp"] == pd.Timestamp(current)].reset_index(drop=True)
    allowed, barred = _gate(now, valid, settings)
    if allowed.empty:
        raise Refused(f"Nobody to score at {current}: {len(now):,} current customers, all barred ({barred}).")
    scores = _scores(_whole(bundle), allowed)
    with writing(output) as folder:
        scores.to_parquet(folder / "scores.parquet", index=False)
        bands = {str(k): int(v) for k, v in scores["band"].value_counts().sort_index().items()}
        words = ", ".join(f"{n:,} {name}" for name, n in bands.items())
        left = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in barred.items())
        summarise(
            folder,
            rows_in=len(now),
            rows_out=len(scores),
            headline=f"{words}; left out: {left}",
            bands=bands,
            barred=barred,
        )


def _whole(bundle: Path) -> Bundle:
    try:
        return read_bundle(bundle)
    except ValueError as error:
        raise Refused(f"Nobody is scored by a bundle that is not whole. {error}") from None


def _gate(now: pd.DataFrame, valid: Path, settings: Settings) -> tuple[pd.DataFrame, dict[str, int]]:
    import pandas as pd

    people = pd.read_parquet(need(valid, "validate") / "customers.parquet").set_index("customer_id")
    flags = people.reindex(now["customer_id"])
    against = operation.objectors(settings)
    objected = (flags["objected_at"].notna() | flags.index.isin(against)).to_numpy()
    consent_needed = bool(settings.data.customers and settings.data.customer_columns.consent)
    without = ~flags["consent"].eq(True).to_numpy(dtype=bool) if consent_needed else objected & False
    barred = {"objected": int(objected.sum()), "no_basis": int((without & ~objected).sum())}
    return now[~objected & ~without].reset_index(drop=True), barred


def _scores(bundle: Bundle, rows: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    parts = bundle.model.contributions(model.columns(rows))
    probability = sigmoid(bundle.model.intercept + parts.sum(axis=1))
    reasons = reason_texts(bundle.model, bundle.contract, parts, k=3)
    return pd.DataFrame(
        {
            "customer_id": rows["customer_id"],
            "score": probability.round(6),
            "band": bundle.policy.bands_of(probability),
            "act": bundle.policy.acts_on(probability),
            **{f"reason_{i + 1}": reasons[:, i] for i in range(reasons.shape[1])},
            "model_version": bundle.manifest.version,
        }
    )
