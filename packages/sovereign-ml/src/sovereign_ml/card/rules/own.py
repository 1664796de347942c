"""The rules that a team adds: they run after those of the library and never instead of one.

A project declares them in the module ``rules`` of its package::

    @rule("T01", "Policy 7", "Leave customers under 18 out.", severity="warn")
    def minors(case: Case) -> Hits:
        \"\"\"Customers under 18 are among the groups.\"\"\"
        if ...:
            yield "Customers under 18 are scored."

Ids are T01 to T99. T00 is the check that the rules are still those that the card lists.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sovereign_ml.card.rules.engine import At, Case, Check, Finding, Rule, Severity
from sovereign_ml.card.schema.facts import OwnRule, OwnRulesFacts

__all__ = ["NO_OWN_RULES", "OwnRules", "own_rules", "rule"]

ID: Final = re.compile(r"T(?!00)\d\d")
UNLISTED: Final = "T00"


@dataclass(frozen=True)
class OwnRules:
    """The rules of a team in the order of their ids.

    ``digest`` is the SHA-256 of their code.
    """

    rules: tuple[Rule, ...] = ()
    digest: str = ""

    def findings(self, case: Case) -> Iterator[Finding]:
        """Run the rules. A rule that fails blocks: nobody knows what it would have found."""
        if self.digest != case.facts.own_rules.digest:
            yield _unlisted(self.digest, case.facts.own_rules.digest)
        for own in self.rules:
            if case.at == "register" and own.at == "promote":
                continue
            try:
                # As a list, so that a rule that fails in the middle yields its failure alone.
                yield from list(own.findings(case))
            except Exception as error:  # the team's own code: whatever is wrong there blocks
                yield Finding(
                    rule=own.id,
                    severity="block",
                    article=own.article,
                    found=f"The rule itself failed: {type(error).__name__}: {error}.",
                    do=f"Correct {own.check.__name__}() in rules.py.",
                )

    def facts(self) -> OwnRulesFacts:
        """Return what the card says about them."""
        listed = [
            OwnRule(id=own.id, severity=own.severity, article=own.article, refuses=own.refuses)
            for own in self.rules
        ]
        return OwnRulesFacts(digest=self.digest, rules=tuple(listed))


NO_OWN_RULES: Final = OwnRules()
"""The rules of a team that has none."""


def rule(
    id: str, article: str, do: str, *, severity: Severity = "block", at: At = "register"
) -> Callable[[Check], Rule]:
    """Declare a rule of the team: ``article`` is its source, ``do`` what to do about a finding.

    The docstring of the check says when it refuses. The check yields a sentence for each finding.
    A rule that blocks stops `churn register` and `churn promote`; ``at="promote"`` runs it only at
    promotion. Raises ValueError for an id that is not T01 to T99, and for an empty text.
    """
    if not ID.fullmatch(id):
        raise ValueError(f"Rule '{id}': the ids of a team's own rules are T01 to T99.")

    def declare(check: Check) -> Rule:
        declared = Rule(id, severity, article, do, at, check)
        if not all(text.strip() for text in (article, do, declared.refuses)):
            raise ValueError(f"Rule {id} needs an article, an advice and a docstring.")
        return declared

    return declare


def own_rules(declared: Sequence[object], digest: str) -> OwnRules:
    """Return the rules among the objects ``declared`` of a module.

    Raises ValueError for an id that is declared twice or is not a team's.
    """
    rules = [item for item in declared if isinstance(item, Rule)]
    ids = [item.id for item in rules]
    for id in ids:
        if not ID.fullmatch(id):
            raise ValueError(f"Rule '{id}': the ids of a team's own rules are T01 to T99.")
        if ids.count(id) > 1:
            raise ValueError(f"Rule {id} is declared twice.")
    return OwnRules(tuple(sorted(rules, key=lambda item: item.id)), digest)


def _unlisted(digest: str, listed: str) -> Finding:
    def short(value: str) -> str:
        return value[:12] or "none"

    return Finding(
        rule=UNLISTED,
        severity="block",
        article="GDPR 5(2)",
        found=f"The card lists the team's own rules {short(listed)}, here are {short(digest)}.",
        do="Run `churn card` again, and every step after it.",
    )
