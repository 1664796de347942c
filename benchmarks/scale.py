"""Measure the steps on more data than a first run has, each part against bare code in one run.

Steps 1 and 2 run on two sizes of input, so that the page shows whether they grow with it. The
point-in-time join and batch scoring stand beside the shortest code that gives the same values.
CPU seconds and peak memory are those of one process for each figure, imports included. Needs a
rendered project with a finished `make run`, and its environment. Writes docs/benchmarks/scale.json
and scale.md: ENVIRONMENT/bin/python benchmarks/scale.py PROJECT
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import batch
import numpy as np
from harness import arguments, environment, fresh, machine, publish, used

from sovereign_ml.storage import duckdb as db

JOIN_WANTED, SCORE_WANTED, GROWTH_WANTED = 1.5, 0.5, 1.3
TTL = timedelta(days=30)
HEAD = """\
# More data

One run on {cores} shared cores, Python {python}. CPU seconds of one process for each figure, and
the peak memory of steps 1 and 2. Start and imports are included, which weigh more the less data there is: Feast and
Great Expectations take some seconds each to import. Made by `benchmarks/scale.py`; the numbers are in
`scale.json`. The SQL of step 3 is in [Features at size](features.md), the erasure of one person in
[Erasing one person](erase.md).

## Steps 1 and 2

The lines are in a Parquet file. Step 1 works in DuckDB, and step 2 reads and writes in parts.

| lines | step | CPU seconds | peak GB |
|---|---|---|---|
{steps}

CPU seconds for each line at the larger size, as a multiple of those at the smaller one: {growth}
(wanted: at most {growth_wanted}).

## Point-in-time join

The training set of step 3 through Feast, with {entities:,} rows to look up among {features:,}
snapshots, against one ASOF join of DuckDB. Both write the same values as Parquet.

| | CPU seconds |
|---|---|
| through Feast | {join_cpu:.1f} |
| the bare join | {bare_join_cpu:.1f} |

Feast takes {join_ratio:.2f} times the bare join (wanted: at most {join_wanted}).

## Batch scoring

`churn score` over {customers:,} customers, with gates and three reasons each, against code that
reads the same file, computes scores and the three largest contributions, and writes them.

| | CPU seconds |
|---|---|
| `churn score` | {score_cpu:.1f} |
| bare arithmetic | {bare_score_cpu:.1f} |

