"""Keepers of data on the servers of the profile eu: bucket versions, Feast's rows, Redis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from sovereign_ml.config.connections import (
    ClearmlServer,
    DataVersions,
    FeatureStores,
    HopsworksPlatform,
    ObjectStorage,
)
from sovereign_ml.data_subjects.retention_local import Keeping, OldRuns
from sovereign_ml.data_subjects.stores import (
    clearml_tasks,
    dvc_versions,
    mlflow_runs,
    redis_postgres,
    s3_versions,
)
from sovereign_ml.data_subjects.stores.parquet import ParquetRows, older
from sovereign_ml.data_subjects.stores.s3_versions import DATA, MARK, Objects, ObjectVersion
from sovereign_ml.decisions.hopsworks_look_up import AS_OF, KEY
from sovereign_ml.features import hopsworks
from sovereign_ml.features.feast import SNAPSHOTS, VIEW, source_of
from sovereign_ml.privacy.retention_plan import Due
from sovereign_ml.registry import clearml

S3, REDIS, CLEARML, HOPSWORKS = "s3: ", "Redis", "ClearML: task ", "Hopsworks"


@dataclass(frozen=True)
class BucketVersions(Keeping):
    """Objects of replaced data versions, old versions of our objects, and Feast's old files.

    ``features`` is the artifact of step 3, beside which a local registry of Feast is.
    """

    project: str
    versions: DataVersions
    feature_stores: FeatureStores
    features: Path

    def due(self, now: datetime) -> list[Due]:
        """Return one entry for each version."""
        before = self.rule.before(now)
        objects = Objects(self.versions.storage)
        tasks = s3_versions.tasks(self.project)
        # Outputs of tasks have a keeper of their own with a shorter period.
        prefixes = [prefix for prefix in s3_versions.prefixes(self.project) if prefix != tasks]
        listed = [version for prefix in prefixes for version in objects.versions(prefix)]
        old = [version for version in listed if version.modified < before]
        # Objects that are still the newest version can belong to a replaced data version. Git
        # knows.
        replaced = [version for version in old if not version.latest or version.marker]
        if len(replaced) < len(old) and not self.versions.from_image:
            needed = self._needed(objects, listed, before)
            replaced = [
                version for version in old if version in replaced or _digest(version) not in needed
            ]
        return [self._due(f"{S3}{version.place}", 1, "version", before) for version in replaced]

    def expire(self, due: Sequence[Due]) -> None:
        """Delete the versions for good."""
        _delete(self.versions.storage, due)

    def _needed(
        self, objects: Objects, listed: Sequence[ObjectVersion], before: datetime
    ) -> set[str]:
        """Return what data versions in force since then name, and the file of Feast's registry."""
        named = dvc_versions.named(self.root, before)
        address = source_of(self.features, self.feature_stores)
        feast_file = address.partition(f"{self.versions.storage.bucket}/")[2]
        manifests = [version for version in listed if _digest(version) in named]
        return {"", feast_file} | named | s3_versions.named_in(objects, manifests)


@dataclass(frozen=True)
class OldObjects(Keeping):
    """Objects below ``prefix`` in the bucket, by the time they were written.

    The newest version of an object below the prefix ``stays`` is not deleted.
    """

    storage: ObjectStorage
    prefix: str
    stays: str = ""

    def due(self, now: datetime) -> list[Due]:
        """Return one entry for each version."""
        before = self.rule.before(now)
        return [
            self._due(f"{S3}{version.place}", 1, "version", before)
            for version in Objects(self.storage).versions(self.prefix)
            if version.modified < before and not self._is_kept(version)
        ]

    def _is_kept(self, version: ObjectVersion) -> bool:
        return bool(self.stays) and version.latest and version.key.startswith(self.stays)

    def expire(self, due: Sequence[Due]) -> None:
        """Delete the versions for good."""
        _delete(self.storage, due)


def _delete(storage: ObjectStorage, due: Sequence[Due]) -> None:
    objects = Objects(storage)
    for item in (item for item in due if item.place.startswith(S3)):
        key, _, version = item.place.removeprefix(S3).partition(MARK)
        objects.delete(key, version)


def _digest(version: ObjectVersion) -> str:
    """Return the name by which a data version needs the object, empty where none does."""
    if version.key.startswith(f"{DATA}files/"):
        return version.digest
    return version.key if version.key.startswith("feast/") else ""


