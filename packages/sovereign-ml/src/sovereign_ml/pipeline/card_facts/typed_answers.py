"""Typed answers to the questions of the card, and the values that they stand for."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Final

from pydantic.fields import FieldInfo

from sovereign_ml.card.questions import choices
from sovereign_ml.card.schema.base import Group


def parse(question: FieldInfo, line: str) -> Any:
    """Return the value of the typed text ``line``. Raises ValueError with the allowed values."""
    kind, of = _kind(question.annotation)
    if not line:
        raise ValueError("Nothing was said; s skips the question.")
    if kind in PLAIN:
        return PLAIN[kind](line)
    listed = choices(question.annotation)
    if kind is tuple:
        # A semicolon at the end begins no further item.
        parts = line.rstrip("; ").split(";")
        items = [] if line.casefold() == "none" else [part.strip() for part in parts]
        if "" in items:
            raise ValueError(f"'{line}' has an empty item between two semicolons.")
        if isinstance(of, type) and issubclass(of, Group):
            return [_row(of, item) for item in items]
        return [_chosen(listed, item) if listed else item for item in items]
    return _chosen(listed, line) if listed else line


def _flag(line: str) -> bool:
    if line.casefold() in ("y", "yes", "true"):
        return True
    if line.casefold() in ("n", "no", "false"):
        return False
    raise ValueError(f"'{line}' is neither yes nor no.")


def _day(line: str) -> date:
    try:
        return date.fromisoformat(line)
    except ValueError:
        raise ValueError(f"'{line}' is no date such as 2027-01-31.") from None


def _number(line: str) -> float:
    if re.fullmatch(r"-?\d+", line):
        return int(line)
    # Much of Europe writes 0,1, and no thousands are asked for here.
    if re.fullmatch(r"-?\d*[.,]\d+", line):
        return float(line.replace(",", "."))
    raise ValueError(f"'{line}' is no number.")


PLAIN: Final[dict[object, Callable[[str], Any]]] = {bool: _flag, date: _day, float: _number}


def _kind(annotation: object) -> tuple[object, object]:
    """Return the type of an answer: bool, date, float, tuple with the type of its items, or str."""
    for member in typing.get_args(annotation) or (annotation,):
        inner = (
            typing.get_args(member)[0] if typing.get_origin(member) is typing.Annotated else member
        )
        if inner in (bool, date):
            return inner, None
        if inner in (int, float):
            return float, None
        if typing.get_origin(inner) is tuple:
            return tuple, typing.get_args(inner)[0]
    return str, None


def _chosen(listed: tuple[str, ...], line: str) -> str:
    """Return the choice with that number or name."""
    # A choice that is a number itself counts by its name.
    if line.isdecimal() and 1 <= int(line) <= len(listed) and line not in listed:
        return listed[int(line) - 1]
    if line in listed:
        return line
    raise ValueError(f"'{line}' is none of: {', '.join(listed)}.")


def _columns(group: type[Group]) -> dict[str, FieldInfo]:
    """Return the fields that are asked of each item of a list, in their order."""
    return {
        name: item_field
        for name, item_field in group.model_fields.items()
        if not isinstance(item_field.json_schema_extra, dict)
        or item_field.json_schema_extra.get("required_when") != "optional"
    }


def _row(group: type[Group], line: str) -> dict[str, Any]:
    """Return one item of a list from its values, separated by |, in the order of the fields."""
    columns, values = _columns(group), [part.strip() for part in line.split("|")]
    if len(values) != len(columns):
        raise ValueError(
            f"'{line}' has {len(values)} values, and {len(columns)} are asked: "
            f"{' | '.join(columns)}."
        )
    return {
        name: parse(item_field, value)
        for (name, item_field), value in zip(columns.items(), values, strict=True)
    }


def allowed(question: FieldInfo) -> str:
    """Return the allowed answers in one line."""
    kind, of = _kind(question.annotation)
    listed = choices(question.annotation)
    if kind is bool:
        return "y or n."
    if kind is date:
        return "A date such as 2027-01-31."
    if kind is float:
        return "A number."
    numbered = "  ".join(f"{i} {name}" for i, name in enumerate(listed, 1))
    if kind is tuple and isinstance(of, type) and issubclass(of, Group):
        rows = [
            f"    {name}: {item_field.description or name}"
            for name, item_field in _columns(of).items()
        ]
        form = " | ".join(_columns(of))
        return "\n".join([f"none, or for each of them: {form}", *rows, "  several: separated by ;"])
    if kind is tuple:
        return f"none, or several separated by ;{'  ' if listed else ''}{numbered}"
    return numbered or "A text."


def is_flag(question: FieldInfo) -> bool:
    """Return whether the answer is yes or no."""
    return _kind(question.annotation)[0] is bool


def marked(names: Sequence[str], line: str) -> dict[str, bool]:
    """Return True for the numbers that were typed, False for the others."""
    word = line.casefold()
    if word in ("all", "none"):
        return dict.fromkeys(names, word == "all")
    numbers = [part for part in re.split(r"[;,\s]+", line) if part]
    wrong = [n for n in numbers if not n.isdecimal() or not 1 <= int(n) <= len(names)]
    if wrong or not numbers:
        raise ValueError(f"'{line}': numbers from 1 to {len(names)}, all, or none.")
    # As numbers: 01 is the first one too, and would otherwise mark none.
    chosen = set(map(int, numbers))
    return {name: number in chosen for number, name in enumerate(names, 1)}


def shown(value: Any) -> str:
    """Return a value as it is typed here."""
    if isinstance(value, list):
        return "; ".join(value) or "none"
    return str(value)
