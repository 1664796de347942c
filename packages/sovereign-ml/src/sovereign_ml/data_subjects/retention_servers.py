"""Who keeps data past its period on the servers of the profile eu: the bucket's versions, Feast's rows, Redis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from sovereign_ml.config.settings import Settings
from sovereign_ml.data_subjects.retention_local import Keeping
from sovereign_ml.data_subjects.stores import dvc_versions, redis_postgres, s3_versions
from sovereign_ml.data_subjects.stores.parquet import ParquetRows, older
from sovereign_ml.data_subjects.stores.s3_versions import DATA, MARK, Objects, Version
from sovereign_ml.features.feast import VIEW, source_of
from sovereign_ml.privacy.retention_plan import Due

S3, REDIS = "s3: ", "Redis"


@dataclass(frozen=True)
class BucketVersions(Keeping):
    """Objects of replaced data versions, replaced and deleted versions of every object of ours, Feast's old files."""

    def due(self, now: datetime) -> list[Due]:
        """One entry a version."""
        before = self.rule.before(now)
        objects = Objects(self.settings)
        prefixes = [
            one
            for one in s3_versions.prefixes(self.settings)
            if one != s3_versions.tasks(self.settings)
        ]
        listed = [version for prefix in prefixes for version in objects.versions(prefix)]
        old = [version for version in listed if version.modified < before]
        gone = [version for version in old if not version.latest or version.marker]
        if len(gone) < len(old) and not dvc_versions.from_image(self.settings):
            needed = self._needed(objects, listed, before)
            gone = [version for version in old if version in gone or _digest(version) not in needed]
        return [self._due(f"{S3}{version.place}", 1, "version", before) for version in gone]

    def expire(self, due: Sequence[Due]) -> None:
        """Delete the versions for good."""
        _delete(self.settings, due)

    def _needed(self, objects: Objects, listed: Sequence[Version], before: datetime) -> set[str]:
        """What a version of the data in force since then names, and the file that Feast's registry names."""
        named = dvc_versions.named(self.settings.root, before)
        feast_file = source_of(
            self.settings.path("features"), self.settings.feature_stores
        ).partition(f"{self.settings.s3.bucket}/")[2]
        return (
            {"", feast_file}
            | named
            | s3_versions.named_in(objects, [one for one in listed if _digest(one) in named])
        )


@dataclass(frozen=True)
class TaskArtifacts(Keeping):
    """What tasks of pipelines handed on in the bucket, by the time it was written."""

    def due(self, now: datetime) -> list[Due]:
        """One entry a version."""
        before = self.rule.before(now)
        found = Objects(self.settings).versions(s3_versions.tasks(self.settings))
        return [
            self._due(f"{S3}{one.place}", 1, "version", before)
            for one in found
            if one.modified < before
        ]

    def expire(self, due: Sequence[Due]) -> None:
        """Delete the versions for good."""
        _delete(self.settings, due)


def _delete(settings: Settings, due: Sequence[Due]) -> None:
    objects = Objects(settings)
    for one in (one for one in due if one.place.startswith(S3)):
        key, _, version = one.place.removeprefix(S3).partition(MARK)
        objects.delete(key, version)


def _digest(version: Version) -> str:
    """What tells whether an object is still needed; empty where its own run or period does."""
    if version.key.startswith(f"{DATA}files/"):
        return version.digest
    return version.key if version.key.startswith("feast/") else ""


@dataclass(frozen=True)
class FeastRows(Keeping):
    """Rows of Feast's Parquet files in the bucket, by the day of the snapshot."""

    def due(self, now: datetime) -> list[Due]:
        """One entry a file."""
        before, found = self.rule.before(now), []
        objects = Objects(self.settings)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "object"
            for version in objects.versions(f"feast/{self.settings.project.name}/"):
                if (
                    version.latest
                    and not version.marker
                    and objects.fetch(version.key, version.id, path)
                ):
                    count = ParquetRows().count_where(path, older("event_timestamp", before))
                    found += (
                        [self._due(f"{S3}{version.place}", count, "rows", before)] if count else []
                    )
        return found

    def expire(self, due: Sequence[Due]) -> None:
        """Put each file anew without the rows, and delete the version that had them."""
        objects = Objects(self.settings)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "object"
            for one in (one for one in due if one.place.startswith(S3)):
                key, _, version = one.place.removeprefix(S3).partition(MARK)
                if objects.fetch(key, version, path):
                    ParquetRows().remove_where(path, older("event_timestamp", one.before))
                    objects.replace(key, version, path)


@dataclass(frozen=True)
class OnlineKeys(Keeping):
    """Customers in Redis whose features are of a day long past: nothing has written them since."""

    def due(self, now: datetime) -> list[Due]:
        """One entry for all of them."""
        before = self.rule.before(now)
        count = len(redis_postgres.stale(self.settings, VIEW, before))
        return [self._due(REDIS, count, "keys", before)] if count else []

    def expire(self, due: Sequence[Due]) -> None:
        """Delete the keys."""
        for one in (one for one in due if one.place == REDIS):
            redis_postgres.delete_keys(
                self.settings, redis_postgres.stale(self.settings, VIEW, one.before)
            )
