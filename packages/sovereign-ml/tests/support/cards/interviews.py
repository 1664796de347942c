"""Stands in for somebody who answers `churn card answer`, and writes the transcripts of docs/card-interview.md."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from card_answers import article22_answers, offer_answers, put
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

Two invented companies answer the file of a new project from the beginning. A test holds this page to what the command
asks; an empty answer takes what is proposed.
"""
CASES = {
    "A retention offer that affects nobody significantly": offer_answers,
    "A decision with a significant effect": article22_answers,
}


def _stored() -> dict[str, Any]:
    """Facts of a project that keeps every object which its file asks about, as its configuration says."""
    facts = good_facts()
    names = [row["object"] for row in tomllib.loads(TEXT)["retention"]["objects"]]
    put(facts, "retention.objects", [{"object": name, "period": "P24M"} for name in names])
    return facts


FACTS = Facts.model_validate(_stored())


class Person:
    """Reads each question as it is printed, and types what ``answers`` say about it."""

    def __init__(self, path: Path, answers: dict[str, Any]) -> None:
        self.path, self.answers = path, answers
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
        card = build(FACTS, read_answers(self.path), card_id="acme-churn")
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


def interview(path: Path, read: Callable[[str], str], say: Callable[[str], None]) -> Interview:
    """Ask about the file of a new project at ``path``, which is made if it is not there."""
    if not path.exists():
        path.write_text(TEXT, encoding="utf-8")
    judge = lambda card: check(card, POLICY, TODAY)  # noqa: E731
    return Interview(path, FACTS, "acme-churn", read, say, judge, TODAY)


def section(title: str, asked: int, transcript: list[str]) -> str:
    """The part of the page about one case."""
    lines = "\n".join(transcript)
    return f"## {title}: {asked} questions\n\n```text\n{lines}\n```\n"


def page() -> str:
    """The page with the transcript of each case."""
    parts = [HEAD]
    for title, answers in CASES.items():
        with TemporaryDirectory() as folder:
            path = Path(folder) / "model_card.toml"
            person = Person(path, answers())
            asking = interview(path, person.read, person.say)
            asking.run()
        parts.append(section(title, asking.asked, person.transcript))
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"Wrote {PAGE.name}\n")
