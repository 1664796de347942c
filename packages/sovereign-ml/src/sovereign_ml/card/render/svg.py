"""Small pictures of a model's numbers: feature curves, category bars, calibration, rates by day.

Pages show them inline, in the colours of the page. :func:`sheet` makes a file of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup, escape

from sovereign_ml.card.schema.facts_model import CalibrationBin, FeatureCurve

WIDTH, HEIGHT = 300, 150
LEFT, RIGHT, TOP, BOTTOM = 38, 8, 10, 26
BARS = 8
"""Most categories shown. They are the strongest."""
TITLE = 22
"""Height of a title above a picture of a sheet, in the same units as ``HEIGHT``."""
STYLE = """\
text { font: 11px sans-serif; fill: #55666f; } .title { font-size: 11px; fill: #1b2a32; }
.curve { fill: none; stroke: #0b5c6b; stroke-width: 2; stroke-linejoin: round; }
circle, rect { fill: #0b5c6b; } .paper { fill: #fff; }
.zero { fill: none; stroke: #b8c4ce; stroke-width: 1.2; stroke-dasharray: 4 3; }
"""
"""Style of a sheet. A page has the same classes in its own colours."""
Scale = Callable[[float], float]


def curve(part: FeatureCurve, reach: float) -> Markup:
    """Return a feature's curve on its own axis.

    ``reach`` is the largest absolute log-odds of all pictures in the card.
    """
    if part.categories:
        return _bars(part, reach)
    # On this scale the model is straight between its knots, and so is the picture.
    bend = math.asinh if part.transform == "asinh" else float
    across = _scale(bend(part.knots[0]), bend(part.knots[-1]), LEFT, WIDTH - RIGHT)
    up = _scale(-reach, reach, HEIGHT - BOTTOM, TOP)
    points = [(across(bend(x)), up(y)) for x, y in zip(part.knots, part.log_odds, strict=True)]
    ticks = "".join(_tick(across(bend(x)), _short(x)) for x in _ticks(part.knots, bend, across))
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2"/>' for x, y in points)
    title = (
        f"{part.label or part.name}: effect on the log-odds between {part.knots[0]:g} and "
        f"{part.knots[-1]:g}"
    )
    return _picture(
        title, _sides(up, reach) + ticks + f'<polyline class="curve" points="{path}"/>{dots}'
    )


def calibration(bins: Sequence[CalibrationBin]) -> Markup:
    """Return mean score against observed rate.

    On the diagonal the scores are what happens.
    """
    across, up = _scale(0, 1, LEFT, WIDTH - RIGHT), _scale(0, 1, HEIGHT - BOTTOM, TOP)
    ticks = "".join(_tick(across(x), f"{x:g}") + _side(up(x), f"{x:g}") for x in (0, 0.5, 1))
    diagonal = f'<line class="zero" x1="{across(0)}" y1="{up(0)}" x2="{across(1)}" y2="{up(1)}"/>'
    points = [
        (across(b.mean_score), up(b.observed)) for b in sorted(bins, key=lambda b: b.mean_score)
    ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points)
    return _picture(
        "Observed rate for each mean score",
        f'{ticks}{diagonal}<polyline class="curve" points="{path}"/>{dots}',
    )


def over_time(
    days: Sequence[str],
    expected: Sequence[float],
    observed: Sequence[float | None],
    *,
    title: str = "Predicted (dashed) and observed (line) rate; the table has the numbers",
    unit: str = ".0%",
    tolerance: float = 0.0,
    estimates: Sequence[float | None] = (),
) -> Markup:
    """Return expected (dashed) and observed figures in [0, 1] by day, oldest first.

    None is not known yet. ``unit`` is the format of a figure on the axis. ``tolerance`` draws a
    band around the expected figures. ``estimates`` are dots, for days without an observed figure.
    """
    rates = [rate for rate in (*expected, *observed, *estimates) if rate is not None]
    low, high = max(0.0, min(rates) - 0.05), min(1.0, max(rates) + 0.05)
    across = _scale(0, max(1, len(days) - 1), LEFT, WIDTH - RIGHT)
    up = _scale(low, high, HEIGHT - BOTTOM, TOP)
    ends = sorted({0, len(days) - 1})
    ticks = "".join(_side(up(rate), format(rate, unit)) for rate in (low, high))
    ticks += "".join(_tick(across(i), str(escape(days[i]))) for i in ends)
    dashed, line = (
        " ".join(
            f"{across(i):.1f},{up(rate):.1f}" for i, rate in enumerate(values) if rate is not None
        )
        for values in (expected, observed)
    )
    band = ""
    if tolerance:
        edges = [(across(i), rate) for i, rate in enumerate(expected)]
        upper = [f"{x:.1f},{up(min(rate + tolerance, high)):.1f}" for x, rate in edges]
        lower = [f"{x:.1f},{up(max(rate - tolerance, low)):.1f}" for x, rate in reversed(edges)]
        band = f'<polygon class="band" points="{" ".join(upper + lower)}"/>'
    dots = "".join(
        f'<circle cx="{across(i):.1f}" cy="{up(rate):.1f}" r="2.2"/>'
        for i, rate in enumerate(estimates)
        if rate is not None
    )
    return _picture(
        title,
        f'{ticks}{band}<polyline class="zero" points="{dashed}" fill="none"/>'
        f'<polyline class="curve" points="{line}"/>{dots}',
    )


def shift(name: str, changes: Sequence[float], reach: float) -> Markup:
    """Return the change of a feature's contribution to the log-odds, customers in order.

    ``changes`` are differences of quantiles, so the area to the zero line is the shift. ``reach``
    is the largest absolute change of all pictures of the page.
    """
    across = _scale(0, 1, LEFT, WIDTH - RIGHT)
    up = _scale(-reach, reach, HEIGHT - BOTTOM, TOP)
    points = [(across((i + 0.5) / len(changes)), up(y)) for i, y in enumerate(changes)]
    path = [f"{x:.1f},{y:.1f}" for x, y in points]
    base = [f"{points[-1][0]:.1f},{up(0):.1f}", f"{points[0][0]:.1f},{up(0):.1f}"]
    ends = _tick(across(0), "lowest") + _tick(across(1), "highest")
    return _picture(
        f"{name}: change of its contribution to the log-odds, from the lowest to the highest",
        f'{_sides(up, reach, ".2f")}{ends}<polygon class="band" points="{" ".join(path + base)}"/>'
        f'<polyline class="curve" points="{" ".join(path)}"/>',
    )


def sheet(pictures: Sequence[tuple[str, Markup]], columns: int = 1) -> str:
    """Return an SVG file of pictures, each below its title, in rows of up to ``columns``."""
    columns = max(1, min(columns, len(pictures)))
    height = TITLE + HEIGHT
    cells = []
    for i, (title, picture) in enumerate(pictures):
        x, y = i % columns * WIDTH, i // columns * height
        cells.append(
            f'<text class="title" x="{x + 8}" y="{y + TITLE - 7}">{escape(title)}</text>'
            f'<svg x="{x}" y="{y + TITLE}" width="{WIDTH}" height="{HEIGHT}">{picture}</svg>'
        )
    size = f"0 0 {WIDTH * columns} {height * max(1, -(-len(pictures) // columns))}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size}"><style>{STYLE}</style>'
        f'<rect class="paper" width="100%" height="100%"/>\n{"".join(cells)}</svg>\n'
    )


def _bars(part: FeatureCurve, reach: float) -> Markup:
    strongest = sorted(part.categories.items(), key=lambda item: -abs(item[1]))[:BARS]
    ordered = sorted(strongest, key=lambda item: -item[1])
    across = _scale(-reach, reach, 110, WIDTH - RIGHT)
    step = min((HEIGHT - TOP) / max(len(ordered), 1), 26)
    rows = []
    for i, (name, value) in enumerate(ordered):
        y, zero, end = TOP + i * step, across(0), across(value)
        # Long names would run out of the picture, so they are cut.
        rows.append(
            f'<rect x="{min(zero, end):.1f}" y="{y:.1f}" width="{abs(end - zero):.1f}" '
            f'height="{step * 0.7:.1f}"/><text x="104" y="{y + step * 0.55:.1f}" '
            f'text-anchor="end">{escape(name[:18])}</text>'
        )
    axis = (
        f'<line class="zero" x1="{across(0):.1f}" y1="{TOP}" x2="{across(0):.1f}" y2="{HEIGHT}"/>'
    )
    return _picture(
        f"{part.label or part.name}: effect of each category on the log-odds", axis + "".join(rows)
    )


def _picture(title: str, inside: str) -> Markup:
    """Return an SVG element that reads its title to those who do not see it.

    ``inside`` holds escaped text only.
    """
    head = f'<svg role="img" viewBox="0 0 {WIDTH} {HEIGHT}" aria-label="{escape(title)}">'
    # The title is escaped here, and the callers escape the rest.
    return Markup(f"{head}{inside}</svg>")  # noqa: S704


def _scale(low: float, high: float, start: float, end: float) -> Scale:
    # A value that never changes has no span to divide by.
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def _sides(up: Scale, reach: float, digits: str = ".1f") -> str:
    zero = (
        f'<line class="zero" x1="{LEFT}" y1="{up(0):.1f}" x2="{WIDTH - RIGHT}" y2="{up(0):.1f}"/>'
    )
    return zero + "".join(_side(up(y), f"{y:+{digits}}" if y else "0") for y in (-reach, 0, reach))


def _side(y: float, text: str) -> str:
    return f'<text x="{LEFT - 5}" y="{y + 3.5:.1f}" text-anchor="end">{text}</text>'


def _tick(x: float, text: str) -> str:
    anchor = "start" if x < LEFT + 5 else "end" if x > WIDTH - RIGHT - 5 else "middle"
    return f'<text x="{x:.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{text}</text>'


def _ticks(knots: Sequence[float], bend: Scale, across: Scale) -> list[float]:
    """Return knots that leave room for their label, both ends always among them."""
    chosen, last = [knots[0]], across(bend(knots[-1]))
    for knot in knots[1:-1]:
        x = across(bend(knot))
        room = 62 if chosen == [knots[0]] else 40  # the first label runs to the right of its tick
        if x - across(bend(chosen[-1])) > room and last - x > 46:
            chosen.append(knot)
    return [*chosen, knots[-1]]


def _short(value: float) -> str:
    return (
        f"{value / 1000:.3g}k"
        if abs(value) >= 1000
        else f"{value:.2g}"
        if abs(value) < 1
        else f"{value:.3g}"
    )
