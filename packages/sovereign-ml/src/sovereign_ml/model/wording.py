"""Plain words for numbers: values with their unit, influences, changes and curves.

An influence has a direction and a strength.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

from sovereign_ml.decisions.feature_contract import FeatureSpec
from sovereign_ml.model.counterfactual import Counterfactual
from sovereign_ml.model.feasible_changes import Value, missing
from sovereign_ml.model.scorecard import Curve, Levels
from sovereign_ml.texts import ENGLISH, Catalogue

STRONG, SLIGHT = 0.4, 0.1
"""Log-odds from which an influence is strong (odds times 1.5), and below which it is slight.

These limits are wording, not law.
"""
NOTHING = 0.0005
"""Log-odds below which an input leaves the risk as it is.

A fit leaves traces of rounding, and those have a sign too.
"""
FLAT = 0.01
"""Log-odds by which a stretch of a curve must move before it counts as rising or falling."""


def quantity(spec: FeatureSpec, value: Value, texts: Catalogue = ENGLISH) -> str:
    """Return ``value`` with its unit, or ``not known``.

    Examples are ``34 days``, ``45.20 EUR``, ``35 %``, ``1.4`` and ``gifts``.
    """
    if value is None or missing(value):
        return texts("words.not_known")
    if isinstance(value, str):
        return value
    if spec.unit == "EUR":
        return f"{texts.number(value, 2)} EUR"
    decimal = texts("format.decimal")
    if spec.unit == "share":
        percent = round(100 * value, 2) + 0.0  # not -0
        # Three digits, and no power of ten for a huge or a tiny share.
        return f"{percent:.{3 if abs(percent) < 1000 else 6}g} %".replace(".", decimal)
    number = texts.number(value, 2)
    number = number.rstrip("0").rstrip(decimal) if decimal in number else number
    if spec.unit != "days":
        return number
    return f"{number} {texts('units.D_one' if number == '1' else 'units.D_many')}"


def subject(spec: FeatureSpec, value: Value, *, low: bool = False) -> str:
    """Return the input and its value as the subject of a sentence.

    An example is ``34 days since the last purchase``. A ``low`` value is marked: ``only 34 days``.
    """
    only = "only " if low and value and not missing(value) else ""
    if _is_counted(spec, value) and isinstance(value, int | float):
        first, _, rest = spec.label.partition(" ")
        noun = _singular(first) if value == 1 else first
        number = "no" if value == 0 and spec.unit == "count" else f"{value:,.0f}"
        return f"{only}{number} {noun} {rest}".rstrip()
    return f"{spec.label} ({only}{quantity(spec, value)})"


def _is_counted(spec: FeatureSpec, value: Value) -> bool:
    """Return whether the label continues the number: ``3 purchases in the last 30 days``."""
    counted = spec.unit == "count" or (spec.unit == "days" and spec.label.startswith("days "))
    if not counted or not isinstance(value, int | float) or not float(value).is_integer():
        return False
    return value != 1 or bool(_singular(spec.label.partition(" ")[0]))


def _singular(noun: str) -> str:
    """Return the singular of a regular plural, empty where ``noun`` is no plural.

    ``different``, as in ``different shops``, is none.
    """
    if noun.endswith("ies"):
        return f"{noun[:-3]}y"
    if noun.endswith(("sses", "xes", "ches", "shes")):
        return noun[:-2]
    return noun[:-1] if noun.endswith("s") and not noun.endswith(("ss", "us")) else ""


def reason(spec: FeatureSpec, value: Value, log_odds: float) -> str:
    """Return one influence as a sentence.

    An example is ``61 days since the last purchase raises the risk strongly``. A value whose effect
    is the opposite of the expected one is low: ``only 1 purchase ... raises the risk``.
    """
    course = direction(log_odds)
    low = spec.expected is not None and course not in ("none", spec.expected)
    plural = spec.unit == "count" and value != 1 and _is_counted(spec, value)
    verb, _, rest = effect(log_odds).partition(" ")
    noun = subject(spec, value, low=low)
    return f"{noun} {verb.removesuffix('s') if plural else verb} {rest}"


def direction(log_odds: float) -> Literal["raises", "lowers", "none"]:
    """Return the effect of a contribution on the risk, see :data:`NOTHING`."""
    if abs(log_odds) < NOTHING:
        return "none"
    return "raises" if log_odds > 0 else "lowers"


def effect(log_odds: float, texts: Catalogue = ENGLISH) -> str:
    """Return direction and strength of a contribution: ``raises the risk strongly``.

    The direction is the sign of the contribution.
    """
    course = direction(log_odds)
    if course == "none":
        return texts("effects.none")
    size = abs(log_odds)
    strength = "_strongly" if size >= STRONG else "_slightly" if size < SLIGHT else ""
    return texts(f"effects.{course}{strength}")


def change(
    counterfactual: Counterfactual, specs: dict[str, FeatureSpec], texts: Catalogue = ENGLISH
) -> str:
    """Return the counterfactual as one sentence that names every changed input."""

    def instead(follows: bool) -> list[str]:
        return [
            texts(
                "changes.instead",
                input=texts.input(c.feature, specs[c.feature].label),
                after=quantity(specs[c.feature], c.after, texts),
                before=quantity(specs[c.feature], c.before, texts),
            )
            for c in counterfactual.changes
            if c.follows is follows
        ]

    follows = instead(follows=True)
    rounded_down = math.floor(1000 * counterfactual.score) / 1000  # never rounded over a threshold
    return texts(
        "changes.with",
        made=_listed(instead(follows=False), texts),
        along=texts("changes.along", follows=_listed(follows, texts)) if follows else "",
        score=texts.number(rounded_down, 3),
        band=texts.code(counterfactual.band),
    )


def curve(part: Curve, spec: FeatureSpec) -> str:
    """Return a numeric feature's curve in words, knot by knot.

    Stretches of one direction are joined.
    """
    stretches: list[tuple[str, int, int]] = []
    for i, (a, b) in enumerate(pairwise(part.log_odds)):
        course = "rises" if b - a > FLAT else "falls" if a - b > FLAT else "stays level"
        joined = stretches and stretches[-1][0] == course
        stretches[-1:] = (
            [(course, stretches[-1][1], i + 1)] if joined else [*stretches[-1:], (course, i, i + 1)]
        )
    low, high = quantity(spec, part.knots[0]), quantity(spec, part.knots[-1])
    courses = "; ".join(_stretch(part, spec, *stretch) for stretch in stretches)
    expected = f" More of it never {'lowers' if spec.expected == 'raises' else 'raises'} the risk."
    return (
        f"The risk {courses}. Below {low} and above {high} it stays level."
        f"{expected if spec.expected else ''}{_unknown(part, spec)}"
    )


def levels(part: Levels, spec: FeatureSpec) -> str:
    """Return a categorical feature in words: each known category, then other and missing ones."""
    ordered = sorted(part.log_odds.items(), key=lambda item: -abs(item[1]))
    effects = "; ".join(f"{name} {effect(value)} ({value:+.2f})" for name, value in ordered)
    other = f"Any other category {effect(part.other_log_odds)} ({part.other_log_odds:+.2f})."
    return f"{effects or 'No category is told apart'}. {other}{_unknown(part, spec)}"


def _stretch(part: Curve, spec: FeatureSpec, course: str, start: int, end: int) -> str:
    span = f"from {quantity(spec, part.knots[start])} to {quantity(spec, part.knots[end])}"
    if course == "stays level":
        return f"{course} {span} (about {part.log_odds[end]:+.2f})"
    return f"{course} {span} ({part.log_odds[start]:+.2f} to {part.log_odds[end]:+.2f})"


def _unknown(part: Curve | Levels, spec: FeatureSpec) -> str:
    value = part.missing_log_odds
    return f" A missing value {effect(value)} ({value:+.2f})." if spec.missing_allowed else ""


def _listed(items: list[str], texts: Catalogue) -> str:
    if len(items) == 1:
        return items[0]
    return f"{', '.join(items[:-1])} {texts('words.and')} {items[-1]}"
