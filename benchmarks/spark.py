"""Measure step 3 at Spark beside DuckDB, and work out what 10 billion events would take.

Both compute the same snapshots and labels from the same file on two threads, each in a process of
its own. What one more million lines costs at Spark comes from two sizes, so that its start is out
of it. The rest of the page is arithmetic with these figures, the numbers of the arguments, and the
steps 1 and 2 of scale.json. Needs a rendered project with a finished `make run`, its environment,
Java, and the client (`make setup-spark` in it, or CHURN_CLIENTS). Writes docs/benchmarks/spark.json
and spark.md: ENVIRONMENT/bin/python benchmarks/spark.py PROJECT
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import features as one_machine
from harness import arguments, environment, machine, publish

from sovereign_ml.config.tables import FeatureEngine

MEASURED = 4
"""Cut-offs of the measured runs: three with labels, which is the fewest, and the current day."""
ENGINES: dict[FeatureEngine, str] = {"duckdb": "DuckDB", "spark": "Spark"}
PART_BYTES = 128_000_000
"""Size of one part of a shuffle that an executor of some gigabytes holds with ease."""
HEAD = """\
# Beyond one machine

`[features] engine = "spark"` gives the SQL of step 3 to Spark: on this machine, on a cluster of your
own, or by Spark's operator on Kubernetes. This page says what that costs, and from which size on it
is worth it. One run on {cores} shared cores, Python {python}, Spark in one process with {threads}
threads and 2 GB. Made by `benchmarks/spark.py`; the numbers are in `spark.json`.

## Measured

{measured} cut-offs, all features and labels. Both engines wrote the same snapshots and labels, value by
value.

| lines | snapshots | engine | CPU seconds | wall seconds |
|---|---|---|---|---|
{rows}

| what | measured |
|---|---|
| CPU seconds of DuckDB for one more million lines | {duckdb_cpu:.2f} |
| CPU seconds of Spark for one more million lines | {spark_cpu:.2f} |
| lines within the lookback that one core of Spark takes a second, over all cut-offs | {rate:,.0f} |
| bytes of a line in Parquet, in the project that was measured | {line_bytes:.1f} |
| bytes of a snapshot in Parquet, as Spark writes it | {snapshot_bytes:.1f} |
| bytes of shuffle files for a line within the lookback, compressed and encrypted, at most | {shuffle_bytes:.1f} |

The sizes are small, so that Java was still compiling while it was measured: the rate of a core is a
lower bound, and the core-hours below are an upper one. The project that was measured is an invented
shop, whose lines compress better than those of a real one.

DuckDB is the right engine as long as the data fits on the disk of one machine: it takes
{factor:.1f} times less CPU for the same lines, and starts at once.

## Arithmetic: {events:,} events of {customers:,} customers

Assumed, and arguments of the script: {months} months of events, of which each cut-off looks back on 12;
{active:.0%} of the customers are active at a cut-off; {cutoffs} cut-offs; {cluster} cores; {price} EUR for a core-hour.

| | how | result |
|---|---|---|
| storage of the events | events × bytes of a line | {storage_tb:.2f} TB |
| the same in steps 1 and 2, and one former version in DVC | × 4 | {all_storage_tb:.2f} TB |
| lines of one cut-off | events × 12 / months | {cut_lines:,.0f} |
| lines over {cutoffs} cut-offs | × {cutoffs} | {visits:,.0f} |
| core-hours of the snapshots | lines / rate of one core | {core_hours:,.0f} |
| hours on {cluster} cores | / cores, if nothing waits | {hours:,.1f} |
| cost of one full build | core-hours × price | {cost:,.0f} EUR |
| shuffle of one cut-off | lines × bytes of shuffle | {shuffle_tb:.2f} TB |
| `[spark] partitions` | shuffle / {part_mb} MB | {partitions:,} |
| disks of the workers | shuffle of one cut-off, twice | {disk_tb:.2f} TB |
| snapshots | customers × active × cut-offs | {snapshots:,.0f} |
| storage of the snapshots | × bytes of a snapshot | {snapshots_tb:.2f} TB |

## What breaks first

1. **Steps 1 and 2** are not at Spark. At the rates of [More data](scale.md) they need {step_hours:,.0f}
   CPU hours for so many lines, on one machine, and each writes one file. From some hundred million
   lines on, let your warehouse map and pseudonymise, and give step 1 less history.
2. **The way back.** The snapshots go through DuckDB on the machine of the step: {snapshots_tb:.2f} TB are
   read, sorted on its disk and written once more. Fewer cut-offs, or `[features] inputs` with the
   features that the model needs, make it smaller; the training set is a join of that table.
3. **Labels.** They compare each line with each cut-off, on every worker: {label_pairs:,.0f}
   comparisons, cheap but linear in the cut-offs.
4. **One customer with very many lines** is one group of one task. Spark's adaptive execution splits
   joins that are skewed, and no groups: set aside such ids in `[data] where`.
5. **The online store.** {online:,.0f} rows are written anew after each run, from one process.
6. **Full builds.** Every run computes every cut-off again. Nothing is kept from the day before.

