"""The receipt of an erasure, without names: what was removed, and what is lawfully kept."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from sovereign_ml.card.records.document import Document, Grid, Section, to_html
from sovereign_ml.card.render.view import CardLine
from sovereign_ml.data_subjects.stores.protocol import Trace
from sovereign_ml.privacy.tombstones import write_durably

Status = Literal["complete", "incomplete"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KeptItem(_Part):
    """Something that stays, with the ground that allows it."""

    what: str
    why: str


class ModelNote(_Part):
    """The fate of the model, and the answer of the card that decided it."""

    answer: str
    done: str


class Receipt(_Part):
    """One erasure. ``people`` are tombstones, which the holder of the key can check."""

    schema_version: Literal["1"] = "1"
    id: str
    reference: str
    status: Status
    started_at: datetime
    finished_at: datetime
    # A receipt with names would itself have to be erased.
    people: tuple[str, ...]
    removed: tuple[Trace, ...]
    remains: tuple[Trace, ...]
    source: tuple[str, ...]
    model: ModelNote
    kept: tuple[KeptItem, ...]
    content_hash: str = ""

    def sealed(self) -> Receipt:
        """Return the receipt with the SHA-256 over its content."""
        return self.model_copy(update={"content_hash": self._digest()})

    def _digest(self) -> str:
        content = self.model_dump(mode="json", exclude={"content_hash"})
        return hashlib.sha256(
            # Sorted keys give the same hash on every machine and in every release of Python.
            json.dumps(content, sort_keys=True, ensure_ascii=False).encode()
        ).hexdigest()


def write(receipt: Receipt, folder: Path) -> tuple[Path, Path]:
    """Write ``<id>.json`` and ``<id>.html`` into ``folder``, each whole or not at all."""
    paths = folder / f"{receipt.id}.json", folder / f"{receipt.id}.html"
    write_durably(paths[0], receipt.model_dump_json(indent=2) + "\n")
    write_durably(paths[1], to_html(document(receipt)))
    return paths


def document(receipt: Receipt) -> Document:
    """Return the receipt as a page for people."""
    people = "one person" if len(receipt.people) == 1 else f"{len(receipt.people)} people"
    remaining = Grid(("What", "Why"), tuple((item.what, item.why) for item in receipt.kept))
    return Document(
        draft=False,
        title=f"Receipt of erasure {receipt.id}",
        about=f"Erasure of {people} under Article 17 GDPR. Status: {receipt.status}.",
        source=f"SHA-256 of the content: {receipt.content_hash}",
        sections=(
            Section("Request", "GDPR Art. 12(3), 17(1)", lines=_request(receipt)),
            Section("Removed", "GDPR Art. 17(1)", grids=(_table(receipt.removed),)),
            Section(
                "Still there",
                "GDPR Art. 17(1), 5(2)",
                grids=(_table(receipt.remains),) if receipt.remains else (),
                points=tuple(
                    f"{trace.place}: remove the person by hand, then run the erasure again."
                    for trace in receipt.remains
                ),
            ),
            Section(
                "Source files",
                "GDPR Art. 17(1), 19",
                lines=tuple(CardLine("Source", s) for s in receipt.source),
            ),
            Section(
                "Model",
                "GDPR Art. 17; EDPB Opinion 28/2024, section 3.2",
                lines=(
                    CardLine("Answer of the card (erasure.model_action)", receipt.model.answer),
                    CardLine("Done", receipt.model.done),
                ),
            ),
            Section("Kept", "GDPR Art. 17(3)", grids=(remaining,)),
        ),
    )


def _request(receipt: Receipt) -> tuple[CardLine, ...]:
    lines = [
        CardLine("Reference", receipt.reference or "none given"),
        CardLine("Begun", f"{receipt.started_at:%Y-%m-%d %H:%M:%S} UTC"),
        CardLine("Ended", f"{receipt.finished_at:%Y-%m-%d %H:%M:%S} UTC"),
    ]
    return (*lines, *(CardLine("Tombstone", mark) for mark in receipt.people))


def _table(traces: tuple[Trace, ...]) -> Grid:
    rows = tuple((t.store, t.place, f"{t.count:,} {t.unit}", t.action) for t in traces)
    return Grid(("Store", "Place", "Found", "Done"), rows or (("", "nothing was found", "", ""),))
