"""kill -9 at random points of erase and retain: the next run completes, and nothing is lost that should stay."""

import os
import random
import signal
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest
from searching import places
from world import World, pseudonym

from churn import erasure, retention, settings
from churn.settings import ENVIRONMENT

pytestmark = pytest.mark.flow
KILLS = 25
"""Of each of the two commands."""
HEAVY = ("dvc.repo", "dvc.exceptions", "mlflow", "mlflow.store.tracking.sqlalchemy_store", "duckdb")
"""Imported once, before the children are forked."""
CHANGES = {
    "open",
    "os.rename",
    "os.remove",
    "os.chmod",
    "os.mkdir",
    "sqlite3.connect",
    "subprocess.Popen",
    "shutil.rmtree",
}
SOON = datetime(2027, 12, 1, tzinfo=UTC)


def in_child(world: World, work: Callable[[], object], kill_at: int | None = None) -> int:
    """Run ``work`` in a fork that is killed at its ``kill_at``-th change of the disk; return that number or status."""
    for name in HEAVY:
        import_module(name)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        count = 0

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal count
            writes = event != "open" or (isinstance(arguments[1], str) and arguments[1][:1] in "wax")
            if event in CHANGES and writes:
                count += 1
                if count == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        os.chdir(world.root)
        sys.addaudithook(hook)
        try:
            work()
            os.write(writer, str(count).encode())
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reader) as answer:
        counted = answer.read()
    if kill_at is None:
        assert status == 0, "the run without a kill failed"
        return int(counted)
    return status


def loaded(world: World) -> settings.Settings:
    ENVIRONMENT.update(world.input)
    return world.settings


def kept(world: World, people: list[str]) -> dict[str, int]:
    """Rows of everyone else, by file."""
    files = sorted((world.root / "data").rglob("*.parquet"))
    frames = {str(path.relative_to(world.root)): pd.read_parquet(path) for path in files}
    return {name: int((~frame["customer_id"].isin(people)).sum()) for name, frame in frames.items()}


def test_an_erasure_that_was_killed_is_finished_by_the_next(copy: Callable[[], World]) -> None:
    world = copy()
    people = [pseudonym(one) for one in world.chosen]
    rest = kept(world, people)
    total = in_child(world, lambda: erasure.erase(loaded(world), people, "DSR"))
    reached = 0
    for at in random.Random(7).sample(range(1, total + 1), KILLS):
        world = copy()
        status = in_child(world, lambda: erasure.erase(loaded(world), people, "DSR"), at)  # noqa: B023  runs at once
        reached += os.WIFSIGNALED(status)
        in_child(world, lambda: erasure.erase(loaded(world), people, "DSR"))  # noqa: B023
        assert places(world.folder, people, but=[world.folder / "input"]) == [], f"killed at change {at}"
        assert kept(world, people) == rest, f"killed at change {at}"
        assert not list((world.root / "data").rglob(".*.part"))
    assert reached == KILLS


def test_a_retention_run_that_was_killed_is_finished_by_the_next(copy: Callable[[], World]) -> None:
    world = copy()
    total = in_child(world, lambda: retention.apply(loaded(world), SOON))
    wanted = state(world)
    for at in random.Random(11).sample(range(1, total + 1), KILLS):
        world = copy()
        in_child(world, lambda: retention.apply(loaded(world), SOON), at)  # noqa: B023
        in_child(world, lambda: retention.apply(loaded(world), SOON))  # noqa: B023
        assert state(world) == wanted, f"killed at change {at}"


def state(world: World) -> tuple[dict[str, int], set[str], str]:
    """Rows left, objects left in the remote, and what the next plan says."""
    remote: Path = world.folder / "acme-churn-dvc"
    return (
        kept(world, []),
        {path.name for path in remote.rglob("*") if path.is_file()},
        str(retention.plan(loaded(world), SOON)),
    )
