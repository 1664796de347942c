"""Cards of other systems are read without loss, and approve nothing."""

import json
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cards import card as good_card
from foreign_cards import AS_ARTICLES_PRINT_IT
from full_card import full_card
from sovereign_ml.card.importers import import_card
from sovereign_ml.card.importers.leaves import flatten
from sovereign_ml.card.render import render_cyclonedx, render_markdown

TOOLKIT = {
    "schema_version": "0.0.2",
    "model_details": {
        "name": "churn",
        "overview": "Finds customers who may leave",
        "owners": [{"name": "CRM analytics", "contact": "crm@corp.example"}],
        "licenses": [{"identifier": "Apache-2.0"}],
    },
    "model_parameters": {"data": [{"name": "orders", "link": "gs://corp/orders"}]},
    "quantitative_analysis": {
        "performance_metrics": [{"type": "auc", "value": "0.9", "slice": "all"}]
    },
    "considerations": {
        "use_cases": [{"description": "Campaigns"}],
        "limitations": [{"description": "Weak for new customers"}],
        "ethical_considerations": [{"name": "Bias", "mitigation_strategy": "Check yearly"}],
    },
}

HUB = """---
license: apache-2.0
library_name: sklearn
tags: [tabular-classification]
datasets:
- corp/orders
custom: {team: crm}
---
# Churn model

Intro text.

### Direct Use

- Campaigns
- Win-back calls

### Out-of-Scope Use

Pricing

## Bias, Risks, and Limitations

[More Information Needed]

## Secret chapter

Ask jane.doe@corp.example
"""


@pytest.fixture
def read(tmp_path):
    def write_and_read(content, name="card.json"):
        path = tmp_path / name
        path.write_text(
            content if isinstance(content, str) else json.dumps(content), encoding="utf-8"
        )
        return import_card(path)

    return write_and_read


def everything(imported):
    taken = {suggestion.origin for suggestion in imported.suggestions}
    return taken | imported.compare.keys() | imported.unmapped.keys()


def suggested(imported):
    return tomllib.loads(imported.toml())


def test_a_sagemaker_card_as_articles_print_it_loses_nothing_and_approves_nothing(read):
    imported = read(AS_ARTICLES_PRINT_IT)
    leaves = {path for path, _ in flatten(AS_ARTICLES_PRINT_IT)} - {"status"}
    assert everything(imported) == leaves
    assert imported.provenance.foreign_status == "Approved"
    assert "'Approved' is not an approval" in imported.provenance.warnings[0]
    text = imported.toml()
    for value in ("CRM team", "2 years", "compliant", "max_depth", "0.91"):
        assert value in text
    assert not set(suggested(imported)) & {"sign_off", "art22", "lawful_basis", "approvals"}


def test_its_texts_are_suggested_where_the_card_asks_for_them(read):
    told = suggested(read(AS_ARTICLES_PRINT_IT))
    assert told["purpose"]["statement"] == "Find customers who may leave"
    assert told["purpose"]["out_of_scope_uses"] == ["Pricing", "Credit decisions"]
    assert told["data"]["sources"] == [{"name": "s3://corp-data/churn/train.csv", "origin": "?"}]
    assert told["dpia"]["risks"] == ["Old customers are scored lower"]


def test_an_imported_card_leaves_the_status_of_ours_a_draft(read):
    imported = read(AS_ARTICLES_PRINT_IT)
    ours = good_card(facts={"imported": imported.provenance.model_dump()})
    assert ours.status != "approved"
    assert ours.approvals == ()


def test_a_person_named_by_e_mail_is_flagged_and_never_copied(read):
    imported = read(AS_ARTICLES_PRINT_IT)
    assert any(
        w.startswith("model_overview.model_creator: holds an e-mail address")
        for w in imported.provenance.warnings
    )
    assert suggested(imported)["roles"]["owner_model"] == "?"
    assert "jane.doe" not in imported.toml() + imported.provenance.model_dump_json()


def test_addresses_are_classified_for_the_audit(read):
    warnings = "\n".join(read(AS_ARTICLES_PRINT_IT).provenance.warnings)
    assert "s3://corp-models/churn/model.tar.gz classifies as US" in warnings
    assert (
        "123456789012.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1 classifies as US"
        in warnings
    )
    assert (
        "arn:aws:sagemaker:eu-central-1:123456789012:training-job/churn classifies as US_PARENT_EU_REGION"
        in warnings
    )


