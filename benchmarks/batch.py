"""Time `churn score` on files with millions of customers: the real command, gates and files.

Needs a rendered project with a finished `make run`, and its environment.
Writes docs/benchmarks/batch.json and batch.md: python benchmarks/batch.py PROJECT
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from harness import arguments, environment, machine, publish

PROMISED = 200_000
SCORE = """
from harness import peak_kb
from sovereign_ml.cli.main import main
try:
    main()
finally:
    print(peak_kb())
"""
HEAD = """\
# Batch scoring on files

One run on {cores} shared cores, Python {python}: `churn score` as a process of its own, start
included, over {customers:,} customers drawn from the current ones of this project with new
pseudonyms, in `data/3_features` ({features_mb} MB of Parquet), with a customers table of the
same size. {barred:,} of them had objected or given no consent and were left out. Median of
{rounds} runs. Made by `benchmarks/batch.py`; the numbers are in `batch.json`.

| customers | seconds | customers per second | memory at most | scores written |
|---|---|---|---|---|
| {customers:,} | {seconds:.1f} | {per_second:,.0f} | {memory_mb:,.0f} MB | {scores_mb} MB |

Promised: at least 200,000 customers per second.
"""


def main() -> int:
    """Measure, then write JSON and table. Exit 1 below the promise."""
    parser = arguments(__doc__)
    parser.add_argument("--customers", type=int, default=3_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="churn-batch-") as folder:
        large = enlarge(options.project.resolve(), Path(folder), options.customers)
        runs = [once(large, options.project.resolve()) for _ in range(options.rounds)]
        result = report(large, options.customers, runs)
    publish(options.out, "batch", result, HEAD.format(**result))
    return 0 if result["per_second"] >= PROMISED else 1


def enlarge(project: Path, folder: Path, customers: int) -> Path:
    """Copy what step 8 reads, with ``customers`` people: feature rows drawn with replacement."""
    for name in ("config.toml", "pyproject.toml", "data/7_bundle"):
        copy = shutil.copytree if (project / name).is_dir() else shutil.copy
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy(project / name, folder / name)
    features, valid = (_folder(project, folder, name) for name in ("3_features", "2_valid"))
    current = json.loads((features / "summary.json").read_text())["current"]
    rows = pq.read_table(project / "data/3_features/snapshots.parquet")
    rows = rows.filter(pc.equal(pc.strftime(rows["event_timestamp"], "%Y-%m-%d"), current))
    people = pq.read_table(project / "data/2_valid/customers.parquet")
    people = people.take(pc.index_in(rows["customer_id"], people["customer_id"].combine_chunks()))
    draw = np.random.default_rng(7)
    drawn = pa.array(draw.integers(len(rows), size=customers))
    rows, people = rows.take(drawn), people.take(drawn)
    names = pa.array([f"{i:032x}" for i in draw.permutation(customers).tolist()])
    # Numbers are moved by up to 1 %, or Parquet would store each distinct row once.
    for name in rows.column_names:
        if pa.types.is_floating(rows.schema.field(name).type):
            rows = _put(
                rows, name, pc.multiply(rows[name], pa.array(draw.uniform(0.99, 1.01, customers)))
            )
    # Every 50th person objects and every 20th withdraws consent after step 3, so that the gates of
    # step 8 have work.
    number = np.arange(customers)
    people = _put(people, "consent", pa.array(number % 20 > 0))
    people = _put(
        people,
        "objected_at",
        pc.if_else(number % 50 > 0, None, pc.cast("2026-01-01", pa.timestamp("us"))),
    )
    for table, path in (
        (rows, features / "snapshots.parquet"),
        (people, valid / "customers.parquet"),
    ):
        pq.write_table(_put(table, "customer_id", names), path, compression="zstd")
    return folder


def _put(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)


def _folder(project: Path, folder: Path, name: str) -> Path:
    copy = folder / "data" / name
    copy.mkdir()
    shutil.copy(project / "data" / name / "summary.json", copy / "summary.json")
    return copy


def once(folder: Path, project: Path) -> tuple[float, int]:
    """Return the seconds of one `churn score` by the code of ``project``, and its peak in kB."""
    command = [sys.executable, "-c", SCORE, "score"]
    environ = environment(project / "src", Path(__file__).parent)
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environ, check=True, stdout=subprocess.PIPE)
    return time.perf_counter() - start, int(done.stdout.splitlines()[-1])


def report(folder: Path, customers: int, runs: list[tuple[float, int]]) -> dict[str, Any]:
    """Return the figures of the runs. Refuse them unless everybody was scored or left out."""
    summary = json.loads((folder / "data/8_scores/summary.json").read_text())
    barred = sum(summary["barred"].values())
    if summary["rows_out"] + barred != customers:
        raise SystemExit(
            f"{customers:,} customers, but {summary['rows_out']:,} scored and {barred:,} left out"
        )
    took = statistics.median(seconds for seconds, _ in runs)
    return {
        **machine(),
        "customers": customers,
        "barred": barred,
        "rounds": len(runs),
        "seconds": round(took, 2),
        "per_second": round(customers / took),
        "memory_mb": round(max(peak for _, peak in runs) / 1024),
        "features_mb": _megabytes(folder / "data/3_features/snapshots.parquet"),
        "scores_mb": _megabytes(folder / "data/8_scores/scores.parquet"),
    }


def _megabytes(path: Path) -> int:
    return round(path.stat().st_size / 1e6)


if __name__ == "__main__":
    sys.exit(main())
