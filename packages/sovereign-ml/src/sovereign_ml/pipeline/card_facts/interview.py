"""Interview for the open questions of the card, with each answer written at once.

The file ``model_card.toml`` is the only state. An interview that was stopped goes on where the file
ends. Comments and order of the file are kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import tomlkit
from pydantic.fields import FieldInfo

from sovereign_ml.card.build import build, read_answers
from sovereign_ml.card.derive import MARKETING_ACTIONS
from sovereign_ml.card.questions import Question, open_questions, progress, walk
from sovereign_ml.card.rules.answered.measured import country_in
from sovereign_ml.card.rules.engine import Finding
from sovereign_ml.card.rules.governance import OUTSIDE
from sovereign_ml.card.schema.base import NOT_ANSWERED, is_open, items_of
from sovereign_ml.card.schema.facts import Facts
from sovereign_ml.card.schema.model_card import Card
from sovereign_ml.pipeline.card_facts import typed_answers
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
    "objection.general_channel": "erasure.channel",
    "objection.marketing_channel": "erasure.channel",
}
"""Answers that are usually the same as another one.

They are proposed, and never taken without a person.
"""
REVIEW_DAYS: Final = 365
"""Proposed days until the card is reviewed again. The policy has the allowed maximum."""


class StoppedError(Exception):
    """A stop by the person or, with ``ended``, by the end of the input.

    The answers so far are in the file.
    """

    def __init__(self, *, ended: bool) -> None:
        super().__init__("stopped")
        self.ended = ended


@dataclass
class Interview:
    """Interview of one person through the functions ``read`` and ``say``.

    ``judge`` returns the findings of the rules in a card.
    """

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
    """The file and the skipped questions before each answer, for going back."""
    _table: str = ""

    def run(self) -> Card:
        """Ask every open question that is not skipped, and return the card with all answers.

        Raises StoppedError when the person stops, and CardError where the file cannot be read.
        """
        self.say(HELP)
        while True:
            # Read again before each question: an answer may open or close other questions.
            card = self._card()
            questions = [q for q in open_questions(card) if q.path not in self._skipped]
            if not questions:
                return card
            self._ask(card, questions)

    def _card(self) -> Card:
        return build(self.facts, read_answers(self.path), card_id=self.card_id)

    def _ask(self, card: Card, questions: list[Question]) -> None:
        """Ask the first of ``questions``, with those that are answered together with it."""
        fields = {path: question_field for path, question_field, _ in walk(card.answers)}
        first = questions[0]
        offered = {
            path: value
            for path, value in proposals(card, self.today).items()
            if path not in self._refused and any(path == question.path for question in questions)
        }
        self._head(card, first)
        if first.path in offered:
            self._answer(card, list(offered), lambda line: self._taken(offered, line), offered)
            return
        block = _flags(questions, fields)
        if len(block) > 1:
            for number, question in enumerate(block, 1):
                self.say(f"  {number}  {question.text} ({question.source})")
            self.say("Which of these hold? Numbers such as 1; 3, or all, or none.")
            names = [question.path for question in block]
            self._answer(card, names, lambda line: typed_answers.marked(names, line))
            return
        self.say(f"{first.text} ({first.source})")
        self.say(typed_answers.allowed(fields[first.path]))
        self._answer(
            card,
            [first.path],
            lambda line: {first.path: typed_answers.parse(fields[first.path], line)},
        )

    def _head(self, card: Card, question: Question) -> None:
        done = progress(card)
        if question.table != self._table:
            self._table = question.table
            self.say(f"\n[{question.table}]  {done.answered} of {done.required} answered")
        self.say("")

    def _taken(self, offered: Values, line: str) -> Values:
        """Return the proposals if the person takes them, else nothing, so that each is asked."""
        if line.casefold() in ("", "y", "yes"):
            return offered
        if line.casefold() not in ("n", "no"):
            raise ValueError("Press Enter to take them, or answer n to be asked each of them.")
        # Otherwise the same proposals would come again at once, because their questions are still
        # open.
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
                self.say(f"  {_name(card, path)}: {typed_answers.shown(value)}")
            self.say("Take them? Enter takes them, n asks each.")
        while True:
            line = self._line(paths)
            if line is None:
                return
            before = self.path.read_text(encoding="utf-8")
            try:
                answers = values(line)
                self._write(answers)
                # Building the card checks the answer, so the file is restored if that fails.
                after = self._card()
            except ValueError as error:
                self._restore(before)
                self.say(f"  {error}")
                continue
            break
        self.asked += 1
        if answers:
            self._before.append((before, set(self._skipped)))
            # The rules speak at once, while the person still knows why and can go back.
            for finding in self.judge(after):
                if any(path in finding.found for path in answers):
                    text = f"{finding.rule} ({finding.article}): {finding.found} {finding.do}"
                    self.say(f"  {text} (b goes back)")

    def _line(self, paths: list[str]) -> str | None:
        """Return one line of the person, None for a command that has been executed."""
        try:
            line = self.read("> ").strip()
        except (EOFError, KeyboardInterrupt) as stop:
            raise StoppedError(ended=isinstance(stop, EOFError)) from None
        if line == "q":
            raise StoppedError(ended=False)
        # A skip is kept as a step, so that b also leads back to a skipped question.
        if line == "s":
            self._before.append((self.path.read_text(encoding="utf-8"), set(self._skipped)))
            self._skipped |= set(paths)
            return None
        if line == "b":
            if not self._before:
                self.say("  This is the first question.")
            else:
                text, self._skipped = self._before.pop()
                self._restore(text)
            return None
        return line

    def _write(self, answers: Values) -> None:
        document = tomlkit.parse(self.path.read_text(encoding="utf-8"))
        for path, value in answers.items():
            _put(document, path, value)
        self._restore(tomlkit.dumps(document))

    def _restore(self, text: str) -> None:
        replaced(self.path, lambda side: side.write_text(text, encoding="utf-8"))


def proposals(card: Card, today: date) -> Values:
    """Return proposed answers that follow from the facts or from other answers of ``card``.

    A person takes or rejects them.
    """
    answers, facts = card.answers, card.facts
    proposed: Values = {"model.review_due": today + timedelta(days=REVIEW_DAYS)}
    if facts.project.dpo_contact:
        proposed["monitoring.breach_contact"] = facts.project.dpo_contact
    if answers.decision.downstream_action in MARKETING_ACTIONS:
        # Annex III of the AI Act lists no use in marketing.
        proposed |= {"ai_act.annex_iii_point": "none", "ai_act.areas": []}
    # An empty list of hosts is no evidence that nothing is transferred.
    if facts.hosting and not any(
        host.us_nexus or host.jurisdiction_class in OUTSIDE for host in facts.hosting
    ):
        proposed |= {"ropa.transfers": [], "hosting.transfers": []}
    countries = [
        country_in(row.group)
        for row in facts.data.representativeness
        if row.group.startswith("country=")
    ]
    if countries:
        proposed["purpose.territories"] = sorted(set(countries))
    periods = {stored.object: stored.period for stored in facts.retention.objects}
    objects = answers.retention.objects
    for index, row in enumerate(items_of(objects)):
        if periods.get(row.object):
            proposed[f"retention.objects[{index}].period"] = periods[row.object]
    processors, others = answers.roles.processors, answers.decision.score_transmitted_to
    if not isinstance(processors, str) and not isinstance(others, str):
        controllers = [other.controller for other in others]
        # GDPR Art. 30(1)(d) asks for all recipients: processors and other controllers.
        proposed["ropa.recipients"] = [*(p.name for p in processors), *controllers]
    current = {path: value for path, _, value in walk(answers)}
    for path, same in SAME_AS.items():
        if not is_open(current.get(same)):
            proposed[path] = current[same]
    return proposed


def _flags(questions: list[Question], fields: dict[str, FieldInfo]) -> list[Question]:
    """Return the yes-or-no questions of the first question's table, to be asked together.

    There are none if the first question is of another kind.
    """
    flags = [q for q in questions if typed_answers.is_flag(fields[q.path])]
    return [q for q in flags if q.table == flags[0].table] if questions[0] in flags else []


def _name(card: Card, path: str) -> str:
    """Return the path as people read it, with the object of a row instead of its number."""
    match = re.fullmatch(r"retention\.objects\[(\d+)\]\.(\w+)", path)
    objects = card.answers.retention.objects
    if not match or isinstance(objects, str):
        return path
    return f"retention of {objects[int(match[1])].object}, {match[2]}"


def _put(document: Any, path: str, value: Any) -> None:
    """Set one value, and add tables that the file does not have yet."""
    # In a path such as retention.objects[0].period the number is a place in a list.
    *tables, key = re.findall(r"\w+", path)
    node = document
    for name in tables:
        if name.isdigit():
            node = node[int(name)]
            continue
        # A whole table may still hold the mark of an open answer.
        if name not in node or node[name] == NOT_ANSWERED:
            node[name] = tomlkit.table()
        node = node[name]
    node[key] = _rows(value) if _is_rows(value) else value


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _rows(value: list[dict[str, Any]]) -> Any:
    """Return the tables in one line each, so that the key keeps its place."""
    array = tomlkit.array()
    for item in value:
        row = tomlkit.inline_table()
        row.update(item)
        array.append(row)
    return array.multiline(True)
