"""What is shipped is what was fitted: every way to lose a part of the pipeline is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures

import bundles
from churn import model as estimators
from churn.contract import CATEGORICAL, NUMERIC, TARGET
from churn.project import PROJECT
from churn.scorecard import to_scorecard
from sovereign_ml.config.tables import TrainSettings
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.evaluation.fidelity import PROBES, check_probes, misfits, write_model
from sovereign_ml.model.scorecard import Curve, Scorecard
from sovereign_ml.model.served import read

TRAIN = TrainSettings(
    knots=5, regularisation=(0.5,), folds=1, max_categories=12, min_customers=1, seed=7
)
Change = Callable[[Scorecard], Scorecard]


def frame(n: int = 900) -> pd.DataFrame:
    columns = bundles.customers(n)
    rng = np.random.default_rng(3)
    rows = pd.DataFrame({name: columns[name] for name in (*NUMERIC, *CATEGORICAL)})
    gap, few = rows["last_gap_days"].isna(), rows["purchase_count_90d"] < 1
    together = (rows["recency_days"] > 30) & (rows["returns_share"] > 0.05)
    toys = rows["preferred_category"] == "toys"
    log_odds = rows["recency_days"] / 30 + 2 * gap + few - 3 * toys + 2 * together - 1
    rows[TARGET] = (rng.random(n) < 1 / (1 + np.exp(-log_odds))).astype(int)
    return rows


FRAME = frame()
INPUTS = estimators.inputs(FRAME)


def pipeline(*more: tuple[str, object, list[str]]) -> Pipeline:
    """The project's own pipeline, with blocks that a team might add."""
    made = estimators.scorecard_estimator(FRAME, 0.5, TRAIN)
    made.named_steps["columns"].transformers.extend(more)
    return made


FITTED = estimators.fit(pipeline(), FRAME)
CARD = to_scorecard(FITTED, FRAME)
TOGETHER = Pipeline(
    [
        ("fill", SimpleImputer()),
        ("product", PolynomialFeatures(2, interaction_only=True, include_bias=False)),
    ]
)


def curve(card: Scorecard, name: str, **changed: object) -> Scorecard:
    parts = [
        part.model_copy(update=changed) if part.name == name else part for part in card.numeric
    ]
    return card.model_copy(update={"numeric": tuple(parts)})


def part(name: str) -> Curve:
    return next(one for one in CARD.numeric if one.name == name)


def without_gaps(card: Scorecard) -> Scorecard:
    """Drop what the indicator of a missing value adds."""
    for one in card.numeric:
        if INPUTS[one.name].isna().any():
            fill = float(INPUTS[one.name].median())
            card = curve(card, one.name, missing_log_odds=float(one.contribution([fill])[0]))
    return card


def swapped_levels(card: Scorecard) -> Scorecard:
    (levels,) = card.categorical
    names = list(levels.log_odds)
    turned = dict(zip(names, reversed(levels.log_odds.values()), strict=True))
    return card.model_copy(
        update={"categorical": (levels.model_copy(update={"log_odds": turned}),)}
    )


LOST: dict[str, tuple[Change, str]] = {
    "the indicators of missing values": (without_gaps, "missing"),
    "a changed transform": (
        lambda card: curve(card, "recency_days", transform="identity"),
        "recency_days",
    ),
    "swapped levels": (swapped_levels, "preferred_category"),
    "a curve that became flat": (
        lambda card: curve(card, "tenure_days", log_odds=(0.0,) * len(part("tenure_days").knots)),
        "tenure_days",
    ),
    "a curve turned round": (
        lambda card: curve(card, "recency_days", log_odds=part("recency_days").log_odds[::-1]),
        "recency_days",
    ),
}


def test_the_scorecard_of_the_template_is_written_with_rows_to_compare_it_by(
    tmp_path: Path,
) -> None:
    write_model(tmp_path, CARD, FITTED, INPUTS)
    assert read(tmp_path / "model.json") == CARD
    check_probes(CARD, tmp_path / PROBES)


