"""Copies of MLflow's runs at ClearML, by the real client against a double: minimal, once, deleted with the run."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest

import clearml_double
from clearml_double import KEY, SECRET, Clearml
from loopback import certificate
from small_project import churn
from sovereign_ml.cli.composition import project_stores
from sovereign_ml.config.other_platforms import ClearmlSettings
from sovereign_ml.config.settings import ENVIRONMENT, Settings
from sovereign_ml.data_subjects import retention
from sovereign_ml.data_subjects.retention_servers import CopiedRuns
from sovereign_ml.data_subjects.stores.clearml_tasks import CopiedTasks
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.registry import clearml, clearml_client
from sovereign_ml.registry.clearml_client import MARK
from sovereign_ml.registry.mlflow import training_run
from sovereign_ml.supply_chain import client_environment

CLIENTS = ENVIRONMENT.get("SHIPPED_ENVIRONMENTS", "")
CANARY = "c0ffee" + "0" * 26
"""A pseudonym that somebody logs by hand."""


@pytest.fixture(scope="module")
def validators() -> Any:
    return clearml_double.schemas(Path(CLIENTS, "clearml/bin/python"))


@pytest.fixture
def double(validators: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Clearml]]:
    monkeypatch.setitem(ENVIRONMENT, "CHURN_CLIENTS", CLIENTS)
    with clearml_double.clearml(validators) as running:
        yield running


@pytest.fixture
def own(settings: Settings, tmp_path: Path, double: tuple[str, Clearml]) -> Settings:
    """Settings with an MLflow of the test's own and the address and keys of the double."""
    profile = settings.profile.model_copy(
        update={"tracking_uri": f"sqlite:///{tmp_path}/mlflow.db"}
    )
    secrets = settings.secrets.model_validate(
        {**dict(settings.secrets), "clearml_key": KEY, "clearml_secret": SECRET}
    )
    table = ClearmlSettings(api=double[0])
    changes = {"profile": profile, "secrets": secrets, "clearml": table, "root": tmp_path}
    return settings.model_copy(update=changes)


def logged(own: Settings, name: str = "c") -> str:
    """Log a run as step 4 does, with more by hand: a person, a tag, an odd number."""
    with training_run(own.tracking, {"data": "0" * 64}) as run_id:
        mlflow.log_params({name: "0.1", "knots": "6", "note": CANARY, "seed": CANARY})
        mlflow.log_metrics({"search_log_loss_c_0.1": 0.53, "odd": float("nan"), CANARY: 1.0})
        mlflow.set_tag("who", "somebody@acme.example")
    return run_id


def planted(state: Clearml, run: str, status: str = "completed") -> dict[str, Any]:
    """Put a copy of ``run`` into the double, as `push` leaves it."""
    state.projects["acme-churn"] = "p" * 32
    task = {"id": f"task{len(state.tasks)}", "project": "p" * 32, "status": status}
    state.tasks[str(task["id"])] = {**task, "tags": ["mlflow", f"mlflow:{run}"]}
    return state.tasks[str(task["id"])]


def test_runs_are_copied_once_without_person_machine_or_source(
    own: Settings, double: tuple[str, Clearml]
) -> None:
    state = double[1]
    runs = {logged(own), logged(own, "own_depth")}
    table = own.clearml.model_copy(update={"parameters": ("own_depth", "note")})
    server = own.model_copy(update={"clearml": table}).clearml_server
    pushed = clearml.push(server, own.tracking)
    assert (pushed.written, pushed.there, pushed.left_out) == (2, 0, 6)
    first = json.dumps(state.tasks)
    assert clearml.push(server, own.tracking).there == 2
    assert json.dumps(state.tasks) == first
    tasks = sorted(state.tasks.values(), key=lambda task: "c" not in values(task))
    marks = {tag for task in tasks for tag in task["tags"]}
    assert marks == {"mlflow", *(f"mlflow:{run}" for run in runs)}
    assert {task["status"] for task in tasks} == {"completed"}
    assert values(tasks[0]) == {"c": "0.1", "knots": "6"}
    assert values(tasks[1]) == {"own_depth": "0.1", "knots": "6"}
    points = [(e["metric"], e["value"]) for e in state.events if e["task"] == tasks[0]["id"]]
    assert points == [("search_log_loss_c_0.1", 0.53)]
    sent = "\n".join("\n".join(request) for request in state.requests)
    for word in (CANARY, socket.gethostname(), "somebody@", SECRET, str(own.root), __file__):
        assert word not in sent, word
    assert "X-ClearML-Worker: acme-churn" in sent


