"""Ask the open questions of the card one after another, and write each answer into ``model_card.toml`` at once.

The file stays the truth: whoever stops goes on later where the file ends, and comments and order are kept.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import tomlkit
from pydantic.fields import FieldInfo

from sovereign_ml.card.build import build, read_answers
from sovereign_ml.card.derive import MARKETING_ACTIONS
from sovereign_ml.card.questions import Question, choices, open_questions, progress, walk
from sovereign_ml.card.rules.engine import Finding
from sovereign_ml.card.rules.governance import OUTSIDE
from sovereign_ml.card.schema.base import NOT_ANSWERED, Group, is_open
from sovereign_ml.card.schema.card import Card
from sovereign_ml.card.schema.facts import Facts
from sovereign_ml.storage.artifacts import replaced

Values = dict[str, Any]
"""Answers by their path in ``model_card.toml``."""
HELP: Final = (
    "Commands: s skips a question, b goes back to the one before, q stops. Lists: a; b; c, or none."
)
SAME_AS: Final = {
    "lawful_basis.score.basis": "lawful_basis.train.basis",
    "lawful_basis.score.reference": "lawful_basis.train.reference",
    "lawful_basis.act.basis": "lawful_basis.train.basis",
    "lawful_basis.act.reference": "lawful_basis.train.reference",
    "lawful_basis.monitor.basis": "lawful_basis.train.basis",
    "lawful_basis.monitor.reference": "lawful_basis.train.reference",
    "legitimate_interest.ref": "lawful_basis.train.reference",
    "monitoring.owner": "roles.owner_model",
    "explanation.plain_language_ref": "notice.art13_ref",
    "rights.access_channel": "erasure.channel",
    "objection.channel": "erasure.channel",
    "objection.marketing_channel": "erasure.channel",
}
"""Answers that are usually another one's; they are proposed and never taken without a person."""


REVIEW_DAYS: Final = 365
"""Proposed until the card is looked at again; the policy says how long it may be."""


class StoppedError(Exception):
    """The person stopped, or the input ended (``ended``); the answers so far are in the file."""

    def __init__(self, *, ended: bool) -> None:
        super().__init__("stopped")
        self.ended = ended


@dataclass
class Interview:
    """Ask through ``read`` and ``say``; ``judge`` returns what the rules find in a card."""

    path: Path
    facts: Facts
    card_id: str
    read: Callable[[str], str]
    say: Callable[[str], None]
    judge: Callable[[Card], list[Finding]]
    today: date
    asked: int = 0
    _skipped: set[str] = field(default_factory=set)
    _refused: set[str] = field(default_factory=set)
    """Proposals that the person wants to answer one by one."""
    _before: list[tuple[str, set[str]]] = field(default_factory=list)
    """The file and what was skipped before each answer, for going back."""
    _table: str = ""

    def run(self) -> Card:
        """Ask until nothing is open but what was skipped; returns the card with all answers.

        Raises StoppedError when the person stops, and CardError where the file cannot be read.
        """
        self.say(HELP)
        while True:
            card = self._card()
            questions = [q for q in open_questions(card) if q.path not in self._skipped]
            if not questions:
                return card
            self._ask(card, questions)

    def _card(self) -> Card:
        return build(self.facts, read_answers(self.path), card_id=self.card_id)

    def _ask(self, card: Card, questions: list[Question]) -> None:
        """Ask the first of ``questions``, with those that are answered together with it."""
        fields = {path: found for path, found, _ in walk(card.answers)}
        first = questions[0]
        offered = {
            path: value
            for path, value in proposals(card, self.today).items()
            if path not in self._refused and any(path == one.path for one in questions)
        }
        self._head(card, first)
        if first.path in offered:
            self._answer(card, list(offered), lambda said: self._taken(offered, said), offered)
            return
        block = _flags(questions, fields)
        if len(block) > 1:
            for number, one in enumerate(block, 1):
                self.say(f"  {number}  {one.text} ({one.source})")
            self.say("Which of these hold? Numbers such as 1; 3, or all, or none.")
            names = [one.path for one in block]
            self._answer(card, names, lambda said: _marked(names, said))
            return
        self.say(f"{first.text} ({first.source})")
        self.say(_allowed(fields[first.path]))
        self._answer(card, [first.path], lambda said: {first.path: parse(fields[first.path], said)})

    def _head(self, card: Card, question: Question) -> None:
        done = progress(card)
        if question.table != self._table:
            self._table = question.table
            self.say(f"\n[{question.table}]  {done.answered} of {done.required} answered")
        self.say("")

    def _taken(self, offered: Values, said: str) -> Values:
        """The proposals, if the person takes them; else each is asked."""
        if said.casefold() in ("", "y", "yes"):
            return offered
        if said.casefold() not in ("n", "no"):
            raise ValueError("Press Enter to take them, or answer n to be asked each of them.")
        self._refused |= set(offered)
        return {}

    def _answer(
        self,
        card: Card,
        paths: list[str],
        values: Callable[[str], Values],
        offered: Values | None = None,
    ) -> None:
        """Read until the answer fits its question, and write it."""
        if offered:
            self.say("These follow from the configuration, the data or another answer:")
            for path, value in offered.items():
                self.say(f"  {_name(card, path)}: {_shown(value)}")
            self.say("Take them? Enter takes them, n asks each.")
        while True:
            said = self._line(paths)
            if said is None:
                return
            before = self.path.read_text(encoding="utf-8")
            try:
                given = values(said)
                self._write(given)
                after = self._card()
            except ValueError as error:
                self._restore(before)
                self.say(f"  {error}")
                continue
            break
        self.asked += 1
        if given:
            self._before.append((before, set(self._skipped)))
            for one in self.judge(after):
                if any(path in one.found for path in given):
                    self.say(f"  {one.rule} ({one.article}): {one.found} {one.do} (b goes back)")

    def _line(self, paths: list[str]) -> str | None:
        """One line of the person; None where it was a command that is done."""
        try:
            said = self.read("> ").strip()
        except (EOFError, KeyboardInterrupt) as stop:
            raise StoppedError(ended=isinstance(stop, EOFError)) from None
        if said == "q":
            raise StoppedError(ended=False)
        if said == "s":
            self._before.append((self.path.read_text(encoding="utf-8"), set(self._skipped)))
            self._skipped |= set(paths)
            return None
        if said == "b":
            if not self._before:
                self.say("  This is the first question.")
            else:
                text, self._skipped = self._before.pop()
                self._restore(text)
            return None
        return said

    def _write(self, given: Values) -> None:
        document = tomlkit.parse(self.path.read_text(encoding="utf-8"))
        for path, value in given.items():
            _put(document, path, value)
        self._restore(tomlkit.dumps(document))

    def _restore(self, text: str) -> None:
        replaced(self.path, lambda side: side.write_text(text, encoding="utf-8"))


