"""The reader of the team's files: every record is kept, set aside by a reason, or the file is refused in one line."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import pickle
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from mapped_file import Mapped, input_files, read
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.storage.artifacts import read_json

HEADER = "customer_id,event_time,amount\n"
LINE = "1,2026-01-05,1.5\n"
GERMAN = "customer_id;event_time;amount\n"


def packed(content: bytes) -> bytes:
    """Return gzip without a time in it: names of tests show the bytes."""
    return gzip.compress(content, mtime=0)


def zipped(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(name, HEADER + LINE)
    return buffer.getvalue()


def refused(root: Path, content: str | bytes, said: str, **changes: Any) -> None:
    with pytest.raises(Misuse, match=said) as error:
        read(root, content, **changes)
    assert "\n" not in str(error.value)


# No line is lost.


def test_a_line_that_starts_with_a_hash_is_a_line(tmp_path: Path) -> None:
    done = read(tmp_path, HEADER + LINE + "#1001,2026-01-05,1\n3,2026-01-05,1\n")
    assert done.column("customer_id") == ["#1001", "1", "3"]


@pytest.mark.parametrize("rows", [3, 2_047, 2_049])
@pytest.mark.parametrize(("extra", "fields"), [("1,2026-02-05,2.5,web", 4), ("1,2026-02-05", 2)])
def test_a_record_of_another_width_is_named_by_its_line(
    tmp_path: Path, rows: int, extra: str, fields: int
) -> None:
    said = rf"lines\.csv, line {rows + 2:,}: {fields} fields where the header has 3"
    refused(tmp_path, HEADER + LINE * rows + extra + "\n" + LINE, said)


def test_the_line_of_a_record_counts_the_line_breaks_inside_of_quotes(tmp_path: Path) -> None:
    text = 'customer_id,event_time,amount\n1,2026-01-05,"1\n2"\n1,2\n'
    refused(tmp_path, text, "line 4: 2 fields where the header has 3")


@pytest.mark.parametrize("ends", [("\r\n", "\n"), ("\n", "\r\n"), ("\r", "\r"), ("\r\n", "\r")])
def test_line_ends_may_be_mixed(tmp_path: Path, ends: tuple[str, str]) -> None:
    lines = [HEADER.strip(), *(f"{i},2026-01-05,1" for i in range(1, 7))]
    text = "".join(line + ends[i % 2] for i, line in enumerate(lines))
    assert len(read(tmp_path, text).rows) == 6


def test_quoted_delimiters_quotes_and_line_breaks_stay_in_their_value(tmp_path: Path) -> None:
    text = 'customer_id,event_time,amount,note\n1,2026-01-05,2,"a\r\nb, ""c"""\n2,2026-01-05,2,5" pipe\n'
    done = read(tmp_path, text, columns={"category": "note"})
    assert done.column("category") == ['a\r\nb, "c"', '5" pipe']


@pytest.mark.parametrize(
    "line", ['1,2026-01-05,"2\n', '1,2026-01-05,"2"x\n', '1,2026-01-05,"say \\"no\\""\n']
)
def test_a_quote_that_does_not_end_is_named_by_its_line(tmp_path: Path, line: str) -> None:
    refused(tmp_path, HEADER + LINE + line, r"line 3: a quoted value does not end where it should")


def test_a_file_may_quote_nothing(tmp_path: Path) -> None:
    done = read(tmp_path, HEADER + '"1,2026-01-05,2\n', reader={"quote": ""})
    assert done.column("customer_id") == ['"1']


def test_what_is_skipped_on_purpose_is_named_in_the_headline(tmp_path: Path) -> None:
    text = "Report\n\nsep=;\n" + GERMAN + "1;2026-01-05;1\n\n2;2026-01-05;1\n  \n"
    done = read(tmp_path, text, reader={"skip_lines": 2})
    assert done.counts.read == 2
    assert done.counts.notes == (
        "2 lines of lines.csv skipped (skip_lines)",
        "1 line of lines.csv skipped (sep= line)",
        "2 lines of lines.csv skipped (blank)",
    )
    assert done.counts.headline.startswith("2 read = 2 kept + 0 set aside (none); 2 lines of")


def test_a_preamble_is_never_skipped_by_itself(tmp_path: Path) -> None:
    refused(
        tmp_path, "Report of June\n\n" + HEADER + LINE, "line 3: 3 fields where the header has 1"
    )


def test_a_column_that_is_named_twice_is_named_in_the_headline(tmp_path: Path) -> None:
    done = read(tmp_path, "amount," + HEADER + "5," + LINE)
    assert "read as amount_1" in done.counts.headline


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_header_in_the_middle_of_files_that_were_put_together_is_no_row(
    tmp_path: Path, mark: str
) -> None:
    done = read(tmp_path, HEADER + LINE + mark + HEADER + "2,2026-01-05,1\n")
    assert done.column("customer_id") == ["1", "2"]
    assert done.counts.notes == ("1 line of lines.csv skipped (the header again)",)


