"""Tables of config.toml for platforms that a team has besides this project."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from sovereign_ml.config.profiles import ConfigTable
from sovereign_ml.jurisdictions import Jurisdiction, classify

__all__ = ["ClearmlSettings", "HopsworksSettings"]

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