def proposals(card: Card, today: date) -> Values:
    """Answers that follow from the facts or from other answers of ``card``, for a person to take or not."""
    answers, facts = card.answers, card.facts
    made: Values = {"model.review_due": today + timedelta(days=REVIEW_DAYS)}
    if facts.project.dpo_contact:
        made["monitoring.breach_contact"] = facts.project.dpo_contact
    if answers.decision.downstream_action in MARKETING_ACTIONS:
        made |= {"ai_act.annex_iii_point": "none", "ai_act.areas": []}
    if facts.hosting and not any(
        host.us_nexus or host.jurisdiction_class in OUTSIDE for host in facts.hosting
    ):
        made |= {"ropa.transfers": [], "hosting.transfers": []}
    countries = [
        row.group.removeprefix("country=")
        for row in facts.data.representativeness
        if row.group.startswith("country=")
    ]
    if countries:
        made["purpose.territories"] = sorted(set(countries))
    kept = {stored.object: stored.period for stored in facts.retention.objects}
    objects = answers.retention.objects
    for index, row in enumerate(() if isinstance(objects, str) else objects):
        if kept.get(row.object):
            made[f"retention.objects[{index}].period"] = kept[row.object]
    processors, others = answers.roles.processors, answers.decision.score_transmitted_to
    if not isinstance(processors, str) and not isinstance(others, str):
        names = [one.name for one in processors] + [one.controller for one in others]
        made["ropa.recipients"] = names
    known = {path: value for path, _, value in walk(answers)}
    for path, same in SAME_AS.items():
        if not is_open(known.get(same)):
            made[path] = known[same]
    return made


def parse(question: FieldInfo, said: str) -> Any:
    """The value that ``said`` stands for. Raises ValueError with what is allowed."""
    kind, of = _kind(question.annotation)
    if not said:
        raise ValueError("Nothing was said; s skips the question.")
    if kind in PLAIN:
        return PLAIN[kind](said)
    listed = choices(question.annotation)
    if kind is tuple:
        items = [] if said.casefold() == "none" else [one.strip() for one in said.split(";")]
        if isinstance(of, type) and issubclass(of, Group):
            return [_row(of, one) for one in items]
        return [_chosen(listed, one) if listed else one for one in items]
    return _chosen(listed, said) if listed else said


