"""Erase people from every store, in an order that a crash cannot break (GDPR Art. 17).

The order is journal, tombstones, search, removal, second search, receipt. Each part can be
repeated, so the next run finishes a run that was killed. The journal names the people until the
receipt is written. Only its owner can read it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from sovereign_ml.data_subjects import receipts
from sovereign_ml.data_subjects.receipts import KeptItem, ModelNote, Receipt
from sovereign_ml.data_subjects.stores.protocol import Store, Trace
from sovereign_ml.privacy.tombstones import Tombstones, write_durably


class Journal(BaseModel):
    """State of an interrupted erasure: the people, the start, the traces, the caller's notes."""

    model_config = ConfigDict(extra="forbid")

    id: str
    reference: str
    people: list[str]
    started_at: datetime
    notes: dict[str, Any] = {}
    found: list[Trace] = []

    def save(self, path: Path) -> None:
        """Write the journal durably, readable by its owner only."""
        write_durably(path, self.model_dump_json(), mode=0o600)


def _nameless(trace: Trace, people: Sequence[str]) -> Trace:
    """Return the trace with a star for each of ``people`` in its place, such as a file's name."""
    place = trace.place
    for person in people:
        place = place.replace(person, "*")
    return replace(trace, place=place)


class ErasureProcedure:
    """An erasure with a ``journal`` that survives a crash, and a ``folder`` of receipts."""

    def __init__(
        self, stores: Sequence[Store], tombstones: Tombstones, journal: Path, folder: Path
    ) -> None:
        self._stores, self._tombstones = stores, tombstones
        self._journal, self._folder = journal, folder

    def begin(self, people: Sequence[str], reference: str, notes: dict[str, Any]) -> Journal:
        """Write the request down durably. From here on some run will finish it."""
        now = datetime.now(UTC)
        # Two erasures may begin in the same second.
        name = f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        journal = Journal(
            id=name, reference=reference, people=sorted(set(people)), started_at=now, notes=notes
        )
        journal.save(self._journal)
        return journal

    def interrupted(self) -> Journal | None:
        """Return the erasure that a crash left unfinished."""
        if not self._journal.is_file():
            return None
        return Journal.model_validate_json(self._journal.read_text(encoding="utf-8"))

    def remove(self, journal: Journal) -> list[Trace]:
        """Remove the people from every store and return the traces that remain."""
        # Tombstones come first: an import that starts now already leaves the people out.
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
        """Write the receipt, and delete the journal if nothing remains."""
        # By place and not by trace: a place with fewer rows than before is not one without any.
        left = {(trace.store, trace.place) for trace in remains}
        receipt = Receipt(
            id=journal.id,
            reference=journal.reference,
            status="incomplete" if remains else "complete",
            started_at=journal.started_at,
            finished_at=datetime.now(UTC),
            people=tuple(sorted(map(self._tombstones.mark, journal.people))),
            removed=tuple(
                _nameless(t, journal.people)
                for t in journal.found
                if (t.store, t.place) not in left
            ),
            remains=tuple(_nameless(t, journal.people) for t in remains),
            source=tuple(source),
            model=model,
            kept=tuple(kept),
        ).sealed()
        receipts.write(receipt, self._folder)
        # With the journal still there, the next run tries again.
        if not remains:
            self._journal.unlink()
        return receipt

    def _plan(self, journal: Journal) -> None:
        """Search all stores and write the traces down before anything is removed."""
        # A second run finds less. Its receipt must still list what the first run removed.
        now = [trace for store in self._stores for trace in store.find(journal.people)]
        before = {(trace.store, trace.place): trace for trace in journal.found}
        journal.found = sorted(
            ({(trace.store, trace.place): trace for trace in now} | before).values(),
            key=lambda trace: (trace.store, trace.place),
        )
        journal.save(self._journal)
