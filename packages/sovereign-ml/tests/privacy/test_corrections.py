"""A correction is noted as a whole or not at all."""

from pathlib import Path

import pytest

from sovereign_ml.privacy import corrections
from sovereign_ml.privacy.corrections import CorrectedRow
from sovereign_ml.storage import duckdb as db


def test_a_first_correction_that_breaks_off_leaves_no_file_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as broken:
        broken.setattr(db, "write_parquet", full)
        with pytest.raises(OSError, match="no space left"):
            corrections.add(tmp_path, "a" * 32, CorrectedRow(), {"birth_year": "1980"})
    assert corrections.fingerprint(tmp_path, {}) == {}, "step 1 would not run any more"
    corrections.add(tmp_path, "a" * 32, CorrectedRow(), {"birth_year": "1980"})
    corrections.add(tmp_path, "a" * 32, CorrectedRow(), {"country": "DE"})
    assert corrections.rename(tmp_path, {"a" * 32: "b" * 32}) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["corrections.parquet"]
