"""The software bill of materials of the image, made from the hash lock it installs (CycloneDX 1.6, ECMA-424)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple
from uuid import NAMESPACE_URL, uuid5

if TYPE_CHECKING:
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component


class Locked(NamedTuple):
    """One requirement of a lock: its pinned version, when it applies, and the SHA-256 of every accepted file."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]


def read_lock(text: str) -> list[Locked]:
    """Requirements of a hash lock, in its order; ValueError when one is not pinned or has no hash."""
    return [_locked(line) for line in _logical_lines(text)]


def sbom_json(lock: str, *, name: str, version: str, created_at: str) -> str:
    """CycloneDX JSON of ``lock`` for the service ``name``; the same arguments give the same bytes.

    ``created_at`` is the bundle's time (ISO 8601, UTC): a build clock would make each image differ.
    """
    from cyclonedx.output.json import JsonV1Dot6

    return str(JsonV1Dot6(_bom(lock, name, version, created_at)).output_as_string(indent=2)) + "\n"


def _bom(lock: str, name: str, version: str, created_at: str) -> Bom:
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType

    service = Component(name=name, version=version, type=ComponentType.APPLICATION, bom_ref=f"{name}@{version}")
    metadata = BomMetaData(component=service, timestamp=datetime.fromisoformat(created_at.replace("Z", "+00:00")))
    parts = [_component(locked) for locked in read_lock(lock)]
    bom = Bom(components=parts, metadata=metadata, serial_number=uuid5(NAMESPACE_URL, f"{name}@{version}\n{lock}"))
    bom.register_dependency(service, parts)
    return bom


def _component(locked: Locked) -> Component:
    from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    purl = PackageURL("pypi", name=locked.name, version=locked.version)
    files = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(str(purl)),
        comment="any one of these files is accepted by the lock",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in locked.hashes],
    )
    return Component(
        name=locked.name,
        version=locked.version,
        type=ComponentType.LIBRARY,
        bom_ref=str(purl),
        purl=purl,
        external_references=[files],
        properties=[Property(name="python:marker", value=locked.marker)] if locked.marker else [],
    )


def _logical_lines(text: str) -> Iterator[str]:
    for line in text.replace("\\\n", " ").splitlines():
        content = re.sub(r"(^|\s)#.*$", "", line).strip()
        if content:
            yield content


def _locked(line: str) -> Locked:
    requirement, *options = re.split(r"\s+--hash=", line)
    pin, _, marker = requirement.partition(";")
    name, pinned, version = pin.strip().partition("==")
    hashes = tuple(option.strip().removeprefix("sha256:") for option in options)
    if not pinned or not hashes or not all(re.fullmatch("[0-9a-f]{64}", digest) for digest in hashes):
        raise ValueError(
            f"lock line {line[:60]!r}: `name==version --hash=sha256:...` is needed; run `make lock` to write it again"
        )
    return Locked(name.strip(), version.strip(), marker.strip(), hashes)