@pytest.mark.parametrize(
    "second",
    ["customer_id,event_time,amount,gross", "event_time,gross,amount,customer_id"],
)
def test_values_never_change_places_in_files_that_were_put_together(
    tmp_path: Path, second: str
) -> None:
    text = f"customer_id,event_time,gross,amount\n{'1,2026-01-05,2,1' + chr(10)}{second}\n"
    refused(tmp_path, text + "1,2026-01-05,1,2\n", "line 3: a second header has other columns")


def test_a_row_may_hold_the_name_of_a_column(tmp_path: Path) -> None:
    done = read(tmp_path, "customer_id,event_time,amount,kind\namount,2026-01-05,2,kind\n")
    assert done.column("customer_id") == ["amount"]


def test_a_number_behind_a_name_is_left_to_the_column_that_has_it(tmp_path: Path) -> None:
    text = "customer_id,event_time,amount,Amount,amount_1\n1,2026-01-05,1,2,3\n"
    done = read(tmp_path, text, columns={"amount_eur": "amount_1"})
    assert [str(amount) for amount in done.column("amount_eur")] == ["3.00"]
    assert "read as Amount_2" in done.counts.headline


@pytest.mark.parametrize("name", ["\ufeffprix payé", "prix\u00a0payé", "prix paye\u0301\u200b"])
def test_a_name_is_written_as_it_is_seen(tmp_path: Path, name: str) -> None:
    # The first mark is that of the file itself.
    text = f"\ufeff{name},customer_id,event_time\n5,1,2026-01-05\n"
    done = read(tmp_path, text, columns={"amount_eur": '"prix payé"'})
    assert done.column("customer_id") == ["1"]


@pytest.mark.parametrize(
    "rows",
    [
        "17850,2026-01-05,Ann Example,5.5\n17851,2026-01-06,Bob Example,7\n",
        "ann@example.eu,soon,Ann Example,x\n",
        "17850,Ann Example,x,7\n",
    ],
)
def test_a_message_shows_no_row_of_a_file_without_a_header(tmp_path: Path, rows: str) -> None:
    with pytest.raises(Misuse, match=r"looks like a row and not like a header; .* names") as error:
        read(tmp_path, rows)
    assert not any(value in str(error.value) for value in ("17850", "Ann", "ann@"))


@pytest.mark.parametrize("end", ["\x1a", "\x1a\r\n"])
def test_a_file_may_end_as_files_of_dos_do(tmp_path: Path, end: str) -> None:
    assert read(tmp_path, HEADER + LINE + end).column("customer_id") == ["1"]


# The first bytes decide what a file is.

