"""Known names, e-mail addresses, card numbers and ids stand in the input; nothing that is written holds one."""

import re

import pandas as pd
import pytest
from searching import places
from world import World

pytestmark = pytest.mark.flow
WORDS = re.compile(rb"KD-\d{5}-canary|Qanary|canary\.example|\b5399\d{12}\b")


def test_the_input_is_full_of_them(made: World) -> None:
    assert set(places(made.folder, made.people[0].words)) >= {"input/customers.csv", "input/transactions.csv"}


def test_no_byte_that_was_written_holds_an_id_a_name_an_address_or_a_card_number(made: World) -> None:
    """Flow, MLflow, Feast, DVC cache and remote, git, reports, decision log, the user's home."""
    everyone = [word for one in made.people for word in one.words]
    assert len(everyone) == 3600
    assert places(made.folder, everyone, but=[made.folder / "input"]) == []


def test_a_planted_name_is_found(world: World) -> None:
    frame = pd.DataFrame({"note": [f"call {world.people[5].name}"]})
    frame.to_parquet(world.root / "data/8_scores/notes.parquet")
    assert places(world.folder, [world.people[5].name], but=[world.folder / "input"]) == [
        "acme-churn/data/8_scores/notes.parquet"
    ]


def test_mlflow_holds_only_what_the_allow_list_names(made: World) -> None:
    text = (made.root / ".mlflow/mlflow.db").read_bytes()
    assert not WORDS.search(text)
    scored = pd.read_parquet(made.root / "data/8_scores/scores.parquet")["customer_id"]
    assert not any(one.encode() in text for one in scored)
