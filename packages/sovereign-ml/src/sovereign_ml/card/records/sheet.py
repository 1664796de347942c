"""The card as a document reads it, in one language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Final

from sovereign_ml.card.records.additions import Additions
from sovereign_ml.card.records.document import Grid, Section
from sovereign_ml.card.render.speech import OPEN_TEXT, said
from sovereign_ml.card.render.view import CardLine, is_open_part
from sovereign_ml.card.schema import Card, is_open
from sovereign_ml.texts import ENGLISH, Catalogue

__all__ = ["DASH", "Sheet"]

DASH: Final = "–"


@dataclass(frozen=True)
class Sheet:
    """A card, the additions to its documents, and the language to write in.

    ``people`` holds how many people were counted in each store, where somebody counted.
    """

    card: Card
    t: Catalogue = ENGLISH
    added: Additions = field(default_factory=Additions)
    people: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return the name that the card gives itself."""
        return self.card.id

    @property
    def subjects(self) -> str | None:
        """Return the range of people in the data, such as 1,000-9,999."""
        between = self.card.facts.data.subjects
        return between and between.replace(",", self.t("format.thousands"))

    def answer(self, path: str) -> Any:
        """Return an answer by its key in ``model_card.toml``.

        It has the wording of this language where there is one.
        """
        translated = self._wording().get(path)
        original: Any = reduce(getattr, path.split("."), self.card.answers)
        # A translation never answers an open question.
        return original if translated is None or is_open(original) else translated

    def untranslated(self, *paths: str) -> tuple[str, ...]:
        """Return a point for each sentence of ``paths`` that has no wording in this language."""
        if self.t.language == self.added.answers_language:
            return ()
        wording = self._wording()
        answered = [path for path in paths if not is_open(self.answer(path))]
        return tuple(
            self.t("page.untranslated", key=path, language=self.t.language)
            for path in answered
            if path not in wording
        )

    def _wording(self) -> Mapping[str, str | tuple[str, ...]]:
        own = self.added.languages.get(self.t.language)
        return own.answers if own else {}

    def of(self, label: str, value: object, source: str = "") -> CardLine:
        """Return a line with the text of ``label``. It is open where ``value`` is open."""
        if value == DASH:
            return self.stated(label, DASH, source)
        text = said(value, self.t)
        unknown = is_open_part(value) or text == self.t("words.open")
        return CardLine(self.t(label), text, self.t.cite(source), unknown)

    def line(self, label: str, path: str, source: str = "") -> CardLine:
        """Return a line about the answer at ``path``."""
        return self.of(label, self.answer(path), source)

    def stated(self, label: str, text: str, source: str = "") -> CardLine:
        """Return a line with a text that is never open."""
        return CardLine(self.t(label), text, self.t.cite(source))

    def cell(self, value: object) -> str:
        """Return a cell of a table. An open one is marked as such."""
        if value == DASH:
            return DASH
        return OPEN_TEXT if value is None or is_open_part(value) else said(value, self.t)

    def grid(self, label: str, *heads: str, rows: Sequence[tuple[str, ...]]) -> Grid:
        """Return a table with translated heads.

        It has one row of dashes where there is nothing to list.
        """
        nothing = (self.t("words.none"), *[DASH] * (len(heads) - 1))
        return Grid(tuple(map(self.t, heads)), tuple(rows) or (nothing,), self.t(label))

    def section(self, title: str, article: str, **content: Any) -> Section:
        """Return a part of a document with a translated title and cited sources."""
        return Section(self.t(title), self.t.cite(article), **content)

    def input(self, feature: Any) -> str:
        """Return the words for an input of the model."""
        return self.t.input(feature.name, feature.label)

    @property
    def bases(self) -> set[str]:
        """Return the lawful bases of all phases."""
        return set(self.card.answers.lawful_basis.used().values())
