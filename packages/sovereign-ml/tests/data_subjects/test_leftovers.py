"""What a killed process leaves in a project, and what erasure and retention remove of it."""

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather, orc

from sovereign_ml.data_subjects.erasure_procedure import ErasureProcedure
from sovereign_ml.data_subjects.receipts import ModelNote
from sovereign_ml.data_subjects.stores.files import Files, Versions, clear_leftovers
from sovereign_ml.data_subjects.stores.formats import PIECE
from sovereign_ml.data_subjects.stores.parquet import ParquetRows
from sovereign_ml.privacy.tombstones import Tombstones
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


PERSON = "c" * 31 + "1"


def cut(path: Path, text: bytes) -> None:
    path.write_bytes(gzip.compress(text, mtime=0)[:-9])


def encrypted(path: Path, text: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", text)
    # Bit 0 of the flags says that a password is needed: 6 bytes behind each header's mark, or 8.
    content = re.sub(rb"(PK\x03\x04..).", rb"\g<1>" + b"\x01", path.read_bytes(), flags=re.DOTALL)
    path.write_bytes(re.sub(rb"(PK\x01\x02....).", rb"\g<1>" + b"\x01", content, flags=re.DOTALL))


def damaged(path: Path, text: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", text)
    content = bytearray(path.read_bytes())
    content[45] ^= 255
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("pack", [cut, encrypted, damaged])
def test_a_file_that_cannot_be_unpacked_is_left_to_a_person(
    pack: Callable[[Path, bytes], None], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    pack(tmp_path / "data/old", b"id,day\n" + bytes(range(256)) * 40)
    files = Files(tmp_path, (), skip=(), ours=(tmp_path / "data",))
    (trace,) = files.find([PERSON])
    assert (trace.place, trace.action) == ("data/old", "by hand")
    files.remove([PERSON], [trace])
    assert (tmp_path / "data/old").exists()
    # As an object of DVC it stays, too: it may be the present version.
    store = tmp_path / "cache/files/md5/ab"
    store.mkdir(parents=True)
    (tmp_path / "data/old").rename(store / ("c" * 30))
    assert Versions({"cache": tmp_path / "cache"}, (), lambda: None).find([PERSON]) == []


def test_a_person_is_found_across_two_pieces_of_a_packed_file(tmp_path: Path) -> None:
    for place in (0, PIECE - 5, PIECE, 2 * PIECE - 31):
        with gzip.open(tmp_path / "export.csv.gz", "wb") as packed:
            packed.write(b"x" * place + PERSON.encode() + b"x" * PIECE)
        (trace,) = Files(tmp_path, (), skip=(), ours=()).find([PERSON])
        assert (trace.count, trace.action) == (1, "by hand")


def tar(content: bytes, name: str = "a.csv", mode: Any = "w") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def in_zip(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner", content)
    return file.getvalue()


def table(write: Callable[..., None], **options: Any) -> bytes:
    file = io.BytesIO()
    write(pa.table({"who": [PERSON] * 999}), file, **options)
    return file.getvalue()


TEXT = b"id,day\n" + b"c" * 31 + b"1,2026-01-01\n"
HOLDING: dict[str, Callable[[], bytes]] = {
    "bz2": lambda: bz2.compress(TEXT),
    "xz": lambda: lzma.compress(TEXT),
    "tar of bz2": lambda: tar(bz2.compress(TEXT)),
    "tar.xz": lambda: tar(TEXT, mode="w:xz"),
    "gz of gz": lambda: gzip.compress(gzip.compress(TEXT)),
    "zip of xz": lambda: in_zip(lzma.compress(TEXT)),
    "gz of zip": lambda: gzip.compress(in_zip(TEXT)),
    "zip of tar.gz": lambda: in_zip(tar(TEXT, mode="w:gz")),
    "Feather": lambda: table(feather.write_feather, compression="lz4"),
    "Feather in zip": lambda: in_zip(table(feather.write_feather, compression="zstd")),
    "ORC": lambda: table(orc.write_table, compression="zstd"),
    "UTF-16": lambda: TEXT.decode().encode("utf-16"),
    "UTF-16, big endian": lambda: TEXT.decode().encode("utf-16-be"),
}


@pytest.mark.parametrize("kind", HOLDING)
def test_a_person_is_found_in_a_packed_file_of_each_kind(kind: str, tmp_path: Path) -> None:
    (tmp_path / "export").write_bytes(HOLDING[kind]())
    (trace,) = Files(tmp_path, (), skip=(), ours=(tmp_path,)).find([PERSON])
    assert (trace.place, trace.unit, trace.action) == ("export", "file", "file removed")
    assert Files(tmp_path, (), skip=(), ours=()).find([c * 32 for c in "defab"]) == []


@pytest.mark.parametrize(
    "content",
    [b"\x28\xb5\x2f\xfd\x04", b"7z\xbc\xaf\x27\x1c\0", b"Rar!\x1a\x07\x01", b"\x04\x22\x4d\x18"],
)
def test_what_nothing_here_unpacks_is_left_to_a_person(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(content + bytes(40))
    (trace,) = Files(tmp_path, (), skip=(), ours=(tmp_path,)).find([PERSON])
    assert (trace.unit, trace.action) == ("file that cannot be unpacked", "by hand")


@pytest.mark.parametrize("text", ["ORCHESTRA", "ARROW1", "BZh is a sign", "PK", "]", "O", "ORC"])
def test_a_text_that_begins_like_a_packed_file_is_a_text(text: str, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text(text)
    assert Files(tmp_path, (), skip=(), ours=()).find([PERSON]) == []


def row_of(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"id\n{PERSON}\n")
    return folder / name


def test_a_folder_of_ours_on_another_disk_is_searched(tmp_path: Path) -> None:
    root, disk = tmp_path / "project", tmp_path / "disk"
    root.mkdir()
    moved = row_of(disk / "1_raw", "rows.csv")
    theirs = row_of(tmp_path / "company", "export.csv")
    single = row_of(tmp_path / "single", "notes.csv")
    (root / "data").symlink_to(disk)
    (disk / "shared").symlink_to(theirs.parent)
    (disk / "circle").symlink_to(root)
    (disk / "notes.csv").symlink_to(single)
    outside = row_of(tmp_path / "home", "private.csv")
    (root / "home").symlink_to(outside.parent)
    files = Files(root, (), skip=(), ours=(root / "data",))
    traces = files.find([PERSON])
    assert {trace.place: trace.action for trace in traces} == {
        "data/1_raw/rows.csv": "file removed",
        "data/shared/export.csv": "by hand",
        "data/notes.csv": "by hand",
    }
    files.remove([PERSON], traces)
    left = [path.is_file() for path in (moved, theirs, single, outside)]
    assert left == [False, True, True, True]


def test_a_pseudonym_in_the_name_of_a_file_is_found_and_in_no_receipt(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    plots = [tmp_path / f"data/{PERSON}.png", tmp_path / f"plot-{PERSON}.png"]
    for plot in plots:
        plot.write_bytes(b"\x89PNG")
    rows = row_of(tmp_path / "data", f"{PERSON}.csv")
    (tmp_path / f"data/rows-{PERSON}.parquet").write_bytes(table(pq.write_table))
    folder, stones = tmp_path / "receipts", Tombstones([tmp_path / "stones.txt"], b"k" * 32)
    skip = (folder, tmp_path / "journal.json")
    files = Files(tmp_path, (ParquetRows(),), skip=skip, ours=(tmp_path / "data",))
    procedure = ErasureProcedure([files], stones, tmp_path / "journal.json", folder)
    journal = procedure.begin([PERSON], "DSR-1", {})
    receipt = procedure.finish(
        journal, procedure.remove(journal), ModelNote(answer="unanswered", done=""), (), ()
    )
    assert [path.is_file() for path in (*plots, rows)] == [False, True, False]
    assert {trace.place for trace in receipt.removed} == {
        "data/*.png",
        "data/*.csv",
        "data/rows-*.parquet",
    }
    assert [trace.place for trace in receipt.remains] == ["plot-*.png"]
    assert all(PERSON not in path.read_text() for path in folder.iterdir())
