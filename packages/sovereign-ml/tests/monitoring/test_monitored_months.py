"""A model in use, watched for months: quiet weeks, a broken feed, customers who change, and who answers."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from loopback import Quiet, listening
from servers import free_port
from small_project import churn, configure, environment, run
from sovereign_ml.bundle.sealed import MANIFEST, read_manifest, seal_again
from sovereign_ml.cli.main import application
from sovereign_ml.decision_log import DecisionLog, Draft
from sovereign_ml.decision_log.sqlite import SQLite
from sovereign_ml.monitoring.alarms import read_alarms, refuse_training
from sovereign_ml.monitoring.reporting.stored_reports import MonitorReport, newest_report
from steady_shop import REGISTERED, SteadyShop

pytestmark = pytest.mark.flow
BROKEN = "2026-05-01"
"""From this day on the feed sends cents for euros, or customers buy less."""
Monitor = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SteadyShop:
    return SteadyShop(tmp_path_factory.mktemp("months") / "acme-churn")


@pytest.fixture
def shop(made: SteadyShop) -> SteadyShop:
    """The shop as on the day of its registration, nobody having watched it yet."""
    for folder in ("data/9_monitoring", "governance/monitoring"):
        shutil.rmtree(made.root / folder, ignore_errors=True)
    made.show()
    return made


@pytest.fixture
def monitor(shop: SteadyShop, monkeypatch: pytest.MonkeyPatch) -> Monitor:
    """Run `churn monitor` in this process; return its exit code and what it says."""
    for name, value in environment(shop.root).items():
        if name.startswith("CHURN"):
            monkeypatch.setenv(name, value)
    monkeypatch.chdir(shop.root)

    def call(*arguments: str, command: str = "monitor") -> tuple[int, str]:
        result = CliRunner().invoke(application(), [command, *arguments])
        refused = result.exception
        code = getattr(refused, "exit_code", result.exit_code)
        assert code or refused is None, result.output
        return code, f"{result.output}{refused or ''}"

    return call


def statuses(root: Path) -> dict[str, str]:
    report = newest_report(root)
    assert report is not None
    return {state.rule: state.status for state in report.states}


def written(root: Path) -> Iterator[str]:
    for folder in ("data/9_monitoring", "governance/monitoring"):
        for path in (root / folder).rglob("*.*"):
            yield path.read_text(encoding="utf-8")


def test_four_quiet_months_have_no_alarm(shop: SteadyShop, monitor: Monitor) -> None:
    for week in range(0, 17, 4):
        day = f"{REGISTERED + timedelta(days=7 * week):%Y-%m-%d}"
        assert monitor("--as-of", day)[0] == 0
        assert "alarm" not in statuses(shop.root).values()
    assert read_alarms(shop.root) == []
    measured = statuses(shop.root)
    assert {rule for rule, status in measured.items() if status == "not measured"} == {"review"}


def test_a_broken_feed_alarms_until_a_person_answers_and_the_feed_is_repaired(
    shop: SteadyShop, monitor: Monitor
) -> None:
    cents = shop.lines.copy()
    cents.loc[shop.since(BROKEN), "amount_eur"] *= 100
    shop.show(cents)
    told: list[str] = []

    class Receiver(Quiet):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["content-length"])))
            told.extend(alarm["id"] for alarm in content["alarms"])
            self.reply(200, b"{}")

    configure(shop.root, {"monitor.alarm.webhook": f"http://127.0.0.1:{free_port()}"})
    # Once is not enough: a single bad day says "watch".
    assert monitor("--as-of", "2026-05-04")[0] == 0
    assert statuses(shop.root)["beyond"] == "watch"
    code, text = monitor("--as-of", "2026-05-05")
    assert code == 1
    assert "Not delivered: [monitor.alarm] webhook: " in text
    opened = [alarm.id for alarm in read_alarms(shop.root)]
    assert opened == ["A-2026-05-05-beyond"]
    # The receiver was dead. On the next run it gets what it missed.
    with listening(Receiver) as url:
        configure(shop.root, {"monitor.alarm.webhook": url})
        ended = churn(shop.root, "monitor", "--as-of", "2026-05-06")
    configure(shop.root, {"monitor.alarm.webhook": ""})
    assert (ended.returncode, told) == (1, opened), ended
    assert ended.stderr.startswith(f"Error: Nobody answered {opened[0]}: see `churn monitor answer")
    page = (shop.root / "data/9_monitoring/2026-05-06/monitor.html").read_text(encoding="utf-8")
    assert f"churn monitor answer {opened[0]} " in page
    # A broken feed must not become a model.
    train = churn(shop.root, "train")
    assert train.returncode == 1
    assert "Not trained: the monitor found bad data (A-2026-05-05-beyond" in train.stderr
    answer = ["--why", "The shop exports cents since May.", "--action", "fix_data"]
    assert monitor("answer", opened[0], "--as", "the team", *answer)[0] == 2
    assert monitor("answer", opened[0], "--as", "Ada Lovelace", *answer)[0] == 0
    # Answered, so nobody is called again, and the data is still bad.
    assert monitor("--as-of", "2026-05-07")[0] == 0
    assert statuses(shop.root)["beyond"] == "alarm"
    assert churn(shop.root, "train").returncode == 1
    shop.show()
    assert monitor("--as-of", "2026-05-08")[0] == 0
    assert {alarm.ended for alarm in read_alarms(shop.root)} == {date(2026, 5, 8)}
    refuse_training(shop.root)
    names = set(shop.lines["customer_id"])
    assert not any(name in text for text in written(shop.root) for name in names)


def test_customers_who_buy_less_are_found_before_their_month_is_over(
    shop: SteadyShop, monitor: Monitor
) -> None:
    lost = np.random.default_rng(1).random(len(shop.lines)) < 0.5
    shop.show(shop.lines[~(shop.since(BROKEN) & lost)])
    codes = [monitor("--as-of", f"2026-05-{day:02}")[0] for day in (7, 14, 21)]
    assert codes[-1] == 1
    (alarm,) = [alarm for alarm in read_alarms(shop.root) if alarm.rule == "early"]
    assert alarm.kind == "model"
    assert alarm.opened <= date(2026, 5, 21)


def test_an_earlier_day_is_measured_and_changes_no_alarm(
    shop: SteadyShop, monitor: Monitor
) -> None:
    assert monitor("--as-of", "2026-05-20")[0] == 0
    shop.show(shop.lines[~shop.since("2026-04-01")])  # the newest event is a month old by then
    for day in ("2026-05-06", "2026-05-07"):
        assert monitor("--as-of", day)[0] == 0
    assert read_alarms(shop.root) == []


def test_limits_tried_on_the_past_find_planted_faults_and_nothing_else(
    shop: SteadyShop, monitor: Monitor
) -> None:
    code, text = monitor("backtest", "--weeks", "4", "--json")
    tried = json.loads(text)
    assert code == 0
    assert [run["broken"] for run in tried["runs"]] == [{}] * 4
    missed = [f["fault"] for f in tried["faults"] if not set(f["rules"]) & f["broken"].keys()]
    assert missed == []
    assert not (shop.root / "data/9_monitoring").exists()


def test_a_version_of_the_registry_is_watched_and_compared(
    shop: SteadyShop, monitor: Monitor
) -> None:
    code, text = monitor("--as-of", "2026-06-01", "--version", "1", "--json")
    assert code == 0
    assert MonitorReport.model_validate_json(text).model_version == "1"
    code, text = monitor("--as-of", "2026-06-01", "--challenger", "1", "--json")
    assert (code, json.loads(text)["roc_auc"]["value"]) == (0, 0.0)
    code, text = monitor("--version", "production")
    assert (code, text.count("\n")) == (1, 0)


def test_a_candidate_with_features_that_were_not_served_is_compared_on_past_days(
    shop: SteadyShop, monitor: Monitor
) -> None:
    path = shop.root / ".churn/decisions.db"
    body = {"score": 0.3, "band": "low", "outcome": "no_offer", "model_version": "acme-churn 1"}
    unlike: list[dict[str, Any]] = [{"features": {"recency_days": 3.0}}, {"features": None}]
    drafts = [
        Draft("decision", f"case-{number}", person, json.dumps(body | unlike[number % 2]))
        for number, person in enumerate(shop.lines["customer_id"].unique()[:900])
    ]
    with closing(DecisionLog(SQLite(path), lambda: "2026-03-05T00:00:00.000000Z")) as log:
        log.append(drafts)
    configure(shop.root, {"monitor.min_decisions": 100})
    try:
        code, text = monitor("--as-of", "2026-06-01", "--challenger", "1", "--json")
    finally:
        configure(shop.root, {"monitor.min_decisions": 500})
        path.unlink()
    challenge = json.loads(text)
    assert (code, challenge["source"]) == (0, "past days computed anew")
    assert challenge["n"] > 1000


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--as-of", "yesterday"], "--as-of is 'yesterday'"),
        (["--as-of", "2001-01-01"], "no transaction before 2001-01-02: the first is of 2024-06-01"),
        (["--as-of", "2099-01-01"], "--as-of 2099-01-01 is in the future"),
        (["answer", "A-1", "--as", "Ada Lovelace", "--why", "So", "--action", "wait"], "no alarm"),
    ],
)
def test_wrong_use_says_what_is_allowed(monitor: Monitor, arguments: list[str], told: str) -> None:
    code, text = monitor(*arguments)
    assert (code, text.count("\n")) == (2, 0)
    assert told in text


def test_a_bundle_without_a_reference_says_in_one_line_what_to_do(
    shop: SteadyShop, monitor: Monitor, tmp_path: Path
) -> None:
    bundle = shop.root / "data/7_bundle"
    shutil.copytree(bundle, tmp_path / "bundle")
    try:
        (bundle / "reference.json").unlink()
        seal_again(bundle, read_manifest(bundle / MANIFEST))
        code, text = monitor("--as-of", "2026-06-01")
    finally:
        shutil.rmtree(bundle)
        shutil.copytree(tmp_path / "bundle", bundle)
    assert (code, text.count("\n")) == (2, 0)
    assert "write_reference" in text


def test_with_everybody_acted_on_no_group_is_chosen_more_often(
    shop: SteadyShop, monitor: Monitor, tmp_path: Path
) -> None:
    bundle = shop.root / "data/7_bundle"
    shutil.copytree(bundle, tmp_path / "bundle")
    policy = json.loads((bundle / "policy.json").read_text())
    try:
        lowest = policy["bands"][0]["name"]
        (bundle / "policy.json").write_text(json.dumps(policy | {"action_band": lowest}))
        seal_again(bundle, read_manifest(bundle / MANIFEST))
        assert monitor("--as-of", "2026-06-01")[0] == 0
    finally:
        shutil.rmtree(bundle)
        shutil.copytree(tmp_path / "bundle", bundle)
    report = newest_report(shop.root)
    assert report is not None
    gaps = [row for batch in report.fairness for row in batch]
    chosen = {row["value"] for row in gaps if row["metric"] != "calibration_gap"}
    assert chosen == {0.0}


def test_a_campaign_keeps_a_control_group_and_tells_nothing_too_early(
    shop: SteadyShop, monitor: Monitor, tmp_path: Path
) -> None:
    run(shop.root, "score")
    scored = pd.read_parquet(shop.root / "data/8_scores/scores.parquet")
    target = tmp_path / "spring.csv"
    make = ["list", "spring-2026", "--output", str(target), "--share", "0.5"]
    code, text = monitor(*make, command="campaign")
    assert code == 0
    listed = pd.read_csv(target)
    treated, control = map(int, re.findall(r"([\d,]+) (?:on the list|controls)", text))
    assert len(listed) == treated
    assert treated + control == round(len(scored) / 2)
    assert set(listed["customer_id"]) <= set(scored["customer_id"])
    assert target.stat().st_mode & 0o777 == 0o600
    assert monitor(*make, command="campaign")[0] == 2  # the file is there
    # Neither a folder that cannot be written to nor a draw without both groups uses up the name.
    again = ["list", "summer-2026", "--output", str(tmp_path / "summer.csv"), "--share"]
    blocked = [*again[:3], str(target / "summer.csv"), "--share", "0.5"]
    assert monitor(*blocked, command="campaign")[0] != 0
    code, text = monitor(*again, "0.004", "--control", "0.9", command="campaign")
    assert (code, "nothing can be compared" in text) == (1, True)
    for wrong, told in (
        (("0.5", "--value", "customer_id"), "name a feature in EUR, such as revenue_eur"),
        (("0.5", "--value", "event_timestamp"), "name a feature in EUR, such as revenue_eur"),
        (("0",), "one control are the least"),
    ):
        code, text = monitor(*again, *wrong, command="campaign")
        assert code in (1, 2) and told in text
    assert not (tmp_path / "summer.csv").exists()
    assert monitor(*again, "0.5", command="campaign")[0] == 0
    values = ["result", "spring-2026", "--value", "80", "--cost", "1"]
    code, text = monitor(*values, command="campaign")
    assert (code, "0 treated and 0 controls have a known outcome" in text) == (1, True)
    assert monitor("result", "autumn", *values[2:], command="campaign")[0] == 2
    for amount in ("inf", "1e400", "nan"):
        assert monitor(*values[:3], amount, *values[4:], command="campaign")[0] == 2
