"""The alias ``production`` in MLflow's registry, with who moved it, when and why."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sovereign_ml.card.promotion import (
    ALIAS,
    AliasMove,
    RegistryError,
    broken_history,
    chained,
)
from sovereign_ml.card.render.outputs import FILES
from sovereign_ml.card.schema.base import is_open
from sovereign_ml.card.schema.basis import PHASES
from sovereign_ml.config.connections import Tracking
from sovereign_ml.registry import mlflow

HISTORY = "production_move_"
"""Each move of the alias is a tag of the registered model, numbered; none is ever changed."""
MARK = "promotion_chain"
"""Tag of a version: the link of the history with which the alias last moved to it."""


class MlflowRegistry:
    """What promotion asks of MLflow. Whatever goes wrong there becomes a RegistryError, which refuses."""

    def __init__(self, tracking: Tracking) -> None:
        self._name = tracking.project
        self._tracking = tracking

    def production(self) -> str | None:
        """The version that ``production`` points to; None before the first promotion."""
        with self._api() as api:
            return _text(api.get_registered_model(self._name).aliases.get(ALIAS))

    def metrics(self, version: str) -> Mapping[str, float]:
        """The metrics of the run that made the version."""
        with self._api() as api:
            return dict(api.get_run(api.get_model_version(self._name, version).run_id).data.metrics)

    def card_hash(self, version: str) -> str | None:
        """The tag ``card_hash`` that the register step wrote."""
        with self._api() as api:
            return _text(api.get_model_version(self._name, version).tags.get("card_hash"))

    def keep_card(self, version: str, folder: Path) -> None:
        """Put the signed card of ``folder`` in the place of the version's unsigned one."""
        with self._api() as api:
            run = api.get_model_version(self._name, version).run_id
            for name in FILES:
                api.log_artifact(run, str(folder / name), "card")

    def history(self) -> tuple[AliasMove, ...]:
        """All moves, oldest first."""
        with self._api() as api:
            tags = api.get_registered_model(self._name).tags
            return tuple(
                AliasMove.model_validate_json(tags[key])
                for key in sorted(tags)
                if key.startswith(HISTORY)
            )

    def fingerprint(self, version: str) -> str | None:
        """A hash over tags, run and metrics of the version, without what its promotion itself writes."""
        with self._api() as api:
            found = {str(one.version): one for one in self._versions(api)}.get(version)
            if found is None:
                return None
            tags = {k: v for k, v in found.tags.items() if k not in (MARK, mlflow.SEAL)}
            metrics = api.get_run(found.run_id).data.metrics
            content = [version, found.run_id, found.source, sorted(tags.items())]
            told = json.dumps([*content, sorted(metrics.items())])
            return hashlib.sha256(told.encode()).hexdigest()

    def marks(self) -> Mapping[str, str]:
        """The tag ``promotion_chain`` of every version that has one."""
        with self._api() as api:
            versions = self._versions(api)
            return {str(one.version): one.tags[MARK] for one in versions if MARK in one.tags}

    def _versions(self, api: Any) -> list[Any]:
        return list(api.search_model_versions(f"name = '{self._name}'", max_results=10_000))

    def move(self, move: AliasMove) -> None:
        """Write the move down, then move the alias; a move that fails leaves no trace."""
        key = f"{HISTORY}{len(self.history()) + 1:05}"
        with self._api() as api:
            api.set_registered_model_tag(self._name, key, move.model_dump_json())
            try:
                api.set_registered_model_alias(self._name, ALIAS, move.version)
            except Exception:
                api.delete_registered_model_tag(self._name, key)
                raise
            api.set_model_version_tag(self._name, move.version, MARK, move.chain)

    def note_retirement(self, at: datetime) -> None:
        """Add to the history that all versions were deleted on purpose; nothing without a history."""
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
                told = chained(move, history).model_dump_json()
                api.set_registered_model_tag(self._name, f"{HISTORY}{len(history) + 1:05}", told)

    def production_commit(self) -> str:
        """Return the commit of the production version, "" before there is one or where the history is broken."""
        try:
            version = self.production()
            if version is None or broken_history(self):
                return ""
            with self._api() as api:
                tags = api.get_model_version(self._name, version).tags
            return str(tags.get("git_commit", "")).removesuffix("-dirty")
        except RegistryError:
            return ""

    def previous_card(self) -> dict[str, Any] | None:
        """What the card of the production version said, for the rules that compare; None before there is one.

        A registry that cannot be reached says nothing here: promotion asks again and refuses then.
        """
        try:
            version = self.production()
            with self._api() as api:
                run = api.get_model_version(self._name, version).run_id if version else None
                card = mlflow.artifact(self._tracking, run, "card/card.json") if run else None
        except RegistryError:
            return None
        return None if card is None else {"version": version, **_compared(card)}

    @contextmanager
    def _api(self) -> Iterator[Any]:
        try:
            yield mlflow.client(self._tracking)
        except Exception as error:
            where = self._tracking.uri
            raise RegistryError(
                f"{where}: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
            ) from None


def _compared(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answers that rule R25 compares with the next card's, without those still open."""

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
