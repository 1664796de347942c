"""The endpoints of the question about storage are those of the library's table of providers."""

import json
from pathlib import Path

from sovereign_ml.jurisdictions import preset, preset_names, region_names

ANSWERS = json.loads((Path(__file__).parents[1] / "cookiecutter.json").read_text())


def test_every_provider_of_the_table_can_be_chosen_and_no_other() -> None:
    assert tuple(ANSWERS["s3_provider"]) == preset_names()
    assert set(ANSWERS["_s3"]) == set(preset_names())


def test_endpoint_and_signing_region_are_those_of_the_table() -> None:
    for name, written in ANSWERS["_s3"].items():
        own = written["endpoint"] if name in ("upcloud", "self-hosted") else None
        made = [preset(name, region, endpoint=own) for region in region_names(name)]
        assert written in [{"endpoint": one.endpoint, "region": one.signing_region} for one in made]
