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
)
from sovereign_ml.config.retention_periods import RetentionSettings
from sovereign_ml.data_subjects.bucket_sync import GovernanceCopy
from sovereign_ml.errors import Misuse
from sovereign_ml.pipeline.source import SourcePin
from sovereign_ml.privacy import objections


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
