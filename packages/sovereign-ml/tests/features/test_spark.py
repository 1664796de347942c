"""Features at Spark, on this machine and on a cluster of processes: the values are DuckDB's."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from pydantic import ValidationError

import random_shop
from churn import features as sql
from churn.project import PROJECT
from small_project import configure, load, make_project
from sovereign_ml.config.connections import SparkCluster
from sovereign_ml.config.other_platforms import SparkSettings
from sovereign_ml.config.settings import ENVIRONMENT
from sovereign_ml.config.tables import FeatureSettings
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.features import event_tables, queries, spark
from sovereign_ml.pipeline import flow
from spark_cluster import CHEAP, CLIENTS, SECRET, listening, needs_java, standalone

CUTS = [datetime(2026, 3, 29), datetime(2026, 4, 28)]
CONFIG = FeatureSettings(
    cutoffs=3, every_days=30, horizon_days=30, active_within_days=90, lookback_days=365
)
EVENTS = """SELECT wide.*, tickets, newest_kind, before_newest, total, average FROM ({wide}) AS wide
LEFT JOIN (
    SELECT customer_id, count(*) FILTER (value > 0) AS tickets, max(ts, 3)[2] AS before_newest,
        first(kind ORDER BY epoch(ts) DESC, kind NULLS FIRST) AS newest_kind,
        sum(value) AS total, avg(value) AS average
    FROM past_tickets GROUP BY customer_id
) USING (customer_id)"""
"""Features of an event table, as a team would add them to those of the template."""
SUMS = {"total": 1e-12, "average": 1e-12}
"""Relative tolerance of sums of floating-point values, which depend on their order."""
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


@pytest.fixture(autouse=True)
def _clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENT, "CHURN_CLIENTS", str(CLIENTS))


@pytest.fixture
def local(tmp_path: Path) -> SparkCluster:
    """Spark in one process of this machine, with little to compile."""
    cheap = {"spark.driver.extraJavaOptions": CHEAP}
    return SparkCluster("local[2]", "127.0.0.1", "512m", 2, cheap, tmp_path)


def ordered(connection: duckdb.DuckDBPyConnection, table: str) -> pa.Table:
    query = f"FROM {table} ORDER BY event_timestamp, customer_id"
    return connection.sql(query).to_arrow_table()


def test_values_of_a_hostile_shop_are_those_of_duckdb(tmp_path: Path, local: SparkCluster) -> None:
    needs_java()
    valid = tmp_path / "a folder {of} step %202"
    valid.mkdir()
    assert random_shop.write(valid, 7, 400, CUTS, CONFIG.lookback_days) > 2000
    tables = sql.tables(valid, "ended") | {
        "events_tickets": "SELECT customer_id, event_time AT TIME ZONE 'UTC' AS ts, kind, value "
        "FROM valid_tickets"
    }
    asked = queries.FeatureQueries(
        valid,
        tables,
        event_tables.past_selects(tables, CONFIG.lookback_days),
        EVENTS.format(wide=sql.snapshot(CONFIG, "ended")),
        sql.label_query(CONFIG.horizon_days, "ended"),
    )
    here = queries.open_tables(valid, tables)
    event_tables.past(here, CONFIG.lookback_days)
    queries.fill(here, asked.snapshots, CUTS)
    sql.label(here, CONFIG.horizon_days, "ended")
    there = queries.open_tables(valid, tables, "spark")
    spark.compute(there, local, asked, CUTS)

    expected, seen = ordered(here, "snapshots"), ordered(there, "snapshots")
    assert len(expected) > 200
    for name in expected.column_names:
        if name in SUMS:
            values = zip(expected[name].to_pylist(), seen[name].to_pylist(), strict=True)
            for value, other in values:
                missing = value is None or other is None
                close = missing or other == pytest.approx(value, rel=SUMS[name])
                assert close and (value is None) == (other is None), name
        else:
            assert seen[name].equals(expected[name]), name
    assert ordered(there, "labels").equals(ordered(here, "labels"))
    assert list((tmp_path / ".tmp").iterdir()) == [], "nothing of the run is left"


def test_a_cluster_of_processes_writes_the_same_files(
    project: Path, valid: Path, features: Path, tmp_path: Path
) -> None:
    needs_java()
    root = make_project(tmp_path / "own", **{"features.engine": "spark", "spark.memory": "512m"})
    ids = duckdb.sql(f"SELECT DISTINCT customer_id FROM '{valid}/transactions.parquet'").fetchall()
    with standalone(tmp_path) as master, Watching() as addresses:
        cheap = {f"spark.{process}.extraJavaOptions": CHEAP for process in ("driver", "executor")}
        configure(root, {"spark.master": master, "spark.partitions": 2, "spark.properties": cheap})
        settings = load(root, CHURN_SPARK_SECRET=SECRET)
        providers = flow.provided(settings, PROJECT)
        flow.run_on(
            PROJECT.step("features"), PROJECT, providers, [valid], settings.path("features")
        )
    for name in ("snapshots.parquet", "training.parquet"):
        here, there = (sha256(folder / name) for folder in (features, settings.path("features")))
        assert there == here, name
    logs = list(tmp_path.glob("work-*/*/*/std*"))
    assert len({path.parents[2] for path in logs}) == 2, "both workers took part"
    told = "".join(path.read_text() for path in [*logs, *tmp_path.glob("*.log")])
    assert not [customer for (customer,) in ids if customer in told]
    assert addresses, "something listened"
    assert addresses <= LOOPBACK
    assert list((root / ".tmp").iterdir()) == []


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Watching:
    """Collect the addresses on which Java listens, until the block ends."""

    def __enter__(self) -> set[str]:
        self.addresses: set[str] = set()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self.addresses

    def watch(self) -> None:
        while not self.done.wait(2):
            self.addresses |= listening()

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()


def test_a_project_without_the_client_is_told_how_to_install_it(
    local: SparkCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENVIRONMENT, "CHURN_CLIENTS", str(tmp_path / "none"))
    with pytest.raises(Misuse, match="call `make setup-spark`"):
        spark.compute(duckdb.connect(), local, nothing(tmp_path), CUTS)


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like the installed client, alone on PATH."""
    folder = tmp_path / "clients/spark/bin"
    folder.mkdir(parents=True)
    (folder / "python").touch()
    monkeypatch.setitem(ENVIRONMENT, "CHURN_CLIENTS", str(tmp_path / "clients"))
    monkeypatch.setitem(ENVIRONMENT, "PATH", str(folder))
    monkeypatch.delitem(ENVIRONMENT, "JAVA_HOME", raising=False)
    return folder


