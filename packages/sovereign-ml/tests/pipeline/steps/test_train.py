"""Step 4: the file model.json is the fitted model, nothing in it can run code, and the test set stays unread."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss

from churn import model as estimators
from churn.contract import CATEGORICAL, FEATURES, NUMERIC, TARGET
from churn.scorecard import to_scorecard
from churn.steps._4_train import regularisation_search
from small_project import step
from sovereign_ml.config.settings import Settings
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.model import served
from sovereign_ml.registry import mlflow, skops
from sovereign_ml.storage.artifacts import read_json

Changer = Callable[[pd.DataFrame], None]


@pytest.fixture(scope="module")
def training(features: Path) -> pd.DataFrame:
    return pd.read_parquet(features / "training.parquet")


@pytest.fixture(scope="module")
def past(training: pd.DataFrame) -> pd.DataFrame:
    return training[training["event_timestamp"] < training["event_timestamp"].max()]


def random_customers(n: int) -> pd.DataFrame:
    """Customers as wild as their types allow: missing values, unseen and absent categories, amounts of any size."""
    rng = np.random.default_rng(1)
    table = pd.DataFrame()
    for feature in FEATURES:
        if feature.dtype == "string":
            table[feature.name] = rng.choice(
                np.array(["books", "toys", "unseen", "", None], dtype=object), n
            )
            continue
        values = np.where(rng.random(n) < 0.5, rng.normal(0, 50, n), rng.standard_cauchy(n) * 100)
        values[rng.random(n) < 0.02] = 0
        if feature.missing_allowed:
            values[rng.random(n) < 0.1] = np.nan
        table[feature.name] = values
    return table


def test_model_json_by_numpy_equals_scikit_learn_for_100000_random_customers(model: Path) -> None:
    rows = random_customers(100_000)
    fitted = skops.read(model / "model.skops", estimators.TRUSTED_TYPES).predict_proba(
        estimators.inputs(rows)
    )[:, 1]
    card = served.read(model / "model.json")
    assert np.abs(card.probability(estimators.columns(rows)) - fitted).max() < 1e-9
    assert fitted.std() > 0.05


def test_model_json_equals_scikit_learn_on_the_customers_it_was_made_for(
    model: Path, training: pd.DataFrame
) -> None:
    fitted = skops.read(model / "model.skops", estimators.TRUSTED_TYPES).predict_proba(
        estimators.inputs(training)
    )[:, 1]
    card = served.read(model / "model.json")
    assert np.abs(card.probability(estimators.columns(training)) - fitted).max() < 1e-9


def test_each_feature_contributes_nothing_on_average(model: Path, past: pd.DataFrame) -> None:
    means = served.read(model / "model.json").contributions(estimators.columns(past)).mean(axis=0)
    np.testing.assert_allclose(means, 0, atol=1e-9)


def test_knots_are_rounded_quantiles_that_hold_nobodys_own_extreme_value(
    model: Path, past: pd.DataFrame
) -> None:
    for curve in served.read(model / "model.json").numeric:
        values = past[curve.name].dropna().to_numpy()
        quantiles = np.quantile(values, np.linspace(0.01, 0.99, 6))
        assert set(curve.knots) <= {float(f"{q:.3g}") for q in quantiles}, curve.name
        assert all(float(f"{knot:.3g}") == knot for knot in curve.knots)


def test_a_category_of_fewer_than_twenty_rows_is_not_named(
    past: pd.DataFrame, settings: Settings
) -> None:
    frame = past.copy()
    frame.loc[frame.index[:19], "preferred_category"] = "the only collector of thimbles"
    fitted = estimators.fit(estimators.scorecard_estimator(frame, 0.1, settings.train), frame)
    card = to_scorecard(fitted, frame)
    assert "the only collector of thimbles" not in card.categorical[0].log_odds
    rows = frame.head(200)
    np.testing.assert_allclose(
        card.probability(estimators.columns(rows)),
        fitted.predict_proba(estimators.inputs(rows))[:, 1],
        atol=1e-9,
    )


@pytest.mark.parametrize("name", ["returns_share", "mean_gap_days"])
def test_a_column_that_never_varies_or_is_never_known_has_a_flat_curve(
    past: pd.DataFrame, settings: Settings, name: str
) -> None:
    frame = past.copy()
    frame[name] = 0.0 if name == "returns_share" else np.nan
    fitted = estimators.fit(estimators.scorecard_estimator(frame, 0.1, settings.train), frame)
    card = to_scorecard(fitted, frame)
    (curve,) = (part for part in card.numeric if part.name == name)
    assert np.ptp(curve.contribution([*curve.knots, None])) == 0
    np.testing.assert_allclose(
        card.probability(estimators.columns(frame)),
        fitted.predict_proba(estimators.inputs(frame))[:, 1],
        atol=1e-9,
    )


def test_a_model_where_every_category_is_missing_still_equals_scikit_learn(
    past: pd.DataFrame, settings: Settings
) -> None:
    frame = past.assign(preferred_category=None)
    fitted = estimators.fit(estimators.scorecard_estimator(frame, 0.1, settings.train), frame)
    card = to_scorecard(fitted, frame)
    rows = random_customers(500)
    np.testing.assert_allclose(
        card.probability(estimators.columns(rows)),
        fitted.predict_proba(estimators.inputs(rows))[:, 1],
        atol=1e-9,
    )


@pytest.mark.parametrize("known", [0.0, 30.0, -5.0])
def test_the_weight_of_a_gap_is_shipped_where_the_value_itself_never_varies(
    past: pd.DataFrame, settings: Settings, known: float
) -> None:
    learned = past.assign(last_gap_days=np.where(past[TARGET] == 1, np.nan, known))
    fitted = estimators.fit(estimators.scorecard_estimator(learned, 0.1, settings.train), learned)
    card = to_scorecard(fitted, learned)
    (curve,) = (part for part in card.numeric if part.name == "last_gap_days")
    assert abs(curve.missing_log_odds - curve.log_odds[0]) > 1
    np.testing.assert_allclose(
        card.probability(estimators.columns(learned)),
        fitted.predict_proba(estimators.inputs(learned))[:, 1],
        atol=1e-9,
    )


def test_model_json_knows_every_feature_of_the_contract(model: Path) -> None:
    card = served.read(model / "model.json")
    assert card.features == (*NUMERIC, *CATEGORICAL)
    assert card.target == TARGET


# The newest cut-off is the test set: training must not depend on it.


def with_features(settings: Settings, features: Path, folder: Path, change: Changer) -> Path:
    """Train on a changed copy of the features, in the same project; returns the model's folder."""
    copy = shutil.copytree(features, folder / "3_features")
    frame = pd.read_parquet(copy / "training.parquet")
    change(frame)
    frame.to_parquet(copy / "training.parquet", index=False)
    step("train", settings, copy, folder / "4_model")
    return folder / "4_model"


