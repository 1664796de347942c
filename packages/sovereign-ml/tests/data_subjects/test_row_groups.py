"""People leave large Parquet files: the row groups of everybody else are copied byte for byte."""

import resource
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from sovereign_ml.data_subjects.stores.parquet import ParquetRows

ROWS, GROUP, EACH = 100_000, 8_192, 25
"""Rows of a table, of a row group at least, and of a person."""


def name(person: int) -> str:
    return f"{person:032x}"


def table() -> pa.Table:
    """Return purchases sorted by customer, with every type that tables of a project have."""
    draw = np.random.default_rng(3)
    person = np.arange(ROWS) // EACH
    cents = draw.integers(0, 10**6, ROWS)
    return pa.table(
        {
            "customer_id": [name(n) for n in person],
            "event_time": pa.array(draw.integers(10**15, 2 * 10**15, ROWS)).cast(
                pa.timestamp("us", "UTC")
            ),
            "amount_eur": pa.array([Decimal(int(n)) / 100 for n in cents], pa.decimal128(18, 2)),
            "score": pa.array(draw.random(ROWS), mask=draw.random(ROWS) < 0.1),
            "category": pc.if_else(cents % 7 == 0, None, pa.array(cents % 12).cast(pa.string())),
            "returned": cents % 2 == 0,
            "pieces": (cents % 100).astype(np.int32),
        }
    )


def by_duckdb(rows: pa.Table, path: Path, compression: str = "zstd") -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'").register("given", rows)
        connection.execute(
            f"COPY (FROM given) TO '{path}' "
            f"(FORMAT parquet, COMPRESSION {compression}, ROW_GROUP_SIZE {GROUP})"
        )


def by_pyarrow(rows: pa.Table, path: Path) -> None:
    pq.write_table(rows, path, compression="zstd", row_group_size=GROUP)


def as_scores(rows: pa.Table, path: Path) -> None:
    plain = ["category", "returned"]
    pq.write_table(
        rows,
        path,
        row_group_size=GROUP,
        store_schema=False,
        use_dictionary=plain,
        compression={
            column: "none" if column in plain else "snappy" for column in rows.schema.names
        },
    )


def nested(rows: pa.Table, path: Path) -> None:
    lists = pa.array([[n, None] if n % 3 else None for n in range(len(rows))])
    pairs = pa.StructArray.from_arrays([rows["pieces"].combine_chunks()], ["inner"])
    rows = rows.append_column("lists", lists).append_column("pairs", pairs)
    encoded = rows["category"].dictionary_encode()
    by_pyarrow(rows.set_column(rows.schema.get_field_index("category"), "category", encoded), path)


