"""A wheel is read only when it agrees with its RECORD; two wheels show their difference."""

from __future__ import annotations

import hashlib
import warnings
import zipfile
from pathlib import Path

import pytest

from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.supply_chain import wheel as wheel_module
from sovereign_ml.supply_chain.wheel import difference, read_wheel
from wheels import FILES, record_line, write_wheel


def test_a_wheel_tells_its_version_hash_files_and_requirements(tmp_path: Path) -> None:
    path = write_wheel(tmp_path, requires=["numpy>=2.2", "dvc>=3; extra == 'train'"])
    wheel = read_wheel(path)
    assert (wheel.name, wheel.version) == ("sovereign-ml", "2026.11.0")
    assert wheel.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert wheel.requires == ("numpy>=2.2", "dvc>=3; extra == 'train'")
    for name, data in FILES.items():
        assert wheel.files[name] == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("name", ["absent.whl", "notes.txt", "numpy-2.0-py3-none-any.whl"])
def test_a_file_that_is_no_wheel_of_the_library_is_wrong_use(tmp_path: Path, name: str) -> None:
    if name != "absent.whl":
        (tmp_path / name).write_text("text")
    with pytest.raises(Misuse, match=r"is no (file|wheel)"):
        read_wheel(tmp_path / name)


@pytest.mark.parametrize("share", [0, 0.3, 0.9, 0.999])
def test_a_wheel_that_was_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    path = write_wheel(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(Refused, match="damaged or no wheel") as error:
        read_wheel(path)
    assert "\n" not in str(error.value)


def test_one_changed_byte_anywhere_is_refused_or_changes_the_hash(tmp_path: Path) -> None:
    path = write_wheel(tmp_path)
    data, released = path.read_bytes(), read_wheel(path).sha256
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        path.write_bytes(changed)
        try:
            assert read_wheel(path).sha256 != released
        except (Refused, Misuse) as error:
            assert "\n" not in str(error)


ENTRIES = ["../evil.py", "/evil.py", "sovereign_ml/../../evil.py", "..\\evil.py", "C:/evil.py"]


@pytest.mark.parametrize("name", ENTRIES)
def test_a_path_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused, match="leaves its folder"):
        read_wheel(write_wheel(tmp_path, extra=[(name, b"")]))


@pytest.mark.parametrize("name", ["sovereign_ml/rules.py", "sovereign_ml/RULES.py"])
def test_two_files_of_one_name_are_refused(tmp_path: Path, name: str) -> None:
    with warnings.catch_warnings(action="ignore"):
        path = write_wheel(tmp_path, extra=[(name, b"LIMIT = 9\n")])
    with pytest.raises(Refused, match="twice"):
        read_wheel(path)


def wrong_records() -> dict[str, str]:
    rules = record_line("sovereign_ml/rules.py", FILES["sovereign_ml/rules.py"])
    return {
        "empty": "",
        "another hash": record_line("sovereign_ml/rules.py", b"LIMIT = 9\n"),
        "no hash": "sovereign_ml/rules.py,,",
        "a weak hash": "sovereign_ml/rules.py,md5=1B2M2Y8AsgTpgAmY7PhCfg,0",
        "a file twice": f"{rules}\n{rules}",
        "a file that is not there": "sovereign_ml/absent.py,sha256=AAAA,0",
        "no table": "sovereign_ml/rules.py",
    }


@pytest.mark.parametrize("case", wrong_records())
def test_a_wrong_record_is_refused_in_one_line(tmp_path: Path, case: str) -> None:
    with pytest.raises(Refused, match="RECORD") as error:
        read_wheel(write_wheel(tmp_path, record=wrong_records()[case]))
    assert "\n" not in str(error.value)


def test_a_file_outside_the_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"sovereign_ml/more\.py does not agree with RECORD"):
        read_wheel(write_wheel(tmp_path, extra=[("sovereign_ml/more.py", b"")]))


def test_a_wheel_of_another_name_inside_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="calls itself other-library"):
        read_wheel(write_wheel(tmp_path, name="other-library"))


def test_an_archive_without_metadata_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sovereign_ml-2026.11.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("sovereign_ml/__init__.py", "")
    with pytest.raises(Refused, match="dist-info"):
        read_wheel(path)


def test_an_archive_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_wheel(tmp_path, files={"sovereign_ml/big.py": b"0" * 10_000})
    monkeypatch.setattr(wheel_module, "MAX_BYTES", 9_999)
    with pytest.raises(Refused, match="unpacks to more"):
        read_wheel(path)


def test_the_difference_names_files_and_shows_lines(tmp_path: Path) -> None:
    old = write_wheel(
        tmp_path, files={**FILES, "sovereign_ml/old.py": b"", "sovereign_ml/x": b"\xff"}
    )
    changed = {**FILES, "sovereign_ml/rules.py": b"LIMIT = 2\n", "sovereign_ml/x": b"\xfe"}
    new = write_wheel(tmp_path, "2026.12.0", {**changed, "sovereign_ml/new.py": b""})
    result = difference(old, new)
    assert result.added == ("sovereign_ml/new.py",)
    assert result.removed == ("sovereign_ml/old.py",)
    assert set(result.changed) == {"dist-info/METADATA", "sovereign_ml/rules.py", "sovereign_ml/x"}
    assert "-LIMIT = 1\n+LIMIT = 2" in result.text()
    assert "binary file sovereign_ml/x" in result.text()


def test_the_difference_of_equal_wheels_is_none(tmp_path: Path) -> None:
    assert difference(write_wheel(tmp_path / "a"), write_wheel(tmp_path / "b")).text() == (
        "The files are the same."
    )
