"""Files of governance/ after a merge of two branches: nobody comes back, and no traceback."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sovereign_ml.config.connections import SuppressionFiles
from sovereign_ml.errors import Misuse
from sovereign_ml.privacy import retention_plan, suppression
from sovereign_ml.privacy.retention_plan import LastRun

KEY = b"k" * 32
EARLY, LATE = (datetime(2026, 11, day, 3, tzinfo=UTC) for day in (27, 28))
BEFORE = "Purchases before {}\n"


def merged(*sides: str) -> str:
    return "<<<<<<< HEAD\n{}=======\n{}>>>>>>> other\n".format(*sides)


@pytest.fixture
def files(tmp_path: Path) -> SuppressionFiles:
    return SuppressionFiles(tmp_path, tmp_path / "copy.txt", lambda: (KEY,))


@pytest.mark.parametrize(
    "text",
    [
        merged(BEFORE.format(LATE.isoformat()), BEFORE.format(EARLY.isoformat())),
        merged(BEFORE.format(EARLY.isoformat()), BEFORE.format(LATE.isoformat())),
        BEFORE.format("2026-11-28T05:00:00+02:00"),
        BEFORE.format("2026-11-28T03:00:00"),
        "# note\r\n" + BEFORE.format("2026-11-28T03:00:00Z"),
    ],
)
def test_of_two_cut_offs_the_later_one_is_in_force(files: SuppressionFiles, text: str) -> None:
    (files.folder / suppression.EXPIRY).write_text(text)
    assert suppression.expired_before(files) == LATE
    suppression.expire_before(files, EARLY)
    assert suppression.expired_before(files) == LATE
    suppression.expire_before(files, datetime(2026, 11, 29, tzinfo=UTC))
    assert (files.folder / suppression.EXPIRY).read_text().count("Purchases before") == 1


@pytest.mark.parametrize(
    "text", ["", "<<<<<<< HEAD\n", BEFORE.format("soon"), "Purchases before\n"]
)
def test_a_cut_off_that_cannot_be_read_is_one_line(files: SuppressionFiles, text: str) -> None:
    (files.folder / suppression.EXPIRY).write_text(text)
    with pytest.raises(Misuse, match="take the file of the last commit again"):
        suppression.fingerprint(files)


def test_two_keys_are_one_line(files: SuppressionFiles) -> None:
    suppression.note_key(files, KEY)
    path = files.folder / suppression.KEY_FILE
    note = path.read_text()
    suppression.check_key(files)
    path.write_text(merged(note, note))
    suppression.check_key(files)
    for text in ("", merged(note, note.replace(suppression.key_sign(KEY), "0" * 16))):
        path.write_text(text)
        with pytest.raises(Misuse, match="keep the line of the last rotation"):
            suppression.check_key(files)


def test_the_tombstones_of_both_branches_count(files: SuppressionFiles) -> None:
    stones = suppression.tombstones(files)
    ours, theirs = (f"{stones.mark(name)} 2026-11-28 r\n" for name in ("a" * 32, "b" * 32))
    (files.folder / "tombstones.txt").write_text("# Erased\n" + merged(ours, theirs))
    assert suppression.count(files) == 2
    people = [letter * 32 for letter in "abc"]
    assert suppression.tombstones(files).among(people) == people[:2]
    suppression.tombstones(files).add(people[2:], day="2026-11-29", receipt="r")
    assert suppression.tombstones(files).among(people) == people
    assert "<<<" not in (files.folder / "tombstones.txt").read_text()


def test_a_note_of_the_last_deletion_that_was_merged_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "retention.json"
    assert retention_plan.last_run(path) is None
    retention_plan.note(path, LATE, [])
    assert retention_plan.last_run(path) == LastRun(at=LATE, overdue={})
    path.write_text(merged(path.read_text(), path.read_text()))
    with pytest.raises(Misuse, match=r"call `churn retain --apply` again"):
        retention_plan.last_run(path)
