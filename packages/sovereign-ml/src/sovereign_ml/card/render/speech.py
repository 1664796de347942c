"""Card values as a reader sees them: codes in words, dates, figures; what nobody answered stays visibly open."""

from __future__ import annotations

import re
from datetime import date, datetime

from sovereign_ml.card.schema.base import NOT_ANSWERED, Group, is_open

OPEN_TEXT = "not answered yet"

WORDS = {
    "6_1_a": "consent, Article 6(1)(a)",
    "6_1_b": "contract, Article 6(1)(b)",
    "6_1_c": "legal obligation, Article 6(1)(c)",
    "6_1_d": "vital interests, Article 6(1)(d)",
    "6_1_e": "public task, Article 6(1)(e)",
    "6_1_f": "legitimate interests, Article 6(1)(f)",
    "compatible_6_4": "compatible with the purpose of collection, Article 6(4)",
    "contract_22_2_a": "necessary for a contract, Article 22(2)(a)",
    "law_22_2_b": "authorised by law, Article 22(2)(b)",
    "explicit_consent_22_2_c": "explicit consent, Article 22(2)(c)",
    "solely_automated": "no person takes part",
    "human_confirms_each": "a person confirms each case",
    "decision_support": "a person decides, the score supports",
    "similarly_significant": "similarly significant",
    "transparency_50": "transparency duties, Article 50",
    "high_risk": "high risk",
    "none_model_anonymous": "nothing: the model is claimed to be anonymous",
    "not_required_documented": "not required, and documented",
    "no_entry": "no entry fits",
    "dpf": "EU-US Data Privacy Framework",
    "scc": "standard contractual clauses",
    "bcr": "binding corporate rules",
    "LOCAL": "this machine",
    "EU_OWNED": "EU-owned",
    "EU_HQ_FOREIGN_OWNER": "EU company, owner outside the EU",
    "EU_HQ_US_NEXUS": "EU company with a US tie",
    "EU_ON_US_SUBSTRATE": "EU service on a US provider",
    "ADEQUATE_NON_EU": "outside the EEA, adequacy decision",
    "US_PARENT_EU_REGION": "EU region of a US company",
    "OTHER_THIRD_COUNTRY": "outside the EEA",
    "SELF_DECLARED": "not in the list; its owner declares it",
}
"""Codes whose bare words would not tell enough; any other code is read with spaces for underscores."""

METRICS = {
    "roc_auc": (
        "ROC AUC",
        "how often somebody with the outcome ranks above somebody without; 0.5 is chance, 1 perfect",
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


LEADING_ZEROS = re.compile(r"\b0+(?=\d)")
PERIOD = re.compile(r"P(\d+)([YMWD])")
UNITS = {"Y": "year", "M": "month", "W": "week", "D": "day"}


def code(value: str) -> str:
    """An enumeration value in words."""
    return WORDS.get(value, value.replace("_", " "))


def said(value: object) -> str:
    """Any answer or fact as text; what is open reads as ``OPEN_TEXT``, an empty list as ``none``."""
    if value in (None, NOT_ANSWERED) or (isinstance(value, str) and is_open(value)):
        return OPEN_TEXT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Group):
        return "; ".join(
            f"{code(name)}: {said(item)}" for name, item in value if item not in ("", None)
        )
    if isinstance(value, tuple | list):
        items = [said(item) for item in value]
        return ("; " if any(item.count(" ") > 2 or "," in item for item in items) else ", ").join(
            items
        ) or "none"
    if isinstance(value, dict):
        return (
            ", ".join(f"{code(str(name))}: {said(item)}" for name, item in value.items()) or "none"
        )
    return _scalar(value)


def group(name: str) -> str:
    """A group such as ``age_band=000-030 years`` as a reader says it: age band: 0-30 years."""
    column, _, value = name.partition("=")
    return f"{code(column)}: {LEADING_ZEROS.sub('', value)}" if value else code(column)


def figure(value: float | None, digits: int = 3) -> str:
    """A figure with a fixed number of digits, or a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def interval(low: float | None, high: float | None) -> str:
    """An interval in brackets, or nothing."""
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _scalar(value: object) -> str:
    if isinstance(value, datetime):
        return value.strftime("%d %B %Y, %H:%M UTC")
    if isinstance(value, date):
        return f"{value.day} {value:%B %Y}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    text = str(value)
    if period := PERIOD.fullmatch(text):
        return f"{period[1]} {UNITS[period[2]]}{'' if period[1] == '1' else 's'}"
    return (
        code(text)
        if text in WORDS or (text.islower() and "_" in text and " " not in text)
        else text
    )
