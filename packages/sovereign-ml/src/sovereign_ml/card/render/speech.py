"""Card values as a reader sees them: codes in words, dates, figures.

An answer that nobody gave stays visibly open.
"""

from __future__ import annotations

import re
from datetime import date

from sovereign_ml.card.schema.base import NOT_ANSWERED, Group, is_open
from sovereign_ml.card.schema.facts_model import Estimate
from sovereign_ml.texts import ENGLISH, Catalogue

OPEN_TEXT = ENGLISH("words.open")

METRICS = {
    "roc_auc": (
        "ROC AUC",
        (
            "how often somebody with the outcome ranks above somebody without; "
            "0.5 is chance, 1 perfect"
        ),
    ),
    "pr_auc": ("PR AUC", "precision over all recall levels; the base rate is chance, 1 perfect"),
    "brier": ("Brier score", "mean squared error of the probability; lower is better"),
    "log_loss": ("Log loss", "penalty for confident errors; lower is better"),
    "calibration_slope": ("Calibration slope", "1 means that scores spread as outcomes do"),
    "calibration_intercept": ("Calibration intercept", "0 means that the average score is right"),
}

GAPS = {
    "selection_rate_difference": "share selected",
    "tpr_difference": "share found of those with the outcome",
    "calibration_gap": "score against outcome",
}


# Zeros in front let bands sort as texts. A reader does not need them.
LEADING_ZEROS = re.compile(r"\b0+(?=\d)")


def code(value: str) -> str:
    """Return an enumeration value in words."""
    return ENGLISH.code(value)


def said(value: object, texts: Catalogue = ENGLISH) -> str:
    """Return any answer or fact as text.

    An open one reads as such, an empty list as ``none``.
    """
    if value in (None, NOT_ANSWERED) or (isinstance(value, str) and is_open(value)):
        return texts("words.open")
    # This comes before the numbers, because a bool is an int in Python.
    if isinstance(value, bool):
        return texts("words.yes" if value else "words.no")
    if isinstance(value, Group):
        return "; ".join(
            f"{texts.code(name)}: {said(item, texts)}"
            for name, item in value
            if item not in ("", None)
        )
    if isinstance(value, tuple | list):
        items = [said(item, texts) for item in value]
        # Items that hold commas or several words need a stronger separator.
        long = any(item.count(" ") > 2 or "," in item for item in items)
        return ("; " if long else ", ").join(items) or texts("words.none")
    if isinstance(value, dict):
        pairs = (f"{texts.code(str(name))}: {said(item, texts)}" for name, item in value.items())
        return ", ".join(pairs) or texts("words.none")
    return _scalar(value, texts)


def group(name: str) -> str:
    """Return a group such as ``age_band=000-030 years`` in words: age band: 0-30 years."""
    column, _, value = name.partition("=")
    return f"{code(column)}: {LEADING_ZEROS.sub('', value)}" if value else code(column)


def figure(value: float | None, digits: int = 3, texts: Catalogue = ENGLISH) -> str:
    """Return a figure with a fixed number of digits, or a dash where there is none."""
    return "–" if value is None else texts.number(value, digits)


def interval(low: float | None, high: float | None, texts: Catalogue = ENGLISH) -> str:
    """Return an interval such as 0.700 to 0.800, or "" without both ends."""
    if low is None or high is None:
        return ""
    return texts("words.interval", low=figure(low, 3, texts), high=figure(high, 3, texts))


def measured(estimate: Estimate, texts: Catalogue) -> str:
    """Return an estimate with its interval, such as 0.750 (0.700 to 0.800)."""
    reach = interval(estimate.low, estimate.high, texts)
    return figure(estimate.value, 3, texts) + (f" ({reach})" if reach else "")


def _scalar(value: object, texts: Catalogue) -> str:
    if isinstance(value, date):
        return texts.day(value)
    if isinstance(value, float):
        return f"{value:.4g}".replace(".", texts("format.decimal"))
    if isinstance(value, int):
        return texts.number(value)
    text = str(value)
    code_like = text.islower() and "_" in text and " " not in text
    return texts.code(text) if texts.knows(text) or code_like else texts.period(text)
