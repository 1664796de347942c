"""Thrift's compact protocol, in which Parquet files describe themselves: read and write it.

The types are those that a Parquet footer has:
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Field", "Struct", "read_struct", "write_struct"]

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, _, _, STRUCT = range(1, 13)
STOP = 0
LONG_LIST = 15
"""A list of so many elements or more has its length in bytes of its own."""


class Field(NamedTuple):
    """A field of a struct: its type, and its value.

    A value is an int, bytes (text and floats are not decoded), a bool, a struct, or the pair of
    the type and the values of a list.
    """

    kind: int
    value: Any


Struct = dict[int, Field]
"""Fields by number, in the order of the file."""


def read_struct(content: bytes) -> Struct:
    """Return the struct with which ``content`` begins.

    Raises ValueError for a type that no Parquet footer has, and IndexError where the end is
    missing.
    """
    return _Reader(content).struct()


def write_struct(struct: Struct) -> bytes:
    """Return the bytes of ``struct``, which :func:`read_struct` reads."""
    content = bytearray()
    _write_struct(content, struct)
    return bytes(content)


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def struct(self) -> Struct:
        fields: Struct = {}
        number = 0
        while (head := self._byte()) != STOP:
            kind, step = head & 15, head >> 4
            number = number + step if step else self._signed()
            fields[number] = Field(kind, self._value(kind))
        return fields

    def _value(self, kind: int) -> Any:
        if kind in (I16, I32, I64):
            return self._signed()
        if kind in (TRUE, FALSE):
            return kind == TRUE
        if kind in (BINARY, DOUBLE, BYTE):
            return self._bytes(self._unsigned() if kind == BINARY else 8 if kind == DOUBLE else 1)
        if kind == STRUCT:
            return self.struct()
        if kind == LIST:
            head = self._byte()
            size, element = head >> 4, head & 15
            size = self._unsigned() if size == LONG_LIST else size
            # In a list, unlike in a field, a bool has a byte of its own.
            if element in (TRUE, FALSE):
                return element, [self._byte() == TRUE for _ in range(size)]
            return element, [self._value(element) for _ in range(size)]
        raise ValueError(f"Type {kind} of Thrift is in no Parquet footer")

    def _byte(self) -> int:
        value = self._content[self._at]
        self._at += 1
        return value

    def _bytes(self, size: int) -> bytes:
        start, self._at = self._at, self._at + size
        if self._at > len(self._content):
            raise IndexError(f"{size} bytes from {start}, but only {len(self._content)} in all")
        return self._content[start : self._at]

    def _unsigned(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 128:
            value |= (byte & 127) << shift
            shift += 7
        return value | byte << shift

    def _signed(self) -> int:
        # "Zigzag": small negative numbers are short as well.
        value = self._unsigned()
        return value >> 1 ^ -(value & 1)


def _write_struct(content: bytearray, struct: Struct) -> None:
    before = 0
    for number, (kind, value) in struct.items():
        # A bool is in the type of its field, and may have been changed since.
        written = (TRUE if value else FALSE) if kind in (TRUE, FALSE) else kind
        if 0 < number - before <= 15:
            content.append((number - before) << 4 | written)
        else:
            content.append(written)
            _write_signed(content, number)
        if kind not in (TRUE, FALSE):
            _write_value(content, kind, value)
        before = number
    content.append(STOP)


def _write_value(content: bytearray, kind: int, value: Any) -> None:
    if kind in (I16, I32, I64):
        _write_signed(content, value)
    elif kind == STRUCT:
        _write_struct(content, value)
    elif kind == LIST:
        element, values = value
        short = min(len(values), LONG_LIST)
        content.append(short << 4 | element)
        if short == LONG_LIST:
            _write_unsigned(content, len(values))
        for entry in values:
            if element in (TRUE, FALSE):
                content.append(TRUE if entry else FALSE)
            else:
                _write_value(content, element, entry)
    else:
        if kind == BINARY:
            _write_unsigned(content, len(value))
        content += value


def _write_unsigned(content: bytearray, value: int) -> None:
    while value > 127:
        content.append(value & 127 | 128)
        value >>= 7
    content.append(value)


def _write_signed(content: bytearray, value: int) -> None:
    _write_unsigned(content, value << 1 if value >= 0 else (-value << 1) - 1)