Not measured: a cluster of more than one machine, S3, and the operator on a real cluster.
"""


def main() -> int:
    """Measure, then write JSON and page. Exit 1 if the engines differ in a value."""
    parser = arguments(__doc__)
    parser.add_argument("--lines", type=int, nargs=2, default=[1_000_000, 5_000_000])
    parser.add_argument("--events", type=int, default=10_000_000_000)
    parser.add_argument("--customers", type=int, default=100_000_000)
    parser.add_argument("--months", type=int, default=24, help="of events")
    parser.add_argument("--active", type=float, default=0.5, help="share of customers at a cut-off")
    parser.add_argument("--cluster", type=int, default=256, help="cores")
    parser.add_argument("--price", type=float, default=0.05, help="EUR for a core-hour")
    parser.add_argument("--cutoffs", type=int, default=9, help="eight with labels, and the newest")
    parser.add_argument("--engine", choices=sorted(ENGINES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine:
        return child(options.engine, options.folder)
    project = options.project.resolve()
    sizes = [measured(project, lines) for lines in options.lines]
    result = machine() | {"sizes": sizes} | rates(project, sizes)
    asked = {
        name: getattr(options, name)
        for name in ("events", "customers", "months", "active", "cutoffs", "cluster", "price")
    }
    scale = json.loads((options.out / "scale.json").read_text())
    result |= asked | worked_out(result | asked, scale)
    publish(options.out, "spark", result, page(result))
    return 0


def measured(project: Path, lines: int) -> dict[str, Any]:
    """Return the figures of both engines on ``lines`` lines, 12 for each customer."""
    with tempfile.TemporaryDirectory(prefix="churn-spark-") as name:
        folder = Path(name)
        with duckdb.connect() as connection:
            connection.execute(one_machine.LIMITS)
            path = folder / "transactions.parquet"
            query = one_machine.LINES.format(customers=lines // 12, lines=lines, path=path)
            connection.execute(query)
        figures = {engine: run(project, engine, folder) for engine in ENGINES}
        with duckdb.connect() as connection:
            for table in ("snapshots", "labels"):
                files = [f"'{folder / engine}-{table}.parquet'" for engine in ENGINES]
                for first, second in (files, files[::-1]):
                    query = f"SELECT count(*) FROM (FROM {first} EXCEPT ALL FROM {second})"
                    ((differ,),) = connection.execute(query).fetchall()
                    if differ:
                        raise SystemExit(f"{differ:,} rows of {table} differ between the engines")
            [(rows,)] = connection.execute(f"SELECT count(*) FROM {files[0]}").fetchall()
        return {"lines": lines, "snapshots": rows, **figures}


def run(project: Path, engine: str, folder: Path) -> dict[str, float]:
    """Run one engine in a process of its own, and return its own measurement."""
    command = [sys.executable, str(Path(__file__)), str(project)]
    command += ["--engine", engine, "--folder", str(folder)]
    environ = environment(project / "src")
    environ.setdefault("CHURN_CLIENTS", str(project / ".venv/clients"))
    done = subprocess.run(
        command, cwd=folder, env=environ, check=True, stdout=subprocess.PIPE, text=True
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def child(engine: FeatureEngine, folder: Path) -> int:
    """Write snapshots and labels as step 3 makes them, and print what it took."""
    from churn import features

    from sovereign_ml.config.connections import SparkCluster
    from sovereign_ml.config.tables import FeatureSettings
    from sovereign_ml.features import spark
    from sovereign_ml.storage import duckdb as db

    config = FeatureSettings(
        cutoffs=MEASURED - 1,
        every_days=30,
        horizon_days=30,
        active_within_days=90,
        lookback_days=365,
    )
    # Java is nobody's child when it ends, so that its CPU seconds have to be sampled.
    sampler = Sampler(folder / db.SPILLED)
    sampler.start()
    start, before = time.perf_counter(), time.process_time()
    connection = features.load(folder, engine=engine)
    labelled, current = features.cutoffs(features.history(connection)[1], config)
    cuts = [*labelled, current]
    if engine == "spark":
        master = f"local[{one_machine.THREADS}]"
        cluster = SparkCluster(master, "127.0.0.1", "2g", 8, {}, folder)
        queries = features.for_spark(folder, config, "no_purchase")
        spark.compute(connection, cluster, queries, cuts)
    else:
        connection.execute(f"SET threads = {one_machine.THREADS}")
        features.compute(connection, cuts, config)
        features.label(connection, config.horizon_days)
    figures = {
        "wall": time.perf_counter() - start,
        "cpu": time.process_time() - before + sampler.finish(),
        "shuffle_bytes": sampler.shuffle,
        "snapshot_bytes": sampler.snapshots,
    }
    for table in ("snapshots", "labels"):
        ordered = f"FROM {table} ORDER BY event_timestamp, customer_id"
        db.write_parquet(connection, ordered, folder / f"{engine}-{table}.parquet")
    print(json.dumps(figures))
    return 0


class Sampler(threading.Thread):
    """Follow the Java process of a run: its CPU seconds, and the bytes that it has on disk."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder, self.ended = folder, threading.Event()
        self.cpu, self.shuffle, self.snapshots = dict[str, float](), 0, 0

    def run(self) -> None:
        """Sample four times a second until the run has ended."""
        while not self.ended.wait(0.25):
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    if str(self.folder) in (process / "cmdline").read_text():
                        fields = (process / "stat").read_text().rpartition(")")[2].split()
                        ticks = int(fields[11]) + int(fields[12])
                        self.cpu[process.name] = ticks / os.sysconf("SC_CLK_TCK")
                except OSError:
                    continue
            self.shuffle = max(self.shuffle, size_of(self.folder, "shuffle"))
            self.snapshots = max(self.snapshots, size_of(self.folder, "snapshots"))

    def finish(self) -> float:
        """End the sampling, and return the CPU seconds."""
        self.ended.set()
        self.join()
        return sum(self.cpu.values())


