"""Thrift's compact protocol: what was read is written again in the same bytes."""

import pytest

from sovereign_ml.storage.thrift import Field, Struct, read_struct, write_struct

BOOL, BYTE, I16, I32, I64, DOUBLE, TEXT, LIST, MAP, STRUCT = 1, 3, 4, 5, 6, 7, 8, 9, 11, 12
EVERY_TYPE: Struct = {
    1: Field(BOOL, True),
    2: Field(2, False),
    3: Field(BYTE, b"\x07"),
    4: Field(I16, -1),
    5: Field(I32, 2**31 - 1),
    # More than 15 after the field before: the number is written in full.
    40: Field(I64, -(2**63)),
    41: Field(DOUBLE, b"8 bytes."),
    42: Field(TEXT, "naïve".encode()),
    43: Field(STRUCT, {1: Field(I64, 0), 2: Field(STRUCT, {})}),
    44: Field(LIST, (I32, [0, 63, 64, -64, -65, 8191, 8192])),
    45: Field(LIST, (TEXT, [b"", b"x" * 200])),
    46: Field(LIST, (BOOL, [True, False])),
    # 15 elements and more: the length has bytes of its own.
    47: Field(LIST, (STRUCT, [{1: Field(I64, n)} for n in range(300)])),
}


def test_every_type_is_read_as_it_was_written() -> None:
    content = write_struct(EVERY_TYPE)
    assert read_struct(content) == EVERY_TYPE
    assert read_struct(content + b"what follows") == EVERY_TYPE


def test_numbers_have_the_bytes_of_the_specification() -> None:
    # A head with step 1 and type 6, then "zigzag": 0, -1, 1, -2 are 0, 1, 2, 3.
    for value, written in ((0, 0), (-1, 1), (1, 2), (-2, 3), (63, 126), (-64, 127)):
        assert write_struct({1: Field(I64, value)}) == bytes([0x16, written, 0])
    assert write_struct({1: Field(I64, 150)}) == bytes([0x16, 0xAC, 0x02, 0])


def test_a_cut_struct_is_no_struct() -> None:
    content = write_struct(EVERY_TYPE)
    for end in range(len(content)):
        with pytest.raises(IndexError):
            read_struct(content[:end])


def test_a_type_that_no_footer_has_is_refused() -> None:
    with pytest.raises(ValueError, match="Type 11"):
        read_struct(bytes([0x10 | MAP, 0, 0]))
