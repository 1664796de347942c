"""Jurisdiction of addresses: a table of providers, a classifier, and presets of S3 storage.

An address that the table does not know is SELF_DECLARED: the project must declare its owner.
"""

from sovereign_ml.jurisdictions._address import covers, parse
from sovereign_ml.jurisdictions._classify import Classification, classify, classify_image, hosts
from sovereign_ml.jurisdictions._countries import (
    adequate_countries,
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
from sovereign_ml.jurisdictions._storage_presets import addressing_of, storage_presets
from sovereign_ml.jurisdictions._table import Jurisdiction, providers

__all__ = [
    "PLAINTEXT",
    "Classification",
    "DatabaseAddressError",
    "FileAddress",
    "Jurisdiction",
    "PostgresAddress",
    "addressing_of",
    "adequate_countries",
    "class_of_country",
    "classify",
    "classify_image",
    "country_codes",
    "covers",
    "hosts",
    "in_eea",
    "parse",
    "providers",
    "read_database_address",
    "read_postgres_address",
    "storage_presets",
]
