"""MLflow where it is awkward: odd paths, runs that are gone, a registry that fails half-way."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cards import NOW
from sovereign_ml.card.alias_history import (
    AliasMove,
    RegistryError,
    broken_history,
    chained,
    settle,
)
from sovereign_ml.config.connections import Tracking
from sovereign_ml.config.settings import ENVIRONMENT
from sovereign_ml.data_subjects.stores import mlflow_runs
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.registry import aliases, bundle_store, mlflow
from sovereign_ml.registry.mlflow import ModelVersion


def tracking(root: Path) -> Tracking:
    storage: Any = None
    uri = "sqlite:///.mlflow/mlflow.db"
    return Tracking("acme-churn", "local", uri, root, user="", storage=storage)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    """MLflow of a project in a folder with quotes, spaces, umlauts and signs of the shell in its name."""
    root = tmp_path_factory.mktemp("odd") / 'it\'s "our" $HOME `id` & Größe; #1/acme-churn'
    root.mkdir(parents=True)
    return tracking(root)


def register(where: Tracking, run_id: str) -> str:
    card = where.root / "card"
    (card / "plots").mkdir(parents=True, exist_ok=True)
    (card / "card.json").write_text('{"a": 1}')
    new = ModelVersion(run_id, card, ["card.json"], card / "plots", {"auc": 0.7}, {"k": "v"})
    return mlflow.register(where, new)[0]


@pytest.mark.flow
def test_quotes_and_other_signs_in_the_path_are_only_a_path(
    odd: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MLFLOW_REGISTRY_URI", "MLFLOW_TRACKING_URI"):  # another project's may be set
        monkeypatch.setitem(ENVIRONMENT, name, "http://127.0.0.1:1")
    with mlflow.training_run(odd, {"who": "me"}) as run_id:
        pass
    number = register(odd, run_id)
    assert mlflow.artifact(odd, run_id, "card/card.json") == {"a": 1}
    stored = [path for path in odd.root.rglob("card.json") if ".mlflow" in path.parts]
    assert [json.loads(path.read_text()) for path in stored] == [{"a": 1}]
    mlflow.client(odd).delete_registered_model_alias("acme-churn", "candidate")
    mlflow_runs.delete_version(odd, number)
    mlflow_runs.delete(odd, [run_id])
    assert not [path for path in stored if path.exists()]


@pytest.mark.flow
def test_a_run_that_is_gone_is_told_in_one_line_with_what_to_do(odd: Tracking) -> None:
    with pytest.raises(Misuse, match=r"Run with id=f{32} not found\. .* call `churn train` here"):
        register(odd, "f" * 32)
    with mlflow.training_run(odd, {}) as run_id:
        pass
    number = register(odd, run_id)
    mlflow.client(odd).set_model_version_tag("acme-churn", number, mlflow.SEAL, "0" * 64)
    mlflow_runs.delete(odd, [run_id])
    with pytest.raises(Misuse, match=rf"Run with id={run_id} not found"):
        bundle_store.fetch(odd, number, odd.root / "bundle")
    assert not (odd.root / "bundle").exists()


@pytest.mark.flow
def test_a_database_that_is_none_is_told_in_one_line(tmp_path: Path) -> None:
    where = tracking(tmp_path)
    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow/mlflow.db").write_text("nonsense" * 999)
    with pytest.raises(
        Misuse, match=r"^MLflow at sqlite:///.* cannot be read: .*not a database\.$"
    ):
        mlflow.client(where)


def test_a_registry_that_fails_when_asked_who_promoted_gives_no_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A history that cannot be read is not one without faults."""

    class Registry:
        def get_model_version_by_alias(self, *_: str) -> Any:
            return SimpleNamespace(version="1", run_id="0" * 32, tags={mlflow.SEAL: "0" * 64})

        def get_registered_model(self, _: str) -> Any:
            raise OSError("connection reset")

    monkeypatch.setattr(bundle_store.mlflow, "client", lambda _: Registry())
    assert aliases.mlflow is bundle_store.mlflow
    with pytest.raises(Refused, match=r"^The history of promotions cannot be read: .*reset"):
        bundle_store.fetch(tracking(tmp_path), "production", tmp_path / "bundle")
    assert "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR" in ENVIRONMENT


@pytest.fixture
def promoted(tmp_path: Path) -> tuple[Any, Any, str]:
    """A registry on SQLite in which two versions were promoted: its door, its client, the run of version 2."""
    where = tracking(tmp_path)
    (tmp_path / ".mlflow").mkdir()
    client, registry = mlflow.client(where), aliases.MlflowRegistry(where)
    client.create_registered_model(where.project)
    experiment = client.create_experiment("train", artifact_location=(tmp_path / "a").as_uri())
    for number in "12":
        run = client.create_run(experiment).info.run_id
        client.log_metric(run, "roc_auc", 0.74)
        client.create_model_version(where.project, f"runs:/{run}", run)
        client.set_model_version_tag(where.project, number, "card_hash", number * 64)
        move = AliasMove(
            kind="promote",
            version=number,
            previous=registry.production(),
            by="Grace Hopper",
            at=NOW,
            why="new",
            fingerprint=registry.fingerprint(number) or "",
        )
        registry.move(chained(move, registry.history()))
    assert broken_history(registry) == []
    return registry, client, run


NAME = "acme-churn"
MOVE_1, MOVE_2 = "production_move_00001", "production_move_00002"


