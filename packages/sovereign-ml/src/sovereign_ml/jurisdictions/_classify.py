"""Classifier of addresses: provider, country, owner and jurisdiction class.

An unknown address is "self-declared". No rule accepts it without a declaration.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from sovereign_ml.jurisdictions._address import Address, parse
from sovereign_ml.jurisdictions._table import Jurisdiction, Provider, look_up, scheme_owner

_S3 = {"s3", "s3a", "s3n"}
_TRACKED = {"models", "runs", "mlflow-artifacts"}
_LOCAL_SUFFIXES = (".localhost", ".svc", ".local", ".localdomain", ".lan", ".home.arpa")
_THIS_MACHINE = ("", "localhost", "host.docker.internal", "host.containers.internal")
# At this address clouds hand credentials to every program of a machine.
_METADATA = ipaddress.ip_address("169.254.169.254")
# Private networks (RFC 1918) and unique local addresses (RFC 4193).
_PRIVATE = tuple(
    ipaddress.ip_network(network)
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)
# A person reads another name than the ASCII one that IDNA makes of it. So such a name may prove
# that a host is under US law, but not that it is European.
_TRUSTED_ONLY_IN_ASCII = {
    Jurisdiction.EU_OWNED,
    Jurisdiction.EU_HQ_FOREIGN_OWNER,
    Jurisdiction.EU_HQ_US_NEXUS,
    Jurisdiction.EU_ON_US_SUBSTRATE,
    Jurisdiction.ADEQUATE_NON_EU,
}


@dataclass(frozen=True, slots=True)
class Classification:
    """Result for an address. ``confirmed`` is False where the table rests on general knowledge."""

    address: str
    scheme: str
    host: str
    port: int | None
    jurisdiction: Jurisdiction
    provider: str = ""
    country: str = ""
    parent: str = ""
    note: str = ""
    confirmed: bool = True
    us_nexus: bool = False


@lru_cache(maxsize=4096)
def classify(
    address: str, *, s3_endpoint: str | None = None, tracking_uri: str | None = None
) -> Classification:
    """Classify a host or URL.

    ``s3://bucket`` goes to ``s3_endpoint``, or to AWS without one. ``models:/`` and ``runs:/`` go
    to ``tracking_uri``. A region in a name proves nothing. An address that cannot be read is
    self-declared.
    """
    parsed = parse(address)
    if parsed.scheme in _S3 and s3_endpoint:
        return replace(classify(s3_endpoint), address=address)
    if parsed.scheme in _TRACKED and tracking_uri:
        return replace(classify(tracking_uri, s3_endpoint=s3_endpoint), address=address)
    if parsed.scheme in _TRACKED:
        return _unknown(parsed, "goes to the tracking server: set its address")
    by_scheme = scheme_owner(parsed.scheme)
    # oci:// is Oracle's object storage, and with a dotted host Helm's scheme for a registry.
    if by_scheme is None or (parsed.scheme == "oci" and "." in parsed.host):
        return _by_host(parsed)
    # The host can name an EU region of the same US provider, which is a class of its own.
    entry = look_up(parsed.host) if parsed.host and not parsed.problem else None
    is_own = entry is not None and entry[0] is by_scheme
    return _known(parsed, by_scheme, entry[1] if entry and is_own else Jurisdiction.US)


def classify_image(reference: str) -> Classification:
    """Classify a container image by its registry. Without one it is pulled from docker.io."""
    name = reference.removeprefix("docker://").removeprefix("oci://")
    first, slash, _ = name.partition("/")
    # Docker reads the first part as a registry only with a dot, with a port, or as localhost.
    has_registry = bool(slash) and (re.search(r"[.:]", first) is not None or first == "localhost")
    return replace(classify(first if has_registry else "docker.io"), address=reference)


def hosts(values: Iterable[str]) -> tuple[str, ...]:
    """Return the hosts outside this machine in the URLs among ``values``, for the egress guard.

    Hosts of the private network count. ``s3://bucket`` names no host: its endpoint does.
    """
    urls = [parse(value) for value in values if "://" in value]
    outside = (url.host for url in urls if url.scheme not in _S3 and not _is_this_machine(url))
    return tuple(dict.fromkeys(host for host in outside if host))


def _by_host(parsed: Address) -> Classification:
    if parsed.problem:
        return _unknown(parsed, parsed.problem)
    if _is_local(parsed):
        return Classification(
            parsed.text, parsed.scheme, parsed.host, parsed.port, Jurisdiction.LOCAL
        )
    if parsed.ip is not None:
        return _unknown(
            parsed, "cloud metadata address" if parsed.ip == _METADATA else "a bare IP address"
        )
    entry = look_up(parsed.host)
    if entry is None:
        return _unknown(parsed, "not in the provider table")
    provider, jurisdiction = entry
    if not parsed.ascii_only and jurisdiction in _TRUSTED_ONLY_IN_ASCII:
        return _unknown(parsed, "spelled with characters that only look like the provider's name")
    return _known(parsed, provider, jurisdiction)


def _is_this_machine(parsed: Address) -> bool:
    if parsed.ip is not None:
        return parsed.ip.is_loopback or parsed.ip.is_unspecified
    return parsed.host in ("", "localhost") or parsed.host.endswith(".localhost")


def _is_local(parsed: Address) -> bool:
    """Return whether a host is this machine or in its private network.

    A name without a dot is a service of the same compose file, namespace or search domain.
    """
    if parsed.ip is not None:
        private = any(
            parsed.ip in network for network in _PRIVATE if network.version == parsed.ip.version
        )
        return _is_this_machine(parsed) or private
    single = "." not in parsed.host and (bool(parsed.scheme) or parsed.port is not None)
    return single or parsed.host in _THIS_MACHINE or parsed.host.endswith(_LOCAL_SUFFIXES)


def _known(parsed: Address, provider: Provider, jurisdiction: Jurisdiction) -> Classification:
    country = provider.region_outside_eu(parsed.host)
    outside = f"The region of {parsed.host} lies in {country}, outside the EU."
    return Classification(
        address=parsed.text,
        scheme=parsed.scheme,
        host=parsed.host,
        port=parsed.port,
        jurisdiction=jurisdiction,
        provider=provider.name,
        country=provider.country,
        parent=provider.parent,
        note=outside if country else provider.note,
        confirmed=provider.confirmed,
        us_nexus=provider.us_nexus or jurisdiction.us_nexus,
    )


def _unknown(parsed: Address, note: str) -> Classification:
    return Classification(
        parsed.text,
        parsed.scheme,
        parsed.host,
        parsed.port,
        Jurisdiction.SELF_DECLARED,
        note=note,
        confirmed=False,
    )
