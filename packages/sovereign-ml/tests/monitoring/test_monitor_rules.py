"""Distances, the sequential test, alarms and their answers, and campaigns of known effect."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wasserstein_distance

from bundles import customers, model
from monitor_reports import DAY, a_page, a_reference, a_report, state
from sovereign_ml.config.connections import LogLocation
from sovereign_ml.config.monitoring import MonitorSettings
from sovereign_ml.decision_log import Draft, open_log, verify
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.monitoring import alarms, backtest, campaign, outcomes, population
from sovereign_ml.monitoring.campaign import people_needed, uplift
from sovereign_ml.monitoring.comparison import Comparison, FeatureChange, distance, nobody
from sovereign_ml.monitoring.judgement import OF_CUSTOMERS, RuleState, judge
from sovereign_ml.monitoring.logged import read_decisions
from sovereign_ml.monitoring.page import page
from sovereign_ml.monitoring.population import group_shares
from sovereign_ml.monitoring.sequence import EDetector

NOW = datetime(2026, 6, 3, 12, tzinfo=UTC)


def open_alarm(root: Path, rule: str) -> str:
    (record,) = alarms.update(root, [state(rule, "alarm")], DAY, "3")
    return record.id


def answered(root: Path, alarm: str, **changes: Any) -> alarms.AlarmRecord:
    usual: dict[str, Any] = {
        "by": "Ada Lovelace",
        "why": "Seen.",
        "action": "fix_data",
        "until": None,
    }
    return alarms.answer(root, alarm, now=NOW, **(usual | changes))


def test_the_distance_is_that_of_scipy() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.normal(0, 0.5, 20_000), rng.normal(0.1, 0.6, 20_000)
    places = (np.arange(200) + 0.5) / 200
    seen = distance(tuple(np.quantile(one, places)), tuple(np.quantile(other, places)))
    assert seen == pytest.approx(wasserstein_distance(one, other), abs=1e-3)


def test_a_group_without_members_is_no_group() -> None:
    column = pd.Categorical(["a"] * 500 + ["b"] * 200, categories=["a", "b", "nobody"])
    shares = group_shares({"g": pd.Series(column), "h": pd.Series([None] * 700)}, 60)
    assert shares == {"g": {"a": 0.714, "b": 0.286}, "h": {}}


def test_a_small_group_cannot_be_computed_from_the_others() -> None:
    values = pd.Series(["a"] * 500 + ["b"] * 200 + ["c"] * 5)
    assert group_shares({"g": values}, 60) == {"g": {"a": 0.709}}
    assert group_shares({"g": values[:700]}, 60) == {"g": {"a": 0.714, "b": 0.286}}


def test_shifts_of_features_add_up_to_that_of_the_score() -> None:
    scorecard, people = model(), pd.DataFrame(customers(2000))
    then = population.profile(scorecard, people.iloc[:1000], {})
    now = population.profile(scorecard, people.iloc[1000:], {})
    means = [now.features[name].mean - then.features[name].mean for name in then.features]
    assert sum(means) == pytest.approx(now.mean_log_odds - then.mean_log_odds, abs=1e-9)
    # Each contribution is that of the model's own curve, calculated here once more.
    (part,) = [part for part in scorecard.numeric if part.name == "recency_days"]
    assert part.transform == "identity"
    exact = np.interp(people["recency_days"].iloc[:1000], part.knots, part.log_odds)
    assert then.features["recency_days"].mean == pytest.approx(np.mean(exact), abs=1e-9)


def first_alarms(histories: int, people: int, bias: float) -> list[int | None]:
    """Month of the first alarm in each simulated history of 24 months; from month 12 on the rates are off.

    Predictions are uniform on .2 to .9, and each month has a shock of its own (sd .02).
    """
    rng, limits = np.random.default_rng(7), MonitorSettings()
    first: list[int | None] = []
    for _ in range(histories):
        detector = EDetector(limits.tolerance, limits.looks_per_false_alarm)
        alarms_in = []
        for month in range(24):
            p = rng.uniform(0.2, 0.9, people)
            moved = p + rng.normal(0, 0.02) + (bias if month >= 12 else 0.0)
            y = (rng.random(people) < np.clip(moved, 0, 1)).astype(float)
            if detector.look(str(month), y, p):
                alarms_in.append(month)
                break
        first.append(next(iter(alarms_in), None))
    return first


def test_the_sequential_test_keeps_its_rate_of_false_alarms_and_finds_a_bias() -> None:
    healthy = first_alarms(300, 1500, 0.0)
    assert sum(month is not None for month in healthy) / len(healthy) <= 0.05
    found = [month for month in first_alarms(300, 1500, -0.08) if month is None or month >= 12]
    assert None not in found
    assert sum(month in (12, 13) for month in found) / len(found) >= 0.92


def judged(
    comparison: Comparison,
    *before: RuleState,
    early: Sequence[outcomes.EarlyLook] = (),
    fairness: Sequence[Any] = (),
    widest: float = 1,
) -> list[RuleState]:
    """Return the states of a day with ``comparison`` alone, after a day with ``before``."""
    absent: Any = {"early": early, "detector": None, "alarmed": False, "realised": None}
    rest: Any = {"fairness": fairness, "reviews": {}, "waiting_days": None, "catch_rate": 0.8}
    gate: Any = SimpleNamespace(
        calibration_slope=(0.7, 1.4), min_roc_auc=0.6, max_fairness_gap=widest
    )
    usual = {"limits": MonitorSettings(), "gate": gate, "before": [list(before)]}
    return judge(f"{DAY}", comparison=comparison, **(absent | rest | usual))


def test_a_feed_that_stopped_alarms_and_ends_no_other_alarm() -> None:
    empty = nobody(a_reference(), 120.0)
    earlier = [state("age", "watch"), state("volume", "watch")]
    states = {each.rule: each.status for each in judged(empty, *earlier)}
    assert (states["age"], states["volume"]) == ("alarm", "alarm")
    for rule in OF_CUSTOMERS:
        assert states[rule] == "not measured"
    assert "No groups were measured" in a_page(comparison=empty, groups_now={}, fairness=((),))


@pytest.mark.parametrize(
    ("changes", "volume", "advice"),
    [
        ({}, 0.0, "a cohort that grows older"),
        ({"beyond": 0.3}, 0.0, "values of recency_days are lost, out of range or unknown"),
        ({"missing": -0.3}, 0.0, "values of recency_days are lost, out of range or unknown"),
        ({}, -0.6, "look for lost files first"),
    ],
)
def test_a_shift_tells_feature_direction_and_whether_feed_or_people_changed(
    changes: dict[str, float], volume: float, advice: str
) -> None:
    usual = {"shift": 0.4, "mean": 0.3, "missing": 0.0, "beyond": 0.0, "unseen": 0.0}
    shifted = nobody(a_reference(), 0.5).model_copy(
        update={
            "customers": 900,
            "volume": volume,
            "features": {"recency_days": FeatureChange.model_validate(usual | changes)},
        }
    )
    (found,) = [each for each in judged(shifted) if each.rule == "shift"]
    assert found.status == "watch"
    assert found.found == "recency_days 0.40 log-odds (mean +0.30)"
    assert advice in found.todo


def test_early_outcomes_alone_tell_of_people_and_not_of_the_feed() -> None:
    quiet = nobody(a_reference(), 0.5).model_copy(update={"customers": 900, "volume": 0.0})
    look = outcomes.EarlyLook(
        day=14, decided="2026-05-18", n=500, expected=100, observed=140, z=5.0
    )
    (early,) = [each for each in judged(quiet, early=[look]) if each.rule == "early"]
    assert early.status == "alarm"
    assert "The inputs are as before" in early.todo
    assert "last year" in early.todo


@pytest.mark.parametrize(
    ("churned", "score"), [([1, 0, 1, 0], [0.5] * 4), ([1] * 4, [0.1, 0.2, 0.3, 0.4]), ([], [])]
)
def test_one_outcome_or_one_score_gives_no_figures(churned: list[int], score: list[float]) -> None:
    assert outcomes.realised("untreated", np.array(churned), np.array(score)) is None


def test_a_single_outcome_is_no_figure_that_fails_the_gate() -> None:
    rng = np.random.default_rng(1)
    churned, score = np.zeros(600), rng.uniform(0.1, 0.9, 600)
    for people, is_shown in ((1, False), (9, False), (10, True)):
        churned[:people] = 1
        for labels in (churned, 1 - churned):
            assert (outcomes.realised("untreated", labels, score) is not None) == is_shown


def test_a_horizon_with_small_groups_only_leaves_the_gaps_of_the_others() -> None:
    wide = [{"group": "country", "metric": "tpr_difference", "value": 0.4}]
    quiet = nobody(a_reference(), 0.5).model_copy(update={"customers": 900, "volume": 0.0})
    for batches, status in (
        ([[], wide, wide], "alarm"),
        ([wide, [], wide], "alarm"),
        ([[], wide], "watch"),
        ([[], []], "not measured"),
    ):
        states = {each.rule: each.status for each in judged(quiet, fairness=batches, widest=0.2)}
        assert states["fairness"] == status


@pytest.mark.parametrize(("observed", "z", "status"), [(0, 0.0, "ok"), (9, 9.0, "alarm")])
def test_events_where_none_was_expected_are_off(observed: float, z: float, status: str) -> None:
    look = outcomes.EarlyLook(
        day=14, decided="2026-05-18", n=500, expected=0, observed=observed, z=z
    )
    assert outcomes.early_status([look], MonitorSettings()) == status


def test_the_page_draws_the_estimate_of_a_young_week_and_each_feature_that_shifted() -> None:
    text = a_page()
    weeks, feature = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert weeks.count("<circle") == 1
    assert 'aria-label="recency_days: change' in feature
    # A week whose outcomes are known needs no estimate, and a day without customers no curve.
    known = a_report(weeks=a_report().weeks[:2])
    assert "<circle" not in page(known, a_reference(), None, {})
    assert page(known, a_reference(), None, {}).count("<svg") == 1


def test_an_offer_of_a_campaign_counts_for_the_days_whose_outcome_it_can_change() -> None:
    day = pd.Timestamp("2026-05-01")
    offsets = (-30, -29, 0, 29, 30)
    rows = pd.DataFrame({"customer_id": [*"abcdef"], "event_timestamp": day})
    contacts = pd.DataFrame(
        {
            "customer_id": [*"abcde", "stranger"],
            "contacted_at": [*(day + timedelta(days=offset) for offset in offsets), day],
        }
    )
    assert outcomes.contacted(rows, contacts, 30).tolist() == [
        False,
        True,
        True,
        True,
        False,
        False,
    ]
    assert not outcomes.contacted(rows, contacts[:0], 30).any()
    assert outcomes.contacted(rows[:0], contacts, 30).shape == (0,)


def test_decisions_about_people_whom_the_data_do_not_have_do_not_count(tmp_path: Path) -> None:
    location = LogLocation("sqlite:///log.db", f"sqlite:///{tmp_path / 'log.db'}")
    with closing(open_log(f"sqlite:///{tmp_path / 'log.db'}")) as log:
        body = {"score": 0.3, "outcome": "no_offer", "model_version": "acme-churn 1"}
        for person in ("ada", "bob"):
            log.append([Draft("decision", f"case-{person}", person, json.dumps(body))])
        for person, group in (("ada", "treated"), ("bob", "control")):
            contact = json.dumps({"campaign": "spring", "group": group})
            log.append([Draft("contact", f"contact-spring-{person}", person, contact)])
    table = read_decisions(location, datetime(2999, 1, 1), 90)
    assert table is not None
    table = table.among(pd.DataFrame({"customer_id": ["ada", "eve"]}))
    assert (table.rows["customer_id"].tolist(), table.strangers) == (["ada"], 1)
    assert table.contacts["customer_id"].tolist() == ["ada"]


def test_a_single_week_has_a_table_and_no_empty_picture() -> None:
    week = outcomes.Cohort(week="2026-04-20", n=300, open=0, expected=0.55, observed=0.52)
    later = week.model_copy(update={"week": "2026-04-27"})
    assert "<svg" not in a_page(weeks=(week,)).partition('id="rules"')[0]
    assert "<svg" in a_page(weeks=(week, later)).partition('id="rules"')[0]
    assert "2026-04-20" in a_page(weeks=(week,))


def test_categories_that_are_all_missing_cannot_be_renamed() -> None:
    scorecard = model()
    rows = pd.DataFrame(customers(20))
    sealed: Any = SimpleNamespace(model=scorecard)
    names = [part.name for part in scorecard.categorical]
    assert names
    renamed = backtest._renamed(rows.copy(), sealed)
    assert not renamed[names].equals(rows[names])
    rows[names] = None
    assert backtest._renamed(rows.copy(), sealed)[names].equals(rows[names])


def test_a_rule_that_holds_shows_its_measurement_and_limit() -> None:
    quiet = nobody(a_reference(), 0.5).model_copy(update={"customers": 900, "volume": 0.1})
    states = {each.rule: each for each in judged(quiet)}
    for rule in ("age", "volume", *OF_CUSTOMERS):
        assert states[rule].status == "ok"
        assert re.search(r"\d", states[rule].found)
        assert re.search(r"\d", states[rule].limit)
        assert states[rule].todo == ""


def test_one_decision_a_person_and_horizon_counts() -> None:
    start = datetime(2026, 1, 1)
    times = [
        start,
        start + timedelta(days=3),
        start + timedelta(days=30),
        start + timedelta(days=59),
    ]
    rows = pd.DataFrame({"customer_id": "a", "event_timestamp": times, "score": 0.5})
    kept = outcomes.first_of_each(rows, 30)
    assert list(kept["event_timestamp"]) == [times[0], times[2]]


def test_the_first_week_alone_does_not_alarm() -> None:
    def look(day: int, seen: float) -> outcomes.EarlyLook:
        usual = {"decided": "2026-06-01", "n": 500, "expected": 100.0}
        return outcomes.EarlyLook(day=day, observed=seen, z=(seen - 100) / 5, **usual)  # type: ignore[arg-type]

    limits = MonitorSettings()
    assert outcomes.early_status([look(7, 130), look(14, 105)], limits) == "watch"
    assert outcomes.early_status([look(7, 105), look(14, 130)], limits) == "alarm"
    assert outcomes.early_status([look(7, 101), look(14, 119)], limits) == "ok"


def test_an_alarm_about_data_stops_training_until_it_is_gone_or_accepted(tmp_path: Path) -> None:
    alarm = open_alarm(tmp_path, "missing")
    with pytest.raises(Refused, match=r"Not trained: .*A-2026-06-01-missing"):
        alarms.refuse_training(tmp_path, DAY)
    answered(tmp_path, alarm, action="accept", until=DAY + timedelta(days=10))
    alarms.refuse_training(tmp_path, DAY)
    with pytest.raises(Refused):  # what was accepted is not accepted for ever
        alarms.refuse_training(tmp_path, DAY + timedelta(days=11))
    alarms.update(tmp_path, [state("missing", "ok")], DAY + timedelta(days=12), "3")
    alarms.refuse_training(tmp_path, DAY + timedelta(days=12))


@pytest.mark.parametrize("action", ["fix_data", "retrain", "accept"])
def test_data_that_break_again_after_their_repair_stop_training_once_more(
    tmp_path: Path, action: str
) -> None:
    days = [DAY + timedelta(days=number) for number in range(4)]
    until = DAY + timedelta(days=20) if action == "accept" else None
    answered(tmp_path, open_alarm(tmp_path, "missing"), action=action, until=until)
    # Until the repair has worked, the answer keeps the rule quiet.
    assert alarms.update(tmp_path, [state("missing", "alarm")], days[1], "3") == []
    alarms.update(tmp_path, [state("missing", "ok")], days[2], "3")
    alarms.refuse_training(tmp_path, days[2])
    opened = alarms.update(tmp_path, [state("missing", "alarm")], days[3], "3")
    assert [record.opened for record in opened] == ([] if action == "accept" else [days[3]])
    if opened:
        with pytest.raises(Refused, match=f"{opened[0].id}"):
            alarms.refuse_training(tmp_path, days[3])


def test_an_alarm_about_the_model_stops_no_training(tmp_path: Path) -> None:
    open_alarm(tmp_path, "early")
    alarms.refuse_training(tmp_path, DAY)
    assert alarms.against_promotion(tmp_path, "3") == []


def test_an_alarm_about_groups_stops_the_promotion_of_this_version_until_it_is_answered(
    tmp_path: Path,
) -> None:
    alarm = open_alarm(tmp_path, "fairness")
    assert alarm in alarms.against_promotion(tmp_path, "3")[0]
    assert alarms.against_promotion(tmp_path, "4") == []
    answered(tmp_path, alarm, action="roll_back")
    assert alarms.against_promotion(tmp_path, "3") == []


def test_the_same_run_again_opens_no_second_alarm(tmp_path: Path) -> None:
    open_alarm(tmp_path, "early")
    for days in (0, 1, 2):
        day = DAY + timedelta(days=days)
        assert alarms.update(tmp_path, [state("early", "alarm")], day, "3") == []
    assert len(alarms.read_alarms(tmp_path)) == 1


def test_an_alarm_of_another_version_on_the_same_day_leaves_the_answer_to_the_first(
    tmp_path: Path,
) -> None:
    first = open_alarm(tmp_path, "shift")
    answered(tmp_path, first, action="roll_back")
    for opened in (1, 0):  # the second run repeats the first one
        assert len(alarms.update(tmp_path, [state("shift", "alarm")], DAY, "2")) == opened
    records = {record.id: record for record in alarms.read_alarms(tmp_path)}
    assert [record.model_version for record in records.values()] == ["3", "2"]
    assert records[first].answer is not None
    (waiting,) = alarms.unanswered(tmp_path)
    assert waiting.id == f"{first}-v2"


def test_an_earlier_day_on_which_the_rule_held_ends_no_alarm(tmp_path: Path) -> None:
    alarm = open_alarm(tmp_path, "missing")
    alarms.update(tmp_path, [state("missing", "ok")], DAY - timedelta(days=30), "3")
    with pytest.raises(Refused, match=alarm):
        alarms.refuse_training(tmp_path, DAY)


@pytest.mark.parametrize(
    ("watched", "ends"),
    [("2", False), ("3", True), ("4", True), ("10", True), ("candidate", False)],
)
def test_an_earlier_version_for_which_the_rule_holds_ends_no_alarm(
    tmp_path: Path, watched: str, ends: bool
) -> None:
    alarm = open_alarm(tmp_path, "missing")
    alarms.update(tmp_path, [state("missing", "ok")], DAY + timedelta(days=1), watched)
    (record,) = alarms.read_alarms(tmp_path)
    assert (record.id, record.ended is not None) == (alarm, ends)
    if not ends:
        with pytest.raises(Refused, match=r"`churn monitor` of that version or a later one"):
            alarms.refuse_training(tmp_path, DAY)


def test_an_alarm_that_comes_back_on_the_day_of_its_end_is_another_one(tmp_path: Path) -> None:
    first = open_alarm(tmp_path, "missing")
    for time in (1, 2):
        alarms.update(tmp_path, [state("missing", "ok")], DAY, "3")
        alarms.refuse_training(tmp_path, DAY)
        for opened in (1, 0):  # the second run repeats the first one
            assert len(alarms.update(tmp_path, [state("missing", "alarm")], DAY, "3")) == opened
        with pytest.raises(Refused, match=f"{first}-again{time}"):
            alarms.refuse_training(tmp_path, DAY)
    ended = {record.id: record.ended for record in alarms.read_alarms(tmp_path)}
    assert ended == {first: DAY, f"{first}-again1": DAY, f"{first}-again2": None}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"by": "the team"}, "first and last name"),
        ({"why": " "}, "--why is empty"),
        ({"why": "Late feed\nagain"}, "a line break or a control character"),
        ({"why": "\x1b[2Jgone"}, "a line break or a control character"),
        ({"action": "ignore"}, "it may be retrain, roll_back, fix_data, accept"),
        ({"action": "accept"}, "needs --until"),
        ({"action": "accept", "until": NOW.date()}, "in the future"),
        ({"until": DAY}, "--action accept only"),
    ],
)
def test_an_answer_that_nobody_stands_for_is_refused(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    alarm = open_alarm(tmp_path, "early")
    with pytest.raises(Misuse, match=told):
        answered(tmp_path, alarm, **changes)
    with pytest.raises(Misuse, match=f"Unanswered are: {alarm}"):
        answered(tmp_path, "A-2020-01-01-early")


def trial(rng: np.random.Generator, effect: float) -> Any:
    score = rng.uniform(0.3, 0.9, 2000)
    control = rng.random(2000) < 0.3
    churned = rng.random(2000) < np.clip(score - effect * ~control, 0, 1)
    return uplift(churned.astype(float), score, control)


def test_a_known_uplift_lies_in_its_interval_and_none_is_seldom_called_one() -> None:
    rng = np.random.default_rng(3)
    seen = [trial(rng, 0.08) for _ in range(100)]
    assert np.mean([u.adjusted_low <= 0.08 <= u.adjusted_high for u in seen]) >= 0.93
    assert np.mean([u.low <= 0.08 <= u.high for u in seen]) >= 0.93
    narrower = [(u.adjusted_high - u.adjusted_low) / (u.high - u.low) for u in seen]
    assert np.mean(narrower) < 0.99
    nothing = [trial(rng, 0.0) for _ in range(200)]
    assert np.mean([u.is_shown for u in nothing]) <= 0.07


@pytest.mark.parametrize(
    ("rates", "people", "share", "effect"),
    [
        ((0.0, 0.02), 250, 0.3, 0.0),  # hardly anybody churns
        ((0.9, 0.99), 1000, 0.06, 0.02),  # a small control group
        ((0.05, 0.95), 120, 0.5, 0.3),  # small groups and a strong score
    ],
)
def test_the_interval_covers_the_effect_where_rates_or_groups_are_extreme(
    rates: tuple[float, float], people: int, share: float, effect: float
) -> None:
    rng = np.random.default_rng(6)
    trials = []
    for _ in range(400):
        score = rng.uniform(*rates, people)
        control = rng.random(people) < share
        chance = np.clip(score - effect * ~control, 0, 1)
        true = float((score - np.clip(score - effect, 0, 1)).mean())
        churned = (rng.random(people) < chance).astype(float)
        seen = uplift(churned, score, control)
        adjusted = seen.adjusted_low <= true <= seen.adjusted_high
        trials.append((adjusted, seen.low <= true <= seen.high))
    # Three standard errors of so many trials below 95 %.
    least = 0.95 - 3 * np.sqrt(0.05 * 0.95 / len(trials))
    assert np.mean(trials, axis=0).min() >= least


@pytest.mark.parametrize(("of_control", "of_treated"), [(0.0, 0.0), (1.0, 1.0), (1.0, 0.0)])
def test_groups_in_which_all_did_the_same_prove_no_exact_rate(
    of_control: float, of_treated: float
) -> None:
    control = np.arange(100) % 2 == 0
    seen = uplift(np.where(control, of_control, of_treated), np.full(100, 0.5), control)
    assert seen.difference == of_control - of_treated
    assert seen.low < seen.difference <= seen.high <= 1
    assert seen.high - seen.low > 0.05
    assert seen.is_shown == (of_control != of_treated)


def test_the_number_of_people_needed_gives_the_power_that_it_promises() -> None:
    rng, needed = np.random.default_rng(4), people_needed(0.6, 0.08, 0.3)
    shown = 0
    for _ in range(150):
        control = rng.random(needed) < 0.3
        churned = (rng.random(needed) < np.where(control, 0.6, 0.52)).astype(float)
        shown += uplift(churned, np.full(needed, 0.6), control).low > 0
    assert 0.74 <= shown / 150 <= 0.86


def test_a_list_leaves_out_who_objected_and_the_log_keeps_no_list(tmp_path: Path) -> None:
    log = open_log(str(tmp_path / "log.db"))
    people = [f"{number:032x}" for number in range(400)]
    scores = pd.DataFrame(
        {"customer_id": people, "score": np.linspace(0.9, 0.1, 400), "model_version": "1"}
    )
    log.append([Draft("objection", "objection-1", people[0], "{}")])
    log.erase_subject(people[1])
    usual: dict[str, Any] = {
        "size": 100,
        "value": "",
        "share": 0.3,
        "effect": 0.05,
        "key": b"k" * 32,
    }
    made = campaign.draw(log, scores, name="spring", **usual)
    assert made.left_out == 2
    assert made.treated + made.control == 98
    listed = made.text.splitlines()[1:]
    assert len(listed) == made.treated
    assert not any(person in made.text for person in people[:2])
    drawn = [campaign.is_control(b"k" * 32, "spring", person, 0.3) for person in people[2:100]]
    assert sum(drawn) == made.control
    (entry,) = log.of_case("campaign-spring")
    assert made.sha256 in (entry.body or "")
    assert people[5] not in (entry.body or "")
    assert verify(log).problems == ()
    with pytest.raises(Misuse, match="a campaign 'spring' already"):
        campaign.draw(log, scores, name="spring", **usual)
    # Killed between the contacts and the campaign: nobody may be drawn under this name twice.
    contact = json.dumps({"campaign": "summer", "group": "treated"})
    log.append([Draft("contact", "contact-summer-7", people[7], contact)])
    with pytest.raises(Misuse, match="a campaign 'summer' already"):
        campaign.draw(log, scores, name="summer", **usual)
    assert campaign.draw(log, scores, name="summer-7", **usual).left_out == 2
    log.close()


def test_a_history_that_is_too_short_for_a_backtest_is_told_in_one_line() -> None:
    past = SimpleNamespace(
        horizon_days=30,
        complete_until=datetime(2026, 6, 30),
        oldest_event=datetime(2026, 6, 20),
        newest_event=datetime(2026, 6, 30, 5),
        snapshots=lambda _: pd.DataFrame({"event_timestamp": pd.to_datetime([])}),
    )
    with pytest.raises(Refused, match="begin on 2026-06-20 and end on 2026-06-30: no day has"):
        backtest.backtest(None, past, MonitorSettings(), weeks=2, smallest=5)  # type: ignore[arg-type]
