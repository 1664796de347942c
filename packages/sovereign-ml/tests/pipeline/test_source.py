"""data/source.json pins the input by content, so that DVC knows when it changed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from small_project import load
from sovereign_ml.errors import Misuse
from sovereign_ml.pipeline import source
from sovereign_ml.storage.artifacts import read_json

New = Callable[..., Path]
FILES = {"data.transactions": "lines.csv", "data.customers": "", "data.lawful_basis": "contract"}


def test_the_synthetic_shop_is_pinned_by_its_size_and_seed(new_project: New) -> None:
    root = new_project({"data.synthetic.seed": 3})
    assert read_json(source.refresh(load(root))) == {
        "kind": "synthetic",
        "customers": 1500,
        "days": 420,
        "seed": 3,
    }


def test_an_unchanged_input_leaves_the_file_untouched(new_project: New) -> None:
    root = new_project(FILES)
    (root / "lines.csv").write_text("a\n1\n")
    path = source.refresh(load(root))
    before = path.stat().st_mtime_ns
    source.refresh(load(root))
    assert path.stat().st_mtime_ns == before


def test_one_changed_byte_of_the_input_changes_the_pin(new_project: New) -> None:
    root = new_project(FILES)
    (root / "lines.csv").write_text("a\n1\n")
    before = read_json(source.refresh(load(root)))
    (root / "lines.csv").write_text("a\n2\n")
    after = read_json(source.refresh(load(root)))
    assert before["transactions"]["path"] == after["transactions"]["path"] == "lines.csv"
    assert before["transactions"]["sha256"] != after["transactions"]["sha256"]


def test_a_clone_without_the_raw_file_keeps_the_pin(new_project: New) -> None:
    root = new_project(FILES)
    (root / "lines.csv").write_text("a\n1\n")
    before = read_json(source.refresh(load(root)))
    (root / "lines.csv").unlink()
    assert read_json(source.refresh(load(root))) == before


def test_a_file_that_is_not_there_says_how_to_name_one(new_project: New) -> None:
    with pytest.raises(Misuse, match=r"No file lines\.csv for transactions: set \[data\].*DATA="):
        source.refresh(load(new_project(FILES)))


def test_real_transactions_with_synthetic_customers_are_refused(new_project: New) -> None:
    root = new_project({**FILES, "data.customers": "synthetic"})
    with pytest.raises(Misuse, match=r"customers is 'synthetic' but transactions is a file"):
        source.refresh(load(root))


@pytest.mark.parametrize("folder", ["project", "my [old] project", "a*b"])
def test_a_pattern_is_that_of_the_entry_and_not_of_the_folder(tmp_path: Path, folder: str) -> None:
    root = tmp_path / folder
    (root / "in").mkdir(parents=True)
    for name in ("in/sales-1.csv", "in/sales-2.csv", "in/._sales-1.csv", "../other-1.csv"):
        (root / name).write_text("a\n1\n")
    files = source.InputFiles(None, root, None)  # type: ignore[arg-type]
    assert files.expand("in/*sales-*.csv") == ["in/sales-1.csv", "in/sales-2.csv"]
    assert files.expand("in/._*.csv") == ["in/._sales-1.csv"]
    assert files.expand("../other-*.csv") == ["../other-1.csv"]
    assert files.expand("in/none-*.csv") == ["in/none-*.csv"]
