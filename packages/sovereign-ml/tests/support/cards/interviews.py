"""Stands in for somebody who answers `churn card answer`, and writes the transcripts of docs/card-interview.md."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable
from functools import reduce
from operator import getitem
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tomlkit

from card_answers import article22_answers, credit_answers, offer_answers, put
from cards import POLICY, TODAY, good_facts
from small_project import PROJECT, rendered
from sovereign_ml.card.build import build, read_answers
from sovereign_ml.card.questions import open_questions
from sovereign_ml.card.rules import check
from sovereign_ml.card.schema.facts import Facts
from sovereign_ml.pipeline.card_facts.interview import Interview

TEXT = rendered((PROJECT / "model_card.toml").read_text(encoding="utf-8"))
"""The questions as a new project has them."""
PAGE = Path(__file__).resolve().parents[3] / "docs" / "card-interview.md"
HEAD = """# What `churn card answer` asks

Three invented companies answer the file of a new project from the beginning. A test holds this page to what the command
asks; an empty answer takes what is proposed. The third decides about credit: it first corrects the answers that a new
project has for offers, and names its outcomes in `config.toml`.
"""
CASES = {
    "A retention offer that affects nobody significantly": (offer_answers, 70),
    "An offer with a significant effect": (article22_answers, 70),
    "A credit limit": (credit_answers, 105),
}
"""The answers of each case, and how many questions it may take at most."""
CORRECTED = (
    *("purpose.statement", "purpose.specific_uses", "purpose.out_of_scope_uses"),
    *("purpose.direct_marketing", "decision.downstream_action", "decision.effect"),
    *("decision.not_selected_outcome", "art22.exception"),
)
"""Answers for offers in the file of a new project, which do not hold where credit is decided."""


def facts_of(answers: Callable[[], dict[str, Any]]) -> Facts:
    """Facts of a project that keeps every object which its file asks about, as its configuration says."""
    facts = good_facts("credit" if answers is credit_answers else "offer")
    names = [row["object"] for row in tomllib.loads(TEXT)["retention"]["objects"]]
    put(facts, "retention.objects", [{"object": name, "period": "P24M"} for name in names])
    return Facts.model_validate(facts)


class Person:
    """Reads each question as it is printed, and types what ``answers`` say about it."""

    def __init__(self, path: Path, answers: dict[str, Any], facts: Facts) -> None:
        self.path, self.answers, self.facts = path, answers, facts
        self.printed: list[str] = []
        self.transcript: list[str] = []

    def say(self, line: str) -> None:
        self.printed.append(line)
        self.transcript.append(line)

    def read(self, prompt: str) -> str:
        asked, self.printed = self.printed, []
        typed = self._typed(asked)
        self.transcript.append((prompt + typed).rstrip())
        return typed

    def _typed(self, asked: list[str]) -> str:
        if any(line.startswith("Take them?") for line in asked):
            return ""
        card = build(self.facts, read_answers(self.path), card_id="acme-churn")
        paths = {f"{one.text} ({one.source})": one.path for one in open_questions(card)}
        if any(line.startswith("Which of these hold?") for line in asked):
            rows = [re.fullmatch(r"  (\d+)  (.+)", line) for line in asked]
            yes = [row[1] for row in rows if row and self._answer(paths[row[2]]) is True]
            return "; ".join(yes) or "none"
        return _written(
            self._answer(next(paths[line] for line in reversed(asked) if line in paths))
        )

    def _answer(self, path: str) -> Any:
        here: Any = self.answers
        for name in re.findall(r"\w+", path):
            here = here[int(name)] if name.isdigit() else here[name]
        return here


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "y" if value else "n"
    if isinstance(value, list):
        rows = [" | ".join(one.values()) if isinstance(one, dict) else one for one in value]
        return "; ".join(rows) or "none"
    return str(value)


def corrections(answers: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what a company writes into the file before it is asked."""
    given = answers() if answers is credit_answers else None
    return {path: reduce(getitem, path.split("."), given) for path in CORRECTED if given}


def write_file(path: Path, answers: Callable[[], dict[str, Any]]) -> None:
    """Write the file of a new project, with the corrections of this company."""
    document: Any = tomlkit.parse(TEXT)
    for place, value in corrections(answers).items():
        table, _, key = place.rpartition(".")
        reduce(getitem, table.split("."), document)[key] = value
    path.write_text(tomlkit.dumps(document), encoding="utf-8")


def interview(
    path: Path,
    read: Callable[[str], str],
    say: Callable[[str], None],
    answers: Callable[[], dict[str, Any]] = offer_answers,
) -> Interview:
    """Ask about the file of a new project at ``path``, which is made if it is not there."""
    if not path.exists():
        write_file(path, answers)
    judge = lambda card: check(card, POLICY, TODAY)  # noqa: E731
    return Interview(path, facts_of(answers), "acme-churn", read, say, judge, TODAY)


def section(title: str, asked: int, transcript: list[str]) -> str:
    """Return the part of the page about one case."""
    lines = "\n".join(transcript)
    corrected = "\n".join(
        f"{path} = {tomlkit.item(value).as_string()}"
        for path, value in corrections(CASES[title][0]).items()
    )
    first = f"Corrected in the file first:\n\n```toml\n{corrected}\n```\n\n" if corrected else ""
    return f"## {title}: {asked} questions\n\n{first}```text\n{lines}\n```\n"


def page() -> str:
    """The page with the transcript of each case."""
    parts = [HEAD]
    for title, (answers, _) in CASES.items():
        with TemporaryDirectory() as folder:
            path = Path(folder) / "model_card.toml"
            person = Person(path, answers(), facts_of(answers))
            asking = interview(path, person.read, person.say, answers)
            asking.run()
        parts.append(section(title, asking.asked, person.transcript))
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"Wrote {PAGE.name}\n")
