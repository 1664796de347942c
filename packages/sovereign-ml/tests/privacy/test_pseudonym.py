"""Pseudonyms are keyed, and the key is nobody else's to read."""

import hashlib
import hmac
import multiprocessing
import re
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sovereign_ml.pipeline.input_checks.customer_ids import id_text
from sovereign_ml.pseudonyms import INVISIBLE, parse_key, plain_id, pseudonyms, read_or_make_keys
from sovereign_ml.storage import duckdb as db

KEY, OTHER = b"k" * 32, b"o" * 32


@given(st.lists(st.text(max_size=20), max_size=20, unique=True))
def test_each_id_has_its_own_pseudonym_in_the_order_given(ids: list[str]) -> None:
    made = pseudonyms(ids, KEY)
    assert len(set(made)) == len(ids)
    assert pseudonyms(reversed(ids), KEY) == made[::-1]
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in made)


def test_it_is_the_first_half_of_hmac_sha256() -> None:
    assert pseudonyms(["A"], KEY) == [hmac.new(KEY, b"A", hashlib.sha256).hexdigest()[:32]]


def test_without_the_key_nobody_can_recompute_it() -> None:
    assert pseudonyms(["A"], KEY) != pseudonyms(["A"], OTHER)
    assert pseudonyms(["A"], KEY)[0] != hashlib.sha256(b"A").hexdigest()[:32]


@pytest.mark.parametrize("one", [("007", "7"), ("A", "a"), ("é", "e\u0301"), ("", " ")])
def test_ids_that_look_alike_stay_two_people(one: tuple[str, str]) -> None:
    assert len(set(pseudonyms(one, KEY))) == 2


def test_a_key_is_read_from_hex_with_space_around_it() -> None:
    assert parse_key(f" {KEY.hex()}\n") == KEY


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has 0 bytes"),
        ("zz" * 32, "not hexadecimal"),
        ("0f" * 31, "has 31 bytes; it needs at least 32"),
    ],
)
def test_a_bad_key_is_refused_in_one_line_that_does_not_repeat_it(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        parse_key(text)
    assert "\n" not in str(refused.value)
    assert not text or text not in str(refused.value)


def test_the_key_is_made_on_first_use_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "config" / "churn" / "acme.key"
    (key,) = read_or_make_keys(path)
    assert len(key) == 32
    assert read_or_make_keys(path) == (key,)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["acme.key"]


def test_two_projects_have_two_keys(tmp_path: Path) -> None:
    assert read_or_make_keys(tmp_path / "a.key") != read_or_make_keys(tmp_path / "b.key")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "acme.key"
    read_or_make_keys(path)
    path.chmod(mode)
    with pytest.raises(ValueError, match=r"Others can read the pseudonym key .*run `chmod 600 "):
        read_or_make_keys(path)


def test_processes_that_start_together_agree_on_one_key(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        keys = pool.map(read_or_make_keys, [tmp_path / "acme.key"] * 8, chunksize=1)
    assert len(set(keys)) == 1


@pytest.mark.parametrize(
    ("typed", "known"),
    [("101.0", "101"), (" 101 ", "101"), ("00101.00", "00101"), ("v1.0", "v1.0"), ("1.5", "1.5")],
)
def test_an_id_that_is_typed_as_it_stands_in_the_file_is_the_id_of_step_1(
    typed: str, known: str
) -> None:
    assert plain_id(typed) == known


SPELLINGS = (
    "Mu\u0308ller-1", "M\u00fcller-1", " \u200b 101.0\u200b ", "\ufeff101", "101.00\xa0", "\u202f7\0",
    "\u200b \u200bA\u200b", "-3.0", "007", "1e3", "A.0", "101.0\n", "\u2003A", "\t A\r\n", "٣.0", "\uff21", "\u212b1",
    "Zoe\u0301", "\u1e69", "s\u0323\u0307", "\uac00", "\u1100\u1161",
    "1.000", " 999.000", "1000.000", "0.000", "-1.000", "1.00", "1.0000",
    *(f"{chr(code)}A 7{chr(code)}" for code in INVISIBLE),
)  # fmt: skip


def test_a_typed_id_is_spelled_as_step_1_spells_it() -> None:
    connection = db.connect()
    values = ", ".join("(?)" for _ in SPELLINGS)
    rows = connection.execute(
        f"SELECT id, {id_text('id')} FROM (VALUES {values}) AS typed(id)", list(SPELLINGS)
    ).fetchall()
    assert {typed: plain_id(typed) for typed, _ in rows} == dict(rows)
