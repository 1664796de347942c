"""What an erasure does to the model follows the answer of the card."""

from pathlib import Path

import pandas as pd
import pytest
import tomlkit

from sovereign_ml.config.settings import ENVIRONMENT
from sovereign_ml.data_subjects import erasure
from sovereign_ml.data_subjects.receipts import Receipt
from sovereign_ml.data_subjects.stores import dvc_versions
from sovereign_ml.registry import mlflow
from world import World, pseudonym

pytestmark = pytest.mark.flow


def answered(world: World, action: str, claim: str = "not_assessed") -> World:
    path = world.root / "model_card.toml"
    card = tomlkit.parse(path.read_text())
    card["erasure"]["model_action"] = action  # type: ignore[index]
    card["model_privacy"]["claim"] = claim  # type: ignore[index]
    path.write_text(tomlkit.dumps(card))
    return world


def erased(world: World) -> Receipt:
    ENVIRONMENT.update(world.input)
    return erasure.erase(world.stores, [pseudonym(world.chosen[0])])


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_model_that_is_retired_is_nowhere_any_more(world: World) -> None:
    model = (world.root / "data/4_model/model.json").read_bytes()
    receipt = erased(answered(world, "retire"))
    assert receipt.model.answer == "retire" and "1 registry versions" in receipt.model.done
    assert not list(
        mlflow.client(world.settings.tracking).search_model_versions("name = 'acme-churn'")
    )
    assert not files(world.root / ".mlflow/artifacts")
    assert (
        not (world.root / "data/4_model").exists() and not (world.root / "data/7_bundle").exists()
    )
    kept = [*files(world.root / ".dvc/cache"), *files(world.folder / "acme-churn-dvc")]
    assert not [path for path in kept if path.read_bytes() == model]


def test_a_model_that_is_claimed_to_be_anonymous_stays_and_is_not_due(world: World) -> None:
    before = (world.root / "data/4_model/model.json").read_bytes()
    receipt = erased(answered(world, "none_model_anonymous", "anonymous"))
    assert receipt.model.answer == "none_model_anonymous"
    assert (world.root / "data/4_model/model.json").read_bytes() == before
    assert "train" in dvc_versions.clean_stages(world.root)


def test_the_same_answer_without_the_claim_lets_the_model_be_trained_anew(world: World) -> None:
    assert erased(answered(world, "none_model_anonymous")).model.answer == "unanswered"
    assert "train" not in dvc_versions.clean_stages(world.root)


def test_a_model_that_is_retrained_on_request_is_trained_and_scored_without_the_person_at_once(
    world: World,
) -> None:
    before = pd.read_parquet(world.root / "data/3_features/training.parquet")
    person = world.chosen[0]
    model = (world.root / "data/4_model/model.json").read_bytes()
    done = answered(world, "retrain_on_request").erase([person])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Retrained without the person" in done.stdout
    assert {*dvc_versions.clean_stages(world.root)} >= {"train", "evaluate", "register", "score"}, (
        "nothing is due any more"
    )
    assert (world.root / "data/4_model/model.json").read_bytes() != model
    after = pd.read_parquet(world.root / "data/3_features/training.parquet")
    assert len(after) == len(before[before["customer_id"] != pseudonym(person)]) < len(before)
    assert pseudonym(person) not in set(
        pd.read_parquet(world.root / "data/8_scores/scores.parquet")["customer_id"]
    )
