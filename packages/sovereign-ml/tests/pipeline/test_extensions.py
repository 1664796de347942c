"""A team changes a step, a feature, a rule and the estimator in its own files, as its page says."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from churn.scorecard import ScorecardModel
from own_files import named
from small_project import PROJECT, churn, commit, configure, load, make_clone
from sovereign_ml.errors import Misuse
from sovereign_ml.estimators.interface import model_kind
from sovereign_ml.pipeline import demo_shop
from sovereign_ml.storage.artifacts import read_json

PAGE = (PROJECT / "docs/extending.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.flow
Extended = Callable[[str], Path]


def change(title: str) -> str:
    """Return the change that the page shows under the heading ``title``."""
    (section,) = re.findall(rf"(?ms)^## {re.escape(title)}$(.*?)(?=^## |\Z)", PAGE)
    (diff,) = re.findall(r"(?ms)^```diff\n(.*?)^```$", section)
    return str(diff)


def apply(root: Path, diff: str) -> set[str]:
    """Apply a change of the page to the project in ``root``; return the files that it touches."""
    command = ["git", "-C", str(root), "apply", "-"]
    subprocess.run(command, input=diff, text=True, check=True, capture_output=True)
    status = subprocess.run(
        ["git", "-C", str(root), "status", "--porcelain", "--untracked-files=all"],
        text=True,
        check=True,
        capture_output=True,
    )
    return {line[3:] for line in status.stdout.splitlines()}


def succeeds(root: Path, *arguments: str) -> str:
    done = churn(root, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project whose flow has run."""
    root = make_clone(tmp_path_factory.mktemp("extensions") / "acme-churn")
    small = {
        "data.synthetic.customers": 600,
        "train.regularisation": [0.1],
        "train.folds": 1,
        "evaluate.bootstrap": 10,
    }
    configure(root, small)
    succeeds(root, "stages")
    succeeds(root, "run")
    commit(root)
    return root


@pytest.fixture
def extended(finished: Path, tmp_path: Path) -> Extended:
    """Copies the finished project: ``extended("Add a rule")`` applies the change of the page."""

    def copy(title: str) -> Path:
        root = tmp_path / finished.name
        shutil.copytree(finished, root, symlinks=True)
        touched = apply(root, change(title))
        assert touched == TOUCHED[title]
        return root

    return copy


TOUCHED = {
    "Change a step": {"src/churn/steps/_8_score.py"},
    "Add a step": {
        "config.toml",
        "src/churn/pipeline.py",
        "src/churn/project.py",
        "src/churn/steps/_9_mailing.py",
    },
    "Add a feature": {"src/churn/contract.py", "src/churn/features.py"},
    "Add an event table": {"config.toml", "src/churn/contract.py", "src/churn/features.py"},
    "Add a rule": {"src/churn/rules.py"},
    "Change the estimator": {"src/churn/model.py"},
    "Bring a model of your own": {"config.toml", "src/churn/model.py"},
}


def ages(root: Path, *nouns: str) -> list[int]:
    return [(root / "data" / noun / "summary.json").stat().st_mtime_ns for noun in nouns]


def test_a_changed_step_is_run_again_and_nothing_else(extended: Extended) -> None:
    root = extended("Change a step")
    before = ages(root, "3_features", "4_model", "7_bundle")
    people = pd.read_parquet(root / "data/8_scores/scores.parquet")["customer_id"]
    succeeds(root, "run")
    snapshots = pd.read_parquet(root / "data/3_features/snapshots.parquet")
    now = snapshots[snapshots["event_timestamp"] == snapshots["event_timestamp"].max()]
    new = set(now.loc[now["tenure_days"] < 120, "customer_id"])
    scored = set(pd.read_parquet(root / "data/8_scores/scores.parquet")["customer_id"])
    assert new & set(people)
    assert scored == set(people) - new
    assert ages(root, "3_features", "4_model", "7_bundle") == before


def test_an_own_step_is_a_command_a_stage_and_a_task(extended: Extended) -> None:
    root = extended("Add a step")
    assert churn(root, "stages", "--check").returncode == 1
    succeeds(root, "stages")
    assert "mailing" in succeeds(root, "--help")
    succeeds(root, "mailing")
    letters = pd.read_csv(root / "data/9_mailing/mailing.csv")
    assert 0 < len(letters) <= 100
    assert letters["score"].is_monotonic_decreasing


