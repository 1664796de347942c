"""Step 7: refuse with every reason, or write a sealed bundle and a registry version."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from churn.contract import FEATURES
from small_project import load, make_project, step
from sovereign_ml.bundle.library_identity import LibraryIdentity, State
from sovereign_ml.bundle.sealed import read_bundle
from sovereign_ml.card.schema.model_card import Card, read
from sovereign_ml.config.settings import Settings
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.pipeline import registration
from sovereign_ml.registry import bundle_files, mlflow
from sovereign_ml.storage.artifacts import read_json, write_json

Change = Callable[[dict[str, Any]], None]


def test_the_bundle_reads_as_whole_and_holds_what_was_made(
    bundle: Path, model: Path, card: Path, settings: Settings
) -> None:
    found = read_bundle(bundle)
    assert (bundle / "model.json").read_bytes() == (model / "model.json").read_bytes()
    assert (bundle / "card.html").read_bytes() == (card / "card.html").read_bytes()
    assert set(found.manifest.files) >= {
        "model.json",
        "contract.json",
        "policy.json",
        "card.json",
        "card.html",
    }
    assert found.rules == settings.rule_policy
    assert [feature.name for feature in found.contract.features] == [f.name for f in FEATURES]
    assert found.manifest.data_version == read_json(model / "run.json")["data_version"]


def test_a_bundle_changed_after_sealing_is_not_read(bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(bundle, tmp_path / "7_bundle")
    (copy / "model.json").write_text((copy / "model.json").read_text().replace("0.", "0.1", 1))
    with pytest.raises(
        ValueError, match=r"model\.json: SHA-256 .*changed after the bundle was sealed"
    ):
        read_bundle(copy)


def test_the_policy_has_the_configured_bands(bundle: Path) -> None:
    policy = read_bundle(bundle).policy
    assert policy.names == ("low", "medium", "high")
    assert policy.thresholds == (0.45, 0.7)
    assert policy.action_band == "high"


def test_the_policy_says_how_old_features_may_be(settings: Settings) -> None:
    def allowed(age: int | None, horizon: int) -> int:
        score = settings.score.model_copy(update={"max_feature_age_days": age})
        made = bundle_files.policy(
            score,
            "churn",
            significant_effect=False,
            human_review=False,
            reviewer_contact="",
            horizon_days=horizon,
        )
        return made.max_feature_age_days

    assert (allowed(None, 30), allowed(None, 60), allowed(7, 60)) == (30, 60, 7)


def test_the_registry_has_the_version_as_candidate_with_its_card(
    settings: Settings, bundle: Path, card: Path
) -> None:
    api, version = mlflow.client(settings.tracking), read_bundle(bundle).manifest.version
    found = api.get_model_version_by_alias(settings.project.name, "candidate")
    assert str(found.version) == version
    assert found.tags["card_hash"] == read(card / "card.json").content_hash
    assert {entry.path for entry in api.list_artifacts(found.run_id, "card")} >= {
        "card/card.html",
        "card/card.json",
    }
    assert api.get_run(found.run_id).data.metrics["roc_auc"] > 0.5


def test_registering_the_same_model_and_card_again_finds_the_same_version_and_seals_the_same_bundle(
    settings: Settings,
    model: Path,
    metrics: Path,
    features: Path,
    valid: Path,
    card: Path,
    bundle: Path,
    tmp_path: Path,
) -> None:
    step("register", settings, model, metrics, features, valid, card, tmp_path / "7_bundle")
    assert (tmp_path / "7_bundle/bundle.json").read_bytes() == (bundle / "bundle.json").read_bytes()
    versions = mlflow.client(settings.tracking).search_model_versions(
        f"name = '{settings.project.name}'"
    )
    assert len(versions) == 1


# Refusals: nothing is written and nothing is registered.


@pytest.mark.parametrize("state", ["development", "changed"])
def test_a_library_that_may_not_judge_is_refused_before_mlflow_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: State
) -> None:
    library = LibraryIdentity("2026.11.0", "", "f" * 64, state, problems=("model.py was changed",))
    monkeypatch.setattr(registration, "project_identity", lambda _: library)
    write_json(tmp_path / "metrics.json", {})
    tracking = SimpleNamespace(root=tmp_path, profile="eu")
    fields = {field.name: None for field in dataclasses.fields(registration.Registration)}
    step_7 = import_module("churn.steps._7_register").register
    folders = dict.fromkeys(("model", "metrics", "features", "valid", "card"), tmp_path)
    with pytest.raises(Refused, match=r"^Not registered: .*sovereign-ml"):
        step_7(
            **folders,
            output=tmp_path / "out",
            cards=SimpleNamespace(),  # it would ask MLflow for the card in production
            registration=registration.Registration(**{**fields, "tracking": tracking}),
        )
    assert not (tmp_path / "out").exists()


def worse(name: str, value: float) -> Change:
    def change(found: dict[str, Any]) -> None:
        found["model"][name]["value"] = value

    return change


def wide_gap(found: dict[str, Any]) -> None:
    found["fairness"] = [{**found["fairness"][0], "value": 1.01}]


def unfaithful(found: dict[str, Any]) -> None:
    found["explanations"]["fidelity"] = 0.04


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (unfaithful, "the scorecard differs from the fitted model by 0.04 in probability"),
        (worse("roc_auc", 0.6), "ROC AUC 0.600 is below min_roc_auc"),
        (worse("brier", 0.4), "Brier 0.400 is not below max_brier_share"),
        (worse("calibration_slope", 0.2), "calibration slope 0.20 is outside"),
        (wide_gap, "between the groups of country is 1.010, above max_fairness_gap"),
    ],
    ids=["fidelity", "AUC", "Brier", "calibration", "fairness"],
)
def test_the_gate_refuses_and_the_old_bundle_stays(
    settings: Settings,
    model: Path,
    metrics: Path,
    features: Path,
    valid: Path,
    card: Path,
    tmp_path: Path,
    change: Change,
    said: str,
) -> None:
    found = read_json(metrics / "metrics.json")
    change(found)
    bad, output = shutil.copytree(metrics, tmp_path / "5_metrics"), tmp_path / "7_bundle"
    write_json(bad / "metrics.json", found)
    output.mkdir()
    (output / "old.txt").write_text("old")
    with pytest.raises(Refused, match=r"^Not registered:\n  - ") as refused:
        step("register", settings, model, bad, features, valid, card, output)
    assert said in str(refused.value)
    assert refused.value.exit_code == 1
    assert [path.name for path in output.iterdir()] == ["old.txt"]


def test_every_reason_is_told_at_once(
    settings: Settings,
    model: Path,
    metrics: Path,
    features: Path,
    valid: Path,
    card: Path,
    tmp_path: Path,
) -> None:
    found = read_json(metrics / "metrics.json")
    for change in (worse("roc_auc", 0.6), worse("brier", 0.4), wide_gap):
        change(found)
    bad = shutil.copytree(metrics, tmp_path / "5_metrics")
    write_json(bad / "metrics.json", found)
    with pytest.raises(Refused) as refused:
        step("register", settings, model, bad, features, valid, card, tmp_path / "7_bundle")
    assert str(refused.value).count("\n  - ") == 4, "and that the card says otherwise"


def test_a_rule_of_the_card_refuses_with_its_article(
    settings: Settings,
    model: Path,
    metrics: Path,
    features: Path,
    valid: Path,
    card: Path,
    tmp_path: Path,
) -> None:
    """A leak in the card's own facts: the quality of the model cannot outweigh it."""
    document = json.loads((card / "card.json").read_text())
    document["facts"]["consent"]["leak_count"] = 3
    leaking = shutil.copytree(card, tmp_path / "6_card")
    (leaking / "card.json").write_text(json.dumps(document))
    with pytest.raises(Refused, match=r"Not registered:\n  - R\d\d \(GDPR"):
        step("register", settings, model, metrics, features, valid, leaking, tmp_path / "7_bundle")
    assert not (tmp_path / "7_bundle").exists()