FORMATS = {
    "plain": (HEADER + LINE).encode(),
    "gzip": packed((HEADER + LINE).encode()),
    "mark": (HEADER + LINE).encode("utf-8-sig"),
    "utf-16": (HEADER + LINE).encode("utf-16"),
    "utf-32": (HEADER + LINE).encode("utf-32"),
    "gzip of utf-16": packed((HEADER + LINE).encode("utf-16")),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet", "PARQUET", "txt", ""])
def test_the_first_bytes_decide_and_not_the_suffix(tmp_path: Path, name: str, suffix: str) -> None:
    (tmp_path / f"lines.{suffix}").write_bytes(FORMATS[name])
    assert read(tmp_path, transactions=f"lines.{suffix}").column("customer_id") == ["1"]


@pytest.mark.parametrize("suffix", ["csv", "PARQUET", "parquet", "gz", ""])
def test_parquet_is_parquet_under_any_name(tmp_path: Path, suffix: str) -> None:
    frame = pd.DataFrame({"customer_id": ["1"], "event_time": ["2026-01-05"], "amount": [1.5]})
    frame.to_parquet(tmp_path / f"lines.{suffix}")
    assert read(tmp_path, transactions=f"lines.{suffix}").column("customer_id") == ["1"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (zipped("a.csv"), "is a zip archive: unpack it"),
        (b"Rar!\x1a\x07\x01\x00" * 9, "is a RAR archive: unpack it"),
        (b"\x04\x22\x4d\x18" * 9, "is compressed with lz4: unpack it, or use gzip"),
        (b"\x1f\x9d\x90ab" * 9, r"is compressed with compress \(.Z\)"),
        (pickle.dumps({"customer_id": [1]}), "is a pickle of Python: export the table as CSV"),
        (packed(b"RDX3\nX\n\0\0\0\3"), "is a file of R: export"),
        (packed(b"X\n\0\0\0\3\0\4"), r"is a file of R \(.rds\): export"),
        (b"ORC\x08\x03" * 9, "is an ORC file"),
        (b"<stata_dta><header><release>118", "is a file of Stata"),
        (b"$FL2@(#) SPSS DATA FILE", "is a file of SPSS"),
        (b"\x00\x01\x00\x00Standard ACE DB\x00", "is a database of Access"),
        (bytes(12) + b"\xc2\xea\x81\x60\xb3\x14\x11\xcf", "is a file of SAS"),
        (zipped("[Content_Types].xml"), "is an Excel workbook: save the sheet as 'CSV UTF-8'"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" * 9, r"is an Excel workbook \(.xls\)"),
        (b'{"customer_id": 1}\n', "is JSON: export the table as CSV or Parquet"),
        (b'[{"customer_id": 1}]', "is JSON"),
        (b'[\n  {\n    "customer_id": 1\n  }\n]\n', "is JSON"),
        (b'\xef\xbb\xbf{ "orders": [ {"customer_id": 1} ] }', "is JSON"),
        (b'[["customer_id", "amount"], [1, 2]]', "is JSON"),
        (b"<html><body><table><tr><td>1</td></tr></table></body></html>", "is HTML or XML"),
        ('<?xml version="1.0"?>\n<Workbook>'.encode("utf-16"), "is HTML or XML.*a spreadsheet"),
        (b"\r\n <TABLE border=1><tr><td>1</td></tr></TABLE>", "is HTML or XML"),
        (zipped("content.xml"), r"an OpenDocument spreadsheet \(.ods\): save the sheet"),
        (zipped("Index/Document.iwa"), "a Numbers document: save the sheet"),
        (packed(zipped("a.csv")), "unpack it"),
        (packed(packed(b"a")), "gzip around something that is no CSV"),
        (packed((HEADER + LINE * 999).encode())[:50], "ended before the end-of-stream"),
        (bz2.compress((HEADER + LINE).encode()), "compressed with bzip2"),
        ((HEADER + LINE).encode("utf-16-le"), "its header holds NUL bytes"),
        (b"PAR1\x15\x04" * 9, "Cannot read .* as Parquet"),
        (b"", "is empty"),
        (b"\n\n", "is empty"),
    ],
)
def test_what_is_no_table_is_named_with_what_to_do(
    tmp_path: Path, content: bytes, said: str
) -> None:
    refused(tmp_path, content, said)


@pytest.mark.parametrize("name", ["ORCID", "PARENT_ID", "PAR1", "BZh", "ARROW1", "ORC"])
def test_a_header_may_start_with_the_letters_of_a_format(tmp_path: Path, name: str) -> None:
    done = read(tmp_path, f"{name},{HEADER}x,{LINE}")
    assert done.column("customer_id") == ["1"]


@pytest.mark.parametrize("name", ["<id>", "[id]", "{id}", "[ id ]", "<table_id>"])
def test_a_header_may_stand_in_brackets(tmp_path: Path, name: str) -> None:
    text = f"{name},event_time,amount\n1,2026-01-05,1\n"
    assert len(read(tmp_path, text, columns={"customer_id": f'"{name}"'}).rows) == 1


def test_a_database_file_is_named(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "lines.csv")
    connection.execute("CREATE TABLE a (b)")
    connection.commit()
    connection.close()
    with pytest.raises(Misuse, match="is an SQLite database"):
        read(tmp_path)


# [data.reader].


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "iso8859-15", "cp850", "utf-16-le"])
def test_an_encoding_of_python_can_be_named(tmp_path: Path, encoding: str) -> None:
    raw = ("c," + HEADER + "Käse," + LINE).encode(encoding)
    done = read(tmp_path, raw, reader={"encoding": encoding}, columns={"category": "c"})
    assert done.column("category") == ["Käse"]


def test_a_file_of_utf_8_is_never_read_as_letters_of_windows(tmp_path: Path) -> None:
    header = "customer_id,event_time,amount,category\n"
    rows = [f"{i},2026-01-05,1,{word}\n" for i, word in enumerate(["Käse", "Öl", "Süßes"] * 4)]
    (tmp_path / "sales-1.csv").write_bytes((header + "".join(rows)).encode("cp1252"))
    done = read(tmp_path, transactions="sales-*.csv", reader={"encoding": "cp1252"})
    assert len(done.rows) == 11  # the customer 0 is nobody
    (tmp_path / "sales-2.csv").write_bytes((header + "".join(rows)).encode())
    with pytest.raises(
        Misuse, match=r"sales-2\.csv is UTF-8, and \[data.reader\] encoding is 'cp1"
    ):
        read(tmp_path, transactions="sales-*.csv", reader={"encoding": "cp1252"})
    by_chance = (header + "1,2026-01-05,1,„Spaß“\n" * 20).encode("cp1252").replace(b"\x84", b"")
    assert read(tmp_path, by_chance, reader={"encoding": "cp1252"}).counts.read == 20


def test_another_encoding_is_named_by_its_line(tmp_path: Path) -> None:
    raw = ("c," + HEADER + "Kase," + LINE + "Käse," + LINE).encode("cp1252")
    refused(tmp_path, raw, r'line 3: it is not UTF-8. Set encoding .*"cp1252"')


