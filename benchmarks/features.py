"""Measure the SQL of step 3 at size: 12 cut-offs with labels, under 4 GB for DuckDB.

Beside it stands one hand-written query that makes the same snapshots from the same file, without
labels. Both work on two threads, each in a process of its own. Needs a rendered project and its
environment, and disk for the input: 12 MB for each million lines. Writes
docs/benchmarks/features.json and features.md: ENVIRONMENT/bin/python benchmarks/features.py PROJECT
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb
from harness import arguments, environment, machine, publish, used

CUTOFFS, MEMORY, THREADS, WANTED = 12, "4GB", 2, 1.3
HEAD = """\
# Features at size

Step 3's SQL on one machine: {cutoffs} cut-offs, all features, {threads} threads, {memory} for
DuckDB, {cores} shared cores, Python {python}. Beside it one hand-written DuckDB query for the same
snapshots; the product makes the labels as well, which the query does not. Both wrote the same
snapshots, value by value. Peak memory is that of the whole process. Made by
`benchmarks/features.py`; the numbers are in `features.json`.

| lines | snapshots | | CPU seconds | wall seconds | peak GB |
|---|---|---|---|---|---|
{rows}

CPU seconds of the product against the query: {ratios} (wanted: at most {wanted}).
"""
LIMITS = f"SET memory_limit = '{MEMORY}'; SET threads = {THREADS}; SET TimeZone = 'UTC'"
LINES = """COPY (
    SELECT md5((hash(range, 1) % {customers})::VARCHAR) AS customer_id,
        TIMESTAMPTZ '2024-07-01' + to_seconds((hash(range, 2) % 63072000)::BIGINT) AS event_time,
        CASE WHEN hash(range, 3) % 25 = 0 THEN -1 ELSE 1 END
            * CAST(hash(range, 4) % 20000 / 100 + 0.01 AS DECIMAL(18, 2)) AS amount_eur,
        'category ' || hash(range, 5) % 12 AS category,
        CASE WHEN hash(range, 6) % 4 > 0 THEN CAST(hash(range, 7) % 9 AS INTEGER) END
            AS order_number
    FROM range({lines}) ORDER BY ALL
) TO '{path}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880)"""
BY_HAND = """COPY (
WITH past AS (
    SELECT cut, lines.* FROM cuts JOIN (
        SELECT * EXCLUDE (event_time), event_time AT TIME ZONE 'UTC' AS ts
        FROM read_parquet('{path}')
    ) AS lines ON ts < cut AND ts >= cut - INTERVAL 365 DAY
), orders AS (
    SELECT cut, customer_id, order_number, min(ts) AS ts, sum(amount_eur) AS amount
    FROM past WHERE amount_eur > 0
    GROUP BY cut, customer_id, order_number, CASE WHEN order_number IS NULL THEN ts END
), bought AS (
    SELECT cut, customer_id, {counts}, count(*) AS n, sum(amount) AS total, min(ts) AS first_at,
        max(ts, 2) AS newest
    FROM orders GROUP BY cut, customer_id HAVING max(ts) >= cut - INTERVAL 90 DAY
), money AS (
    SELECT cut, customer_id, {sums}, count(*) FILTER (amount_eur < 0) / count(*) AS returns_share
    FROM past GROUP BY cut, customer_id
), taste AS (
    SELECT cut, customer_id, first(category ORDER BY n DESC, category NULLS LAST)
        AS preferred_category, max(n) / sum(n) AS category_share
    FROM (SELECT cut, customer_id, category, count(*) AS n FROM past WHERE amount_eur > 0
        GROUP BY cut, customer_id, category) GROUP BY cut, customer_id
), timed AS (
    SELECT *, total / n AS avg_order_value_eur, epoch(cut - newest[1]) / 86400 AS recency_days,
        epoch(cut - first_at) / 86400 AS tenure_days,
        epoch(newest[1] - newest[2]) / 86400 AS last_gap_days,
        CASE WHEN n > 1 THEN epoch(newest[1] - first_at) / 86400 / (n - 1) END AS mean_gap_days
    FROM bought JOIN money USING (cut, customer_id) JOIN taste USING (cut, customer_id)
)
SELECT customer_id, cut AS event_timestamp, {names} FROM (
    SELECT *, CASE WHEN n > 1 THEN recency_days / greatest(mean_gap_days, 1) END AS recency_over_gap
    FROM timed
) ORDER BY event_timestamp, customer_id
) TO '{target}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880)"""


