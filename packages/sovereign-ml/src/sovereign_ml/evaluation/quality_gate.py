"""The quality gate before a model is registered: figures against [register] of config.toml. Policy, not law."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sovereign_ml.config.tables import RegisterSettings


def reasons_against(metrics: Mapping[str, Any], limits: RegisterSettings) -> list[str]:
    """Why these figures are not good enough, one line each with the figure and the limit; empty when they are."""
    model, constant = metrics["model"], metrics["baselines"]["constant_rate"]["brier"]
    auc, brier, slope = (model[name]["value"] for name in ("roc_auc", "brier", "calibration_slope"))
    low, high = limits.calibration_slope
    found = []
    if not auc >= limits.min_roc_auc:
        found.append(f"ROC AUC {auc:.3f} is below min_roc_auc {limits.min_roc_auc:g}")
    if not brier < limits.max_brier_share * constant:
        found.append(
            f"Brier {brier:.3f} is not below max_brier_share {limits.max_brier_share:g} of the constant rate's "
            f"{constant:.3f}"
        )
    if not low <= slope <= high:
        found.append(
            f"calibration slope {slope:.2f} is outside calibration_slope {low:g} to {high:g}"
        )
    fidelity = metrics["explanations"]["fidelity"]
    if not fidelity <= limits.max_fidelity_gap:
        found.append(
            f"the scorecard differs from the fitted model by {fidelity:g} in probability, above max_fidelity_gap "
            f"{limits.max_fidelity_gap:g}: what would be shipped is not what was measured"
        )
    for gap in metrics["fairness"]:
        if not gap["value"] <= limits.max_fairness_gap:
            found.append(
                f"{gap['metric']} between the groups of {gap['group']} is {gap['value']:.3f}, above max_fairness_gap "
                f"{limits.max_fairness_gap:g}"
            )
    return found