@dataclass(frozen=True)
class FeastRows(Keeping):
    """Rows of Feast's Parquet files in the bucket, by the day of the snapshot."""

    project: str
    storage: ObjectStorage

    def due(self, now: datetime) -> list[Due]:
        """Return one entry for each file."""
        before, due = self.rule.before(now), []
        objects = Objects(self.storage)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "object"
            for version in objects.versions(f"feast/{self.project}/"):
                if (
                    # Older versions end as a whole, by `BucketVersions`.
                    version.latest
                    and not version.marker
                    and objects.fetch(version.key, version.id, path)
                ):
                    count = ParquetRows().count_where(path, older("event_timestamp", before))
                    if count:
                        due.append(self._due(f"{S3}{version.place}", count, "rows", before))
        return due

    def expire(self, due: Sequence[Due]) -> None:
        """Replace each file by one without the rows, and delete the version that had them."""
        objects = Objects(self.storage)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "object"
            for item in (item for item in due if item.place.startswith(S3)):
                key, _, version = item.place.removeprefix(S3).partition(MARK)
                if objects.fetch(key, version, path):
                    ParquetRows().remove_where(path, older("event_timestamp", item.before))
                    objects.replace(key, version, path)


@dataclass(frozen=True)
class OnlineKeys(Keeping):
    """Customers in Redis whose features are of a day long past: nothing has written them since."""

    feature_stores: FeatureStores

    def due(self, now: datetime) -> list[Due]:
        """Return one entry for all of them."""
        before = self.rule.before(now)
        count = len(redis_postgres.stale(self.feature_stores, VIEW, before))
        return [self._due(REDIS, count, "keys", before)] if count else []

    def expire(self, due: Sequence[Due]) -> None:
        """Delete the keys."""
        stores = self.feature_stores
        for item in (item for item in due if item.place == REDIS):
            keys = redis_postgres.stale(stores, VIEW, item.before)
            redis_postgres.delete_keys(stores, keys)


@dataclass(frozen=True)
class CopiedRuns(Keeping):
    """Copies at ClearML of runs that are past their period or that MLflow no longer has."""

    server: ClearmlServer
    runs: OldRuns

    def due(self, now: datetime) -> list[Due]:
        """Return one entry for each task."""
        leaving = {item.place.removeprefix("run ") for item in self.runs.due(now)}
        stay = {*mlflow_runs.run_ids(self.runs.models.tracking)} - leaving
        tasks = clearml_tasks.without_run(self.server, stay)
        before = self.rule.before(now)
        return [self._due(f"{CLEARML}{task}", 1, "task", before) for task in tasks]

    def expire(self, due: Sequence[Due]) -> None:
        """Delete the tasks with their events."""
        places = [item.place for item in due if item.place.startswith(CLEARML)]
        if places:
            clearml.delete(self.server, [place.removeprefix(CLEARML) for place in places])


@dataclass(frozen=True)
class PublishedFeatures(Keeping):
    """Customers at Hopsworks whose newest features are of a day long past.

    ``features`` is the artifact of step 3. Hopsworks cannot list its customers, so it is asked for
    those of the snapshots. The time to live of the feature group ends the others.
    """

    server: HopsworksPlatform
    features: Path

    def due(self, now: datetime) -> list[Due]:
        """Return one entry for all of them."""
        before = self.rule.before(now)
        count = len(self._past(before))
        return [self._due(HOPSWORKS, count, "rows", before)] if count else []

    def expire(self, due: Sequence[Due]) -> None:
        """Delete the rows. Comes before the snapshots, which name the customers."""
        for item in (item for item in due if item.place == HOPSWORKS):
            hopsworks.remove(self.server, self._past(item.before))

    def _past(self, before: datetime) -> list[str]:
        import pandas as pd

        path = self.features / SNAPSHOTS
        if not path.is_file():
            return []
        rows = pd.read_parquet(path, columns=[KEY, AS_OF])
        newest = rows.groupby(KEY)[AS_OF].max()
        # Snapshots have times in UTC without a zone, which pandas compares with no others.
        names = newest[newest < pd.Timestamp(before).tz_localize(None)].index
        return sorted(hopsworks.look_up(self.server, list(names)))
