"""S3 settings by provider: endpoint, region, signing name, addressing and checksum quirks, from ``s3_presets.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from sovereign_ml.jurisdictions._classify import classify


class UnknownPresetError(ValueError):
    """No such provider or region, or an endpoint that does not belong to the provider."""


@dataclass(frozen=True, slots=True)
class S3Preset:
    """Everything an S3 client needs except the keys. ``country`` is empty where the name does not tell."""

    name: str
    provider: str
    region: str
    endpoint: str
    signing_region: str
    addressing: Literal["path", "virtual"]
    checksum: str
    country: str
    max_parts: int
    note: str

    def environment(self) -> dict[str, str]:
        """Variables that boto3, s3fs, DVC and MLflow read."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "MLFLOW_S3_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": self.signing_region,
            "AWS_DEFAULT_REGION": self.signing_region,
            "AWS_REQUEST_CHECKSUM_CALCULATION": self.checksum,
            "AWS_RESPONSE_CHECKSUM_VALIDATION": self.checksum,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def aws_config(self) -> str:
        """An AWS_CONFIG_FILE: the only way to set the addressing style for DVC and MLflow."""
        return (
            f"[default]\nregion = {self.signing_region}\n"
            f"request_checksum_calculation = {self.checksum}\nresponse_checksum_validation = {self.checksum}\n"
            f"s3 =\n    addressing_style = {self.addressing}\n    signature_version = s3v4\n"
        )

    def dvc_remote(self) -> dict[str, str]:
        """Options for ``dvc remote modify``."""
        return {"endpointurl": self.endpoint, "region": self.signing_region}


@cache
def _rows() -> Mapping[str, dict[str, Any]]:
    table = tomllib.loads(Path(__file__).with_name("s3_presets.toml").read_text(encoding="utf-8"))
    return {row["name"]: row for row in table["preset"]}


def preset_names() -> tuple[str, ...]:
    """The providers with a preset."""
    return tuple(_rows())


def region_names(name: str) -> tuple[str, ...]:
    """The regions of a preset."""
    return tuple(_row(name)["regions"])


def preset(name: str, region: str, *, endpoint: str | None = None) -> S3Preset:
    """The settings of provider ``name`` in ``region``; ``endpoint`` only where the provider gives each customer one.

    Raises UnknownPresetError, listing what is allowed.
    """
    row = _row(name)
    regions = row["regions"]
    if region not in regions and not row.get("any_region"):
        raise UnknownPresetError(f"Unknown region {region!r}: {name} has {', '.join(regions)}.")
    return S3Preset(
        name=name,
        provider=row.get("provider", ""),
        region=region,
        endpoint=_endpoint(row, region, endpoint),
        signing_region=row.get("signing", {}).get(region, region),
        addressing=row["addressing"],
        checksum="when_required",
        country=regions.get(region, ""),
        max_parts=row.get("max_parts", 10_000),
        note=row["note"],
    )


def addressing_of(endpoint: str) -> str:
    """``path`` or ``virtual``, as the provider of ``endpoint`` wants it; ``path`` where the provider is not known."""
    provider = classify(endpoint).provider
    return next(
        (
            row["addressing"]
            for row in _rows().values()
            if provider and row.get("provider") == provider
        ),
        "path",
    )


def _row(name: str) -> dict[str, Any]:
    if name not in _rows():
        raise UnknownPresetError(
            f"Unknown storage provider {name!r}: the presets are {', '.join(_rows())}."
        )
    return _rows()[name]


def _endpoint(row: dict[str, Any], region: str, endpoint: str | None) -> str:
    if "own_endpoint" not in row:
        given = row.get("endpoints", {}).get(region, row["endpoint"]).format(region=region)
        if endpoint not in (None, given):
            raise UnknownPresetError(
                f"{row['name']} in {region} is {given}, not {endpoint}: leave the endpoint out."
            )
        return str(given)
    if endpoint is None:
        raise UnknownPresetError(
            f"{row['name']} needs its own endpoint, such as {row['own_endpoint']}."
        )
    seen = classify(endpoint)
    if seen.provider != row.get("provider", ""):
        raise UnknownPresetError(
            f"{endpoint} belongs to {seen.provider or 'nobody known'}, not to {row['name']}."
        )
    return endpoint
