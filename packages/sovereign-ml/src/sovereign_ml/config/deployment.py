"""The table ``[deploy]`` of config.toml: where the service goes and what it is given."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from sovereign_ml.config.profiles import ConfigTable

API_URL = "https://api.sota.io"
# A tag can be moved to another image, and a digest cannot.
DIGEST = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}")
# A wider network is no host: it would open the egress policy for strangers.
NARROWEST = {4: 24, 6: 64}
# A label of a host name has at most 63 characters (RFC 1035).
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](-?[a-z0-9])*$", max_length=63)]
# Names of Kubernetes: a namespace is a label (RFC 1123), a secret may have several with dots.
Namespace = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
SecretName = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", max_length=253
    ),
]


class Egress(ConfigTable):
    """One host that the service may call: name, port, and its addresses or its namespace."""

    host: str
    port: int = Field(ge=1, le=65535)
    cidr: str = ""
    namespace: Namespace | Literal[""] = ""

    @model_validator(mode="after")
    def _is_somewhere(self) -> Egress:
        if bool(self.cidr) == bool(self.namespace):
            raise ValueError(
                f"{self.host}: either cidr or namespace is needed, to say where the host is"
            )
        if self.cidr:
            network = ip_network(self.cidr)
            mapped = network.version == 6 and network.network_address.ipv4_mapped is not None
            if network.prefixlen < NARROWEST[network.version] or mapped:
                allowed = f"/{NARROWEST[network.version]} or narrower"
                if mapped:
                    allowed = "an IPv4 network in its own spelling"
                raise ValueError(
                    f"{self.host}: {self.cidr} is a large network, not one host; "
                    f"{allowed} is allowed"
                )
        return self


class KserveSettings(ConfigTable):
    """``[deploy.kserve]``: a Kubernetes cluster. Keys of ``secret`` become variables."""

    image: str
    namespace: Namespace
    secret: SecretName
    ingress_namespace: Namespace
    egress: tuple[Egress, ...] = ()


class Deploy(ConfigTable):
    """``[deploy]``: the target of a deployment.

    ``secrets`` are names of variables in the environment. Fields that end in ``_s`` are
    seconds.
    """

    slug: Slug
    base_image: str
    service_url: str = ""
    """Address of the service where it has a domain of its own."""
    api_url: str = API_URL
    """The platform's API."""
    sota_cli: str = "sota"
    """The platform's command, or the path of it."""
    timeout_s: float = Field(default=900, gt=0)
    """How long a deployment may take until it runs."""
    poll_s: float = Field(default=5, gt=0)
    """From one look at a deployment to the next."""
    smoke_s: float = Field(default=60, gt=0)
    """How long the new version may take to answer the two test requests."""
    secrets: tuple[str, ...] = ("CHURN_KEYS",)
    variables: dict[str, str] = Field(default={})
    kserve: KserveSettings
