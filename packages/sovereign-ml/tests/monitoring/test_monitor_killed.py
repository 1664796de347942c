"""kill -9 while the monitor writes: alarms and report are whole, and the next run completes them."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dying import die_at
from monitor_reports import DAY, a_reference, a_report, state
from sovereign_ml.monitoring import alarms
from sovereign_ml.monitoring.reporting.stored_reports import reports
from sovereign_ml.monitoring.watch import Watch

RULES = ("missing", "shift", "early")


def write(root: Path) -> None:
    """Do what a run writes: its alarms first, then its report."""
    alarms.update(root, [state(rule, "alarm") for rule in RULES], DAY, "3")
    alarms.update(root, [state("unseen", "ok")], DAY, "3")
    watch: Any = Watch(SimpleNamespace(root=root), SimpleNamespace(), root / "bundle")  # type: ignore[arg-type]
    card: Any = {"facts": {"evaluation": {"metrics": {}}}}
    watch._write(a_report(alarms=tuple(alarms.unanswered(root))), a_reference(), None, card)


def killed(root: Path, at: int, *, half: bool = False) -> tuple[int, int]:
    """Write in a child that dies at its change number ``at``; return how it ended, and its changes.

    With ``half`` it dies in the middle of the next write.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            changes = die_at(at, [str(root)], half=half)
            write(root)
            os.write(writer, str(changes()).encode())
            os._exit(0)
        except BaseException:
            os._exit(99)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    told = os.read(reader, 20)
    os.close(reader)
    return os.waitstatus_to_exitcode(status), int(told or 0)


@pytest.mark.parametrize("half", [False, True])
def test_a_run_that_was_killed_loses_and_doubles_no_alarm(tmp_path: Path, half: bool) -> None:
    status, total = killed(tmp_path, 0)
    assert status == 0
    assert total > 15
    expected = [record.id for record in alarms.read_alarms(tmp_path)]
    assert len(expected) == len(RULES)
    died = 0
    for at in range(1, total + 1):
        for folder in ("data", "governance"):
            shutil.rmtree(tmp_path / folder)
        status, _ = killed(tmp_path, at, half=half)
        died += status in (-signal.SIGKILL, -signal.SIGXFSZ)
        # Whatever is there is whole, and a report comes after its alarms.
        there = [record.id for record in alarms.read_alarms(tmp_path)]
        assert set(there) <= set(expected)
        if (tmp_path / f"data/9_monitoring/{DAY}").exists():
            assert there == expected
            assert [report.day for report in reports(tmp_path)] == [f"{DAY}"]
        assert killed(tmp_path, 0)[0] == 0
        assert [record.id for record in alarms.read_alarms(tmp_path)] == expected
        files = {path.name for path in (tmp_path / f"data/9_monitoring/{DAY}").iterdir()}
        assert files == {"monitor.json", "monitor.html", "metrics.prom"}
        assert not list(tmp_path.rglob("*.part"))
    # The last changes have no long write after them.
    assert died >= (total if not half else total // 2)
