"""One small project on files with known names, run through DVC once; each test works on a copy of it."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from canaries import plant, shop
from small_project import PROGRAMS, commit, configure, environment, make_clone
from world import World, decide, pseudonym

SMALL = 65_536
"""Bytes; smaller files are copied."""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two committed and pushed versions of the data, a registered model, scores, and decisions in the log."""
    folder = tmp_path_factory.mktemp("rights")
    transactions, customers, people = plant(shop(900, 420), folder / "input")
    world = World(folder, people)
    make_clone(world.root)
    configure(world.root, {"features.cutoffs": 3, "train.knots": 4, "evaluate.bootstrap": 20})
    transactions.iloc[:-50].to_csv(folder / "input/transactions.csv", index=False)
    customers.to_csv(folder / "input/customers.csv", index=False)
    _must(world.churn("data"))
    dvc = [str(PROGRAMS / "dvc"), "repro", "--quiet", "validate"]
    subprocess.run(
        dvc,
        cwd=world.root,
        env=environment(world.root, **world.input),
        check=True,
        capture_output=True,
    )
    commit(world.root, "First version")
    _must(world.churn("push"))
    transactions.to_csv(folder / "input/transactions.csv", index=False)
    _must(world.churn("run"))
    commit(world.root, "Second version")
    _must(world.churn("push"))
    decide(world.root, str(world.root / ".churn/decisions.db"))
    scored = set(pd.read_parquet(world.root / "data/8_scores/scores.parquet")["customer_id"])
    return replace(world, chosen=tuple(one for one in people if pseudonym(one) in scored)[:3])


@pytest.fixture
def copy(made: World, tmp_path: Path) -> Callable[[], World]:
    """Gives a new copy at each call."""

    def fresh() -> World:
        target = tmp_path / "world"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(made.folder, target, symlinks=True, copy_function=_copied)
        _move(target / "acme-churn/.mlflow/mlflow.db", str(made.root), str(target / "acme-churn"))
        return replace(made, folder=target)

    return fresh


@pytest.fixture
def world(copy: Callable[[], World]) -> World:
    return copy()


def _copied(source: str, target: str) -> None:
    """Large tables and objects are never written in place, only replaced: a link to them is enough."""
    path = Path(source)
    if path.stat().st_size > SMALL and path.suffix != ".db" and path.parent.name != "tmp":
        os.link(source, target)
    else:
        shutil.copy2(source, target)


def _move(database: Path, old: str, new: str) -> None:
    """MLflow notes absolute paths; the copy must not reach into the original."""
    places = {
        "experiments": "artifact_location",
        "runs": "artifact_uri",
        "logged_models": "artifact_location",
        "model_versions": "storage_location",
    }
    with closing(sqlite3.connect(database)) as connection, connection:
        for table, column in places.items():
            connection.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (old, new))


def _must(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
