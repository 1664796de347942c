"""A person is found in a Parquet file however its writer stores text."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sovereign_ml.data_subjects.stores.parquet import ParquetRows

PERSON, OTHER = "a" * 32, "b" * 32
COLUMNS = {
    "text": pa.array([PERSON, OTHER, None]),
    "categories": pa.array([PERSON, OTHER, None]).dictionary_encode(),
    "bytes": pa.array([PERSON.encode(), OTHER.encode(), None]),
    "bytes of one length": pa.array([PERSON.encode(), OTHER.encode(), None], pa.binary(32)),
    "list": pa.array([[OTHER, PERSON], [OTHER], []]),
    "structure": pa.array([{"who": PERSON, "n": 1}, {"who": OTHER, "n": 2}, None]),
    "map": pa.array([[(PERSON, 1)], [(OTHER, 2)], []], pa.map_(pa.string(), pa.int64())),
    "list of structures": pa.array([[{"who": PERSON}], [{"who": OTHER}], None]),
}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_a_person_is_found_and_removed_in_every_form_of_text(
    tmp_path: Path, column: pa.Array
) -> None:
    path, rows = tmp_path / "table.parquet", ParquetRows()
    table = pa.table({"n": [1, 2, 3], 'a "who"': column})
    pq.write_table(table, path)
    assert rows.count(path, [PERSON, "c" * 32]) == 1 and rows.count(path, ["c" * 32]) == 0
    rows.remove(path, [PERSON])
    assert rows.count(path, [PERSON]) == 0
    assert pq.read_table(path)["n"].to_pylist() == [2, 3]
