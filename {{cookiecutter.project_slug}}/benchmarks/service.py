"""Our service beside a FastAPI no-op, plain BentoML + scikit-learn and `mlflow models serve`, in one run.

Needs wrk. Writes docs/benchmarks/service.json and service.md. `python benchmarks/service.py --seconds 10`
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from service_table import table

ROOT = Path(__file__).parents[1]
CONTENDERS = ROOT / "benchmarks" / "contenders"
CONNECTIONS = (1, 16, 64)
ENOUGH_REQUESTS = 50_000
PORT = 18_600


@dataclass(frozen=True)
class Contender:
    """A service to measure: how to start it and what to ask."""

    name: str
    command: list[str]
    path: str
    body: Any
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Result:
    """What was measured; memory is that of the whole process tree."""

    name: str
    ready_s: float
    runs: list[dict[str, float]]
    requests: int
    memory_mb: float
    processes: int


def contenders(bundle: Path, folder: Path, row: dict[str, Any]) -> list[Contender]:
    """All four, each with one worker."""
    python, address = sys.executable, ["--port", str(PORT)]
    asgi = [python, "-m", "uvicorn", "fastapi_noop:app", "--no-access-log", "--log-level", "warning", *address]
    numbers = {name: value for name, value in row["features"].items() if name != "preferred_category"}
    model = folder / "mlflow_model"
    subprocess.run([python, str(CONTENDERS / "estimator.py"), str(model)], check=True, capture_output=True)
    ordered = [[numbers[name] or 0.0 for name in _names()]]
    here = {"PYTHONPATH": str(CONTENDERS)}
    serve = {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "serve"), str(ROOT / "src")]),
        "BUNDLE_DIR": str(bundle),
        "CHURN_LOG": str(folder / "decisions.db"),
        "CHURN_RATE_PER_SECOND": "1000000",
    }
    bento = [python, "-m", "bentoml", "serve", "bentoml_sklearn:Plain", "--working-dir", str(CONTENDERS), *address]
    mlflow = [python, "-m", "mlflow", "models", "serve", "-m", str(model), "--env-manager", "local", *address]
    return [
        Contender("this service, decision log on", [python, "-m", "churn_service", *address], "/v1/score", row, serve),
        Contender("FastAPI no-op", asgi, "/v1/score", row, here),
        Contender("BentoML + scikit-learn", bento, "/v1/score", row, here),
        Contender("mlflow models serve", [*mlflow, "--workers", "1"], "/invocations", {"inputs": ordered}),
    ]


def measure(contender: Contender, seconds: int, folder: Path) -> Result:
    """Start it, load it with 1, 16 and 64 connections, then on until it has answered 50,000 requests."""
    script = folder / "post.lua"
    body = json.dumps(contender.body)
    script.write_text(
        f"wrk.method = 'POST'\nwrk.body = [==[{body}]==]\nwrk.headers['Content-Type'] = 'application/json'\n"
        + (ROOT / "benchmarks" / "report.lua").read_text()
    )
    with _running(contender, folder) as (pid, ready_s):
        runs = [_wrk(contender, script, connections, seconds) for connections in CONNECTIONS]
        answered = int(sum(run["requests"] for run in runs))
        while contender.name.startswith("this") and answered < ENOUGH_REQUESTS:
            answered += int(_wrk(contender, script, 16, seconds)["requests"])
        tree = _tree(pid)
        return Result(contender.name, ready_s, runs, answered, sum(map(_memory_mb, tree)), len(tree))


@contextmanager
def _running(contender: Contender, folder: Path) -> Iterator[tuple[int, float]]:
    ours = os.environ  # noqa: TID251  handed on to the programs that are measured
    path = os.pathsep.join([str(Path(sys.executable).parent), ours["PATH"]])
    environment = {**ours, **_quiet(), "PATH": path, **contender.environment}
    with (folder / "output.txt").open("wb") as output:
        start = time.monotonic()
        process = subprocess.Popen(
            contender.command, env=environment, cwd=folder, stdout=output, stderr=output, start_new_session=True
        )
        try:
            _until_ready(process, folder / "output.txt")
            yield process.pid, time.monotonic() - start
        finally:
            if process.poll() is None:
                os.killpg(process.pid, 15)
                process.wait(timeout=20)
            time.sleep(1)


def _until_ready(process: subprocess.Popen[bytes], output: Path, limit_s: float = 90) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            urlopen(f"http://127.0.0.1:{PORT}/", timeout=1).close()
            return
        except HTTPError:
            return
        except (URLError, OSError):
            time.sleep(0.02)
    raise SystemExit(f"{process.args}: not ready within {limit_s:.0f} s\n{output.read_text()[-2000:]}")


def _wrk(contender: Contender, script: Path, connections: int, seconds: int) -> dict[str, float]:
    url = f"http://127.0.0.1:{PORT}{contender.path}"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(script), url]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    run: dict[str, float] = {"connections": connections, **json.loads(printed.splitlines()[-1])}
    if run["errors"]:
        raise SystemExit(f"{contender.name}: {run['errors']:.0f} requests were not answered with 200")
    return run


def _tree(pid: int) -> list[int]:
    """Process ids of ``pid`` and all its descendants."""
    children = [
        int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()
    ]
    return [pid, *(one for child in children for one in _tree(child))]


def _memory_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


def _quiet() -> Mapping[str, str]:
    from sovereign.silence import SETTINGS

    return SETTINGS


def _names() -> tuple[str, ...]:
    sys.path.insert(0, str(CONTENDERS))
    from estimator import NAMES

    return NAMES


def _row(bundle: Path) -> dict[str, Any]:
    """A plausible customer for the contract of ``bundle``."""
    from sovereign.bundle import read_contract

    values = {"days": 40.0, "EUR": 90.0, "count": 2.0, "share": 0.3, "ratio": 1.2, "category": "gifts"}
    features = {spec.name: values[spec.unit] for spec in read_contract(bundle / "contract.json").features}
    return {"customer_id": "0b6f1c3e9a7d4e52", "features": features}


def main() -> None:
    """Measure all, write JSON and table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=ROOT / "data" / "7_bundle")
    parser.add_argument("--seconds", type=int, default=10, help="per number of connections")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks")
    given = parser.parse_args()
    bundle = given.bundle.resolve()
    with tempfile.TemporaryDirectory() as folder:
        results = []
        for contender in contenders(bundle, Path(folder), _row(bundle)):
            print(f"{contender.name} ...", file=sys.stderr, flush=True)
            results.append(asdict(measure(contender, given.seconds, Path(folder))))
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "system": platform.system()}
    given.out.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine, "seconds": given.seconds, "results": results}
    (given.out / "service.json").write_text(json.dumps(content, indent=1) + "\n")
    (given.out / "service.md").write_text(table(content))
    print(table(content))


if __name__ == "__main__":
    main()
