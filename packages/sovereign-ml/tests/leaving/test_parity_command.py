"""`churn leave parity` over a whole dump, offline and online, with dumps unlike those of other tests."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import bundles
from purchases import CONFIG, shop
from sagemaker_double import Account, dumped
from small_project import load
from sovereign_ml.cli.main import application
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.leaving.feature_parity.past_moments import FeatureReplay
from sovereign_ml.project import load_project
from sovereign_ml.pseudonyms import pseudonyms

MOMENT = datetime(2026, 4, 1, 2, 30)
GROUP = "user-features"
NAMES = ("recency_days", "purchase_count_30d", "preferred_category")


@pytest.fixture
def root(new_project: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with valid data and a bundle, and beside it a dump whose store computed as ours."""
    folder = new_project()
    project = load(folder)
    monkeypatch.setattr("sovereign_ml.cli.leave.differences.load_settings", lambda _: load(folder))
    shop(project.path("valid"), people=40)
    bundles.write_bundle(project.path("bundle"))
    account = Account(runs=0)
    account.rows["FeatureGroup"][0]["FeatureDefinitions"] += [
        {"FeatureName": "recency_days", "FeatureType": "Fractional"},
        {"FeatureName": "preferred_category", "FeatureType": "String"},
    ]
    dumped(account, tmp_path / "dump", datetime(2026, 11, 20, tzinfo=UTC))
    return folder


def brought(root: Path) -> tuple[Path, pd.DataFrame]:
    """Write the rows that `churn leave features` would have written."""
    project = load(root)
    replay = FeatureReplay(load_project(root), project.path("valid"), CONFIG, "no_purchase", root)
    replay.compute([MOMENT])
    frame = replay.connection.execute(
        "SELECT customer_id, event_timestamp, event_timestamp AS created_timestamp, "
        f"{', '.join(NAMES)}, 'yes' AS gdpr_consent_marketing FROM snapshots"
    ).df()
    replay.close()
    path = root / "data/leaving" / GROUP / "rows.parquet"
    path.parent.mkdir(parents=True)
    frame.to_parquet(path, index=False)
    return path, frame


def call(root: Path, *words: str) -> None:
    dump = str(root.parent / "dump")
    application()(["leave", "parity", dump, *words], standalone_mode=False)


def test_the_command_compares_offline_rows_and_refuses_by_the_stated_tolerance(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Refused, match="were not brought: `churn leave features"):
        call(root)
    path, frame = brought(root)
    call(root)
    shown = capsys.readouterr().out
    assert shown.endswith("Verdict: same.\n")
    assert "not compared, as ours has none of it: gdpr_consent_marketing" in shown
    frame.loc[:4, "recency_days"] += 70
    frame.to_parquet(path, index=False)
    with pytest.raises(Refused, match=f"{GROUP}: differs"):
        call(root, "--json")
    (answer,) = json.loads(capsys.readouterr().out)["groups"]
    assert (answer["differing"], answer["verdict"]) == (5, "differs")
    assert answer["effect"]["rows"] + answer["effect"]["refused"] == 5
    config = (root / "config.toml").read_text()
    (root / "config.toml").write_text(config + "\n[leave.tolerance]\nmay_differ = 0.5\n")
    call(root)
    report = json.loads((root / "governance/leaving/report.json").read_text())
    assert report["steps"]["parity of offline features"]["group 1"]["verdict"] == "same"
    (root / "config.toml").write_text(config + '\n[leave.parity.users]\na = "b"\n')
    with pytest.raises(Misuse, match="names the feature group users"):
        call(root)
    for words, message in (
        (("--group", "users"), "No feature group users"),
        (("--endpoint", "live", "--online"), "name one"),
    ):
        with pytest.raises(Misuse, match=message):
            call(root, *words)


def test_records_of_the_online_store_are_compared_at_their_own_time(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # In the dump are keys, and in the shop their pseudonyms.
    _, frame = brought(root)
    ids = {name: f"k{number}" for number, name in enumerate(frame["customer_id"])}
    transactions = load(root).path("valid") / "transactions.parquet"
    table = pd.read_parquet(transactions)
    plain = table["customer_id"].map(ids).fillna("nobody")
    table["customer_id"] = pseudonyms(plain, load(root).pseudonym_key())
    table["order_number"] = table["order_number"].astype("Int32")
    table.to_parquet(transactions, index=False)
    folder = root.parent / "dump/online"
    folder.mkdir()
    with pytest.raises(Refused, match="jsonl does not exist: fetch the records"):
        call(root, "--online")
    (folder / GROUP).mkdir()
    # `churn leave fetch` writes the first for a group without records.
    for name, text in (
        *((f"{GROUP}.jsonl", ""), (f"{GROUP}.jsonl", "\n"), (f"{GROUP}.json", " ")),
        *((f"{GROUP}/page.json", ""), (f"{GROUP}.jsonl", '{"Records": []}\n')),
    ):
        (folder / name).write_text(text)
        with pytest.raises(Refused, match="holds no record") as refused:
            call(root, "--online")
        assert "does not exist" not in str(refused.value)
        (folder / name).unlink()
    (folder / GROUP).rmdir()
    answers = [record(ids[row["customer_id"]], row) for row in frame.to_dict("records")]
    # Answers of GetRecord, of BatchGetRecord one a line, and of BatchGetRecord as a whole.
    get = "\n".join(json.dumps({"Record": row["Record"]}) for row in answers[:5])
    batch = "\n".join(json.dumps(row) for row in answers[5:10])
    (folder / f"{GROUP}.jsonl").write_text(f"{get}\n{batch}\n")
    (folder / GROUP).mkdir()
    whole = {"Records": answers[10:], "Errors": [], "UnprocessedIdentifiers": []}
    (folder / GROUP / "whole.json").write_text(json.dumps(whole, indent=2))
    call(root, "--online")
    assert f"{len(frame)} of {len(frame)} rows compared" in capsys.readouterr().out
    answers[12]["Record"][2]["ValueAsString"] = "4000"
    (folder / GROUP / "whole.json").write_text(json.dumps(whole))
    with pytest.raises(Refused, match="differs"):
        call(root, "--online", "--json")
    assert json.loads(capsys.readouterr().out)["groups"][0]["differing"] == 1


def record(key: str, row: dict[str, Any]) -> dict[str, Any]:
    values = {"user_id": key, "event_time": MOMENT.isoformat() + "Z"}
    values |= {name: row[name] for name in NAMES if not _missing(row[name])}
    features = [{"FeatureName": n, "ValueAsString": str(v)} for n, v in values.items()]
    return {"FeatureGroupName": GROUP, "RecordIdentifierValueAsString": key, "Record": features}


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