def rewritten(client: Any, run: str) -> None:
    text = client.get_registered_model(NAME).tags[MOVE_2].replace("Grace Hopper", "Ada Lovelace")
    client.set_registered_model_tag(NAME, MOVE_2, text)


def numbered_anew(client: Any, run: str) -> None:
    text = client.get_registered_model(NAME).tags[MOVE_2]
    client.set_registered_model_tag(NAME, MOVE_1, text)
    client.delete_registered_model_tag(NAME, MOVE_2)


def cut_and_put_back(client: Any, run: str) -> None:
    client.delete_registered_model_tag(NAME, MOVE_2)
    client.set_registered_model_alias(NAME, "production", "1")


def model_made_anew(client: Any, run: str) -> None:
    tags = client.get_registered_model(NAME).tags
    client.delete_registered_model(NAME)
    client.create_registered_model(NAME, tags=tags)
    client.create_model_version(NAME, f"runs:/{run}", run)
    client.create_model_version(NAME, f"runs:/{run}", run)
    client.set_registered_model_alias(NAME, "production", "2")


BY_HAND = {
    "alias moved": lambda client, run: client.set_registered_model_alias(NAME, "production", "1"),
    "alias deleted": lambda client, run: client.delete_registered_model_alias(NAME, "production"),
    "move deleted": lambda client, run: client.delete_registered_model_tag(NAME, MOVE_1),
    "move rewritten": rewritten,
    "moves numbered anew": numbered_anew,
    "move cut, alias put back": cut_and_put_back,
    "card hash": lambda client, run: client.set_model_version_tag(NAME, "2", "card_hash", "f" * 64),
    "tag added": lambda client, run: client.set_model_version_tag(NAME, "2", "approved", "yes"),
    "tag deleted": lambda client, run: client.delete_model_version_tag(NAME, "2", "card_hash"),
    "metric": lambda client, run: client.log_metric(run, "roc_auc", 0.5),
    "metric added": lambda client, run: client.log_metric(run, "auc", 0.9, step=7),
    "version deleted": lambda client, run: client.delete_model_version(NAME, "2"),
    "model made anew": model_made_anew,
}


@pytest.mark.parametrize("by_hand", BY_HAND)
def test_what_was_done_by_hand_in_a_real_registry_is_told(
    promoted: tuple[Any, Any, str], by_hand: str
) -> None:
    registry, client, run = promoted
    BY_HAND[by_hand](client, run)
    try:
        lines = broken_history(registry)
    except RegistryError as error:
        lines = [str(error)]
    assert lines, by_hand


def test_a_move_that_was_ended_half_way_is_taken_back_or_completed(
    promoted: tuple[Any, Any, str],
) -> None:
    registry, client, _ = promoted
    mark = registry.marks()["2"]
    client.delete_model_version_tag(NAME, "2", mlflow.PROMOTED)
    assert settle(registry, NOW) == ""
    assert (registry.marks()["2"], len(registry.history())) == (mark, 2)
    client.delete_model_version_tag(NAME, "2", mlflow.PROMOTED)
    client.set_registered_model_alias(NAME, "production", "1")
    assert "was recorded and not made" in broken_history(registry)[0]
    assert "wait 10 minutes" in settle(registry, NOW + timedelta(minutes=9))
    assert settle(registry, NOW + timedelta(minutes=11)) == ""
    assert [move.version for move in registry.history()] == ["1"]
    assert broken_history(registry) == []


def version_of(run: str, folder: Path, basis: str, metrics: dict[str, float]) -> ModelVersion:
    """A version of ``run`` whose card rests on ``basis``."""
    (folder / "plots").mkdir(parents=True)
    answers = {"answers": {"lawful_basis": {"train": {"basis": basis}}}}
    (folder / "card.json").write_text(json.dumps(answers))
    tags = {"card_hash": basis}
    return ModelVersion(run, folder, ["card.json"], folder / "plots", metrics, tags)


@pytest.mark.parametrize("metrics", [{"roc_auc": 0.7}, {"roc_auc": 0.74, "gap_age": 0.1}])
def test_a_later_version_of_a_promoted_run_does_not_change_its_figures(
    promoted: tuple[Any, Any, str], tmp_path: Path, metrics: dict[str, float]
) -> None:
    """Step 5 ran again with other groups, say, on the model that is in production."""
    registry, _, run = promoted
    again = version_of(run, tmp_path / "card", "6_1_f", metrics)
    with pytest.raises(Refused, match=r"version 2 was promoted with the metrics of this run, and "):
        mlflow.register(tracking(tmp_path), again)
    assert broken_history(registry) == []
    same = version_of(run, tmp_path / "same", "6_1_f", {"roc_auc": 0.74})
    assert mlflow.register(tracking(tmp_path), same)[0] == "3"
    assert broken_history(registry) == []


def test_the_card_in_production_is_not_that_of_a_later_version_of_the_same_run(
    promoted: tuple[Any, Any, str], tmp_path: Path
) -> None:
    """Rule R25 compares the basis with it. A registered candidate is no card in production."""
    registry, client, run = promoted
    in_production = version_of(run, tmp_path / "2", "6_1_a", {})
    client.log_artifact(run, str(in_production.card / "card.json"), "bundle/2")
    client.set_model_version_tag(NAME, "2", mlflow.SEAL, "a" * 64)
    candidate = version_of(run, tmp_path / "3", "6_1_f", {"roc_auc": 0.74})
    mlflow.register(tracking(tmp_path), candidate)
    assert registry.previous_card()["bases"] == {"train": "6_1_a"}
