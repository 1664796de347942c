"""The endpoints of the question about storage are those of the library's table of providers."""

import json
from pathlib import Path

from sovereign_ml.jurisdictions import storage_presets

ANSWERS = json.loads((Path(__file__).parents[1] / "cookiecutter.json").read_text())


def test_every_provider_of_the_table_can_be_chosen_and_no_other() -> None:
    assert ANSWERS["s3_provider"] == list(storage_presets())
    assert ANSWERS["_s3"].keys() == storage_presets().keys()


def test_endpoint_and_signing_region_are_those_of_the_table() -> None:
    for name, answer in ANSWERS["_s3"].items():
        row = storage_presets()[name]
        signing = row.get("signing", {})
        (region,) = [key for key in row["regions"] if signing.get(key, key) == answer["region"]]
        if "own_endpoint" not in row:
            address = row.get("endpoints", {}).get(region, row["endpoint"])
            assert answer["endpoint"] == address.format(region=region)