def test_the_newest_cut_off_is_never_read(
    settings: Settings, features: Path, model: Path, tmp_path: Path
) -> None:
    def spoil_the_newest(frame: pd.DataFrame) -> None:
        newest = frame["event_timestamp"] == frame["event_timestamp"].max()
        frame.loc[newest, TARGET] = 1 - frame.loc[newest, TARGET]
        frame.loc[newest, "recency_days"] = 12_345.0

    again = with_features(settings, features, tmp_path, spoil_the_newest)
    for name in ("model.json", "search.json"):
        assert (again / name).read_bytes() == (model / name).read_bytes()


def test_the_search_tests_on_a_later_cut_off_than_it_fits_on(
    past: pd.DataFrame, settings: Settings
) -> None:
    """Labels of the last fold's test part are changed: only a search that tests there can notice."""
    last = past["event_timestamp"] == past["event_timestamp"].max()
    changed = past.assign(**{TARGET: past[TARGET].where(~last, 1 - past[TARGET])})
    before, after = (regularisation_search(frame, settings.train) for frame in (past, changed))
    assert all(a["log_loss"] > b["log_loss"] for a, b in zip(after, before, strict=True))


def test_the_search_on_one_design_matrix_is_the_one_of_whole_fits(
    past: pd.DataFrame, settings: Settings
) -> None:
    cutoffs = sorted(past["event_timestamp"].unique())
    for row in regularisation_search(past, settings.train):
        losses = []
        for cutoff in cutoffs[max(1, len(cutoffs) - settings.train.folds) :]:
            before = past[past["event_timestamp"] < cutoff]
            now = past[past["event_timestamp"] == cutoff]
            estimator = estimators.scorecard_estimator(before, row["c"], settings.train)
            fitted = estimators.fit(estimator, before)
            losses.append(log_loss(now[TARGET], fitted.predict_proba(estimators.inputs(now))))
        assert row["log_loss"] == round(float(np.mean(losses)), 9)


