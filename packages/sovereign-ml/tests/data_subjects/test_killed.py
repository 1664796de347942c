"""kill -9 at random points of erase and retain: the next run completes, and nothing is lost that should stay."""

import multiprocessing
import os
import random
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

import pandas as pd
import pytest

from searching import places
from sovereign_ml.config.settings import ENVIRONMENT
from sovereign_ml.data_subjects import erasure, retention
from sovereign_ml.data_subjects.project_stores import ProjectStores
from warm_churn import HEAVY
from world import World, pseudonym

pytestmark = pytest.mark.flow
KILLS = int(ENVIRONMENT.get("KILLS", "3"))
"""Kills of each of the two commands. The environment may ask for more: KILLS=25."""
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        *HEAVY,
        "sovereign_ml.cli.composition",
        "sovereign_ml.data_subjects.erasure",
        "sovereign_ml.data_subjects.retention",
    ]
)
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


def in_child(world: World, work: Callable[[World], object], kill_at: int | None = None) -> int:
    """Run ``work`` in a process that is killed at its ``kill_at``-th change of the disk; return that number or status.

    A server forks the processes: it has imported what they need and, unlike this process, started no threads.
    """
    reader, writer = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=watched, args=(world, work, kill_at, writer))
    process.start()
    writer.close()
    process.join()
    status = process.exitcode
    assert status is not None
    if kill_at is None:
        assert status == 0, "the run without a kill failed"
        return int(reader.recv())
    return status


def watched(
    world: World, work: Callable[[World], object], kill_at: int | None, answer: Connection
) -> None:
    """Do it, counting changes of the disk; the process ends at number ``kill_at``."""
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
    work(world)
    answer.send(count)


def erase(world: World) -> None:
    erasure.erase(loaded(world), [pseudonym(one) for one in world.chosen], "DSR")


def retain(world: World) -> None:
    retention.apply(loaded(world), SOON)


def loaded(world: World) -> ProjectStores:
    ENVIRONMENT.update(world.input)
    return world.stores


def kept(world: World, people: list[str]) -> dict[str, int]:
    """Rows of everyone else, by file."""
    files = sorted((world.root / "data").rglob("*.parquet"))
    frames = {str(path.relative_to(world.root)): pd.read_parquet(path) for path in files}
    return {name: int((~frame["customer_id"].isin(people)).sum()) for name, frame in frames.items()}


def test_an_erasure_that_was_killed_is_finished_by_the_next(copy: Callable[[], World]) -> None:
    world = copy()
    people = [pseudonym(one) for one in world.chosen]
    rest = kept(world, people)
    total = in_child(world, erase)
    reached = 0
    for at in random.Random(7).sample(range(1, total + 1), KILLS):
        world = copy()
        status = in_child(world, erase, at)
        reached += status == -signal.SIGKILL
        in_child(world, erase)
        assert places(world.folder, people, but=[world.folder / "input"]) == [], (
            f"killed at change {at}"
        )
        assert kept(world, people) == rest, f"killed at change {at}"
        assert not list((world.root / "data").rglob(".*.part"))
    assert reached == KILLS


def test_a_retention_run_that_was_killed_is_finished_by_the_next(copy: Callable[[], World]) -> None:
    world = copy()
    total = in_child(world, retain)
    wanted = state(world)
    for at in random.Random(11).sample(range(1, total + 1), KILLS):
        world = copy()
        in_child(world, retain, at)
        in_child(world, retain)
        assert state(world) == wanted, f"killed at change {at}"


def state(world: World) -> tuple[dict[str, int], set[str], str]:
    """Rows left, objects left in the remote, and what the next plan says."""
    remote: Path = world.folder / "acme-churn-dvc"
    return (
        kept(world, []),
        {path.name for path in remote.rglob("*") if path.is_file()},
        str(retention.plan(loaded(world), SOON)),
    )
