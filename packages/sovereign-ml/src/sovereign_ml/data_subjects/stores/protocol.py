"""What every place that can hold a person's data must offer: find them, remove them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict

Action = Literal[
    "rows removed",
    "file removed",
    "old version removed",
    "entries blanked",
    "run deleted",
    "by hand",
]
People = Sequence[str]
"""Pseudonyms."""


class Trace(BaseModel):
    """Something that a store holds of the people asked for; ``place`` names no person."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: str
    place: str
    count: int
    unit: str
    action: Action


class Store(Protocol):
    """One place: files, data versions, a log, a tracking server, a key-value store."""

    @property
    def name(self) -> str:
        """The store in the words of a receipt."""

    def find(self, people: People) -> list[Trace]:
        """Everything that is there of ``people``; reads, changes nothing."""

    def remove(self, people: People, traces: Sequence[Trace]) -> None:
        """Remove what ``find`` found. Called again after a crash, it finishes what was left undone.

        Traces with the action ``by hand`` are not touched: the procedure then ends as incomplete and names them.
        """
