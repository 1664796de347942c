"""The rules of the monitor: each measurement against its limit, and the task of a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from sovereign_ml.config.monitoring import MonitorSettings
from sovereign_ml.config.tables import RegisterSettings
from sovereign_ml.monitoring.comparison import Comparison, findings, likely_cause
from sovereign_ml.monitoring.outcomes import FEWEST, EarlyLook, RealisedFigures, early_status
from sovereign_ml.monitoring.sequence import EDetector

AlarmKind = Literal["data", "model", "fairness", "review"]
Status = Literal["ok", "watch", "alarm", "not measured"]

_ACCURACY, _BOTH = "GDPR 5(1)(d)", "GDPR 5(1)(d), 24(1)"
_RECITAL, _GUIDELINES = "GDPR rec. 71", "WP251rev.01 p. 21"
_EXPLAIN = "Explain it, or repair the data."
_RETRAIN = "Train again, or roll back."
_OUTCOMES_ALONE = (
    "The inputs are as before, so people act otherwise than the model learned: a season, a "
    "campaign, a rival. Look at the same weeks of last year. Accept it until the season ends, or "
    "train again."
)
_OUTCOMES_AND_INPUTS = "The inputs shifted as well: look at them first, then train again."
RULES: Final[Mapping[str, tuple[AlarmKind, str, str, str]]] = {
    "age": ("data", "Age of the newest event", "Repair the feed.", _ACCURACY),
    "volume": ("data", "Customers who can be scored", "Look for lost files or shops.", _ACCURACY),
    "missing": ("data", "Missing values", "Look at the source of these columns.", _ACCURACY),
    "beyond": ("data", "Values out of range", "Look for another unit or sign.", _ACCURACY),
    "unseen": ("data", "Unknown categories", "Look for renamed categories.", _ACCURACY),
    "shift": ("data", "Shift of a feature", _EXPLAIN, _ACCURACY),
    "score": ("data", "Shift of the score", _EXPLAIN, _ACCURACY),
    "early": ("model", "Early outcomes", "Train again, or lower the trust.", _BOTH),
    "rates": ("model", "Observed against predicted", _RETRAIN, _BOTH),
    "gate": ("model", "Quality gate on real outcomes", _RETRAIN, "GDPR 24(1)"),
    "fairness": ("fairness", "Gap between groups", "Review the decision; ask the DPO.", _RECITAL),
    "review": ("review", "Human review", "Give reviewers time and cases.", _GUIDELINES),
}
"""Kind, name, task and source of each rule, in the order of the page."""
OF_CUSTOMERS = ("missing", "beyond", "unseen", "shift", "score")
"""Rules about data that need customers."""
SUSPICIOUS_CASES = 200
"""Number of cases without an override from which a review counts as no review."""
WAITING_DAYS = 14


class RuleState(BaseModel):
    """State of one rule on a day. ``since`` is the first day of this state."""

    model_config = ConfigDict(frozen=True)

    rule: str
    kind: AlarmKind
    name: str
    status: Status
    found: str
    limit: str
    since: str
    todo: str
    source: str


def judge(
    day: str,
    *,
    comparison: Comparison,
    early: Sequence[EarlyLook],
    detector: EDetector | None,
    alarmed: bool,
    realised: RealisedFigures | None,
    fairness: Sequence[Sequence[dict[str, Any]]],
    reviews: Mapping[str, Any],
    waiting_days: float | None,
    limits: MonitorSettings,
    gate: RegisterSettings,
    catch_rate: float,
    before: Sequence[Sequence[RuleState]],
) -> list[RuleState]:
    """Return the state of every rule on ``day``.

    ``before`` are the states of earlier days, newest first. A rule about data says "watch" when it
    is broken, and alarms when it is broken on ``[monitor] in_a_row`` days. ``fairness`` are the
    gaps of each matured batch, newest first, and alarm when one is too wide twice in a row.
    """
    previous = [{state.rule: state for state in states} for states in before]
    repeats = limits.in_a_row - 1
    results: dict[str, tuple[Status, str, str]] = {}
    for name, finding in findings(comparison, limits).items():
        # Without enough earlier days nothing alarms yet.
        earlier = [states[name].status for states in previous[:repeats] if name in states]
        broken = [status for status in earlier if status in ("watch", "alarm")]
        status: Status = "alarm" if len(broken) == repeats else "watch"
        results[name] = (status if finding.is_broken else "ok", finding.text, finding.limit)
    if not comparison.customers:
        # What nobody could measure must not end an alarm.
        unmeasured: tuple[Status, str, str] = ("not measured", "no customer can be scored", "")
        results |= dict.fromkeys(OF_CUSTOMERS, unmeasured)
    results["early"] = _early(early, limits)
    results["rates"] = _rates(detector, limits, alarmed=alarmed)
    results["gate"] = _gate(realised, gate, limits)
    results["fairness"] = _fairness(fairness, gate.max_fairness_gap)
    results["review"] = _review(reviews, waiting_days, catch_rate)
    advice = dict.fromkeys(("shift", "score"), likely_cause(comparison, limits))
    advice["early"] = _OUTCOMES_ALONE if results["shift"][0] == "ok" else _OUTCOMES_AND_INPUTS
    states = []
    for name, (kind, title, todo, source) in RULES.items():
        status, text, limit = results[name]
        last = previous[0].get(name) if previous else None
        states.append(
            RuleState(
                rule=name,
                kind=kind,
                name=title,
                status=status,
                found=text,
                limit=limit,
                since=last.since if last and last.status == status else day,
                todo=advice.get(name, todo) if status in ("watch", "alarm") else "",
                source=source,
            )
        )
    return states


def worst(states: Sequence[RuleState]) -> Literal["ok", "watch", "alarm"]:
    """Return the status of the whole run."""
    statuses = {state.status for state in states}
    return "alarm" if "alarm" in statuses else "watch" if "watch" in statuses else "ok"


def _early(looks: Sequence[EarlyLook], limits: MonitorSettings) -> tuple[Status, str, str]:
    limit = f"{limits.early_ratio:.0%} off and beyond chance"
    if not looks:
        return (
            "not measured",
            "too few young decisions without an offer whose first week is over",
            limit,
        )
    text = ", ".join(
        f"day {look.day}: {look.observed:,.0f} of {look.expected:,.0f} expected "
        f"({look.ratio - 1:+.0%}, z {look.z:+.1f})"
        for look in looks
    )
    return early_status(looks, limits), text, limit


def _too_few(limits: MonitorSettings) -> str:
    # Who got an offer is counted apart, so a log full of offers has nothing to judge here.
    return f"fewer than {limits.min_decisions} matured decisions without an offer"


def _rates(
    detector: EDetector | None, limits: MonitorSettings, *, alarmed: bool
) -> tuple[Status, str, str]:
    if detector is None or not detector.looks:
        return "not measured", f"{_too_few(limits)} in each horizon", ""
    last = detector.looks[-1]
    text = (
        f"predicted {last.expected:.1%}, observed {last.observed:.1%} of {last.n:,} decisions up "
        f"to {last.day}; evidence {max(last.more, last.fewer):.3g}"
    )
    limit = f"evidence {detector.bound:g} beyond {100 * detector.tolerance:g} points"
    return ("alarm" if alarmed else "ok"), text, limit


def _gate(
    realised: RealisedFigures | None, gate: RegisterSettings, limits: MonitorSettings
) -> tuple[Status, str, str]:
    """Return the gate of step 7 on real outcomes. A figure fails when its whole interval does."""
    low, high = gate.calibration_slope
    limit = f"ROC AUC {gate.min_roc_auc:g}, slope {low:g} to {high:g}"
    if realised is None:
        few = f"{_too_few(limits)}, or fewer than {FEWEST} of an outcome, or all with one score"
        return "not measured", few, limit
    auc, slope = realised.figures["roc_auc"], realised.figures["calibration_slope"]
    fails = auc["high"] < gate.min_roc_auc or slope["high"] < low or slope["low"] > high
    figures = f"ROC AUC {auc['value']:.3f}, slope {slope['value']:.2f}"
    text = f"{figures} on {realised.n:,} matured decisions"
    return ("alarm" if fails else "ok"), text, limit


def _fairness(batches: Sequence[Sequence[dict[str, Any]]], limit: float) -> tuple[Status, str, str]:
    limit_text = f"{limit:g}, twice in a row"
    # A horizon in which every group is too small to be shown says nothing.
    batches = [gaps for gaps in batches if gaps]
    if not batches:
        return "not measured", "no groups with matured decisions", limit_text
    # A gap that is too wide in one batch alone may be chance.
    wide = [{(g["group"], g["metric"]) for g in gaps if g["value"] > limit} for gaps in batches[:2]]
    largest = max(batches[0], key=lambda gap: gap["value"])
    metric = largest["metric"].replace("_", " ")
    text = f"{metric} {largest['value']:.2f} between groups of {largest['group']}"
    status: Status = (
        "alarm" if len(wide) > 1 and wide[0] & wide[1] else "watch" if wide[0] else "ok"
    )
    return status, text, limit_text


def _review(
    reviews: Mapping[str, Any], waiting_days: float | None, catch_rate: float
) -> tuple[Status, str, str]:
    limit = f"{catch_rate:.0%} of planted errors, {WAITING_DAYS} days of waiting"
    cases, planted = reviews.get("cases", 0), reviews.get("seeded", 0)
    if not cases and not planted and waiting_days is None:
        return "not measured", "no reviews on record", limit
    signs = []
    if cases >= SUSPICIOUS_CASES and not reviews["override_rate"]:
        signs.append(f"no override in {cases} cases")
    if planted and reviews["caught"] / planted < catch_rate:
        signs.append(f"{reviews['caught']} of {planted} planted errors caught")
    if waiting_days is not None and waiting_days > WAITING_DAYS:
        signs.append(f"a case has waited {waiting_days:.0f} days")
    return ("alarm" if signs else "ok"), "; ".join(signs) or f"{cases} cases", limit
