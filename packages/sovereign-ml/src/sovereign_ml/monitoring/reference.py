"""The monitor's reference: aggregates of the newest labelled cut-off, written at registration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sovereign_ml.config.tables import EvaluateSettings
from sovereign_ml.model.scorecard import Scorecard
from sovereign_ml.monitoring.past_days import PastDays
from sovereign_ml.monitoring.population import Reference, group_shares, profile, usual_range
from sovereign_ml.project import Project

if TYPE_CHECKING:
    import pandas as pd


def make_reference(
    model: Scorecard,
    features: Path,
    valid: Path,
    past: PastDays,
    project: Project,
    evaluate: EvaluateSettings,
    early_days: Sequence[int],
) -> Reference:
    """Return the reference from the newest cut-off in ``features``, which was the test set.

    The speed of events is measured on all cut-offs: the share of a single month is noisy.
    """
    import pandas as pd

    rows = pd.read_parquet(features / "training.parquet")
    # The project's SQL has times in UTC without a zone.
    rows["event_timestamp"] = rows["event_timestamp"].dt.tz_localize(None)
    newest = rows["event_timestamp"].max()
    latest = rows[rows["event_timestamp"] == newest].reset_index(drop=True)
    early = past.early_shares(rows, early_days, past.horizon_days)
    groups = groups_of(project, valid, latest["customer_id"], newest.year, evaluate.groups)
    rate = float(latest[project.target].mean())
    return reference_of(model, latest, rate, early, group_shares(groups, evaluate.min_group))


def reference_of(
    model: Scorecard,
    rows: pd.DataFrame,
    base_rate: float,
    early: dict[int, float],
    groups: dict[str, dict[str, float]],
) -> Reference:
    """Return the reference of ``rows``, who were all customers at one cut-off."""
    limits = usual_range(model, rows)
    return Reference(
        **profile(model, rows, limits).model_dump(),
        day=rows["event_timestamp"].iloc[0].date(),
        base_rate=base_rate,
        limits=limits,
        early=early,
        groups=groups,
    )


def groups_of(
    project: Project, valid: Path, customers: pd.Series[str], year: int, names: Sequence[str]
) -> Mapping[str, pd.Series[Any]]:
    """Return the groups of ``customers`` by ``protected`` in evaluation.py, none without it."""
    try:
        protected = project.module("evaluation").protected
    except (ImportError, AttributeError):
        return {}
    groups: Mapping[str, pd.Series[Any]] = protected(valid, customers, year, names)
    return groups
