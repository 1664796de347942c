"""Whoever withdrew, objected or was erased is in no training set, no scores, no decisions, whatever the files say."""

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

import bundles
from churn import features
from small_project import KEY, configure, load, make_project
from sovereign_ml.config.settings import Settings
from sovereign_ml.decision_log import Draft, Entry, open_log
from sovereign_ml.decision_log.entries import BARS, Bar
from sovereign_ml.decisions.decision_policy import decide
from sovereign_ml.pipeline import flow, source
from sovereign_ml.privacy import suppression
from sovereign_ml.project import load_project
from sovereign_ml.pseudonyms import pseudonyms
from sovereign_ml.storage.artifacts import write_json

END = datetime(2026, 6, 30, tzinfo=UTC)
ZONES = (-11, -5, 0, 1, 5.5, 13)
PEOPLE = [f"P{i:03d}" for i in range(8)]


@st.composite
def histories(draw: st.DrawFn) -> dict[str, list[tuple[bool, bool, bool]]]:
    """Rows of the customers file for each person: consent, objection, erasure, as often as the export repeats them."""
    flags = st.tuples(st.booleans(), st.booleans(), st.booleans())
    return {one: draw(st.lists(flags, min_size=0, max_size=3)) for one in PEOPLE}


def when(offset: float, days: float) -> str:
    """A moment as an export of another time zone writes it."""
    zone = timezone(timedelta(hours=offset))
    return (END - timedelta(days=days)).astimezone(zone).isoformat()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_project(tmp_path_factory.mktemp("gates") / "acme-churn")
    columns = {
        "data.columns.event_time": "ordered_at",
        "data.columns.currency": "",
        "features.cutoffs": 3,
        **{f"data.customer_columns.{mark}_at": f"{mark}_at" for mark in BARS.values()},
    }
    configure(made, {"data.transactions": "t.csv", "data.customers": "c.csv", **columns})
    # The dates are fixed, and must not expire.
    bundle = bundles.write_bundle(made / "data/7_bundle", max_feature_age_days=36_500)
    write_json(bundle / "summary.json", {})
    return made


def clear(root: Path, settings: Settings) -> None:
    """No tombstone, no objection and no pinned input of the example before."""
    stones = (
        root / "governance/tombstones.txt",
        settings.secrets.key_file.with_suffix(".tombstones"),
    )
    for path in (*stones, root / "data/source.json", *(root / ".churn").glob("decisions.db*")):
        path.unlink(missing_ok=True)


def object_to(root: Path, people: list[str]) -> None:
    """People object through the service, withdraw their consent, or have processing restricted: each another."""
    (root / ".churn").mkdir(exist_ok=True)
    with closing(open_log(str(root / ".churn/decisions.db"))) as log:
        kinds = [(get_args(Bar)[int(one[0], 16) % 3], one) for one in people]
        log.append([Draft(kind, f"{kind}-{one}", one, "{}") for kind, one in kinds])


def train_and_score(settings: Settings, late: list[str]) -> tuple[set[str], set[str]]:
    """Who is in the training set, and who has a score when ``late`` object between features and scores."""
    raw, folder = settings.path("raw"), settings.path("features")
    connection = features.load(raw)
    labelled, current = features.cutoffs(features.history(connection)[1], settings.features)
    features.compute(connection, [*labelled, current], settings.features)
    features.label(connection, settings.features.horizon_days)
    folder.mkdir(parents=True, exist_ok=True)
    connection.sql("FROM snapshots").write_parquet(str(folder / "snapshots.parquet"))
    write_json(folder / "summary.json", {"current": f"{current:%Y-%m-%d}"})
    trained = {
        row[0] for row in connection.execute("SELECT DISTINCT customer_id FROM labels").fetchall()
    }
    object_to(settings.root, late)
    project = load_project(settings.root)
    inputs = [settings.path("bundle"), folder, raw]
    function, known = project.function(project.step("score")), flow.provided(settings, project)
    flow.call(function, known, inputs, settings.path("scores"))
    return trained, set(pd.read_parquet(settings.path("scores") / "scores.parquet")["customer_id"])


def decided(root: Path, people: list[str], erased: list[str]) -> dict[str, str]:
    """Outcome of a decision about each of ``people``, as the service makes and writes it; none for the erased."""
    made = {one: decide(bundles.policy(), 0.9).outcome for one in people}
    with closing(open_log(str(root / ".churn/decisions.db"))) as log:
        for one in erased:
            log.erase_subject(one)
        refused = json.dumps({"outcome": decide(bundles.policy(), None, barred="objected").outcome})
        drafts = [
            Draft("decision", one, one, json.dumps({"outcome": made[one]}), refused)
            for one in people
        ]
        return {
            w.subject or "": json.loads(w.body or "")["outcome"]
            for w in log.append(drafts)
            if isinstance(w, Entry)
        }