`churn score` has {score_speed:.2f} of the speed of the bare arithmetic (wanted: at least
{score_wanted}).
"""
LINES = """COPY (
    SELECT 'C' || lpad((hash(range, 1) % {customers})::VARCHAR, 9, '0') AS customer_id,
        strftime(TIMESTAMP '2024-07-01' + to_seconds((hash(range, 2) % 63072000)::BIGINT),
            '%Y-%m-%dT%H:%M:%S') AS ordered_at,
        CASE WHEN hash(range, 3) % 25 = 0 THEN -1 ELSE 1 END
            * (hash(range, 4) % 20000 + 1) / 100.0 AS amount,
        'EUR' AS currency, 'category ' || hash(range, 5) % 12 AS category
    FROM range({lines})
) TO '{folder}/lines.parquet' (FORMAT parquet, COMPRESSION zstd)"""
PEOPLE = """COPY (
    SELECT 'C' || lpad(range::VARCHAR, 9, '0') AS customer_id, hash(range, 1) % 20 > 0 AS consent,
        CASE WHEN hash(range, 2) % 33 = 0 THEN TIMESTAMP '2026-03-01' END AS objected_at,
        CASE WHEN hash(range, 3) % 100 = 0 THEN TIMESTAMP '2026-03-01' END AS erased_at,
        1950 + hash(range, 4) % 50 AS birth_year, 'DE' AS country,
        NULL::DATE AS started_at, NULL::DATE AS ended_at
    FROM range({customers})
) TO '{folder}/people.parquet' (FORMAT parquet)"""
SNAPSHOTS = """COPY (
    SELECT md5(customer::VARCHAR) AS customer_id, {values},
        TIMESTAMP '2025-01-01' + to_days((30 * n)::INTEGER) AS event_timestamp
    FROM range({customers}) AS a(customer), range(12) AS b(n) ORDER BY event_timestamp, customer_id
) TO '{folder}/snapshots.parquet' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880)"""
ENTITIES = """COPY (
    SELECT md5((hash(range, 1) % {customers})::VARCHAR) AS customer_id,
        TIMESTAMP '2025-01-01' + to_seconds((hash(range, 2) % 32000000)::BIGINT) AS event_timestamp,
        CAST(range % 2 AS INTEGER) AS churned
    FROM range({entities})
) TO '{folder}/entities.parquet' (FORMAT parquet)"""
BARE_JOIN = """
    SELECT e.customer_id, e.event_timestamp, e.churned, {values}
    FROM (SELECT * REPLACE (CAST(event_timestamp AS TIMESTAMPTZ) AS event_timestamp)
        FROM '{folder}/entities.parquet') AS e
    ASOF LEFT JOIN (SELECT * REPLACE (CAST(event_timestamp AS TIMESTAMPTZ) AS event_timestamp)
        FROM '{folder}/snapshots.parquet') AS f
    ON e.customer_id = f.customer_id AND e.event_timestamp >= f.event_timestamp
    ORDER BY e.event_timestamp, e.customer_id"""


def main() -> int:
    """Measure, then write JSON and page. Exit 1 if a ratio is missed or values differ."""
    parser = arguments(__doc__)
    parser.add_argument("--lines", type=int, nargs=2, default=[1_000_000, 5_000_000])
    parser.add_argument("--entities", type=int, default=1_000_000)
    parser.add_argument("--snapshots", type=int, default=10_000_000)
    parser.add_argument("--customers", type=int, default=10_000_000, help="to score")
    parser.add_argument("--part", choices=sorted(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        return child(options.part, options.project, options.folder)
    project = options.project.resolve()
    result = (
        machine()
        | steps(project, options.lines)
        | joined(project, options.entities, options.snapshots)
        | scored(project, options.customers)
    )
    publish(options.out, "scale", result, page(result))
    good = result["join_ratio"] <= JOIN_WANTED and result["score_speed"] >= SCORE_WANTED
    return 0 if good and max(result["growth"].values()) <= GROWTH_WANTED else 1


def steps(project: Path, sizes: list[int]) -> dict[str, Any]:
    """Return the figures of steps 1 and 2 for both ``sizes``, in lines."""
    figures: dict[str, list[dict[str, float]]] = {"data": [], "validate": []}
    for lines in sizes:
        with tempfile.TemporaryDirectory(prefix="churn-scale-") as name:
            folder = Path(name)
            make(LINES, folder, lines=lines, customers=lines // 12)
            make(PEOPLE, folder, customers=lines // 12)
            copy = fresh(project, folder / project.name)
            config = (copy / "config.toml").read_text()
            for key, value in (
                ("transactions", f"{folder}/lines.parquet"),
                ("customers", f"{folder}/people.parquet"),
                ("as_of", "2026-06-30"),
            ):
                config = re.sub(rf'(?m)^{key} = ".*?"', f'{key} = "{value}"', config, count=1)
            (copy / "config.toml").write_text(config)
            for step, rows in figures.items():
                rows.append({"lines": lines, **run(step, project, copy)})
    growth = {
        step: round(large["cpu"] / large["lines"] / (small["cpu"] / small["lines"]), 2)
        for step, (small, large) in figures.items()
    }
    return {"steps": figures, "growth": growth}


def joined(project: Path, entities: int, snapshots: int) -> dict[str, Any]:
    """Return the figures of the join through Feast and of the bare one."""
    from churn.contract import FEATURES

    with tempfile.TemporaryDirectory(prefix="churn-scale-") as name:
        folder, customers = Path(name), snapshots // 12
        values = ", ".join(
            f"'category ' || hash(customer, n, {i}) % 12 AS {feature.name}"
            if feature.dtype == "string"
            else f"(hash(customer, n, {i}) % 100000) / 7 AS {feature.name}"
            for i, feature in enumerate(FEATURES)
        )
        make(SNAPSHOTS, folder, customers=customers, values=values)
        make(ENTITIES, folder, customers=customers, entities=entities)
        figures = {part: run(part, project, folder) for part in ("join", "bare_join")}
        files = [db.literal(str(folder / f"{part}.parquet")) for part in figures]
        with closing(db.connect()) as connection:
            query = f"SELECT count(*) FROM (FROM {files[0]} EXCEPT ALL FROM {files[1]})"
            ((differ,),) = connection.execute(query).fetchall()
            rows = db.count(connection, f"read_parquet({files[0]})")
        if differ or rows != entities:
            raise SystemExit(f"{differ:,} of {rows:,} rows differ between Feast and the bare join")
    ratio = round(figures["join"]["cpu"] / figures["bare_join"]["cpu"], 3)
    return {"entities": entities, "features": customers * 12, "join_ratio": ratio, **flat(figures)}


def scored(project: Path, customers: int) -> dict[str, Any]:
    """Return the figures of `churn score` and of the bare arithmetic."""
    with tempfile.TemporaryDirectory(prefix="churn-scale-") as name:
        folder = batch.enlarge(project, Path(name), customers)
        figures = {part: run(part, project, folder) for part in ("score", "bare_score")}
        with closing(db.connect()) as connection:
            query = (
                f"SELECT count(*), max(abs(a.score - b.score)) "
                f"FROM '{folder}/data/8_scores/scores.parquet' AS a "
                f"JOIN '{folder}/bare.parquet' AS b USING (customer_id)"
            )
            ((rows, gap),) = connection.execute(query).fetchall()
        if not rows or gap > 1e-6:
            raise SystemExit(f"The scores of {rows:,} customers differ by up to {gap}")
    speed = round(figures["bare_score"]["cpu"] / figures["score"]["cpu"], 3)
    return {"customers": customers, "score_speed": speed, **flat(figures)}


def make(query: str, folder: Path, **values: Any) -> None:
    """Write a Parquet file into ``folder`` by ``query``."""
    with closing(db.connect()) as connection:
        connection.execute(query.format(folder=folder, **values))


def flat(figures: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return the figures with the part before each name."""
    return {f"{part}_{k}": value for part, row in figures.items() for k, value in row.items()}


