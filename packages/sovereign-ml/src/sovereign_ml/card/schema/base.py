"""The vocabulary of the card's fields: who fills them, why they exist, when they are required.

Facts come from the pipeline, answers come from people. An answer that nobody gave is ``NOT_ANSWERED``, and stays
visible as such: a default "no" would be a legal statement that nobody made.
"""

from __future__ import annotations

from datetime import date
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt

NOT_ANSWERED: Final = "?"
"""The one constant for an answer that nobody gave. In ``model_card.toml`` it is written ``"?"``."""

Open = Literal["?"]
Flag = StrictBool | Open
Text = str
Texts = tuple[str, ...] | Open
Number = StrictInt | StrictFloat | Open
Day = date | Open
Tri = bool | Open
"""A derived yes or no that stays open while an answer it depends on is open."""


class Group(BaseModel):
    """A group of card fields: frozen, and a key that is not a field is refused by name."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


def ask(
    question: str,
    source: str,
    *,
    when: str = "always",
    default: Any = NOT_ANSWERED,
    by: str = "person",
    empty: bool = False,
) -> Any:
    """A field that a person answers. ``question`` is the sentence they read, ``source`` the article or judgment.

    ``when`` names the condition under which the answer is required (``sovereign_ml.card.conditions``); ``optional``
    means never. ``by`` is ``both`` where the pipeline checks or proposes what the person answers; ``empty`` says that
    an empty list is an answer.
    """
    extra: dict[str, Any] = {
        "filled_by": by,
        "source": source,
        "required_when": when,
        "empty_is_answer": empty,
    }
    return Field(default=default, description=question, json_schema_extra=extra)


def part(model: type[Group]) -> Any:
    """A nested group whose fields start out not answered."""
    return Field(default_factory=model)


def fill(
    meaning: str, source: str, *, when: str = "optional", default: Any = None, by: str = "pipeline"
) -> Any:
    """A field that the pipeline fills; None means that the fact was not recorded."""
    extra: dict[str, Any] = {"filled_by": by, "source": source, "required_when": when}
    return Field(default=default, description=meaning, json_schema_extra=extra)


def is_open(value: object) -> bool:
    """Whether an answer is missing: not given, empty, or a placeholder such as TODO, TBD or a bare n/a."""
    if isinstance(value, tuple):
        return any(is_open(item) for item in value)
    if isinstance(value, str):
        return (
            value.strip().casefold().rstrip(".") in PLACEHOLDERS
            or "{{" in value
            or "CHANGE ME" in value.upper()
        )
    return value is None


PLACEHOLDERS: Final = frozenset(
    {"", NOT_ANSWERED, "todo", "tbd", "fixme", "xxx", "n/a", "na", "none yet", "changeme"}
)
