"""Erase people from every store, in an order that a crash cannot break (GDPR Art. 17).

Journal, tombstones, search, removal, search again, receipt. Each part can be done twice, so a run that was killed is
finished by the next one. The journal names the people until the receipt is written; it is readable by its owner only.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from sovereign_ml.data_subjects import receipts
from sovereign_ml.data_subjects.receipts import KeptItem, ModelNote, Receipt
from sovereign_ml.data_subjects.stores.protocol import Store, Trace
from sovereign_ml.privacy.tombstones import Tombstones, write_durably

Clock = Callable[[], datetime]


class Journal(BaseModel):
    """What an interrupted erasure needs to go on: whom, since when, what was found, what the caller noted."""

    model_config = ConfigDict(extra="forbid")

    id: str
    reference: str
    people: list[str]
    started_at: datetime
    notes: dict[str, Any] = {}
    found: list[Trace] = []
    planned: bool = False

    def save(self, path: Path) -> None:
        """Durably, readable by the owner only."""
        write_durably(path, self.model_dump_json(), mode=0o600)


class ErasureProcedure:
    """One procedure over ``stores``; ``journal`` is the file that survives a crash, ``folder`` takes the receipts."""

    def __init__(
        self,
        stores: Sequence[Store],
        tombstones: Tombstones,
        journal: Path,
        folder: Path,
        clock: Clock | None = None,
    ) -> None:
        self._stores, self._tombstones = stores, tombstones
        self._journal, self._folder = journal, folder
        self._clock = clock or (lambda: datetime.now(UTC))

    def begin(self, people: Sequence[str], reference: str, notes: dict[str, Any]) -> Journal:
        """Note the request durably; from here on it is finished, if need be by the next run."""
        now = self._clock()
        name = f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        journal = Journal(
            id=name, reference=reference, people=sorted(set(people)), started_at=now, notes=notes
        )
        journal.save(self._journal)
        return journal

    def interrupted(self) -> Journal | None:
        """The erasure that a crash left unfinished."""
        if not self._journal.is_file():
            return None
        return Journal.model_validate_json(self._journal.read_text(encoding="utf-8"))

    def remove(self, journal: Journal) -> list[Trace]:
        """Tombstones, search, removal; returns what is still there afterwards."""
        self._tombstones.add(
            journal.people, day=f"{journal.started_at:%Y-%m-%d}", receipt=journal.id
        )
        self._plan(journal)
        for store in self._stores:
            mine = [trace for trace in journal.found if trace.store == store.name]
            store.remove(journal.people, mine)
        return [trace for store in self._stores for trace in store.find(journal.people)]

    def finish(
        self,
        journal: Journal,
        remains: Sequence[Trace],
        model: ModelNote,
        source: Sequence[str],
        kept: Sequence[KeptItem],
    ) -> Receipt:
        """Write the receipt, then let go of the journal; it stays while something remains, so that a re-run ends it."""
        receipt = Receipt(
            id=journal.id,
            reference=journal.reference,
            status="incomplete" if remains else "complete",
            started_at=journal.started_at,
            finished_at=self._clock(),
            people=tuple(sorted(map(self._tombstones.mark, journal.people))),
            removed=tuple(t for t in journal.found if t not in remains),
            remains=tuple(remains),
            source=tuple(source),
            model=model,
            kept=tuple(kept),
        ).sealed()
        receipts.write(receipt, self._folder)
        if not remains:
            self._journal.unlink()
        return receipt

    def _plan(self, journal: Journal) -> None:
        """Search, and note durably what was found before anything is removed: a crash must not shorten the receipt."""
        now = [trace for store in self._stores for trace in store.find(journal.people)]
        before = {(trace.store, trace.place): trace for trace in journal.found}
        journal.found = sorted(
            ({(trace.store, trace.place): trace for trace in now} | before).values(),
            key=lambda trace: (trace.store, trace.place),
        )
        journal.planned = True
        journal.save(self._journal)
