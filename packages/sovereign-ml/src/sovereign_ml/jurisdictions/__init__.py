"""Whose law reaches an address: a provider table as data, a classifier that fails towards "declare it", S3 presets."""

from sovereign_ml.jurisdictions._address import Address, parse
from sovereign_ml.jurisdictions._classify import Classification, classify, classify_image, hosts
from sovereign_ml.jurisdictions._countries import (
    Adequacy,
    adequacy_decisions,
    class_of_country,
    country_codes,
    in_eea,
)
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
    "Adequacy",
    "Classification",
    "DatabaseAddressError",
    "FileAddress",
    "Jurisdiction",
    "PostgresAddress",
    "Provider",
    "S3Preset",
    "UnknownPresetError",
    "addressing_of",
    "adequacy_decisions",
    "class_of_country",
    "classify",
    "classify_image",
    "country_codes",
    "hosts",
    "in_eea",
    "parse",
    "preset",
    "preset_names",
    "providers",
    "read_database_address",
    "read_postgres_address",
    "region_names",
]
