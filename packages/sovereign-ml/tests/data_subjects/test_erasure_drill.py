"""The drill: train, score, decide, erase three people, look everywhere."""

import hashlib
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from searching import places
from sovereign_ml.bundle.sealed import read_bundle
from sovereign_ml.data_subjects import receipts
from sovereign_ml.decision_log import open_log, verify
from world import World, pseudonym

pytestmark = pytest.mark.flow
BOOKKEEPING = (
    ".git",
    ".dvc/tmp",
    ".dvc/cache",
    "dvc.lock",
    "data/source.json",
    "governance",
    ".churn/rights",
)
STORES = {"files of the project", "decision log", "data versions"}


def hits(world: World, people: list[str]) -> list[str]:
    return places(world.folder, people, but=[world.folder / "input", world.folder / "home"])


def hashes(world: World) -> dict[str, str]:
    files = (path for path in world.root.rglob("*") if path.is_file())
    names = {str(path.relative_to(world.root)): path for path in files}
    kept = {name: path for name, path in names.items() if not name.startswith(BOOKKEEPING)}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in kept.items()}


def last_receipt(world: World) -> receipts.Receipt:
    path = sorted((world.root / "governance/receipts").glob("*.json"))[-1]
    receipt = receipts.Receipt.model_validate_json(path.read_text(encoding="utf-8"))
    assert receipt == receipt.sealed(), "the hash fits the content"
    return receipt


def test_three_people_are_gone_from_every_store_and_everything_else_is_the_same(
    world: World, made: World
) -> None:
    people = [pseudonym(one) for one in world.chosen]
    words = [word for one in world.chosen for word in one.words]
    assert len(hits(world, people)) > 20
    before = hashes(world)
    done = world.erase(world.chosen, "--reference", "DSR-7")
    assert done.returncode == 0, done.stderr
    assert hits(world, [*people, *words]) == []
    receipt = last_receipt(world)
    assert receipt.status == "complete" and receipt.reference == "DSR-7" and not receipt.remains
    assert {trace.store for trace in receipt.removed} == STORES
    changed = {name for name, value in hashes(world).items() if before.get(name) != value}
    named = {trace.place for trace in receipt.removed}
    assert changed - {name for name in changed if name.startswith(".churn/decisions.db")} <= named
    assert set(before) - set(hashes(world)) <= {
        ".churn/decisions.db-wal",
        ".churn/decisions.db-shm",
    }
    for name in sorted(changed):
        if name.endswith(".parquet"):
            assert_only_they_left(made.root / name, world.root / name, people)
    assert online_rows(made, people) == online_rows(world, [])


def assert_only_they_left(old: Path, new: Path, people: list[str]) -> None:
    before, after = pd.read_parquet(old), pd.read_parquet(new)
    expected = before[~before["customer_id"].isin(people)].reset_index(drop=True)
    pd.testing.assert_frame_equal(expected, after)


def online_rows(world: World, without: list[str]) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(world.root / "data/3_features/online.db")) as connection:
        table = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchone()[0]
        rows = connection.execute(f'SELECT * FROM "{table}" ORDER BY 1, 2').fetchall()
    return [row for row in rows if not any(one.encode() in row[0] for one in without)]


def test_the_receipt_names_every_place_where_they_were(world: World) -> None:
    people = [pseudonym(one) for one in world.chosen]
    where = hits(world, people)
    world.erase(world.chosen)
    text = last_receipt(world).model_dump_json()
    files = [place.removeprefix("acme-churn/") for place in where if "decisions.db" not in place]
    versions = [place.split("/files/md5/")[1] for place in files if "/files/md5/" in place]
    assert all(f"files/md5/{one}" in text for one in versions)
    assert all(one in text for one in files if "/files/md5/" not in one)
    assert "decisions, reviews, objections and the like" in text
    assert not any(word in text for one in world.chosen for word in (*one.words, pseudonym(one)))


def test_the_decision_log_still_holds_and_explains_everyone_else(world: World) -> None:
    with closing(open_log(str(world.root / ".churn/decisions.db"))) as log:
        entries = len(list(log.entries()))
    world.erase(world.chosen)
    with closing(open_log(str(world.root / ".churn/decisions.db"))) as log:
        verdict = verify(log)
        assert verdict.holds and verdict.blanked == 3 and verdict.entries == entries + 3
        assert not any(log.of_subject(pseudonym(one)) for one in world.chosen)


def test_the_flow_runs_on_with_the_data_unchanged_and_the_model_trained_anew(world: World) -> None:
    people = [pseudonym(one) for one in world.chosen]
    world.erase(world.chosen)
    done = world.churn("run")
    assert done.returncode == 0, done.stderr
    ran = [
        line.split()[1]
        for line in done.stdout.splitlines()
        if line[:1].isdigit() and " s  " in line
    ]
    assert ran[:2] == ["train", "evaluate"]
    assert read_bundle(world.root / "data/7_bundle").manifest.version == "2"
    assert world.churn("push").returncode == 0
    assert hits(world, people) == []


def test_one_forgotten_copy_makes_the_drill_fail(world: World) -> None:
    (world.root / "notebooks").mkdir(exist_ok=True)
    shutil.copy(
        world.root / "data/1_raw/transactions.parquet", world.root / "notebooks/mine.parquet"
    )
    people = [pseudonym(one) for one in world.chosen]
    done = world.erase(world.chosen)
    assert done.returncode == 1 and "notebooks/mine.parquet" in done.stderr
    assert hits(world, people) == [
        "acme-churn/.churn/rights/erasure.json",
        "acme-churn/notebooks/mine.parquet",
    ]
    assert last_receipt(world).status == "incomplete"
    (world.root / "notebooks/mine.parquet").unlink()
    assert world.churn("data-subject", "erase").returncode == 0
    assert hits(world, people) == [] and last_receipt(world).status == "complete"


@pytest.mark.parametrize("what", ["data", "everything"])
def test_a_restored_backup_brings_nobody_back(world: World, made: World, what: str) -> None:
    """``everything``: the old project folder over the new one, without the tombstones that git had."""
    people = [pseudonym(one) for one in world.chosen]
    world.erase(world.chosen)
    if what == "everything":
        shutil.rmtree(world.root)
        shutil.copytree(made.root, world.root, symlinks=True)
    else:
        shutil.rmtree(world.root / "data")
        shutil.copytree(made.root / "data", world.root / "data")
        shutil.copy(made.root / "dvc.lock", world.root / "dvc.lock")
    assert len(hits(world, people)) >= 5
    assert world.churn("data-subject", "erase", "--again").returncode == 0
    assert hits(world, people) == []
    assert "No erased person" in world.churn("data-subject", "erase", "--again").stdout


def test_a_raw_file_imported_again_brings_nobody_back(world: World) -> None:
    people = [pseudonym(one) for one in world.chosen]
    done = world.erase(world.chosen)
    assert "rows are about them" in done.stdout
    source = world.folder / "input/transactions.csv"
    lines = source.read_text().splitlines()
    source.write_text(
        "\n".join([*lines, lines[1]]) + "\n"
    )  # one more copy of a line: another file, imported anew
    assert world.churn("data").returncode == 0
    assert hits(world, people) == []
    assert not set(people) & set(
        pd.read_parquet(world.root / "data/1_raw/transactions.parquet")["customer_id"]
    )
