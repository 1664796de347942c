"""A bundle is read only when it is whole, unchanged and consistent."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from bundles import policy, write_bundle
from cards import LIBRARY, POLICY, card
from sovereign_ml.bundle.sealed import (
    MANIFEST,
    read_bundle,
    read_policy,
    read_rules,
    rules_json,
    seal_bundle,
)
from sovereign_ml.card.rules import RulePolicy
from sovereign_ml.card.rules.own import NO_OWN_RULES
from sovereign_ml.errors import Misuse
from sovereign_ml.monitoring.population import REFERENCE, read_reference
from sovereign_ml.registry import approvals


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


def test_a_sealed_bundle_is_read_whole(folder):
    bundle = read_bundle(folder)
    assert bundle.manifest.version == "3"
    assert bundle.policy.band_of(0.71) == "high"
    assert set(bundle.model.features) == {feature.name for feature in bundle.contract.features}
    assert bundle.card == {"schema_version": "1"}


@pytest.mark.parametrize(
    "name", ["model.json", "contract.json", "policy.json", "rules.json", "card.json"]
)
def test_one_changed_byte_is_refused(folder, name):
    path = folder / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(
        ValueError, match=f"{name}: SHA-256 is .* changed after the bundle was sealed"
    ):
        read_bundle(folder)


@pytest.mark.parametrize("name", ["card.json", "rules.json", "model.json", "bundle.json"])
def test_brackets_without_end_are_no_json(folder, name):
    """Whoever may write a file of a bundle may seal it again too."""
    (folder / name).write_bytes(b"[" * 200_000)
    if name != "bundle.json":
        _seal(folder)
    with pytest.raises(ValueError, match=name.replace(".", "[.]")):
        read_bundle(folder)


def test_a_missing_file_is_refused_by_name(folder):
    (folder / "policy.json").unlink()
    with pytest.raises(ValueError, match=r"policy\.json: no such file"):
        read_bundle(folder)


def test_a_folder_without_manifest_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"bundle\.json: no such file; a bundle is made by `churn register`"
    ):
        read_bundle(tmp_path)


def test_a_bundle_without_a_card_cannot_be_sealed(folder):
    (folder / "card.json").unlink()
    with pytest.raises(ValueError, match=r"files lacks card\.json"):
        _seal(folder)


def test_a_manifest_cannot_point_outside_the_bundle(folder):
    content = json.loads((folder / "bundle.json").read_text())
    content["files"]["../secret"] = "0" * 64
    (folder / "bundle.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="only name other files of the bundle"):
        read_bundle(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema_version": "2"}, r"schema_version is '2', this reader knows '1'"),
        ({"review_min_cases": 0}, r"review_min_cases: Input should be greater than 0"),
        ({"unheard_of": 1}, r"unheard_of: Extra inputs are not permitted"),
    ],
)
def test_rules_of_another_kind_are_refused(folder, change, said):
    content = json.loads((folder / "rules.json").read_text()) | change
    (folder / "rules.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"rules\.json: {said}"):
        read_rules(folder / "rules.json")


def test_the_rules_of_a_bundle_are_those_it_was_made_with(folder):
    (folder / "rules.json").write_text(rules_json(RulePolicy(review_min_cases=7)))
    _seal(folder)
    assert read_bundle(folder).rules == RulePolicy(review_min_cases=7)


def test_a_contract_for_another_model_is_refused(folder):
    content = json.loads((folder / "contract.json").read_text())
    content["features"].pop()
    (folder / "contract.json").write_text(json.dumps(content))
    _seal(folder)
    with pytest.raises(ValueError, match="differ in features: preferred_category"):
        read_bundle(folder)


def test_a_policy_for_another_target_is_refused(folder):
    (folder / "policy.json").write_text(policy(target="fraud").model_dump_json())
    _seal(folder)
    with pytest.raises(
        ValueError, match=r"policy\.json is for 'fraud', model.json predicts 'churn_30d'"
    ):
        read_bundle(folder)


def test_an_unknown_key_is_refused_in_one_line(folder):
    content = json.loads((folder / "policy.json").read_text()) | {"threshold": 0.5}
    (folder / "policy.json").write_text(json.dumps(content))
    with pytest.raises(
        ValueError, match=r"policy\.json: threshold: Extra inputs are not permitted$"
    ):
        read_policy(folder / "policy.json")


def test_a_file_that_changes_after_it_was_checked_is_not_what_is_used(folder, monkeypatch):
    """Another process writes the policy right after it was read for its hash."""
    read = Path.read_bytes

    def read_and_change(path):
        content = read(path)
        if path.name == "policy.json":
            other = json.loads(content)
            other["bands"][0]["below"] = 0.01
            path.write_text(json.dumps(other))
        return content

    monkeypatch.setattr(Path, "read_bytes", read_and_change)
    assert read_bundle(folder).policy == policy()


def test_a_reference_that_is_not_sealed_or_was_changed_is_not_used(folder):
    manifest = read_bundle(folder).manifest
    (folder / REFERENCE).write_text("{}")
    with pytest.raises(Misuse, match=r"reference\.json is no part of the bundle"):
        read_reference(folder, manifest)
    _seal(folder)
    manifest = read_bundle(folder).manifest
    (folder / REFERENCE).write_text("{ }")
    with pytest.raises(ValueError, match=r"reference\.json: SHA-256 is .* changed after"):
        read_reference(folder, manifest)


@pytest.mark.parametrize(("band", "threshold"), [("low", 0.0), ("medium", 0.45), ("high", 0.7)])
def test_the_threshold_of_action_is_where_the_action_band_begins(band, threshold):
    chosen = policy(action_band=band)
    scores = [0.0, 0.2, 0.4499, 0.45, 0.6999, 0.7, 1.0]
    assert chosen.action_threshold == threshold
    assert chosen.acts_on(scores).tolist() == [score >= threshold for score in scores]


def test_a_score_on_a_threshold_belongs_to_the_higher_band():
    assert [policy().band_of(score) for score in (0.0, 0.4499, 0.45, 0.6999, 0.7, 1.0)] == [
        "low", "low", "medium", "medium", "high", "high",
    ]  # fmt: skip
    assert policy().acts_on([0.69, 0.7]).tolist() == [False, True]


@pytest.mark.parametrize(
    "bands",
    [
        [{"name": "low", "below": 0.5}, {"name": "high", "below": 0.9}],
        [
            {"name": "low", "below": 0.8},
            {"name": "medium", "below": 0.4},
            {"name": "high", "below": 1.01},
        ],
    ],
    ids=["a gap at the top", "falling ends"],
)
def test_bands_that_do_not_cover_every_score_are_refused(bands):
    with pytest.raises(ValidationError, match="must rise strictly"):
        policy(bands=bands)


def test_an_action_band_that_does_not_exist_is_refused():
    with pytest.raises(
        ValidationError, match="action_band 'severe' is no band; bands: low, medium, high"
    ):
        policy(action_band="severe")


def _seal(folder: Path) -> None:
    source = {"git_commit": "0" * 40, "data_version": "d41d8cd9", **LIBRARY.tags()}
    seal_bundle(
        folder,
        name="acme",
        version="4",
        profile="local",
        created_at="2026-11-24T09:00:00Z",
        **source,
    )


@pytest.mark.parametrize("changed", ["", "policy.json", "card.json"])
def test_an_approval_seals_no_bundle_that_was_changed(folder: Path, changed: str) -> None:
    approved, copies = card(), folder.parent / "card"
    copies.mkdir()
    approvals.write(approved, copies, POLICY, NO_OWN_RULES)
    (folder / "card.json").write_bytes((copies / "card.json").read_bytes())
    _seal(folder)
    if changed:
        path = folder / changed
        path.write_bytes(path.read_bytes() + b" ")
    before = (folder / MANIFEST).read_bytes()
    approvals.publish(approved, copies, folder, POLICY, NO_OWN_RULES)
    if changed:
        assert (folder / MANIFEST).read_bytes() == before
        with pytest.raises(ValueError, match="changed after the bundle was sealed"):
            read_bundle(folder)
    else:
        assert read_bundle(folder).card["content_hash"] == approved.content_hash