def write(
    root: Path,
    history: dict[str, list[tuple[bool, bool, bool]]],
    zones: list[float],
    late: list[str],
) -> None:
    """Purchases of everyone on many days; those of ``late`` arrive at the end of the file with old dates."""
    order = [*(one for one in PEOPLE if one not in late), *late, "KEPT"]
    lines = [
        (one, when(zones[i % len(zones)], days + i / 24), 10 + i, "toys")
        for i, one in enumerate(order)
        for days in range(1, 230, 17)
    ]
    names = ["customer_id", "ordered_at", "amount", "category"]
    pd.DataFrame(lines, columns=names).to_csv(root / "t.csv", index=False)
    rows = [
        (
            one,
            consent,
            *(when(zones[0], 3) if objected and i % 3 == n else None for n in range(3)),
            when(zones[-1], 3) if erased else None,
            1980,
            "DE",
        )
        for i, (one, found) in enumerate({**history, "KEPT": [(True, False, False)]}.items())
        for consent, objected, erased in found
    ]
    marks = [f"{bar}_at" for bar in BARS.values()]
    head = ["customer_id", "consent", *marks, "erased_at", "birth_year", "country"]
    pd.DataFrame(rows, columns=head).to_csv(root / "c.csv", index=False)


def may_stay(found: list[tuple[bool, bool, bool]]) -> bool:
    """One refusal anywhere counts; without any row there is no consent."""
    return bool(found) and all(
        consent and not objected and not erased for consent, objected, erased in found
    )


@given(
    histories(),
    st.lists(st.sampled_from(ZONES), min_size=1, max_size=3),
    st.sets(st.sampled_from(PEOPLE)),
    st.sets(st.sampled_from(PEOPLE), max_size=2),
    st.sets(st.sampled_from(PEOPLE), max_size=2),
    st.sets(st.sampled_from(PEOPLE), max_size=2),
)
@hypothesis(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_over_any_history_of_flags_the_barred_are_in_no_table_and_no_decision(
    root: Path,
    history: dict[str, list[tuple[bool, bool, bool]]],
    zones: list[float],
    late: set[str],
    tombstoned: set[str],
    early: set[str],
    afterwards: set[str],
) -> None:
    write(root, history, zones, sorted(late))
    settings = load(root)
    clear(root, settings)
    key = bytes.fromhex(KEY)
    suppression.tombstones(settings.suppression).add(
        pseudonyms(tombstoned, key), day="2026-06-30", receipt="r"
    )
    object_to(root, pseudonyms(sorted(early), key))
    source.refresh(settings)
    flow.run_step("data", settings, load_project(root))
    allowed = {
        one for one in PEOPLE if may_stay(history[one]) and one not in tombstoned | early
    } | {"KEPT"}
    raw = settings.path("raw")
    names = dict(zip(pseudonyms([*PEOPLE, "KEPT"], key), [*PEOPLE, "KEPT"], strict=True))
    assert {
        names[one] for one in pd.read_parquet(raw / "transactions.parquet")["customer_id"]
    } == allowed
    assert {names[one] for one in pd.read_parquet(raw / "groups.parquet")["customer_id"]} <= allowed
    trained, scored = train_and_score(settings, pseudonyms(sorted(afterwards), key))
    assert {names[one] for one in trained} == allowed
    assert {names[one] for one in scored} == allowed - afterwards
    outcomes = decided(root, list(names), pseudonyms(sorted(tombstoned), key))
    assert {names[one] for one in names if one not in outcomes} == tombstoned
    assert {names[one] for one, said in outcomes.items() if said in BARS.values()} == (
        early | afterwards
    ) - tombstoned


def test_a_tombstone_bars_somebody_whom_no_customers_file_names(root: Path) -> None:
    write(root, {one: [(True, False, False)] for one in PEOPLE}, [0], [])
    settings = load(root)
    (target,) = pseudonyms(["P003"], bytes.fromhex(KEY))
    suppression.tombstones(settings.suppression).add([target], day="2026-06-30", receipt="r")
    source.refresh(settings)
    flow.run_step("data", settings, load_project(root))
    assert target not in set(
        pd.read_parquet(settings.path("raw") / "transactions.parquet")["customer_id"]
    )
    assert target not in set(
        pd.read_parquet(settings.path("raw") / "customers.parquet")["customer_id"]
    )
