"""Step 3 at Spark's operator: the SparkApplication fits the operator's schema, is followed and removed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

from kubernetes_schema import spark_application_problems
from small_project import PROJECT
from sovereign_ml.config.connections import SparkCluster
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.features import queries, spark, spark_operator
from sovereign_ml.supply_chain.lockfile import read_lock

CUT = datetime(2026, 6, 30)
DIGEST = "registry.example.eu/spark@sha256:" + "0" * 64
Answer = dict[str, Any] | None


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SparkCluster:
    monkeypatch.setattr(spark_operator, "MOUNT", tmp_path / "shared")
    monkeypatch.setattr(spark.spark_operator, "_ended", quick(spark_operator._ended))
    properties = {"spark.executor.instances": "3", "spark.executor.cores": "2"}
    more = {"namespace": "churn", "image": DIGEST, "claim": "churn-spark"}
    return SparkCluster("operator", "127.0.0.1", "512m", 8, properties, tmp_path, **more)


def quick(wait: Callable[..., str]) -> Callable[..., str]:
    return lambda api, path, longest, _: wait(api, path, longest, 0.01)


class Operator:
    """The API of Kubernetes with an operator that runs to ``states``, and leaves ``answer``."""

    def __init__(self, answer: Answer, *states: str, status: int = 201) -> None:
        self.answer, self.states, self.status = answer, iter(states), status
        self.manifests: list[dict[str, Any]] = []
        self.jobs: list[dict[str, Any]] = []
        self.deleted: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "DELETE":
            self.deleted.append(request.url.path.rpartition("/")[2])
            return httpx.Response(200, json={})
        if request.method == "GET":
            state = next(self.states)
            return httpx.Response(200, json={"status": {"applicationState": {"state": state}}})
        manifest = json.loads(request.content)
        self.manifests.append(manifest)
        if self.status == 201:
            self.work(*map(Path, manifest["spec"]["arguments"]))
        return httpx.Response(self.status, json=manifest)

    def work(self, answer: Path, job: Path) -> None:
        self.jobs.append(json.loads(job.read_text()))
        output = Path(self.jobs[0]["output"])
        for table in (self.answer or {}).get("answer", ()):
            (output / table).mkdir()
            rows = "SELECT TIMESTAMPTZ '2026-06-30 00:00:00+00' AS event_timestamp FROM range(2)"
            duckdb.sql(f"COPY ({rows}) TO '{output / table}/part.parquet'")
        if self.answer is not None:
            answer.write_text(json.dumps(self.answer))


@pytest.fixture
def operate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Operator], Operator]]:
    def install(operator: Operator) -> Operator:
        client = httpx.Client(base_url="https://api", transport=httpx.MockTransport(operator))
        monkeypatch.setattr(spark_operator, "_api", lambda: client)
        return operator

    return install


@pytest.fixture
def asked(tmp_path: Path) -> queries.FeatureQueries:
    folder = tmp_path / "2_valid"
    folder.mkdir()
    duckdb.sql(f"COPY (SELECT 1 AS a) TO '{folder}/transactions.parquet'")
    tables = {"lines": "SELECT a FROM valid_transactions"}
    return queries.FeatureQueries(folder, tables, {}, "SELECT 1", "SELECT 1")


def test_the_manifest_names_the_spark_of_the_lock(cluster: SparkCluster, tmp_path: Path) -> None:
    manifest = spark_operator.application(cluster, {"properties": {}}, tmp_path)
    [locked] = [
        pin for pin in read_lock(PROJECT / "requirements/spark.lock") if pin.name == "pyspark"
    ]
    assert manifest["spec"]["sparkVersion"] == locked.version


def test_a_run_becomes_a_spark_application_and_leaves_nothing(
    cluster: SparkCluster,
    operate: Callable[[Operator], Operator],
    asked: queries.FeatureQueries,
    tmp_path: Path,
) -> None:
    answer = {"answer": {"snapshots": 2, "labels": 2}}
    operator = operate(Operator(answer, "", "SUBMITTED", "RUNNING", "SUCCEEDING", "COMPLETED"))
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    spark.compute(connection, cluster, asked, [CUT])
    assert connection.sql("SELECT DISTINCT event_timestamp FROM snapshots").fetchall() == [(CUT,)]
    (manifest,), (job,) = operator.manifests, operator.jobs
    assert spark_application_problems(manifest) == []
    assert manifest["spec"]["executor"]["instances"] == 3
    assert manifest["spec"]["sparkConf"]["spark.io.encryption.enabled"] == "true"
    assert manifest["spec"]["sparkConf"]["spark.ui.enabled"] == "false"
    shared = tmp_path / "shared"
    assert Path(job["files"]["valid_transactions"]).is_relative_to(shared), "pods can read it"
    assert operator.deleted == [manifest["metadata"]["name"]]
    assert list(shared.iterdir()) == []


def test_the_schema_refuses_what_the_operator_would_drop(
    cluster: SparkCluster, tmp_path: Path
) -> None:
    manifest = spark_operator.application(cluster, {"properties": {}}, tmp_path)
    manifest["spec"]["driver"]["serviceAcount"] = "typo"
    manifest["spec"]["executor"]["template"]["spec"]["container"] = []
    manifest["spec"]["executor"]["instances"] = "3"
    assert len(spark_application_problems(manifest)) >= 3


@pytest.mark.parametrize(
    ("operator", "error", "line"),
    [
        (Operator({"error": "Spark refuses it"}, "COMPLETED"), Misuse, "Spark refuses it"),
        (Operator(None, "RUNNING", "FAILED"), Refused, "ended as FAILED"),
        (Operator(None, "SUBMISSION_FAILED"), Refused, "ended as SUBMISSION_FAILED"),
        (Operator(None, status=404), Misuse, "is the operator installed"),
        (Operator(None, status=403), Misuse, "spark-features.yaml applied"),
    ],
)
def test_a_run_that_fails_says_so_in_one_line(
    operator: Operator,
    error: type[Exception],
    line: str,
    cluster: SparkCluster,
    operate: Callable[[Operator], Operator],
    asked: queries.FeatureQueries,
    tmp_path: Path,
) -> None:
    operate(operator)
    with pytest.raises(error, match=line):
        spark.compute(duckdb.connect(), cluster, asked, [CUT])
    assert list((tmp_path / "shared").iterdir()) == []
    assert len(operator.deleted) == (operator.status == 201)


def test_outside_a_cluster_the_step_says_that_it_needs_one(
    cluster: SparkCluster, asked: queries.FeatureQueries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spark_operator, "ACCOUNT", Path("/nonexistent"))
    with pytest.raises(Misuse, match="no pod with a service account"):
        spark.compute(duckdb.connect(), cluster, asked, [CUT])