@pytest.mark.usefixtures("client")
def test_a_machine_without_java_is_told_what_to_install(
    local: SparkCluster, tmp_path: Path
) -> None:
    with pytest.raises(Misuse, match="Java 17"):
        spark.compute(duckdb.connect(), local, nothing(tmp_path), CUTS)


def test_a_cluster_wants_a_secret(local: SparkCluster, tmp_path: Path) -> None:
    cluster = replace(local, master="spark://127.0.0.1:7077")
    with pytest.raises(Misuse, match="CHURN_SPARK_SECRET"):
        spark.compute(duckdb.connect(), cluster, nothing(tmp_path), CUTS)


@pytest.mark.parametrize(("written", "line"), [(0, "wrote 5 .* and 0 are"), (4, "5 .* and 4 are")])
def test_rows_that_only_a_worker_sees_are_missed(
    written: int,
    line: str,
    client: Path,
    local: SparkCluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (client / "java").touch(mode=0o755)

    def ask(client: str, program: Path, job: dict[str, Any], *_: Any, **__: Any) -> dict[str, int]:
        if written:
            folder = Path(job["output"], "snapshots")
            folder.mkdir()
            duckdb.sql(
                f"COPY (SELECT now() AS event_timestamp FROM range({written})) "
                f"TO '{folder}/part.parquet'"
            )
        return {"snapshots": 5}

    monkeypatch.setattr("sovereign_ml.supply_chain.client_environment.ask", ask)
    with pytest.raises(Refused, match=line):
        spark.compute(duckdb.connect(), local, nothing(tmp_path), CUTS)


def nothing(folder: Path) -> queries.FeatureQueries:
    return queries.FeatureQueries(folder, {}, {}, "SELECT 1", "SELECT 1")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"master": "yarn"}, "write local"),
        (
            {"master": "spark://cluster.eu-central-1.amazonaws.com:7077"},
            "name a server of your own",
        ),
        ({"master": "k8s://http://10.0.0.1"}, "write local"),
        ({"properties": {"spark.jars.packages": "org:thing:1"}}, "may not be set here"),
        ({"properties": {"spark.ui.enabled": "true"}}, "may not be set here"),
        ({"properties": {"spark.hadoop.fs.s3a.secret.key": "x"}}, "is a secret"),
        ({"properties": {"spark.executor.cores": "1\nspark.ui.enabled true"}}, "one line"),
        ({"memory": "much"}, "pattern"),
    ],
)
def test_settings_that_reach_out_are_refused(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(ValidationError, match=line):
        SparkSettings(**settings)
