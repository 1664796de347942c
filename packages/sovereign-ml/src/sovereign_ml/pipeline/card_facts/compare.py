"""Comparison of a card's facts with facts gathered anew.

It reveals a card that was edited, and a card whose artifacts changed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sovereign_ml.card.schema.facts import Facts
from sovereign_ml.card.schema.model_card import Card

__all__ = ["AGAIN", "SHOWN", "differences", "other_answers", "shortened"]

NOT_THE_MODEL: Final = {"run", "library"}
"""Facts about the run and the library that wrote the file.

The hash leaves out the run, and rules judge the library.
"""
MOVES_ON: Final = {"review", "retention", "previous", "imported", "monitoring", "campaign"}
"""Facts that the decision log, purges and the registry change after a card was written."""
LIVE: Final = re.compile(
    r"review\b|(evaluation\.)?monitoring\b|campaign\b|decision\.(?!bands|action_band|max_feature_age_days|outcomes)"
)
"""Facts that a running service keeps changing between two steps of one run."""
SETTINGS: Final = ("bands", "action_band", "outcomes", "max_feature_age_days")
"""Facts about decisions that are settings. A running service does not change them."""
DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
CLOSE: Final = 1e-6
SHOWN: Final = 5
LONGEST: Final = 80
"""Largest number of characters of a value that a message shows."""
AGAIN: Final = "Run `churn card` and every step after it again, and have that card approved."


def differences(stated: Facts, found: Facts, *, later: bool = False) -> list[str]:
    """Return the differences between the card's facts and the facts found, one line for each.

    ``later`` means that the card was written some time ago. Changes by the running service since
    then are no difference in that case. Authors are compared with git, see `promotion_gate`.
    """
    since = f"{stated.run.generated_at:%Y-%m-%d}" if stated.run.generated_at else ""
    left_out = NOT_THE_MODEL | (MOVES_ON if later else set())
    on_card = stated.model_dump(mode="json", exclude=left_out)
    other = found.model_dump(mode="json", exclude=left_out)
    for facts in (on_card, other):
        for name in ("authors", "authors_unknown_because"):
            facts["model"].pop(name)
        if later:
            facts["evaluation"].pop("monitoring")
            decision = facts["decision"]
            facts["decision"] = {key: decision[key] for key in SETTINGS}
    return [
        f"{path}: the card says {_shown(a)}, found is {_shown(b)}"
        for path, a, b in _differ("", on_card, other)
        if not (LIVE.match(path) and _moved_on(a, b, since))
    ]


def other_answers(card: Card, other: Card) -> list[str]:
    """Return the paths of the answers and typed statuses in which two cards differ."""
    mine, theirs = (
        {**c.model_dump(mode="json")["answers"], "": c.typed_status} for c in (card, other)
    )
    return [path for path, _, _ in _differ("", mine, theirs)]


def _differ(path: str, stated: Any, found: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(stated, Mapping) and isinstance(found, Mapping):
        for key in sorted(stated.keys() | found.keys()):
            yield from _differ(f"{path}.{key}".lstrip("."), stated.get(key), found.get(key))
    elif isinstance(stated, list) and isinstance(found, list) and len(stated) == len(found):
        for place, (a, b) in enumerate(zip(stated, found, strict=True)):
            yield from _differ(f"{path}[{place}]", a, b)
    elif not _equal(stated, found):
        yield path, stated, found


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def _moved_on(stated: Any, found: Any, since: str) -> bool:
    """Return whether a few more decisions explain the difference.

    ``since`` is the day on which the card was written, "" if it is unknown.
    """
    if _is_day(found) and (stated is None or _is_day(stated)):
        # Days only become later, and a first day is not before the card that knows none.
        return bool(found >= (since if stated is None else stated))
    if stated is None or (isinstance(stated, str) and isinstance(found, str)):
        return True
    # A claim without any evidence never passes.
    if isinstance(stated, bool) or not isinstance(stated, int | float) or found is None:
        return False
    return math.isclose(stated, found, rel_tol=0.1, abs_tol=0.05)


def _is_day(value: Any) -> bool:
    return isinstance(value, str) and DAY.match(value) is not None


def _equal(stated: Any, found: Any) -> bool:
    """Return whether two values are the same."""
    numbers = isinstance(stated, int | float) and isinstance(found, int | float)
    # In Python a bool is an int too.
    if numbers and not isinstance(stated, bool) and not isinstance(found, bool):
        # Another machine may round the last digits differently.
        return math.isclose(stated, found, rel_tol=CLOSE, abs_tol=CLOSE)
    return bool(stated == found)


def shortened(lines: list[str]) -> list[str]:
    """Return one reason with the first differences, none without any."""
    if not lines:
        return []
    more = f"; and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    listed = "; ".join(lines[:SHOWN])
    return [f"The card does not state what its artifacts say: {listed}{more}. {AGAIN}"]
