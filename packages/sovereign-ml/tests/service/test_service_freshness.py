"""The real feature server says PRESENT however old a value is; the service looks at its date."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from starlette.testclient import TestClient

import servers
from servers import free_port
from small_project import environment, load
from sovereign_ml.bundle.sealed import read_bundle, seal_again
from sovereign_ml.features import feast
from sovereign_ml.service.app import Application
from sovereign_ml.service.runtime import Runtime
from sovereign_ml.service.settings import ServiceSettings
from sovereign_ml.storage.artifacts import read_json, write_json

pytestmark = [pytest.mark.servers, pytest.mark.flow]
TOKEN = "5" * 48
Client = Callable[..., Any]


@pytest.fixture(scope="module")
def root(project: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project whose bundle allows features of 30 days."""
    copy = tmp_path_factory.mktemp("fresh") / "acme-churn"
    for name in ("config.toml", "pyproject.toml"):
        copy.mkdir(exist_ok=True)
        shutil.copy(project / name, copy)
    for part in ("3_features", "7_bundle"):
        shutil.copytree(project / "data" / part, copy / "data" / part)
    policy = copy / "data/7_bundle/policy.json"
    write_json(policy, read_json(policy) | {"max_feature_age_days": 30})
    seal_again(policy.parent, read_bundle(bundle).manifest)
    return copy


@pytest.fixture(scope="module")
def people(root: Path) -> list[str]:
    rows = pd.read_parquet(root / "data/3_features/snapshots.parquet")
    return sorted(rows.loc[rows["event_timestamp"] == rows["event_timestamp"].max(), "customer_id"])


@pytest.fixture(scope="module")
def store(root: Path) -> Iterator[str]:
    """The address of `churn servers features`."""
    port = free_port()
    churn = str(Path(sys.executable).with_name("churn"))
    command = [churn, "servers", "features", "--port", str(port)]
    environ = environment(root, FEATURE_STORE_TOKEN=TOKEN)
    ready = servers.answers(f"http://127.0.0.1:{port}/health")
    running = servers.Process(command, root, ready, environ)
    running.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        running.kill()


@contextmanager
def service(root: Path, store: str, folder: Path, **more: Any) -> Iterator[TestClient]:
    settings = ServiceSettings(
        bundle=root / "data/7_bundle",
        log=str(folder / "decisions.db"),
        feature_store=store,
        feature_token=TOKEN,
        feature_timeout=20,
        **more,
    )
    application = Application()
    runtime = Runtime(settings, read_bundle(settings.bundle))
    application.use(runtime)
    with TestClient(application, base_url="http://127.0.0.1") as client:
        yield client
        client.portal.call(runtime.close)


def written(root: Path, customer: str, at: datetime) -> None:
    """Write the newest row of ``customer`` into the online store as of ``at``."""
    rows = pd.read_parquet(root / "data/3_features/snapshots.parquet")
    row = rows[rows["customer_id"] == customer].sort_values("event_timestamp").tail(1)
    opened = feast.open_store(root / "data/3_features", load(root).feature_stores)
    opened.write_to_online_store(feast.VIEW, row.assign(event_timestamp=at))


def test_a_snapshot_of_months_ago_is_no_reason_for_a_decision(
    root: Path, store: str, people: list[str], tmp_path: Path
) -> None:
    with service(root, store, tmp_path) as client:
        answer = client.post("/v1/score", json={"customer_id": people[0]})
    current = read_json(root / "data/3_features/summary.json")["current"]
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert f"the features are as of {current}T00:00:00Z" in answer.json()["detail"]


def test_the_switch_answers_with_the_date_of_the_snapshot(
    root: Path, store: str, people: list[str], tmp_path: Path
) -> None:
    with service(root, store, tmp_path, old_features="allow") as client:
        answer = client.post("/v1/score", json={"customer_id": people[0]}).json()
    current = read_json(root / "data/3_features/summary.json")["current"]
    assert (answer["features_as_of"], answer["freshness"]) == (f"{current}T00:00:00Z", "too_old")
    assert answer["score"] is not None


def test_who_has_a_new_row_is_decided_and_who_has_an_old_one_or_one_of_the_future_is_not(
    root: Path, store: str, people: list[str], tmp_path: Path
) -> None:
    new, old, future = people[1:4]
    now = datetime.now(UTC).replace(microsecond=0)
    written(root, new, now)
    written(root, future, now + timedelta(days=400))
    asked = {"customers": [{"customer_id": one} for one in (new, old, future)]}
    with service(root, store, tmp_path) as client:
        found = client.post("/v1/score/batch", json=asked).json()["decisions"]
    assert [one["freshness"] for one in found] == ["current", None, None]
    assert found[0]["features_as_of"] == f"{now:%Y-%m-%dT%H:%M:%SZ}"
    assert [one["outcome"] for one in found[1:]] == ["features_not_current"] * 2
