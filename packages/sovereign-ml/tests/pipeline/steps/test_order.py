"""The same data under another pseudonym key, or on more processors, gives the same figures."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from churn import model
from sovereign_ml.config.settings import ENVIRONMENT
from sovereign_ml.pipeline import flow


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


def test_a_step_computes_on_one_thread_unless_the_environment_says_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Digits of sums depend on their number, and waiting threads spin on a busy machine."""

    def threads() -> list[int]:
        return [library["num_threads"] for library in threadpool_info()]

    def step(output: Path) -> None:
        output.write_text(" ".join(map(str, threads())), encoding="utf-8")

    def seen() -> list[int]:
        flow.call(step, {}, [], tmp_path / "seen")
        return [int(word) for word in (tmp_path / "seen").read_text(encoding="utf-8").split()]

    monkeypatch.delitem(ENVIRONMENT, "OMP_NUM_THREADS", raising=False)
    with threadpool_limits(2):
        before = threads()
        assert max(before) == 2
        assert set(seen()) == {1}
        assert threads() == before
        monkeypatch.setitem(ENVIRONMENT, "OMP_NUM_THREADS", "2")
        assert seen() == before
