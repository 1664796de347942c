"""Rights through the command line with copies at Hopsworks and ClearML, by their real clients against doubles."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import clearml_double
import warm_churn
from clearml_double import KEY, SECRET
from hopsworks_double import CLIENT_KEY, knobs, platform, tell
from searching import places
from small_project import PROGRAMS, configure, environment
from sovereign_ml.config.settings import ENVIRONMENT
from sovereign_ml.data_subjects import receipts
from sovereign_ml.features import hopsworks
from sovereign_ml.registry import mlflow
from world import World, pseudonym

pytestmark = pytest.mark.flow
CLIENTS = ENVIRONMENT.get("SHIPPED_ENVIRONMENTS", "")
SECRETS = {
    "CHURN_CLIENTS": CLIENTS,
    "CHURN_HOPSWORKS_API_KEY": CLIENT_KEY,
    "CLEARML_API_ACCESS_KEY": KEY,
    "CLEARML_API_SECRET_KEY": SECRET,
}
LATER = f"{datetime.now(UTC) + timedelta(days=5000):%Y-%m-%d}"
"""A day on which everything is past its period."""


def call(world: World, *words: str, code: int = 0) -> str:
    """Call `churn`, and return what it printed on both streams."""
    done = warm_churn.churn(world.root, *words, **world.input, **SECRETS)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def begin_erasure(world: World) -> subprocess.Popen[bytes]:
    """Start an erasure of the chosen people as a process group of its own."""
    people = [word for person in world.chosen for word in ("--subject", person.customer_id)]
    return subprocess.Popen(
        [str(PROGRAMS / "churn"), "data-subject", "erase", *people],
        cwd=world.root,
        env=environment(world.root, **world.input, **SECRETS),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def receipt(world: World) -> receipts.Receipt:
    """Return the only receipt: an erasure that is finished later keeps its own."""
    (path,) = (world.root / "governance/receipts").glob("*.json")
    return receipts.Receipt.model_validate_json(path.read_text(encoding="utf-8"))


def due(world: World, *more: str) -> list[dict[str, Any]]:
    """Return what `churn retain` names on a day when everything is past its period."""
    rows: list[dict[str, Any]] = json.loads(call(world, "retain", "--at", LATER, "--json", *more))
    return rows


def test_a_killed_erasure_at_hopsworks_is_finished_and_the_topic_is_by_hand(
    world: World, tmp_path: Path
) -> None:
    people = [pseudonym(person) for person in world.chosen]
    with platform(tmp_path, CLIENTS) as server:
        configure(world.root, knobs(server))
        assert "customers are in the online store: hopsworks." in call(
            world, "servers", "materialise"
        )
        everybody = set(tell(server, "state")["table"])
        assert set(hopsworks.look_up(server, people)) == set(people)

        process = begin_erasure(world)
        tell(server, "kill", path="/online_ingestion", group=process.pid)
        assert process.wait(timeout=500) == -signal.SIGKILL
        assert set(hopsworks.look_up(server, people)) == set(people), "killed before the deletion"

        message = call(world, "data-subject", "erase", code=1)
        assert "Still there: Kafka topic 119_15_customer_snapshot_1_onlinefs" in message
        assert "kafka-delete-records" in message
        assert hopsworks.look_up(server, people) == {}
        assert set(tell(server, "state")["table"]) == everybody - set(people)
        (left,) = receipt(world).remains
        # Each person was written once, and deleted once.
        assert (left.store, left.action, left.count) == ("Hopsworks", "by hand", 2 * len(people))

        tell(server, "expire")
        call(world, "data-subject", "erase")
        assert receipt(world).status == "complete"
        rows = [trace for trace in receipt(world).removed if trace.store == "Hopsworks"]
        assert {(trace.action, trace.count) for trace in rows} >= {("rows removed", len(people))}
        assert places(world.folder, people, but=[world.folder / "input"]) == []

        call(world, "servers", "materialise")
        assert hopsworks.look_up(server, people) == {}, "publishing again brings nobody back"
        assert "No difference" in call(world, "servers", "parity")

        planned = due(world)
        assert ("Hopsworks", len(everybody) - len(people)) in {
            (row["place"], row["count"]) for row in planned
        }
        assert set(tell(server, "state")["table"]) == everybody - set(people), "a plan only"
        assert due(world, "--apply") == planned
        assert tell(server, "state")["table"] == []


def test_a_killed_erasure_at_clearml_is_finished_and_retention_deletes_the_copies(
    world: World,
) -> None:
    person = pseudonym(world.chosen[0])
    validators = clearml_double.schemas(Path(CLIENTS, "clearml/bin/python"))
    with clearml_double.clearml(validators) as (address, state):
        configure(world.root, {"clearml.api": address})
        assert "1 runs copied" in call(world, "clearml", "push", "--all")
        (task,) = state.tasks.values()
        task["comment"] = f"odd score of {person}"

        process = begin_erasure(world)
        state.on_request = lambda endpoint: (
            endpoint == "tasks.delete_many" and os.killpg(process.pid, signal.SIGKILL)
        )
        assert process.wait(timeout=500) == -signal.SIGKILL
        state.on_request = id
        call(world, "data-subject", "erase")
        assert state.tasks == {} and state.events == []
        places_of = {trace.store: trace.action for trace in receipt(world).removed}
        assert (receipt(world).status, places_of["ClearML"]) == ("complete", "run deleted")

        assert "1 runs copied" in call(world, "clearml", "push", "--all"), "without the comment"
        periods = {f"retention.{name}.period": "P1M" for name in ("runs", "models")}
        configure(world.root, periods)
        mlflow.client(world.stores.tracking).delete_registered_model_alias(
            "acme-churn", "candidate"
        )
        (twin,) = state.tasks
        planned = due(world)
        assert f"ClearML: task {twin}" in {row["place"] for row in planned}
        assert list(state.tasks) == [twin], "a plan only"
        assert due(world, "--apply") == planned
        assert state.tasks == {} and state.events == []
