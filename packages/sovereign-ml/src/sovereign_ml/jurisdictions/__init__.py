"""Whose law reaches an address: a provider table as data, a classifier that fails towards "declare it", S3 presets."""

from sovereign_ml.jurisdictions._address import Address, parse
from sovereign_ml.jurisdictions._classify import Classification, classify, classify_image, hosts
from sovereign_ml.jurisdictions._database_address import (
    PLAINTEXT,
    DatabaseAddressError,
    FileAddress,
    PostgresAddress,
    read_database_address,
    read_postgres_address,
)
from sovereign_ml.jurisdictions._presets import (
    S3Preset,
    UnknownPresetError,
    addressing_of,
    preset,
    preset_names,
    region_names,
)
from sovereign_ml.jurisdictions._table import Jurisdiction, Provider, providers

__all__ = [
    "PLAINTEXT",
    "Address",
    "Classification",
    "DatabaseAddressError",
    "FileAddress",
    "Jurisdiction",
    "PostgresAddress",
    "Provider",
    "S3Preset",
    "UnknownPresetError",
    "addressing_of",
    "classify",
    "classify_image",
    "hosts",
    "parse",
    "preset",
    "preset_names",
    "providers",
    "read_database_address",
    "read_postgres_address",
    "region_names",
]
