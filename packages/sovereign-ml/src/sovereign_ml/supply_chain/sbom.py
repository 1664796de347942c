"""A bill of materials (CycloneDX 1.6 JSON) and a licence list from a hash-locked requirements file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component

_PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==([^\s;\\]+)\s*(?:;\s*([^\\]+?))?\s*\\?$")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_CLASSIFIER = re.compile(r"License :: (?:OSI Approved :: )?(.+)")
UNKNOWN = "unknown"


class LockError(ValueError):
    """The file is not a lock in which every package has a version and a hash."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One package of a lock: exact version, the hashes of its files, the platforms it is for, its licence."""

    name: str
    version: str
    hashes: tuple[str, ...]
    marker: str
    licence: str


def read_lock(path: Path) -> list[Pin]:
    """The pins of ``path``, see :func:`parse_lock`."""
    return parse_lock(path.read_text(encoding="utf-8"), path.name)


def parse_lock(text: str, name: str) -> list[Pin]:
    """The pins of the lock ``name``. Raises LockError for a package without hash, and for a line that pins nothing."""
    pins: list[tuple[re.Match[str], list[str]]] = []
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.split(" #")[0].rstrip() if not raw.lstrip().startswith("#") else ""
        if hashes := _HASH.findall(line):
            if not pins:
                raise LockError(f"{name}:{number}: a hash before the first package.")
            pins[-1][1].extend(hashes)
        elif found := _PIN.match(line):
            pins.append((found, []))
        elif line.strip():
            raise LockError(f"{name}:{number}: {line.strip()!r} is not name==version with a hash.")
    if bare := [found.group(1) for found, hashes in pins if not hashes]:
        raise LockError(
            f"{name}: without a hash: {', '.join(bare)}. Write it again with `make lock`."
        )
    return [_pin(found, hashes) for found, hashes in pins]


def _pin(found: re.Match[str], hashes: list[str]) -> Pin:
    name, version, marker = found.group(1).lower(), found.group(2), found.group(3) or ""
    return Pin(name, version, tuple(sorted(hashes)), marker, licence_of(name))


def licence_of(package: str) -> str:
    """The licence that the installed package's metadata names (PEP 639 first), or ``unknown``."""
    try:
        about = metadata(package).json
    except PackageNotFoundError:
        return UNKNOWN
    if expression := about.get("license_expression"):
        return str(expression)
    named = [
        found.group(1) for row in about.get("classifier", ()) if (found := _CLASSIFIER.match(row))
    ]
    short = [row for row in str(about.get("license", "")).splitlines() if row.strip()][:1]
    return (
        (short[0].strip() if short and len(short[0]) <= 40 else "")
        or " AND ".join(named)
        or UNKNOWN
    )


def licences(pins: Iterable[Pin]) -> dict[str, list[str]]:
    """Packages by licence, the licences in alphabetical order."""
    table: dict[str, list[str]] = {}
    for pin in pins:
        table.setdefault(pin.licence, []).append(f"{pin.name} {pin.version}")
    return {licence: sorted(table[licence]) for licence in sorted(table, key=str.lower)}


def sbom(
    pins: Iterable[Pin], *, name: str, version: str, created_at: str | None = None
) -> dict[str, Any]:
    """A CycloneDX 1.6 document (ECMA-424) of application ``name``.

    The same lock gives the same document, byte for byte: it has no serial number, and its time is ``created_at``
    (ISO 8601, UTC) or none, because a build clock would make each image differ.
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
    parts = [_component(pin) for pin in pins]
    bom.components.update(parts)
    bom.register_dependency(root, parts)
    return bom


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

    purl = PackageURL("pypi", name=pin.name, version=pin.version)
    files = [HashType(alg=HashAlgorithm.SHA_256, content=value) for value in pin.hashes]
    # a component's own `hashes` means one file; a lock names several, one for each platform
    archive = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION, url=XsUri(str(purl)), hashes=files
    )
    return Component(
        name=pin.name,
        version=pin.version,
        purl=purl,
        bom_ref=str(purl),
        licenses=[] if pin.licence == UNKNOWN else [LicenseFactory().make_from_string(pin.licence)],
        external_references=[archive],
        properties=[Property(name="churn:marker", value=pin.marker)] if pin.marker else [],
    )