def values(task: dict[str, Any]) -> dict[str, str]:
    return {name: row["value"] for name, row in task["hyperparams"]["General"].items()}


def test_a_copy_that_broke_off_is_completed_by_the_next_call(
    own: Settings, double: tuple[str, Clearml]
) -> None:
    state = double[1]
    logged(own)
    state.breaks_at = "tasks.completed"
    with pytest.raises(Misuse, match="ClearML at"):
        clearml.push(own.clearml_server, own.tracking)
    state.breaks_at = ""
    assert clearml.push(own.clearml_server, own.tracking).written == 1
    (task,) = state.tasks.values()
    assert task["status"] == "completed"
    assert {event["task"] for event in state.events} == {task["id"]}


def copies(own: Settings) -> CopiedRuns:
    """Return the keeper of the copies in a clone."""
    keepers = retention._others(project_stores(own))
    return next(keeper for keeper in keepers if isinstance(keeper, CopiedRuns))


def test_retention_deletes_the_copy_of_a_run_that_is_due_or_gone(
    own: Settings, double: tuple[str, Clearml]
) -> None:
    stays = logged(own)
    for run in ("0" * 32, stays):
        planted(double[1], run)
    keeper = copies(own)
    due = keeper.due(datetime.now(UTC))
    assert [(item.data_class, item.place) for item in due] == [("runs", "ClearML: task task0")]
    keeper.expire(due)
    assert [task["tags"][1] for task in double[1].tasks.values()] == [f"mlflow:{stays}"]
    later = datetime.now(UTC) + timedelta(days=400)
    assert len(keeper.due(later)) == 1, "the run itself is due by then"


def test_retention_from_the_image_names_the_copies_that_it_cannot_delete(
    own: Settings, double: tuple[str, Clearml], monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(double[1], logged(own))
    monkeypatch.setattr(type(own.data_versions), "from_image", True)
    stores, later = project_stores(own), datetime.now(UTC) + timedelta(days=400)
    assert retention.apply(stores, datetime.now(UTC)) == [], "nothing is due, nothing is said"
    with pytest.raises(
        Refused, match=r"copies of 1 runs may still be at .+ in a clone after `make"
    ):
        retention.apply(stores, later)
    assert retention.plan(stores, later) == [], "the run itself is deleted"
    assert list(double[1].tasks) == ["task0"]
    monkeypatch.undo()
    monkeypatch.setitem(ENVIRONMENT, "CHURN_CLIENTS", CLIENTS)
    assert [item.place for item in copies(own).due(datetime.now(UTC))] == ["ClearML: task task0"]


def test_a_task_that_names_an_erased_person_is_found_and_deleted(
    own: Settings, double: tuple[str, Clearml]
) -> None:
    planted(double[1], "0" * 32)
    planted(double[1], "1" * 32)["comment"] = f"odd score of {CANARY}"
    store = CopiedTasks(own.clearml_server)
    traces = store.find([CANARY])
    assert [(trace.place, trace.action) for trace in traces] == [("task task1", "run deleted")]
    store.remove([CANARY], traces)
    assert store.find([CANARY]) == []
    assert list(double[1].tasks) == ["task0"]


def test_what_is_wrong_is_one_line(
    own: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = own.secrets.model_validate({**dict(own.secrets), "clearml_secret": "no"})
    with pytest.raises(Misuse, match="refuses the keys: check CLEARML_API_ACCESS_KEY"):
        clearml.twins(own.model_copy(update={"secrets": wrong}).clearml_server)
    none = own.secrets.model_validate({**dict(own.secrets), "clearml_key": None})
    with pytest.raises(Misuse, match="CLEARML_API_ACCESS_KEY is not set"):
        clearml.twins(own.model_copy(update={"secrets": none}).clearml_server)
    away = own.model_copy(update={"clearml": ClearmlSettings(api="http://127.0.0.1:9")})
    with pytest.raises(Misuse, match=r"ClearML at http://127\.0\.0\.1:9"):
        clearml.twins(away.clearml_server)
    empty = own.model_copy(update={"clearml": ClearmlSettings()})
    with pytest.raises(Misuse, match="names no server of ClearML"):
        clearml.push(empty.clearml_server, own.tracking)
    with pytest.raises(Misuse, match="no finished run 0000"):
        clearml.push(own.clearml_server, own.tracking, "0000")
    monkeypatch.setitem(ENVIRONMENT, "CHURN_CLIENTS", str(tmp_path))
    with pytest.raises(Misuse, match="call `make setup-clearml`"):
        clearml.twins(own.clearml_server)


def test_a_server_whose_certificate_nobody_signed_gets_no_key(
    own: Settings, validators: Any, tmp_path: Path
) -> None:
    pair = certificate(tmp_path, "localhost", datetime.now(UTC) + timedelta(days=1))
    with clearml_double.clearml(validators, tls=pair) as (address, state):
        table = ClearmlSettings(api=address.replace("127.0.0.1", "localhost"))
        with pytest.raises(Misuse, match="no authority that this machine trusts"):
            clearml.twins(own.model_copy(update={"clearml": table}).clearml_server)
    assert state.requests == []


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("https://api.clear.ml", "ClearML"),
        ("https://APP.CLEAR.ML:443/", "ClearML"),
        ("http://clearml.acme.example", "without TLS"),
        ("https://user:pass@clearml.acme.example", "without a user"),
        ("ftp://clearml.acme.example", "https://host"),
        ("https://x.s3.amazonaws.com", "name a server of your own"),
    ],
)
def test_no_server_but_one_of_the_team_is_taken(address: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ClearmlSettings(api=address)


def test_a_client_that_breaks_off_is_one_line_without_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENVIRONMENT, "CHURN_CLIENTS", CLIENTS)
    program = tmp_path / "broken.py"
    program.write_text("import json, sys\nsys.exit('no ' + json.load(sys.stdin)['secret'])\n")
    with pytest.raises(Refused, match=r"broke off: no …\. The same command goes on") as stop:
        client_environment.ask("clearml", program, {"secret": SECRET}, [])
    assert SECRET not in str(stop.value)


