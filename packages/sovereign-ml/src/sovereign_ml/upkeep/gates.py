"""Gates in config.toml that are looser than those of the release."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel

from sovereign_ml.audit import AuditPolicy, void_because
from sovereign_ml.config.data_tables import CheckSettings
from sovereign_ml.config.tables import RegisterSettings, UpkeepSettings, ValidateSettings
from sovereign_ml.decisions.rule_policy import LIMITS, RulePolicy
from sovereign_ml.upkeep.state import ProjectState

GATES: Final[dict[tuple[str, ...], type[BaseModel]]] = {
    ("card", "policy"): RulePolicy,
    ("register",): RegisterSettings,
    ("validate",): ValidateSettings,
    ("data", "checks"): CheckSettings,
    ("upkeep",): UpkeepSettings,
}


def loosened(state: ProjectState) -> Iterator[tuple[str, str, str]]:
    """Yield the name, the value and the allowed value of each setting that is too loose."""
    for where, model in GATES.items():
        table, default = state.table(model, *where), model()
        for name in model.model_fields:
            value, usual = getattr(table, name), getattr(default, name)
            if name != "accepted" and looser(name, value, usual):
                yield from _unless_accepted(
                    state, ".".join((*where, name)), _shown(value), _shown(usual)
                )
    for setting, value, usual in _audit(state):
        yield from _unless_accepted(state, setting, value, usual)


def _unless_accepted(
    state: ProjectState, setting: str, value: str, usual: str
) -> Iterator[tuple[str, str, str]]:
    until = state.policy.accepted.get(setting)
    if until is None or void_because(until, state.today):
        yield setting, value, f"{usual}; accepted until {until}" if until else usual


def looser(name: str, value: Any, usual: Any) -> bool:
    """Return whether ``value`` lets more pass than ``usual``, as NaN always does."""
    # Each further reason in such a table lets more rows be rejected.
    if isinstance(usual, dict):
        return bool(set(value) - set(usual))
    if name == "calibration_slope":
        return not (value[0] >= usual[0] and value[1] <= usual[1])
    if name == "approval_roles":
        return not set(usual) <= set(value)
    # The metric and open_answers, which a profile sets.
    if not isinstance(usual, (int, float)):
        return False
    lower = name.startswith("min_") if name not in LIMITS else LIMITS[name].startswith(">=")
    if math.isnan(value):
        return True
    return bool(value < usual if lower else value > usual)


def _audit(state: ProjectState) -> Iterator[tuple[str, str, str]]:
    policy, default = state.table(AuditPolicy, "audit"), AuditPolicy()
    for payload, classes in policy.allow.items():
        if wider := sorted(set(classes) - set(default.allow[payload])):
            usual = ", ".join(default.allow[payload])
            yield f"audit.allow.{payload}", f"besides {', '.join(wider)}", usual
    if unread := sorted(set(policy.exclude) - set(default.exclude)):
        yield "audit.exclude", f"besides {', '.join(unread)}", ", ".join(default.exclude)


def _shown(value: object) -> str:
    if isinstance(value, (tuple, list)):
        return ", ".join(map(str, value))
    return ", ".join(value) or "none" if isinstance(value, dict) else str(value)
