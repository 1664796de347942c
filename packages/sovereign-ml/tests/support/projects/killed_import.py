"""`churn leave runs` in forks that a real SIGKILL ends at a given write to MLflow, until one comes through.

Run as a program: folder of the dump, then the number of the write at which each call is killed. It prints one JSON line for each
call: how it ended, the kind of its last write, and the runs that are whole afterwards.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

WRITES = ("create_experiment", "create_run", "log_batch", "log_dict", "set_terminated")


def killed_imports(
    root: Path, dump: Path, runs: int, kills: int
) -> tuple[str, list[dict[str, Any]]]:
    """The output and one answer for each call: ``kills`` that are killed, each at a later write than the one before, then two.

    The runs of ``dump`` must last for all of them: each is six writes.
    """
    from sealing import sealed
    from small_project import PROGRAMS

    first = max(2, int(runs * 6 * 0.9 / kills) - kills // 2)
    limits = [first + number for number in range(kills)]
    program = [str(PROGRAMS / "python"), __file__, str(dump), *map(str, limits), "0", "0"]
    done, asked = sealed(root, *program)
    assert (done.returncode, asked) == (0, {}), done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return done.stdout, [json.loads(line) for line in lines]


def main(dump: str, limits: list[int]) -> None:
    """Call once for each limit, 0 for a call that nobody kills."""
    from sovereign_ml.egress.telemetry import silence

    silence(os.environ)
    # What every call needs is there before the forks; no database is open yet.
    import mlflow.store.model_registry.sqlalchemy_store
    import mlflow.store.tracking.sqlalchemy_store
    import mlflow.tracking  # noqa: F401
    import sqlalchemy.orm

    from sovereign_ml.cli.main import application
    from sovereign_ml.config import settings
    from sovereign_ml.leaving import runs  # noqa: F401
    from sovereign_ml.leaving.dump import open_dump

    sqlalchemy.orm.configure_mappers()
    open_dump(Path(dump))
    settings.load()
    words = ["leave", "runs", dump, "--older"]
    for limit in limits:
        pipe, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(pipe)
            _kill_at(limit, write_end)
            application()(words, standalone_mode=False)
            os._exit(0)
        os.close(write_end)
        _, status = os.waitpid(child, 0)
        with os.fdopen(pipe) as file:
            writes = file.read().split()
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        answer = {"killed": killed, "writes": len(writes), "last": (writes or [""])[-1]}
        print(json.dumps(answer | {"exit": -1 if killed else os.waitstatus_to_exitcode(status)}))
        sys.stdout.flush()


def _kill_at(limit: int, write_end: int) -> None:
    """Tell each write on the pipe before it is done, and end this process at that of ``limit``."""
    from mlflow import MlflowClient

    count = 0
    for name in WRITES:
        real = getattr(MlflowClient, name)

        def counted(*given: Any, real: Any = real, name: str = name, **named: Any) -> Any:
            nonlocal count
            count += 1
            os.write(write_end, f"{name} ".encode())
            if count == limit:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*given, **named)

        setattr(MlflowClient, name, counted)


if __name__ == "__main__":
    main(sys.argv[1], [int(limit) for limit in sys.argv[2:]])
