"""Group columns for the fairness test: read apart from the features and joined in memory only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

AGE_BANDS = (0, 30, 45, 60, 200)
COULD_REVEAL = {"country": "ethnic origin"}
"""Group columns that a special category (GDPR 9(1)) may stand behind. Country says nothing of origin by itself; an
input that follows it closely is a question to a person, not a finding (C-184/20: what can be inferred counts)."""
TENURE_BANDS = (0, 30, 90, 180, 366)


def protected(
    valid: Path, customers: pd.Series[str], year: int, names: Sequence[str]
) -> dict[str, pd.Series[Any]]:
    """The configured groups of each of ``customers``, in their order; nothing if there is no customers table."""
    import pandas as pd

    table = pd.read_parquet(valid / "groups.parquet").set_index("customer_id")
    if table.empty:
        return {}
    joined = table.reindex(customers.to_numpy())
    columns = {
        "country": joined["country"],
        "age_band": _band(year - joined["birth_year"], AGE_BANDS, "years"),
    }
    return {n: columns[n].reset_index(drop=True) for n in names if columns[n].notna().any()}


def behavioural(frame: pd.DataFrame) -> dict[str, pd.Series[Any]]:
    """Slices that need no group column: how long somebody is a customer, and how often they buy."""
    often = frame["purchase_count_90d"].map(
        lambda n: "1" if n <= 1 else "2-3" if n <= 3 else "4 or more"
    )
    bands = {"tenure": _band(frame["tenure_days"], TENURE_BANDS, "days"), "purchases_90d": often}
    return {name: values.reset_index(drop=True) for name, values in bands.items()}


def _band(values: pd.Series[Any], edges: Sequence[int], unit: str) -> pd.Series[Any]:
    import pandas as pd

    labels = [f"{a:03d}-{b:03d} {unit}" for a, b in pairwise(edges)]
    return pd.cut(values.astype("float64"), list(edges), labels=labels, right=False).astype(object)
