"""The compiled pipelines, run task by task with nothing but what the cluster would give each of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest

from cloud import Cloud
from cluster_double import Cluster
from small_project import KEY, churn, configure, environment
from sovereign_ml.config.settings import Settings, load
from sovereign_ml.monitoring.alarms import answer, unanswered


@pytest.fixture
def cluster(cloud: Cloud, pushed: Path, tmp_path: Path) -> Cluster:
    return Cluster(pushed, tmp_path / "cluster", cloud.environ(CHURN_PSEUDONYM_KEY=KEY))


@pytest.fixture
def settings(cloud: Cloud, pushed: Path) -> Settings:
    return load("eu", pushed, environment(pushed, **cloud.environ()))


def test_the_daily_scores_are_those_of_the_command_line(
    settings: Settings, pushed: Path, cluster: Cluster
) -> None:
    cluster.submit(settings, "score", "bundle")
    here = pd.read_parquet(pushed / "data/8_scores/scores.parquet")
    there = pd.read_parquet(cluster.outputs["score.scores"] / "scores.parquet")
    pd.testing.assert_frame_equal(there, here)


def test_training_on_a_pinned_version_gives_the_same_model(
    settings: Settings, pushed: Path, cluster: Cluster
) -> None:
    cluster.submit(settings, "train-pinned", "raw")
    assert (cluster.outputs["train.model"] / "model.json").read_bytes() == (
        pushed / "data/4_model/model.json"
    ).read_bytes()


def test_step_1_refuses_where_nobody_has_said_who_was_erased(
    cloud: Cloud, settings: Settings, cluster: Cluster
) -> None:
    given = {"Bucket": cloud.bucket, "Key": "governance/acme-churn/tombstones.txt"}
    kept = cloud.s3().get_object(**given)["Body"].read()
    cloud.s3().delete_object(**given)
    try:
        with pytest.raises(AssertionError, match=r"(?s)data: .*erased people are unknown here"):
            cluster.submit(settings, "score", "bundle")
    finally:
        cloud.s3().put_object(**given, Body=kept)
    records = cloud.s3().get_object(Bucket=cloud.bucket, Key="pipeline-runs/acme-churn/one.json")
    assert json.loads(records["Body"].read())["state"] == "FAILED"


@pytest.fixture
def monitored(cloud: Cloud) -> Iterator[None]:
    """Remove the monitor's alarms afterwards: other tests train on what is in this bucket."""
    yield
    stored = cloud.s3().list_objects_v2(Bucket=cloud.bucket, Prefix="monitoring/")
    for item in stored.get("Contents", ()):
        cloud.s3().delete_object(Bucket=cloud.bucket, Key=item["Key"])


def test_the_monitor_keeps_its_alarms_in_the_bucket_until_a_person_answers(
    cloud: Cloud, settings: Settings, copy: Path, cluster: Cluster, monitored: None
) -> None:
    # The shop ends on a fixed day, and any shift is too much here.
    strict = {"data.as_of": date(2026, 6, 30), "monitor.in_a_row": 1, "monitor.feature_shift": 1e-6}
    configure(cluster.image, strict)
    with pytest.raises(AssertionError, match=r"(?s)monitor: .*Nobody answered A-2026-06-30-shift"):
        cluster.submit(settings, "monitor", "bundle")
    folder = "monitoring/acme-churn/2026-06-30"
    stored = cloud.s3().list_objects_v2(Bucket=cloud.bucket, Prefix="monitoring/")["Contents"]
    texts = {
        item["Key"]: cloud.s3().get_object(Bucket=cloud.bucket, Key=item["Key"])["Body"].read()
        for item in stored
    }
    assert {f"{folder}/{name}" for name in ("monitor.json", "monitor.html", "metrics.prom")} <= set(
        texts
    )
    people = pd.read_parquet(copy / "data/8_scores/scores.parquet")["customer_id"]
    assert not any(person.encode() in text for text in texts.values() for person in people)
    # In the repository somebody answers, and the next run is content.
    done = churn(copy, "monitor", "sync", "--profile", "eu", **cloud.client_environ())
    assert (done.returncode, "1 new reports, " in done.stdout) == (1, True), done.stderr
    for record in unanswered(copy):
        answer(
            copy,
            record.id,
            by="Ada Lovelace",
            why="A trial.",
            action="fix_data",
            until=None,
            now=datetime.now(UTC),
        )
    done = churn(copy, "monitor", "sync", "--profile", "eu", **cloud.client_environ())
    assert (done.returncode, "1 stored in the bucket" in done.stdout) == (0, True), done.stderr
    said = cluster.submit(settings, "monitor", "bundle")
    assert any("The monitor on 2026-06-30: alarm." in text for text in said), said


def test_retention_of_the_servers_needs_no_repository(
    cloud: Cloud, settings: Settings, cluster: Cluster
) -> None:
    key = "pipelines/acme-churn/run-1/features/snapshots.parquet"
    cloud.s3().put_object(Bucket=cloud.bucket, Key=key, Body=b"new")
    before = {item["Key"] for item in cloud.s3().list_objects_v2(Bucket=cloud.bucket)["Contents"]}
    said = cluster.submit(settings, "retain")
    assert said[0] == "Nothing is past its period.\n"
    after = {item["Key"] for item in cloud.s3().list_objects_v2(Bucket=cloud.bucket)["Contents"]}
    assert after == before | {"pipeline-runs/acme-churn/one.json"}
