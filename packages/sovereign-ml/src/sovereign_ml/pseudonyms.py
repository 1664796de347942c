"""Keyed pseudonyms (GDPR Art. 4(5)): HMAC-SHA256 with a key outside the project."""

from __future__ import annotations

import hmac
import os
import re
import secrets
import stat
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

MIN_KEY_BYTES = 32
INVISIBLE = (
    *range(0x21),  # control characters, such as the form feed before the first line of a page
    *(0x7F, 0x85, 0xA0, 0xAD, 0x2007, 0x2009, 0x202F, 0x2060, 0x3000, 0xFEFF),
    *(0x200B, 0x200C, 0x200D, 0x200E, 0x200F),
    *range(0x202A, 0x202F),  # direction of writing, which comes along when an id is copied
)
"""Code points of spaces and of characters that nobody sees. They are no part of an id's ends."""
LENGTH = 32
"""Hex characters kept: 128 bits, enough against collisions of billions of customers."""


def plain_id(text: str) -> str:
    """Return a typed customer id as step 1 knows it: no space around it, 101 for 101.0."""
    # Spreadsheets export whole numbers as 101.0 and add invisible characters. Some keyboards and
    # file systems write a letter with an accent as two characters (NFD).
    bare = unicodedata.normalize("NFC", text.strip("".join(map(chr, INVISIBLE))))
    if re.fullmatch(r"[0-9]{1,3}\.000", bare):
        return bare  # a thousand with its separator rather than 1
    return re.sub(r"^(-?[0-9]+)\.0+$", r"\1", bare)


def pseudonyms(ids: Iterable[str], key: bytes) -> list[str]:
    """Return the pseudonym of each id, in order: 32 lower-case hex characters."""
    return [hmac.digest(key, i.encode(), "sha256").hex()[:LENGTH] for i in ids]


def names_of(ids: Iterable[str], keys: Sequence[bytes]) -> dict[str, str]:
    """Return the id of each pseudonym under every key, for data from before a rotation."""
    ids = list(ids)
    return {name: id_ for key in keys for name, id_ in zip(pseudonyms(ids, key), ids, strict=True)}


def parse_keys(text: str) -> tuple[bytes, ...]:
    """Return keys in hex with space between, the one in use first. Raises as `parse_key`."""
    return tuple(map(parse_key, text.split() or [""]))


def parse_key(text: str) -> bytes:
    """Return a key from hex. Raises ValueError if it is not hex or is shorter than 32 bytes."""
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        raise ValueError(
            "The pseudonym key is not hexadecimal: make one with `openssl rand -hex 32`."
        ) from None
    if len(key) < MIN_KEY_BYTES:
        raise ValueError(
            f"The pseudonym key has {len(key)} bytes; it needs at least {MIN_KEY_BYTES}."
        )
    return key


def read_or_make_keys(path: Path) -> tuple[bytes, ...]:
    """Return the keys in ``path``, the one in use first.

    The file is made on first use, readable by its owner only (mode 0600). Raises ValueError if
    others can read it: then the pseudonyms protect nobody.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        side = path.with_name(f"{path.name}.{os.getpid()}")
        descriptor = os.open(side, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(MIN_KEY_BYTES) + "\n")
        try:
            # A link never replaces a key that another process has just made.
            os.link(side, path)
        except FileExistsError:
            pass
        finally:
            side.unlink()
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ValueError(f"Others can read the pseudonym key {path}: run `chmod 600 {path}`.")
    return parse_keys(path.read_text())
