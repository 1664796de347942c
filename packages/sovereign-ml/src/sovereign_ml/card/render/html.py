"""``card.html``: one file without scripts or outside assets, for a screen, a phone and paper."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from sovereign_ml.card.questions import missing_facts, open_questions, progress
from sovereign_ml.card.render import figures, hurdles, speech, svg, view
from sovereign_ml.card.rules.engine import Finding
from sovereign_ml.card.schema import Card

PICTURES = {".png": "image/png", ".svg": "image/svg+xml"}


def render_html(
    card: Card,
    *,
    images: Mapping[str, Path] | None = None,
    findings: Sequence[Finding] | None = None,
) -> str:
    """Return the card as one HTML page.

    ``images`` maps captions to PNG or SVG files that are embedded. ``findings`` are those of the
    rules. None says that they were not run.
    """
    curves = card.facts.explanation.curves
    rows = None if findings is None else hurdles.hurdles(card, findings)
    return template("card.html.j2").render(
        card=card,
        view=view,
        figures=figures,
        verdict=view.verdict(card),
        progress=progress(card),
        questions=open_questions(card),
        missing=missing_facts(card),
        hurdles=rows,
        in_short="" if rows is None else hurdles.in_short(rows),
        drawn=[
            (part, svg.curve(part, _reach(card)))
            for part in curves
            if part.categories or part.knots
        ],
        bars=svg.BARS,
        calibration=svg.calibration(card.facts.evaluation.calibration_bins),
        pictures=[(caption, embedded(path)) for caption, path in (images or {}).items()],
    )


def template(name: str) -> Template:
    """Return a packaged template. Every value is escaped, and an unknown name is an error."""
    return _environment().get_template(name)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("sovereign_ml.card.render"),
        # The card holds texts of people and of foreign systems.
        autoescape=True,
        # By default Jinja prints nothing for a wrong name, and a right could be missing unseen.
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    functions = (speech.said, speech.code, speech.figure, speech.interval, speech.group)
    filters = {function.__name__: function for function in functions}
    environment.filters.update(filters)
    return environment


def embedded(path: Path) -> str:
    """Return a PNG or SVG file as a data URI. An image never runs scripts.

    Raises ValueError for another kind of file.
    """
    if path.suffix not in PICTURES:
        raise ValueError(f"{path}: only {' and '.join(PICTURES)} pictures are embedded in the card")
    return f"data:{PICTURES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _reach(card: Card) -> float:
    """Return the largest absolute log-odds of any curve, so that all pictures share one axis."""
    curves = card.facts.explanation.curves
    every = [abs(y) for part in curves for y in (*part.log_odds, *part.categories.values())]
    # Curves without any effect still need an axis.
    return max(every, default=0.0) or 1.0
