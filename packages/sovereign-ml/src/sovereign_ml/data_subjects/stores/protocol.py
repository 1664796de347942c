"""The interface of every store that can hold a person's data: search and removal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

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


@dataclass(frozen=True)
class Trace:
    """The trace of people in a store. ``place`` names no person."""

    store: str
    place: str
    count: int
    unit: str
    action: Action


class Store(Protocol):
    """One place: files, data versions, a log, a tracking server, a key-value store."""

    @property
    def name(self) -> str:
        """Return the name of the store for a receipt."""

    def find(self, people: People) -> list[Trace]:
        """Return all traces of ``people``. It changes nothing."""

    def remove(self, people: People, traces: Sequence[Trace]) -> None:
        """Remove what ``find`` found. Called again after a crash, it finishes the rest.

        Traces with the action ``by hand`` are not touched. The procedure then ends as
        incomplete and names them.
        """
