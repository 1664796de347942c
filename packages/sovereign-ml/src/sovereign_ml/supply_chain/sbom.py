"""Bill of materials (CycloneDX 1.6 JSON) and list of licences, from the pins of a lock."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, metadata
from typing import TYPE_CHECKING, Any

from sovereign_ml.supply_chain.lockfile import Pin

if TYPE_CHECKING:
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component

_CLASSIFIER = re.compile(r"License :: (?:OSI Approved :: )?(.+)")
UNKNOWN = "unknown"


def licence_of(package: str) -> str:
    """Return the licence in the installed package's metadata (PEP 639 first), or ``unknown``."""
    try:
        about = metadata(package).json
    except PackageNotFoundError:
        return UNKNOWN
    if expression := about.get("license_expression"):
        return str(expression)
    # Many packages put the whole text of the licence there: only a short first line is a name.
    first_line = next(iter(str(about.get("license", "")).strip().splitlines()), "")
    if first_line and len(first_line) <= 40:
        return first_line
    matches = [_CLASSIFIER.match(row) for row in about.get("classifier", ())]
    return " AND ".join(match[1] for match in matches if match) or UNKNOWN


def licences(pins: Iterable[Pin]) -> dict[str, list[str]]:
    """Return packages by licence, the licences in alphabetical order."""
    table: dict[str, list[str]] = {}
    for pin in pins:
        table.setdefault(licence_of(pin.name), []).append(f"{pin.name} {pin.version}")
    return {licence: sorted(table[licence]) for licence in sorted(table, key=str.lower)}


def sbom(
    pins: Iterable[Pin], *, name: str, version: str, created_at: str | None = None
) -> dict[str, Any]:
    """Return a CycloneDX 1.6 document (ECMA-424) of application ``name``.

    The same lock gives the same document, byte for byte: it has no serial number, and its time is
    ``created_at`` (ISO 8601, UTC) or none, because a build clock would make each image differ.
    """
    from cyclonedx.output.json import JsonV1Dot6

    document = json.loads(JsonV1Dot6(_bom(pins, name, version)).output_as_string())
    del document["serialNumber"], document["metadata"]["timestamp"]
    if created_at is not None:
        document["metadata"]["timestamp"] = created_at
    return dict(document)


def _bom(pins: Iterable[Pin], name: str, version: str) -> Bom:
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType

    root = Component(name=name, version=version, type=ComponentType.APPLICATION, bom_ref=name)
    bom = Bom()
    bom.metadata.component = root
    parts = [_component(pin) for pin in _merged(pins)]
    bom.components.update(parts)
    bom.register_dependency(root, parts)
    return bom


def _merged(pins: Iterable[Pin]) -> list[Pin]:
    """Return one pin for each version of a package: a lock may name it once for each platform."""
    merged: dict[tuple[str, str], Pin] = {}
    for pin in pins:
        key = (pin.name, pin.version)
        if (other := merged.get(key)) and other.marker != pin.marker:
            # Without a marker it is for all.
            marker = f"({other.marker}) or ({pin.marker})" if other.marker and pin.marker else ""
            hashes = tuple(sorted({*other.hashes, *pin.hashes}))
            merged[key] = replace(pin, marker=marker, hashes=hashes)
        else:
            merged[key] = pin
    return list(merged.values())


def _component(pin: Pin) -> Component:
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model import (
        ExternalReference,
        ExternalReferenceType,
        HashAlgorithm,
        HashType,
        Property,
        XsUri,
    )
    from cyclonedx.model.component import Component
    from packageurl import PackageURL

    licence = licence_of(pin.name)
    purl = PackageURL("pypi", name=pin.name, version=pin.version)
    files = [HashType(alg=HashAlgorithm.SHA_256, content=value) for value in pin.hashes]
    # The `hashes` of a component are of one file. A lock names several, one for each platform.
    archive = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION, url=XsUri(str(purl)), hashes=files
    )
    return Component(
        name=pin.name,
        version=pin.version,
        purl=purl,
        bom_ref=str(purl),
        licenses=[] if licence == UNKNOWN else [LicenseFactory().make_from_string(licence)],
        external_references=[archive],
        properties=[Property(name="churn:marker", value=pin.marker)] if pin.marker else [],
    )
