"""60 runs of SageMaker through 25 calls that a SIGKILL ends; `make leave-demo` does it with 300."""

from __future__ import annotations

from pathlib import Path

from killed_import import killed_imports
from leave_demo import same_times
from sagemaker_double import Account, dumped
from small_project import load, make_clone
from sovereign_ml.data_subjects.stores import mlflow_runs
from sovereign_ml.leaving import runs

RUNS, KILLS = 60, 25


def test_60_runs_are_whole_and_none_is_there_twice_after_25_kills_at_different_writes(
    tmp_path: Path,
) -> None:
    root = make_clone(tmp_path / "acme-churn")
    dump = dumped(Account(runs=RUNS), tmp_path / "dump")
    done, calls = killed_imports(root, dump, RUNS, KILLS)
    killed = [call for call in calls if call["killed"]]
    assert len(killed) == KILLS
    assert len({call["writes"] for call in killed}) == KILLS
    # the first call alone makes the experiment
    assert {call["last"] for call in killed} == {"create_run", "log_batch", "log_dict", "set_terminated"}  # fmt: skip
    whole, again = calls[KILLS:]
    assert (whole["exit"], again["exit"], again["writes"]) == (0, 0, 0)
    assert f"0 made, {RUNS} there already." in done
    brought = mlflow_runs.brought_runs(load(root).tracking)
    assert len(brought) == len({run.data.tags[runs.ARN_TAG] for run in brought}) == RUNS
    assert {run.data.tags[runs.STATE_TAG] for run in brought} == {"done"}
    assert {(len(run.data.params), len(run.data.metrics)) for run in brought} == {(4, 1)}
    assert same_times(root, dump) == RUNS