@pytest.mark.parametrize(
    ("encoding", "bad"),
    [("utf-8", b"\xe4"), ("utf-16-le", b"\0\xd8A\0"), ("utf-16-be", b"\xd8\0\0A")],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_line_that_cannot_be_decoded_is_named_in_any_encoding(
    tmp_path: Path, encoding: str, bad: bytes, end: str
) -> None:
    # More than the block that is decoded at a time.
    good = ("\ufeff" + HEADER + LINE * 9_000).replace("\n", end).encode(encoding)
    refused(tmp_path, good + bad + LINE.encode(encoding), "line 9,002: it is not UTF")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_the_one_of_the_header(tmp_path: Path, delimiter: str) -> None:
    done = read(tmp_path, (HEADER + LINE).replace(",", delimiter))
    assert done.column("customer_id") == ["1"]


def test_a_header_that_can_be_split_in_two_ways_needs_the_delimiter(tmp_path: Path) -> None:
    text = "customer_id;event_time;amount,b,c\n1;2026-01-05;1,2,3\n"
    refused(tmp_path, text, "could be split at ',' or at ';'. Set delimiter")
    done = read(tmp_path, text, reader={"delimiter": ";"}, columns={"amount_eur": "1"})
    assert done.column("customer_id") == ["1"]


@pytest.mark.parametrize(
    ("written", "eur"),
    [
        ("12,50", "12.50"),
        ("8", "8.00"),
        ("1.234", "1234.00"),
        ("1.234,56", "1234.56"),
        ("-1.234.567,8", "-1234567.80"),
        ("1 234,56", "1234.56"),
        ("1\u00a0234,56", "1234.56"),
        ("1\N{THIN SPACE}234,56", "1234.56"),
        ("1\N{RIGHT SINGLE QUOTATION MARK}234,56", "1234.56"),
        ("\N{MINUS SIGN}1.234,56", "-1234.56"),
        ("\N{EN DASH}5", None),
        ("1.23", None),
        ("1,234.56", None),
        ("1,2,3", None),
        ("1.2345,6", None),
    ],
)
@pytest.mark.parametrize("expression", ["amount", "amount * 1"])
def test_a_decimal_comma_is_read_or_the_row_set_aside_and_never_another_number(
    tmp_path: Path, written: str, eur: str | None, expression: str
) -> None:
    text = GERMAN + f"9;2026-01-05;0,99\n8;2026-01-06;{written}\n7;2026-01-05;3\n"
    done = read(tmp_path, text, reader={"decimal": ","}, columns={"amount_eur": expression})
    found = {row["customer_id"]: str(row["amount_eur"]) for row in done.rows}
    assert found.get("8") == eur
    assert done.aside == ({} if eur else {"unreadable_amount": 1})


WORDS = ["NULL", "null", "NA", "n.a.", "None", "nan", "\\N", "-", "0", "Guest", "", "  ", "#N/A"]


def test_words_for_nobody_are_no_customer(tmp_path: Path) -> None:
    rows = "".join(f"{word},2026-01-05,1.{i:02}\n" for i, word in enumerate([*WORDS, "17"]))
    done = read(tmp_path, HEADER + rows)
    assert done.column("customer_id") == ["17"]
    assert done.aside == {"no_customer_id": len(WORDS)}


def test_the_words_for_nobody_can_be_set(tmp_path: Path) -> None:
    text = HEADER + "0,2026-01-05,1\nLaufkunde,2026-01-05,1\n"
    done = read(tmp_path, text, reader={"null_words": ["laufkunde"]})
    assert done.column("customer_id") == ["0"]
    files = input_files(tmp_path)
    assert files.counts("lines.csv", "customer_id", files.config.reader) == {"Laufkunde": 1}


@pytest.mark.parametrize(
    ("reader", "said"),
    [
        ({"encoding": "klingon"}, "no encoding of text"),
        ({"encoding": "base64"}, "no encoding of text"),
        ({"delimiter": "::"}, "at most 1 character"),
        ({"decimal": ";"}, r"'\.' or ','"),
        ({"delimiter": '"'}, "two characters"),
        ({"skip_lines": -1}, "greater than or equal to 0"),
    ],
)
def test_a_setting_of_the_reader_that_cannot_be_is_refused(
    tmp_path: Path, reader: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        input_files(tmp_path, reader=reader)


# Several files.


def parts(folder: Path, *customers: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(customers):
        frame = pd.DataFrame({"customer_id": [name], "event_time": ["2026-01-05"], "amount": [1.0]})
        frame.to_parquet(folder / f"part-{i}.parquet")


def test_a_folder_of_parquet_parts_is_one_table(tmp_path: Path) -> None:
    parts(tmp_path / "sales/2025", "a", "b")
    parts(tmp_path / "sales/2026", "c")
    (tmp_path / "sales/_SUCCESS").write_text("")
    assert read(tmp_path, transactions="sales").column("customer_id") == ["a", "b", "c"]


def test_the_folders_of_partitions_are_columns_of_text(tmp_path: Path) -> None:
    parts(tmp_path / "sales/shop=01", "a")
    parts(tmp_path / "sales/shop=02", "b")
    done = read(tmp_path, transactions="sales/", columns={"category": "shop"})
    assert done.column("category") == ["01", "02"]


@pytest.mark.parametrize("named", ["sales-*.csv", ["sales-1.csv", "sales-2.csv"], "**/sales-?.csv"])
def test_a_pattern_and_a_list_are_one_table(tmp_path: Path, named: str | list[str]) -> None:
    for i in (1, 2):
        (tmp_path / f"sales-{i}.csv").write_text(HEADER + f"{i},2026-01-05,1\n")
    done = read(tmp_path, transactions=named)
    assert done.column("customer_id") == ["1", "2"]
    pin = read_json(tmp_path / "source.json")["transactions"]
    assert sorted(pin["files"]) == ["sales-1.csv", "sales-2.csv"]


def test_the_pin_changes_with_each_file_of_a_pattern(tmp_path: Path) -> None:
    parts(tmp_path / "sales", "a", "b")
    files = input_files(tmp_path, transactions="sales")
    first = files.describe(None)
    parts(tmp_path / "sales", "a", "c")
    second = files.describe(None)
    parts(tmp_path / "sales", "a", "c", "d")
    third = files.describe(None)
    assert first != second != third
    for path in (tmp_path / "sales").iterdir():
        path.unlink()
    assert files.describe(third) == third
    with pytest.raises(Misuse, match="No file sales for transactions"):
        files.describe(first | {"transactions": {}})


@pytest.mark.parametrize(
    "other", ["Customer_ID,EVENT_TIME,Amount", "amount,customer_id,event_time"]
)
def test_the_case_and_the_order_of_columns_may_change_from_file_to_file(
    tmp_path: Path, other: str
) -> None:
    values = {"customer_id": "2", "event_time": "2026-01-06", "amount": "7"}
    line = ",".join(values[name.lower()] for name in other.split(","))
    (tmp_path / "sales-1.csv").write_text(HEADER + LINE)
    (tmp_path / "sales-2.csv").write_text(f"{other}\n{line}\n")
    done = read(tmp_path, transactions="sales-*.csv")
    assert [str(amount) for amount in done.column("amount_eur")] == ["1.50", "7.00"]


def test_files_of_one_table_have_the_same_columns(tmp_path: Path) -> None:
    (tmp_path / "sales-1.csv").write_text(HEADER + LINE)
    (tmp_path / "sales-2.csv").write_text(HEADER.replace("amount", "price") + LINE)
    with pytest.raises(Misuse, match=r"sales-2\.csv has other columns .*: amount, price"):
        read(tmp_path, transactions="sales-*.csv")


LOGGED = {
    "Delta": ("part-0.parquet", "_delta_log/00000000000000000000.json"),
    "Delta in days": (
        "day=2026-01-05/hour=3/part-0.parquet",
        "_delta_log/00000000000000000000.json",
    ),
    "Hudi": ("a.parquet", ".hoodie/hoodie.properties"),
    "Iceberg": ("data/a.parquet", "metadata/v1.metadata.json"),
}


@pytest.mark.parametrize("kind", LOGGED)
@pytest.mark.parametrize("named", ["sales", "sales/", "sales/**/*.parquet", ["sales/**/*.parquet"]])
def test_files_of_a_table_with_a_log_are_refused(tmp_path: Path, kind: str, named: Any) -> None:
    """Rows that were deleted or replaced, as after an erasure, are in its files still."""
    part, log = (tmp_path / "sales" / name for name in LOGGED[kind])
    for path in (part, log):
        path.parent.mkdir(parents=True)
    pd.DataFrame({"customer_id": ["1"], "event_time": ["2026-01-05"], "amount": [1.0]}).to_parquet(
        part
    )
    log.write_text("{}")
    with pytest.raises(Misuse, match=f"holds files of a {kind[:4]}.* table: .*current version"):
        read(tmp_path, transactions=named)


def test_a_folder_of_parts_may_lie_beside_a_table_with_a_log(tmp_path: Path) -> None:
    (tmp_path / "_delta_log").mkdir()
    (tmp_path / "sales").mkdir()
    pd.DataFrame({"customer_id": ["1"], "event_time": ["2026-01-05"], "amount": [1.0]}).to_parquet(
        tmp_path / "sales" / "a.parquet"
    )
    assert len(read(tmp_path, transactions="sales").rows) == 1


@pytest.mark.parametrize("names", [("a", "b", "c"), ("b", "a", "c"), ("c", "b", "a")])
def test_a_part_without_any_value_in_a_column_takes_the_type_of_the_others(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    refunds: list[list[Any]] = [[None, None], [0.5, None], [None, None]]
    for place, (name, values) in enumerate(zip(names, refunds, strict=True)):
        frame = pd.DataFrame({"customer_id": [f"{place}1", f"{place}2"], "refund": values})
        frame["refund"] = frame["refund"].astype(object)
        frame.assign(event_time="2026-01-05", amount=2.0).to_parquet(tmp_path / f"{name}.parquet")
    expression = {"amount_eur": "amount - coalesce(refund, 0)"}
    done = read(tmp_path, transactions="*.parquet", columns=expression)
    assert sorted(float(amount) for amount in done.column("amount_eur")) == [1.5, *[2.0] * 5]


def test_parts_of_other_types_are_still_refused(tmp_path: Path) -> None:
    for name, refund in (("a", None), ("b", 0.5), ("c", "0.5")):
        frame = pd.DataFrame({"customer_id": ["1"], "refund": pd.Series([refund], dtype=object)})
        frame.assign(event_time="2026-01-05", amount=2.0).to_parquet(tmp_path / f"{name}.parquet")
    with pytest.raises(Misuse, match=r"c\.parquet has other columns or types .*: refund\."):
        read(tmp_path, transactions="*.parquet")


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    parts(tmp_path / "sales", "a")
    (tmp_path / "sales/more.csv").write_text(HEADER + LINE)
    with pytest.raises(Misuse, match=r"The folder sales also holds more\.csv"):
        read(tmp_path, transactions="sales")


@pytest.mark.parametrize("named", ["none.csv", "none-*.csv", ["none.csv"], "s3://bucket/*.csv"])
def test_files_that_are_not_there_are_named(tmp_path: Path, named: Any) -> None:
    with pytest.raises(Misuse, match=r"none|pattern or a folder in a bucket"):
        read(tmp_path, transactions=named)


# Rows: filter, duplicates, one bad value.

STATUS = "status,amount,customer_id,event_time\n"


def status(*rows: str) -> str:
    return STATUS + "".join(f"{row},7,2026-01-05\n" for row in rows)


@pytest.mark.parametrize(
    ("where", "kept", "aside"),
    [
        ("status = 'paid'", ["1.00"], {"filtered": 4}),
        ("status <> 'test'", ["1.00", "2.00"], {"filtered": 3}),
        (
            "status IS NULL OR amount > 1.5",
            ["2.00", "3.00", "4.00"],
            {"duplicate": 1, "filtered": 1},
        ),
        ("amount::DOUBLE < 4", ["1.00", "2.00", "3.00"], {"filtered": 2}),
        ("true", ["1.00", "2.00", "3.00", "4.00"], {"duplicate": 1}),
    ],
)
def test_rows_that_the_filter_leaves_out_are_counted(
    tmp_path: Path, where: str, kept: list[str], aside: dict[str, int]
) -> None:
    text = status("paid,1", "open,2", ",3", "test,4", "test,4")
    done = read(tmp_path, text, where=where)
    assert ([str(value) for value in done.column("amount_eur")], done.aside) == (kept, aside)
    assert done.counts.read == 5


def test_a_filter_that_fails_for_a_row_is_a_reason_of_its_own(tmp_path: Path) -> None:
    done = read(tmp_path, status("1,1", "x,2"), where="CAST(status AS INTEGER) = 1")
    assert done.aside == {"unreadable_filter": 1}


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("nope = 1", r"\[data\] where = 'nope = 1': .*not found"),
        ("status", "is no condition but VARCHAR"),
        ("status =", r"\[data\] where"),
    ],
)
def test_a_filter_that_is_no_condition_is_refused(tmp_path: Path, where: str, said: str) -> None:
    refused(tmp_path, status("paid,1"), said, where=where)


def test_a_filtered_row_needs_no_rate(tmp_path: Path) -> None:
    text = status("SEK,10", "USD,10")
    done = read(tmp_path, text, where="status <> 'USD'", columns={"currency": "status"})
    assert [str(value) for value in done.column("amount_eur")] == ["1.00"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("4711.1", "4711.10"),
        ("12345678901234567890", "12345678901234567891"),
        ("1E5", "100000"),
        ("007", "7"),
        ("true", "TRUE"),
        ("a", "a "),
    ],
)
def test_rows_are_duplicates_only_letter_by_letter(tmp_path: Path, one: str, other: str) -> None:
    text = "line," + HEADER + f"{one},{LINE}{other},{LINE}{one},{LINE}"
    assert read(tmp_path, text).aside == {"duplicate": 1}
    assert read(tmp_path, text, duplicates="keep").aside == {}


@pytest.mark.parametrize(
    "name", ["copies_", "copies", "fate", "COPIES", "mapped_amount_eur", "kept_0", "unusable"]
)
def test_a_column_of_any_name_multiplies_no_row(tmp_path: Path, name: str) -> None:
    text = f"{name},{HEADER}9,{LINE}9,{LINE}3,{LINE}"
    done = read(tmp_path, text, where="amount > 0", columns={"amount_eur": "amount * 2"})
    assert (done.counts.read, done.aside) == (3, {"duplicate": 1})
    assert [str(value) for value in done.column("amount_eur")] == ["3.00", "3.00"]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"customer_id": "CAST(c AS BIGINT)"}, "unreadable_customer_id"),
        ({"category": "CAST(c AS BIGINT)"}, "unreadable_category"),
        ({"category": "strftime(CAST(c AS DATE), '%Y')"}, "unreadable_category"),
        ({"order_id": "CAST(c AS BIGINT)"}, "unreadable_order_id"),
        ({"amount_eur": "c * 2"}, "unreadable_amount"),
        ({"amount_eur": "CAST(c AS DOUBLE)"}, "unreadable_amount"),
    ],
)
def test_one_bad_value_sets_its_row_aside(
    tmp_path: Path, columns: dict[str, str], reason: str
) -> None:
    values = ("2026-01-01", "2026-01-02", "x") if "DATE" in str(columns) else ("1", "2", "x")
    rows = "".join(f"{c},{i},2026-01-05,1\n" for i, c in enumerate(values, 1))
    done = read(tmp_path, "c," + HEADER + rows, columns=columns)
    assert (done.counts.kept, done.aside) == (2, {reason: 1})


