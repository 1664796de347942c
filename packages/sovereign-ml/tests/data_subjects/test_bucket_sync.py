"""The copy of ``governance/`` in the bucket: an old clone takes nothing back that a newer one has written."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sovereign_ml.config.connections import SuppressionFiles
from sovereign_ml.data_subjects.bucket_sync import GovernanceCopy
from sovereign_ml.storage import s3

EARLY, LATE = "2022-01-31T00:00:00+00:00", "2023-06-30T00:00:00+02:00"
KEY = "governance/acme-churn/"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    held: dict[str, bytes] = {}
    monkeypatch.setattr(s3, "maybe", lambda storage, key: held.get(key))
    monkeypatch.setattr(s3, "write", lambda storage, key, content: held.update({key: content}))
    return held


def publish(clone: Path, **files: str) -> None:
    """Publish from a clone whose ``governance/`` has these files."""
    clone.mkdir()
    for name, content in files.items():
        (clone / f"{name}.txt").write_text(content)
    versions: Any = SimpleNamespace(in_bucket=True, storage=None)
    suppression = SuppressionFiles(clone, clone / "copy.txt", tuple)
    GovernanceCopy("acme-churn", versions, suppression, clone / "source.json").publish()


@pytest.mark.parametrize(("first", "second"), [(EARLY, LATE), (LATE, EARLY), (LATE, LATE)])
def test_purchases_that_were_deleted_stay_away_whichever_clone_publishes_last(
    bucket: dict[str, bytes], tmp_path: Path, first: str, second: str
) -> None:
    publish(tmp_path / "a", expired=f"Purchases before {first}\n")
    publish(tmp_path / "b", expired=f"Purchases before {second}\n")
    publish(tmp_path / "c")
    assert bucket[f"{KEY}expired.txt"].decode() == f"Purchases before {LATE}\n"


def test_tombstones_of_every_clone_stay(bucket: dict[str, bytes], tmp_path: Path) -> None:
    publish(tmp_path / "a", tombstones="# head\naa 2026-01-01 r1\n")
    publish(tmp_path / "b", tombstones="bb 2026-01-02 r2\n")
    lines = bucket[f"{KEY}tombstones.txt"].decode().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        "aa 2026-01-01 r1",
        "bb 2026-01-02 r2",
    ]
