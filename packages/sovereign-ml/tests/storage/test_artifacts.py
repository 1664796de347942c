"""Artifact folders are whole or not there."""

import json
from pathlib import Path

import pytest

from sovereign_ml.errors import Misuse
from sovereign_ml.storage.artifacts import need, read_json, summarise, write_json, writing


def fill(output: Path, text: str) -> None:
    with writing(output) as folder:
        (folder / "a.txt").write_text(text)
        summarise(folder, rows_in=1, rows_out=1, headline=text)


def test_an_artifact_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    output = tmp_path / "deep" / "1_raw"
    with writing(output) as folder:
        (folder / "a.txt").write_text("half")
        assert not output.exists()
    assert (output / "a.txt").read_text() == "half"


def test_a_step_that_fails_keeps_the_old_artifact_and_leaves_nothing_beside_it(
    tmp_path: Path,
) -> None:
    output = tmp_path / "1_raw"
    fill(output, "old")
    with pytest.raises(RuntimeError), writing(output) as folder:
        (folder / "a.txt").write_text("new")
        raise RuntimeError
    assert (output / "a.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["1_raw"]


def test_ctrl_c_keeps_the_old_artifact_too(tmp_path: Path) -> None:
    output = tmp_path / "1_raw"
    fill(output, "old")
    with pytest.raises(KeyboardInterrupt), writing(output):
        raise KeyboardInterrupt
    assert (output / "a.txt").read_text() == "old"


def test_a_new_artifact_replaces_the_old_one_whole(tmp_path: Path) -> None:
    output = tmp_path / "1_raw"
    fill(output, "old")
    (output / "stray.txt").write_text("from before")
    fill(output, "new")
    assert sorted(path.name for path in output.iterdir()) == ["a.txt", "summary.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["1_raw"]


def test_what_a_killed_step_left_is_cleared_by_the_next(tmp_path: Path) -> None:
    for name in (".1_raw.part", ".1_raw.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text("half")
    fill(tmp_path / "1_raw", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["1_raw"]


def test_a_place_that_cannot_be_written_gets_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where a folder should be")
    with (
        pytest.raises(Misuse, match=r"^Cannot write .*1_raw: .*make .* writable\.$"),
        writing(tmp_path / "data/1_raw"),
    ):
        pass


def test_a_missing_artifact_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match=r"run `churn data` first"):
        need(tmp_path / "1_raw", "data")


def test_a_folder_without_its_summary_is_not_taken_for_an_artifact(tmp_path: Path) -> None:
    (tmp_path / "1_raw").mkdir()
    (tmp_path / "1_raw" / "transactions.parquet").write_bytes(b"half")
    with pytest.raises(Misuse):
        need(tmp_path / "1_raw", "data")


def test_json_is_written_for_people_and_never_as_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": "é"})
    assert (tmp_path / "a.json").read_text() == '{\n  "b": 1,\n  "a": "é"\n}\n'
    assert read_json(tmp_path / "a.json") == {"b": 1, "a": "é"}
    with pytest.raises(ValueError, match=r"JSON"):
        write_json(tmp_path / "a.json", float("nan"))
    assert json.loads((tmp_path / "a.json").read_text())["b"] == 1


@pytest.mark.parametrize("killed_at", ["write_text", "replace"])
def test_a_killed_process_leaves_the_json_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: str
) -> None:
    path = tmp_path / "source.json"
    write_json(path, {"kind": "old"})

    def killed(self: Path, *_: object, **__: object) -> None:
        # A process that is killed may have emptied or begun its file.
        self.write_bytes(b"{")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, killed_at, killed)
        write_json(path, {"kind": "new"})
    assert read_json(path) == {"kind": "old"}
    write_json(path, {"kind": "new"})
    assert [read_json(file) for file in tmp_path.iterdir()] == [{"kind": "new"}]
