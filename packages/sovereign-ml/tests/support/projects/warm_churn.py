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
import select
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

PYTHON = """#!{python} -IS
import array, json, os, socket, sys
if sys.argv[1:2] != ["-m"]:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
request = dict(folder=os.getcwd(), arguments=sys.argv[2:], environ=dict(os.environ), module=True)
with socket.socket(socket.AF_UNIX) as line:
    line.connect({address!r})
    line.sendmsg([b"!"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [1, 2]))])
    line.sendall(json.dumps(request).encode())
    line.shutdown(socket.SHUT_WR)
    sys.exit(int(line.makefile().read().split()[1]))
"""
"""An interpreter whose ``-m MODULE`` is a fork too."""


def churn(root: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command ``churn`` in ``root``, as `small_project.churn` does."""
    from small_project import environment

    return forked(root, arguments, environment(root, **environ))


def forked(
    folder: Path, arguments: Sequence[str], environ: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run the command ``churn`` in ``folder`` with no variables but these."""
    from small_project import PROGRAMS

    running = Running(PROGRAMS / "python", folder, arguments, environ)
    out, err = running.communicate()
    return subprocess.CompletedProcess(["churn", *arguments], running.returncode, out, err)


class Running:
    """The command in a process group of its own, as far as tests use ``subprocess.Popen``."""

    def __init__(
        self, python: Path, folder: Path, arguments: Sequence[str], environ: Mapping[str, str]
    ) -> None:
        request = {"folder": str(folder), "arguments": [*arguments], "environ": dict(environ)}
        self._out = tempfile.TemporaryFile("w+")  # noqa: SIM115  `communicate` closes both
        self._err = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._line = socket.socket(socket.AF_UNIX)
        self._line.connect(_started(python))
        ancillary = array.array("i", [self._out.fileno(), self._err.fileno()])
        self._line.sendmsg([b"!"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, ancillary)])
        self._line.sendall(json.dumps(request).encode())
        self._line.shutdown(socket.SHUT_WR)
        self._answer = self._line.makefile()
        self._line.settimeout(600)
        self.pid = int(self._answer.readline())

    def poll(self) -> int | None:
        """Return None while it runs."""
        ended, _, _ = select.select([self._line], [], [], 0)
        return 0 if ended else None

    def communicate(self, timeout: float = 600) -> tuple[str, str]:
        """Wait for its end, and return what it printed."""
        self._line.settimeout(timeout)
        code = self._answer.read()
        self._answer.close()
        self._line.close()
        texts = []
        for file in (self._out, self._err):
            file.seek(0)
            texts.append(file.read())
            file.close()
        assert code, f"the process was lost: {texts[1]}"
        self.returncode = int(code)
        return texts[0], texts[1]


def write_python(folder: Path) -> Path:
    """Write the program ``python3`` into a new ``folder`` for PATH: what it runs is imported already."""
    from small_project import PROGRAMS

    python = PROGRAMS / "python"
    program = folder / "python3"
    folder.mkdir(parents=True)
    program.write_text(PYTHON.format(python=str(python), address=_started(python)))
    program.chmod(0o700)
    return folder


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
    os.setpgid(child, child)  # in both processes, because either may be the first
    if child == 0:
        line.close()
        with open(os.devnull, "rb") as nothing:  # noqa: PTH123  a descriptor is needed
            os.dup2(nothing.fileno(), 0)
        os.dup2(descriptors[0], 1)
        os.dup2(descriptors[1], 2)
        _become(request)
    line.sendall(f"{child}\n".encode())
    _, status = os.waitpid(child, 0)
    line.sendall(str(os.waitstatus_to_exitcode(status)).encode())


def _become(request: dict[str, object]) -> None:
    """Be the command or module: folder, variables, path, arguments. Ends the process."""
    import random
    import runpy

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
        if request.get("module"):
            sys.path.insert(0, folder)
            sys.argv = words
            runpy.run_module(words[0], run_name="__main__", alter_sys=True)
        else:
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
