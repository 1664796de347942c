"""The bucket with every version of every object: search them, and delete people for good."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sovereign_ml.config.connections import ObjectStorage
from sovereign_ml.data_subjects.stores.files import entries, is_whole
from sovereign_ml.data_subjects.stores.formats import (
    Format,
    UnsearchableError,
    count_people,
    format_of,
)
from sovereign_ml.data_subjects.stores.protocol import Action, People, Trace
from sovereign_ml.errors import Refused
from sovereign_ml.storage import s3

DATA = "dvc/"
"""Objects of DVC; the last two parts of a key are the hash of the content."""
MARK = "?versionId="
# Error codes of storages that cannot list versions.
NO_VERSIONS = ("NotImplemented", "MethodNotAllowed", "InvalidRequest")


@dataclass(frozen=True)
class ObjectVersion:
    """A version of an object, or a delete marker. ``id`` is empty in a storage without versions."""

    key: str
    id: str
    etag: str
    modified: datetime
    latest: bool
    marker: bool = False

    @property
    def place(self) -> str:
        """Return key and version, as S3 writes them in an address."""
        return f"{self.key}{MARK}{self.id}" if self.id else self.key

    @property
    def digest(self) -> str:
        """Return the hash that names an object of DVC."""
        return "".join(self.key.split("/")[-2:])


class Objects:
    """Versions of the objects in the bucket of ``[s3]``."""

    def __init__(self, storage: ObjectStorage) -> None:
        self._storage, self._bucket = storage, storage.bucket
        self._api = s3.client(storage)

    def versions(self, prefix: str = "") -> list[ObjectVersion]:
        """Return all versions below ``prefix``, also old versions of deleted objects."""
        from botocore.exceptions import ClientError

        with s3.one_line(self._storage):
            try:
                return [
                    version
                    for page in self._pages("list_object_versions", prefix)
                    for version in _listed(page)
                ]
            except ClientError as error:
                if s3.code(error) not in NO_VERSIONS:
                    raise
            pages = self._pages("list_objects_v2", prefix)
            return [
                _one(item, item | {"IsLatest": True})
                for page in pages
                for item in page.get("Contents", ())
            ]

    def fetch(self, key: str, version: str, path: Path) -> bool:
        """Write the content to ``path``. Return False if it is deleted."""
        from botocore.exceptions import ClientError

        with s3.one_line(self._storage):
            try:
                self._api.download_file(self._bucket, key, str(path), ExtraArgs=_id(version))
            except ClientError as error:
                if s3.code(error) in ("404", "NoSuchKey", "NoSuchVersion"):
                    return False
                raise
        return True

    def replace(self, key: str, old: str, path: Path) -> None:
        """Make ``path`` the present version of ``key``, then delete the version ``old``."""
        # The new version comes first: after a crash both exist, and the next run finds the old one.
        with s3.one_line(self._storage), path.open("rb") as file:
            reply = self._api.put_object(Bucket=self._bucket, Key=key, Body=file)
        # Without versioning the new content has replaced the old one already.
        # "null" is the version of an object from before versioning was switched on.
        if old and old != reply.get("VersionId", "null"):
            self.delete(key, old)

    def delete(self, key: str, version: str) -> None:
        """Delete one version for good. A missing version is no error."""
        with s3.one_line(self._storage):
            self._api.delete_object(Bucket=self._bucket, Key=key, **_id(version))

    def clear(self, prefix: str) -> None:
        """Delete everything below ``prefix`` with all its versions and delete markers."""
        for version in self.versions(prefix):
            self.delete(version.key, version.id)

    def clear_markers(self, keys: Iterable[str]) -> None:
        """Delete the delete markers of those of ``keys`` of which no version is left."""
        for key in sorted(set(keys)):
            versions = [version for version in self.versions(key) if version.key == key]
            for version in versions if all(version.marker for version in versions) else ():
                self.delete(key, version.id)

    def _pages(self, operation: str, prefix: str) -> Iterator[dict[str, Any]]:
        yield from self._api.get_paginator(operation).paginate(Bucket=self._bucket, Prefix=prefix)


class Bucket:
    """The bucket as a :class:`~sovereign_ml.data_subjects.stores.protocol.Store`.

    It holds data versions, Feast's Parquet files and MLflow's artifacts of ``project``. What lies
    outside these prefixes is somebody else's: it is searched and reported, not changed.
    """

    name = "object storage"

    def __init__(self, storage: ObjectStorage, project: str, formats: Sequence[Format]) -> None:
        self._objects, self._formats = Objects(storage), formats
        self._ours = prefixes(project)

    def find(self, people: People) -> list[Trace]:
        """Return one trace for each version that holds people or lists an object that does."""
        looks = _Looks(self._objects, self._formats, people)
        inspected = [
            (version, looks.at(version))
            for version in self._objects.versions()
            if not version.marker
        ]
        held = {
            version.digest
            for version, look in inspected
            if look.count and version.key.startswith(DATA)
        }
        return [
            Trace(
                store=self.name,
                place=version.place,
                count=look.count or len(look.names & held),
                unit="rows" if look.rows else "mentions",
                action=self._action(version, rows=look.rows),
            )
            for version, look in inspected
            if look.count or look.names & held
        ]

    def remove(self, people: People, traces: Sequence[Trace]) -> None:
        """Replace tables in use by cleaned ones, and delete versions with people for good."""
        mine = [trace for trace in traces if trace.action != "by hand"]
        for trace in mine:
            key, _, version = trace.place.partition(MARK)
            if trace.action == "rows removed":
                self._clean(key, version, people)
            else:
                self._objects.delete(key, version)
        self._objects.clear_markers(trace.place.partition(MARK)[0] for trace in mine)

    def _action(self, version: ObjectVersion, *, rows: bool) -> Action:
        if not version.key.startswith(self._ours):
            return "by hand"
        # The key of an object of DVC is the hash of its content, so it cannot be cleaned in place.
        if version.key.startswith(DATA) or not version.latest:
            return "old version removed"
        return "rows removed" if rows else "file removed"

    def _clean(self, key: str, version: str, people: People) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "object"
            if self._objects.fetch(key, version, path) and (kind := format_of(path, self._formats)):
                kind.remove(path, people)
                self._objects.replace(key, version, path)


def prefixes(project: str) -> tuple[str, ...]:
    """Return the prefixes of what ``project`` writes into the bucket."""
    return DATA, "mlflow/", f"feast/{project}/", f"pipeline-runs/{project}/", tasks(project)


def tasks(project: str) -> str:
    """Return the prefix of the artifacts of Kubeflow's tasks, which hold rows about people."""
    return f"pipelines/{project}/"


