"""Pictures of the evaluation as SVG files: calibration, rolling cut-offs, one curve per feature.

The model card draws with the same functions, so a curve looks the same wherever it is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sovereign_ml.card.render import svg
from sovereign_ml.card.schema.facts_model import CalibrationBin, FeatureCurve
from sovereign_ml.model.scorecard import Scorecard
from sovereign_ml.project import Feature

__all__ = ["draw"]

COLUMNS = 4


def draw(
    folder: Path, metrics: dict[str, Any], card: Scorecard, features: Sequence[Feature]
) -> None:
    """Write every picture of the evaluation into the new ``folder``."""
    folder.mkdir()
    bins = [CalibrationBin.model_validate(entry) for entry in metrics["calibration_bins"]]
    title = f"Observed share by mean score, {metrics['test_cutoff']}"
    _write(folder / "calibration.svg", [(title, svg.calibration(bins))])
    _write(folder / "rolling.svg", [_rolling(metrics["rolling"])])
    _write(folder / "curves.svg", _curves(card, features), COLUMNS)


def _write(path: Path, pictures: Sequence[tuple[str, Any]], columns: int = 1) -> None:
    path.write_text(svg.sheet(pictures, columns), encoding="utf-8")


def _rolling(rows: Sequence[dict[str, Any]]) -> tuple[str, Any]:
    title = "ROC AUC (line) and base rate (dashed)"
    if not rows:
        return "Too few cut-offs for a rolling evaluation", ""
    picture = svg.over_time(
        [row["cutoff"] for row in rows],
        [row["base_rate"] for row in rows],
        [row["roc_auc"] for row in rows],
        title="ROC AUC (line) and base rate (dashed) at each cut-off",
        unit=".2f",
    )
    return title, picture


def _curves(card: Scorecard, features: Sequence[Feature]) -> list[tuple[str, Any]]:
    words = {feature.name: feature for feature in features}
    # One scale for all curves, so that a reader can compare their heights.
    reach = max((abs(y) for part in card.numeric for y in part.log_odds), default=0.0) or 1.0
    pictures = []
    for part in card.numeric:
        feature = words[part.name]
        curve = FeatureCurve(
            name=part.name,
            label=feature.label,
            transform=part.transform,
            knots=part.knots,
            log_odds=part.log_odds,
        )
        pictures.append((f"{feature.label} ({feature.unit})", svg.curve(curve, reach)))
    return pictures
