"""Compare a million rows of an old feature store with ours: equal to an oracle, time and memory.

The old values come from the hand-written query of features.py, which shares no code with the
product. Differences are planted in them, and numpy counts them again from both tables. Needs a
rendered project and its environment. Writes docs/benchmarks/feature_parity.json and .md:
ENVIRONMENT/bin/python benchmarks/feature_parity.py PROJECT
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
from features import BY_HAND, LIMITS, LINES
from harness import arguments, environment, machine, publish, used

MOMENTS, SECONDS, GIGABYTES = 50, 60, 2.0
FIRST = datetime(2025, 11, 1, 2, 30)
PLANTED = {
    "avg_order_value_eur": ("unit", "avg_order_value_eur * 100", "n <= 2193"),
    "recency_days": ("time zone", "recency_days + 1.0 / 24", "n BETWEEN 10001 AND 15021"),
    "recency_over_gap": ("missing there", "NULL", "n BETWEEN 20001 AND 20367"),
    "preferred_category": ("spelling", "upper(preferred_category)", "n BETWEEN 30001 AND 30037"),
    "purchase_count_90d": ("unexplained", "purchase_count_90d + 3", "n BETWEEN 40001 AND 40029"),
}
"""For a feature its planted cause, the changed value, and the rows (by a random order)."""
HEAD = """\
# Parity of features at size

`churn leave parity` over {rows:,} rows of an old feature store: {features} features at {moments}
moments, replayed from {lines:,} lines of purchases, on {cores} shared cores with Python {python}.
The old values were computed by a hand-written query that shares no code with the product.
Differences were planted in them, and numpy counted the differing values again from both tables.
Made by `benchmarks/feature_parity.py`; the numbers are in `feature_parity.json`.

| feature | planted as | oracle counts | found | causes given |
|---|---|---|---|---|
{table}

