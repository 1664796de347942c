"""Feature server and parity: what the service sees is what the model was trained on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pandas as pd
import pytest
import redis

from cloud import Cloud, Done
from small_project import churn, environment
from sovereign_ml.config.settings import load
from sovereign_ml.features import feast


@pytest.fixture(scope="module")
def server(cloud: Cloud, root: Path, flow: Done) -> Iterator[str]:
    """The address of a running feature server."""
    running = cloud.feature_server(root)
    running.start()
    try:
        yield f"http://127.0.0.1:{cloud.feature_port}"
    finally:
        running.kill()


@pytest.fixture
def snapshot(root: Path, flow: Done) -> pd.DataFrame:
    """The newest features, as step 3 wrote them."""
    rows = pd.read_parquet(root / "data/3_features/snapshots.parquet")
    return rows[rows["event_timestamp"] == rows["event_timestamp"].max()].sort_values("customer_id")


def ask(server: str, customers: list[str], **headers: str) -> httpx.Response:
    body = {"feature_service": "churn_v1", "entities": {"customer_id": customers}}
    return httpx.post(f"{server}/get-online-features", json=body, headers=headers, timeout=30)


def test_the_feature_server_answers_with_the_snapshot(
    cloud: Cloud, server: str, snapshot: pd.DataFrame
) -> None:
    person = snapshot.iloc[0]
    answer = ask(server, [person["customer_id"]], authorization=f"Bearer {cloud.password}").json()
    values = dict(
        zip(
            answer["metadata"]["feature_names"],
            (r["values"][0] for r in answer["results"]),
            strict=True,
        )
    )
    assert values["recency_days"] == person["recency_days"]
    assert values["preferred_category"] == person["preferred_category"]


def test_the_feature_server_is_closed_without_the_token(
    server: str, snapshot: pd.DataFrame
) -> None:
    assert ask(server, [snapshot.iloc[0]["customer_id"]]).status_code == 401
    assert (
        ask(server, [snapshot.iloc[0]["customer_id"]], authorization="Bearer x").status_code == 401
    )


@pytest.mark.parametrize(
    "path", ["/push", "/write-to-online-store", "/materialize", "/docs", "/chat"]
)
def test_nobody_can_write_through_the_feature_server_even_with_the_token(
    cloud: Cloud, server: str, path: str
) -> None:
    answer = httpx.post(
        server + path, json={}, headers={"authorization": f"Bearer {cloud.password}"}
    )
    assert answer.status_code == 404


def test_a_planted_difference_of_one_customer_is_found_by_pseudonym_and_a_flushed_redis_is_rebuilt_without_any(
    cloud: Cloud,
    root: Path,
    snapshot: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = load("eu", root, environment(root, **cloud.client_environ()))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, cloud.environ()[name])
    person = snapshot.iloc[[0]].copy()
    name = str(person["customer_id"].iloc[0])
    person["recency_days"] += 1.0
    person["event_timestamp"] = datetime.now(UTC)
    feast.open_store(root / "data/3_features", settings.feature_stores).write_to_online_store(
        feast.VIEW, person
    )
    report = tmp_path / "parity.json"
    done = churn(
        root,
        "servers",
        "parity",
        "--profile",
        "eu",
        "--output",
        str(report),
        **cloud.client_environ(),
    )
    assert (done.returncode, "churn servers materialise" in done.stderr) == (1, True), (
        done.stdout + done.stderr
    )
    assert f"{name}  recency_days: offline" in done.stdout
    assert [row["customer_id"] for row in json.loads(report.read_text())["differences"]] == [name]
    redis.Redis(port=cloud.redis_port, password=cloud.password).flushall()
    again = churn(root, "servers", "materialise", "--profile", "eu", **cloud.client_environ())
    assert again.returncode == 0, again.stderr
    done = churn(root, "servers", "parity", "--profile", "eu", **cloud.client_environ())
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"No difference: {len(snapshot):,} customers, 17 features" in done.stdout