def test_a_feature_is_a_declaration_and_its_sql(extended: Extended) -> None:
    root = extended("Add a feature")
    succeeds(root, "stages", "--check")
    succeeds(root, "run")
    rows = pd.read_parquet(root / "data/3_features/training.parquet")
    assert rows["weekend_share"].between(0, 1).all()
    assert rows["weekend_share"].nunique() > 2
    model = read_json(root / "data/4_model/model.json")
    assert "weekend_share" in {curve["name"] for curve in model["numeric"]}
    contract = read_json(root / "data/7_bundle/contract.json")
    assert "weekend_share" in {feature["name"] for feature in contract["features"]}
    assert "share of purchases at weekends" in (root / "data/6_card/card.html").read_text()


def test_an_event_table_reaches_the_score_through_a_feature(extended: Extended) -> None:
    root = extended("Add an event table")
    people = demo_shop.make(load(root).data.synthetic).customers["customer_id"]
    opened = [
        (customer, demo_shop.LAST_DAY - np.timedelta64((i * 37 + k * 61) % 400 * 86_400 + k, "s"))
        for i, customer in enumerate(people)
        for k in range(i % 5)
    ]
    tickets = pd.DataFrame(opened, columns=["customer", "opened_at"])
    tickets.to_csv(root / "tickets.csv", index=False)
    succeeds(root, "run")
    rows = pd.read_parquet(root / "data/3_features/snapshots.parquet")
    kept = pd.read_parquet(root / "data/1_raw/events_tickets.parquet")
    near = rows[["customer_id", "event_timestamp"]].merge(kept, on="customer_id")
    ago = near["event_timestamp"].dt.tz_localize("UTC") - near["event_time"]
    near = near[(ago > pd.Timedelta(0)) & (ago <= pd.Timedelta(days=90))]
    counted = near.groupby(["customer_id", "event_timestamp"]).size()
    keys = pd.MultiIndex.from_frame(rows[["customer_id", "event_timestamp"]])
    assert rows["ticket_count_90d"].to_list() == counted.reindex(keys, fill_value=0).to_list()
    assert rows["ticket_count_90d"].nunique() > 2
    model = read_json(root / "data/7_bundle/model.json")
    (curve,) = (curve for curve in model["numeric"] if curve["name"] == "ticket_count_90d")
    assert len(set(curve["log_odds"])) > 1, "the score does not depend on the feature"
    assert len(pd.read_parquet(root / "data/8_scores/scores.parquet")) > 100
    facts = read_json(root / "data/7_bundle/card.json")["facts"]["data"]
    assert [table["name"] for table in facts["event_tables"]] == ["tickets"]
    (feature,) = (one for one in facts["features"] if one["name"] == "ticket_count_90d")
    assert (feature["source"], feature["category"]) == ("tickets", "behavioural")
    assert "Events read: tickets" in (root / "data/6_card/card.md").read_text(encoding="utf-8")

    # A ticket of the newest cut-off is corrected: it was opened long before.
    now = rows["event_timestamp"].max()
    theirs = (rows["event_timestamp"] == now) & (rows["ticket_count_90d"] > 0)
    pseudonym = rows.loc[theirs, "customer_id"].iloc[0]
    customer = people[named(*people).index(pseudonym)]
    at = tickets.loc[(tickets["customer"] == customer) & (tickets["opened_at"] < now), "opened_at"]
    row = ("--event", "tickets", "--at", f"{at.max():%Y-%m-%d %H:%M:%S}")
    value = ("--set", "event_time=2025-12-01 08:00:00")
    succeeds(root, "data-subject", "rectify", "--subject", customer, *row, *value)
    after = pd.read_parquet(root / "data/3_features/snapshots.parquet")
    mine = (rows["customer_id"] == pseudonym) & (rows["event_timestamp"] == now)
    fewer = rows["ticket_count_90d"] - after["ticket_count_90d"]
    assert fewer[mine].tolist() == [1]
    assert not fewer[rows["customer_id"] != pseudonym].any()
    (receipt,) = (root / "governance/receipts").glob("*.json")
    assert read_json(receipt)["columns"] == ["tickets.event_time"]