{values:,} values were compared, and the other features have no difference. Rows only on one side:
{one_sided}. CPU seconds: {cpu:.0f}, wall seconds: {wall:.0f} (wanted: at most {wanted} on a machine
of one's own; the load of this one was {load:.0f} at the end). Peak memory of the process:
{gb:.2f} GB (wanted: at most {most} GB).
"""


def main() -> int:
    """Measure, then write JSON and page. Exit 1 if a count differs or a limit is missed."""
    parser = arguments(__doc__)
    parser.add_argument("--people", type=int, default=21_000)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        return child(options.folder)
    lines = options.people * 25
    with tempfile.TemporaryDirectory(prefix="churn-parity-") as name:
        folder = Path(name)
        expected = old_store(options.project.resolve(), folder, options.people, lines)
        command = [sys.executable, __file__, str(options.project), "--folder", str(folder)]
        environ = environment(options.project.resolve() / "src")
        done = subprocess.run(command, env=environ, check=True, stdout=subprocess.PIPE, text=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    result = machine() | figures | {"lines": lines, "oracle": expected}
    publish(options.out, "feature_parity", result, page(result))
    differing = {row["name"]: row["differing"] for row in figures["by_feature"]}
    exact = differing == expected and not figures["skipped"] and not figures["extra"]
    return 0 if exact and figures["cpu"] <= SECONDS and figures["gb"] <= GIGABYTES else 1


def old_store(project: Path, folder: Path, people: int, lines: int) -> dict[str, int]:
    """Write purchases and old rows, and return the differing values of each feature by numpy."""
    sys.path.insert(0, str(project / "src"))
    from churn.contract import FEATURES, WINDOWS

    path, target = folder / "transactions.parquet", folder / "by_hand.parquet"
    windows = [(days, f"ts >= cut - INTERVAL {days} DAY") for days in WINDOWS]
    names = [
        f.name if f.dtype == "string" else f"CAST({f.name} AS DOUBLE) AS {f.name}" for f in FEATURES
    ]
    counts = [f"count(*) FILTER ({rule}) AS purchase_count_{days}d" for days, rule in windows]
    sums = [
        f"coalesce(sum(amount_eur) FILTER ({rule}), 0) AS revenue_eur_{days}d"
        for days, rule in windows
    ]
    parts = {"counts": ", ".join(counts), "sums": ", ".join(sums), "names": ", ".join(names)}
    # An old store keeps everybody with an event in the look-back.
    query = BY_HAND.replace("INTERVAL 90 DAY", "INTERVAL 365 DAY")
    with duckdb.connect() as connection:
        connection.execute(f"{LIMITS}; SET preserve_insertion_order = false")
        connection.execute(LINES.format(customers=people, lines=lines, path=path))
        connection.execute(
            f"CREATE TABLE cuts AS SELECT TIMESTAMP '{FIRST}' + to_days(CAST(4 * i AS INTEGER)) "
            f"AS cut FROM range({MOMENTS}) AS t(i)"
        )
        connection.execute(query.format(**parts, path=path, target=target))
        changed = ", ".join(
            f"CASE WHEN {where} AND {name} IS NOT NULL THEN {value} ELSE {name} END AS {name}"
            for name, (_, value, where) in PLANTED.items()
        )
        connection.execute(
            f"COPY (SELECT * EXCLUDE (n) REPLACE ({changed}), event_timestamp AS created_timestamp "
            "FROM (SELECT *, row_number() OVER (ORDER BY hash(customer_id, event_timestamp)) AS n "
            f"FROM '{target}') ORDER BY hash(n)) TO '{folder / 'rows.parquet'}' (FORMAT parquet)"
        )
    return oracle(target, folder / "rows.parquet", [feature.name for feature in FEATURES])


def oracle(ours: Path, theirs: Path, names: list[str]) -> dict[str, int]:
    """Return the number of differing values of each feature, without the product and its SQL."""
    keys = ["event_timestamp", "customer_id"]
    order = [(key, "ascending") for key in keys]
    tables = [pq.read_table(path).sort_by(order) for path in (ours, theirs)]
    for key in keys:
        if not tables[0][key].cast("string").equals(tables[1][key].cast("string")):
            raise SystemExit("The planted table lost rows.")
    counts = {}
    for name in names:
        before, after = (table[name].to_numpy() for table in tables)
        if before.dtype == object:
            counts[name] = int((before != after).sum())
        else:
            same = np.isclose(before, after, rtol=1e-6, atol=1e-9, equal_nan=True)
            counts[name] = int((~same).sum())
    return counts


def child(folder: Path) -> int:
    """Compare in a process of its own, and print the figures."""
    import os

    from churn.project import PROJECT

    from sovereign_ml.config.leaving import FeatureTolerance
    from sovereign_ml.config.tables import FeatureSettings
    from sovereign_ml.leaving.feature_parity.group_comparison import compare_group
    from sovereign_ml.leaving.feature_parity.past_moments import FeatureReplay

    (folder / "summary.json").write_text("{}")
    days = {"cutoffs": 3, "every_days": 30, "horizon_days": 30}
    config = FeatureSettings(**days, active_within_days=90, lookback_days=365)
    start = time.perf_counter()
    replay = FeatureReplay(PROJECT, folder, config, "no_purchase", folder)
    result = compare_group(replay, folder / "rows.parquet", "users", {}, FeatureTolerance())
    facts = result.to_json()
    figures = {
        **used(),
        "wall": time.perf_counter() - start,
        "load": os.getloadavg()[0],
        "rows": result.compared,
        "moments": result.moments,
        "values": result.values,
        "skipped": facts["skipped"],
        "extra": result.extra,
        "by_feature": facts["features"],
    }
    print(json.dumps(figures))
    return 0


def page(result: dict[str, Any]) -> str:
    """Return the page."""
    rows = []
    for feature in result["by_feature"]:
        name = feature["name"]
        if name in PLANTED or feature["differing"] or result["oracle"][name]:
            causes = ", ".join(f"{cause} {n:,}" for cause, n in feature["causes"].items())
            kind = PLANTED.get(name, ("nothing",))[0]
            counts = f"{result['oracle'][name]:,} | {feature['differing']:,}"
            rows.append(f"| `{name}` | {kind} | {counts} | {causes} |")
    one_sided = sum(result["skipped"].values()) + result["extra"]
    more = {"features": len(result["by_feature"]), "table": "\n".join(rows)}
    limits = {"wanted": SECONDS, "most": GIGABYTES, "one_sided": one_sided}
    return HEAD.format(**result, **more, **limits)


if __name__ == "__main__":
    sys.exit(main())
