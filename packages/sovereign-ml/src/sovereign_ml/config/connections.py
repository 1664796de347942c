"""What one tool needs to reach its server or its files, taken from the profile, the secrets and config.toml.

A function receives the connection it uses, never the whole settings object.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from sovereign_ml.config.profiles import SCHEME, VARIABLES
from sovereign_ml.errors import Misuse
from sovereign_ml.git import in_repository
from sovereign_ml.jurisdictions import DatabaseAddressError, PostgresAddress, read_postgres_address

__all__ = [
    "BUCKET_REMOTE",
    "DataVersions",
    "FeatureStores",
    "LogLocation",
    "ObjectStorage",
    "SuppressionFiles",
    "Tracking",
    "database",
    "required",
]

BUCKET_REMOTE = "eu"
"""The DVC remote in the bucket of ``[s3]``; every other remote is a folder."""


def required(secret: SecretStr | None, field: str) -> str:
    """Return the value of a secret. Raises Misuse with the name of the variable to set."""
    if secret is None:
        raise Misuse(
            f"{VARIABLES[field]} is not set: it comes from the environment, never from config.toml."
        )
    return str(secret.get_secret_value())


def database(secret: SecretStr | None, field: str) -> PostgresAddress:
    """Return the PostgreSQL address that a secret holds. Raises Misuse with the name of its variable."""
    try:
        return read_postgres_address(required(secret, field), VARIABLES[field])
    except DatabaseAddressError as error:
        raise Misuse(str(error)) from None


@dataclass(frozen=True)
class ObjectStorage:
    """The bucket of ``[s3]``; the keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.

    ``style`` is ``path`` or ``virtual``. ``config_file`` is an AWS config file that is written for the clients of
    DVC and MLflow, because the addressing style has no variable.
    """

    endpoint: str
    region: str
    bucket: str
    style: str
    config_file: Path

    def address(self, key: str) -> str:
        """Return ``key`` in the bucket as an address; every client is told the endpoint besides."""
        return f"{SCHEME}{self.bucket}/{key}"


@dataclass(frozen=True)
class Tracking:
    """MLflow's tracking store and registry; ``project`` names the experiment and the registered model."""

    project: str
    profile: str
    uri: str
    root: Path
    user: str
    storage: ObjectStorage
    password: SecretStr | None = field(default=None, repr=False)
    database: SecretStr | None = field(default=None, repr=False)

    @property
    def on_server(self) -> bool:
        """Return whether MLflow is a server; otherwise it is a SQLite file of the project."""
        return self.uri.startswith("http")


@dataclass(frozen=True)
class FeatureStores:
    """Feast's registry, offline store and online store; ``ttl_days`` after which a snapshot says nothing any more."""

    project: str
    profile: str
    offline: str
    online: str
    ttl_days: int
    storage: ObjectStorage
    registry: SecretStr | None = field(default=None, repr=False)
    online_url: SecretStr | None = field(default=None, repr=False)
    token: SecretStr | None = field(default=None, repr=False)

    @property
    def on_servers(self) -> bool:
        """Return whether the stores are servers; otherwise they are files beside the snapshots."""
        return self.offline == "s3"


@dataclass(frozen=True)
class DataVersions:
    """DVC's view of the project: its folder, the remote of the profile and the bucket behind it."""

    root: Path
    profile: str
    remote: str
    storage: ObjectStorage

    @property
    def in_bucket(self) -> bool:
        """Return whether the remote is the bucket of ``[s3]``."""
        return self.remote == BUCKET_REMOTE

    @property
    def from_image(self) -> bool:
        """Return whether this runs from the project's image, as on a cluster: without git and without DVC."""
        bare = not (self.root / ".dvc").exists() and not in_repository(self.root)
        return self.in_bucket and bare


@dataclass(frozen=True)
class LogLocation:
    """Where the decision log is. ``address`` is empty before the service has made one, or where it is not set."""

    setting: str
    address: str = field(repr=False)

    @property
    def on_server(self) -> bool:
        """Return whether the log is in PostgreSQL; otherwise it is a SQLite file of the project."""
        return not self.setting.startswith("sqlite:///")


@dataclass(frozen=True)
class SuppressionFiles:
    """Where the suppression list lies, and the keys by which it knows people.

    ``folder`` is ``governance/`` in git; ``copy`` lies beside the key, which a backup of the folder does not restore.
    """

    folder: Path
    copy: Path
    keys: Callable[[], tuple[bytes, ...]] = field(repr=False)