def run(part: str, project: Path, folder: Path) -> dict[str, float]:
    """Run one part in a process of its own, and return its own measurement."""
    command = [sys.executable, str(Path(__file__)), str(project), "--part", part]
    # The library refuses code of another folder than that of the project.
    code = folder if (folder / "src").is_dir() else project
    environ = environment(code / "src", HOME=str(folder.parent))
    done = subprocess.run(
        [*command, "--folder", str(folder)],
        cwd=folder,
        env=environ,
        check=False,
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{part} ended with {done.returncode}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def child(part: str, project: Path, folder: Path) -> int:
    """Run a part, and print its CPU seconds and its peak memory in GB."""
    PARTS[part](project, folder)
    print(json.dumps(used()))
    return 0


def step(verb: str) -> Callable[[Path, Path], None]:
    """Return the part that runs one step of the project in the folder."""

    def run_it(_: Path, folder: Path) -> None:
        from sovereign_ml.config import settings
        from sovereign_ml.pipeline import flow, source
        from sovereign_ml.project import load_project

        chosen = settings.load("local", folder)
        if verb == "data":
            source.refresh(chosen)
        flow.run_step(verb, chosen, load_project(folder))

    return run_it


def through_feast(project: Path, folder: Path) -> None:
    """Write the training set as step 3 does."""
    from churn import feature_repo
    from churn.contract import FEATURES

    from sovereign_ml.config import settings
    from sovereign_ml.features import feast

    stores = settings.load("local", project).feature_stores
    store = feast.apply(folder, stores, feature_repo.definitions)
    names = ["churned", *(feature.name for feature in FEATURES)]
    with closing(db.connect()) as connection:
        rows = f"SELECT * FROM '{folder}/entities.parquet'"
        feast.write_history(store, connection, rows, names, folder / "join.parquet")


def bare_join(_: Path, folder: Path) -> None:
    """Write the same rows with one query."""
    from churn.contract import FEATURES

    fresh_enough = f"f.event_timestamp + INTERVAL {TTL.days} DAY >= e.event_timestamp"
    values = ", ".join(
        f"CASE WHEN {fresh_enough} THEN f.{feature.name} END AS {feature.name}"
        for feature in FEATURES
    )
    with closing(db.connect()) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        query = BARE_JOIN.format(folder=folder, values=values)
        db.write_parquet(connection, query, folder / "bare_join.parquet")


def bare_score(_: Path, folder: Path) -> None:
    """Read the features, compute scores and the places of three reasons, and write them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from sovereign_ml.model.scorecard import sigmoid
    from sovereign_ml.pipeline.batch_scoring import read_whole

    model = read_whole(folder / "data/7_bundle").model
    with (
        pq.ParquetFile(folder / "data/3_features/snapshots.parquet") as file,
        pq.ParquetWriter(
            folder / "bare.parquet",
            pa.schema(
                {"customer_id": pa.string(), "score": pa.float64()}
                | {f"reason_{rank}": pa.int64() for rank in (1, 2, 3)}
            ),
        ) as writer,
    ):
        for rows in file.iter_batches(131_072, columns=["customer_id", *model.features]):
            columns = {name: rows[name].to_numpy(zero_copy_only=False) for name in model.features}
            parts = model.contributions(columns)
            reasons = np.argsort(-np.abs(parts), axis=1)[:, :3]
            scores = [
                rows["customer_id"].cast(pa.string()),
                pa.array(sigmoid(model.intercept + parts.sum(axis=1))),
                *(pa.array(reasons[:, rank]) for rank in range(3)),
            ]
            writer.write_batch(pa.record_batch(scores, schema=writer.schema))


def page(result: dict[str, Any]) -> str:
    """Return the page."""
    rows = [
        f"| {figure['lines']:,.0f} | {verb} | {figure['cpu']:.1f} | {figure['gb']:.2f} |"
        for verb, figures in result["steps"].items()
        for figure in figures
    ]
    growth = ", ".join(f"{value:.2f} ({verb})" for verb, value in result["growth"].items())
    wanted = {
        "growth_wanted": GROWTH_WANTED,
        "join_wanted": JOIN_WANTED,
        "score_wanted": SCORE_WANTED,
    }
    return HEAD.format(**result | {"steps": "\n".join(rows), "growth": growth} | wanted)


PARTS: dict[str, Callable[[Path, Path], None]] = {
    "data": step("data"),
    "validate": step("validate"),
    "score": step("score"),
    "bare_score": bare_score,
    "join": through_feast,
    "bare_join": bare_join,
}

if __name__ == "__main__":
    sys.exit(main())
