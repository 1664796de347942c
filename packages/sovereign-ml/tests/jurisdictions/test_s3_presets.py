"""The table of providers, row by row: what a client of each sends, made by boto from what the preset writes."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.loaders import Loader
from botocore.session import get_session

from sovereign_ml.jurisdictions import addressing_of, preset, preset_names

LOADER = Loader()
"""Shared by all sessions: it reads the description of the service once."""
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


def test_every_provider_has_a_row() -> None:
    assert {row[0] for row in ROWS} == set(preset_names())


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
    chosen = preset(name, region, endpoint=own or None)
    (tmp_path / "config").write_text(chosen.aws_config())
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}
    for variable, value in {
        **keys,
        **chosen.environment(),
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
    }.items():
        monkeypatch.setenv(variable, value)
    session = get_session()
    session.register_component("data_loader", LOADER)
    client = session.create_client("s3")
    url = urlsplit(
        client.generate_presigned_url("put_object", Params={"Bucket": "bucket", "Key": "key"})
    )
    query = parse_qs(url.query)
    assert f"{url.scheme}://{url.netloc}{url.path}" == address
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-Credential"][0].split("/")[2] == signed_for
    assert not [word for word in query if "checksum" in word.lower()]
    assert addressing_of(chosen.endpoint) == chosen.addressing
