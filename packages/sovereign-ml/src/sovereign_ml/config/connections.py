"""Connections: the address and secrets that one tool needs for its server or its files.

A function receives the connection it uses, never the whole settings object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from sovereign_ml.config.profiles import SCHEME, VARIABLES, required
from sovereign_ml.errors import Misuse
from sovereign_ml.git import in_repository
from sovereign_ml.jurisdictions import DatabaseAddressError, PostgresAddress, read_postgres_address

__all__ = [
    "BUCKET_REMOTE",
    "ClearmlServer",
    "DataVersions",
    "FeatureStores",
    "HopsworksPlatform",
    "LogLocation",
    "ObjectStorage",
    "SparkCluster",
    "SuppressionFiles",
    "Tracking",
    "database",
    "required",
]

BUCKET_REMOTE = "eu"
"""The DVC remote in the bucket of ``[s3]``; every other remote is a folder."""


def database(secret: SecretStr | None, field: str) -> PostgresAddress:
    """Return the PostgreSQL address in a secret. Raises Misuse with the name of its variable."""
    try:
        return read_postgres_address(required(secret, field), VARIABLES[field])
    except DatabaseAddressError as error:
        raise Misuse(str(error)) from None


@dataclass(frozen=True)
class ObjectStorage:
    """The bucket of ``[s3]``. The keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.

    ``style`` is ``path`` or ``virtual``. ``config_file`` is an AWS config file written for the
    clients of DVC and MLflow, because no variable sets the addressing style.
    """

    endpoint: str
    region: str
    bucket: str
    style: str
    config_file: Path

    def address(self, key: str) -> str:
        """Return ``key`` in the bucket as an address. Clients get the endpoint separately."""
        return f"{SCHEME}{self.bucket}/{key}"


@dataclass(frozen=True)
class Tracking:
    """MLflow's tracking store and registry. ``project`` names experiment and model."""

    project: str
    profile: str
    uri: str
    root: Path
    user: str
    storage: ObjectStorage
    # Not in ``repr``, because tracebacks and logs print dataclasses.
    password: SecretStr | None = field(default=None, repr=False)
    database: SecretStr | None = field(default=None, repr=False)

    @property
    def on_server(self) -> bool:
        """Return whether MLflow is a server. Otherwise it is a SQLite file of the project."""
        return self.uri.startswith("http")


@dataclass(frozen=True)
class ClearmlServer:
    """ClearML's API server, empty ``api`` for none. ``parameters`` are sent besides the flow's."""

    project: str
    api: str
    parameters: tuple[str, ...]
    key: SecretStr | None = field(default=None, repr=False)
    secret: SecretStr | None = field(default=None, repr=False)


@dataclass(frozen=True)
class HopsworksPlatform:
    """Hopsworks: its API at ``host``, and ``rest``, the REST server of its online store.

    ``trust_store`` is a file of certificates, empty for those of this machine. The keys of a call
    are below ``private``, a folder that only its owner can read.
    """

    host: str
    port: int
    project: str
    rest: str
    trust_store: str
    view: str
    private: Path
    key: SecretStr | None = field(default=None, repr=False)


@dataclass(frozen=True)
class SparkCluster:
    """Spark for step 3. ``host`` is this machine as the workers see it.

    ``memory`` is that of the driver and of each worker's process, ``partitions`` those of a
    shuffle. ``root`` is the folder of the project.
    """

    master: str
    host: str
    memory: str
    partitions: int
    properties: Mapping[str, str]
    root: Path
    secret: SecretStr | None = field(default=None, repr=False)
    namespace: str = ""
    image: str = ""
    claim: str = ""

    @property
    def at_operator(self) -> bool:
        """Return whether Spark's operator on Kubernetes runs it: ``image``, on the volume ``claim``."""
        return self.master == "operator"

    @property
    def needs_no_secret(self) -> bool:
        """Return whether Spark makes a secret itself, as in one process and on Kubernetes."""
        return self.at_operator or self.master.startswith(("local", "k8s:"))


@dataclass(frozen=True)
class FeatureStores:
    """Feast's registry and stores. Snapshots older than ``ttl_days`` are not served."""

    project: str
    profile: str
    offline: str
    online: str
    ttl_days: int
    storage: ObjectStorage
    registry: SecretStr | None = field(default=None, repr=False)
    online_url: SecretStr | None = field(default=None, repr=False)
    token: SecretStr | None = field(default=None, repr=False)
    hopsworks: HopsworksPlatform | None = None

    @property
    def on_servers(self) -> bool:
        """Return whether the stores are servers. Otherwise they are files beside the snapshots."""
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
        """Return whether this runs from the project's image, without git and DVC."""
        # An image has no git history, so nothing can be versioned there.
        bare = not (self.root / ".dvc").exists() and not in_repository(self.root)
        return self.in_bucket and bare


@dataclass(frozen=True)
class LogLocation:
    """The place of the decision log. ``address`` is empty before it exists or if not set.

    The address of a server holds the demand of its profile for TLS: see `config_file.secrets_of`.
    """

    setting: str
    address: str = field(repr=False)

    @property
    def on_server(self) -> bool:
        """Return whether the log is in PostgreSQL. Otherwise it is a SQLite file of the project."""
        return not self.setting.startswith("sqlite:///")


@dataclass(frozen=True)
class SuppressionFiles:
    """The files of the suppression list, and the keys by which it recognises people.

    ``folder`` is ``governance/`` in git. ``copy`` is beside the key: a restored backup of the
    folder does not change it.
    """

    folder: Path
    copy: Path
    keys: Callable[[], tuple[bytes, ...]] = field(repr=False)
