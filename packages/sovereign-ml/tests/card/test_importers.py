"""Cards of other systems are read without loss, and approve nothing."""

import json
import re
import time
import tomllib
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cards import card as good_card
from foreign_cards import AS_ARTICLES_PRINT_IT
from full_card import full_card
from sovereign_ml.card.importers import import_card
from sovereign_ml.card.importers.leaves import flatten
from sovereign_ml.card.render import render_cyclonedx, render_markdown

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


PUBLIC = sorted((Path(__file__).parents[1] / "data" / "public_cards").glob("*.[jm][sd]*"))
PUBLIC = [path for path in PUBLIC if path.suffix != ".license"]


def filled(text):
    """Return the hub's template as its library fills it; any other text as it is."""
    text = re.sub(r"\{\{ *card_data *\}\}", "license: mit", text)
    return re.sub(r"\{\{ (\w+) \| default\(.*?\) *\}\}", r"text of \1", text)


def plain_values(node):
    """Count the plain values of nested data; a list of them is one, as in the importers."""
    if isinstance(node, dict) and node:
        return sum(map(plain_values, node.values()), Counter())
    if isinstance(node, list) and any(isinstance(item, dict | list) for item in node):
        return sum(map(plain_values, node), Counter())
    return Counter([str(node)])


CARDS = {path.name: filled(path.read_text(encoding="utf-8")) for path in PUBLIC}
CARDS["sagemaker.json"] = json.dumps(AS_ARTICLES_PRINT_IT)


def source_of(name, text):
    """Return the data of a card and the lines of its text, read without the importers."""
    if name.endswith(".json"):
        return json.loads(text), []
    front, _, body = text.removeprefix("---\n").partition("\n---\n")
    return yaml.load(front, Loader=yaml.BaseLoader), body.splitlines()


@pytest.mark.parametrize("name", CARDS)
def test_a_public_card_loses_no_leaf(name, read):
    """Every value of the file is suggested, compared, listed, or in the provenance."""
    text = CARDS[name]
    imported = read(text, name)
    kept = {
        **{row.origin: row.value for row in imported.suggestions},
        **imported.compare,
        **imported.unmapped,
    }
    data, lines = source_of(name, text)
    lost = plain_values(data) - Counter(str(value) for value in kept.values())
    provenance = imported.provenance
    named = {
        "CycloneDX",
        provenance.schema_version,
        provenance.foreign_status,
        str(data.get("$schema")),
    }
    assert set(lost) - named == set()
    shown = "\n".join([*map(str, kept), *map(str, kept.values())])
    left = [line for line in lines if line.strip("# ").strip() not in shown]
    assert left == []
    tomllib.loads(imported.toml())


def test_the_public_cards_are_of_every_source_that_is_read(read):
    assert {read(text, name).provenance.source for name, text in CARDS.items()} == {
        "cyclonedx",
        "hf",
        "sagemaker",
    }


def test_the_template_of_the_hub_fills_the_answers_that_it_asks_for(read):
    template = next(path for path in PUBLIC if "modelcard_template" in path.name).read_text()
    told = suggested(read(filled(template), "README.md"))
    assert told["purpose"]["specific_uses"] == ["text of direct_use"]
    assert told["purpose"]["out_of_scope_uses"] == ["text of out_of_scope_use"]
    assert told["evaluation"]["limitations"] == ["text of bias_risks_limitations"]


