"""`make leave-demo`: an account of SageMaker on loopback, from the dump to "nothing is left", where nothing can leave.

Each phase runs the commands of docs/leave-sagemaker.md in a process of its own under the harness, which lists every name
outside loopback that was asked for.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

if __name__ == "__main__":
    SUPPORT = Path(__file__).resolve().parents[1]
    sys.path[:0] = [str(folder) for folder in SUPPORT.iterdir() if folder.is_dir()]

from killed_import import killed_imports
from sagemaker_double import Account, Row, sagemaker, store
from sealing import sealed
from side_by_side import COLUMNS, DEFINITIONS, ENDPOINT, GROUP, old_store, trained_on_both
from small_project import PROGRAMS, environment, load, make_clone
from sovereign_ml.data_subjects.stores import mlflow_runs
from sovereign_ml.leaving.dump import ms, open_dump
from sovereign_ml.leaving.minimise import arn_mark

REGION = "eu-central-1"
Commands = Sequence[tuple[Sequence[str], int]]
PHASE = """
import json, os, sys
from sovereign_ml.cli.main import application
from sovereign_ml.egress import allow_list
from sovereign_ml.errors import Misuse, Refused
commands = json.loads(sys.argv[1])
allow_list.install(os.environ, commands[0][0])
app = application()
for words, expected in commands:
    print("$ churn", *words, flush=True)
    code = 0
    try:
        app(words)
    except SystemExit as end:
        code = end.code or 0
    except (Misuse, Refused) as error:
        print(error)
        code = error.exit_code
    if code != expected:
        sys.exit(f"exit code {code}, expected {expected}")
