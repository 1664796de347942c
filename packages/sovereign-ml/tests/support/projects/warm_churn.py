"""The command ``churn`` as a fork of a process that has imported the heavy libraries already.

Most of the CPU time of a command is the import of pandas, MLflow, DVC and Feast. Where a test is
about what a command does and not about how its process starts, a fork gives the same: an
interpreter of the shipped environment, its own memory, environment, folder, output and exit code.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

HEAVY = (
    *("alembic.autogenerate", "boto3", "duckdb", "dvc.repo", "dvc_s3", "fairlearn.metrics"),
    *("feast.feature_store", "feast.infra.offline_stores.duckdb", "feast.infra.registry.sql"),
    *("feast.repo_config", "sovereign_ml.pipeline.great_expectations", "great_expectations"),
    *("jinja2", "mlflow.pyfunc", "mlflow.tracking", "networkx", "pandas", "psycopg"),
    *("mlflow.store.model_registry.sqlalchemy_store", "mlflow.store.tracking.sqlalchemy_store"),
    *("pyarrow.parquet", "redis", "scipy.stats", "sklearn.ensemble", "sklearn.inspection"),
    *("sklearn.linear_model", "sovereign_ml.cli.main", "sovereign_ml.config.settings"),
    "sovereign_ml.registry.skops",
)
"""What most commands import. A name that the environment lacks is left out."""

READ_LATE = re.compile(
    r"(CHURN|AWS|FEATURE_STORE)_\w+|DATABASE_URL|MLFLOW_(TRACKING_(USERNAME|PASSWORD)|AUTH_ADMIN_PASSWORD)$"
)
"""Variables that are read when they are used. A program may read others while it is imported."""


def churn(root: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command ``churn`` in ``root``, as `small_project.churn` does."""
    from small_project import environment

    return forked(root, arguments, environment(root, **environ))


def forked(
    folder: Path, arguments: Sequence[str], environ: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run the command ``churn`` in ``folder`` with no variables but these."""
    from small_project import PROGRAMS

    request = {"folder": str(folder), "arguments": [*arguments], "environ": dict(environ)}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(600)
            line.connect(_started(PROGRAMS / "python"))
            ancillary = array.array("i", [out.fileno(), err.fileno()])
            line.sendmsg([b"!"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, ancillary)])
            line.sendall(json.dumps(request).encode())
            line.shutdown(socket.SHUT_WR)
            answer = line.makefile().read()
        out.seek(0)
        err.seek(0)
        assert answer, f"the process was lost: {err.read()}"
        command = ["churn", *arguments]
        return subprocess.CompletedProcess(command, int(answer), out.read(), err.read())


@cache
def _started(python: Path) -> str:
    """Start the parent of all forks in the environment of ``python``; return its socket."""
    from small_project import PASSED_ON
    from sovereign_ml.config.settings import ENVIRONMENT

    folder = tempfile.TemporaryDirectory(prefix="churn-")
    address = f"{folder.name}/socket"
    own = {name: ENVIRONMENT[name] for name in PASSED_ON if name in ENVIRONMENT}
    parent = subprocess.Popen(
        [str(python), "-P", __file__, address],
        cwd=folder.name,
        env={"PATH": "/usr/bin:/bin", "HOME": folder.name, **own},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdin and parent.stdout
    atexit.register(folder.cleanup)
    atexit.register(parent.stdin.close)  # the parent ends with us
    assert parent.stdout.readline() == b"ready\n"
    return address


def _serve(address: str) -> None:
    """Import, then fork for each request until the standard input is closed."""
    import importlib
    import select

    from sovereign_ml.egress.telemetry import silence

    silence(os.environ)
    for name in HEAVY:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    skops = sys.modules.get("sovereign_ml.registry.skops")
    if skops:
        skops._skops()  # without what it passes over
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(address)
        door.listen()
        print("ready", flush=True)
        while True:
            readable, _, _ = select.select([door, sys.stdin], [], [])
            if sys.stdin in readable:
                return
            line, _ = door.accept()
            if os.fork() == 0:
                door.close()
                _answer(line)
                os._exit(0)
            line.close()
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def _answer(line: socket.socket) -> None:
    """Run one request in a fork, and send its exit code."""
    descriptors = array.array("i")
    _, ancillary, _, _ = line.recvmsg(1, socket.CMSG_SPACE(2 * descriptors.itemsize))
    descriptors.frombytes(ancillary[0][2])
    request = json.loads(line.makefile().read())
    child = os.fork()
    if child == 0:
        line.close()
        with open(os.devnull, "rb") as nothing:  # noqa: PTH123  a descriptor is needed
            os.dup2(nothing.fileno(), 0)
        os.dup2(descriptors[0], 1)
        os.dup2(descriptors[1], 2)
        _become(request)
    _, status = os.waitpid(child, 0)
    line.sendall(str(os.waitstatus_to_exitcode(status)).encode())


def _become(request: dict[str, object]) -> None:
    """Be the command: folder, variables, path of modules, arguments. Ends the process."""
    import random

    folder, words, environ = request["folder"], request["arguments"], request["environ"]
    assert isinstance(folder, str) and isinstance(words, list) and isinstance(environ, dict)
    os.chdir(folder)
    # Feast has chosen the folder of its counters by now, and the counters read it in each process.
    counters = {name: value for name, value in os.environ.items() if name.startswith("PROMETHEUS_")}
    os.environ.clear()
    os.environ.update(counters | environ)
    sys.path[:0] = [path for path in environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.argv = ["churn", *words]
    random.seed()

    from sovereign_ml.cli.main import main

    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # as the interpreter does at its end
        import traceback

        traceback.print_exc()
        code = 1
    import atexit as registered

    registered._run_exitfuncs()  # the last one ends the process
    os._exit(code)


if __name__ == "__main__":
    _serve(sys.argv[1])
