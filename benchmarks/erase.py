"""Time `churn data-subject erase` of one person among a million, in total and by part.

Needs a rendered project with a finished `make run`, its environment, and about 25 GB of disk.
Writes docs/benchmarks/erase.json and erase.md: python benchmarks/erase.py PROJECT
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from harness import arguments, cpu_seconds, environment, machine, publish

from sovereign_ml.cli.composition import project_stores
from sovereign_ml.config import settings
from sovereign_ml.data_subjects import erasure
from sovereign_ml.data_subjects.erasure_procedure import ErasureProcedure
from sovereign_ml.data_subjects.stores import dvc_versions, inventory
from sovereign_ml.data_subjects.stores.feast_sqlite import entity_key
from sovereign_ml.features.feast import VIEW
from sovereign_ml.pipeline.file_validation import AT_ONCE, ROW_GROUP
from sovereign_ml.storage import duckdb as db

PROMISED = 60
STAGES = ("data", "validate", "features", "train", "evaluate", "card", "register", "score")
HEAD = """\
# Erasing one person

One run on {cores} shared cores, Python {python}: `churn data-subject erase` in the profile local,
in a process of its own, start included, of one person among {customers:,} customers with
{transactions:,} purchases ({data_gb} GB in `data/`, and again in the DVC cache and the remote).
The decision log is small. {load:.0f} processes waited for or used the cores when it began, so that
seconds of the clock may hold waiting; CPU seconds do not. Made by `benchmarks/erase.py`; the
numbers are in `erase.json`.

| part | seconds | CPU seconds |
|---|---|---|
{rows}
| **all** | **{seconds:.1f}** | **{cpu:.1f}** |

Promised: less than {promised} seconds.
"""


def main() -> int:
    """Measure, then write JSON and table. Exit 1 above the promise."""
    parser = arguments(__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--purchases", type=int, default=50, help="of each customer")
    parser.add_argument(
        "--folder",
        type=Path,
        default=None,
        help="where the large project is made; default: a new one",
    )
    parser.add_argument("--person", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.person:
        return measured(options.project, options.person)
    with tempfile.TemporaryDirectory(prefix="churn-erase-", dir=options.folder) as folder:
        project = Path(folder) / "acme-churn"
        enlarge(options.project.resolve(), project, options.customers, options.purchases)
        result = report(project)
    rows = "\n".join(
        f"| {part} | {took['seconds']:.1f} | {took['cpu']:.1f} |"
        for part, took in result["parts"].items()
    )
    text = HEAD.format(**result, rows=rows, promised=PROMISED)
    publish(options.out, "erase", result, text)
    return 0 if result["seconds"] < PROMISED else 1


def enlarge(project: Path, large: Path, customers: int, purchases: int) -> None:
    """Copy the project with ``customers`` people in every table, as a data version."""
    ignored = shutil.ignore_patterns(".venv", ".churn", "cache", "tmp", "build", "__pycache__")
    shutil.copytree(project, large, ignore=ignored, symlinks=True)
    data = large / "data"
    with closing(db.connect()) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            "CREATE TABLE people AS SELECT md5(range::VARCHAR) AS customer_id "
            f"FROM range({customers}) ORDER BY 1"
        )
        lines = f"""SELECT customer_id,
            TIMESTAMPTZ '2025-01-01' + to_seconds(hash(customer_id, n) % 46000000) AS event_time,
            CAST(hash(n, customer_id) % 20000 / 100 AS DECIMAL(18, 2)) AS amount_eur,
            'category ' || hash(customer_id, n, 1) % 12 AS category
            FROM people, range({purchases}) AS t(n) ORDER BY ALL"""
        _write(connection, lines, data / "1_raw/transactions.parquet")
        _like(connection, data / "1_raw/customers.parquet", "SELECT customer_id FROM people")
        _like(connection, data / "1_raw/groups.parquet", "SELECT customer_id FROM people")
        for name in ("transactions", "customers", "groups"):
            _valid(data / f"1_raw/{name}.parquet", data / f"2_valid/{name}.parquet")
        cuts = "SELECT DISTINCT event_timestamp FROM "
        for name, table in (
            ("snapshots", "3_features"),
            ("training", "3_features"),
            ("scores", "8_scores"),
        ):
            path = data / table / f"{name}.parquet"
            when = f"JOIN ({cuts}'{path}') AS c ON true" if table == "3_features" else ""
            _like(connection, path, f"SELECT * FROM people {when} WHERE hash(customer_id) % 2 = 0")
    _online(large, customers // 2)
    dvc_versions.commit(large, STAGES)
    subprocess.run([sys.executable, "-m", "dvc", "push", "--quiet"], cwd=large, check=True)


def _like(connection: Any, path: Path, rows: str) -> None:
    """Replace ``path`` by ``rows`` with its other columns, drawn from its old rows."""
    connection.execute(
        f"CREATE OR REPLACE TABLE old AS SELECT *, row_number() OVER () - 1 AS n_ FROM '{path}'"
    )
    new = connection.execute(f"DESCRIBE {rows}").fetchall()
    drop = ", ".join(["n_", *(str(row[0]) for row in new)])
    drawn = f"""SELECT given.*, old.* EXCLUDE ({drop}) FROM (
        SELECT *, hash(customer_id, 7) % (SELECT count(*) FROM old) AS draw_ FROM ({rows})
        ) AS given JOIN old ON given.draw_ = old.n_"""
    order = ", ".join(str(row[0]) for row in reversed(new))
    _write(connection, f"SELECT * EXCLUDE (draw_) FROM ({drawn}) ORDER BY {order}", path)


def _write(connection: Any, query: str, path: Path) -> None:
    side = path.with_suffix(".new")
    db.write_parquet(connection, query, side)
    side.replace(path)


def _valid(raw: Path, path: Path) -> None:
    """Write the rows of ``raw`` to ``path`` in the form that step 2 gives them."""
    with pq.ParquetFile(raw) as file:
        schema = file.schema_arrow.remove_metadata()
        with pq.ParquetWriter(path, schema, compression="zstd") as valid:
            for rows in file.iter_batches(batch_size=AT_ONCE):
                valid.write_batch(rows, row_group_size=ROW_GROUP)


def _online(large: Path, customers: int) -> None:
    """Fill Feast's table with every value of ``customers`` people."""
    with closing(sqlite3.connect(large / "data/3_features/online.db")) as online, online:
        table = online.execute(
            f"SELECT name FROM sqlite_master WHERE name LIKE '%{VIEW}'"
        ).fetchone()[0]
        online.execute(
            f'CREATE TEMP TABLE one AS SELECT * FROM "{table}" '
            f'WHERE entity_key = (SELECT min(entity_key) FROM "{table}")'
        )
        online.execute(f'DELETE FROM "{table}"')
        fields = [row[1] for row in online.execute(f'PRAGMA table_info("{table}")')]
        others = ", ".join("?" if name == "entity_key" else name for name in fields)
        head = entity_key("0" * 32)
        keys = ((head.replace(b"0" * 32, f"{i:032x}".encode()),) for i in range(customers))
        online.executemany(f'INSERT INTO "{table}" SELECT {others} FROM one', keys)