def main() -> int:
    """Measure, then write JSON and page. Exit 1 if the ratio is missed or snapshots differ."""
    parser = arguments(__doc__)
    parser.add_argument("--lines", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--contender", choices=sorted(CONTENDERS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        return child(options.contender, options.folder)
    sizes = [measured(options.project.resolve(), lines) for lines in options.lines]
    result = machine() | {"sizes": sizes}
    publish(options.out, "features", result, page(result))
    return 0 if all(size["ratio"] <= WANTED for size in sizes) else 1


def measured(project: Path, lines: int) -> dict[str, Any]:
    """Return the figures of both contenders on ``lines`` lines of 12 for each customer."""
    with tempfile.TemporaryDirectory(prefix="churn-features-") as name:
        folder = Path(name)
        path = folder / "transactions.parquet"
        with duckdb.connect() as connection:
            connection.execute(LIMITS)
            connection.execute(LINES.format(customers=lines // 12, lines=lines, path=path))
        figures = {contender: run(project, contender, folder) for contender in CONTENDERS}
        with duckdb.connect() as connection:
            connection.execute(LIMITS)
            files = [f"'{folder / contender}.parquet'" for contender in CONTENDERS]
            [(rows,)] = connection.execute(f"SELECT count(*) FROM {files[0]}").fetchall()
            ((differ,),) = connection.execute(
                f"SELECT count(*) FROM (FROM {files[0]} EXCEPT FROM {files[1]})"
            ).fetchall()
        if differ:
            raise SystemExit(f"{differ:,} of {rows:,} snapshots differ between product and query")
        ratio = round(figures["product"]["cpu"] / figures["by hand"]["cpu"], 3)
        return {"lines": lines, "snapshots": rows, **figures, "ratio": ratio}


def run(project: Path, contender: str, folder: Path) -> dict[str, float]:
    """Run one contender in a process of its own, and return its own measurement."""
    command = [sys.executable, str(Path(__file__)), str(project)]
    command += ["--contender", contender, "--folder", str(folder)]
    environ = environment(project / "src")
    done = subprocess.run(
        command, cwd=folder, env=environ, check=True, stdout=subprocess.PIPE, text=True
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def child(contender: str, folder: Path) -> int:
    """Make ``<contender>.parquet`` and print CPU seconds, wall seconds and peak memory in GB."""
    start = time.perf_counter()
    CONTENDERS[contender](folder, folder / f"{contender}.parquet")
    print(json.dumps({**used(), "wall": time.perf_counter() - start}))
    return 0


def product(valid: Path, target: Path) -> None:
    """Write snapshots and labels as step 3 makes them."""
    from churn import features

    from sovereign_ml.config.tables import FeatureSettings
    from sovereign_ml.storage import duckdb as db

    connect = db.connect

    def limited() -> duckdb.DuckDBPyConnection:
        connection = connect()
        connection.execute(LIMITS)
        return connection

    db.connect = limited
    config = FeatureSettings(
        cutoffs=CUTOFFS - 1,
        every_days=30,
        horizon_days=30,
        active_within_days=90,
        lookback_days=365,
        max_base_rate_gap=1,
    )
    connection = features.load(valid)
    labelled, current = features.cutoffs(features.history(connection)[1], config)
    features.compute(connection, [*labelled, current], config)
    features.label(connection, config.horizon_days)
    ordered = "FROM snapshots ORDER BY event_timestamp, customer_id"
    db.write_parquet(connection, ordered, target)
    db.write_parquet(connection, "FROM labels ORDER BY ALL", target.with_name("labels.parquet"))


def by_hand(valid: Path, target: Path) -> None:
    """Write the same snapshots with one query."""
    from churn.contract import FEATURES, WINDOWS

    path = valid / "transactions.parquet"
    windows = [(days, f"ts >= cut - INTERVAL {days} DAY") for days in WINDOWS]
    with duckdb.connect() as connection:
        connection.execute(f"{LIMITS}; SET preserve_insertion_order = false")
        connection.execute(
            "CREATE TABLE cuts AS SELECT d + INTERVAL 1 DAY - CASE WHEN i = 0 THEN INTERVAL 0 DAY "
            "ELSE to_days((30 * i + 1)::INTEGER) END AS cut FROM (SELECT date_trunc('day', "
            f"max(event_time AT TIME ZONE 'UTC')) AS d FROM '{path}'), range({CUTOFFS}) AS t(i)"
        )
        names = [
            f.name if f.dtype == "string" else f"CAST({f.name} AS DOUBLE) AS {f.name}"
            for f in FEATURES
        ]
        counts = [f"count(*) FILTER ({rule}) AS purchase_count_{days}d" for days, rule in windows]
        sums = [
            f"coalesce(sum(amount_eur) FILTER ({rule}), 0) AS revenue_eur_{days}d"
            for days, rule in windows
        ]
        parts = {"counts": counts, "sums": sums, "names": names}
        sql = {key: ", ".join(values) for key, values in parts.items()}
        connection.execute(BY_HAND.format(**sql, path=path, target=target))


CONTENDERS = {"product": product, "by hand": by_hand}


def page(result: dict[str, Any]) -> str:
    """Return the page."""
    rows = [
        f"| {size['lines']:,} | {size['snapshots']:,} | {name} | {size[name]['cpu']:.1f} "
        f"| {size[name]['wall']:.1f} | {size[name]['gb']:.2f} |"
        for size in result["sizes"]
        for name in CONTENDERS
    ]
    ratios = ", ".join(f"{size['ratio']:.2f} at {size['lines']:,}" for size in result["sizes"])
    words = {"cutoffs": CUTOFFS, "memory": MEMORY, "threads": THREADS, "wanted": WANTED}
    return HEAD.format(**result, **words, rows="\n".join(rows), ratios=ratios)


if __name__ == "__main__":
    sys.exit(main())
