"""The quality gate refuses for each of its reasons, and says the figure and the limit."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from sovereign_ml.config.tables import RegisterSettings
from sovereign_ml.evaluation import quality_gate

LIMITS = RegisterSettings(
    min_roc_auc=0.65, max_brier_share=1.0, calibration_slope=(0.7, 1.4), max_fairness_gap=0.25
)
GOOD: Mapping[str, Any] = {
    "model": {
        "roc_auc": {"value": 0.73},
        "brier": {"value": 0.20},
        "calibration_slope": {"value": 1.0},
    },
    "baselines": {"constant_rate": {"brier": 0.24}},
    "explanations": {"fidelity": 1e-12},
    "fairness": [{"group": "country", "metric": "tpr_difference", "value": 0.1}],
}


def figures(name: str, value: float) -> dict[str, Any]:
    changed = copy.deepcopy(dict(GOOD))
    if name == "gap":
        changed["fairness"][0]["value"] = value
    elif name == "fidelity":
        changed["explanations"]["fidelity"] = value
    else:
        changed["model"][name]["value"] = value
    return changed


def test_good_figures_pass() -> None:
    assert quality_gate.reasons_against(GOOD, LIMITS) == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("roc_auc", 0.649, "ROC AUC 0.649 is below min_roc_auc 0.65"),
        ("roc_auc", float("nan"), "ROC AUC nan is below min_roc_auc 0.65"),
        ("brier", 0.24, "Brier 0.240 is not below max_brier_share 1 of the constant rate's 0.240"),
        ("brier", 0.3, "Brier 0.300 is not below"),
        (
            "calibration_slope",
            0.69,
            "calibration slope 0.69 is outside calibration_slope 0.7 to 1.4",
        ),
        ("calibration_slope", 1.41, "calibration slope 1.41 is outside"),
        (
            "gap",
            0.26,
            "tpr_difference between the groups of country is 0.260, above max_fairness_gap 0.25",
        ),
        (
            "gap",
            float("nan"),
            "tpr_difference between the groups of country is nan, above max_fairness_gap 0.25",
        ),
        ("fidelity", 2e-9, "the scorecard differs from the fitted model by 2e-09 in probability"),
        ("fidelity", float("nan"), "the scorecard differs from the fitted model by nan"),
    ],
)
def test_each_figure_beyond_its_limit_is_a_reason(name: str, value: float, said: str) -> None:
    reasons = quality_gate.reasons_against(figures(name, value), LIMITS)
    assert len(reasons) == 1
    assert reasons[0].startswith(said)


@pytest.mark.parametrize(
    ("name", "value"),
    [("roc_auc", 0.65), ("calibration_slope", 0.7), ("gap", 0.25), ("fidelity", 1e-9)],
)
def test_a_figure_on_its_limit_passes(name: str, value: float) -> None:
    assert quality_gate.reasons_against(figures(name, value), LIMITS) == []


def test_all_reasons_are_told_at_once() -> None:
    bad = copy.deepcopy(dict(GOOD))
    for name, value in (("roc_auc", 0.5), ("brier", 0.5), ("calibration_slope", 0.1)):
        bad["model"][name]["value"] = value
    bad["fairness"] = [
        {**GOOD["fairness"][0], "value": 0.9},
        {**GOOD["fairness"][0], "group": "age_band", "value": 0.8},
    ]
    assert len(quality_gate.reasons_against(bad, LIMITS)) == 5
