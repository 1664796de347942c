"""The label of contracts: who may be in it, what counts as its end, and a subscription shop through the whole flow."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from churn import features as snapshots
from own_files import Shop, as_csv, line, named, person
from small_project import configure, load, make_project, run
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.features.history import Population, check_populations
from sovereign_ml.storage.artifacts import read_json

CUT = datetime(2026, 3, 1)
ENDED = {
    "label.kind": "ended",
    "data.timezone": "Europe/Berlin",
    "data.customer_columns.started_at": "started_at",
    "data.customer_columns.ended_at": "ended_at",
}
OUT = None

# The horizon is [1 March, 31 March) in UTC. Berlin is one hour ahead, from 29 March on two.
AT_THE_EDGES: dict[str, tuple[str, str, int | None]] = {
    "runs": ("2025-01-01", "", 0),
    "runs, said with a word": ("", "NULL", 0),
    "ended the day before": ("", "2026-02-28", OUT),
    "ends on the day of the cut-off": ("", "2026-03-01", 1),
    "ends on the last day of the horizon": ("", "2026-03-30", 1),
    "ends the day after the horizon": ("", "2026-03-31", 0),
    "ended at half past eleven in UTC": ("", "2026-03-01 00:30:00", OUT),
    "ends at the cut-off": ("", "2026-03-01 01:00:00", 1),
    "ends at the cut-off, with a zone": ("", "2026-02-28T19:00:00-05:00", 1),
    "ends in the last second of the horizon": ("", "2026-03-31 01:59:59", 1),
    "ends as the horizon is over": ("", "2026-03-31 02:00:00", 0),
    "ends after the data": ("", "2026-12-31", 0),
    "ends never": ("", "9999-12-31", 0),
    "started on the day of the cut-off": ("2026-03-01", "2026-03-05", OUT),
    "started the day before": ("2026-02-28", "2026-03-05", 1),
    "started and ended on one day": ("2026-02-27 15:00:00", "2026-02-27", OUT),
}


def contracts(root: Path, dates: dict[str, tuple[str, str]], **more: Any) -> Shop:
    """A shop whose customers bought once before the cut-off; the data goes on until 15 April."""
    lines = [line(name, ordered_at="2025-12-01 10:00:00") for name in (*dates, "nobody's")]
    lines.append(line(next(iter(dates)), ordered_at="2026-04-15 10:00:00"))
    people = [person(name, started_at=s, ended_at=e) for name, (s, e) in dates.items()]
    shop = Shop(root, lines, people)
    configure(root, ENDED | more)
    return shop


def labels(shop: Shop, cut: datetime) -> dict[str, int]:
    config = load(shop.root).features
    connection = snapshots.load(shop.root / "data/1_raw", "ended")
    snapshots.compute(connection, [cut], config, "ended")
    snapshots.label(connection, config.horizon_days, "ended")
    return dict(connection.execute("SELECT customer_id, churned FROM labels").fetchall())


def test_a_contract_counts_by_the_day_on_which_it_starts_and_ends(tmp_path: Path) -> None:
    dates = {name: (start, end) for name, (start, end, _) in AT_THE_EDGES.items()}
    shop = contracts(tmp_path / "own", dates).read()
    by_name = dict(zip(named(*AT_THE_EDGES), AT_THE_EDGES, strict=True))
    told = {by_name[one]: churned for one, churned in labels(shop, CUT).items()}
    assert told == {name: label for name, (*_, label) in AT_THE_EDGES.items() if label is not OUT}


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC"])
def test_a_date_without_a_time_is_the_same_day_in_every_zone(tmp_path: Path, zone: str) -> None:
    dates = {"A": ("", "2026-03-01"), "B": ("", "2026-02-28"), "C": ("", "2026-03-31")}
    shop = contracts(tmp_path / "own", dates, **{"data.timezone": zone}).read()
    assert labels(shop, CUT) == dict(zip(named("A", "C"), (1, 0), strict=True))


def test_a_cut_off_whose_horizon_is_not_over_has_no_label(tmp_path: Path) -> None:
    shop = contracts(tmp_path / "own", {"A": ("", "2026-12-31"), "B": ("", "")}).read()
    end = datetime(2026, 4, 15)
    assert len(labels(shop, end - timedelta(days=30))) == 2
    assert labels(shop, end - timedelta(days=29)) == {}


def test_no_end_after_the_cut_off_changes_a_feature_or_the_population(tmp_path: Path) -> None:
    found = []
    for end in ("", "2026-03-02", "2026-12-31"):
        shop = contracts(tmp_path / "own", {"A": ("2025-01-01", end)}).read()
        connection = snapshots.load(shop.root / "data/1_raw", "ended")
        snapshots.compute(connection, [CUT], load(shop.root).features, "ended")
        found.append(connection.execute("FROM snapshots").fetchall())
    assert len(found[0]) == 1
    assert found[0] == found[1] == found[2]


def test_who_may_not_be_processed_leaves_no_date_of_a_contract(tmp_path: Path) -> None:
    dates = dict.fromkeys(("A", "B", "C"), ("2025-01-01", "2026-03-05"))
    shop = contracts(tmp_path / "own", dates)
    people = [person(name, started_at=s, ended_at=e) for name, (s, e) in dates.items()]
    people[1] |= {"consent": False}
    people[2] |= {"objected_at": "2026-01-01"}
    (shop.root / "people.csv").write_text(as_csv(people))
    table = shop.read().table("customers").set_index("customer_id").reindex(named("A", "B", "C"))
    assert list(table["ended_at"].isna()) == list(table["started_at"].isna()) == [False, True, True]


@pytest.mark.parametrize(
    ("dates", "said"),
    [
        (("", "30.02.2026"), r"ended_at: 1 dates cannot be read, for example '99.99.9999'"),
        (("soon", "2026-03-01"), r"started_at: 1 dates cannot be read, for example 'aaaa'"),
        (("", "20260301"), r"ended_at: 1 dates cannot be read, for example '99999999'"),
        (("", "0000-00-00"), r"ended_at: 1 dates cannot be read"),
        (("", "infinity"), r"ended_at: 1 dates cannot be read"),
        (("", "1900-01-01"), r"ended_at: 1 dates are before 1971"),
        (("2025-01-01", "0001-01-01 00:00:00"), r"ended_at: 1 dates are before 1971"),
        (("2026-03-02", "2026-03-01"), "1 contracts have an ended_at before their started_at"),
        (("2026-03-01 10:00", "2026-03-01 09:00"), "1 contracts have an ended_at before"),
    ],
)
def test_a_date_that_cannot_be_is_refused(
    tmp_path: Path, dates: tuple[str, str], said: str
) -> None:
    shop = contracts(tmp_path / "own", {"A": dates, "B": ("2025-01-01", "2026-03-01")})
    with pytest.raises(Misuse, match=said):
        shop.read()


def test_several_contracts_of_one_customer_are_refused_and_equal_rows_are_one(
    tmp_path: Path,
) -> None:
    shop = contracts(tmp_path / "own", {"A": ("2025-01-01", "2025-12-31"), "B": ("", "")})
    rows = [person("A", started_at="2025-01-01", ended_at="2025-12-31")] * 2
    (shop.root / "people.csv").write_text(as_csv(rows))
    shop.read()
    (shop.root / "people.csv").write_text(as_csv([*rows, person("A", started_at="", ended_at="")]))
    with pytest.raises(Misuse, match=r"1 customers with several contracts: give one row"):
        shop.read()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"label.kind": "ended"}, r"'ended', and ended_at in .data.customer_columns. is empty"),
        ({**ENDED, "data.customers": ""}, r"'ended', and customers in .data. is empty"),
        ({**ENDED, "data.customer_columns.ended_at": ""}, "and ended_at in .* is empty"),
        ({**ENDED, "label.kind": "no_purchase"}, "ended_at is set, and .label. kind is 'no_purch"),
        ({"data.customer_columns.started_at": "since"}, "started_at is set, and .label. kind is"),
        ({"label.kind": "end"}, r"label.kind is 'end': input should be 'no_purchase' or 'ended'"),
    ],
)
def test_a_label_that_does_not_fit_the_columns_is_refused(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    root = make_project(tmp_path / "own", **changes)
    with pytest.raises(Misuse, match=said):
        load(root)


def test_messages_about_cut_offs_speak_of_contracts(tmp_path: Path) -> None:
    config = load(make_project(tmp_path / "own")).features

    def refused(*shares: float, customers: int = 1000) -> str:
        cuts = [Population(CUT, customers, round(one * customers)) for one in shares]
        with pytest.raises(Refused) as stop:
            check_populations(cuts, 400, config, "ended")
        return str(stop.value)

    texts = [refused(0.0, 0.1), refused(0.1, 0.1, 0.5), refused(0.1, customers=0)]
    for text, words in zip(
        texts,
        ("0 of 1,000 customers ended their", "share of customers who ended", "had a contract that"),
        strict=True,
    ):
        assert words in text
        assert "buy" not in text
        assert "bought" not in text


# A subscription shop: people use the service about every five days, and less in the weeks before they leave.

LAST = np.datetime64("2026-06-30T20:00:00")
DAYS, PEOPLE = 420, 700
# Few people churn at each cut-off, so that chance moves the slope.
FAST = {
    "register.calibration_slope": [0.2, 5.0],
    "train.regularisation": [1.0],
    "train.folds": 1,
    "evaluate.bootstrap": 20,
}


def subscriptions() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    rng = np.random.default_rng(5)
    lines, people = [], []
    for number in range(PEOPLE):
        name = f"S{number:04d}"
        start = rng.uniform(-200, DAYS - 60)
        end = start + 10 + rng.exponential(240)  # some after the data: announced, or not yet known
        days = np.arange(max(start, 0) + rng.uniform(0, 5), min(end, DAYS), 5.0)
        fading = end - days < 45
        days = days[~fading | (rng.random(len(days)) < 0.25)]
        known = end < DAYS or rng.random() < 0.3
        at = LAST - np.timedelta64(DAYS, "D") + (days * 86_400).astype("timedelta64[s]")
        lines += [line(name, ordered_at=str(when).replace("T", " "), amount=9.9) for when in at]
        first = np.datetime64(LAST, "D") - DAYS
        open_end = "9999-12-31" if number % 2 else ""
        people.append(
            person(
                name,
                started_at=str(first + int(np.floor(start))),
                ended_at=str(first + int(np.floor(end))) if known else open_end,
            )
        )
    lines.append(line(people[0]["customer_id"], ordered_at=str(LAST).replace("T", " ")))
    return lines, people


def test_a_subscription_shop_goes_through_the_flow_and_its_label_is_right(tmp_path: Path) -> None:
    lines, people = subscriptions()
    root = tmp_path / "own"
    shop = Shop(root, lines, people)
    configure(root, ENDED | FAST)
    answers = root / "model_card.toml"
    text = answers.read_text(encoding="utf-8")
    of_purchases = (
        'label_definition = "No purchase in the next 30 days, among customers who bought in the '
        'last 90 days."'
    )
    assert of_purchases in text
    answers.write_text(
        text.replace(
            of_purchases,
            'label_definition = "The contract ends in the next 30 days, among those that run."',
        )
    )
    run(root, "data", "validate", "features", "train", "evaluate", "card", "register", "score")
    window = read_json(root / "data/6_card/card.json")["facts"]["data"]["label_window"]
    assert window.startswith("30 days from the cut-off, for contracts that run at it")

    training = pd.read_parquet(root / "data/3_features/training.parquet")
    assert len(training["event_timestamp"].unique()) == 4
    ids = dict(zip(named(*(row["customer_id"] for row in people)), people, strict=True))
    wanted = {}
    bought = shop.table("transactions")
    for cut in training["event_timestamp"].unique():
        day = f"{cut:%Y-%m-%d}"
        over = f"{cut + pd.Timedelta(days=30):%Y-%m-%d}"
        before = bought[bought["event_time"].between(cut - pd.Timedelta(days=365), cut, "left")]
        for one in set(before["customer_id"]):
            start, end = ids[one]["started_at"], ids[one]["ended_at"] or "9999-12-31"
            if start < day <= end:
                wanted[one, cut] = int(end < over)
    found = training.set_index(["customer_id", "event_timestamp"])["churned"]
    assert found.to_dict() == wanted

    scores = pd.read_parquet(root / "data/8_scores/scores.parquet")
    run_now = {
        one for one, row in ids.items() if (row["ended_at"] or "9999-12-31") >= "2026-07-01"
    } & set(bought.loc[bought["event_time"] >= "2025-07-01", "customer_id"])
    assert set(scores["customer_id"]) == run_now
    metrics = read_json(root / "data/5_metrics/metrics.json")
    assert metrics["model"]["roc_auc"]["value"] > 0.75
