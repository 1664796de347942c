"""Build the card from the pipeline's facts and the answers in ``model_card.toml``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from sovereign_ml.card.derive import derive
from sovereign_ml.card.questions import missing_facts, open_questions
from sovereign_ml.card.schema.answers import Answers
from sovereign_ml.card.schema.base import NOT_ANSWERED
from sovereign_ml.card.schema.facts import Facts
from sovereign_ml.card.schema.model_card import Card

DERIVED_KEYS: Final = {
    "decision.profiling": "decision.profiling",
    "decision.effective_automation": "decision.effective_automation",
    "decision.art22_applies": "decision.art22_applies",
    "art22.applies": "decision.art22_applies",
    "human_review.meaningful": "human_review.meaningful",
    "dpia.required": "dpia.required",
    "ai_act.risk_class": "ai_act.risk_class",
    "ai_act.applies_from": "ai_act.applies_from",
}
"""Keys that people like to type in ``model_card.toml``, each with the computed value that it is
compared with."""


class CardError(ValueError):
    """Answers that cannot be read. The message says where and what to write instead."""


def read_answers(path: Path) -> dict[str, Any]:
    """Return the tables of ``model_card.toml``.

    Raises CardError when the file is missing or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CardError(
            f"{path} does not exist: the card needs the answers that only people know."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CardError(f"{path} is not valid TOML: {error}.") from None


def build(facts: Facts, answers: Mapping[str, Any], *, card_id: str) -> Card:
    """Return the card with checked answers, derived status and content hash.

    The card is a draft while anything is open. A derived status typed among the answers changes
    nothing. It is kept, and rule R04 refuses it when it contradicts the computed one. Raises
    CardError on an answer that does not fit its question.
    """
    untyped, typed = _split(answers)
    try:
        people = Answers.model_validate(untyped)
    except ValidationError as error:
        raise CardError(_readable(error)) from None
    card = Card(
        id=card_id, answers=people, facts=facts, derived=derive(people, facts), typed_status=typed
    )
    questions = open_questions(card)
    status = "draft" if questions or missing_facts(card) else "in_review"
    unlisted = {q.path: _has(untyped, q.table) for q in questions if not _has(untyped, q.path)}
    ready = card.model_copy(update={"status": status, "unlisted": unlisted})
    # The hash comes last, because it covers ``unlisted``.
    return ready.model_copy(update={"content_hash": ready.computed_hash()})


def _split(answers: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the answers without typed statuses, and the statuses typed where they are computed."""
    # A copy, because typed statuses are taken out below.
    untyped = {
        table: dict(keys) if isinstance(keys, Mapping) else keys for table, keys in answers.items()
    }
    typed: dict[str, Any] = {}
    for path in DERIVED_KEYS:
        table, _, key = path.partition(".")
        if isinstance(untyped.get(table), dict) and key in untyped[table]:
            value = untyped[table].pop(key)
            typed[path] = value if isinstance(value, bool) else str(value)
    return untyped, typed


def _has(answers: Mapping[str, Any], path: str) -> bool:
    """Return whether ``model_card.toml`` has a table or key, such as ``consent.withdrawal``."""
    node: Any = answers
    for name in re.findall(r"\w+", path):
        if isinstance(node, Mapping) and name in node:
            node = node[name]
        elif isinstance(node, list) and name.isdigit() and int(name) < len(node):
            node = node[int(name)]
        else:
            return False
    return True


def _readable(error: ValidationError) -> str:
    """Return one line for each wrong answer, in the words of the file."""
    # A union reports one problem for each of its members, and their lines are equal.
    lines = {_line(problem) for problem in error.errors()}
    return "model_card.toml: " + "; ".join(sorted(lines)) + "."


def _line(problem: Any) -> str:
    keys = [str(part) for part in problem["loc"] if isinstance(part, str) and part.isidentifier()]
    # Pydantic names the members of a union in the path. The file has no such keys.
    keys = [key for key in keys if key not in {"bool", "int", "float", "str", "date"}]
    path = ".".join(keys)
    if problem["type"] == "extra_forbidden":
        return f"'{path}' is no question of the card; take the line out"
    return (
        f"{path} = {problem['input']!r} does not fit; allowed is what its comment says, "
        f'or "{NOT_ANSWERED}" while open'
    )