WRITERS = (by_duckdb, by_pyarrow, as_scores, nested)
PEOPLE = {
    "first": [0],
    "last": [ROWS // EACH - 1],
    "one between two groups": [GROUP // EACH],
    "several": [5, 6, 2_000, 3_999],
    "a whole group": [*range(GROUP // EACH, 2 * GROUP // EACH + 1)],
}


def groups(path: Path) -> list[bytes]:
    """Return the bytes of each row group, by the offsets that pyarrow reads."""
    metadata, content = pq.read_metadata(path), path.read_bytes()
    pages = []
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        columns = [group.column(place) for place in range(group.num_columns)]
        starts = [c.dictionary_page_offset or c.data_page_offset for c in columns]
        sizes = [column.total_compressed_size for column in columns]
        pages.append(b"".join(content[a : a + size] for a, size in zip(starts, sizes, strict=True)))
    return pages


def of_groups(path: Path, people: list[int]) -> list[bool]:
    """Return for each row group if it holds any of ``people``."""
    with pq.ParquetFile(path) as file:
        values = pa.array(map(name, people))
        return [
            bool(pc.any(pc.is_in(file.read_row_group(n)["customer_id"], values)).as_py())
            for n in range(file.num_row_groups)
        ]


def rest(path: Path, people: list[int]) -> pa.Table:
    rows = pq.read_table(path)
    return rows.filter(pc.invert(pc.is_in(rows["customer_id"], pa.array(map(name, people)))))


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("people", PEOPLE.values(), ids=PEOPLE)
def test_everybody_else_stays_in_order_and_in_the_same_bytes(
    write: Callable[[pa.Table, Path], None], people: list[int], tmp_path: Path
) -> None:
    path = tmp_path / "transactions.parquet"
    write(table(), path)
    schema, wanted = pq.read_metadata(path).schema, rest(path, people)
    theirs, before = of_groups(path, people), groups(path)
    assert any(theirs)
    ParquetRows().remove(path, [name(person) for person in people])
    assert pq.read_table(path).equals(wanted, check_metadata=True)
    assert pq.read_metadata(path).schema.equals(schema)
    after = groups(path)
    copied = [pages for pages, held in zip(before, theirs, strict=True) if not held]
    assert [pages for pages in after if pages in copied] == copied
    # A second reader, which looks for each person by statistics and Bloom filters.
    with duckdb.connect() as connection:
        for person in {*people, people[0] - 1, people[-1] + 1, 1_234} & {*range(ROWS // EACH)}:
            query = f"SELECT count(*) FROM '{path}' WHERE customer_id = '{name(person)}'"
            count = connection.execute(query).fetchall()[0][0]
            assert count == (0 if person in people else EACH)
    assert [path.name for path in tmp_path.iterdir()] == ["transactions.parquet"]


@pytest.mark.parametrize("write", WRITERS)
def test_a_file_without_the_people_keeps_every_byte(
    write: Callable[[pa.Table, Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "transactions.parquet"
    write(table(), path)
    before = path.read_bytes()
    ParquetRows().remove(path, [name(ROWS)])
    assert path.read_bytes() == before


def test_people_can_leave_one_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "transactions.parquet"
    by_duckdb(table(), path)
    people = [int(n) for n in np.random.default_rng(5).permutation(ROWS // EACH)[:12]]
    wanted, before = rest(path, people), pq.read_metadata(path).num_row_groups
    for person in people:
        ParquetRows().remove(path, [name(person)])
    assert pq.read_table(path).equals(wanted)
    assert pq.read_metadata(path).num_row_groups == before


def test_no_trace_of_the_person_is_in_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "transactions.parquet"
    # Without compression a name is to be seen in pages, dictionaries and statistics.
    by_duckdb(table(), path, compression="uncompressed")
    people = [name(0), name(ROWS // EACH - 1)]
    assert all(person.encode() in path.read_bytes() for person in people)
    blooms = bloom_filters(path)
    ParquetRows().remove(path, people)
    assert not any(person.encode() in path.read_bytes() for person in people)
    # The two groups that were written again have no Bloom filter, which would know the person.
    assert 0 < bloom_filters(path) < blooms


def bloom_filters(path: Path) -> int:
    with duckdb.connect() as connection:
        query = f"SELECT count(bloom_filter_offset) FROM parquet_metadata('{path}')"
        return int(connection.execute(query).fetchall()[0][0])


def with_index(rows: pa.Table, path: Path) -> None:
    pq.write_table(rows, path, row_group_size=GROUP, write_page_index=True)


def with_notes(rows: pa.Table, path: Path) -> None:
    rows = rows.replace_schema_metadata({"last customer": name(7)})
    pq.write_table(rows, path, row_group_size=GROUP)


def with_a_gap(rows: pa.Table, path: Path) -> None:
    by_pyarrow(rows, path)
    content = path.read_bytes()
    footer = int.from_bytes(content[-8:-4], "little") + 8
    path.write_bytes(content[:-footer] + name(7).encode() + content[-footer:])


def with_row_numbers(rows: pa.Table, path: Path) -> None:
    by_pyarrow(rows.append_column("FILE_row_number", pa.array(range(ROWS, 0, -1))), path)


def with_other_times(rows: pa.Table, path: Path) -> None:
    pq.write_table(rows, path, row_group_size=GROUP, use_deprecated_int96_timestamps=True)


@pytest.mark.parametrize(
    "write", [with_index, with_notes, with_a_gap, with_row_numbers, with_other_times]
)
def test_another_layout_is_written_again_as_a_whole(
    write: Callable[[pa.Table, Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "transactions.parquet"
    write(table(), path)
    wanted = rest(path, [7]).replace_schema_metadata()
    ParquetRows().remove(path, [name(7)])
    rows = pq.read_table(path).replace_schema_metadata()
    assert rows.cast(wanted.schema).equals(wanted)
    assert name(7).encode() not in path.read_bytes()
    assert "DuckDB" in pq.read_metadata(path).created_by


def test_a_person_in_most_groups_and_many_rows_are_removed_too(tmp_path: Path) -> None:
    path = tmp_path / "snapshots.parquet"
    rows = table().take(np.random.default_rng(1).permutation(ROWS))
    by_pyarrow(rows, path)
    wanted = rest(path, [7])
    ParquetRows().remove(path, [name(7)])
    assert pq.read_table(path).cast(wanted.schema).equals(wanted)
    ParquetRows().remove_where(path, "pieces < 50")
    wanted = wanted.filter(pc.greater_equal(wanted["pieces"], 50))
    assert pq.read_table(path).cast(wanted.schema).equals(wanted)


LIMITED = """
import resource, sys
from pathlib import Path
from sovereign_ml.data_subjects.stores.parquet import ParquetRows
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
ParquetRows().remove(Path(sys.argv[1]), [sys.argv[2]])
"""


@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
def test_a_copy_that_stops_leaves_the_file_as_it_was(share: float, tmp_path: Path) -> None:
    path = tmp_path / "transactions.parquet"
    by_duckdb(table(), path)
    before, wanted = path.read_bytes(), rest(path, [7])
    limit = str(int(share * len(before)))
    command = [sys.executable, "-c", LIMITED, str(path), name(7), limit]
    stopped = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "File too large" in stopped.stderr
    assert path.read_bytes() == before
    ParquetRows().remove(path, [name(7)])
    assert pq.read_table(path).equals(wanted)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
