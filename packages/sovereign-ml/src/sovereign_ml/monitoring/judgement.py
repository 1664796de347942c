"""The rules of the monitor: what was found against its limit, and what a person has to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from sovereign_ml.config.monitoring import MonitorSettings
from sovereign_ml.config.tables import RegisterSettings
from sovereign_ml.monitoring.comparison import Comparison, breaches
from sovereign_ml.monitoring.outcomes import EarlyLook, RealisedFigures, early_status
from sovereign_ml.monitoring.sequence import EDetector

__all__ = ["RULES", "AlarmKind", "RuleState", "judge", "worst"]

AlarmKind = Literal["data", "model", "fairness", "review"]
Status = Literal["ok", "watch", "alarm", "not measured"]

RULES: Final[Mapping[str, tuple[AlarmKind, str, str, str]]] = {
    "age": ("data", "Age of the newest event", "Repair the feed.", "GDPR 5(1)(d)"),
    "volume": (
        "data",
        "Customers who can be scored",
        "Look for lost files or shops.",
        "GDPR 5(1)(d)",
    ),
    "missing": ("data", "Missing values", "Look at the source of these columns.", "GDPR 5(1)(d)"),
    "beyond": ("data", "Values out of range", "Look for another unit or sign.", "GDPR 5(1)(d)"),
    "unseen": ("data", "Unknown categories", "Look for renamed categories.", "GDPR 5(1)(d)"),
    "shift": ("data", "Shift of a feature", "Explain it, or repair the data.", "GDPR 5(1)(d)"),
    "score": ("data", "Shift of the score", "Explain it, or repair the data.", "GDPR 5(1)(d)"),
    "early": ("model", "Early outcomes", "Train again, or lower the trust.", "GDPR 5(1)(d), 24(1)"),
    "rates": (
        "model",
        "Observed against predicted",
        "Train again, or roll back.",
        "GDPR 5(1)(d), 24(1)",
    ),
    "gate": ("model", "Quality gate on real outcomes", "Train again, or roll back.", "GDPR 24(1)"),
    "fairness": (
        "fairness",
        "Gap between groups",
        "Review the decision; ask the DPO.",
        "GDPR rec. 71",
    ),
    "review": ("review", "Human review", "Give reviewers time and cases.", "WP251rev.01 p. 21"),
}
"""Kind, name, what to do and source of each rule, in the order of the page."""
SUSPICIOUS_CASES = 200
"""So many cases without one override are no review."""
WAITING_DAYS = 14


class RuleState(BaseModel):
    """One rule today. ``since`` is the first day of the present state."""

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
    seen: Comparison,
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

    ``before`` are the states of earlier days, newest first. A rule about data alarms when it is
    broken on ``[monitor] in_a_row`` days; the first time it says "watch". ``fairness`` are the gaps
    of each matured batch, newest first, of which two in a row have to be too wide.
    """
    found: dict[str, tuple[Status, str, str]] = {
        name: ("ok", "nothing", "") for name, rule in RULES.items() if rule[0] == "data"
    }
    for name, (text, limit) in breaches(seen, limits).items():
        earlier = [_status(states, name) for states in before[: limits.in_a_row - 1]]
        again = len(earlier) == limits.in_a_row - 1 and all(
            s in ("watch", "alarm") for s in earlier
        )
        found[name] = ("alarm" if again else "watch", text, limit)
    found["early"] = _early(early, limits)
    found["rates"] = _rates(detector, alarmed=alarmed)
    found["gate"] = _gate(realised, gate)
    found["fairness"] = _fairness(fairness, gate.max_fairness_gap)
    found["review"] = _review(reviews, waiting_days, catch_rate)
    states = []
    for name, (kind, title, todo, source) in RULES.items():
        status, text, limit = found[name]
        since = (
            next((s.since for s in before[0] if s.rule == name and s.status == status), day)
            if before
            else day
        )
        states.append(
            RuleState(
                rule=name,
                kind=kind,
                name=title,
                status=status,
                found=text,
                limit=limit,
                since=since,
                todo=todo if status in ("watch", "alarm") else "",
                source=source,
            )
        )
    return states


