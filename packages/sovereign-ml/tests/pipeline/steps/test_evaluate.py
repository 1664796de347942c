"""Step 5: figures that can be checked, with intervals, on the newest cut-off."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from churn import model as estimators
from churn.contract import CATEGORICAL, FEATURES, NUMERIC, TARGET
from churn.scorecard import chosen
from small_project import step
from sovereign_ml.config.settings import Settings
from sovereign_ml.errors import Misuse
from sovereign_ml.estimators.additive import blocks
from sovereign_ml.evaluation import report
from sovereign_ml.model import served
from sovereign_ml.storage.artifacts import read_json


@pytest.fixture(scope="module")
def found(metrics: Path) -> dict[str, Any]:
    result: dict[str, Any] = read_json(metrics / "metrics.json")
    return result


@pytest.fixture(scope="module")
def test_set(features: Path) -> pd.DataFrame:
    table = pd.read_parquet(features / "training.parquet")
    return table[table["event_timestamp"] == table["event_timestamp"].max()]


def test_the_figures_are_those_of_model_json_on_the_newest_cut_off(
    found: dict[str, Any], model: Path, test_set: pd.DataFrame
) -> None:
    y = test_set[TARGET]
    p = served.read(model / "model.json").probability(estimators.columns(test_set))
    assert found["customers"] == len(y)
    assert found["base_rate"] == pytest.approx(y.mean(), abs=1e-6)
    assert found["model"]["roc_auc"]["value"] == pytest.approx(roc_auc_score(y, p), abs=1e-6)
    assert found["model"]["brier"]["value"] == pytest.approx(brier_score_loss(y, p), abs=1e-6)


def test_every_figure_lies_inside_its_interval(found: dict[str, Any]) -> None:
    benchmark = {k: v for k, v in found["benchmark"].items() if isinstance(v, dict)}
    for name, entry in (found["model"] | benchmark).items():
        assert entry["low"] <= entry["value"] <= entry["high"], name
        assert entry["low"] < entry["high"], name


def test_the_model_beats_the_constant_rate_and_guessing(found: dict[str, Any]) -> None:
    assert found["model"]["brier"]["value"] < found["baselines"]["constant_rate"]["brier"]
    assert found["model"]["log_loss"]["value"] < found["baselines"]["constant_rate"]["log_loss"]
    assert found["model"]["roc_auc"]["low"] > 0.5


def test_the_constant_rate_cannot_score_better_than_its_own_variance(found: dict[str, Any]) -> None:
    rate = found["base_rate"]
    assert found["baselines"]["constant_rate"]["brier"] >= rate * (1 - rate) - 1e-6


def test_the_price_of_explainability_is_the_benchmark_minus_the_model(
    found: dict[str, Any],
) -> None:
    for name in ("roc_auc", "brier"):
        gap = found["benchmark"][name]["value"] - found["model"][name]["value"]
        assert found["benchmark"][f"{name}_difference"]["value"] == pytest.approx(gap, abs=2e-6)


def test_each_rolling_cut_off_is_predicted_from_earlier_ones(found: dict[str, Any]) -> None:
    assert [row["cutoff"] for row in found["rolling"]] == sorted(
        row["cutoff"] for row in found["rolling"]
    )
    assert found["rolling"][-1]["cutoff"] == found["test_cutoff"]
    assert found["rolling"][-1]["roc_auc"] == found["model"]["roc_auc"]["value"]


def test_the_groups_are_those_of_the_configuration_and_small_ones_show_their_count_only(
    found: dict[str, Any], settings: Settings
) -> None:
    assert {s["slice"].partition("=")[0] for s in found["slices"]} == {
        "tenure",
        "purchases_90d",
        "country",
        "age_band",
    }
    for entry in found["slices"]:
        small = entry["n"] < settings.evaluate.min_group
        assert entry["suppressed"] or not small, entry
        assert ("roc_auc" in entry) is not entry["suppressed"]
    assert any(entry["suppressed"] for entry in found["slices"])


def test_fairness_leaves_small_groups_out_and_says_which(
    found: dict[str, Any], settings: Settings
) -> None:
    kinds = {"selection_rate_difference", "tpr_difference", "calibration_gap"}
    assert {entry["metric"] for entry in found["fairness"]} == kinds
    assert {entry["group"] for entry in found["fairness"]} == {"country", "age_band"}
    assert all(entry["n_smallest"] >= settings.evaluate.min_group for entry in found["fairness"])
    assert (
        "SE" in next(e for e in found["fairness"] if e["group"] == "country")["groups_suppressed"]
    )


def test_the_figures_at_the_action_band_are_those_of_scikit_learn(
    found: dict[str, Any], model: Path, test_set: pd.DataFrame, settings: Settings
) -> None:
    p = served.read(model / "model.json").probability(estimators.columns(test_set))
    chosen, y = p >= settings.score.action_threshold, test_set[TARGET].to_numpy()
    shown = found["at_threshold"]
    assert shown["contacted_share"] == pytest.approx(chosen.mean(), abs=1e-6)
    assert shown["precision"] == pytest.approx(y[chosen].mean(), abs=1e-6)
    assert shown["agreement"] == pytest.approx((chosen == y).mean(), abs=1e-6)


def test_each_input_the_score_and_all_together_are_compared_with_each_group(
    found: dict[str, Any],
) -> None:
    wanted = {f.name for f in FEATURES} | {"score", "all_inputs_together"}
    for group in ("country", "age_band"):
        assert {row["feature"] for row in found["associations"] if row["group"] == group} == wanted
    assert all(0 <= row["value"] <= 1 for row in found["associations"])


def test_training_is_compared_with_the_people_scored_now(found: dict[str, Any]) -> None:
    told = found["representativeness"]
    assert {row["name"] for row in told["shifts"] if row["kind"] == "input"} == {
        f.name for f in FEATURES
    }
    assert {row["group"].partition("=")[0] for row in told["groups"]} >= {
        "country",
        "age_band",
        "tenure",
    }


def test_each_feature_has_its_worth(found: dict[str, Any]) -> None:
    assert [entry["name"] for entry in found["features"]] == [f.name for f in FEATURES]
    assert max(found["features"], key=lambda entry: entry["importance"])["importance"] > 0.05


def test_a_worth_on_one_design_matrix_is_the_one_of_fits_from_the_start(
    found: dict[str, Any], model: Path, features: Path, settings: Settings
) -> None:
    past, newest = report.split(estimators.training_set(features))
    c = read_json(model / "summary.json")["c"]
    kind = chosen(settings.train)
    fitted = kind.from_bundle(model)
    slow = report.Procedure(
        fit=lambda rows: kind.fit(rows, c, settings.train),
        inputs=estimators.inputs,
        target=TARGET,
        numeric=NUMERIC[:3],
        categorical=CATEGORICAL,
    )
    assert set(blocks(fitted.pipeline)) == {*NUMERIC, *CATEGORICAL}
    fits = report.LeaveOut(slow, past, newest, fitted)
    worth = report.feature_worth(fits)
    assert len(worth) >= 4
    assert all(entry in found["features"] for entry in worth)
    y, (all_inputs, _) = newest[TARGET], fits.without(())
    left_out = [step["name"] for step in found["elimination"]]
    for place in (2, len(left_out)):
        p, _ = fits.without(left_out[:place])
        loss = roc_auc_score(y, all_inputs) - roc_auc_score(y, p)
        assert found["elimination"][place - 1]["loss"]["value"] == pytest.approx(
            loss, abs=1e-3
        )  # ties


def test_the_least_needed_input_goes_first_and_one_stays(found: dict[str, Any]) -> None:
    path = found["elimination"]
    assert [step["inputs_left"] for step in path] == list(range(len(FEATURES) - 1, 0, -1))
    assert len({step["name"] for step in path}) == len(path)
    worth = {entry["name"]: entry["importance"] for entry in found["features"]}
    assert worth[path[0]["name"]] == min(worth.values())
    assert all(step["loss"]["low"] <= step["loss"]["high"] for step in path)
    assert path[-1]["loss"]["high"] > path[0]["loss"]["high"]


def test_a_feature_that_shares_a_block_has_no_columns_of_its_own(
    model: Path, features: Path, settings: Settings
) -> None:
    past, _ = report.split(estimators.training_set(features))
    pipeline = estimators.scorecard_estimator(past, 1.0, settings.train)
    pair = list(NUMERIC[:2])
    product = make_pipeline(SimpleImputer(), PolynomialFeatures(interaction_only=True))
    pipeline.named_steps["columns"].transformers.insert(0, ("product", product, pair))
    alone = blocks(estimators.fit(pipeline, past))
    assert set(alone) == {*NUMERIC, *CATEGORICAL} - set(pair)
    scaled = Pipeline([*pipeline.steps[:1], ("scale", StandardScaler()), *pipeline.steps[1:]])
    assert blocks(estimators.fit(scaled, past)) == {}


def test_a_membership_attack_is_close_to_a_guess(found: dict[str, Any]) -> None:
    assert 0.4 < found["membership_auc"] < 0.6


def test_what_is_explained_is_what_was_fitted(found: dict[str, Any]) -> None:
    assert found["explanations"]["fidelity"] < 1e-9
    assert 0.5 < found["explanations"]["counterfactual_coverage"] <= 1


def test_the_pictures_are_drawings_that_load_nothing(metrics: Path) -> None:
    pictures = sorted((metrics / "plots").glob("*.svg"))
    assert len(pictures) >= 3
    for picture in pictures:
        text = picture.read_text()
        assert "<svg" in text
        assert not [
            part for part in ("<script", "<image", "@import", 'href="http') if part in text
        ], picture


@pytest.fixture(scope="module")
def without_customers(
    model: Path,
    features: Path,
    valid: Path,
    settings: Settings,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The same evaluation once more, of a team that has no customers table."""
    folder = tmp_path_factory.mktemp("alone")
    alone = shutil.copytree(valid, folder / "2_valid")
    pd.read_parquet(valid / "groups.parquet").head(0).to_parquet(
        alone / "groups.parquet", index=False
    )
    step("evaluate", settings, model, features, alone, folder / "5_metrics")
    return folder / "5_metrics"


