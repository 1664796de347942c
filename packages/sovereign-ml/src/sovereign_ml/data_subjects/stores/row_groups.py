"""Take a few rows out of a large Parquet file, and copy what is about everybody else as it is.

A large file has row groups of about 100,000 rows each, and a person is in few of them. Only those
are decoded and written again. The bytes of the others are copied, and the footer says where they
are now. Source of the layout: https://parquet.apache.org/docs/file-format/
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from sovereign_ml.storage.thrift import Field, Struct, read_struct, write_struct

if TYPE_CHECKING:
    import pyarrow.parquet as pq

MAGIC = b"PAR1"
LENGTH = 4
"""Bytes of the length of the footer, which stands between the footer and the last magic."""
AT_ONCE = 1 << 17
"""Bytes that are copied at once: they stay in the processor's cache, which a megabyte does not."""

# Numbers of fields in Parquet's own definition, parquet.thrift.
FILE_ROWS, FILE_GROUPS, FILE_NOTES = 3, 4, 5
GROUP_CHUNKS, GROUP_ROWS, GROUP_OFFSET, GROUP_NUMBER = 1, 3, 5, 7
CHUNK_OFFSET, CHUNK_COLUMN = 2, 3
COLUMN_SIZE, COLUMN_PAGES, COLUMN_INDEX, COLUMN_DICTIONARY = 7, 9, 10, 11
COLUMN_BLOOM, COLUMN_BLOOM_SIZE = 14, 15
# A file with other fields may have an offset that would not be moved.
FILE_FIELDS, GROUP_FIELDS = {1, 2, FILE_ROWS, FILE_GROUPS, FILE_NOTES, 6, 7}, {*range(1, 8)}
CHUNK_FIELDS, COLUMN_FIELDS = {CHUNK_OFFSET, CHUNK_COLUMN}, {*range(1, 18)}
ARROW_SCHEMA = b"ARROW:schema"


class UnusualLayout(Exception):
    """Say that row groups of a file cannot be copied, with the reason."""


def copy_without(path: Path, rows: NDArray[np.int64], side: Path) -> None:
    """Write ``path`` without ``rows`` (positions from 0, ascending) to ``side``.

    Order, schema and compression stay. Raises UnusualLayout where the whole file has to be written
    again: most of its row groups hold such rows, or it is not laid out as DuckDB and pyarrow do.
    ``side`` may be half-written then.
    """
    import pyarrow.parquet as pq

    with path.open("rb") as source, pq.ParquetFile(path) as file:
        footer, end = _read_footer(source)
        groups: list[Struct] = footer[FILE_GROUPS].value[1]
        _check_layout(footer, groups, end)
        # What pandas notes there may be about rows that are removed now.
        if file.schema_arrow.metadata:
            raise UnusualLayout("notes in the schema")
        bounds = np.cumsum([0, *(group[GROUP_ROWS].value for group in groups)])
        parts = np.split(rows, np.searchsorted(rows, bounds[1:-1]))
        if 2 * sum(len(part) > 0 for part in parts) > len(groups):
            raise UnusualLayout("most row groups change")
        with side.open("wb") as target:
            target.write(MAGIC)
            remaining: list[Struct] = []
            for number, (group, part) in enumerate(zip(groups, parts, strict=True)):
                if len(part) == 0:
                    _append(group, source, target)
                    remaining.append(group)
                elif len(part) < group[GROUP_ROWS].value:
                    content = _encoded(file, number, part - bounds[number])
                    written = _read_footer(content)[0][FILE_GROUPS].value[1]
                    for new in written:
                        _append(new, content, target)
                    remaining += written
            _append_blooms(remaining, source, target)
            _write_footer(footer, remaining, target)
        _check_written(side, file, int(bounds[-1]) - len(rows))


def _read_footer(file: BinaryIO) -> tuple[Struct, int]:
    """Return the footer of a Parquet file and its position."""
    end = file.seek(-LENGTH - len(MAGIC), io.SEEK_END)
    start = end - int.from_bytes(file.read(LENGTH), "little")
    file.seek(start)
    try:
        return read_struct(file.read(end - start)), start
    except (ValueError, IndexError) as error:
        raise UnusualLayout(str(error)) from None


def _check_layout(footer: Struct, groups: list[Struct], end: int) -> None:
    """Raise UnusualLayout unless every byte before ``end`` is of a column or of a Bloom filter.

    What no entry of the footer names would be lost, or would be a copy of removed rows.
    """
    notes = footer[FILE_NOTES].value[1] if FILE_NOTES in footer else []
    _check_fields(footer, FILE_FIELDS)
    if any(note[1].value != ARROW_SCHEMA for note in notes):
        raise UnusualLayout("notes in the footer")
    position, blooms = len(MAGIC), []
    for group in groups:
        _check_fields(group, GROUP_FIELDS)
        for chunk in group[GROUP_CHUNKS].value[1]:
            _check_fields(chunk, CHUNK_FIELDS)
            column: Struct = chunk[CHUNK_COLUMN].value
            _check_fields(column, COLUMN_FIELDS)
            if _start(column) != position:
                raise UnusualLayout("a gap between columns")
            position += column[COLUMN_SIZE].value
            if COLUMN_BLOOM in column:
                blooms.append((column[COLUMN_BLOOM].value, column[COLUMN_BLOOM_SIZE].value))
    for start, size in sorted(blooms):
        if start != position:
            raise UnusualLayout("a gap between Bloom filters")
        position += size
    if position != end:
        raise UnusualLayout("bytes before the footer")


