"""Backup and restore of the servers: three databases, the bucket, and a hash of every file."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sovereign_ml.bundle.installed_files import sha256_of
from sovereign_ml.config.connections import ObjectStorage, database
from sovereign_ml.config.profiles import Secrets
from sovereign_ml.config.settings import ENVIRONMENT
from sovereign_ml.data_subjects.bucket_sync import GovernanceCopy
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.jurisdictions import PostgresAddress
from sovereign_ml.storage import s3
from sovereign_ml.storage.artifacts import read_json, write_json

DATABASES = {
    "tracking": "tracking_database",
    "features": "feature_registry",
    "decisions": "decision_log",
}
MANIFEST = "manifest.json"


@contextmanager
def _for_its_owner_only() -> Iterator[None]:
    """Create all files with mode 0600 and folders with 0700, also in child processes.

    A backup holds personal data.
    """
    umask_before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(umask_before)


@_for_its_owner_only()
def backup(
    folder: Path, *, project: str, secrets: Secrets, storage: ObjectStorage
) -> dict[str, Any]:
    """Dump the databases and copy the bucket into ``folder``, which must not exist.

    Return the manifest. The backup leaves out the online store, which ``churn servers materialise``
    fills again, and the pseudonym key: with the key next to it the backup would name people.
    Raises Misuse where an address is wrong or a program of PostgreSQL fails. Raises Refused for an
    object whose name leads out of the folder.
    """
    databases = _databases(secrets)
    # Refused before anything is made, and listed again below.
    _object_keys(storage)
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise Misuse(f"{folder} exists already: name a new folder for the backup.") from None
    (folder / "objects").mkdir()
    for name, address in databases.items():
        _run(
            "pg_dump",
            address,
            "--format=custom",
            # A restore would fail on roles that the other server does not have.
            "--no-owner",
            "--no-privileges",
            f"--file={folder / name}.dump",
        )
    # After the databases: what they name by then is in the bucket.
    for key in _object_keys(storage):
        target = (folder / "objects" / key).parent
        target.mkdir(parents=True, exist_ok=True)
        s3.download(storage, storage.address(key), target)
    files = {
        str(path.relative_to(folder)): sha256_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    manifest = {
        "project": project,
        "made": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "files": files,
    }
    # Last, because a backup without its manifest counts as interrupted.
    write_json(folder / MANIFEST, manifest)
    return manifest


def restore(
    folder: Path, *, secrets: Secrets, storage: ObjectStorage, governance: GovernanceCopy
) -> dict[str, Any]:
    """Restore a backup into empty databases and an empty bucket, and return its manifest.

    Raises Refused if a file of the backup was changed or is missing, or if a target is not empty.
    """
    databases = _databases(secrets)
    from psycopg.conninfo import make_conninfo

    manifest: dict[str, Any] = _verified_manifest(folder)
    if absent := [name for name in databases if f"{name}.dump" not in manifest["files"]]:
        raise Refused(
            f"The manifest of the backup lists no {absent[0]}.dump: use another backup, made by "
            "`churn servers backup`."
        )
    for name, address in databases.items():
        if tables := _tables(address):
            raise Refused(
                f"The database for {name} has {tables} tables: restore into an empty database."
            )
    if keys := s3.keys(storage):
        raise Refused(
            f"The bucket {storage.bucket} has {len(keys)} objects: restore into an empty bucket."
        )
    for name, address in databases.items():
        # pg_restore connects to a database only where --dbname names one.
        target = make_conninfo(dbname=address.parameters.get("dbname", ""))
        # One transaction, or a failure would leave a database that is not empty for a second try.
        options = ("--no-owner", "--no-privileges", "--single-transaction", f"--dbname={target}")
        _run("pg_restore", address, *options, f"{folder / name}.dump")
    for path in sorted((folder / "objects").rglob("*")):
        if path.is_file():
            s3.upload(storage, path, str(path.relative_to(folder / "objects")))
    # The backup is older than the suppression list: people erased since then must stay erased.
    governance.publish()
    return manifest


def _object_keys(storage: ObjectStorage) -> list[str]:
    """Return the keys of the objects in the bucket. Raises Refused for one that is no path."""
    # A console marks an empty folder by an object without content, whose key ends with a slash.
    keys = [key for key in s3.keys(storage) if not key.endswith("/")]
    # Whoever may write to the bucket must not choose a file of this machine.
    wrong = [key for key in keys if {"", ".", ".."} & set(key.split("/"))]
    if wrong:
        raise Refused(
            f"The bucket has {len(wrong)} objects whose name is no path below a folder, first "
            f"{wrong[0]!r}: find out who wrote them, and delete or rename them."
        )
    # A file cannot have the name of a folder, and its name has at most 255 bytes.
    folders = {
        "/".join(parts[:i]) for key in keys if (parts := key.split("/")) for i in range(len(parts))
    }
    odd = [
        key
        for key in keys
        if key in folders
        or any(len(part.encode()) > 255 or "\0" in part for part in key.split("/"))
    ]
    if odd:
        raise Refused(
            f"The bucket has {len(odd)} objects that no folder of this machine can hold, first "
            f"{odd[0][:80]!r}: its name is too long, or is the folder of another object. Rename it."
        )
    return keys


def _verified_manifest(folder: Path) -> Any:
    """Return the manifest of a backup whose files are exactly those that it lists."""
    if not (folder / MANIFEST).is_file():
        raise Misuse(f"{folder} has no {MANIFEST}: it is no backup, or one that was interrupted.")
    try:
        manifest = read_json(folder / MANIFEST)
        hashes, _ = dict(manifest["files"]), str(manifest.get("made"))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Refused(
            f"{folder / MANIFEST} is no manifest of a backup: use another backup."
        ) from None
    listed = {MANIFEST, *hashes}
    # A symbolic link could put any file of this machine into the bucket, so none is accepted.
    extra = [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or (path.is_file() and str(path.relative_to(folder)) not in listed)
    ]
    if extra:
        raise Refused(
            f"{len(extra)} files are not in the manifest of the backup, first {extra[0]}: remove "
            "them, or use another backup."
        )
    damaged = [
        name
        for name, sha256 in hashes.items()
        if not (folder / name).is_file() or sha256_of(folder / name) != sha256
    ]
    if damaged:
        raise Refused(
            f"{len(damaged)} files of the backup are missing or changed, first {damaged[0]}: use "
            "another backup."
        )
    return manifest


def _tables(address: PostgresAddress) -> int:
    """Return the number of tables that users made in a database."""
    import psycopg

    try:
        with psycopg.connect(address.conninfo, connect_timeout=5) as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
            ).fetchone()
    except psycopg.Error:
        raise Misuse(
            "PostgreSQL does not answer: `churn doctor` shows which address is wrong."
        ) from None
    return int(row[0]) if row else 0


def _databases(secrets: Secrets) -> dict[str, PostgresAddress]:
    """Return the address of each database. All are read before the first one is used."""
    return {name: database(getattr(secrets, field), field) for name, field in DATABASES.items()}


def _run(program: str, address: PostgresAddress, *arguments: str) -> None:
    """Run a program of PostgreSQL. Raises Misuse with the first line of its error output."""
    # Variables of libpq in this environment would change where the program connects.
    environment = {
        name: ENVIRONMENT[name] for name in ("PATH", "HOME", "LANG") if name in ENVIRONMENT
    }
    try:
        done = subprocess.run(
            [_newest(program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            # Every user of the machine can read a command line, so it must not hold the password.
            env=environment | address.environment,
        )
    except FileNotFoundError:
        raise Misuse(
            f"{program} is missing: install postgresql-client of the server's version or newer."
        ) from None
    if done.returncode:
        raise Misuse(f"{program}: {(done.stderr.strip().splitlines() or ['no reason given'])[0]}")


def _newest(program: str) -> str:
    """Return the path of the newest version that Debian has installed, else the bare name.

    pg_dump refuses a server that is newer than itself.
    """
    paths = Path("/usr/lib/postgresql").glob(f"*/bin/{program}")
    # Compared as numbers, because 9 sorts after 16 as text.
    return str(max(paths, key=lambda path: int(path.parts[4]), default=program))
