"""``monitor.html``: one page without scripts or outside assets, in the style of the card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sovereign_ml.card.render import svg
from sovereign_ml.card.render.html import template
from sovereign_ml.monitoring.population import Reference

if TYPE_CHECKING:
    from sovereign_ml.monitoring.reporting.stored_reports import MonitorReport


def page(report: MonitorReport, reference: Reference, card: Mapping[str, Any]) -> str:
    """Return the page. ``card`` has the figures of the model card for its test set."""
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
        ),
        shifts=shifts,
        # A progress bar needs a maximum above zero, also where nothing shifted.
        largest=max(change.shift for _, change in shifts) or 1.0,
    )


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