def test_without_a_customers_table_there_are_no_group_figures(without_customers: Path) -> None:
    found = read_json(without_customers / "metrics.json")
    assert (found["fairness"], found["associations"]) == ([], [])
    assert {s["slice"].partition("=")[0] for s in found["slices"]} == {"tenure", "purchases_90d"}


def test_all_other_figures_and_every_picture_are_the_same_bytes_on_every_run(
    found: dict[str, Any], metrics: Path, without_customers: Path
) -> None:
    again = read_json(without_customers / "metrics.json")
    groups = ("slices", "fairness", "associations", "representativeness")
    assert json.dumps({**found, **dict.fromkeys(groups)}) == json.dumps(
        {**again, **dict.fromkeys(groups)}
    )
    for picture in (metrics / "plots").iterdir():
        assert picture.read_bytes() == (without_customers / "plots" / picture.name).read_bytes(), (
            picture.name
        )


@pytest.mark.parametrize(("missing", "verb"), [("model", "train"), ("features", "features")])
def test_a_missing_input_names_the_step_that_makes_it(
    model: Path,
    features: Path,
    valid: Path,
    settings: Settings,
    tmp_path: Path,
    missing: str,
    verb: str,
) -> None:
    paths = {"model": model, "features": features, missing: tmp_path / "none"}
    with pytest.raises(Misuse, match=rf"run `churn {verb}` first"):
        step("evaluate", settings, paths["model"], paths["features"], valid, tmp_path / "5_metrics")


def test_every_number_is_finite_and_rounded(found: dict[str, Any]) -> None:
    def numbers(value: Any) -> list[float]:
        if isinstance(value, dict):
            return [n for v in value.values() for n in numbers(v)]
        if isinstance(value, list):
            return [n for v in value for n in numbers(v)]
        return [value] if isinstance(value, float) else []

    everything = numbers({k: v for k, v in found.items() if k != "explanations"})
    assert len(everything) > 100
    assert np.isfinite(everything).all()
    assert all(round(n, 6) == n for n in everything)
