"""Step 3 at Spark: the queries of a project, computed by a cluster or by Spark on this machine.

The client runs in an environment of its own, which ``make setup-spark`` builds. What it writes lies
in the folder for spilled tables, where erasure looks, until DuckDB has read it.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sovereign_ml.config.connections import SparkCluster, required
from sovereign_ml.config.settings import ENVIRONMENT
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.features import spark_operator
from sovereign_ml.features.queries import FeatureQueries
from sovereign_ml.storage import duckdb as db
from sovereign_ml.supply_chain import client_environment

if TYPE_CHECKING:
    import duckdb

__all__ = ["compute"]

PROGRAM = Path(__file__).with_name("spark_client.py")
LONGEST_S = 24 * 3600


def compute(
    connection: duckdb.DuckDBPyConnection,
    cluster: SparkCluster,
    queries: FeatureQueries,
    cuts: Sequence[datetime],
) -> None:
    """Make the tables ``snapshots`` and ``labels`` of the connection from Spark's results.

    ``cuts`` are in UTC. Raises Misuse where the environment or Java is not installed or a query has
    no counterpart in Spark, Refused where rows are missing from what the workers wrote.
    """
    secret = "" if cluster.needs_no_secret else required(cluster.secret, "spark_secret")
    if cluster.at_operator and not cluster.claim:
        raise Misuse(
            "[spark] master is 'operator', and [pipeline] spark_claim is empty: name the claim of the "
            "volume that the step shares with the pods of Spark."
        )
    if not cluster.at_operator:
        _check_installed()
    with tempfile.TemporaryDirectory(prefix="spark-", dir=_shared(cluster)) as name:
        output = Path(name).resolve()
        files = {name: path.resolve() for name, path in queries.files.items()}
        if cluster.at_operator:
            output.chmod(0o770)
            files = {name: Path(shutil.copy(path, output)) for name, path in files.items()}
        job = {
            "master": cluster.master,
            "host": cluster.host,
            "properties": {
                "spark.driver.memory": cluster.memory,
                "spark.executor.memory": cluster.memory,
                "spark.sql.shuffle.partitions": cluster.partitions,
                **cluster.properties,
            },
            "secret": secret,
            "files": {name: str(path) for name, path in files.items()},
            "tables": dict(queries.tables),
            "views": dict(queries.views),
            "snapshots": queries.snapshots,
            "labels": queries.labels,
            "cuts": [cut.isoformat(sep=" ") for cut in cuts],
            "output": str(output),
        }
        if cluster.at_operator:
            written = spark_operator.run(cluster, job, output, LONGEST_S)
        else:
            # The program itself talks to its own Java alone, which reaches the master.
            written = client_environment.ask(
                "spark", PROGRAM, job, (), within=output, longest_s=LONGEST_S
            )
        for table, rows in written.items():
            _read(connection, output / table, table, rows)


def _check_installed() -> None:
    """Raise Misuse where the client's environment or Java is missing."""
    client_environment.python_of("spark")
    java = shutil.which("java", path=ENVIRONMENT.get("PATH"))
    if not (java or ENVIRONMENT.get("JAVA_HOME")):
        raise Misuse(
            "Spark needs Java 17 or newer, and there is neither `java` on PATH nor JAVA_HOME: "
            "install openjdk-17-jre-headless, or set one of them."
        )


def _shared(cluster: SparkCluster) -> Path:
    """Return the folder for the files of a run, without what a killed run left a day ago."""
    folder = spark_operator.MOUNT if cluster.at_operator else cluster.root / db.SPILLED
    folder.mkdir(mode=0o700, exist_ok=True)
    for path in folder.glob("spark-*"):
        if path.stat().st_mtime < time.time() - LONGEST_S:
            shutil.rmtree(path, ignore_errors=True)
    return folder


def _read(connection: duckdb.DuckDBPyConnection, folder: Path, table: str, rows: int) -> None:
    """Make a table of a folder of Parquet. Raises Refused where it has not ``rows`` rows."""
    files = [db.literal(str(path)) for path in sorted(folder.glob("*.parquet"))]
    if files:
        source = f"FROM read_parquet([{', '.join(files)}])"
        # Spark writes instants. The SQL of a project has times in UTC without a zone.
        times = [
            f"{db.quoted(name)} AT TIME ZONE 'UTC' AS {db.quoted(name)}"
            for name, kind in db.types_of(connection, source).items()
            if kind == "TIMESTAMP WITH TIME ZONE"
        ]
        query = f"SELECT * REPLACE ({', '.join(times)}) {source}"
        connection.execute(f"CREATE OR REPLACE TABLE {table} AS {query}")
    arrived = db.count(connection, table) if files else 0
    if arrived != rows or not files:
        raise Refused(
            f"Spark wrote {rows:,} {table} and {arrived:,} are here: its workers and this machine "
            f"must see the same folder {folder.parent.parent}. Nothing was concluded from it."
        )
    shutil.rmtree(folder)
