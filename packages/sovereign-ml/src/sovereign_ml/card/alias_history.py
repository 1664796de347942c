"""The moves of the registry's alias ``production``: a chain that shows what was done by hand.

The registry is a protocol: a project implements it for its own (MLflow).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, Literal, Protocol

from sovereign_ml.card.schema.base import Group

__all__ = [
    "ALIAS",
    "AliasMove",
    "Registry",
    "RegistryError",
    "broken_history",
    "chained",
    "settle",
    "version_before",
]

ALIAS: Final = "production"


class AliasMove(Group):
    """One move of the alias. The registry keeps all of them, oldest first."""

    kind: Literal["promote", "rollback", "retire"]
    version: str
    previous: str | None
    by: str
    at: datetime
    why: str
    card_hash: str = ""
    fingerprint: str = ""
    chain: str = ""

    def link(self, before: str) -> str:
        """Return the SHA-256 over this move and the link ``before`` it."""
        # The fields have a fixed order, so the same move always gives the same bytes.
        content = self.model_dump_json(exclude={"chain"})
        return hashlib.sha256(f"{before}\n{content}".encode()).hexdigest()


class RegistryError(Exception):
    """A registry that cannot be reached or answers nonsense."""


class Registry(Protocol):
    """Methods that promotion needs of a model registry.

    Every method raises RegistryError when it cannot answer.
    """

    def production(self) -> str | None:
        """Return the version that the alias ``production`` points to."""

    def metrics(self, version: str) -> Mapping[str, float]:
        """Return the test metrics recorded with a version."""

    def card_hash(self, version: str) -> str | None:
        """Return the content hash of the card that a version was registered with."""

    def history(self) -> tuple[AliasMove, ...]:
        """Return all moves of the alias, oldest first."""

    def fingerprint(self, version: str) -> str | None:
        """Return a hash over the tags, run and metrics of a version, or None if it is gone."""

    def marks(self) -> Mapping[str, str]:
        """Return the link in the history of the last move to each version, by version."""

    def move(self, move: AliasMove) -> None:
        """Append the move to the history, point the alias to its version, and mark that one.

        In this order, because `settle` relies on it where a program was ended in between.
        """

    def mark(self, move: AliasMove) -> None:
        """Mark the version of ``move`` with its link."""

    def take_out(self, move: AliasMove) -> None:
        """Remove ``move`` from the end of the history."""


def broken_history(registry: Registry) -> list[str]:
    """Return where the registry disagrees with its own history of promotions and rollbacks.

    Each move holds a hash over itself and the one before, and each version the hash of its last
    move, so that a move that was changed or taken out shows, and an alias that was moved by hand.
    """
    history, production, before = registry.history(), registry.production(), ""
    for number, move in enumerate(history, 1):
        if move.chain != move.link(before):
            # Every later link builds on the broken one, so one line is enough.
            return [
                f"Move {number} of the registry's history was changed, "
                f"or one before it is missing. {BY_HAND}"
            ]
        before = move.chain
    lines = []
    pile = _pile(history)
    last = pile[-1] if pile else None
    if unfinished(registry):
        lines.append(
            f"A move of the alias {ALIAS} to version {last} was recorded and not made, because the "
            "program was ended. Call `churn promote` again, which takes it back first."
        )
    elif production != last:
        lines.append(
            f"The alias {ALIAS} points to version {production or 'none'}, the history says "
            f"{last or 'none'}: it was moved by hand, or the history was cut. {BY_HAND}"
        )
    chains = {move.chain for move in history}
    lines += [
        f"Version {version} was moved to by a promotion that the history does not know. {BY_HAND}"
        for version, chain in registry.marks().items()
        if chain not in chains
    ]
    # The version in production, and the one that a rollback returns to.
    for version in pile[-2:]:
        # A version may be promoted again after a change, so its last promotion counts.
        stated = [move.fingerprint for move in history if move.version == version][-1]
        fingerprint = registry.fingerprint(version)
        # Retention deletes old versions, but never the one in production.
        if fingerprint is None and version == last:
            lines.append(f"Version {version} was deleted from the registry. {BY_HAND}")
        elif fingerprint not in (None, stated):
            lines.append(
                f"Tags, run or metrics of version {version} changed after its promotion. {BY_HAND}"
            )
    return lines


def unfinished(registry: Registry) -> bool:
    """Return whether the last move was recorded and not made.

    The alias is where it was before, and the version has no mark of that move. An alias that was
    moved back by hand leaves the mark.
    """
    history = registry.history()
    if not history or registry.marks().get(history[-1].version) == history[-1].chain:
        return False
    before, after = _pile(history[:-1])[-1:], _pile(history)[-1:]
    production = registry.production()
    return before != after and ([] if production is None else [production]) == before


def settle(registry: Registry, now: datetime) -> str:
    """Take back or complete what a program left that was ended while it moved the alias.

    A move that was recorded and not made is taken out of the history: whoever wanted it moves the
    alias again, and every check is made again. A version that the alias reached gets its mark.
    Return why it is too early, "" else. Raises RegistryError.
    """
    history = registry.history()
    if unfinished(registry):
        last = history[-1]
        if now - last.at < UNDER_WAY:
            minutes = UNDER_WAY.seconds // 60
            return (
                f"{last.by} is moving {ALIAS} to version {last.version}, or was interrupted: wait "
                f"{minutes} minutes, and call this again."
            )
        registry.take_out(last)
    elif history and history[-1].version == registry.production():
        # Writing the same mark again does no harm.
        registry.mark(history[-1])
    return ""


UNDER_WAY: Final = timedelta(minutes=10)
"""A move may take this long, with every repeated call to a slow registry."""
BY_HAND: Final = "Restore the registry from its backup, or undo by hand what was done by hand."


def chained(move: AliasMove, history: tuple[AliasMove, ...]) -> AliasMove:
    """Return the move with the hash that links it to the ``history`` before it."""
    return move.model_copy(update={"chain": move.link(history[-1].chain if history else "")})


def version_before(history: tuple[AliasMove, ...]) -> str | None:
    """Return the version that a rollback returns to, or None.

    Promotions pile up, and each rollback takes the top one off.
    """
    pile = _pile(history)
    return pile[-2] if len(pile) > 1 else None


def _pile(history: tuple[AliasMove, ...]) -> list[str]:
    pile: list[str] = []
    for move in history:
        # After a retirement there is no version to roll back to.
        if move.kind == "retire":
            pile.clear()
        elif move.kind == "promote":
            # A version that is promoted twice in a row is no way back to itself.
            if pile[-1:] != [move.version]:
                pile.append(move.version)
        else:
            while pile and pile[-1] != move.version:
                pile.pop()
    return pile
