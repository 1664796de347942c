"""Measure the service beside a FastAPI no-op, plain BentoML and `mlflow models serve`, in one run.

Needs wrk, a rendered project with a finished `make run`, and its environment (`make lint` makes it).
Writes docs/benchmarks/service.json and service.md: python benchmarks/service.py PROJECT
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from contestants import Contender, contenders
from harness import ROOT, arguments, machine, publish
from service_table import table

from sovereign_ml.egress.telemetry import silence

CONNECTIONS = (1, 16, 64)
ENOUGH_REQUESTS = 50_000


@dataclass
class Result:
    """The measurement of one service. Memory and descriptors are those of the process tree."""

    name: str
    ready_s: float
    runs: list[dict[str, float]]
    requests: int
    memory_mb: float
    processes: int
    descriptors: int


@dataclass
class Running:
    """A contender that is up."""

    contender: Contender
    process: subprocess.Popen[bytes]
    ready_s: float
    script: Path
    runs: dict[int, list[dict[str, float]]]

    def load(self, connections: int, seconds: int) -> int:
        """Run the load once more with ``connections``, and return the number of answers."""
        run = _wrk(self, connections, seconds)
        self.runs[connections].append(run)
        return int(run["requests"])

    def result(self, answered: int) -> Result:
        """Return the medians of all runs, and the memory now."""
        tree = processes(self.process.pid)
        medians = [
            {name: statistics.median(run[name] for run in runs) for name in runs[0]}
            for runs in self.runs.values()
        ]
        memory, files = sum(map(memory_mb, tree)), sum(map(descriptors, tree))
        return Result(
            self.contender.name, self.ready_s, medians, answered, memory, len(tree), files
        )


def measure(contestants: list[Contender], seconds: int, rounds: int, folder: Path) -> list[Result]:
    """Measure each cell for one after the other, ``rounds`` times, so that noise hits all alike."""
    with ExitStack() as stack:
        running = [stack.enter_context(started(contender, folder)) for contender in contestants]
        answered = [0] * len(running)
        for _ in range(rounds):
            for connections in CONNECTIONS:
                for i, service in enumerate(running):
                    answered[i] += service.load(connections, seconds)
        while answered[0] < ENOUGH_REQUESTS:
            answered[0] += int(_wrk(running[0], 16, seconds)["requests"])
        return [service.result(count) for service, count in zip(running, answered, strict=True)]


@contextmanager
def started(contender: Contender, folder: Path) -> Iterator[Running]:
    """Start a contender, yield it when it answers, and stop it afterwards."""
    ours = dict(os.environ)
    silence(ours)
    path = os.pathsep.join([str(Path(sys.executable).parent), ours["PATH"]])
    environment = {**ours, "PATH": path, **contender.environment}
    output = folder / f"{contender.port}.txt"
    start = time.monotonic()
    with output.open("wb") as log:
        process = subprocess.Popen(
            contender.command,
            env=environment,
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _until_ready(process, contender.port, output)
        ready_s = time.monotonic() - start
        runs: dict[int, list[dict[str, float]]] = {connections: [] for connections in CONNECTIONS}
        yield Running(contender, process, ready_s, _script(contender, folder), runs)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 15)
            process.wait(timeout=20)


def _script(contender: Contender, folder: Path) -> Path:
    script = folder / f"{contender.port}.lua"
    head = f"wrk.method = 'POST'\nwrk.body = [==[{json.dumps(contender.body)}]==]\n"
    head += "wrk.headers['Content-Type'] = 'application/json'\n"
    script.write_text(head + (ROOT / "benchmarks" / "report.lua").read_text())
    return script


def _until_ready(
    process: subprocess.Popen[bytes], port: int, output: Path, limit_s: float = 90
) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            urlopen(f"http://127.0.0.1:{port}/", timeout=1).close()
            return
        except HTTPError:
            return
        except (URLError, OSError):
            time.sleep(0.02)
    raise SystemExit(
        f"{process.args!r}: not ready within {limit_s:.0f} s\n{output.read_text()[-2000:]}"
    )


def _wrk(service: Running, connections: int, seconds: int) -> dict[str, float]:
    url = f"http://127.0.0.1:{service.contender.port}{service.contender.path}"
    load = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
    command = ["wrk", *load, "-s", str(service.script), url]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    run: dict[str, float] = {"connections": connections, **json.loads(printed.splitlines()[-1])}
    if run["errors"]:
        raise SystemExit(
            f"{service.contender.name}: {run['errors']:.0f} requests were not answered with 200"
        )
    return run


def processes(pid: int) -> list[int]:
    """Return the process ids of ``pid`` and all its descendants."""
    children = [
        int(child)
        for path in Path(f"/proc/{pid}/task").glob("*/children")
        for child in path.read_text().split()
    ]
    return [pid, *(descendant for child in children for descendant in processes(child))]


def memory_mb(pid: int) -> float:
    """Return the resident memory of one process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


def descriptors(pid: int) -> int:
    """Return how many files, sockets and pipes one process holds open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def main() -> None:
    """Measure all, write JSON and table."""
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="of one run")
    parser.add_argument("--rounds", type=int, default=3, help="runs per cell; medians are reported")
    options = parser.parse_args()
    project = options.project.resolve()
    with tempfile.TemporaryDirectory() as folder:
        contestants = contenders(project, Path(folder))
        results = [
            asdict(result)
            for result in measure(contestants, options.seconds, options.rounds, Path(folder))
        ]
    content = {
        "machine": machine() | {"system": platform.system()},
        "seconds": options.seconds,
        "rounds": options.rounds,
        "results": results,
    }
    publish(options.out, "service", content, table(content))


if __name__ == "__main__":
    main()
