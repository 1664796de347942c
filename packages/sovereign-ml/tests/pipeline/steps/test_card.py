"""Step 6: the card holds the run's own facts, and a wrong answer is named."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from small_project import load, make_project, step
from sovereign_ml.card.schema.model_card import Card, read
from sovereign_ml.config.settings import Settings
from sovereign_ml.errors import Misuse
from sovereign_ml.storage.artifacts import read_json

FILES = ("card.json", "card.md", "card.html", "card.cdx.json")


@pytest.fixture(scope="module")
def document(card: Path) -> Card:
    return read(card / "card.json")


def test_the_card_comes_in_four_formats(card: Path) -> None:
    assert all((card / name).stat().st_size > 1000 for name in FILES)
    assert json.loads((card / "card.cdx.json").read_text())["bomFormat"] == "CycloneDX"


def test_the_figures_are_those_of_the_evaluation(document: Card, metrics: Path) -> None:
    found, shown = read_json(metrics / "metrics.json"), document.facts.evaluation
    assert shown.metrics["roc_auc"].value == found["model"]["roc_auc"]["value"]
    assert shown.customers == found["customers"]
    assert [gap.value for gap in shown.fairness] == [gap["value"] for gap in found["fairness"]]


def test_the_model_is_named_by_the_bytes_of_its_file(document: Card, model: Path) -> None:
    import hashlib

    assert (
        document.facts.model.artifact_sha256
        == hashlib.sha256((model / "model.json").read_bytes()).hexdigest()
    )
    assert document.facts.run.pipeline_run_id == read_json(model / "run.json")["run_id"]


def test_nobody_who_objected_or_gave_no_consent_is_found_in_the_data(document: Card) -> None:
    consent = document.facts.consent
    assert (consent.leak_count, consent.withdrawn_rows_found, consent.valid_share_of_rows) == (
        0,
        0,
        1,
    )
    assert document.facts.retention.erased_subjects_still_in_snapshot == 0


def test_a_leak_would_be_counted(
    model: Path, metrics: Path, features: Path, valid: Path, settings: Settings, tmp_path: Path
) -> None:
    """Somebody objects after the features were computed: the card must say that rows of theirs are still there."""
    changed = tmp_path / "2_valid"
    changed.mkdir()
    for path in valid.iterdir():
        (changed / path.name).write_bytes(path.read_bytes())
    someone = pd.read_parquet(features / "training.parquet")["customer_id"].iloc[0]
    people = pd.read_parquet(valid / "customers.parquet")
    people.loc[people["customer_id"] == someone, "objected_at"] = pd.Timestamp(
        "2026-01-01", tz="UTC"
    )
    people.loc[people["customer_id"] == someone, "consent"] = False
    people.to_parquet(changed / "customers.parquet", index=False)
    step("card", settings, model, metrics, features, changed, tmp_path / "6_card")
    consent = read(tmp_path / "6_card/card.json").facts.consent
    assert consent.leak_count >= 1
    assert consent.withdrawn_rows_found is not None
    assert consent.withdrawn_rows_found >= 1


def test_no_customer_is_in_any_format(card: Path, features: Path) -> None:
    text = "".join((card / name).read_text() for name in FILES)
    ids = pd.read_parquet(features / "snapshots.parquet")["customer_id"].unique()
    assert not [one for one in ids if one in text]


def test_people_are_counted_in_ranges_only(document: Card, features: Path) -> None:
    people = pd.read_parquet(features / "training.parquet")["customer_id"].nunique()
    assert document.facts.data.subjects in ("100-999", "1,000-9,999")
    assert str(people) not in document.facts.data.model_dump_json()


def test_the_html_asks_no_other_server(card: Path) -> None:
    page = (card / "card.html").read_text()
    assert not re.findall(
        r'<script|<iframe|@import|src="(?!data:)|<link[^>]+href="(?!data:)|url\((?!data:)', page
    )


def test_open_questions_leave_a_draft_that_says_so(card: Path, document: Card) -> None:
    assert document.status == "draft"
    assert read_json(card / "summary.json")["headline"].startswith("draft: ")
    assert (
        read_json(card / "summary.json")["rows_out"] < read_json(card / "summary.json")["rows_in"]
    )


def test_the_same_facts_and_answers_give_the_same_content_hash(
    model: Path,
    metrics: Path,
    features: Path,
    valid: Path,
    card: Path,
    settings: Settings,
    tmp_path: Path,
) -> None:
    step("card", settings, model, metrics, features, valid, tmp_path / "again")
    assert read(tmp_path / "again/card.json").content_hash == read(card / "card.json").content_hash


def test_an_answer_that_does_not_fit_is_named_and_the_old_card_stays(
    model: Path, metrics: Path, features: Path, valid: Path, tmp_path: Path
) -> None:
    root = make_project(tmp_path / "own")
    answers = root / "model_card.toml"
    answers.write_text(
        re.sub(
            r"(?m)^fairness_tolerance = .*$", 'fairness_tolerance = "a bit"', answers.read_text()
        )
    )
    output = tmp_path / "6_card"
    output.mkdir()
    (output / "old.txt").write_text("old")
    with pytest.raises(Misuse, match=r"model_card\.toml.*fairness_tolerance"):
        step("card", load(root), model, metrics, features, valid, output)
    assert [path.name for path in output.iterdir()] == ["old.txt"]
