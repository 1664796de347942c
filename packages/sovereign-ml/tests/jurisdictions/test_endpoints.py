"""The classifier on the corpus, the rule that nothing unknown is European, and container images."""

import string
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import sovereign_ml.jurisdictions
from sovereign_ml.jurisdictions import (
    Jurisdiction,
    adequate_countries,
    class_of_country,
    classify,
    classify_image,
    country_codes,
    hosts,
    providers,
)

TODAY = datetime.now(UTC).date()
CORPUS = Path(__file__).parents[1] / "data" / "addresses.tsv"
SUFFIXES = [suffix for provider in providers() for suffix, _ in provider.suffixes]
PLAIN = {suffix.split("*")[-1].lstrip(".") for suffix in SUFFIXES}
PASSES = {member for member in Jurisdiction if member.value.startswith(("EU_", "ADEQUATE"))}


def corpus() -> list[tuple[str, str]]:
    lines = CORPUS.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("# ")]
    assert [row for row in rows if len(row) != 3 or not row[2].strip()] == []
    return [(address, expected) for address, expected, _ in rows]


def test_the_corpus_is_classified_without_a_miss():
    seen = [(address, classify(address).jurisdiction.value) for address, _ in corpus()]
    assert seen == corpus()


def test_the_corpus_is_large_and_meets_every_class_and_every_storage_provider():
    rows = corpus()
    assert len(dict(rows)) == len(rows) >= 500
    assert {expected for _, expected in rows} == {member.value for member in Jurisdiction}
    met = {classify(address).provider for address, _ in rows}
    european = {
        row.name for row in providers() if any(where in PASSES for _, where in row.suffixes)
    }
    beyond_storage = {"ZenML", "Weaviate Cloud", "Dataiku Cloud", "JetBrains"}
    assert european - met <= beyond_storage


def test_every_entry_names_its_source_and_none_is_older_than_a_year():
    """A red line here is work: look the owner up again, then set `checked`."""
    old = [row.name for row in providers() if row.checked < TODAY - timedelta(days=365)]
    assert old == []
    assert [row.name for row in providers() if not row.source] == []
    countries = Path(sovereign_ml.jurisdictions.__file__).with_name("countries.toml")
    decisions = tomllib.loads(countries.read_text(encoding="utf-8"))["adequacy"]
    assert [code for code, row in decisions.items() if not (row["decision"] and row["date"])] == []


@pytest.mark.parametrize(
    ("country", "parent", "expected"),
    [
        ("DE", "", "SELF_DECLARED"),
        ("IS", "", "SELF_DECLARED"),
        ("DE", "US", "US_PARENT_EU_REGION"),
        ("DE", "CN", "EU_HQ_FOREIGN_OWNER"),
        ("DE", "FR", "SELF_DECLARED"),
        ("US", "", "US"),
        ("GB", "", "ADEQUATE_NON_EU"),
        ("GB", "US", "US"),
        ("CH", "", "ADEQUATE_NON_EU"),
        ("NZ", "", "ADEQUATE_NON_EU"),
        ("JP", "", "ADEQUATE_NON_EU"),
        ("CN", "", "OTHER_THIRD_COUNTRY"),
        ("TW", "", "OTHER_THIRD_COUNTRY"),
    ],
)
def test_a_country_decides_the_class(country, parent, expected):
    assert class_of_country(country, parent) == expected


def test_no_provider_of_a_country_with_a_decision_is_called_without_one():
    wrong = [
        row.name
        for row in providers()
        if row.country in adequate_countries()
        and any(where == "OTHER_THIRD_COUNTRY" for _, where in row.suffixes)
    ]
    assert wrong == []
    assert {row.country for row in providers()} <= country_codes()


def test_no_suffix_is_listed_twice():
    assert len(SUFFIXES) == len(set(SUFFIXES))


labels = st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=12)
host_names = st.lists(labels, min_size=1, max_size=5).map(".".join)


def under_the_table(host: str) -> bool:
    return host in PLAIN or host.endswith(tuple(f".{suffix}" for suffix in PLAIN))


@given(
    host=host_names,
    near=st.sampled_from(SUFFIXES),
    how=st.sampled_from(["alone", "glued", "before", "userinfo", "path"]),
)
@example(host="evil", near="scw.cloud", how="glued")
@settings(max_examples=1000, deadline=None)
def test_no_host_outside_the_table_is_ever_european(host, near, how):
    near = near.replace("*", "x")
    address = {
        "alone": host,
        "glued": f"https://{host}{near}",
        "before": f"https://{near}.{host}",
        "userinfo": f"https://{near}@{host}/",
        "path": f"https://{host}/{near}?{near}#{near}",
    }[how]
    seen = classify(address)
    assume(not under_the_table(seen.host))
    assert seen.jurisdiction not in PASSES


@given(st.text(max_size=60))
@settings(max_examples=1000, deadline=None)
def test_any_text_is_classified_and_none_of_it_is_european_without_a_known_suffix(text):
    seen = classify(text)
    assert seen.jurisdiction not in PASSES or under_the_table(seen.host)


def test_s3_without_an_endpoint_is_amazon_and_with_one_is_the_endpoint():
    assert classify("s3://bucket/key").provider == "Amazon Web Services"
    assert (
        classify("s3://bucket/key", s3_endpoint="https://s3.fr-par.scw.cloud").provider
        == "Scaleway"
    )
    stored = classify("models:/churn@champion", tracking_uri="https://mlflow.acme.fly.dev")
    assert stored.jurisdiction == "US"


@pytest.mark.parametrize(
    ("image", "provider"),
    [
        ("python:3.11-slim", "Docker"),
        ("acme/app", "Docker"),
        ("acme/app@sha256:00", "Docker"),
        ("ghcr.io/acme/app:1", "GitHub"),
        ("rg.fr-par.scw.cloud/acme/app:1", "Scaleway"),
        ("registry.acme.de:5000/app", ""),
        ("localhost/app", ""),
        ("docker://quay.io/acme/app", "IBM and Red Hat"),
    ],
)
def test_an_image_without_a_registry_comes_from_docker(image, provider):
    assert classify_image(image).provider == provider


def test_the_hosts_of_a_profile_are_those_outside_this_machine():
    values = [
        "sqlite:///x.db",
        "https://mlflow.acme.de:5000/x",
        "s3://bucket/feast",
        "redis",
        "http://localhost:1",
    ]
    assert hosts([*values, "https://s3.fr-par.scw.cloud"]) == (
        "mlflow.acme.de",
        "s3.fr-par.scw.cloud",
    )
