"""Feast's stores: files beside the snapshots, or the servers of the profile eu.

The servers are PostgreSQL, S3 and Redis.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sovereign_ml.config.connections import FeatureStores, database, required
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.jurisdictions import PostgresAddress
from sovereign_ml.storage import s3

__all__ = ["ASOF", "WAIT_MINUTES", "alone", "offline", "online", "reached", "registry", "source"]

ASOF = "sovereign_ml.features.feast_asof.AsofOfflineStore"
"""Feast's name of the offline store of the profile local."""
WAIT_MINUTES = 15
"""Minutes that one pipeline waits for another that is writing to the same registry."""


def registry(folder: Path, stores: FeatureStores) -> Any:
    """Return the registry: a file in ``folder``, or tables in PostgreSQL."""
    if not stores.on_servers:
        return str(folder / "registry.db")
    path = database(stores.registry, "feature_registry").sqlalchemy
    return {"registry_type": "sql", "path": path, "cache_ttl_seconds": 60}


def offline(stores: FeatureStores) -> dict[str, Any]:
    """Return the settings of the offline store: DuckDB over Parquet on this machine or on S3."""
    if not stores.on_servers:
        return {"type": ASOF}
    s3.announce(stores.storage)
    kind = "sovereign_ml.features.feast_s3.S3OfflineStore"
    return {"type": kind, "region": stores.storage.region, "style": stores.storage.style}


def online(folder: Path, stores: FeatureStores) -> dict[str, Any]:
    """Return the settings of the online store: SQLite in ``folder``, Redis or PostgreSQL.

    Hopsworks is filled from that file's snapshots afterwards: see `sovereign_ml.features.hopsworks`.

    Raises Misuse where the address does not fit the store that config.toml names.
    """
    kind = stores.online
    if kind in ("sqlite", "hopsworks"):
        return {"type": "sqlite", "path": str(folder / "online.db")}
    if kind == "postgresql":
        return {"type": "postgres", **_postgres(database(stores.online_url, "online_store"))}
    parts = urlsplit(required(stores.online_url, "online_store"))
    if kind == "redis" and parts.scheme in ("redis", "rediss"):
        return {"type": "redis", "connection_string": _redis(parts)}
    raise Misuse(
        f"CHURN_ONLINE_STORE_URL starts with '{parts.scheme}:', but online_store is {kind} in "
        "config.toml."
    )


def _redis(parts: Any) -> str:
    words = [f"{parts.hostname}:{parts.port or 6379}"]
    words += [f"db={parts.path.strip('/')}"] if parts.path.strip("/") else []
    words += [f"username={unquote(parts.username)}"] if parts.username else []
    words += [f"password={unquote(parts.password)}"] if parts.password else []
    return ",".join([*words, "ssl=true"] if parts.scheme == "rediss" else words)


def _postgres(address: PostgresAddress) -> dict[str, Any]:
    given = address.parameters
    return {
        "host": given.get("host", ""),
        "port": address.port,
        "database": given.get("dbname", ""),
        "user": given.get("user", ""),
        "password": given.get("password", ""),
        # The address holds a password, so TLS is the default.
        "sslmode": given.get("sslmode", "require"),
    }


def source(snapshots: Path, stores: FeatureStores) -> Any:
    """Return the snapshots as a Feast source, uploaded first where the profile uses S3."""
    from feast import FileSource

    if not stores.on_servers:
        # Relative, so that the registry is the same on every machine; Feast's DuckDB store takes it
        # from the working directory and not from repo_path, hence the chdir in feast.py.
        return FileSource(path=snapshots.name, timestamp_field="event_timestamp")
    with snapshots.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    # The hash of the content is in the name, so that no pipeline reads the snapshots of another
    # one.
    address = s3.upload(
        stores.storage, snapshots, f"feast/{stores.project}/{content}/{snapshots.name}"
    )
    return FileSource(
        name=snapshots.stem,
        path=address,
        timestamp_field="event_timestamp",
        s3_endpoint_override=stores.storage.endpoint,
    )


@contextmanager
def alone(stores: FeatureStores) -> Iterator[None]:
    """Hold the lock on the registry of this project until the caller is done.

    A second pipeline waits until the first one has materialised. Raises Refused after
    `WAIT_MINUTES`.
    """
    if not stores.on_servers:
        yield
        return
    import psycopg

    with (
        reached(stores),
        psycopg.connect(
            database(stores.registry, "feature_registry").conninfo, autocommit=True
        ) as connection,
    ):
        connection.execute(f"SET lock_timeout = '{WAIT_MINUTES}min'")
        try:
            # An advisory lock is a number, so the name of the project is hashed.
            connection.execute("SELECT pg_advisory_lock(hashtext(%s))", [f"feast {stores.project}"])
        except psycopg.errors.LockNotAvailable:
            raise Refused(
                f"Another pipeline has been writing to the feature registry for {WAIT_MINUTES} "
                "minutes: wait for it, "
                "or end it, then run this step again."
            ) from None
        yield


@contextmanager
def reached(stores: FeatureStores) -> Iterator[None]:
    """Raise Misuse where a server of the profile does not answer.

    The message is one line without address or password.
    """
    if not stores.on_servers:
        yield
        return
    import psycopg
    import redis
    import sqlalchemy

    try:
        yield
    except (psycopg.OperationalError, sqlalchemy.exc.OperationalError):
        raise _away("PostgreSQL", "CHURN_FEATURE_REGISTRY_URL", stores) from None
    except redis.exceptions.RedisError:
        raise _away("Redis", "CHURN_ONLINE_STORE_URL", stores) from None


def _away(server: str, variable: str, stores: FeatureStores) -> Misuse:
    return Misuse(
        f"{server} ({variable}) does not answer: `churn doctor --profile {stores.profile}` says "
        "more. "
        "Nothing half-written was kept; the same command goes on from here."
    )
