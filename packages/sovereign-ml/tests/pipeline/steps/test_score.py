"""Step 8: from the bundle alone; nobody who objected or gave no consent is scored."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from churn import model as estimators
from small_project import step
from sovereign_ml.bundle.sealed import read_bundle, seal_again
from sovereign_ml.config.settings import Settings
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.model.explain import shared, windows_of
from sovereign_ml.pipeline.source import shop_may_be_old
from sovereign_ml.storage.artifacts import read_json, write_json

Again = Callable[..., pd.DataFrame]


@pytest.fixture(scope="module")
def table(scores: Path) -> pd.DataFrame:
    return pd.read_parquet(scores / "scores.parquet")


@pytest.fixture(scope="module")
def now(features: Path) -> pd.DataFrame:
    snapshots = pd.read_parquet(features / "snapshots.parquet")
    return snapshots[snapshots["event_timestamp"] == snapshots["event_timestamp"].max()].set_index(
        "customer_id"
    )


@pytest.fixture
def score_with(
    bundle: Path, features: Path, valid: Path, settings: Settings, tmp_path: Path
) -> Again:
    """Score after a change of the customers table; the summary is at ``tmp_path / "8_scores"``."""

    def again(change: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
        changed = shutil.copytree(valid, tmp_path / "2_valid")
        change(pd.read_parquet(valid / "customers.parquet")).to_parquet(
            changed / "customers.parquet", index=False
        )
        step("score", settings, bundle, features, changed, tmp_path / "8_scores")
        return pd.read_parquet(tmp_path / "8_scores/scores.parquet")

    return again


def test_every_current_customer_is_scored_once(
    table: pd.DataFrame, now: pd.DataFrame, scores: Path
) -> None:
    assert table["customer_id"].is_unique
    assert set(table["customer_id"]) == set(now.index)
    summary = read_json(scores / "summary.json")
    assert summary["rows_in"] == summary["rows_out"] + sum(summary["barred"].values())
    assert sum(summary["bands"].values()) == len(table)


def test_the_score_is_the_probability_of_the_bundles_model(
    table: pd.DataFrame, now: pd.DataFrame, bundle: Path
) -> None:
    rows = now.loc[table["customer_id"]]
    expected = read_bundle(bundle).model.probability(estimators.columns(rows))
    np.testing.assert_allclose(table["score"], expected, atol=5e-7)


def test_band_and_action_follow_the_score(table: pd.DataFrame) -> None:
    bands = pd.cut(
        table["score"], [0, 0.45, 0.7, 1.01], labels=["low", "medium", "high"], right=False
    )
    assert list(table["band"]) == list(bands)
    assert (table["act"] == (table["band"] == "high")).all()
    assert table["band"].nunique() == 3


def test_each_person_gets_three_reasons_in_words(table: pd.DataFrame, bundle: Path) -> None:
    labels = {feature.label for feature in read_bundle(bundle).contract.features}
    for column in ("reason_1", "reason_2", "reason_3"):
        assert table[column].str.partition(": ")[0].isin(labels).all()
        assert not table[column].str.contains("_").any()
    assert (table["reason_1"] != table["reason_2"]).all()


def test_the_first_reason_is_the_largest_part_of_the_score(
    table: pd.DataFrame, now: pd.DataFrame, bundle: Path
) -> None:
    found = read_bundle(bundle)
    parts = shared(
        found.model.contributions(estimators.columns(now.loc[table["customer_id"]])),
        windows_of(found.model, found.contract),
    )
    largest = np.abs(parts).argmax(axis=1)
    for reason, column, row in zip(table["reason_1"], largest, parts, strict=True):
        label = found.contract.feature(found.model.features[column]).label
        assert reason == f"{label}: {'raises' if row[column] > 0 else 'lowers'} the risk"


def test_scoring_needs_the_bundle_and_nothing_of_the_trainer(
    bundle: Path, features: Path, valid: Path, scores: Path, settings: Settings, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    for source in (bundle, features, valid):
        shutil.copytree(source, elsewhere / source.name)
    for name in ("registry.db", "online.db", "training.parquet"):
        (elsewhere / features.name / name).unlink()
    alone = settings.model_copy(update={"root": elsewhere})
    parts = (elsewhere / source.name for source in (bundle, features, valid))
    step("score", alone, *parts, elsewhere / "8_scores")
    assert (elsewhere / "8_scores/scores.parquet").read_bytes() == (
        scores / "scores.parquet"
    ).read_bytes()


def test_a_customer_who_objected_meanwhile_is_never_scored_and_counted(
    score_with: Again, table: pd.DataFrame, tmp_path: Path
) -> None:
    someone = table["customer_id"].iloc[0]

    def object_(people: pd.DataFrame) -> pd.DataFrame:
        people.loc[people["customer_id"] == someone, "objected_at"] = pd.Timestamp(
            "2026-06-30", tz="UTC"
        )
        return people

    assert set(score_with(object_)["customer_id"]) == set(table["customer_id"]) - {someone}
    assert read_json(tmp_path / "8_scores/summary.json")["barred"] == {
        "objected": 1,
        "restricted": 0,
        "withdrawn": 0,
        "no_basis": 0,
    }


@pytest.mark.parametrize("consent", [False, None])
def test_a_customer_without_consent_is_never_scored_and_counted(
    score_with: Again, table: pd.DataFrame, tmp_path: Path, consent: bool | None
) -> None:
    someone = table["customer_id"].iloc[0]

    def withdraw(people: pd.DataFrame) -> pd.DataFrame:
        people["consent"] = people["consent"].astype(object)
        people.loc[people["customer_id"] == someone, "consent"] = consent
        return people

    assert someone not in set(score_with(withdraw)["customer_id"])
    assert read_json(tmp_path / "8_scores/summary.json")["barred"] == {
        "objected": 0,
        "restricted": 0,
        "withdrawn": 0,
        "no_basis": 1,
    }


def test_a_customer_who_is_gone_from_the_customers_table_is_not_scored(
    score_with: Again, table: pd.DataFrame
) -> None:
    someone = table["customer_id"].iloc[0]
    assert someone not in set(
        score_with(lambda people: people[people["customer_id"] != someone])["customer_id"]
    )


def test_if_everybody_is_barred_the_step_refuses_and_writes_nothing(
    score_with: Again, tmp_path: Path
) -> None:
    with pytest.raises(Refused, match=r"Nobody to score at .* all barred"):
        score_with(lambda people: people.assign(consent=False))
    assert not (tmp_path / "8_scores").exists()


def test_without_a_consent_column_the_named_basis_carries_the_scoring(
    bundle: Path, features: Path, valid: Path, settings: Settings, tmp_path: Path, now: pd.DataFrame
) -> None:
    alone = shutil.copytree(valid, tmp_path / "2_valid")
    people = pd.read_parquet(valid / "customers.parquet").head(0)
    people.to_parquet(alone / "customers.parquet", index=False)
    basis = settings.data.model_copy(update={"customers": "", "lawful_basis": "contract"})
    step(
        "score",
        settings.model_copy(update={"data": basis}),
        bundle,
        features,
        alone,
        tmp_path / "8_scores",
    )
    assert len(pd.read_parquet(tmp_path / "8_scores/scores.parquet")) == len(now)


def test_a_changed_bundle_scores_nobody(
    bundle: Path, features: Path, valid: Path, settings: Settings, tmp_path: Path
) -> None:
    changed = shutil.copytree(bundle, tmp_path / "7_bundle")
    (changed / "policy.json").write_text((changed / "policy.json").read_text() + " ")
    with pytest.raises(Refused, match=r"policy\.json: SHA-256 .*register again"):
        step("score", settings, changed, features, valid, tmp_path / "8_scores")
    assert not (tmp_path / "8_scores").exists()


def aged(features: Path, folder: Path, days: float) -> Path:
    """A copy of the features whose newest snapshot is ``days`` old."""
    copy = shutil.copytree(features, folder / "3_features")
    rows = pd.read_parquet(copy / "snapshots.parquet")
    day = pd.Timestamp.now().normalize() - pd.Timedelta(days=days)
    rows = rows[rows["event_timestamp"] == rows["event_timestamp"].max()]
    rows.assign(event_timestamp=day.as_unit("us")).to_parquet(copy / "snapshots.parquet")
    summary = read_json(copy / "summary.json") | {"current": f"{day:%Y-%m-%d}"}
    write_json(copy / "summary.json", summary)
    return copy


def sealed_for(bundle: Path, folder: Path, days: int) -> Path:
    """The bundle with a policy that allows features of ``days``."""
    copy = shutil.copytree(bundle, folder / "7_bundle")
    policy = read_json(copy / "policy.json") | {"max_feature_age_days": days}
    write_json(copy / "policy.json", policy)
    seal_again(copy, read_bundle(bundle).manifest)
    return copy


def scored(
    settings: Settings, bundle: Path, features: Path, valid: Path, folder: Path
) -> pd.DataFrame:
    step("score", settings, bundle, features, valid, folder / "8_scores")
    return pd.read_parquet(folder / "8_scores/scores.parquet")


def own_data(settings: Settings) -> Settings:
    """The same settings for data that is not the built-in shop, which may be old."""
    data = settings.data.model_copy(update={"transactions": "own.csv"})
    return settings.model_copy(update={"data": data})


def test_scores_carry_the_date_of_their_features(table: pd.DataFrame, features: Path) -> None:
    current = read_json(features / "summary.json")["current"]
    assert set(table["features_as_of"]) == {pd.Timestamp(current, tz="UTC")}


@pytest.mark.parametrize("days", [31, 148, 4000])
def test_nobody_is_scored_on_features_older_than_the_policy(
    settings: Settings, bundle: Path, features: Path, valid: Path, tmp_path: Path, days: int
) -> None:
    strict, old = sealed_for(bundle, tmp_path, 30), aged(features, tmp_path, days)
    with pytest.raises(Refused, match=r"days ago, and the policy of the bundle allows 30 .*--old"):
        scored(own_data(settings), strict, old, valid, tmp_path)
    assert not (tmp_path / "8_scores").exists()


def test_the_call_may_ask_for_scores_on_old_features(
    settings: Settings, bundle: Path, features: Path, valid: Path, tmp_path: Path
) -> None:
    strict, old = sealed_for(bundle, tmp_path, 30), aged(features, tmp_path, 148)
    asked = own_data(settings).model_copy(update={"old_features_asked": True})
    assert len(scored(asked, strict, old, valid, tmp_path)) > 0


@pytest.mark.parametrize("days", [-1, 0, 29])
def test_recent_features_are_scored(
    settings: Settings, bundle: Path, features: Path, valid: Path, tmp_path: Path, days: int
) -> None:
    strict, recent = sealed_for(bundle, tmp_path, 30), aged(features, tmp_path, days)
    assert len(scored(own_data(settings), strict, recent, valid, tmp_path)) > 0


def test_features_of_the_future_are_refused_whoever_asks(
    settings: Settings, bundle: Path, features: Path, valid: Path, tmp_path: Path
) -> None:
    asked = settings.model_copy(update={"old_features_asked": True})
    with pytest.raises(Refused, match=r"the features are dated .* and today is"):
        scored(asked, bundle, aged(features, tmp_path, -3), valid, tmp_path)


def test_only_the_built_in_shop_may_be_old_and_only_in_the_profile_local(
    settings: Settings,
) -> None:
    def switched(on: bool) -> Settings:
        shop = settings.data.synthetic.model_copy(update={"old_features": on})
        return settings.model_copy(
            update={"data": settings.data.model_copy(update={"synthetic": shop})}
        )

    assert shop_may_be_old(switched(True))
    assert not shop_may_be_old(switched(False))
    assert not shop_may_be_old(own_data(switched(True)))
    assert not shop_may_be_old(switched(True).model_copy(update={"profile_name": "eu"}))


def test_data_that_came_from_a_file_is_no_shop_whatever_config_says(
    settings: Settings, tmp_path: Path
) -> None:
    elsewhere = settings.model_copy(update={"root": tmp_path})
    source = elsewhere.path("source")
    source.parent.mkdir(parents=True)
    write_json(source, {"kind": "synthetic"})
    assert shop_may_be_old(elsewhere)
    write_json(source, {"kind": "files"})
    assert not shop_may_be_old(elsewhere)


@pytest.mark.parametrize(("missing", "verb"), [(0, "register"), (1, "features"), (2, "validate")])
def test_a_missing_input_names_the_step_that_makes_it(
    bundle: Path,
    features: Path,
    valid: Path,
    settings: Settings,
    tmp_path: Path,
    missing: int,
    verb: str,
) -> None:
    paths = [bundle, features, valid]
    paths[missing] = tmp_path / "none"
    with pytest.raises(Misuse, match=rf"run `churn {verb}` first"):
        step("score", settings, *paths, tmp_path / "8_scores")