# Expressions over text.

SHOP = "Quantity,UnitPrice,Code,customer_id,event_time,amount,Kunden-Nr\n"


def shop(**columns: str) -> dict[str, Any]:
    return {"columns": columns}


@pytest.mark.parametrize(
    ("expression", "eur"),
    [
        ("Quantity * UnitPrice / 0.5", "12.00"),
        ("-amount", "-7.50"),
        ("CASE WHEN Code = '007' THEN -amount ELSE amount END", "-7.50"),
        ("CASE WHEN amount > 7 THEN 1 ELSE 2 END", "1.00"),
        ("replace(amount, '.', '')", "75.00"),
        ("Quantity * CAST(replace(UnitPrice, ',', '.') AS DOUBLE)", "6.00"),
        ("round(CAST(amount AS DECIMAL(9, 1)), 0)", "8.00"),
        ("amount::DOUBLE", "7.50"),
        ("coalesce(amount, 0)", "7.50"),
    ],
)
def test_an_expression_sees_numbers_or_text_as_it_needs(
    tmp_path: Path, expression: str, eur: str
) -> None:
    row = "2,3,007,1,2026-01-05,7.5,5\n"
    done = read(tmp_path, SHOP + row, **shop(amount_eur=expression, category="left(Code, 2)"))
    assert str(done.column("amount_eur")[0]) == eur
    assert done.column("category") == ["00"]


