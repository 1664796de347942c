"""The model card of one run, from facts of the artifacts, answers and recorded approvals."""

from __future__ import annotations

from pathlib import Path

from sovereign_ml.card import questions
from sovereign_ml.card.build import CardError, build, read_answers
from sovereign_ml.card.schema.facts import Facts
from sovereign_ml.card.schema.model_card import Card
from sovereign_ml.config.settings import Settings
from sovereign_ml.errors import Misuse
from sovereign_ml.pipeline.card_facts import collect
from sovereign_ml.pipeline.card_facts.own_rules import load_own_rules
from sovereign_ml.project import Project
from sovereign_ml.registry import approvals

__all__ = ["CardBuilder"]


class CardBuilder:
    """Builder and writer of the project's card."""

    def __init__(self, settings: Settings, project: Project) -> None:
        self._settings, self._project = settings, project

    def gather(self, model: Path, metrics: Path, features: Path, valid: Path) -> Facts:
        """Return the facts of one run.

        Counts of people are bucketed, so that the card may be shown to anybody.
        """
        facts = collect.gather(model, metrics, features, valid, self._settings, self._project)
        own = load_own_rules(self._project)
        policy = self._settings.rule_policy.on_card()
        return facts.model_copy(update={"own_rules": own.facts(), "policy": policy})

    def build(self, facts: Facts) -> Card:
        """Return the card from ``facts``, answers and recorded approvals.

        The answers are those in ``model_card.toml``. Raises Misuse for an answer that does not fit
        its question.
        """
        settings = self._settings
        try:
            answers = read_answers(settings.root / "model_card.toml")
            card = build(facts, answers, card_id=settings.project.name)
            return approvals.signed(card, settings.root, settings.rule_policy)
        except CardError as error:
            raise Misuse(str(error)) from None

    def progress(self, card: Card) -> tuple[int, int]:
        """Return how many questions the card requires, and how many of them are answered."""
        state = questions.progress(card)
        return state.required, state.answered

    def write(self, card: Card, folder: Path) -> None:
        """Write ``card.json``, ``card.md``, ``card.html`` and ``card.cdx.json`` into ``folder``.

        They include the current findings of the rules.
        """
        own = load_own_rules(self._project)
        approvals.write(card, folder, self._settings.rule_policy, own)
