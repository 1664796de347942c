"""Backup and restore of the servers: three databases and the bucket, with a hash of every file."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
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


def backup(
    folder: Path, *, project: str, secrets: Secrets, storage: ObjectStorage
) -> dict[str, Any]:
    """Dump the databases and copy the bucket into ``folder``, which must not exist.

    Return the manifest. The online store is not in it: ``churn servers materialise`` makes it anew. The
    pseudonym key is not in it either: keep it apart, because with the key the backup names people.
    """
    databases = _databases(secrets)
    with _for_its_owner_only():
        return _back_up(folder, project, databases, storage)


def _back_up(
    folder: Path, project: str, databases: Mapping[str, PostgresAddress], storage: ObjectStorage
) -> dict[str, Any]:
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise Misuse(f"{folder} exists already: name a new folder for this backup.") from None
    (folder / "objects").mkdir()
    for name, address in databases.items():
        _run(
            "pg_dump",
            address,
            "--format=custom",
            "--no-owner",
            "--no-privileges",
            f"--file={folder / name}.dump",
        )
    for key in s3.keys(storage):
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
    write_json(folder / MANIFEST, manifest)
    return manifest


def restore(
    folder: Path, *, secrets: Secrets, storage: ObjectStorage, governance: GovernanceCopy
) -> dict[str, Any]:
    """Put a backup into empty databases and an empty bucket; return its manifest.

    Raises Refused if a file of the backup was changed or is missing, or if a target is not empty.
    """
    databases = _databases(secrets)
    from psycopg.conninfo import make_conninfo

    manifest: dict[str, Any] = _whole(folder)
    for name, address in databases.items():
        if tables := _tables(address):
            raise Refused(
                f"The database for {name} has {tables} tables: a backup goes into an empty one."
            )
    if keys := s3.keys(storage):
        raise Refused(
            f"The bucket {storage.bucket} has {len(keys)} objects: a backup goes into an empty one."
        )
    for name, address in databases.items():
        target = make_conninfo(dbname=address.parameters.get("dbname", ""))
        options = ("--no-owner", "--no-privileges", "--single-transaction", f"--dbname={target}")
        _run("pg_restore", address, *options, f"{folder / name}.dump")
    for path in sorted((folder / "objects").rglob("*")):
        if path.is_file():
            s3.upload(storage, path, str(path.relative_to(folder / "objects")))
    governance.publish()  # the backup does not know who was erased since
    return manifest


def _whole(folder: Path) -> Any:
    if not (folder / MANIFEST).is_file():
        raise Misuse(f"{folder} is no backup: it has no {MANIFEST}, so it was never finished.")
    manifest = read_json(folder / MANIFEST)
    listed = {MANIFEST, *manifest["files"]}
    there = [path for path in sorted(folder.rglob("*")) if path.is_symlink() or path.is_file()]
    others = [str(path.relative_to(folder)) for path in there]
    if more := [name for name in others if name not in listed or (folder / name).is_symlink()]:
        raise Refused(
            f"{len(more)} files are not in the manifest of the backup, first {more[0]}: take them "
            "out, or take another backup."
        )
    bad = [name for name, sha in manifest["files"].items() if not _same(folder / name, sha)]
    if bad:
        raise Refused(
            f"{len(bad)} files of the backup are missing or changed, first {bad[0]}: take another backup."
        )
    return manifest


def _same(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_of(path) == sha256


def _tables(address: PostgresAddress) -> int:
    import psycopg

    try:
        with psycopg.connect(address.conninfo, connect_timeout=5) as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
            ).fetchone()
    except psycopg.Error:
        raise Misuse(
            "PostgreSQL does not answer: `churn doctor` says which address is wrong."
        ) from None
    return int(row[0]) if row else 0


def _databases(secrets: Secrets) -> dict[str, PostgresAddress]:
    """Read every address before anything is made."""
    return {name: database(getattr(secrets, field), field) for name, field in DATABASES.items()}


@contextmanager
def _for_its_owner_only() -> Iterator[None]:
    """What is made inside, also by child processes, is 0600 and 0700: a backup holds personal data."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _run(program: str, address: PostgresAddress, *arguments: str) -> None:
    """A program of PostgreSQL; its first complaint as one line.

    Everybody on the machine can read a command line, so the address goes through the environment.
    """
    kept = {name: ENVIRONMENT[name] for name in ("PATH", "HOME", "LANG") if name in ENVIRONMENT}
    try:
        done = subprocess.run(
            [_program(program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={**kept, **address.environment},
        )
    except FileNotFoundError:
        raise Misuse(
            f"No {program} here: install postgresql-client, of the server's version or newer."
        ) from None
    if done.returncode:
        raise Misuse(f"{program}: {(done.stderr.strip().splitlines() or ['no reason given'])[0]}")


def _program(name: str) -> str:
    """The newest of Debian's versions: pg_dump refuses a server that is newer than itself."""
    found = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4])
    )
    return str(found[-1]) if found else name