@pytest.mark.parametrize("empty", ["", "NULL", "  "])
@pytest.mark.parametrize(
    "changes",
    [
        {"columns": {"amount_eur": "amount - coalesce(refund, 0)"}},
        {"columns": {"amount_eur": "CASE WHEN refund > 0 THEN amount - refund ELSE amount END"}},
        {"where": "coalesce(refund, 0) = 0"},
        {"where": "refund IS NULL OR coalesce(refund, 'none') <> 'all'"},
        {"columns": {"category": "coalesce(refund, 'none')"}},
    ],
)
def test_a_column_without_any_value_is_a_number_or_a_text_as_it_is_needed(
    tmp_path: Path, empty: str, changes: dict[str, Any]
) -> None:
    text = (
        f"customer_id,event_time,amount,refund\n1,2026-01-05,1.5,{empty}\n2,2026-01-05,2,{empty}\n"
    )
    done = read(tmp_path, text, **changes)
    assert [str(amount) for amount in done.column("amount_eur")] == ["1.50", "2.00"]


@pytest.mark.parametrize(
    ("key", "expression", "said"),
    [
        ("customer_id", "Kunden-Nr", r"double quotes: customer_id = '\"Kunden-Nr\"'"),
        ("customer_id", "CustomerId", r"Candidate bindings: \"customer_id\""),
        ("amount_eur", "amount *", r"\[data.columns\] amount_eur = 'amount \*'"),
        ("amount_eur", "sum(amount)", r"\[data.columns\] amount_eur"),
        ("category", "Codes", r"\[data.columns\] category = 'Codes'.*The file has the columns"),
    ],
)
def test_a_wrong_expression_is_named_with_its_key(
    tmp_path: Path, key: str, expression: str, said: str
) -> None:
    row = "2,3,007,1,2026-01-05,7.5,5\n"
    refused(tmp_path, SHOP + row, said, **shop(**{key: expression}))