SECTION = {"model_overview": {"model_owner": "team"}}
MODEL = {"type": "machine-learning-model", "name": "churn"}
HOSTILE = {
    "aliases": ("---\na: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in pairwise("abcdefghi")) + "---\n", "anchors or aliases"),
    "a loop": ("---\na: &a\n  b: *a\n---\n", "anchors or aliases"),
    "deep YAML": ("---\na: " + "[" * 3000 + "]" * 3000 + "\n---\n", "nested deeper than 50"),
    "wide YAML": ("---\n" + "".join(f"k{n}: 1\n" for n in range(11_000)) + "---\n", "more than 5,000 values"),
    "long YAML": ("---\na: " + "x" * 300_000 + "\n---\n", "longer than 200,000"),
    "a key twice in YAML": ("---\nlicense: mit\nlicense: cc-by-nc-4.0\n---\n", "'license' stands twice"),
    "a complex key": ("---\n? [a, b]\n: c\n---\n", "key that is no text"),
    "a key twice": ('{"intended_uses": {"a": 1}, "intended_uses": {"b": 2}}', "'intended_uses' stands twice"),
    "a key twice inside": ('{"Content": "{\\"model_overview\\": {\\"a\\": 1, \\"a\\": 2}}"}', "none of their keys|stands twice"),
    "deep JSON": ('{"model_overview": ' + "[" * 2000 + "]" * 2000 + "}", "nested deeper than 50|neither JSON"),
    "deeper JSON": ("[" * 100_000, "neither JSON"),
    "wide JSON": ('{"model_overview": {' + ",".join(f'"k{n}": 1' for n in range(6000)) + "}}", "more than 5,000 values"),
    "equal paths": (json.dumps({"model_overview": {"a.b": 1, "a": {"b": 2}}, "x": 1}), ""),
    "components a number": ('{"bomFormat": "CycloneDX", "components": 5}', "another shape"),
    "metadata a list": ('{"bomFormat": "CycloneDX", "metadata": [1]}', "another shape"),
    "metadata a text": ('{"bomFormat": "CycloneDX", "metadata": "x"}', "another shape"),
    "XML": ('<bom xmlns="http://cyclonedx.org/schema/bom/1.5"></bom>', "convert it to JSON"),
    "textproto": ('spec_version: "1.5"\n', "convert it to JSON"),
    "chapters": ("---\na: b\n---\n" + "# x\n" * 6000, "more than 5,000 chapters"),
    "one heading": ("---\na: b\n---\n# a" + "#" * 60_000 + "x\n", ""),
    "one word": (json.dumps({"model_overview": {"overview": "a" * 1_000_000}}), ""),
    "dots": (json.dumps({"model_overview": {"overview": "a." * 500_000}}), ""),
    "at signs": (json.dumps({"model_overview": {"overview": "a@" * 500_000}}), ""),
    "a chat": ('{"role": "user", "content": {"password": "x"}}', "none of their keys"),
    "a notebook": ('{"content": "hi"}', "none of their keys"),
    "two search results": (json.dumps({"Results": [{"ModelCard": {"Content": "{}", "ModelCardName": "a"}}] * 2}), "holds 2 cards"),
    "stars": ("---\na: b\n---\n" + "*a " * 200_000, ""),
    "quotes": ("---\na: b\n---\n" + ">" * 100_000 + "\n", ""),
    "list items": ("---\na: b\n---\n## Direct Use\n" + "- a\n" * 30_000, ""),
    "references": ("---\na: b\n---\n" + "".join(f"[{n}]: http://x/{n}\n" for n in range(10_000)), ""),
    "one chapter often": ("---\na: b\n---\n" + "## Direct Use\nx\n" * 4_000, ""),
    "comments without end": ("---\na: b\n---\n## Limitations\n" + "<!--" * 40_000, ""),
    "half a character": ('{"model_overview": {"model_owner": "\\ud800"}}', r"holds \\ud800, half of a character"),
    "half a character inside": (json.dumps({"Content": '{"model_overview": {"a": "\\ud800"}}'}), "half of a character|none of their keys"),
    "brackets": ("---\na: b\n---\n" + "[" * 100_000 + "\n", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_answered_in_one_line_and_at_once(read, name):
    content, message = HOSTILE[name]
    start = time.process_time()
    if message:
        with pytest.raises(ValueError, match=message) as refusal:
            read(content, "card.md")
        assert "\n" not in str(refusal.value)
    else:
        read(content, "card.md").toml()
    # processor seconds, not waiting: a busy machine takes more than one
    assert time.process_time() - start < 10


@pytest.mark.parametrize("tags", ["2024", "true", "1.5", "[a, 1]", "{a: b}", "null"])
def test_tags_of_any_shape_and_dates_that_are_none_are_read_as_text(read, tags):
    imported = read(f"---\ntags: {tags}\ndate: 2024-02-30\nlanguage: [no]\n---\n", "README.md")
    assert imported.unmapped["date"] == "2024-02-30"
    assert imported.unmapped["language"] == ["no"]


FENCED = """---
license: mit
---
Direct Use
----------
```python
# Metrics
print(auc)
# Training Data
load()
```
Only for choosing who gets
a retention offer.

##Not a heading
## 2. **Out-of-scope use:**
<!-- Provide a longer summary -->
* Pricing
  of goods
* Credit
## Limitations and bias
-3 points AUC for new customers
## Limitations and bias
**Bold:** text
"""


def test_chapters_are_cut_at_headings_and_prose_and_signs_stay(read):
    imported = read(FENCED, "README.md")
    told = suggested(imported)
    (use,) = told["purpose"]["specific_uses"]
    assert use.endswith("Only for choosing who gets a retention offer. ##Not a heading")
    assert "# Training Data" in use
    assert told["purpose"]["out_of_scope_uses"] == ["Pricing of goods", "Credit"]
    assert told["evaluation"]["limitations"] == [
        "-3 points AUC for new customers",
        "**Bold:** text",
    ]
    assert "data" not in told


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\x85"])
def test_a_separator_within_a_line_moves_no_text_under_another_heading(read, sign):
    chapters = (
        f"## Direct Use\nA{sign}B{sign}C\n\nD\n## Out-of-Scope Use\nCredit\n## Limitations\nE\n"
    )
    told = suggested(read(f"---\na: b\n---\n{chapters}", "README.md"))
    assert told["purpose"]["out_of_scope_uses"] == ["Credit"]
    assert told["evaluation"]["limitations"] == ["E"]


def test_a_card_whose_code_block_never_ends_is_listed_whole(read):
    imported = read("---\na: b\n---\n## Direct Use\n```python\n# Metrics\nx\n", "README.md")
    assert imported.suggestions == ()
    assert imported.unmapped["body"].endswith("# Metrics\nx")


@pytest.mark.parametrize(
    "title",
    ["Limitations", "LIMITATIONS:", "3. Limitations", "**Limitations**", "Limitations and Bias(es)", "Bias, Risks, and Limitations"],
)  # fmt: skip
def test_the_usual_spellings_of_a_chapter_are_known(read, title):
    imported = read(f"Some title\n\n## {title}\n\nWeak for new customers\n", "README.md")
    assert suggested(imported)["evaluation"]["limitations"] == ["Weak for new customers"]


def test_two_contents_and_outer_sections_are_all_kept(read):
    inner = json.dumps(SECTION)
    other = json.dumps({"model_overview": {"model_owner": "other"}})
    outer = {"model_overview": {"model_owner": "outer team"}, "Content": inner}
    told = read(
        outer | {"ModelCardContent": other, "Status": "Approved", "ModelCardStatus": "Draft"}
    )
    values = [
        *(row.value for row in told.suggestions),
        *told.compare.values(),
        *told.unmapped.values(),
    ]
    assert {"outer team", "team", "other"} <= set(values)
    assert told.provenance.foreign_status == "Approved, Draft"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda card: {"Results": [{"ModelCard": card}]},
        lambda card: {
            "Resources": {"C": {"Type": "AWS::SageMaker::ModelCard", "Properties": card}}
        },
        lambda card: {"ModelCard": json.dumps(SECTION)},
    ],
)
def test_a_card_in_a_search_answer_a_template_or_a_string_is_opened(read, wrap):
    told = read(wrap({"Content": json.dumps(SECTION), "ModelCardName": "churn"}))
    assert suggested(told)["roles"]["owner_business"] == "team"


def test_a_template_in_yaml_is_opened(read):
    told = read(
        "Resources:\n  C:\n    Type: AWS::SageMaker::ModelCard\n    Properties:\n"
        "      Content:\n        IntendedUses: {PurposeOfModel: !Sub Campaigns}\n",
        "card.yaml",
    )
    assert suggested(told)["purpose"]["statement"] == "Campaigns"


def test_the_sanitised_version_is_named_as_such(read):
    told = read(SECTION | {"IncludedData": "MetadataOnly"})
    assert "sanitised" in told.provenance.warnings[0]


def test_the_model_with_a_card_is_read_wherever_it_is_nested_and_the_others_are_named(read):
    card = {"considerations": {"useCases": ["Campaigns"], "fairnessAssessments": [{"harms": "fewer offers"}]},
            "modelParameters": {"datasets": [{"name": "orders"}]}}  # fmt: skip
    nested = {"type": "application", "name": "app", "components": [MODEL | {"modelCard": card}]}
    base = MODEL | {"name": "bert-base"}
    told = read({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [base, nested]})
    assert suggested(told)["purpose"]["specific_uses"] == ["Campaigns"]
    assert suggested(told)["dpia"]["risks"] == ["fewer offers"]
    assert suggested(told)["data"]["sources"][0]["name"] == "orders"
    assert "1 more models, not read: bert-base" in told.provenance.warnings[0]
    assert "bert-base" in str(told.unmapped)


def test_a_picture_and_a_long_list_of_parts_do_not_fill_the_answer(read):
    parts = [{"type": "library", "name": f"p{n}", "version": "1"} for n in range(3000)]
    told = read({"bomFormat": "CycloneDX", "components": [MODEL | {"description": "x" * 90_000}, *parts],
                 "metadata": {"picture": "A" * 95_000}})  # fmt: skip
    assert "3,000 other components" in str(told.unmapped)
    assert len(told.unmapped) < 100


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


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_spellings_of_one_key_none_is_lost(read, order):
    pairs = [("ModelName", "first"), ("model_name", "second"), ("modelName", "third")][::order]
    imported = read({"model_overview": dict(pairs)})
    values = {**imported.compare, **imported.unmapped}.values()
    assert sorted(values) == ["first", "second", "third"]