def worst(states: Sequence[RuleState]) -> Literal["ok", "watch", "alarm"]:
    """Return the status of the whole run."""
    statuses = {state.status for state in states}
    return "alarm" if "alarm" in statuses else "watch" if "watch" in statuses else "ok"


def _status(states: Sequence[RuleState], name: str) -> str:
    return next((state.status for state in states if state.rule == name), "ok")


def _early(looks: Sequence[EarlyLook], limits: MonitorSettings) -> tuple[Status, str, str]:
    limit = f"{limits.early_ratio:.0%} off and beyond chance"
    if not looks:
        return "not measured", "no young decisions whose first week is over", limit
    text = ", ".join(
        f"day {look.day}: {look.observed:,.0f} of {look.expected:,.0f} expected ({look.ratio - 1:+.0%}, z {look.z:+.1f})"
        for look in looks
    )
    return early_status(looks, limits), text, limit


def _rates(detector: EDetector | None, *, alarmed: bool) -> tuple[Status, str, str]:
    if detector is None or not detector.looks:
        return "not measured", "no matured decisions", ""
    last = detector.looks[-1]
    text = (
        f"predicted {last.expected:.1%}, observed {last.observed:.1%} of {last.n:,} decisions up to {last.day}; "
        f"evidence {max(last.more, last.fewer):.3g}"
    )
    limit = f"evidence {detector.bound:g} beyond {detector.tolerance:.0%} points"
    return ("alarm" if alarmed else "ok"), text, limit


def _gate(realised: RealisedFigures | None, gate: RegisterSettings) -> tuple[Status, str, str]:
    """Return the gate of step 7 on real outcomes; a figure fails when its whole interval does."""
    low, high = gate.calibration_slope
    limit = f"ROC AUC {gate.min_roc_auc:g}, slope {low:g} to {high:g}"
    if realised is None:
        return "not measured", "too few matured decisions", limit
    auc, slope = realised.figures["roc_auc"], realised.figures["calibration_slope"]
    fails = auc["high"] < gate.min_roc_auc or slope["high"] < low or slope["low"] > high
    text = f"ROC AUC {auc['value']:.3f}, slope {slope['value']:.2f} on {realised.n:,} matured decisions"
    return ("alarm" if fails else "ok"), text, limit


def _fairness(batches: Sequence[Sequence[dict[str, Any]]], limit: float) -> tuple[Status, str, str]:
    told = f"{limit:g}, twice in a row"
    if not batches or not any(batches):
        return "not measured", "no groups with matured decisions", told
    wide = [{(g["group"], g["metric"]) for g in gaps if g["value"] > limit} for gaps in batches[:2]]
    largest = max(batches[0], key=lambda gap: gap["value"])
    text = f"{largest['metric'].replace('_', ' ')} {largest['value']:.2f} between groups of {largest['group']}"
    status: Status = (
        "alarm" if len(wide) > 1 and wide[0] & wide[1] else "watch" if wide[0] else "ok"
    )
    return status, text, told


def _review(
    seen: Mapping[str, Any], waiting_days: float | None, catch_rate: float
) -> tuple[Status, str, str]:
    limit = f"{catch_rate:.0%} of planted errors, {WAITING_DAYS} days of waiting"
    cases, planted = seen.get("cases", 0), seen.get("seeded", 0)
    if not cases and not planted and waiting_days is None:
        return "not measured", "no reviews on record", limit
    signs = []
    if cases >= SUSPICIOUS_CASES and not seen["override_rate"]:
        signs.append(f"no override in {cases} cases")
    if planted and seen["caught"] / planted < catch_rate:
        signs.append(f"{seen['caught']} of {planted} planted errors caught")
    if waiting_days is not None and waiting_days > WAITING_DAYS:
        signs.append(f"a case has waited {waiting_days:.0f} days")
    return ("alarm" if signs else "ok"), "; ".join(signs) or f"{cases} cases", limit
