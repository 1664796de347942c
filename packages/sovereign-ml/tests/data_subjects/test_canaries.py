"""Known names, e-mail addresses, card numbers and ids stand in the input; nothing that is written holds one."""

import re
from pathlib import Path

import httpx
import pandas as pd
import pytest

from searching import places
from service_desk import FEATURES, KEYS
from shipped import service
from world import World, pseudonym

pytestmark = pytest.mark.flow
WORDS = re.compile(rb"KD-\d{5}-canary|Qanary|canary\.example|\b5399\d{12}\b")


def test_the_input_is_full_of_them(made: World) -> None:
    assert set(places(made.folder, made.people[0].words)) >= {
        "input/customers.csv",
        "input/transactions.csv",
    }


def test_no_byte_that_was_written_holds_an_id_a_name_an_address_or_a_card_number(
    made: World,
) -> None:
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


@pytest.mark.servers
def test_a_running_service_writes_none_of_them_even_where_a_caller_sends_them(
    made: World, tmp_path: Path
) -> None:
    """Address, header, query and body of wrong calls; then its log, its output and its counters are searched."""
    person = made.chosen[0]
    key = {"authorization": f"Bearer {KEYS['subject'][0]}"}
    wrong = {**FEATURES, "recency_days": person.email, person.name: person.card}
    with (
        (tmp_path / "output.txt").open("wb") as output,
        service(made.root / "data/7_bundle", str(tmp_path / "log.db"), output=output) as running,
    ):
        assert (
            running.post(
                "/v1/score", {"customer_id": pseudonym(person), "features": FEATURES}
            ).status_code
            == 200
        )
        assert (
            running.post(
                "/v1/score", {"customer_id": person.customer_id, "features": FEATURES}
            ).status_code
            == 422
        )
        assert (
            running.post(
                "/v1/score", {"customer_id": pseudonym(person), "features": wrong}
            ).status_code
            == 422
        )
        assert (
            running.post("/v1/objections", {"customer_id": person.email}, "subject").status_code
            == 422
        )
        for path in (
            f"/v1/decisions/{person.email}?card={person.card}",
            f"/{person.customer_id}/{person.card}",
        ):
            given = {
                **key,
                "customer-id": person.customer_id,
                "user-agent": person.name,
                "referer": person.email,
            }
            assert httpx.get(running.url + path, headers=given).status_code in (404, 422)
        counters = httpx.get(
            f"{running.url}/metrics", headers={"authorization": f"Bearer {KEYS['admin'][0]}"}
        ).text
        running.stop()
    (tmp_path / "metrics.txt").write_text(counters)
    assert "churn" in counters and pseudonym(person) not in counters
    assert places(tmp_path, [pseudonym(person)]), "the decision is on record"
    assert places(tmp_path, person.words) == []
