"""The alias ``production`` in MLflow's registry, and the history of its moves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sovereign_ml.card.alias_history import ALIAS, AliasMove, RegistryError, broken_history, chained
from sovereign_ml.card.render.outputs import FILES
from sovereign_ml.card.schema.base import is_open
from sovereign_ml.card.schema.basis import PHASES
from sovereign_ml.config.connections import Tracking
from sovereign_ml.registry import mlflow

HISTORY = "production_move_"
"""Prefix of the numbered tags of the registered model. Each records one move and never changes."""
MARK = mlflow.PROMOTED
"""Tag of a version: the link of the history with which the alias last moved to it."""


class MlflowRegistry:
    """MLflow's registry as promotion uses it. Every failure there becomes a RegistryError."""

    def __init__(self, tracking: Tracking) -> None:
        self._name = tracking.project
        self._tracking = tracking

    def production(self) -> str | None:
        """Return the version that ``production`` points to, None before the first promotion."""
        with self._api() as api:
            return _text(api.get_registered_model(self._name).aliases.get(ALIAS))

    def metrics(self, version: str) -> Mapping[str, float]:
        """Return the metrics of the run that trained the version."""
        with self._api() as api:
            return dict(api.get_run(api.get_model_version(self._name, version).run_id).data.metrics)

    def card_hash(self, version: str) -> str | None:
        """Return the tag ``card_hash`` that the register step wrote."""
        with self._api() as api:
            return _text(api.get_model_version(self._name, version).tags.get("card_hash"))

    def keep_card(self, version: str, folder: Path) -> None:
        """Replace the version's unsigned card by the signed one in ``folder``."""
        with self._api() as api:
            run = api.get_model_version(self._name, version).run_id
            for name in FILES:
                api.log_artifact(run, str(folder / name), "card")

    def history(self) -> tuple[AliasMove, ...]:
        """Return all moves, oldest first."""
        with self._api() as api:
            tags = api.get_registered_model(self._name).tags
            return tuple(
                AliasMove.model_validate_json(tags[key])
                # The numbers have five digits, so the names sort in the order of the moves.
                for key in sorted(tags)
                if key.startswith(HISTORY)
            )

    def fingerprint(self, version: str) -> str | None:
        """Return a SHA-256 over tags, run and metrics of the version, None if it does not exist.

        Tags that promotion itself writes are left out.
        """
        with self._api() as api:
            entry = {str(item.version): item for item in mlflow.versions(api, self._name)}.get(
                version
            )
            if entry is None:
                return None
            tags = {k: v for k, v in entry.tags.items() if k not in (MARK, mlflow.SEAL)}
            metrics = api.get_run(entry.run_id).data.metrics
            # MLflow returns tags and metrics in no fixed order.
            content = [version, entry.run_id, entry.source, sorted(tags.items())]
            text = json.dumps([*content, sorted(metrics.items())])
            return hashlib.sha256(text.encode()).hexdigest()

    def marks(self) -> Mapping[str, str]:
        """Return the tag ``promotion_chain`` of every version that has one."""
        with self._api() as api:
            entries = mlflow.versions(api, self._name)
            return {str(item.version): item.tags[MARK] for item in entries if MARK in item.tags}

    def move(self, move: AliasMove) -> None:
        """Record the move, then move the alias. Remove the record if the alias does not move."""
        key = f"{HISTORY}{len(self.history()) + 1:05}"
        with self._api() as api:
            api.set_registered_model_tag(self._name, key, move.model_dump_json())
            try:
                api.set_registered_model_alias(self._name, ALIAS, move.version)
            # The record of a move that did not happen would break the history.
            except Exception:
                api.delete_registered_model_tag(self._name, key)
                raise
        self.mark(move)

    def mark(self, move: AliasMove) -> None:
        """Write the link of ``move`` into the tag ``promotion_chain`` of its version."""
        with self._api() as api:
            api.set_model_version_tag(self._name, move.version, MARK, move.chain)

    def take_out(self, move: AliasMove) -> None:
        """Remove ``move`` from the end of the history. Raises RegistryError if it is not there."""
        history = self.history()
        if history[-1:] != (move,):
            raise RegistryError("the history of promotions changed meanwhile")
        with self._api() as api:
            api.delete_registered_model_tag(self._name, f"{HISTORY}{len(history):05}")

    def note_retirement(self, at: datetime) -> None:
        """Record that all versions were deleted on purpose, if there is a history."""
        if history := self.history():
            move = AliasMove(
                kind="retire",
                version="",
                previous=history[-1].version,
                by="erasure",
                at=at,
                why="all versions of the model were deleted",
            )
            with self._api() as api:
                text = chained(move, history).model_dump_json()
                api.set_registered_model_tag(self._name, f"{HISTORY}{len(history) + 1:05}", text)

    def production_commit(self) -> str:
        """Return the commit of the production version, "" without one or with a broken history."""
        try:
            version = self.production()
            if version is None or broken_history(self):
                return ""
            with self._api() as api:
                tags = api.get_model_version(self._name, version).tags
            # The mark of uncommitted changes is no part of a name that git knows.
            return str(tags.get("git_commit", "")).removesuffix("-dirty")
        except RegistryError:
            return ""

    def previous_card(self) -> dict[str, Any] | None:
        """Return the production card's answers that rules compare, None before the first promotion.

        A registry that cannot be reached counts as None too: promotion asks again and refuses.
        """
        try:
            version = self.production()
            with self._api() as api:
                entry = api.get_model_version(self._name, version) if version else None
                # A later version of the same run replaces the card of the run, but not that of the
                # bundle. Without a seal the registry holds no bundle.
                sealed = entry is not None and mlflow.SEAL in entry.tags
                path = f"bundle/{version}/card.json" if sealed else "card/card.json"
                card = mlflow.artifact(self._tracking, entry.run_id, path) if entry else None
        except RegistryError:
            return None
        return None if card is None else {"version": version, **_compared(card)}

    @contextmanager
    def _api(self) -> Iterator[Any]:
        try:
            yield mlflow.client(self._tracking)
        except Exception as error:
            # Any error: those of HTTP and of the database reach this place too.
            where = self._tracking.uri
            raise RegistryError(
                f"{where}: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
            ) from None


def _compared(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answers that rule R25 compares with those of the next card, without open ones."""

    def answer(*path: str) -> str:
        value: Any = card
        for name in ("answers", *path):
            value = value.get(name) if isinstance(value, Mapping) else None
        return "" if not isinstance(value, str) or is_open(value) else value

    bases = {phase: basis for phase in PHASES if (basis := answer("lawful_basis", phase, "basis"))}
    return {
        "bases": bases,
        "purpose": answer("purpose", "statement"),
        "notice_version": answer("notice", "version"),
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)
