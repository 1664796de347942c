"""Step 3: features only from before the cut-off, labels only from after it, and Feast gives back the same."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from churn import contract, evaluation
from churn import features as snapshots
from churn.contract import FEATURES, TARGET
from churn.project import PROJECT
from small_project import step
from sovereign_ml.config.settings import Settings
from sovereign_ml.config.tables import FeatureSettings
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.features import feast
from sovereign_ml.features.history import (
    Population,
    check_populations,
    days_needed,
    settings_that_fit,
)
from sovereign_ml.storage.artifacts import read_json, summarise

CUT = datetime(2026, 6, 1)
Line = tuple[str, datetime, float, str | None]


def before(
    days: float, who: str = "A", amount: float = 10.0, category: str | None = "books"
) -> Line:
    return who, CUT - timedelta(days=days), amount, category


def after(
    days: float, who: str = "A", amount: float = 10.0, category: str | None = "books"
) -> Line:
    return before(-days, who, amount, category)


def write_valid(folder: Path, lines: Iterable[Line]) -> Path:
    folder.mkdir(exist_ok=True)
    frame = pd.DataFrame(
        list(lines), columns=["customer_id", "event_time", "amount_eur", "category"]
    )
    frame["event_time"] = pd.to_datetime(frame["event_time"], utc=True).dt.as_unit("us")
    frame["amount_eur"] = [Decimal(f"{a:.2f}") for a in frame["amount_eur"]]
    frame["order_number"] = pd.Series([None] * len(frame), dtype="Int32")
    frame.to_parquet(folder / "transactions.parquet", index=False)
    summarise(folder, rows_in=len(frame), rows_out=len(frame), headline="")
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lines")


def snapshot(
    place: Path, settings: Settings, lines: Iterable[Line], cut: datetime = CUT
) -> pd.DataFrame:
    """Features and label at one cut-off, by customer."""
    connection = snapshots.load(write_valid(place / "2_valid", lines))
    snapshots.compute(connection, [cut], settings.features)
    snapshots.label(connection, settings.features.horizon_days)
    frame: pd.DataFrame = connection.execute(
        "FROM snapshots JOIN labels USING (customer_id, event_timestamp)"
    ).df()
    return frame.set_index("customer_id").sort_index().drop(columns="event_timestamp")


# One customer, worked out by hand: orders 100, 40, 20 and 5 days before, the last of two lines, one of them returned.
EXAMPLE = [
    before(100, amount=30.0, category="toys"),
    before(40, amount=20.0),
    before(20, amount=10.0),
    before(5, amount=40.0),
    before(5, amount=-4.0),
]
BY_HAND = {
    "recency_days": 5,
    "tenure_days": 100,
    "purchase_count_7d": 1,
    "purchase_count_30d": 2,
    "purchase_count_90d": 3,
    "purchase_count_180d": 4,
    "revenue_eur_7d": 36,
    "revenue_eur_30d": 46,
    "revenue_eur_90d": 66,
    "revenue_eur_180d": 96,
    "avg_order_value_eur": 25,  # (30 + 20 + 10 + 40) / 4: a return is not an order
    "mean_gap_days": 95 / 3,
    "last_gap_days": 15,
    "recency_over_gap": 5 / (95 / 3),
    "category_share": 3 / 4,
    "returns_share": 1 / 5,
    "preferred_category": "books",
}


@pytest.mark.parametrize("name", [f.name for f in FEATURES])
def test_the_feature_is_what_one_works_out_by_hand(
    place: Path, settings: Settings, name: str
) -> None:
    value = snapshot(place, settings, EXAMPLE).loc["A", name]
    assert value == (
        pytest.approx(BY_HAND[name]) if name != "preferred_category" else BY_HAND[name]
    )


def test_a_first_purchase_has_no_gap_and_says_so_with_nothing(
    place: Path, settings: Settings
) -> None:
    row = snapshot(place, settings, [before(3, category=None)]).loc["A"]
    assert (
        row[["mean_gap_days", "last_gap_days", "recency_over_gap", "preferred_category"]]
        .isna()
        .all()
    )
    assert (row["purchase_count_7d"], row["category_share"], row["returns_share"]) == (1, 1, 0)


def test_lines_at_the_same_second_are_one_order(place: Path, settings: Settings) -> None:
    row = snapshot(
        place, settings, [before(3, amount=10.0), before(3, amount=20.0, category="toys")]
    ).loc["A"]
    assert (row["purchase_count_7d"], row["avg_order_value_eur"]) == (1, 30)


def test_a_purchase_at_the_cut_off_itself_counts_after_it(place: Path, settings: Settings) -> None:
    row = snapshot(place, settings, [before(3), before(0)]).loc["A"]
    assert (row["purchase_count_7d"], row["churned"]) == (1, 0)


def test_a_window_starts_at_its_first_second(place: Path, settings: Settings) -> None:
    row = snapshot(place, settings, [before(7), before(7 + 1 / 86_400)]).loc["A"]
    assert (row["purchase_count_7d"], row["purchase_count_30d"]) == (1, 2)


@pytest.mark.parametrize(
    ("days", "churned"),
    [(0.1, 0), (29.9, 0), (30, 1), (45, 1)],
    ids=["soon", "just", "too late", "late"],
)
def test_churned_means_no_purchase_in_the_thirty_days_after(
    place: Path, settings: Settings, days: float, churned: int
) -> None:
    assert snapshot(place, settings, [before(3), after(days)]).loc["A", "churned"] == churned


def test_a_return_after_the_cut_off_is_no_purchase(place: Path, settings: Settings) -> None:
    assert snapshot(place, settings, [before(3), after(2, amount=-10.0)]).loc["A", "churned"] == 1


def test_the_population_is_who_bought_in_the_ninety_days_before(
    place: Path, settings: Settings
) -> None:
    lines = [
        before(90, "in"),
        before(90.1, "out"),
        before(200, "old"),
        before(5, "old"),
        before(5, "returns", -3.0),
    ]
    assert list(snapshot(place, settings, lines).index) == ["in", "old"]


def test_purchases_before_the_lookback_are_not_looked_at(place: Path, settings: Settings) -> None:
    row = snapshot(place, settings, [before(400), before(5)]).loc["A"]
    assert row["tenure_days"] == 5


moves = st.lists(
    st.tuples(
        st.sampled_from("ABCD"),
        st.floats(0, 400),
        st.sampled_from([-20.0, 0.01, 9.99, 5000.0]),
        st.sampled_from(["books", "toys", None]),
    ),
    max_size=12,
)
PAST = [
    before(d, who, a) for who in "ABC" for d, a in ((2, 5.0), (33, 12.5), (34, -2.5), (120, 80.0))
]


@given(added=moves, moved=st.lists(st.floats(0, 300), min_size=3, max_size=3))
@examples(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_event_after_a_cut_off_ever_changes_a_feature_before_it(
    place: Path,
    settings: Settings,
    added: list[tuple[str, float, float, str | None]],
    moved: list[float],
) -> None:
    names = [f.name for f in FEATURES]
    future = [after(days, who) for who, days in zip("ABC", moved, strict=True)]
    expected = snapshot(place, settings, [*PAST, *(after(1, who) for who in "ABC")])[names]
    found = snapshot(
        place, settings, [*PAST, *future, *(after(d, who, a, c) for who, d, a, c in added)]
    )[names]
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


@given(added=st.lists(st.tuples(st.sampled_from("ABC"), st.floats(0.01, 300)), max_size=8))
@examples(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_event_before_a_cut_off_ever_changes_its_label(
    place: Path, settings: Settings, added: list[tuple[str, float]]
) -> None:
    future = [after(10, "A"), after(31, "B")]
    labels = snapshot(place, settings, [*PAST, *future, *(before(d, who) for who, d in added)])[
        "churned"
    ]
    assert dict(labels) == {"A": 0, "B": 1, "C": 1}


def test_the_order_of_rows_in_the_file_changes_nothing(place: Path, settings: Settings) -> None:
    pd.testing.assert_frame_equal(
        snapshot(place, settings, EXAMPLE), snapshot(place, settings, EXAMPLE[::-1])
    )


def test_cut_offs_are_thirty_days_apart_and_the_newest_label_window_ends_with_the_data(
    settings: Settings,
) -> None:
    labelled, current = snapshots.cutoffs(datetime(2026, 6, 30, 23, 59), settings.features)
    assert [f"{cut:%m-%d}" for cut in labelled] == ["03-02", "04-01", "05-01", "05-31"]
    assert labelled[-1] + timedelta(days=settings.features.horizon_days) <= datetime(2026, 6, 30)
    assert current == datetime(2026, 7, 1)


# The artifact of the shop.


@pytest.fixture(scope="module")
def training(features: Path) -> pd.DataFrame:
    return (
        pd.read_parquet(features / "training.parquet")
        .set_index(["customer_id", "event_timestamp"])
        .sort_index()
    )


def test_what_feast_joins_point_in_time_is_the_snapshot_itself(
    features: Path, training: pd.DataFrame
) -> None:
    table = pd.read_parquet(features / "snapshots.parquet")
    table["event_timestamp"] = table["event_timestamp"].dt.tz_localize("UTC")
    table = table.set_index(["customer_id", "event_timestamp"]).sort_index().loc[training.index]
    names = [f.name for f in FEATURES]
    pd.testing.assert_frame_equal(
        training[names], table[names], check_dtype=False, check_exact=True
    )


def test_the_training_set_has_both_classes_at_every_cut_off(training: pd.DataFrame) -> None:
    rates = training.groupby("event_timestamp")[TARGET].mean()
    assert len(rates) == 4
    assert rates.between(0.2, 0.9).all()


def test_every_value_is_inside_its_contract(training: pd.DataFrame) -> None:
    for feature in FEATURES:
        values = training[feature.name]
        assert feature.missing_allowed or values.notna().all(), feature.name
        if feature.minimum is not None:
            assert values.min() >= feature.minimum, feature.name
        if feature.maximum is not None:
            assert values.max() <= feature.maximum, feature.name


def test_no_feature_is_a_consent_flag_a_group_or_a_customer_id(training: pd.DataFrame) -> None:
    assert set(training.columns) == {TARGET, *(f.name for f in FEATURES)}
    assert not {"consent", "objected_at", "birth_year", "country"} & set(training.columns)


def test_the_online_store_serves_the_newest_snapshot(features: Path, settings: Settings) -> None:
    table = pd.read_parquet(features / "snapshots.parquet")
    now = (
        table[table["event_timestamp"] == table["event_timestamp"].max()]
        .head(50)
        .set_index("customer_id")
    )
    store = feast.open_store(features, settings.feature_stores)
    service = store.get_feature_service(feast.SERVICE)
    rows = store.get_online_features(
        features=service, entity_rows=[{"customer_id": i} for i in now.index]
    ).to_df()
    online = rows.set_index("customer_id")
    for feature in FEATURES:
        offline = now[feature.name]
        if feature.dtype == "float":
            np.testing.assert_array_equal(
                online[feature.name].to_numpy(dtype=float), offline.to_numpy(dtype=float)
            )
        else:
            assert list(online[feature.name].fillna("-")) == list(offline.fillna("-"))


def test_the_registry_names_no_folder_of_this_machine(features: Path) -> None:
    assert str(features).encode() not in (features / "registry.db").read_bytes()


def test_the_snapshots_are_the_same_bytes_on_every_run(
    features: Path, valid: Path, settings: Settings, tmp_path: Path
) -> None:
    step("features", settings, valid, tmp_path / "again")
    for name in ("snapshots.parquet", "training.parquet", "summary.json"):
        assert (tmp_path / "again" / name).read_bytes() == (features / name).read_bytes(), name


def test_base_rate_and_people_of_each_cut_off_are_said(
    features: Path, training: pd.DataFrame
) -> None:
    found = read_json(features / "summary.json")
    by_cutoff = training.reset_index().groupby("event_timestamp")[TARGET].agg(["size", "mean"])
    assert found["populations"] == [
        {"cutoff": f"{cut:%Y-%m-%d}", "customers": int(n), "base_rate": round(rate, 4)}
        for cut, n, rate in by_cutoff.itertuples()
    ]
    first = by_cutoff.iloc[0]
    assert f"{first['mean']:.0%} of {int(first['size']):,}" in found["headline"]


def rates(*shares: float, customers: int = 1000) -> list[Population]:
    cuts = [CUT + timedelta(days=30 * i) for i in range(len(shares))]
    return [
        Population(cut, customers, round(share * customers))
        for cut, share in zip(cuts, shares, strict=True)
    ]


@pytest.mark.parametrize(
    ("populations", "far"),
    [
        (rates(0.51, 0.50, 0.46, 0.45), 0),
        (rates(0.50, 0.47, 0.50, 0.51, 0.52, 0.54, 0.56, 0.56), 0),
        (rates(0.70, 0.66, 0.70, 0.68, 0.67, 0.64, 0.62, 0.57), 0),
        (rates(0.3, 0.55, 0.5, customers=9), 0),
        (rates(0.51, 0.45, 0.44, 0.70, customers=210), 1),
        (rates(0.51, 0.45, 0.45, 0.95), 1),
        (rates(0.50, 0.84, 0.50, 0.50), 1),
        (rates(0.82, 0.15, 0.18, 0.16), 1),
        (rates(0.50, 0.50, 0.48, 0.10), 1),
        (rates(0.50, 0.47, 0.62, 0.68, 0.55, 0.54), 1),
    ],
    ids=[
        "made-up shop",
        "built-in shop",
        "Online Retail",
        "few people",
        "one event 20 days ahead",
        "one event 29 days ahead",
        "outage",
        "monthly bills",
        "feed that doubled",
        "outage over two cut-offs",
    ],
)
def test_a_cut_off_far_from_the_others_is_refused(
    populations: list[Population], far: int, settings: Settings
) -> None:
    if not far:
        check_populations(populations, 400, settings.features)
        return
    with pytest.raises(Refused, match=r"share of customers who did not buy again is far") as stop:
        check_populations(populations, 400, settings.features)
    assert str(stop.value).count(" of 1,000)") + str(stop.value).count(" of 210)") == far
    wide = settings.features.model_copy(update={"max_base_rate_gap": 0.7})
    check_populations(populations, 400, wide)


@pytest.mark.parametrize("days", [60, 75, 90, 100, 150, 180])
def test_the_settings_that_a_short_history_is_told_work(settings: Settings, days: int) -> None:
    config = settings.features
    assert days < days_needed(config)
    told = settings_that_fit(days, config)
    new = {name: int(n) for name, n in re.findall(r"(\w+_?\w*) = (\d+)", told)}
    changed = FeatureSettings.model_validate(config.model_dump() | new)
    last = datetime(2026, 6, 30, 20)
    labelled, _ = snapshots.cutoffs(last, changed)
    seen_before = labelled[0] - (last - timedelta(days=days))
    assert seen_before >= timedelta(days=changed.horizon_days - 1)


# What cannot be computed is refused, and the old artifact stays.


def short(days: int) -> list[Line]:
    return [before(d, who) for who in "ABC" for d in range(days)]


def everybody_buys_daily() -> list[Line]:
    return [before(d, who) for who in "ABC" for d in range(300)]


REFUSED: dict[str, Any] = {
    "short history": (
        short(40),
        "Nobody bought in the 90 days before the cut-off .*: the data has 39 days, 4 cut-offs .*"
        "ask for 210. Under .features.: set cutoffs = 3, every_days = 6 and horizon_days = 6",
    ),
    "one class": (
        everybody_buys_daily(),
        "The label has one class at .*: 0 of 3 customers made no purchase",
    ),
    "no transaction": ([], "No valid transaction"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_data_without_a_population_or_with_one_class_is_refused(
    tmp_path: Path, settings: Settings, name: str
) -> None:
    lines, said = REFUSED[name]
    output = tmp_path / "3_features"
    output.mkdir()
    (output / "old.txt").write_text("old")
    with pytest.raises(Refused, match=said):
        step("features", settings, write_valid(tmp_path / "2_valid", lines), output)
    assert [path.name for path in output.iterdir()] == ["old.txt"]
    assert not (tmp_path / ".3_features.part").exists()


def test_features_without_valid_data_name_the_step(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(Misuse, match=r"run `churn validate` first"):
        step("features", settings, tmp_path / "2_valid", tmp_path / "3_features")


@pytest.mark.parametrize(
    ("numbers", "count", "last_gap"),
    [
        ([None, None, None, None], 3, 19 - 5),
        ([1, 1, 2, 3], 3, 0),
        ([1, 1, 2, 2], 2, 20 - 5),
        ([1, 2, 3, 4], 4, 0),
        ([1, 1, None, None], 2, 20 - 5),
    ],
)
def test_lines_of_one_order_number_are_one_purchase(
    place: Path, settings: Settings, numbers: list[int | None], count: int, last_gap: float
) -> None:
    folder = write_valid(place / "numbered", [before(20), before(19), before(5), before(5)])
    frame = pd.read_parquet(folder / "transactions.parquet")
    frame["order_number"] = pd.array(numbers, dtype="Int32")
    frame.to_parquet(folder / "transactions.parquet", index=False)
    connection = snapshots.load(folder)
    snapshots.compute(connection, [CUT], settings.features)
    (row,) = connection.execute("FROM snapshots").df().to_dict("records")
    assert (row["purchase_count_30d"], row["last_gap_days"]) == (count, last_gap)
    assert row["avg_order_value_eur"] == pytest.approx(40 / count)


# The windows of contract.py are the one place.


def contract_with(windows: object) -> dict[str, Any]:
    """The names of contract.py with other windows."""
    text = Path(str(contract.__file__)).read_text(encoding="utf-8")
    changed = text.replace("WINDOWS = (7, 30, 90, 180)", f"WINDOWS = {windows}")
    assert changed != text
    names: dict[str, Any] = {"__name__": "changed_contract"}
    exec(compile(changed, "contract.py", "exec"), names)
    return names


@pytest.mark.parametrize("windows", [(14, 60), (30,), (1, 7, 28, 56, 112, 224), (365,)])
def test_other_windows_give_columns_features_sql_and_slices_that_follow(
    place: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, windows: tuple[int, ...]
) -> None:
    changed = contract_with(windows)
    for name in ("WINDOWS", "FEATURES"):
        monkeypatch.setattr(snapshots, name, changed[name])
    row = snapshot(place, settings, [before(3.5), before(13.5), before(300)]).loc["A"]
    for days in windows:
        expected = (days > 3) + (days > 13) + (days > 299)
        assert row[f"purchase_count_{days}d"] == expected, days
        assert row[f"revenue_eur_{days}d"] == 10 * expected, days
    names = {feature.name for feature in changed["FEATURES"]}
    assert {name for name in row.index if name != "churned"} == names
    assert sum(name.startswith("revenue_eur_") for name in names) == len(windows)
    project = replace(PROJECT, features=changed["FEATURES"], links=changed["links"])
    assert {spec.name for spec in project.feature_contract().features} == names


@pytest.mark.parametrize(
    "windows", ["()", "(30, 7)", "(7, 7)", "(0, 7)", "(7, 30.5)", "(-7, 7)", "(True, 7)"]
)
def test_windows_that_make_no_sense_are_misuse_in_one_line(windows: str) -> None:
    with pytest.raises(Misuse, match=r"^WINDOWS in contract\.py is .*shortest first.*$"):
        contract_with(windows)


def test_a_window_longer_than_the_lookback_names_the_setting(
    place: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = contract_with((30, 366))
    for name in ("WINDOWS", "FEATURES"):
        monkeypatch.setattr(snapshots, name, changed[name])
    with pytest.raises(
        Misuse, match=r"reaches back 366 days, and \[features\] lookback_days is 365"
    ):
        snapshot(place, settings, [before(3)])


@pytest.mark.parametrize("days", [0.0, 29.9, 30.0, 365.9, 366.0, 730.0, 9_999.0])
def test_the_bands_of_tenure_and_purchases_cover_everybody(days: float) -> None:
    counts = {f"purchase_count_{evaluation.COUNTED_DAYS}d": [0.0, 1.0, 500.0]}
    slices = evaluation.behavioural(pd.DataFrame({"tenure_days": [days] * 3, **counts}))
    assert slices.keys() == {"tenure", f"purchases_{evaluation.COUNTED_DAYS}d"}
    assert all(band.notna().all() for band in slices.values())


def test_no_name_says_over_how_many_days_the_label_looks() -> None:
    assert not [letter for letter in contract.TARGET if letter.isdigit()]