def measured(project: Path, person: str) -> int:
    """Erase ``person`` with two clocks at every part, and print the seconds as JSON."""
    parts: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def clocked(part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*values: Any, **named: Any) -> Any:
            start, cpu = time.perf_counter(), time.process_time()
            try:
                return work(*values, **named)
            finally:
                parts[part]["seconds"] += time.perf_counter() - start
                parts[part]["cpu"] += time.process_time() - cpu

        return run

    every = inventory.every

    def clocked_stores(*values: Any) -> Any:
        stores = every(*values)
        for store in stores:
            for verb, label in (("find", "search"), ("remove", "remove from")):
                setattr(store, verb, clocked(f"{label} {store.name}", getattr(store, verb)))
        return stores

    inventory.every = clocked_stores  # type: ignore[assignment]
    dvc_versions.clean_stages = clocked("ask DVC what is up to date", dvc_versions.clean_stages)
    dvc_versions.commit = clocked(
        "of which: the new version into the DVC cache", dvc_versions.commit
    )
    finish = clocked("write the receipt", ErasureProcedure.finish)
    ErasureProcedure.finish = finish  # type: ignore[method-assign]
    receipt = erasure.erase(project_stores(settings.load("local", project)), [person])
    print(
        json.dumps({"status": receipt.status, "places": len(receipt.removed), "parts": dict(parts)})
    )
    return 0


def report(project: Path) -> dict[str, Any]:
    """Return the figures of one run on a person who is in every table."""
    raw = project / "data/1_raw"
    rows = {
        name: pq.read_metadata(raw / f"{name}.parquet").num_rows
        for name in ("customers", "transactions")
    }
    with closing(db.connect()) as connection:
        newest = connection.execute(
            f"SELECT max(customer_id) FROM '{project}/data/8_scores/scores.parquet'"
        ).fetchone()
    assert newest
    size = sum(path.stat().st_size for path in (project / "data").rglob("*") if path.is_file())
    command = [sys.executable, str(Path(__file__)), str(project), "--person", newest[0]]
    environ = environment(project / "src")
    load = os.getloadavg()[0]
    start, before = time.perf_counter(), cpu_seconds(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command, cwd=project, env=environ, check=True, capture_output=True, text=True
    )
    seconds = time.perf_counter() - start
    cpu = cpu_seconds(resource.RUSAGE_CHILDREN) - before
    measurement = json.loads(done.stdout.splitlines()[-1])
    if measurement["status"] != "complete":
        raise SystemExit(f"The erasure ended as {measurement['status']}")
    return {
        **machine(),
        **rows,
        "data_gb": round(size / 1e9, 1),
        "places": measurement["places"],
        "seconds": round(seconds, 1),
        "cpu": round(cpu, 1),
        "load": round(load, 1),
        "parts": {
            part: {clock: round(value, 1) for clock, value in took.items()}
            for part, took in measurement["parts"].items()
        },
    }


if __name__ == "__main__":
    sys.exit(main())