def test_the_chosen_strength_has_the_lowest_loss_of_the_search(model: Path) -> None:
    search, chosen = read_json(model / "search.json"), read_json(model / "summary.json")["c"]
    assert chosen == min(search, key=lambda row: row["log_loss"])["c"]
    assert [row["c"] for row in search] == [0.1, 1.0]


def test_too_few_customers_are_refused_with_both_numbers(
    settings: Settings, features: Path, tmp_path: Path
) -> None:
    many = settings.model_copy(
        update={"train": settings.train.model_copy(update={"min_customers": 10_000})}
    )
    with pytest.raises(
        Refused, match=r"customers to train on; \[train\] min_customers asks for 10,000"
    ):
        step("train", many, features, tmp_path / "4_model")
    assert not list(tmp_path.iterdir())


def test_train_without_features_names_the_step(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(Misuse, match=r"run `churn features` first"):
        step("train", settings, tmp_path / "3_features", tmp_path / "4_model")


# Nothing that is stored can run code when it is read.


def test_no_file_of_the_flow_is_a_pickle(project: Path, scores: Path) -> None:
    files = [
        path
        for part in ("data", ".mlflow")
        for path in (project / part).rglob("*")
        if path.is_file()
    ]
    assert len(files) > 40
    for path in files:
        assert path.suffix not in (".pkl", ".pickle", ".joblib", ".sav", ".dill"), path
        assert path.read_bytes()[:2] not in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), (
            path
        )


def test_the_skops_files_hold_data_only(model: Path) -> None:
    for path in model.glob("*.skops"):
        names = zipfile.ZipFile(path).namelist()
        assert {Path(name).suffix for name in names} <= {".json", ".npy", ".npz"}, names


def test_a_type_that_is_not_trusted_is_named_and_not_loaded(model: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.skops"
    with zipfile.ZipFile(model / "model.skops") as good, zipfile.ZipFile(bad, "w") as changed:
        for name in good.namelist():
            content = good.read(name)
            if name == "schema.json":
                content = content.replace(b'"__class__": "Pipeline"', b'"__class__": "Popen"', 1)
                content = content.replace(
                    b'"__module__": "sklearn.pipeline"', b'"__module__": "subprocess"', 1
                )
            changed.writestr(name, content)
    with pytest.raises(
        Refused, match=r"bad\.skops holds types that are not trusted: subprocess\.Popen"
    ):
        skops.read(bad, estimators.TRUSTED_TYPES)


def test_the_run_in_mlflow_knows_what_the_model_was_made_of(
    settings: Settings, model: Path
) -> None:
    run = read_json(model / "run.json")
    found = mlflow.client(settings.tracking).get_run(run["run_id"])
    assert found.data.params["c"] == str(read_json(model / "summary.json")["c"])
    assert set(found.data.metrics) >= {"search_log_loss_c_0.1", "search_log_loss_c_1"}
    assert len(found.data.tags["data_version"].removesuffix(".dir")) == 32
    assert len(found.data.tags["git_commit"]) == 40
    assert found.data.tags["git_commit"] == run["git_commit"]


def test_no_customers_row_or_pseudonym_goes_to_mlflow(
    project: Path, bundle: Path, past: pd.DataFrame
) -> None:
    stored = b"".join(
        path.read_bytes() for path in (project / ".mlflow").rglob("*") if path.is_file()
    )
    assert not [one for one in past["customer_id"].unique() if one.encode() in stored]


def test_the_model_is_readable_json_with_rounded_numbers(model: Path) -> None:
    text = (model / "model.json").read_text()
    found: dict[str, Any] = json.loads(text)
    assert text.count("\n") > 100
    assert all(
        len(repr(abs(v)).replace(".", "").lstrip("0").split("e")[0]) <= 12
        for v in found["numeric"][0]["log_odds"]
    )
