"""``monitor.html``: one page without scripts or outside assets, in the style of the card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from sovereign_ml.card.render.html import template
from sovereign_ml.monitoring.population import Reference

if TYPE_CHECKING:
    from sovereign_ml.monitoring.watch import MonitorReport

__all__ = ["page"]

WIDTH, HEIGHT, LEFT, BOTTOM = 640, 190, 44, 30


def page(report: MonitorReport, reference: Reference, card: Mapping[str, Any]) -> str:
    """Return the page; ``card`` has the figures that the model card states for its test set."""
    shifts = sorted(report.comparison.features.items(), key=lambda item: -item[1].shift)
    return template("monitor.html.j2").render(
        report=report,
        reference=reference,
        card=card,
        sentence=_sentence(report),
        weeks=_weeks(report),
        shifts=shifts,
        largest=max(change.shift for _, change in shifts) or 1.0,
    )


def _sentence(report: MonitorReport) -> str:
    """Return the state of the model in one sentence."""
    alarms = [state for state in report.states if state.status == "alarm"]
    if not alarms:
        watch = [state.name.lower() for state in report.states if state.status == "watch"]
        if watch:
            return f"No alarm. To be watched: {', '.join(watch)}."
        measured = sum(state.status == "ok" for state in report.states)
        return (
            f"No alarm: {measured} of {len(report.states)} rules could be measured, and they hold."
        )
    first = alarms[0]
    more = f" and {len(alarms) - 1} more" if len(alarms) > 1 else ""
    return f"Alarm{more}: {first.name.lower()}, {first.found}, since {first.since}."


def _weeks(report: MonitorReport) -> Markup:
    """Return a picture of observed against predicted churn by week of decision."""
    weeks = report.weeks
    if not weeks:
        return Markup("")
    step = (WIDTH - LEFT - 10) / max(1, len(weeks) - 1)
    rates = [w.expected for w in weeks] + [w.observed for w in weeks if w.observed is not None]
    low, high = max(0.0, min(rates) - 0.05), min(1.0, max(rates) + 0.05)

    def place(index: int, rate: float) -> tuple[float, float]:
        up = (rate - low) / ((high - low) or 1.0)
        return LEFT + index * step, 10 + (1 - up) * (HEIGHT - BOTTOM - 10)

    expected = [place(i, week.expected) for i, week in enumerate(weeks)]
    parts = [f'<polyline class="zero" fill="none" points="{_points(expected)}"/>']
    observed = [
        place(i, week.observed) for i, week in enumerate(weeks) if week.observed is not None
    ]
    parts.append(f'<polyline class="curve" points="{_points(observed)}"/>')
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in observed]
    for rate in (low, high):
        _, y = place(0, rate)
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{rate:.0%}</text>')
    for index in {0, len(weeks) - 1}:
        x, _ = place(index, low)
        anchor = "end" if index else "start"
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{escape(weeks[index].week)}</text>'
        )
    title = "Predicted (dashed) and observed (line) churn by week of decision; the table has the numbers"
    inside = "".join(parts)
    return Markup(  # noqa: S704  numbers and escaped text only
        f'<svg role="img" viewBox="0 0 {WIDTH} {HEIGHT}" aria-label="{title}">{inside}</svg>'
    )


def _points(places: list[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
