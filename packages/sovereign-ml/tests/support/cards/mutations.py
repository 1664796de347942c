"""One wrong value after another for each answer of a good card, and what the rules say to it."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from card_answers import put
from cards import BASES, POLICY, TODAY, good_facts
from sovereign_ml.card.build import CardError, build
from sovereign_ml.card.questions import walk
from sovereign_ml.card.rules import Finding, check
from sovereign_ml.card.schema import Answers, Facts

JUNK = ("x", "-", "k.A.", "tbc", "see above", "\uff1f", "\u200b", "\U0001f642")
NUMBERS = (-5, 0, 1e9)
DAYS = (date(1970, 1, 1), date(2999, 1, 1))
NEVER = {"rule_id": "R33", "reason": "agreed", "owner": "", "expires": DAYS[1]}
BANK = {"controller": "Bank AG", "contract_ref": "c.pdf", "art22_left_to_recipient": True}
HOST = {"hostname": "h", "provider": "p", "country": "x", "parent": "p", "date": DAYS[1]}
ROWS: dict[str, list[dict[str, Any]]] = {
    "decision.score_transmitted_to": [BANK],
    "hosting.owner_declarations": [HOST],
    "hosting.transfers": [{"to": "KP", "tool": "adequacy"}],
    "sign_off.waivers": [NEVER],
}
"""A wrong row for each list of tables that may be empty."""
FACTS = {base: Facts.model_validate(good_facts(base)) for base in BASES}
Verdict = Literal["blocked", "warned", "not noticed"]


@dataclass(frozen=True)
class Mutation:
    """One answer with one wrong value, and the rules that noticed it."""

    base: str
    path: str
    value: Any
    verdict: Verdict
    rules: tuple[str, ...]


def answers_of(base: str) -> Iterator[tuple[str, FieldInfo, Any]]:
    """Every answer that the good card ``base`` gives, as a path that ``put`` can change."""
    for path, field, value in walk(Answers.model_validate(BASES[base]())):
        if value not in ("?", None):
            yield re.sub(r"\[(\d+)\]", r".\1", path), field, value


def values_for(path: str, field: FieldInfo, value: Any) -> Iterator[Any]:
    """Wrong values of the answer's own kind; of the texts, one stands for all (see the test of placeholders)."""
    choices = _choices(field.annotation)
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from NUMBERS
    elif isinstance(value, date):
        yield from DAYS
    elif isinstance(value, tuple):
        yield from _lists(path, value, choices)
    else:
        yield from (other for other in choices or JUNK[4:5] if other != value)


def _lists(path: str, value: tuple[Any, ...], choices: tuple[str, ...]) -> Iterator[Any]:
    yield []
    if path in ROWS:
        yield ROWS[path]
    elif value and isinstance(value[0], bool):
        yield [False]
    elif not (value and isinstance(value[0], BaseModel)):
        yield from ([other] for other in choices or JUNK[4:5])


def _choices(annotation: Any) -> tuple[str, ...]:
    if get_origin(annotation) is Literal:
        return tuple(item for item in get_args(annotation) if item != "?")
    return tuple(item for part in get_args(annotation) for item in _choices(part))


def judged(base: str, path: str = "", value: Any = None) -> list[Finding]:
    """What the rules find on the good card with one answer changed; approvals are left out."""
    answers = BASES[base]()
    if path:
        put(answers, path, value)
    card = build(FACTS[base], answers, card_id="acme-churn")
    return [f for f in check(card, POLICY, TODAY, at="promote") if f.rule != "R48"]


CASES = ("offer", "article22")
"""The cards of which every answer is tried; of the others only what these two do not ask."""


def every() -> list[Mutation]:
    """The mutations of all cards."""
    done = [mutation for base in CASES for mutation in mutations(base)]
    for base in BASES:
        done += mutations(base, without={mutation.path for mutation in done})
    return done


def mutations(base: str, without: Collection[str] = ()) -> Iterator[Mutation]:
    """Wrong values of the answers of ``base``, until one of an answer blocks."""
    quiet = {(f.rule, f.found) for f in judged(base)}
    for path, field, value in answers_of(base):
        for wrong in () if path in without else values_for(path, field, value):
            done = _one(base, path, wrong, quiet)
            yield done
            if done.verdict == "blocked":
                break


def _one(base: str, path: str, wrong: Any, quiet: set[tuple[str, str]]) -> Mutation:
    try:
        found = [f for f in judged(base, path, wrong) if (f.rule, f.found) not in quiet]
    except CardError:
        return Mutation(base, path, wrong, "blocked", ("schema",))
    severities = {finding.severity for finding in found}
    verdict: Verdict = (
        "blocked" if "block" in severities else "warned" if severities else "not noticed"
    )
    return Mutation(base, path, wrong, verdict, tuple(sorted({f.rule for f in found})))


def unread(done: list[Mutation]) -> set[str]:
    """The answers of which no wrong value was noticed."""
    noticed = {m.path for m in done if m.verdict != "not noticed"}
    return {m.path for m in done} - noticed


def table(done: list[Mutation]) -> str:
    """Return the page of docs: each answer, what the rules do about a wrong one, and which rules."""
    rows: dict[str, list[Mutation]] = {}
    for mutation in done:
        rows.setdefault(re.sub(r"\.\d+", "", mutation.path), []).append(mutation)
    return HEAD + "".join(_row(path, rows[path]) for path in sorted(rows))


HEAD = """# Which rule reads which answer

Each answer of complete example cards was replaced by wrong ones: yes and no exchanged, other choices, numbers such as
-5 and 1e9, days in 1970 and 2999, placeholders. The table says what the rules did about it. A test writes this page
again and fails for an answer that no rule reads.

| answer in `model_card.toml` | a wrong one is | by |
|---|---|---|
"""


def _row(path: str, done: list[Mutation]) -> str:
    verdicts = {mutation.verdict for mutation in done}
    told = next((v for v in ("blocked", "warned") if v in verdicts), "not noticed")
    rules = sorted({rule for m in done if m.verdict == told for rule in m.rules})
    return f"| `{path}` | {told} | {', '.join(rules)} |\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(table(every()), encoding="utf-8")