@pytest.mark.parametrize("key", ["customer_id", "event_time", "amount_eur"])
@pytest.mark.parametrize("empty", ["", "  "])
def test_a_column_that_is_needed_is_not_empty(tmp_path: Path, key: str, empty: str) -> None:
    with pytest.raises(ValueError, match="this column is needed: give an SQL expression"):
        input_files(tmp_path, columns={key: empty})


# The lawful basis and the built-in shop.


def test_consent_as_a_basis_needs_a_column_of_consent(tmp_path: Path) -> None:
    refused(tmp_path, HEADER + LINE, "nothing says who consented", lawful_basis="consent")


@pytest.mark.parametrize("people", ["people.csv", ["a.csv", "b.csv"]])
def test_customers_of_a_file_with_the_synthetic_shop_are_refused(
    tmp_path: Path, people: Any
) -> None:
    files = input_files(tmp_path, transactions="synthetic", customers=people)
    with pytest.raises(Misuse, match="the built-in shop has its own customers"):
        files.describe(None)


def test_null_words_and_decimals_of_customers_are_read_alike(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(
        "id;consent;born\n1;true;1980\nNULL;true;1990\n2;no;1970\n"
    )
    mapping = {"customer_id": "id", "consent": "consent", "birth_year": "born + 0"}
    done = read(
        tmp_path,
        GERMAN + "1;2026-01-05;1\n2;2026-01-05;1\nNULL;2026-01-05;1\n",
        customers="people.csv",
        customer_columns=mapping,
    )
    assert done.column("customer_id") == ["1"]
    assert done.aside == {"no_customer_id": 1, "no_consent": 1}


@pytest.mark.parametrize(
    ("answers", "consented"),
    [
        # 2 is the no of a survey, and -1 no answer.
        (("1", "2", "0", "-1"), ["1"]),
        (("1.0", "0.0", "2.5", ""), ["1"]),
        (("true ", "false", "yes  ", "no "), ["1", "3"]),
    ],
)
def test_a_consent_is_a_yes_and_no_other_number(
    tmp_path: Path, answers: tuple[str, ...], consented: list[str]
) -> None:
    rows = "".join(f"{i},{answer}\n" for i, answer in enumerate(answers, 1))
    (tmp_path / "people.csv").write_text(f"customer_id,consent\n{rows}")
    mapping = {"customer_id": "customer_id", "consent": "consent"}
    lines = HEADER + "".join(f"{i},2026-01-05,1\n" for i in range(1, 5))
    done = read(tmp_path, lines, customers="people.csv", customer_columns=mapping)
    assert done.column("customer_id") == consented


@pytest.mark.parametrize(
    ("years", "said"),
    [
        (("1980-05-01", "1975-01-31"), r"2 of 2 values are no year, for example '9999-99-99'"),
        (("05.01.80", "unknown", ""), r"1 of 1 values are no year, for example '99.99.99'"),
        (("1980", "1975.0", "unknown"), ""),
    ],
)
def test_dates_of_birth_in_the_place_of_years_are_refused(
    tmp_path: Path, years: tuple[str, ...], said: str
) -> None:
    """The fairness test would have no ages, and nothing would say so."""
    rows = "".join(f"{i},{year}\n" for i, year in enumerate(years, 1))
    (tmp_path / "people.csv").write_text(f"customer_id,born\n{rows}")
    mapping = {"customer_id": "customer_id", "birth_year": "born"}
    changes = {"customers": "people.csv", "customer_columns": mapping}
    if said:
        refused(tmp_path, HEADER + LINE, said, **changes)
    else:
        assert read(tmp_path, HEADER + LINE, **changes).column("customer_id") == ["1"]


@pytest.mark.parametrize("space", ["  ", "\u00a0", "\t"])
def test_spaces_of_a_column_of_fixed_width_make_no_other_word(tmp_path: Path, space: str) -> None:
    header = "customer_id,event_time,amount,currency,category,order\n"
    one = "1,2026-01-05,2,SEK,books,A1\n"
    other = (
        f"2,2026-01-05,2,SEK{space},{space}books{space},A1{space}\n3,2026-01-05,2,SEK,{space},\n"
    )
    names = {"currency": "currency", "category": "category", "order_id": '"order"'}
    done = read(tmp_path, header + one + other, columns=names)
    assert done.column("category") == ["books", "books", None]
    assert done.column("order_id") == ["A1", "A1", None]
    assert [str(amount) for amount in done.column("amount_eur")] == ["0.20"] * 3


# Any file.

CLEAN = [["id", "when", "eur", "note"]] + [
    [str(i), f"2026-01-{i:02}", f"{i}.5", f"n{i}"] for i in range(1, 9)
]
MAPPING = {"customer_id": "id", "event_time": '"when"', "amount_eur": "eur", "category": "note"}
cells = st.text(st.sampled_from("ab1.,;#-'\"\n\r é\\"), max_size=6)
mutations = st.lists(
    st.one_of(
        st.tuples(st.just("cell"), st.integers(1, 8), st.integers(0, 3), cells),
        st.tuples(st.just("copy"), st.integers(1, 8), st.just(0), st.just("")),
        st.tuples(st.just("cut"), st.integers(0, 8), st.integers(1, 3), st.just("")),
        st.tuples(st.just("more"), st.integers(1, 8), st.just(0), cells),
        st.tuples(st.just("blank"), st.integers(1, 8), st.just(0), st.just("")),
    ),
    max_size=5,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any")


@given(mutations, st.sampled_from(["\n", "\r\n"]), st.sampled_from(["set_aside", "keep"]))
@examples(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_record_of_any_file_is_kept_or_set_aside_or_the_file_refused(
    place: Path, changes: list[tuple[str, int, int, str]], end: str, duplicates: str
) -> None:
    rows = [list(row) for row in CLEAN]
    blank = 0
    for what, row, column, text in changes:
        if what == "cell" and len(rows[row]) > column:
            rows[row][column] = text
        elif what == "copy":
            rows.append(list(rows[row]))
        elif what == "cut":
            rows[row] = rows[row][:column]
        elif what == "more":
            rows[row].append(text)
        elif what == "blank":
            rows.append([])
            blank += 1
    buffer = io.StringIO()
    # Python's writer leaves a lone carriage return unquoted where lines end in a line feed.
    quoting = csv.QUOTE_ALL if end == "\n" else csv.QUOTE_MINIMAL
    csv.writer(buffer, lineterminator=end, quoting=quoting).writerows(rows)
    ragged = {len(row) for row in rows if len(row) > 1 or "".join(row).strip()} != {4}
    try:
        done: Mapped = read(
            place,
            buffer.getvalue(),
            columns=MAPPING,
            duplicates=duplicates,
            reader={"delimiter": ","},
        )
    except (Misuse, Refused) as error:
        assert ragged or "double quotes" in str(error) or "times cannot be read" in str(error)
        assert "\n" not in str(error)
        return
    assert not ragged
    assert done.counts.read == len(rows) - 1 - blank
    assert done.counts.kept == len(done.rows)
    assert (duplicates == "set_aside") or not done.aside.get("duplicate")
