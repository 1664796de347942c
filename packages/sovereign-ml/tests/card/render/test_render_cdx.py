"""card.cdx.json is a valid CycloneDX ML-BOM that carries the data-protection facts as properties."""

import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from cards import LIBRARY, card
from full_card import full_card
from sovereign_ml.card.build import build
from sovereign_ml.card.render import render_cyclonedx
from sovereign_ml.card.schema import Facts

CARDS = {
    "offer": full_card,
    "article22": lambda: full_card("article22"),
    "small": card,
    "empty": lambda: build(Facts(), {}, card_id="acme-churn"),
}


@pytest.mark.parametrize("version", [SchemaVersion.V1_6, SchemaVersion.V1_7], ids=["1.6", "1.7"])
@pytest.mark.parametrize("name", CARDS)
def test_the_strict_validator_accepts_it(name, version):
    text = json.loads(render_cyclonedx(CARDS[name]()))
    declared = json.dumps(text | {"specVersion": version.to_version()})
    assert JsonStrictValidator(version).validate_str(declared) is None


def test_the_strict_validator_would_refuse_a_wrong_one():
    content = json.loads(render_cyclonedx(full_card()))
    content["metadata"]["component"]["modelCard"]["gdpr"] = {}
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(content)) is not None


def test_the_model_is_a_machine_learning_model_with_hash_and_data():
    content = json.loads(render_cyclonedx(full_card()))
    component = content["metadata"]["component"]
    assert component["type"] == "machine-learning-model"
    assert component["hashes"] == [{"alg": "SHA-256", "content": "b" * 64}]
    refs = {item["bom-ref"] for item in content["components"] if item["type"] == "data"}
    assert {item["ref"] for item in component["modelCard"]["modelParameters"]["datasets"]} == refs


def test_the_library_that_judged_the_card_is_a_component_with_the_hash_of_its_wheel():
    content = json.loads(render_cyclonedx(full_card()))
    (library,) = [item for item in content["components"] if item["type"] == "library"]
    assert (library["name"], library["version"]) == ("sovereign-ml", LIBRARY.version)
    assert library["hashes"] == [{"alg": "SHA-256", "content": LIBRARY.wheel_sha256}]
    assert _properties(full_card())["sovereign:card:rule_digest"] == LIBRARY.rule_digest
    assert (
        "hashes"
        not in json.loads(render_cyclonedx(full_card(**{"library.wheel_sha256": ""})))[
            "components"
        ][-1]
    )


def test_article_22_is_a_property():
    named = _properties(full_card("article22"))
    assert named["sovereign:art22:applies"] == "yes"
    assert named["sovereign:gdpr:lawful_basis:score"] == "6_1_f"
    assert (
        _properties(build(Facts(), {}, card_id="x"))["sovereign:art22:applies"]
        == "not answered yet"
    )


def test_figures_come_with_intervals_and_a_suppressed_slice_stays_out():
    card_part = json.loads(render_cyclonedx(full_card()))["metadata"]["component"]["modelCard"]
    metrics = card_part["quantitativeAnalysis"]["performanceMetrics"]
    assert {
        "type": "brier",
        "value": "0.2047",
        "confidenceInterval": {"lowerBound": "0.199", "upperBound": "0.211"},
    } in metrics
    assert {metric.get("slice") for metric in metrics} == {None, "country=DE", "country=AT"}


def test_the_same_card_gives_the_same_bytes():
    assert render_cyclonedx(full_card()) == render_cyclonedx(full_card())


def _properties(of):
    listed = json.loads(render_cyclonedx(of))["metadata"]["component"]["modelCard"]["properties"]
    return {item["name"]: item["value"] for item in listed}


def test_a_component_with_two_hosts_lists_both():
    host = {"component": "artifacts", "jurisdiction_class": "EU_OWNED"}
    hosts = [host | {"hostname": name} for name in ("s3.acme.example", "copy.acme.example")]
    content = json.loads(render_cyclonedx(card(facts={"hosting": hosts})))
    properties = content["metadata"]["component"]["modelCard"]["properties"]
    listed = [row["value"] for row in properties if row["name"] == "sovereign:hosting:artifacts"]
    assert listed == ["s3.acme.example", "copy.acme.example"]