def _flag(said: str) -> bool:
    if said.casefold() in ("y", "yes", "true"):
        return True
    if said.casefold() in ("n", "no", "false"):
        return False
    raise ValueError(f"'{said}' is neither yes nor no.")


def _day(said: str) -> date:
    try:
        return date.fromisoformat(said)
    except ValueError:
        raise ValueError(f"'{said}' is no date such as 2027-01-31.") from None


def _number(said: str) -> float:
    if re.fullmatch(r"-?\d+", said):
        return int(said)
    if re.fullmatch(r"-?\d*[.,]\d+", said):
        return float(said.replace(",", "."))
    raise ValueError(f"'{said}' is no number.")


PLAIN: Final[dict[object, Callable[[str], Any]]] = {bool: _flag, date: _day, float: _number}


def _kind(annotation: object) -> tuple[object, object]:
    """What a question takes: bool, date, float, tuple with the type of its items, or str."""
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


def _chosen(listed: tuple[str, ...], said: str) -> str:
    """The choice with that number or name."""
    if said.isdecimal() and 1 <= int(said) <= len(listed) and said not in listed:
        return listed[int(said) - 1]
    if said in listed:
        return said
    raise ValueError(f"'{said}' is none of: {', '.join(listed)}.")


def _columns(group: type[Group]) -> dict[str, FieldInfo]:
    """What is asked of each item of a list, in the order of its fields."""
    return {
        name: found
        for name, found in group.model_fields.items()
        if not isinstance(found.json_schema_extra, dict)
        or found.json_schema_extra.get("required_when") != "optional"
    }


def _row(group: type[Group], said: str) -> dict[str, Any]:
    """One item of a list: its values, separated by |, in the order of the fields."""
    columns, values = _columns(group), [one.strip() for one in said.split("|")]
    if len(values) != len(columns):
        raise ValueError(
            f"'{said}' has {len(values)} values, and {len(columns)} are asked: {' | '.join(columns)}."
        )
    return {
        name: parse(found, value)
        for (name, found), value in zip(columns.items(), values, strict=True)
    }


def _allowed(question: FieldInfo) -> str:
    """What may be said, in one line."""
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
        rows = [f"    {name}: {found.description or name}" for name, found in _columns(of).items()]
        form = " | ".join(_columns(of))
        return "\n".join([f"none, or for each of them: {form}", *rows, "  several: separated by ;"])
    if kind is tuple:
        return f"none, or several separated by ;{'  ' if listed else ''}{numbered}"
    return numbered or "A text."


def _flags(questions: list[Question], fields: dict[str, FieldInfo]) -> list[Question]:
    """The yes-or-no questions of the first one's table, if it is one: they are asked together."""
    flags = [one for one in questions if _kind(fields[one.path].annotation)[0] is bool]
    return [one for one in flags if one.table == flags[0].table] if questions[0] in flags else []


def _marked(names: list[str], said: str) -> Values:
    """Yes for the numbers that were said, no for the others."""
    word = said.casefold()
    if word in ("all", "none"):
        return dict.fromkeys(names, word == "all")
    numbers = [one for one in re.split(r"[;,\s]+", said) if one]
    wrong = [n for n in numbers if not n.isdecimal() or not 1 <= int(n) <= len(names)]
    if wrong or not numbers:
        raise ValueError(f"'{said}': numbers from 1 to {len(names)}, all, or none.")
    return {name: str(number) in numbers for number, name in enumerate(names, 1)}


def _name(card: Card, path: str) -> str:
    """The path as people read it: the object of a row instead of its number."""
    found = re.fullmatch(r"retention\.objects\[(\d+)\]\.(\w+)", path)
    objects = card.answers.retention.objects
    if not found or isinstance(objects, str):
        return path
    return f"retention of {objects[int(found[1])].object}, {found[2]}"


def _shown(value: Any) -> str:
    """A value as it is typed here."""
    if isinstance(value, list):
        return "; ".join(value) or "none"
    return str(value)


def _put(document: Any, path: str, value: Any) -> None:
    """Set one value; tables that the file does not have yet are added."""
    *tables, key = re.findall(r"\w+", path)
    here = document
    for name in tables:
        if name.isdigit():
            here = here[int(name)]
            continue
        if name not in here or here[name] == NOT_ANSWERED:
            here[name] = tomlkit.table()
        here = here[name]
    here[key] = _rows(value) if _is_rows(value) else value


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _rows(value: list[dict[str, Any]]) -> Any:
    """Tables in one line each, so that the key stays where it stands."""
    array = tomlkit.array()
    for one in value:
        row = tomlkit.inline_table()
        row.update(one)
        array.append(row)
    return array.multiline(True)
