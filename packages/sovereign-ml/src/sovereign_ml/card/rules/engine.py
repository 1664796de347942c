"""Rules, the case that they look at, and their findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

from sovereign_ml.card.conditions import CONDITIONS
from sovereign_ml.card.derive import derive
from sovereign_ml.card.duties import SIGNIFICANT
from sovereign_ml.card.schema.answers import Answers
from sovereign_ml.card.schema.base import Group
from sovereign_ml.card.schema.derived import Derived
from sovereign_ml.card.schema.facts import Facts
from sovereign_ml.card.schema.model_card import Card
from sovereign_ml.decisions.rule_policy import RulePolicy

Severity = Literal["block", "warn"]
At = Literal["register", "promote"]


class Finding(Group):
    """One thing that a rule found.

    It holds severity, article, what was found, what to do, and lines to paste if any.
    """

    rule: str
    severity: Severity
    article: str
    found: str
    do: str
    paste: str = ""
    waived: bool = False

    @property
    def open_answers(self) -> bool:
        """Return whether it is about a section with open answers.

        A card that nobody has touched has dozens of these.
        """
        return self.rule == "R01"


@dataclass(frozen=True)
class RuleHit:
    """A hit that a rule yields. None takes the rule's own severity or advice."""

    found: str
    severity: Severity | None = None
    do: str | None = None
    paste: str = ""


@dataclass(frozen=True)
class Case:
    """A card under examination, with its ``derived`` status computed afresh.

    A rule never trusts the status in the file.
    """

    card: Card
    derived: Derived
    policy: RulePolicy
    today: date
    at: At

    @classmethod
    def of(cls, card: Card, policy: RulePolicy, today: date, at: At) -> Case:
        """Examine ``card`` on ``today`` for registering or for promoting."""
        return cls(card, derive(card.answers, card.facts), policy, today, at)

    @property
    def answers(self) -> Answers:
        """Return what people answered."""
        return self.card.answers

    @property
    def facts(self) -> Facts:
        """Return what the pipeline recorded."""
        return self.card.facts

    @property
    def open_severity(self) -> Severity:
        """Return the severity of an open answer.

        It may only warn while trying out, never when promoting.
        """
        return "block" if self.at == "promote" else self.policy.open_answers

    @property
    def applies22(self) -> bool:
        """Return whether Article 22 is known to apply."""
        return self.derived.decision.art22_applies is True

    @property
    def significant(self) -> bool:
        """Return whether the effect is known to be legal or similarly significant."""
        return self.derived.decision.effect in SIGNIFICANT

    def when(self, condition: str) -> bool:
        """Return whether a named condition of ``sovereign_ml.card.conditions`` holds."""
        return CONDITIONS[condition](self.answers, self.facts, self.derived)

    def open(self, message: str) -> RuleHit:
        """Return a hit for something that is still open."""
        return RuleHit(message, severity=self.open_severity)


Hits = Iterator[str | RuleHit]
"""What the check of a rule yields: one sentence, or one ``RuleHit``, for each finding."""
Check = Callable[[Case], Hits]


@dataclass(frozen=True)
class Rule:
    """One rule of the pack. ``refuses`` is the docstring of its check."""

    id: str
    severity: Severity
    article: str
    do: str
    at: At
    check: Check

    @property
    def refuses(self) -> str:
        """Return when the rule refuses, in one sentence."""
        return (self.check.__doc__ or "").strip()

    def findings(self, case: Case) -> Iterator[Finding]:
        """Run the check."""
        for outcome in self.check(case):
            hit = RuleHit(outcome) if isinstance(outcome, str) else outcome
            yield Finding(
                rule=self.id,
                severity=hit.severity or self.severity,
                article=self.article,
                found=hit.found,
                do=hit.do or self.do,
                paste=hit.paste,
            )


RULES: Final[dict[str, Rule]] = {}


def rule(
    id: str, article: str, do: str, *, severity: Severity = "block", at: At = "register"
) -> Callable[[Check], Check]:
    """Add a check to the pack under its id."""

    def register(check: Check) -> Check:
        # Two rules with one id would hide one of them.
        if id in RULES:
            raise ValueError(f"Rule {id} is defined twice.")
        RULES[id] = Rule(id, severity, article, do, at, check)
        return check

    return register