"""
AWS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
}
NOTEBOOK = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {},
    "cells": [
        {"cell_type": "code", "id": "a", "metadata": {}, "source": "model.fit(x, y)", "outputs": [], "execution_count": 1},
        {"cell_type": "code", "id": "b", "metadata": {}, "source": "df[df.user_id == 12345]", "outputs": [], "execution_count": 2},
    ],
}  # fmt: skip


def demo(folder: Path, runs: int = 300, kills: int = 25, say: Callable[..., None] = print) -> None:
    """Leave an account with ``runs`` runs, whose import a SIGKILL ends ``kills`` times.

    Raises AssertionError where something is not as the page says.
    """
    root, dump = make_clone(folder / "acme-churn"), folder / "dump"
    online = Account(runs=runs)
    online.add_group(GROUP, "customer_id", FeatureDefinitions=DEFINITIONS)

    def phase(title: str, commands: Commands, *, reaches: bool = False) -> str:
        began = time.monotonic()
        say(f"\n== {title}")
        program = [str(PROGRAMS / "python"), "-c", PHASE, json.dumps(commands)]
        asked: dict[str, list[str]] = {}
        # Only `fetch` reaches an address: that of the double, which the harness would hide.
        if reaches:
            environ = environment(root) | AWS
            done = subprocess.run(
                program, cwd=root, env=environ, capture_output=True, text=True, check=False
            )
        else:
            done, asked = sealed(root, *program)
        say(done.stdout.rstrip())
        assert done.returncode == 0, done.stdout + done.stderr
        assert asked == {}, asked
        where = "one double" if reaches else f"{len(asked)} names"
        say(f"-- {time.monotonic() - began:.1f} s; asked outside: {where}")
        return done.stdout

    def fetch(target: Path, address: str) -> tuple[list[str], int]:
        words = ["leave", "fetch", str(target), "--region", REGION, "--endpoint", address]
        return words, 0

    with sagemaker(online) as address:
        phase("Phase 1: take a dump", [fetch(dump, address)], reaches=True)
    assert online.violations == []
    rows: list[Row] = [(f"u{n}", 0, 1, 2, False, n) for n in range(200)]
    rows += [(f"u{n}", 5, 6, 7, True, 0) for n in range(110)]
    store(dump / "offline/user-features", rows)
    (dump / "efs/200001").mkdir(parents=True)
    (dump / "efs/200001/churn.ipynb").write_text(json.dumps(NOTEBOOK))
    old_store(root, dump)
    where = str(dump)
    bring = [
        (["leave", name, where], 0) for name in ("registry", "cards", "notebooks", "pipelines")
    ]
    phase("Phase 1: see what is in it", [(["leave", "audit", where], 1)])
    say("\n== Phase 1: bring what is past")
    began = time.monotonic()
    _, calls = killed_imports(root, dump, runs, kills)
    killed = {call["writes"] for call in calls if call["killed"]}
    assert (len(killed), calls[-1]["writes"]) == (kills, 0)
    brought = mlflow_runs.brought_runs(load(root).tracking)
    assert len(brought) == len({run.data.tags["sagemaker.arn"] for run in brought}) == runs
    assert {run.data.tags["sagemaker.state"] for run in brought} == {"done"}
    say(
        f"{kills} calls of `churn leave runs` were killed, each at another write. {runs:,} runs are whole, none is there twice."
    )
    say(f"-- {time.monotonic() - began:.1f} s; asked outside: 0 names")
    phase("Phase 1: bring the rest", bring)
    compared = same_times(root, dump)
    say(f"{compared:,} runs have their start and end to the millisecond.")
    assert compared == runs
    out = phase(
        "Phase 2: features, people's rights, and both systems side by side",
        [
            (["leave", "runs", where, "--older"], 0),
            (["leave", "features", where], 0),
            (["data-subject", "erase", "--subject", "u150"], 0),
            (["leave", "features", where], 0),
            (["leave", "status"], 0),
        ],
    )
    assert f"0 made, {runs:,} there already." in out
    assert "90 of 310 rows" in out
    assert "89 of 310 rows" in out
    assert "aws sagemaker-featurestore-runtime delete-record" in out
    both = str(trained_on_both(root, folder / "both-dump"))
    columns = ["--columns", ",".join(COLUMNS)]
    out = phase(
        "Phase 2: the old values, scores and runs are equal to ours",
        [
            (["leave", "parity", where, "--group", GROUP], 0),
            (["leave", "parity", where, "--endpoint", ENDPOINT, *columns], 0),
            (["leave", "tracks", both], 0),
        ],
    )
    assert out.count("Verdict: same.") == 3
    assert "3 runs are in both tracks." in out
    phase(
        "Phase 3: the deletion script",
        [(["leave", "finish", where, "--script", str(folder / "delete.sh")], 0)],
    )
    # a dump counts only if it is younger than the script, to the second
    time.sleep(1.1)
    afterwards = folder / "afterwards"
    with sagemaker(Account(runs=0).emptied()) as address:
        phase("Phase 3: a dump afterwards", [fetch(afterwards, address)], reaches=True)
    out = phase(
        "Phase 3: the proof",
        [
            (["leave", "finish", where], 1),
            (["leave", "finish", str(afterwards)], 0),
            (["leave", "status"], 0),
        ],
    )
    assert "Nothing is left in SageMaker" in out


def same_times(root: Path, dump: Path) -> int:
    """The number of runs in MLflow whose start and end are those of SageMaker, to the millisecond."""
    tracking = load(root).tracking
    here = {run.data.tags["sagemaker.arn"]: run.info for run in mlflow_runs.brought_runs(tracking)}
    rows: list[dict[str, Any]] = list(open_dump(dump).found("ExperimentTrialComponent"))
    pairs = [(here[arn_mark(row["TrialComponentArn"])], row) for row in rows]
    return sum(
        (info.start_time, info.end_time) == (ms(row["StartTime"]), ms(row["EndTime"]))
        for info, row in pairs
    )


if __name__ == "__main__":
    began = time.monotonic()
    with TemporaryDirectory() as work:
        demo(Path(work))
    print(f"\nFrom the dump to the proof: {time.monotonic() - began:.0f} s.")
