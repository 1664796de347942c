"""Measure the cost of the egress guard: the audit events of one `churn run`, times the price.

Counting and pricing apart gives the same answer on a busy machine. Two timed runs differ by more
than the guard costs. Needs a rendered project with a finished `make run` (its data are made anew in
a copy), and its environment.
Writes docs/benchmarks/guard.json and guard.md: python benchmarks/guard.py PROJECT
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from harness import arguments, cpu_seconds, environment, fresh, machine, publish

SHARE, MICROSECONDS = 0.01, 5.0
"""The promises: of the CPU time of `make run`, and per connection."""
RUN = [sys.executable, "-c", "from sovereign_ml.cli.main import main; main()", "run"]
COUNTER = """\
import atexit, json, os, sys
counts = {{}}
def count(event, args):
    counts[event] = counts.get(event, 0) + 1
sys.addaudithook(count)
def write():
    used = os.times()
    found = {{"command": sys.argv[-1], "cpu": used.user + used.system, "counts": dict(counts)}}
    with open(os.path.join({folder!r}, str(os.getpid()) + ".json"), "w") as file:
        json.dump(found, file)
atexit.register(write)
"""
PRICE = """\
import json, socket, sys, time, timeit
socket.getaddrinfo = lambda *a, **k: [(2, 1, 6, "", ("192.0.2.9", 443))]
def cheapest(statement, number):
    timer = timeit.Timer(statement, globals=globals(), timer=time.process_time)
    return min(timer.repeat(repeat=9, number=number)) / number * 1e9
other = 'sys.audit("object.__getattr__", None, "x")'
connect = 'sys.audit("socket.connect", None, ("192.0.2.9", 443))'
look_up = 'sys.audit("socket.getaddrinfo", "s3.acme.eu", 443, 0, 0, 0); '
look_up += 'socket.getaddrinfo("s3.acme.eu", 443)'
before = [cheapest(other, 200_000), cheapest(look_up, 20_000) + cheapest(connect, 20_000)]
from sovereign_ml.egress import guard
guard.install(["s3.acme.eu"])
after = [cheapest(other, 200_000), cheapest(look_up, 20_000) + cheapest(connect, 20_000)]
event, connection = (now - then for now, then in zip(after, before))
print(json.dumps({"event_ns": event, "connection_us": connection / 1000}))
"""
HEAD = """\
# What the egress guard costs

One `churn run` of this project with every step run anew on {cores} shared cores, Python
{python}. The hook is asked at each audit event of the interpreter; {processes} processes raised
{events:,} of them, {sockets:,} about sockets. One event costs {event_ns:.0f} ns, so all of them
cost {guard_seconds:.2f} s of the {cpu_seconds:.0f} s of CPU time. A look-up and connection to
an allowed host costs {connection_us:.1f} µs more than without the guard. Prices are CPU time,
the best of nine repetitions, with and without the hook in one process. Made by `make
bench-guard`; all numbers: `guard.json`.

| | measured | promised |
|---|---|---|
| share of the CPU time of `make run` | {share:.2%} | under 1 % |
| per look-up and connection | {connection_us:.1f} µs | under 5 µs |

Most events: {most}. By process, the one of `run` being DVC's:

| command | events | CPU seconds | the guard's share |
|---|---|---|---|
{steps}
"""


def main() -> int:
    """Measure, then write JSON and table. Exit 1 if a promise is broken."""
    options = arguments(__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="churn-guard-") as folder:
        result = price() | counted(options.project.resolve(), Path(folder))
    return report(result, options.out)


def report(result: dict[str, Any], out: Path) -> int:
    """Write the figures and the table, and return 1 if a promise is broken."""
    result["guard_seconds"] = round(result["events"] * result["event_ns"] / 1e9, 3)
    result["share"] = round(result["guard_seconds"] / result["cpu_seconds"], 5)
    for command in result["by_command"]:
        command["share"] = round(
            command["events"] * result["event_ns"] / 1e9 / command["cpu_seconds"], 5
        )
    most = ", ".join(f"`{name}` {count:,}" for name, count in list(result["by_event"].items())[:4])
    text = HEAD.format(**result, most=most, steps="\n".join(map(row, result["by_command"])))
    publish(out, "guard", result, text)
    return 0 if result["share"] < SHARE and result["connection_us"] < MICROSECONDS else 1


def row(command: dict[str, Any]) -> str:
    """Return one process as a row of the table."""
    return "| `{command}` | {events:,} | {cpu_seconds:.1f} | {share:.2%} |".format(**command)


def price() -> dict[str, float]:
    """Return nanoseconds per unwatched event, and microseconds per look-up and connection."""
    done = subprocess.run(
        [sys.executable, "-c", PRICE], env=environment(), capture_output=True, text=True, check=True
    )
    return {name: round(value, 2) for name, value in json.loads(done.stdout).items()}


def counted(project: Path, folder: Path) -> dict[str, Any]:
    """Count the audit events of every Python process of a full run, and their CPU seconds."""
    copy, hook, counts = fresh(project, folder / "project"), folder / "hook", folder / "counts"
    hook.mkdir()
    counts.mkdir()
    (hook / "sitecustomize.py").write_text(COUNTER.format(folder=str(counts)))
    before = cpu_seconds(resource.RUSAGE_CHILDREN)
    environ = environment(hook, copy / "src", HOME=str(folder))
    subprocess.run(RUN, cwd=copy, env=environ, check=True)
    spent = cpu_seconds(resource.RUSAGE_CHILDREN) - before
    processes = [
        json.loads(path.read_text())
        for path in sorted(counts.iterdir(), key=lambda path: path.stat().st_mtime)
    ]
    total = sum((Counter(process["counts"]) for process in processes), Counter[str]())
    return {
        **machine(),
        "processes": len(processes),
        "events": total.total(),
        "sockets": sum(count for name, count in total.items() if name.startswith("socket.")),
        "cpu_seconds": round(spent, 1),
        "by_event": dict(total.most_common(10)),
        "by_command": [
            {
                "command": process["command"],
                "events": sum(process["counts"].values()),
                "cpu_seconds": round(process["cpu"], 1),
            }
            for process in processes
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