def test_open_answers_refuse_where_real_data_is_used(
    model: Path, metrics: Path, features: Path, valid: Path, card: Path, tmp_path: Path
) -> None:
    own = {
        "pipeline.image": "registry.acme.eu/churn@sha256:" + "1" * 64,
        "profile.eu.tracking_uri": "sqlite:///.mlflow/mlflow.db",
        "profile.eu.offline_store": "file",
        "profile.eu.online_store": "sqlite",
    }
    eu = load(make_project(tmp_path / "own", **own), "eu")
    with pytest.raises(Refused, match=r"Not registered:\n(  - .*\n)*  - R\d\d "):
        step("register", eu, model, metrics, features, valid, card, tmp_path / "7_bundle")


def changed_probes(model: Path) -> None:
    (model / "probes.json").unlink()


def changed_model(model: Path) -> None:
    found = read_json(model / "model.json")
    found["intercept"] += 0.01
    write_json(model / "model.json", found)


def changed_order(model: Path) -> None:
    found = read_json(model / "model.json")
    found["numeric"].reverse()
    write_json(model / "model.json", found)


def left_out(model: Path) -> None:
    found = read_json(model / "model.json")
    found["numeric"] = [part for part in found["numeric"] if part["name"] != "returns_share"]
    write_json(model / "model.json", found)