def size_of(folder: Path, part: str) -> int:
    """Return the bytes of the files below a folder that is called ``part``."""
    total = 0
    # Spark removes folders meanwhile. os.walk passes over what is gone.
    for place, _, files in os.walk(folder):
        if part in Path(place).parts:
            for name in files:
                with suppress(OSError):
                    total += Path(place, name).stat().st_size
    return total


def rates(project: Path, sizes: list[dict[str, Any]]) -> dict[str, float]:
    """Return the costs of one more line, and the bytes of a line and of a snapshot."""
    small, large = sizes
    more = large["lines"] - small["lines"]
    cpu = {engine: (large[engine]["cpu"] - small[engine]["cpu"]) / more * 1e6 for engine in ENGINES}
    shop = project / "data/2_valid/transactions.parquet"
    with duckdb.connect() as connection:
        [(rows,)] = connection.execute(f"SELECT count(*) FROM '{shop}'").fetchall()
    # The lines spread evenly over two years, so that each cut-off looks back on a share of them.
    share = share_within_lookback()
    visits = more * share
    return {
        "duckdb_cpu": cpu["duckdb"],
        "spark_cpu": cpu["spark"],
        "factor": cpu["spark"] / cpu["duckdb"],
        "rate": visits / (large["spark"]["cpu"] - small["spark"]["cpu"]),
        "line_bytes": shop.stat().st_size / rows,
        "snapshot_bytes": large["spark"]["snapshot_bytes"] / large["snapshots"],
        "shuffle_bytes": large["spark"]["shuffle_bytes"] / (large["lines"] * share),
    }


def share_within_lookback() -> float:
    """Return how many times an average line of the measured file lies within a lookback.

    The file has 730 days. Its cut-offs are its end and, from 30 days before that, every 30 days.
    """
    total = 0.0
    for number in range(MEASURED):
        cut = 730 if number == 0 else 730 - 30 * number - 1
        total += min(cut, 365) / 730
    return total


def worked_out(known: dict[str, Any], scale: dict[str, Any]) -> dict[str, float]:
    """Return the arithmetic of the page from measured rates and the assumptions."""
    events, tera = known["events"], 1e12
    cut_lines = events * min(1, 12 / known["months"])
    visits = cut_lines * known["cutoffs"]
    core_hours = visits / known["rate"] / 3600
    shuffle = cut_lines * known["shuffle_bytes"]
    snapshots = known["customers"] * known["active"] * known["cutoffs"]
    return {
        "storage_tb": events * known["line_bytes"] / tera,
        "all_storage_tb": 4 * events * known["line_bytes"] / tera,
        "cut_lines": cut_lines,
        "visits": visits,
        "core_hours": core_hours,
        "hours": core_hours / known["cluster"],
        "cost": core_hours * known["price"],
        "shuffle_tb": shuffle / tera,
        "partitions": math.ceil(shuffle / PART_BYTES),
        "disk_tb": 2 * shuffle / tera,
        "snapshots": snapshots,
        "snapshots_tb": snapshots * known["snapshot_bytes"] / tera,
        "label_pairs": events * known["cutoffs"],
        "online": known["customers"] * known["active"],
        "step_hours": events * seconds_of_a_line(scale) / 3600,
    }


def seconds_of_a_line(scale: dict[str, Any]) -> float:
    """Return the CPU seconds of steps 1 and 2 for one more line, by scale.json."""
    return sum(
        (large["cpu"] - small["cpu"]) / (large["lines"] - small["lines"])
        for small, large in scale["steps"].values()
    )


def page(result: dict[str, Any]) -> str:
    """Return the page."""
    rows = [
        f"| {size['lines']:,} | {size['snapshots']:,} | {name} | {size[engine]['cpu']:.1f} "
        f"| {size[engine]['wall']:.1f} |"
        for size in result["sizes"]
        for engine, name in ENGINES.items()
    ]
    words = {"measured": MEASURED, "threads": one_machine.THREADS, "part_mb": PART_BYTES // 10**6}
    return HEAD.format(**result, **words, rows="\n".join(rows))


if __name__ == "__main__":
    sys.exit(main())
