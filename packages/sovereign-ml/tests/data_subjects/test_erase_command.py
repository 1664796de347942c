"""What `churn data-subject erase` says about what it found."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from sovereign_ml.cli import composition, privacy
from sovereign_ml.data_subjects import erasure
from sovereign_ml.data_subjects.project_stores import alone
from sovereign_ml.data_subjects.receipts import ModelNote, Receipt
from sovereign_ml.data_subjects.stores.protocol import Trace
from sovereign_ml.errors import Misuse

TRACE = Trace("files of the project", "data/1_raw/transactions.parquet", 3, "rows", "rows removed")


@pytest.mark.parametrize(("removed", "warns"), [((), True), ((TRACE,), False)])
def test_an_id_that_nobody_has_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, removed: Any, warns: bool
) -> None:
    now = datetime.now(UTC)
    receipt = Receipt(
        id="20261128T120000Z-00000000",
        reference="DSR-1",
        status="complete",
        started_at=now,
        finished_at=now,
        people=("0" * 64,),
        removed=removed,
        remains=(),
        source=("input.csv: the people are not in it.",),
        model=ModelNote(answer="unanswered", done="Nothing."),
        kept=(),
    )
    settings = SimpleNamespace(pseudonym_keys=lambda: (b"k" * 32,))
    monkeypatch.setattr(privacy, "load_settings", lambda _: settings)
    stores = SimpleNamespace(root=tmp_path, versions=SimpleNamespace(from_image=False))
    monkeypatch.setattr(composition, "project_stores", lambda _: stores)
    monkeypatch.setattr(erasure, "erase", lambda *_: receipt)
    done = CliRunner().invoke(privacy.app, ["data-subject", "erase", "--subject", "C999"])
    assert done.exit_code == 0, done.output
    assert ("Nothing was found in any store: check the ids" in done.output) is warns


def test_two_requests_at_once_do_not_share_a_journal(tmp_path: Path) -> None:
    stores: Any = SimpleNamespace(root=tmp_path, versions=SimpleNamespace(from_image=False))
    with alone(stores), pytest.raises(Misuse, match="wait until it has ended"), alone(stores):
        raise AssertionError("the second one ran")
    with alone(stores):
        pass
    image: Any = SimpleNamespace(root=tmp_path / "no", versions=SimpleNamespace(from_image=True))
    with alone(image), alone(image):
        assert not image.root.exists()
