"""The stores that the procedures for data subjects' rights work on, and a count of people."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sovereign_ml.config.connections import (
    ClearmlServer,
    DataVersions,
    FeatureStores,
    LogLocation,
    ObjectStorage,
    SuppressionFiles,
    Tracking,
    required,
)
from sovereign_ml.config.retention_periods import RetentionSettings
from sovereign_ml.data_subjects.bucket_sync import GovernanceCopy
from sovereign_ml.errors import Misuse
from sovereign_ml.pipeline.source import SourcePin
from sovereign_ml.privacy import objections
from sovereign_ml.storage.artifacts import read_json


@dataclass(frozen=True)
class Artifacts:
    """Folders of the steps that hold rows about people, and the card that describes them."""

    raw: Path
    valid: Path
    features: Path
    scores: Path
    card: Path


@dataclass(frozen=True)
class ProjectStores:
    """Every store that can hold a person, the lists that keep people out, and the periods.

    Erasure, access, rectification, retention and key rotation start from it. What they call gets
    only the store that it works on.
    """

    artifacts: Artifacts
    versions: DataVersions
    tracking: Tracking
    feature_stores: FeatureStores
    log: LogLocation
    suppression: SuppressionFiles
    source: SourcePin
    governance: GovernanceCopy
    retention: RetentionSettings
    clearml: ClearmlServer

    @property
    def root(self) -> Path:
        """Return the project's folder."""
        return self.versions.root

    @property
    def project(self) -> str:
        """Return the name of the project."""
        return self.tracking.project

    @property
    def storage(self) -> ObjectStorage:
        """Return the bucket of ``[s3]``."""
        return self.versions.storage


@contextmanager
def alone(stores: ProjectStores) -> Iterator[None]:
    """Run the block unless another request or deletion runs in the project on this machine.

    Two erasures at once would share one journal, and the first to end would delete it. Raises
    Misuse. The lock ends with the process. An image has no journal, and needs none.
    """
    if stores.versions.from_image:
        yield
        return
    notes = stores.root / ".churn/rights"
    notes.mkdir(parents=True, exist_ok=True)
    folder = os.open(notes, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Misuse(
                "Another erasure, correction, rotation or deletion by age runs in this project: "
                "wait until it has ended, then call this again."
            ) from None
        yield
    finally:
        os.close(folder)


def need_log(stores: ProjectStores, *, in_a_clone: bool = False) -> None:
    """Refuse to go on where the decision log is not here, and is known to hold something.

    Raises Misuse if its file is missing although the card of this profile names its last entry,
    and if the address of its server is not set. ``in_a_clone`` the file of another machine may be
    missing, and the address too while the card names no entry.
    """
    log, card = stores.log, stores.artifacts.card / "card.json"
    if log.address:
        return
    if log.on_server and not in_a_clone:
        required(None, "decision_log")
    if not card.is_file() or (in_a_clone and not log.on_server):
        return
    facts = read_json(card)["facts"]
    head = facts["decision"].get("log_head")
    # A card of another profile is about another log.
    if head and facts["run"]["profile"] == stores.versions.profile:
        if log.on_server:
            required(None, "decision_log")
        raise Misuse(
            f"The decision log {log.setting} is not here, and by the card it has "
            f"{int(head.partition(':')[0]):,} entries: mount its disk or bring it back, or call "
            "this where the service runs. Without it nobody knows whom they are about."
        )


COUNTED = {
    "raw": "1_raw/transactions",
    "features": "3_features/snapshots",
    "train_snapshot": "3_features/training",
    "scores": "8_scores/scores",
}
"""The stored objects of the card and the table whose people are counted."""


def people_in_stores(stores: ProjectStores) -> dict[str, int]:
    """Return the number of distinct pseudonyms by stored object, for the breach sheet.

    GDPR Art. 33(3)(a) asks for it. A store that cannot be read here is left out.
    """
    import pyarrow.parquet as pq

    counts = {}
    for name, table in COUNTED.items():
        path = stores.root / "data" / f"{table}.parquet"
        if path.is_file():
            column = pq.read_table(path, columns=["customer_id"])["customer_id"]
            counts[name] = len(column.unique())
    try:
        with objections.decision_log(stores.log) as log:
            if log:
                counts["decision_log"] = len(log.subjects("decision"))
    except Misuse:
        # The sheet is needed most when a store is down: the range of the card stands in.
        return counts
    return counts
