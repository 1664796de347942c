"""The table of providers, row by row: what the project's client of each preset sends."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest

from sovereign_ml.config.connections import ObjectStorage
from sovereign_ml.jurisdictions import addressing_of, classify, storage_presets
from sovereign_ml.storage import s3

SESSION = boto3.session.Session("key", "not-a-secret")
"""Shared by all rows: it reads the description of the service once."""
ROWS = [
    ("hetzner", "fsn1", "", "https://fsn1.your-objectstorage.com/bucket/key", "fsn1"),
    ("ovhcloud", "gra", "", "https://s3.gra.io.cloud.ovh.net/bucket/key", "gra"),
    (
        "ovhcloud",
        "eu-west-par",
        "",
        "https://s3.eu-west-par.io.cloud.ovh.net/bucket/key",
        "eu-west-par",
    ),
    ("scaleway", "fr-par", "", "https://s3.fr-par.scw.cloud/bucket/key", "fr-par"),
    ("ionos", "eu-central-1", "", "https://s3.eu-central-1.ionoscloud.com/bucket/key", "de"),
    (
        "ionos",
        "eu-central-3",
        "",
        "https://s3.eu-central-3.ionoscloud.com/bucket/key",
        "eu-central-3",
    ),
    ("exoscale", "de-fra-1", "", "https://sos-de-fra-1.exo.io/bucket/key", "de-fra-1"),
    ("stackit", "eu01", "", "https://object.storage.eu01.onstackit.cloud/bucket/key", "eu01"),
    ("t-cloud-public", "eu-de", "", "https://bucket.obs.eu-de.otc.t-systems.com/key", "eu-de"),
    (
        "t-cloud-public",
        "eu-ch2",
        "",
        "https://bucket.obs.eu-ch2.sc.otc.t-systems.com/key",
        "eu-ch2",
    ),
    (
        "upcloud",
        "europe-1",
        "https://ab12c.upcloudobjects.com",
        "https://ab12c.upcloudobjects.com/bucket/key",
        "europe-1",
    ),
    (
        "self-hosted",
        "default",
        "https://s3.acme.example:7480",
        "https://s3.acme.example:7480/bucket/key",
        "default",
    ),
    (
        "self-hosted",
        "garage",
        "https://s3.acme.example:3900",
        "https://s3.acme.example:3900/bucket/key",
        "garage",
    ),
    (
        "self-hosted",
        "us-east-1",
        "https://s3.acme.example:9000",
        "https://s3.acme.example:9000/bucket/key",
        "us-east-1",
    ),
]


def address_of(row: dict[str, Any], region: str) -> str:
    """Return the endpoint of a region of one row of the table."""
    address = row.get("endpoints", {}).get(region, row["endpoint"])
    return str(address.format(region=region))


def test_every_provider_has_a_row() -> None:
    assert {row[0] for row in ROWS} == storage_presets().keys()


@pytest.mark.parametrize(("name", "region", "own", "address", "signed_for"), ROWS)
def test_a_client_sends_to_the_right_host_in_the_right_style_signed_for_the_right_region(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    region: str,
    own: str,
    address: str,
    signed_for: str,
) -> None:
    row = storage_presets()[name]
    endpoint = own or address_of(row, region)
    assert row.get("signing", {}).get(region, region) == signed_for
    monkeypatch.setattr("boto3.DEFAULT_SESSION", SESSION)
    style = addressing_of(endpoint)
    client = s3.client(ObjectStorage(endpoint, signed_for, "bucket", style, tmp_path / "config"))
    url = urlsplit(
        client.generate_presigned_url("put_object", Params={"Bucket": "bucket", "Key": "key"})
    )
    query = parse_qs(url.query)
    assert f"{url.scheme}://{url.netloc}{url.path}" == address
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-Credential"][0].split("/")[2] == signed_for
    assert not [word for word in query if "checksum" in word.lower()]
    assert style == row["addressing"]


def test_every_endpoint_belongs_to_its_provider_and_to_a_european_class() -> None:
    for row in storage_presets().values():
        for region in row["regions"] if "endpoint" in row else ():
            owner = classify(address_of(row, region))
            assert owner.provider == row["provider"]
            assert owner.jurisdiction.startswith(("EU_", "ADEQUATE"))
