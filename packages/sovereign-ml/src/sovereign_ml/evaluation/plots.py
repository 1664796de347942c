"""Charts of the evaluation as SVG: calibration, rolling cut-offs, one curve per feature."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sovereign_ml.model.scorecard import Scorecard
from sovereign_ml.project import Feature

__all__ = ["ACCENT", "INK", "SOFT", "draw"]

INK, ACCENT, SOFT = "#1f2933", "#0b6e99", "#b8c4ce"


@contextmanager
def _figure(
    path: Path, width: float, height: float, rows: int = 1, columns: int = 1
) -> Iterator[Any]:
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    style = {
        "svg.hashsalt": "churn",  # the same bytes on every run
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": SOFT,
        "axes.titlesize": 10,
        "text.color": INK,
        "axes.labelcolor": INK,
    }
    with mpl.rc_context(style):
        figure, axes = plt.subplots(rows, columns, figsize=(width, height), layout="constrained")
        yield axes
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def draw(
    folder: Path, metrics: dict[str, Any], card: Scorecard, features: Sequence[Feature]
) -> None:
    """Write every picture of the report into ``folder``."""
    folder.mkdir()
    _calibration(folder / "calibration.svg", metrics)
    _rolling(folder / "rolling.svg", metrics["rolling"])
    _curves(folder / "curves.svg", card, features)


def _calibration(path: Path, metrics: dict[str, Any]) -> None:
    with _figure(path, 4.6, 4.2) as ax:
        points = metrics["calibration_bins"]
        ax.plot([0, 1], [0, 1], color=SOFT, linewidth=1, label="perfect")
        ax.plot(
            [b["mean_score"] for b in points],
            [b["observed"] for b in points],
            "o-",
            color=ACCENT,
            label="model",
        )
        ax.axhline(metrics["base_rate"], color=SOFT, linestyle=":", label="base rate")
        ax.set(
            xlabel="predicted probability of churn",
            ylabel="observed share",
            xlim=(0, 1),
            ylim=(0, 1),
        )
        ax.set_title(
            f"Calibration on {metrics['customers']:,} customers at {metrics['test_cutoff']}"
        )
        ax.legend(frameon=False)


def _rolling(path: Path, rolling: list[dict[str, Any]]) -> None:
    with _figure(path, 5.6, 3.4) as ax:
        x = range(len(rolling))
        ax.plot(x, [r["roc_auc"] for r in rolling], "o-", color=ACCENT, label="ROC AUC")
        ax.plot(x, [r["base_rate"] for r in rolling], "s--", color=SOFT, label="base rate")
        ax.set_xticks(list(x), [r["cutoff"][2:] for r in rolling], rotation=45, ha="right")
        ax.set(ylim=(0.4, 0.9))
        ax.set_title("Each cut-off predicted from the earlier ones only")
        ax.legend(frameon=False, loc="lower left")


def _curves(path: Path, card: Scorecard, features: Sequence[Feature]) -> None:
    import numpy as np

    labels = {f.name: (f.label, f.unit) for f in features}
    rows = -(-len(card.numeric) // 4)
    limit = max(abs(h) for curve in card.numeric for h in curve.log_odds) * 1.1 or 1.0
    with _figure(path, 11, 2.3 * rows, rows, 4) as axes:
        for ax, curve in zip(np.ravel(axes), card.numeric, strict=False):
            x = np.sinh(np.linspace(np.arcsinh(curve.knots[0]), np.arcsinh(curve.knots[-1]), 100))
            ax.axhline(0, color=SOFT, linewidth=0.8)
            ax.plot(x, curve.contribution(x), color=ACCENT, linewidth=1.8)
            ax.plot(curve.knots, curve.log_odds, "o", color=ACCENT, markersize=3)
            ax.set(ylim=(-limit, limit), xlabel=labels[curve.name][1])
            ax.set_title(labels[curve.name][0])
        for ax in np.ravel(axes)[len(card.numeric) :]:
            ax.remove()