def _check_fields(struct: Struct, known: set[int]) -> None:
    if not struct.keys() <= known:
        raise UnusualLayout(f"fields {sorted(struct.keys() - known)}")


def _start(column: Struct) -> int:
    """Return the position of the first page of a column in a row group."""
    first: int = column[COLUMN_PAGES].value
    # Some writers note 0 for no dictionary. A dictionary comes before the pages.
    return column[COLUMN_DICTIONARY].value or first if COLUMN_DICTIONARY in column else first


def _encoded(file: pq.ParquetFile, number: int, rows: NDArray[np.int64]) -> BinaryIO:
    """Return a Parquet file with the row group ``number`` of ``file`` without ``rows`` of it.

    Raises UnusualLayout if its columns cannot be given the same physical types.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = file.read_row_group(number)
    mask = np.ones(len(table), dtype=np.bool_)
    mask[rows] = False
    group = file.metadata.row_group(number)
    columns = [group.column(place) for place in range(group.num_columns)]
    content = io.BytesIO()
    pq.write_table(
        table.filter(pa.array(mask)),
        content,
        row_group_size=len(table),
        compression={
            column.path_in_schema: column.compression.replace("UNCOMPRESSED", "NONE")
            for column in columns
        },
        # A dictionary of ids, where each is another one, only takes time.
        use_dictionary=[c.path_in_schema for c in columns if c.has_dictionary_page],
        # DuckDB writes decimals as integers, pyarrow writes them as bytes.
        store_decimal_as_integer=any(
            column.logical_type.type == "DECIMAL" and column.physical_type.startswith("INT")
            for column in map(file.schema.column, range(len(columns)))
        ),
    )
    with pq.ParquetFile(content) as written:
        if not written.schema_arrow.equals(table.schema) or _physical(written) != _physical(file):
            raise UnusualLayout("types that pyarrow writes in another way")
    return content


def _physical(file: pq.ParquetFile) -> list[tuple[str, str, int, int, int]]:
    """Return how values of each column are stored. Two names for the same bytes make no change."""
    columns = (file.schema.column(place) for place in range(file.metadata.num_columns))
    return [
        (
            column.path,
            column.physical_type,
            column.length,
            column.max_definition_level,
            column.max_repetition_level,
        )
        for column in columns
    ]


def _append(group: Struct, source: BinaryIO, target: BinaryIO) -> None:
    """Copy the pages of ``group`` from ``source``, and note in it where they are in ``target``."""
    columns = [chunk[CHUNK_COLUMN].value for chunk in group[GROUP_CHUNKS].value[1]]
    start, distance = _start(columns[0]), target.tell() - _start(columns[0])
    for column in columns:
        _move(column, (COLUMN_PAGES, COLUMN_INDEX, COLUMN_DICTIONARY), distance)
    for chunk in group[GROUP_CHUNKS].value[1]:
        _move(chunk, (CHUNK_OFFSET,), distance)
    _move(group, (GROUP_OFFSET,), distance)
    _copy(source, start, sum(column[COLUMN_SIZE].value for column in columns), target)


def _move(struct: Struct, names: tuple[int, ...], distance: int) -> None:
    for name in names:
        # 0 is written for an offset that nobody reads any more.
        if name in struct and struct[name].value:
            struct[name] = Field(struct[name].kind, struct[name].value + distance)


def _append_blooms(groups: list[Struct], source: BinaryIO, target: BinaryIO) -> None:
    """Copy the Bloom filters of the copied groups. The groups written again have none."""
    for group in groups:
        for chunk in group[GROUP_CHUNKS].value[1]:
            column: Struct = chunk[CHUNK_COLUMN].value
            if COLUMN_BLOOM in column:
                start, size = column[COLUMN_BLOOM].value, column[COLUMN_BLOOM_SIZE].value
                _move(column, (COLUMN_BLOOM,), target.tell() - start)
                _copy(source, start, size, target)


def _copy(source: BinaryIO, start: int, size: int, target: BinaryIO) -> None:
    source.seek(start)
    while size:
        content = source.read(min(size, AT_ONCE))
        if not content:
            raise OSError(f"{source} ends before {start + size}")
        target.write(content)
        size -= len(content)


def _write_footer(footer: Struct, groups: list[Struct], target: BinaryIO) -> None:
    """Write ``footer`` with other row groups. The schema and who wrote the file stay."""
    for number, group in enumerate(groups):
        if GROUP_NUMBER in group:
            group[GROUP_NUMBER] = Field(group[GROUP_NUMBER].kind, number)
    rows = sum(group[GROUP_ROWS].value for group in groups)
    element = footer[FILE_GROUPS].value[0]
    content = write_struct(
        footer
        | {
            FILE_ROWS: Field(footer[FILE_ROWS].kind, rows),
            FILE_GROUPS: Field(footer[FILE_GROUPS].kind, (element, groups)),
        }
    )
    target.write(content + len(content).to_bytes(LENGTH, "little") + MAGIC)


def _check_written(side: Path, file: pq.ParquetFile, rows: int) -> None:
    """Raise UnusualLayout unless another reader finds schema and number of rows in ``side``."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(side) as written:
        if written.metadata.num_rows != rows or not written.schema.equals(file.schema):
            raise UnusualLayout("the copy reads differently")
