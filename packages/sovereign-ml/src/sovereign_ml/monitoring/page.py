"""``monitor.html``: one page without scripts or outside assets, in the style of the card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from sovereign_ml.card.render import svg
from sovereign_ml.card.render.html import template
from sovereign_ml.monitoring.population import PopulationProfile, Reference

if TYPE_CHECKING:
    from sovereign_ml.monitoring.reporting.stored_reports import MonitorReport

PICTURES = 6
"""Number of features that are drawn, those with the largest shift."""


def page(
    report: MonitorReport,
    reference: Reference,
    today: PopulationProfile | None,
    card: Mapping[str, Any],
) -> str:
    """Return the page. ``card`` has the figures of the model card for its test set.

    ``today`` is None on a day without customers.
    """
    shifts = sorted(report.comparison.features.items(), key=lambda item: -item[1].shift)
    weeks = report.weeks
    return template("monitor.html.j2").render(
        report=report,
        reference=reference,
        card=card,
        sentence=_sentence(report),
        # One week alone makes no line.
        weeks=len(weeks) > 1
        and svg.over_time(
            [week.week for week in weeks],
            [week.expected for week in weeks],
            [week.observed for week in weeks],
            tolerance=report.tolerance,
            estimates=_estimates(report),
        ),
        shifts=shifts,
        pictures=_pictures([name for name, change in shifts if change.shift], reference, today),
        # A progress bar needs a maximum above zero, also where nothing shifted.
        largest=max(change.shift for _, change in shifts) or 1.0,
    )


def _pictures(
    names: Sequence[str], reference: Reference, today: PopulationProfile | None
) -> list[tuple[str, Markup]]:
    """Return a picture of each of the first ``names``, all on one scale."""
    if today is None or not names:
        return []
    changes = {
        name: np.subtract(today.features[name].quantiles, reference.features[name].quantiles)
        for name in names[:PICTURES]
    }
    reach = max(float(np.abs(change).max()) for change in changes.values())
    return [(name, svg.shift(name, change.tolist(), reach)) for name, change in changes.items()]


def _estimates(report: MonitorReport) -> list[float | None]:
    """Return for each week the rate that the newest early look at it expects, or None."""
    estimates: list[float | None] = [None] * len(report.weeks)
    for look in report.early:
        # The newest of the people that a look takes were decided on the day that it names.
        places = [i for i, week in enumerate(report.weeks) if week.week <= look.decided]
        if places and report.weeks[places[-1]].observed is None:
            estimates[places[-1]] = look.estimate
    return estimates


def _sentence(report: MonitorReport) -> str:
    """Return the state of the model in one sentence."""
    alarms = [state for state in report.states if state.status == "alarm"]
    if alarms:
        first, *others = alarms
        more = f" and {len(others)} more" if others else ""
        return f"Alarm{more}: {first.name.lower()}, {first.found}, since {first.since}."
    watch = [state.name.lower() for state in report.states if state.status == "watch"]
    if watch:
        return f"No alarm. To be watched: {', '.join(watch)}."
    measured = sum(state.status == "ok" for state in report.states)
    return f"No alarm: {measured} of {len(report.states)} rules could be measured, and they hold."
