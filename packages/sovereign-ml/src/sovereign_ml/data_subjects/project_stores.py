"""What the procedures for the rights of data subjects reach in one project."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sovereign_ml.config.connections import (
    DataVersions,
    FeatureStores,
    LogLocation,
    ObjectStorage,
    SuppressionFiles,
    Tracking,
)
from sovereign_ml.config.retention import RetentionSettings
from sovereign_ml.data_subjects.bucket_sync import GovernanceCopy
from sovereign_ml.pipeline.source import SourcePin


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
