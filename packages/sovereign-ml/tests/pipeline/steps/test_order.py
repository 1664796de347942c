"""The same data under another pseudonym key gives the same figures."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from churn import model


def test_the_training_set_has_one_order_whatever_the_pseudonyms_are(
    features: Path, tmp_path: Path
) -> None:
    frame = pd.read_parquet(features / "training.parquet")
    other = frame.assign(customer_id=[f"{i:032x}" for i in range(len(frame), 0, -1)]).sample(
        frac=1, random_state=3
    )
    other.to_parquet(tmp_path / "training.parquet", index=False)
    without = [name for name in frame.columns if name != "customer_id"]
    pd.testing.assert_frame_equal(
        model.training_set(features)[without], model.training_set(tmp_path)[without]
    )
