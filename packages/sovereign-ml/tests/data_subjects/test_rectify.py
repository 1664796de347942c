"""A correction is a new version of the data, a new score, and a decision that is linked to the old one."""

import json
from contextlib import closing

import pandas as pd
import pytest

from sovereign_ml.data_subjects.rectification_receipt import Rectification
from sovereign_ml.decision_log import open_log, verify
from world import World, pseudonym

pytestmark = pytest.mark.flow


def purchases(world: World) -> pd.DataFrame:
    lines = pd.read_parquet(world.root / "data/1_raw/transactions.parquet")
    return (
        lines[lines["customer_id"] == pseudonym(world.chosen[0])]
        .sort_values("event_time")
        .reset_index(drop=True)
    )


def test_a_corrected_purchase_is_scored_and_decided_again_and_stays_corrected(world: World) -> None:
    before, everyone = (
        purchases(world),
        pd.read_parquet(world.root / "data/1_raw/transactions.parquet"),
    )
    scores = pd.read_parquet(world.root / "data/8_scores/scores.parquet").set_index("customer_id")[
        "score"
    ]
    when, person = before["event_time"].iloc[-1], pseudonym(world.chosen[0])
    who = ("--subject", world.chosen[0].customer_id, "--purchase", f"{when:%Y-%m-%d %H:%M:%S}")
    done = world.churn(
        "data-subject", "rectify", *who, "--set", "amount_eur=9999.50", "--reference", "DSR-8"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    after = purchases(world)
    assert float(after["amount_eur"].iloc[-1]) == 9999.50
    assert len(pd.read_parquet(world.root / "data/1_raw/transactions.parquet")) == len(everyone)
    pd.testing.assert_frame_equal(after.iloc[:-1], before.iloc[:-1])

    new = pd.read_parquet(world.root / "data/8_scores/scores.parquet").set_index("customer_id")[
        "score"
    ]
    assert {one for one in scores.index if scores[one] != new[one]} == {person}
    [receipt] = (world.root / "governance/receipts").glob("*.json")
    found = Rectification.model_validate_json(receipt.read_text())
    assert found.columns == ("amount_eur",) and found.rows == 1 and found.reference == "DSR-8"
    assert found.data_version[0] != found.data_version[1] and found.recipients
    assert found.again and found.again.score_after == pytest.approx(new[person], abs=1e-5)
    with closing(open_log(str(world.root / ".churn/decisions.db"))) as log:
        assert verify(log).holds
        decision = next(one for one in log.of_case(found.again.new) if one.kind == "decision")
        assert json.loads(decision.body or "")["corrects"] == found.again.old
        link = next(one for one in log.of_case(found.again.old) if one.kind == "rectification")
        assert json.loads(link.body or "")["corrected_by"] == found.again.new
    assert not any(
        word in receipt.read_text() for word in (person, world.chosen[0].customer_id, "9999")
    )

    source = world.folder / "input/transactions.csv"
    lines = source.read_text().splitlines()
    source.write_text("\n".join([*lines, lines[1]]) + "\n")
    assert world.churn("data").returncode == 0
    assert float(purchases(world)["amount_eur"].iloc[-1]) == 9999.50, (
        "a new import keeps the correction"
    )
    assert world.erase([world.chosen[0]]).returncode == 0
    assert person not in set(
        pd.read_parquet(world.root / "data/1_raw/corrections.parquet")["customer_id"]
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--set", "amount_eur=12"), "No column 'amount_eur' of a customer"),
        (("--set", "birth_year=soon"), "is no integer"),
        (("--set", "country"), "has no '='"),
        (
            ("--set", "amount_eur=1", "--purchase", "1999-01-01 00:00:00"),
            "no purchase at 1999-01-01",
        ),
        (("--set", "value=1", "--event", "tickets"), "--event NAME --at TIME"),
        (("--set", "value=1", "--at", "2026-01-01 00:00:00"), "--event NAME --at TIME"),
        (
            ("--set", "value=1", "--event", "tickets", "--at", "2026-01-01 00:00:00"),
            "No event table 'tickets': [data.events] has none",
        ),
    ],
)
def test_what_cannot_be_corrected_is_refused_in_one_line(
    made: World, given: tuple[str, ...], said: str
) -> None:
    done = made.churn("data-subject", "rectify", "--subject", made.chosen[0].customer_id, *given)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and said in done.stderr
    assert not (made.root / "data/1_raw/corrections.parquet").exists()
