"""Open questions, the progress of the answers, and TOML lines to paste for new questions."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from datetime import date
from functools import reduce
from typing import Any

from pydantic.fields import FieldInfo

from sovereign_ml.card.conditions import CONDITIONS
from sovereign_ml.card.schema.base import NOT_ANSWERED, Group, is_open
from sovereign_ml.card.schema.model_card import Card


class Question(Group):
    """One question to a person. ``path`` is table and key in ``model_card.toml``."""

    path: str
    text: str
    source: str
    required_when: str
    allowed: tuple[str, ...]

    @property
    def table(self) -> str:
        """Return the table of ``model_card.toml`` that the key stands in."""
        return self.path.rpartition(".")[0]

    @property
    def key(self) -> str:
        """Return the key within its table."""
        return self.path.rpartition(".")[2]


class Progress(Group):
    """Count of the questions that are required now, and of those with an answer."""

    answered: int
    required: int


def walk(group: Group, prefix: str = "") -> Iterator[tuple[str, FieldInfo, object]]:
    """Yield every leaf of nested groups as dotted path, field and value.

    Items of a list are named like ``retention[0].period``.
    """
    for name, field in type(group).model_fields.items():
        value, path = getattr(group, name), f"{prefix}{name}"
        if isinstance(value, Group):
            yield from walk(value, f"{path}.")
            continue
        yield path, field, value
        if isinstance(value, tuple):
            for index, item in enumerate(value):
                if isinstance(item, Group):
                    yield from walk(item, f"{path}[{index}].")


def open_questions(card: Card) -> tuple[Question, ...]:
    """Return the questions that are required now and have no answer.

    They are in the order of ``model_card.toml``.
    """
    return tuple(
        question for question, value, field in _required(card) if _unanswered(value, field)
    )


def progress(card: Card) -> Progress:
    """Return the counts of answered and required questions.

    A question that an answer makes necessary counts from then on.
    """
    rows = list(_required(card))
    return Progress(answered=sum(not _unanswered(v, f) for _, v, f in rows), required=len(rows))


def missing_facts(card: Card) -> tuple[str, ...]:
    """Return the facts that the pipeline must record and did not, as dotted paths."""
    rows = [
        path
        for path, field, value in walk(card.facts)
        # A fact of 0 or false was recorded, so it is not missing.
        if value in (None, (), {}) and _needed(card, field)
    ]
    # A written reason stands in for figures of fairness.
    unmeasured = bool(card.facts.evaluation.fairness_not_measured_because)
    return tuple(path for path in rows if not (path == "evaluation.fairness" and unmeasured))


def paste(card: Card, questions: tuple[Question, ...]) -> str:
    """Return the lines to paste into ``model_card.toml`` for questions that it does not list yet.

    A table that the file has already is named in a comment, because TOML forbids to open it twice.
    """
    tables: dict[str, list[Question]] = {}
    for question in questions:
        if question.path in card.unlisted:
            tables.setdefault(question.table, []).append(question)
    return "\n".join(
        _table(name, rows, card.unlisted[rows[0].path]) for name, rows in tables.items()
    )


def _table(name: str, rows: list[Question], exists: bool) -> str:
    header = f"# below [{name}]" if exists else f"[{name}]"
    return "\n".join([header] + [line for row in rows for line in _lines(row)])


def _lines(question: Question) -> tuple[str, ...]:
    allowed = f" One of: {', '.join(question.allowed)}." if question.allowed else ""
    return f"# {question.text} ({question.source}){allowed}", f'{question.key} = "{NOT_ANSWERED}"'


def _required(card: Card) -> Iterator[tuple[Question, object, FieldInfo]]:
    for path, field, value in walk(card.answers):
        if _needed(card, field):
            extra = extra_of(field)
            question = Question(
                path=path,
                text=_of_item(card, path) + (field.description or path),
                source=str(extra["source"]),
                required_when=str(extra["required_when"]),
                allowed=_allowed(field.annotation),
            )
            yield question, value, field


def _of_item(card: Card, path: str) -> str:
    """Return the name of the list item that a question is about.

    People do not count blocks.
    """
    match = re.fullmatch(r"(.+)\[(\d+)\]\.\w+", path)
    if not match:
        return ""
    items: Any = reduce(getattr, match[1].split("."), card.answers)
    # The first field of every group that stands in a list is its name.
    name = next(iter(dict(items[int(match[2])]).values()))
    return f"{name}: " if isinstance(name, str) and name != NOT_ANSWERED else ""


def _needed(card: Card, field: FieldInfo) -> bool:
    when = str(extra_of(field).get("required_when", "optional"))
    return CONDITIONS[when](card.answers, card.facts, card.derived)


def extra_of(field: FieldInfo) -> dict[str, object]:
    """Return what ``ask`` noted beside the type: source, condition, and whether [] answers."""
    return dict(field.json_schema_extra) if isinstance(field.json_schema_extra, dict) else {}


def _unanswered(value: object, field: FieldInfo) -> bool:
    # An empty list says "none" where the question allows it.
    if value == ():
        return not extra_of(field).get("empty_is_answer")
    return is_open(value)


def choices(annotation: object) -> tuple[str, ...]:
    """Return the words that a field, or each item of its list, may have.

    Returns none where any text may be said.
    """
    words: list[str] = []
    for member in typing.get_args(annotation) or (annotation,):
        if typing.get_origin(member) is typing.Literal:
            words += [str(value) for value in typing.get_args(member) if value != NOT_ANSWERED]
        elif typing.get_origin(member) is tuple:
            item = typing.get_args(member)[0]
            # The union with None makes the Literal a member, as the first branch expects it.
            words += choices(item | None) if typing.get_origin(item) is typing.Literal else []
    return tuple(words)


def _allowed(annotation: object) -> tuple[str, ...]:
    """Return the values that a field accepts, for the comment above its key."""
    values = list(choices(annotation))
    for member in typing.get_args(annotation) or (annotation,):
        # StrictBool is an Annotated type, and bool is its first argument.
        if member is bool or bool in typing.get_args(member):
            values += ["true", "false"]
        elif member is date:
            values.append("a date such as 2027-01-31")
    return tuple(values)