def test_a_rule_of_the_team_warns_and_is_on_the_card(extended: Extended) -> None:
    root = extended("Add a rule")
    stale = churn(root, "check")
    assert stale.returncode == 1
    assert "T00" in stale.stderr
    assert churn(root, "stages", "--check").returncode == 1
    succeeds(root, "stages")
    before = ages(root, "4_model", "5_metrics")
    succeeds(root, "run")
    assert ages(root, "4_model", "5_metrics") == before
    assert "T01" in succeeds(root, "check")
    card = read_json(root / "data/7_bundle/card.json")
    assert [rule["id"] for rule in card["facts"]["own_rules"]["rules"]] == ["T01"]


def test_a_rule_of_the_team_stops_registration_and_promotion(extended: Extended) -> None:
    root = extended("Add a rule")
    rules = root / "src/churn/rules.py"
    text = rules.read_text(encoding="utf-8")
    rules.write_text(text.replace(', severity="warn"', ""), encoding="utf-8")
    succeeds(root, "card")
    for command in (
        ["register"],
        ["check"],
        ["promote", "--as", "Ada Lovelace", "--why", "a better model"],
    ):
        refused = churn(root, *command)
        assert refused.returncode == 1, command
        assert "T01" in refused.stderr, command


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"T01"', '"R01"', "T01 to T99"),
        ("if count", "if count if", "SyntaxError"),
        ("sovereign_ml.card.rules import", "sovereign_ml.card.rules.engine import", "decorator"),
    ],
    ids=["id of the library", "syntax", "decorator of the library"],
)
def test_rules_that_cannot_be_used_are_refused_in_one_line(
    extended: Extended, old: str, new: str, reason: str
) -> None:
    root = extended("Add a rule")
    rules = root / "src/churn/rules.py"
    rules.write_text(rules.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    done = churn(root, "check")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert reason in done.stderr


def test_another_additive_estimator_is_served_as_it_was_fitted(extended: Extended) -> None:
    root = extended("Change the estimator")
    configure(root, {"train.knots": 4})
    succeeds(root, "run")
    model = read_json(root / "data/4_model/model.json")
    assert max(len(curve["knots"]) for curve in model["numeric"]) == 4
    assert read_json(root / "data/5_metrics/metrics.json")["explanations"]["fidelity"] < 1e-9
    bundled = read_json(root / "data/7_bundle/model.json")
    assert bundled == model


def test_a_model_of_the_team_passes_the_flow_and_is_the_one_that_is_served(
    extended: Extended,
) -> None:
    """Its own fit, in its own file; figures, card, bundle and reasons are its own."""
    root = extended("Bring a model of your own")
    # One feature is less than the gate asks for.
    configure(root, {"register.min_roc_auc": 0.5, "register.calibration_slope": [0.1, 3.0]})
    succeeds(root, "run")
    card = read_json(root / "data/7_bundle/card.json")["facts"]
    assert card["model"]["algorithm"] == "Logistic regression on the days since the last purchase"
    assert card["explanation"]["fidelity"] < 1e-9
    assert card["explanation"]["main_factors"] == ["days since the last purchase"]
    assert read_json(root / "data/7_bundle/model.json") == read_json(
        root / "data/4_model/model.json"
    )
    reasons = pd.read_parquet(root / "data/8_scores/scores.parquet")["reason_1"].unique()
    assert {reason.partition(":")[0] for reason in reasons} == {"days since the last purchase"}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("score", 'give "scorecard"'),
        ("churn.model:Absent", "cannot be imported"),
        ("churn.absent:Model", "cannot be imported"),
        (":", "cannot be imported"),
        ("churn.model:names", "is no Model: it lacks fit"),
    ],
)
def test_a_kind_of_model_that_does_not_exist_is_refused_in_one_line(name: str, told: str) -> None:
    with pytest.raises(Misuse, match=re.escape(told)) as refused:
        model_kind(name, {"scorecard": ScorecardModel})
    assert "\n" not in str(refused.value)