def test_the_same_model_is_written_to_the_byte(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        fitted = estimators.fit(pipeline(), FRAME)
        write_model(tmp_path / name, to_scorecard(fitted, FRAME), fitted, INPUTS)
    for name in ("model.json", PROBES):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(("change", "block"), LOST.values(), ids=LOST)
def test_whatever_is_not_as_fitted_is_refused_with_the_name_of_its_block(
    tmp_path: Path, change: Change, block: str
) -> None:
    with pytest.raises(Refused, match=rf"Not in the scorecard as fitted: {block}\. ") as refused:
        write_model(tmp_path, change(CARD), FITTED, INPUTS)
    assert "differ by up to" in str(refused.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "block",
    [
        ("interaction", TOGETHER, ["recency_days", "returns_share"]),
        ("squared", FunctionTransformer(np.square), ["recency_days"]),
        ("plain", "passthrough", ["tenure_days"]),
    ],
    ids=lambda block: str(block[0]),
)
def test_a_block_that_a_team_adds_is_refused_by_name(
    tmp_path: Path, block: tuple[str, object, list[str]]
) -> None:
    fitted = estimators.fit(pipeline(block), FRAME)
    with pytest.raises(Refused, match=rf"in no part of the scorecard: {block[0]}\."):
        to_scorecard(fitted, FRAME)
    # A team whose scorecard.py does not look at the names of blocks meets the library's own check.
    known = ColumnTransformer.get_params(fitted.named_steps["columns"], deep=False)["transformers"]
    weights = fitted.named_steps["regression"].coef_[0]
    slices = fitted.named_steps["columns"].output_indices_
    blind = estimators.fit(pipeline(), FRAME)
    regression, own = blind.named_steps["regression"], blind.named_steps["columns"].output_indices_
    for name, *_ in known[: len(own)]:
        if name in own:
            regression.coef_[0, own[name]] = weights[slices[name]]
    regression.intercept_ = fitted.named_steps["regression"].intercept_
    with pytest.raises(Refused, match=rf"Not in the scorecard as fitted: {block[0]}\."):
        write_model(tmp_path, to_scorecard(blind, FRAME), fitted, INPUTS)


def test_what_only_other_rows_than_those_of_training_would_show_is_refused_too(
    tmp_path: Path,
) -> None:
    """The rows hold one customer's value each; between the knots the scorecard says something else."""
    few = INPUTS.head(1)
    value = float(few["recency_days"].iloc[0])
    knots = part("recency_days").knots
    assert value not in knots
    wrong = curve(CARD, "recency_days", knots=(value, value + 1.0), log_odds=(0.0, 5.0))
    same = CARD.log_odds(few.to_dict("list")) - wrong.log_odds(few.to_dict("list"))
    wrong = wrong.model_copy(update={"intercept": wrong.intercept + float(same[0])})
    with pytest.raises(Refused, match="made-up rows"):
        write_model(tmp_path, wrong, FITTED, few)


def test_a_probability_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="differ by up to nan"):
        write_model(
            tmp_path,
            curve(CARD, "recency_days", missing_log_odds=float("nan")),
            FITTED,
            INPUTS.assign(recency_days=np.nan),
        )


def test_another_kind_of_pipeline_is_misuse_in_one_line() -> None:
    boosting = Pipeline([("boosting", HistGradientBoostingClassifier(max_iter=2))])
    boosting.fit(INPUTS[list(NUMERIC)], FRAME[TARGET])
    with pytest.raises(Misuse, match="this one has boosting") as refused:
        to_scorecard(boosting, FRAME)
    assert "\n" not in str(refused.value)


def test_a_block_of_another_kind_of_pipeline_cannot_be_named_but_is_refused(
    tmp_path: Path,
) -> None:
    boosting = estimators.fit(estimators.benchmark_estimator(FRAME, TRAIN), FRAME)
    with pytest.raises(Refused, match="No block of coefficients of the pipeline explains"):
        write_model(tmp_path, CARD, boosting, INPUTS)


# What register compares.


@pytest.mark.parametrize(("change", "block"), LOST.values(), ids=LOST)
def test_a_model_that_was_changed_after_training_does_not_pass_the_made_up_rows(
    tmp_path: Path, change: Change, block: str
) -> None:
    write_model(tmp_path, CARD, FITTED, INPUTS)
    with pytest.raises(Refused, match="not the fitted one: their probabilities differ"):
        check_probes(change(CARD), tmp_path / PROBES)


@pytest.mark.parametrize(
    "content",
    [None, "", "[]", '{"rows": [], "probability": []}', '{"rows": [{}], "probability": [0.5]}'],
    ids=["absent", "empty", "a list", "no rows", "rows without features"],
)
def test_without_usable_rows_nothing_passes(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / PROBES).write_text(content)
    with pytest.raises(Refused, match=r"probes\.json of the model does not fit it .*churn train"):
        check_probes(CARD, tmp_path / PROBES)


def test_made_up_rows_hold_no_row_of_training(tmp_path: Path) -> None:
    write_model(tmp_path, CARD, FITTED, INPUTS)
    rows = json.loads((tmp_path / PROBES).read_text())["rows"]
    seen = {tuple(row) for row in INPUTS.astype(object).itertuples(index=False)}
    assert rows
    assert not [row for row in rows if tuple(row.values()) in seen]


def test_names_kinds_and_order_are_compared() -> None:
    contract = PROJECT.feature_contract()
    assert misfits(CARD, contract) == []
    first, second, *rest = CARD.numeric
    turned = CARD.model_copy(update={"numeric": (second, first, *rest)})
    assert misfits(turned, contract)[0].startswith("Numbers of the model are in the order tenure")
    fewer = CARD.model_copy(update={"numeric": (second, *rest)})
    assert misfits(fewer, contract) == [
        "Numbers of the contract that the model does not have: recency_days."
    ]
    renamed = CARD.model_copy(
        update={"numeric": (first.model_copy(update={"name": "odd"}), second, *rest)}
    )
    assert misfits(renamed, contract)[0] == (
        "Numbers of the model that the contract does not have: odd."
    )
    other = CARD.model_copy(update={"categorical": ()})
    assert misfits(other, contract) == [
        "Categories of the contract that the model does not have: preferred_category."
    ]
