"""A correction is noted as a whole or not at all."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sovereign_ml.errors import Misuse
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


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("amount_eur", value) for value in ("12.345", "1.000", "1e3", "1_000", "12,50", "NaN")),
        *(("birth_year", value) for value in ("19850", "1985.7", "-5", "0", "2999", "85")),
        *(("event_time", value) for value in ("0044-03-15 (BC)", "infinity", "01.03.2026")),
        *(("country", value) for value in ("x" * 65, "D\nE")),
    ],
)
def test_a_value_that_would_be_rounded_or_set_aside_is_refused(
    tmp_path: Path, column: str, value: str
) -> None:
    row = CorrectedRow(datetime(2026, 3, 1, tzinfo=UTC))
    row = row if column in row.columns else CorrectedRow()
    with pytest.raises(Misuse, match=f"^{column} "):
        corrections.add(tmp_path, "a" * 32, row, {column: value})
    assert corrections.fingerprint(tmp_path, {}) == {}


@pytest.mark.parametrize("value", ["-5", "0", "12.5", "+7.25", "1234567.89"])
def test_an_amount_is_taken_as_it_is(tmp_path: Path, value: str) -> None:
    row = CorrectedRow(datetime(2026, 3, 1, tzinfo=UTC))
    corrections.add(tmp_path, "a" * 32, row, {"amount_eur": value})
    corrections.add(tmp_path, "a" * 32, CorrectedRow(), {"country": "Deutschland"})
    corrections.add(tmp_path, "a" * 32, CorrectedRow(), {"birth_year": "1985"})
