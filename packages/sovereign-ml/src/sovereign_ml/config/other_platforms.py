"""Tables of config.toml for platforms that a team has besides this project."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from sovereign_ml.config.profiles import ConfigTable
from sovereign_ml.jurisdictions import Jurisdiction, classify

__all__ = ["ClearmlSettings", "HopsworksSettings", "SparkSettings"]

NOT_THERE = (
    Jurisdiction.US,
    Jurisdiction.US_PARENT_EU_REGION,
    Jurisdiction.EU_ON_US_SUBSTRATE,
    Jurisdiction.OTHER_THIRD_COUNTRY,
)
"""Where no copy of a run or of features may go. `make audit` decides about the others."""


def own_server(address: str) -> str:
    """Return the address of a server of the team's own. Raises ValueError for another one."""
    if not address:
        return address
    if not re.fullmatch(r"https?://[^/\s@]+/?", address):
        raise ValueError("write https://host or https://host:port, without a user, or nothing")
    provider = classify(address)
    if provider.jurisdiction in NOT_THERE:
        raise ValueError(
            f"{urlsplit(address).hostname} belongs to {provider.provider or 'a provider'} "
            f"({provider.jurisdiction.name}): name a server of your own"
        )
    if address.startswith("http:") and provider.jurisdiction is not Jurisdiction.LOCAL:
        raise ValueError("keys would be sent without TLS: write https://")
    return address.rstrip("/")


OwnServer = Annotated[str, AfterValidator(own_server)]


class ClearmlSettings(ConfigTable):
    """The server to which `churn clearml push` copies runs. No other command sends any."""

    api: OwnServer = ""
    parameters: tuple[str, ...] = ()
    """Parameters of MLflow that are sent besides those of [train] and [features]."""


def own_host(host: str) -> str:
    """Return the name of a host of the team's own. Raises ValueError for another one."""
    if "/" in host or "@" in host or ":" in host:
        raise ValueError("write the name of the host alone, such as hopsworks.your-domain.eu")
    return urlsplit(own_server(f"https://{host}")).hostname or "" if host else host


class HopsworksSettings(ConfigTable):
    """The server of `online_store = "hopsworks"`: its API, and the REST server of RonDB."""

    host: Annotated[str, AfterValidator(own_host)] = ""
    port: Annotated[int, Field(ge=1, le=65535)] = 443
    project: str = ""
    rest: OwnServer = ""
    trust_store: str = ""
    view: str = "customer_snapshot"
    """Name of the feature group and of the feature view."""


SPARK_PROPERTIES = (
    "spark.driver.extraJavaOptions",
    "spark.executor.",
    "spark.cores.max",
    "spark.dynamicAllocation.",
    "spark.kubernetes.",
    "spark.hadoop.fs.s3a.",
    "spark.ssl.",
)
"""Beginnings of the properties that a project may set: size of a cluster, and its storage."""
MASTER = r"operator|local(\[(\d+|\*)\])?|spark://[^/\s:,]+:\d+|k8s://https://[^/\s]+"


def master_of_own(master: str) -> str:
    """Return the address of a master that may see pseudonyms. Raises ValueError for another one."""
    if not re.fullmatch(MASTER, master):
        raise ValueError("write local[2], spark://host:7077, k8s://https://host or operator")
    if "://" in master:
        own_server(f"https://{urlsplit(master.removeprefix('k8s://')).hostname}")
    return master


def allowed_properties(properties: dict[str, str]) -> dict[str, str]:
    """Return properties of Spark without those that the library sets, and without keys."""
    for name, value in properties.items():
        if not name.startswith(SPARK_PROPERTIES):
            allowed = ", ".join(f"{beginning}*" for beginning in SPARK_PROPERTIES)
            raise ValueError(f"{name} may not be set here, only {allowed}")
        # config.toml is in git, and Spark shows its properties on its pages.
        if re.search("secret|password|access.key|token", name, re.IGNORECASE):
            raise ValueError(f"{name} is a secret: give it to the workers' own environment")
        # In a file of properties a line break would begin another one, and a backslash an escape.
        if not value.isprintable() or "\\" in value:
            raise ValueError(f"{name} must be one line without a backslash")
    return properties


class SparkSettings(ConfigTable):
    """Spark for `[features] engine = "spark"`: on this machine, or a cluster of the team's own."""

    master: Annotated[str, AfterValidator(master_of_own)] = "local[2]"
    host: Annotated[str, AfterValidator(own_host)] = "127.0.0.1"
    """Name or address of this machine, as the workers reach it."""
    memory: Annotated[str, Field(pattern=r"^\d+[mg]$")] = "2g"
    partitions: Annotated[int, Field(ge=1)] = 8
    properties: Annotated[dict[str, str], AfterValidator(allowed_properties)] = Field(default={})
    image: Annotated[str, Field(pattern=r"^$|@sha256:[0-9a-f]{64}$")] = ""
    """Image of Spark for the operator, by digest."""

    @model_validator(mode="after")
    def _the_operator_has_its_image(self) -> SparkSettings:
        if self.master == "operator" and not self.image:
            raise ValueError("master is operator: name the image of Spark by its digest as well")
        return self
