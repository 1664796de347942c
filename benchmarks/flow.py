"""Measure `churn run`: CPU seconds of the flow, of each step alone, and of warm functions.

CPU seconds, because two runs on a busy machine differ more in wall time than in work. The ratios
come from one run on one machine. Needs a rendered project and its environment. Everything is made
in a copy. Writes docs/benchmarks/flow.json and flow.md: ENVIRONMENT/bin/python benchmarks/flow.py
PROJECT
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import arguments, environment, fresh, machine, publish

CHURN = str(Path(sys.executable).with_name("churn"))
STEPS = ("data", "validate", "features", "train", "evaluate", "card", "register", "score")
GOALS = {"cpu_seconds": 33, "ratio_to_warm": 1.6, "help_seconds": 0.3, "unchanged_seconds": 1.5}
"""Goals: CPU of `churn run` from nothing, ratio to warm functions, wall time of two commands."""
WARM = """\
import json, sys, time
from pathlib import Path
from sovereign_ml.config import settings
from sovereign_ml.pipeline.flow import run_step
from sovereign_ml.project import load_project
chosen, project = settings.load("local", Path.cwd()), load_project(Path.cwd())
for _ in range(2):
    used = {}
    for step in project.steps:
        start = time.process_time()
        run_step(step.verb, chosen, project)
        used[step.verb] = round(time.process_time() - start, 2)
print(json.dumps(used))
"""
HEAD = """\
# What the flow costs

One `churn run` of the built-in shop (50,000 lines, 4,000 customers) from nothing, on {cores} shared
cores with a load of {load:.0f}, Python {python}. CPU seconds of all processes, modules compiled
before. Made by `benchmarks/flow.py`; the numbers are in `flow.json`.

| | CPU seconds | wall seconds | wanted |
|---|---|---|---|
| `churn run`, all steps | {run_cpu:.1f} | {run_wall:.1f} | {cpu_seconds} CPU s |
| the same steps as eight processes | {apart_cpu:.1f} | {apart_wall:.1f} | |
| the same functions in one warm process | {warm_cpu:.1f} | | |
| `churn run`, nothing changed | {unchanged_cpu:.2f} | {unchanged_wall:.2f} | {unchanged_seconds} s |
| `churn run`, another `[train] seed`: {changed_steps} | {changed_cpu:.1f} | {changed_wall:.1f} | |
| `churn --help` | {help_cpu:.2f} | {help_wall:.2f} | {help_seconds} s |
| `python -c pass` | {python_cpu:.2f} | {python_wall:.2f} | |

`churn run` takes {ratio_apart:.2f} of the eight processes, and {ratio_warm:.2f} times the warm
functions (wanted: {ratio_to_warm}).

| step | alone | warm |
|---|---|---|
{steps}
"""


def main() -> int:
    """Measure, then write JSON and page. Exit 1 if a ratio is missed."""
    options = arguments(__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="churn-flow-") as folder:
        result = measured(options.project.resolve(), Path(folder))
    publish(options.out, "flow", result, page(result))
    return 0 if result["ratio_warm"] <= GOALS["ratio_to_warm"] else 1


def measured(project: Path, folder: Path) -> dict[str, Any]:
    """Return the figures of one run of everything, in copies of ``project`` below ``folder``."""
    whole, apart = (fresh(project, folder / name / project.name) for name in ("whole", "apart"))
    # The first command compiles the modules that all of them import.
    timed([CHURN, "data"], fresh(project, folder / "first" / project.name))
    idle = min(timed([sys.executable, "-c", "pass"], whole) for _ in range(3))
    help_times = min(timed([CHURN, "--help"], whole) for _ in range(3))
    alone = {verb: timed([CHURN, verb], apart) for verb in STEPS}
    run = timed([CHURN, "run"], whole)
    unchanged = timed([CHURN, "run"], whole)
    warm = json.loads(output([sys.executable, "-c", WARM], apart).splitlines()[-1])
    config = whole / "config.toml"
    head, train, rest = config.read_text().partition("[train]\n")
    config.write_text(head + train + rest.replace("seed = 7", "seed = 8", 1))
    start = time.time()
    changed = timed([CHURN, "run"], whole)
    ran = [verb for verb in STEPS if (whole / f".churn/steps/{verb}.json").stat().st_mtime > start]
    figures = {
        "help": help_times,
        "python": idle,
        "run": run,
        "unchanged": unchanged,
        "changed": changed,
    }
    sums = [round(sum(column), 2) for column in zip(*alone.values(), strict=True)]
    figures["apart"] = (sums[0], sums[1])
    flat = {f"{name}_cpu": cpu for name, (cpu, _) in figures.items()}
    flat |= {f"{name}_wall": wall for name, (_, wall) in figures.items()}
    return {
        **machine(),
        "load": os.getloadavg()[0],
        **flat,
        "changed_steps": ", ".join(ran),
        "warm_cpu": round(sum(warm.values()), 2),
        "ratio_apart": round(run[0] / sums[0], 3),
        "ratio_warm": round(run[0] / sum(warm.values()), 3),
        "alone": {verb: cpu for verb, (cpu, _) in alone.items()},
        "warm": warm,
    }


def timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Return the CPU seconds of a command with its children, and its wall seconds."""
    before, start = os.times(), time.perf_counter()
    output(command, folder)
    wall, after = time.perf_counter() - start, os.times()
    cpu = (
        after.children_user + after.children_system - before.children_user - before.children_system
    )
    return round(cpu, 2), round(wall, 2)


def output(command: list[str], folder: Path) -> str:
    """Return what the command prints. Raises SystemExit with its message if it fails."""
    environ = environment(folder / "src", HOME=str(folder.parent))
    done = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:2])} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def page(result: dict[str, Any]) -> str:
    """Return the page."""
    rows = [
        f"| {verb} | {result['alone'][verb]:.1f} | {result['warm'][verb]:.1f} |" for verb in STEPS
    ]
    return HEAD.format(**result, **GOALS, steps="\n".join(rows))


if __name__ == "__main__":
    sys.exit(main())