def another_target(model: Path) -> None:
    found = read_json(model / "model.json")
    write_json(model / "model.json", {**found, "target": "fraud"})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed_probes, r"probes\.json of the model does not fit it"),
        (changed_model, "The model of the bundle is not the fitted one"),
        (changed_order, "Numbers of the model are in the order returns_share, category_share"),
        (left_out, r"could not read this bundle\. .*differ in features: returns_share"),
        (another_target, r"could not read this bundle\. .*predicts 'fraud'"),
    ],
)
def test_a_bundle_that_the_service_could_not_use_is_never_registered(
    settings: Settings,
    model: Path,
    metrics: Path,
    features: Path,
    valid: Path,
    card: Path,
    bundle: Path,
    tmp_path: Path,
    change: Callable[[Path], None],
    said: str,
) -> None:
    before = mlflow.client(settings.tracking).search_model_versions()
    bad = shutil.copytree(model, tmp_path / "4_model")
    change(bad)
    own = tmp_path / "6_card"  # else the card is refused, which states the model as it was
    step("card", settings, bad, metrics, features, valid, own)
    with pytest.raises(Refused, match=said) as refused:
        step("register", settings, bad, metrics, features, valid, own, tmp_path / "7_bundle")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "7_bundle").exists()
    assert len(mlflow.client(settings.tracking).search_model_versions()) == len(before)


def forged(document: dict[str, Any], path: str, value: Any) -> None:
    """Change one fact of ``card.json`` and compute its hash anew, as somebody would who cheats."""
    *parts, last = path.split(".")
    here: Any = document["facts"]
    for part in parts:
        here = here[int(part) if part.isdigit() else part]
    here[int(last) if last.isdigit() else last] = value
    found = Card.model_validate(document)
    document["content_hash"] = found.computed_hash()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("evaluation.fairness.0.value", 0.0),
        ("evaluation.metrics.roc_auc.value", 0.99),
        ("data.special_scan.associations.0.value", 0.0),
        ("model_privacy.tests.0.value", 0.5),
        ("consent.valid_share_of_rows", 0.999),
        ("model.artifact_sha256", "a" * 64),
        ("decision.action_band", "medium"),
        ("hosting", []),
        ("review.seeded_error_catch_rate", 1.0),
        ("policy.grace_days.value", 60),
    ],
)
def test_a_fact_edited_in_the_card_is_not_registered_though_its_hash_fits(
    settings: Settings,
    model: Path,
    metrics: Path,
    features: Path,
    valid: Path,
    card: Path,
    tmp_path: Path,
    path: str,
    value: Any,
) -> None:
    document = json.loads((card / "card.json").read_text())
    forged(document, path, value)
    copy = shutil.copytree(card, tmp_path / "6_card")
    (copy / "card.json").write_text(json.dumps(document))
    place = re.escape(re.sub(r"\.(\d+)", r"[\1]", path))
    with pytest.raises(Refused, match=rf"does not state what its artifacts say: {place}: the card"):
        step("register", settings, model, metrics, features, valid, copy, tmp_path / "7_bundle")


@pytest.mark.parametrize(
    ("missing", "verb"),
    [(0, "train"), (1, "evaluate"), (2, "features"), (3, "validate"), (4, "card")],
)
def test_a_missing_input_names_the_step_that_makes_it(
    settings: Settings,
    model: Path,
    metrics: Path,
    features: Path,
    valid: Path,
    card: Path,
    tmp_path: Path,
    missing: int,
    verb: str,
) -> None:
    paths = [model, metrics, features, valid, card]
    paths[missing] = tmp_path / "none"
    with pytest.raises(Misuse, match=rf"run `churn {verb}` first"):
        step("register", settings, *paths, tmp_path / "7_bundle")