def test_a_client_reaches_no_other_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENT, "CHURN_CLIENTS", CLIENTS)
    program = tmp_path / "leak.py"
    program.write_text("import socket\nsocket.create_connection(('updates.clear.ml', 443))\n")
    with pytest.raises(Refused, match=r"updates\.clear\.ml"):
        client_environment.ask("clearml", program, {}, ["clearml.acme.example"])


def test_the_command_says_which_runs_it_wants(project: Path) -> None:
    for words in ((), ("--all", "--run", "x")):
        done = churn(project, "clearml", "push", *words)
        assert done.returncode == 2
        assert "--run ID for one, or --all" in done.stderr


def test_a_deletion_hides_no_copy_of_a_later_page(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = {
        f"t{number}": ("created" if number == 0 else "completed", f"{MARK}r{number}")
        for number in range(5)
    }

    def page_of(page: int, page_size: int, **_: Any) -> list[Any]:
        tasks = list(stored.items())[page * page_size : (page + 1) * page_size]
        rows = [{"id": task, "status": status, "tags": [tag]} for task, (status, tag) in tasks]
        return [SimpleNamespace(data=SimpleNamespace(to_dict=lambda row=row: row)) for row in rows]

    def delete_many(ids: list[str], **_: Any) -> None:
        for task in ids:
            del stored[task]

    written: list[str] = []
    project = SimpleNamespace(id="p", name="acme-churn")
    api = SimpleNamespace(
        projects=SimpleNamespace(get_all=lambda **_: [project]),
        tasks=SimpleNamespace(get_all=page_of, delete_many=delete_many),
    )
    monkeypatch.setattr(clearml_client, "PAGE", 2)
    monkeypatch.setattr(clearml_client, "_write", lambda *words: written.append(words[-1]["id"]))
    runs = [{"id": f"r{number}"} for number in range(5)]
    counts = clearml_client.push(api, {"project": "acme-churn", "runs": runs})
    assert written == ["r0"] and counts == {"written": 1, "there": 4}