WRAPPINGS = {
    "the answer of DescribeModelCard": lambda inner: {
        "ModelCardName": "churn",
        "ModelCardStatus": "Approved",
        "Content": json.dumps(inner),
    },
    "the answer of DescribeModelPackage": lambda inner: {
        "ModelPackageGroupName": "churn",
        "ModelCard": {"ModelCardContent": json.dumps(inner), "ModelCardStatus": "Approved"},
    },
    "CloudFormation": lambda inner: {"Content": _pascal(inner), "ModelCardStatus": "Approved"},
}


@pytest.mark.parametrize("name", WRAPPINGS)
def test_every_wrapping_of_a_sagemaker_card_reads_the_same(read, name):
    inner = {key: value for key, value in AS_ARTICLES_PRINT_IT.items() if key != "status"}
    wrapped, bare = read(WRAPPINGS[name](inner)), read(inner)
    assert wrapped.suggestions == bare.suggestions
    assert wrapped.compare == bare.compare
    assert wrapped.provenance.foreign_status == "Approved"
    assert {key for key in wrapped.unmapped if not key.startswith("card.")} == set(bare.unmapped)


def test_content_that_is_no_json_is_refused_in_one_line(read):
    with pytest.raises(
        ValueError, match=r"card\.json: the card's Content is a string but not JSON"
    ):
        read({"ModelCardName": "churn", "Content": "{"})


def test_a_toolkit_card_is_read(read):
    imported = read(TOOLKIT)
    assert everything(imported) == {path for path, _ in flatten(TOOLKIT)} - {"schema_version"}
    assert imported.provenance.source == "mct"
    assert suggested(imported)["evaluation"]["limitations"] == ["Weak for new customers"]
    assert list(imported.unmapped) == [
        "model_details.owners[0].contact",
        "model_details.licenses[0].identifier",
        "model_parameters.data[0].link",
    ]


def test_a_hub_card_is_read_with_its_chapters(read):
    imported = read(HUB, "README.md")
    assert imported.provenance.source == "hf"
    assert suggested(imported)["purpose"]["specific_uses"] == ["Campaigns", "Win-back calls"]
    assert "evaluation" not in suggested(imported)
    assert {
        "license",
        "custom.team",
        "body.Secret chapter",
        "body.Churn model",
    } <= imported.unmapped.keys()


def test_an_ml_bom_is_read(read):
    imported = read(render_cyclonedx(full_card()))
    assert imported.provenance.source == "cyclonedx"
    assert imported.provenance.schema_version == "1.6"
    assert suggested(imported)["purpose"]["specific_uses"] == ["Choose who gets a retention offer"]
    assert any(key.startswith("model.modelCard.properties") for key in imported.unmapped)


def test_our_own_markdown_is_read_back_as_hints_only(read):
    imported = read(render_markdown(full_card("article22")), "card.md")
    assert suggested(imported)["purpose"]["specific_uses"] == ["Choose who gets a retention offer"]
    assert "gdpr.decision.art22_applies" in imported.unmapped
    assert "art22" not in suggested(imported)


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("[]", "a.json", "none of their keys is in it"),
        ('{"hello": 1}', "a.json", "none of their keys is in it"),
        ("hello", "a.md", "neither JSON nor Markdown with front matter"),
        ("---\na: [\n---\n", "a.md", "the front matter is not YAML"),
        ("---\n- a\n---\n", "a.md", "the front matter must be a YAML mapping, seen list"),
        ('{"bomFormat": "CycloneDX"}', "a.json", "no component of type machine-learning-model"),
    ],
)
def test_what_is_no_card_is_refused_in_one_line(read, content, name, message):
    with pytest.raises(ValueError, match=message) as refusal:
        read(content, name)
    assert "\n" not in str(refusal.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        import_card(tmp_path / "nothing.json")


def test_the_hash_is_that_of_the_raw_file(read):
    first, second = read(AS_ARTICLES_PRINT_IT), read(json.dumps(AS_ARTICLES_PRINT_IT, indent=1))
    assert len(first.provenance.raw_sha256) == 64
    assert first.provenance.raw_sha256 != second.provenance.raw_sha256
    assert first.suggestions == second.suggestions


@given(
    st.recursive(
        st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    )
)
@settings(max_examples=60, deadline=None)
def test_whatever_a_card_holds_the_suggestion_is_valid_toml_and_nothing_is_lost(
    tmp_path_factory, anything
):
    content = {
        "model_overview": {"model_owner": "a\x00b", "extra": anything},
        "intended_uses": {"intended_uses": anything},
    }
    path = tmp_path_factory.mktemp("import") / "card.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    imported = import_card(path)
    tomllib.loads(imported.toml())
    assert len(everything(imported)) == len(list(flatten(content)))


def _pascal(value):
    if isinstance(value, list):
        return [_pascal(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        "".join(part.title() for part in key.split("_")): item
        if key == "custom_details"
        else _pascal(item)
        for key, item in value.items()
    }