def drop(storage: ObjectStorage, digests: Collection[str]) -> None:
    """Delete these objects of DVC, and what manifests among them name, in all versions."""
    objects = Objects(storage)
    listed = objects.versions(DATA)
    unwanted = set(digests) | named_in(
        objects, [version for version in listed if version.digest in digests]
    )
    for version in listed:
        if version.digest in unwanted:
            objects.delete(version.key, version.id)


def named_in(objects: Objects, manifests: Iterable[ObjectVersion]) -> set[str]:
    """Return the hashes listed in DVC's ``manifests``. Raises Refused for a damaged one."""
    digests: set[str] = set()
    damaged: dict[str, str] = {}
    whole = set()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "object"
        for version in manifests:
            if (
                version.key.endswith(".dir")
                and not version.marker
                and objects.fetch(version.key, version.id, path)
            ):
                if is_whole(path, version.digest):
                    whole.add(version.digest)
                    digests |= entries(path)
                else:
                    damaged[version.digest] = version.place
    # The same list may lie undamaged in another version of the object.
    if lost := sorted(place for digest, place in damaged.items() if digest not in whole):
        raise Refused(
            f"{lost[0]} in the bucket is damaged, so it is unknown which files that data version "
            "needs. No old version was deleted. Delete this one object, then run `churn push`."
        )
    return digests


def held_in(storage: ObjectStorage, rows: Any, column: str) -> set[str]:
    """Return every value of ``column`` in all versions of the bucket's Parquet files."""
    objects, names = Objects(storage), set()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "object"
        # Most versions are copies of one another: each content is fetched once.
        contents = {version.etag: version for version in objects.versions() if not version.marker}
        for version in contents.values():
            fetched = objects.fetch(version.key, version.id, path) and format_of(path, [rows])
            if fetched and column in rows.text_columns(path):
                names |= set(rows.values(path, column))
    return names


@dataclass(frozen=True)
class _Look:
    count: int = 0
    rows: bool = False
    names: frozenset[str] = frozenset()
    """Hashes that a manifest of DVC names."""


class _Looks:
    """A search that reads each content once, because most versions are copies of one another."""

    def __init__(self, objects: Objects, formats: Sequence[Format], people: People) -> None:
        self._objects, self._formats, self._people = objects, formats, people
        self._known: dict[tuple[str, bool], _Look] = {}

    def at(self, version: ObjectVersion) -> _Look:
        """Return the contents of ``version`` that are about the people."""
        manifest = version.key.startswith(DATA) and version.key.endswith(".dir")
        if (version.etag, manifest) not in self._known:
            with TemporaryDirectory() as folder:
                path = Path(folder) / "object"
                present = self._objects.fetch(version.key, version.id, path)
                try:
                    self._known[version.etag, manifest] = (
                        self._read(path, manifest=manifest) if present else _Look()
                    )
                except UnsearchableError as error:
                    # The path here is that of a temporary copy.
                    place = f"The object {version.key}, version {version.id},"
                    raise UnsearchableError(place, error.reason) from None
        return self._known[version.etag, manifest]

    def _read(self, path: Path, *, manifest: bool) -> _Look:
        if manifest:
            return _Look(names=frozenset(entries(path)))
        kind = format_of(path, self._formats)
        return _Look(count_people(path, self._people, kind), rows=kind is not None)


def _listed(page: dict[str, Any]) -> Iterator[ObjectVersion]:
    yield from (_one(item, item, item["VersionId"]) for item in page.get("Versions", ()))
    yield from (
        _one(item, item, item["VersionId"], marker=True) for item in page.get("DeleteMarkers", ())
    )


def _one(
    item: dict[str, Any], about: dict[str, Any], version: str = "", *, marker: bool = False
) -> ObjectVersion:
    etag = str(item.get("ETag", "")).strip('"')
    return ObjectVersion(
        item["Key"], version, etag, item["LastModified"], bool(about["IsLatest"]), marker
    )


def _id(version: str) -> dict[str, str]:
    return {"VersionId": version} if version else {}
