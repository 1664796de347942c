"""Measure step 4 on a million rows and forty features: its search, its fits, MLflow and files.

The step is the real one, in a process of its own. Only the contract of a copy of the project gets
more features. The rows are drawn so that some features tell who leaves. Needs a rendered project
with a finished `make run`, and its environment. Writes docs/benchmarks/training.json and
training.md: ENVIRONMENT/bin/python benchmarks/training.py PROJECT
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from harness import arguments, environment, fresh, machine, publish, used

from sovereign_ml.storage import duckdb as db

SECONDS, MEMORY, CUTOFFS = 60, 4, 12
HEAD = """\
# Training on many rows

Step 4 of this project on {cores} shared cores, Python {python}: {rows:,} rows of {cutoffs} cut-offs,
{features} features ({values} categorical). The newest cut-off is left for step 5. The step
reads and sorts the rows, tries {strengths} strengths on {folds} folds, fits the scorecard and boosting, compares what
is shipped with what was fitted, and writes to MLflow. Start and imports are included. Processes that wanted the
cores when it began: {waiting}. Made by `benchmarks/training.py`; the numbers are in `training.json`.

| | measured | wanted |
|---|---|---|
| seconds | {seconds:.0f} | at most {wanted_seconds} |
| CPU seconds | {cpu:.0f} | |
| peak memory in GB | {gb:.1f} | at most {wanted_memory} |
| mean log loss of the search | {log_loss:.4f} | below {chance:.4f}, that of a constant |
"""
MORE = """
FEATURES += tuple(
    Feature(f"drawn_{{i}}", "ratio", f"drawn number {{i}}", "It is drawn for a benchmark")
    for i in range({more})
)
NUMERIC ="""
ROWS = """COPY (
    SELECT * EXCLUDE (signal), CAST(hash(n, 99) % 1000000 / 1e6 < signal AS INTEGER) AS churned
    FROM (
        SELECT n, md5((n % {customers})::VARCHAR) AS customer_id,
            TIMESTAMPTZ '2025-06-30 00:00:00+00'
                + to_days((30 * (n // {customers}))::INTEGER) AS event_timestamp,
            {values}, 0.2 + (hash(n, 0) % 1000 + hash(n, 1) % 1000) / 3333 AS signal
        FROM range({rows}) AS numbered(n)
    )
) TO '{path}' (FORMAT parquet, COMPRESSION zstd)"""


def main() -> int:
    """Measure, then write JSON and page. Exit 1 for too much time or memory."""
    parser = arguments(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=40)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        return child(options.folder)
    result = machine() | {"waiting": waiting()}
    with tempfile.TemporaryDirectory(prefix="churn-training-") as name:
        copy = prepared(options.project.resolve(), Path(name), options.rows, options.features)
        result |= measured(copy) | {"rows": options.rows}
    publish(options.out, "training", result, page(result))
    return 0 if result["seconds"] <= SECONDS and result["gb"] <= MEMORY else 1


def waiting() -> int:
    """Return how many processes use the cores or wait for them."""
    return int(Path("/proc/loadavg").read_text().split()[3].split("/")[0]) - 1


def prepared(project: Path, folder: Path, rows: int, features: int) -> Path:
    """Return a copy of the project with ``features`` features and ``rows`` rows to train on."""
    sys.path.insert(0, str(project / "src"))
    from churn.contract import FEATURES

    copy = fresh(project, folder / project.name)
    contract = copy / "src" / "churn" / "contract.py"
    text = contract.read_text(encoding="utf-8")
    more = MORE.format(more=features - len(FEATURES))
    contract.write_text(text.replace("\nNUMERIC =", more, 1), encoding="utf-8")
    drawn = [(f"drawn_{i}", "float") for i in range(features - len(FEATURES))]
    named = [(feature.name, feature.dtype) for feature in FEATURES] + drawn
    values = ", ".join(
        f"'category ' || hash(n, {i}) % 12 AS {name}"
        if dtype == "string"
        else f"(hash(n, {i}) % 1000) / 7 AS {name}"
        for i, (name, dtype) in enumerate(named)
    )
    table = copy / "data" / "3_features"
    table.mkdir(parents=True)
    summary = project / "data" / "3_features" / "summary.json"
    (table / "summary.json").write_bytes(summary.read_bytes())
    query = ROWS.format(
        customers=rows // CUTOFFS, rows=rows, values=values, path=table / "training.parquet"
    )
    with closing(db.connect()) as connection:
        connection.execute(query)
    return copy


def measured(copy: Path) -> dict[str, Any]:
    """Return the figures of step 4 in ``copy``."""
    command = [sys.executable, str(Path(__file__)), str(copy), "--folder", str(copy)]
    start = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=copy,
        env=environment(copy / "src", HOME=str(copy.parent)),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    seconds = time.perf_counter() - start
    return {"seconds": seconds} | json.loads(done.stdout.splitlines()[-1])


def child(folder: Path) -> int:
    """Run step 4 in ``folder``, and print what it used and what it trained on."""
    from sovereign_ml.config import settings
    from sovereign_ml.pipeline import flow
    from sovereign_ml.project import load_project

    chosen = settings.load("local", folder)
    flow.run_step("train", chosen, load_project(folder))
    print(json.dumps(used() | facts(folder)))
    return 0


def facts(folder: Path) -> dict[str, Any]:
    """Return the sizes of the search, its best loss and the loss of a constant."""
    import numpy as np
    import pandas as pd
    from churn.contract import CATEGORICAL, FEATURES, TARGET

    from sovereign_ml.config import settings

    train = settings.load("local", folder).train
    search = json.loads((folder / "data" / "4_model" / "search.json").read_text())
    rate = pd.read_parquet(folder / "data/3_features/training.parquet", columns=[TARGET])
    p = float(rate[TARGET].mean())
    return {
        "features": len(FEATURES),
        "values": len(CATEGORICAL),
        "strengths": len(train.regularisation),
        "folds": train.folds,
        "log_loss": min(row["log_loss"] for row in search),
        "chance": float(-(p * np.log(p) + (1 - p) * np.log(1 - p))),
    }


def page(result: dict[str, Any]) -> str:
    """Return the page."""
    return HEAD.format(**result, cutoffs=CUTOFFS, wanted_seconds=SECONDS, wanted_memory=MEMORY)


if __name__ == "__main__":
    sys.exit(main())
