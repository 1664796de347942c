"""The quality gate before registration, a policy: figures against [register] in config.toml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sovereign_ml.config.tables import RegisterSettings


def reasons_against(metrics: Mapping[str, Any], limits: RegisterSettings) -> list[str]:
    """Return the reasons against these figures, one line each with figure and limit."""
    model, constant = metrics["model"], metrics["baselines"]["constant_rate"]["brier"]
    auc, brier, slope = (model[name]["value"] for name in ("roc_auc", "brier", "calibration_slope"))
    low, high = limits.calibration_slope
    reasons = []
    # The comparisons are negated so that an undefined figure (NaN) fails the gate.
    if not auc >= limits.min_roc_auc:
        reasons.append(f"ROC AUC {auc:.3f} is below min_roc_auc {limits.min_roc_auc:g}")
    if not brier < limits.max_brier_share * constant:
        reasons.append(
            f"Brier {brier:.3f} is not below max_brier_share {limits.max_brier_share:g} of the "
            f"constant rate's {constant:.3f}"
        )
    if not low <= slope <= high:
        reasons.append(
            f"calibration slope {slope:.2f} is outside calibration_slope {low:g} to {high:g}"
        )
    fidelity = metrics["explanations"]["fidelity"]
    if not fidelity <= limits.max_fidelity_gap:
        reasons.append(
            f"the scorecard differs from the fitted model by {fidelity:g} in probability, above "
            f"max_fidelity_gap {limits.max_fidelity_gap:g}: the measured model is not shipped"
        )
    for gap in metrics["fairness"]:
        if not gap["value"] <= limits.max_fairness_gap:
            reasons.append(
                f"{gap['metric']} between the groups of {gap['group']} is {gap['value']:.3f}, "
                f"above max_fairness_gap {limits.max_fairness_gap:g}"
            )
    return reasons
