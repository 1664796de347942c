"""Prove `churn leave` at full size: a million rows against an oracle, 300 runs, 25 kills.

Runs with the test environment: PYTHONPATH=... python benchmarks/leaving.py [PEOPLE] [RUNS] [KILLS]
The tests do the same with few rows.
"""

# ruff: noqa: E402  the helpers of the tests are put on the path first
from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIBRARY = Path(__file__).parents[1] / "packages/sovereign-ml"
sys.path += [str(LIBRARY / "tests/leaving")]
sys.path += [str(LIBRARY / f"tests/support/{name}") for name in ("platforms", "projects", "cards")]
sys.path += [str(LIBRARY.parents[1] / "{{cookiecutter.project_slug}}/src")]

import test_bring as bring
from sagemaker_double import START, Account, dumped, store
from small_project import KEY, PROGRAMS, environment, load, make_project

from sovereign_ml.data_subjects.stores import mlflow_runs
from sovereign_ml.leaving import runs
from sovereign_ml.leaving.dump import ms, open_dump
from sovereign_ml.leaving.minimise import Minimiser
from sovereign_ml.leaving.offline_rows import bring_group


def rows(folder: Path, people: int) -> None:
    """Compare every row that is brought with the oracle's."""
    planted = bring.planted(people, 110, seed=11)
    group = store(folder / "offline", planted)
    began = time.perf_counter()
    done = bring_group(
        group, folder / "out", dump_time=bring.MADE, keys=bring.KEYS, barred=lambda _: set()
    )
    seconds = time.perf_counter() - began
    expected = bring.oracle(planted, bring.FROZEN, set())
    names = bring.pseudonyms([f"u{number}" for number in range(people)], bring.KEYS[0])
    ids = {name: f"u{number}" for number, name in enumerate(names)}
    table = bring.pq.read_table(folder / "out/users/rows.parquet")
    start = START.replace(tzinfo=None)
    imported = {
        (ids[person], round((moment - start).total_seconds()), value)
        for person, moment, value in zip(
            *(table[name].to_pylist() for name in ("customer_id", "event_timestamp", "n")),
            strict=True,
        )
    }
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(
        f"{len(planted):,} rows, {done.rows:,} brought, "
        f"equal to the oracle: {imported == expected}, "
        f"{done.deleted_people} people stay deleted, {seconds:.1f} s, {memory} MB in all"
    )


def times(folder: Path, count: int, kills: int) -> None:
    """Bring runs with ``kills`` kills, then compare times, and call once more."""
    root = make_project(folder / "acme-churn")
    dump = dumped(Account(runs=count), folder / "dump")
    tracking = load(root).tracking
    command = [str(PROGRAMS / "churn"), "leave", "runs", str(dump), "--older"]
    environ = environment(root)
    subprocess.run([*command, "--experiment", "none"], cwd=root, env=environ, check=False)
    chance, killed = random.Random(3), 0
    for _ in range(kills):
        with subprocess.Popen(
            command, cwd=root, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            before = len(mlflow_runs.brought_runs(tracking))
            while process.poll() is None and len(mlflow_runs.brought_runs(tracking)) <= before:
                time.sleep(0.05)
            time.sleep(chance.random() / 5)
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                killed += 1
    began = time.perf_counter()
    rules = Minimiser(bytes.fromhex(KEY))
    rest = runs.bring(open_dump(dump), tracking, rules)
    seconds = time.perf_counter() - began
    again = runs.bring(open_dump(dump), tracking, rules)
    brought = {run.info.run_name: run for run in mlflow_runs.brought_runs(tracking)}
    components = open_dump(dump).found("ExperimentTrialComponent")
    equal = sum(
        brought[row["DisplayName"]].info.start_time == ms(row["StartTime"])
        and brought[row["DisplayName"]].info.end_time == ms(row["EndTime"])
        for row in components
    )
    halves = sum(len(run.data.params) != 4 for run in brought.values())
    print(
        f"{killed} kills; then {rest.imported} made in {seconds:.1f} s, {rest.repaired} repaired; "
        f"{len(brought)} of {count} runs, {equal} with equal times, {halves} halves; "
        f"second call made {again.imported}"
    )


if __name__ == "__main__":
    people, count, kills = (
        int(v) for v in (sys.argv[1:] + ["400000", "300", "25"][len(sys.argv) - 1 :])
    )
    with tempfile.TemporaryDirectory() as name:
        rows(Path(name), people)
        times(Path(name), count, kills)
