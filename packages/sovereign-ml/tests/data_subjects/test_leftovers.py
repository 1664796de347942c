"""What a killed process leaves in a project, and what erasure and retention remove of it."""

from pathlib import Path

from sovereign_ml.data_subjects.stores.files import clear_leftovers
from sovereign_ml.storage import duckdb as db


def test_half_written_files_and_spilled_tables_are_removed_and_nothing_else(tmp_path: Path) -> None:
    gone = [
        tmp_path / "data/1_raw/.transactions.parquet.part",
        tmp_path / "data/.1_raw.old/customers.parquet",
        tmp_path / db.SPILLED / "duckdb_temp_storage_DEFAULT-0.tmp",
    ]
    kept = [
        tmp_path / "data/1_raw/transactions.parquet",
        tmp_path / "data/.gitignore",
        tmp_path / "input/shop.csv",
    ]
    for path in gone + kept:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("C1")
    clear_leftovers(tmp_path)
    assert [path for path in gone + kept if path.exists()] == kept


def test_duckdb_spills_where_erasure_looks() -> None:
    connection = db.connect()
    assert connection.execute("SELECT current_setting('temp_directory')").fetchall() == [
        (db.SPILLED,)
    ]
