"""Whoever is named on the command line or in a file is found, and an option that names nobody is refused."""

from pathlib import Path

import pytest

from sovereign_ml.cli.privacy import _people
from sovereign_ml.errors import Misuse
from sovereign_ml.pseudonyms import pseudonyms

KEY = b"k" * 32


def people(subject: list[str] | None, file: Path | None = None) -> list[str]:
    return _people(lambda: (KEY,), subject, file, are_pseudonyms=False)


def test_a_file_of_a_spreadsheet_names_everybody_in_it(tmp_path: Path) -> None:
    file = tmp_path / "ids.csv"
    file.write_text("\ufeffC1\r\n\r\n \u200bC2\r\n", encoding="utf-8")
    assert people(None, file) == pseudonyms(["C1", "C2"], KEY)
    assert people(["C3"], file) == pseudonyms(["C3", "C1", "C2"], KEY)
    assert people(None) == [], "a call without a name finishes an erasure"


@pytest.mark.parametrize("subject", ["", "  ", "\u200b"])
def test_a_variable_without_a_value_names_nobody(subject: str) -> None:
    with pytest.raises(Misuse, match="--subject is empty"):
        people([subject])


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf\n"])
def test_a_file_without_an_id_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ids.txt").write_bytes(content)
    with pytest.raises(Misuse, match=r"ids\.txt names nobody"):
        people(None, tmp_path / "ids.txt")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_file_in_another_encoding_is_refused_without_its_content(
    tmp_path: Path, encoding: str
) -> None:
    (tmp_path / "ids.txt").write_text("Müller-7\n", encoding=encoding)
    with pytest.raises(Misuse, match="it is not UTF-8") as refused:
        people(None, tmp_path / "ids.txt")
    assert "ller" not in str(refused.value) and refused.value.__suppress_context__
