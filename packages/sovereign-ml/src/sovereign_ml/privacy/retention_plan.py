"""The plan of data past its period, carried out exactly as shown (GDPR Art. 5(1)(e))."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from sovereign_ml.errors import Misuse
from sovereign_ml.privacy.tombstones import write_durably

LAST_RUN = Path("governance/retention.json")
CARD_NAMES = {
    "raw": "raw",
    "features": "features",
    "snapshots": "train_snapshot",
    "dvc_versions": "dvc_cache",
    "runs": "experiment_log",
    "models": "model",
    "scores": "scores",
    "decisions": "decision_log",
}
"""Classes of [retention] under the names that the card has for them."""


class Due(BaseModel):
    """One thing past its period. ``before`` (UTC): what began earlier than this is due."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_class: str
    place: str
    count: int
    unit: str
    before: datetime


class Keeper(Protocol):
    """The keeper of one class of data."""

    @property
    def data_class(self) -> str:
        """Return the key of [retention]."""

    def due(self, now: datetime) -> list[Due]:
        """Return what is past its period at ``now``. It changes nothing."""

    def expire(self, due: Sequence[Due]) -> None:
        """Delete exactly ``due``. Called again after a crash, it finishes what was left undone."""


class LastRun(BaseModel):
    """The last deletion by age, and what was overdue after it. The card shows both."""

    model_config = ConfigDict(extra="forbid")

    at: datetime
    overdue: dict[str, int]


def plan(keepers: Sequence[Keeper], now: datetime) -> list[Due]:
    """Return everything due at ``now``, in the order of the table."""
    return [item for keeper in keepers for item in keeper.due(now)]


def apply(keepers: Sequence[Keeper], planned: Sequence[Due], now: datetime) -> list[Due]:
    """Delete what was ``planned``, and return what is due afterwards, which should be nothing."""
    for keeper in keepers:
        if mine := [item for item in planned if item.data_class == keeper.data_class]:
            keeper.expire(mine)
    return plan(keepers, now)


def note(path: Path, now: datetime, remaining: Sequence[Due]) -> None:
    """Write the time of the run and what is overdue, for the next card."""
    overdue: dict[str, int] = {}
    for item in remaining:
        overdue[item.data_class] = overdue.get(item.data_class, 0) + item.count
    write_durably(path, LastRun(at=now, overdue=overdue).model_dump_json(indent=2) + "\n")


def last_run(path: Path) -> LastRun | None:
    """Return the last run, None before the first. Raises Misuse for a damaged file."""
    if not path.is_file():
        return None
    try:
        return LastRun.model_validate_json(path.read_bytes())
    except ValidationError:
        raise Misuse(
            f"{path} is not as `churn retain --apply` wrote it, perhaps after a merge of two "
            "branches: take that of the last commit, or call `churn retain --apply` again."
        ) from None
