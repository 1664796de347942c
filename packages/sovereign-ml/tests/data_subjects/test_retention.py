"""The retention clock moved forward deletes exactly what the table says, and the dry run is the deletion."""

import json
import shutil
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pandas as pd
import pytest

from small_project import commit, configure
from sovereign_ml.config.connections import LogLocation, ObjectStorage
from sovereign_ml.config.retention_periods import (
    RetentionPeriod,
    RetentionSettings,
    back,
)
from sovereign_ml.data_subjects import retention
from sovereign_ml.data_subjects.stores import mlflow_runs
from sovereign_ml.decision_log import DecisionLog, Draft, open_log, verify
from sovereign_ml.decision_log.sqlite import SQLite
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.privacy.retention_plan import Due
from sovereign_ml.registry import mlflow
from world import World

NOW = datetime(2026, 11, 24, tzinfo=UTC)
COLUMNS = {"raw": "event_time", "features": "event_timestamp", "snapshots": "event_timestamp"}


def in_a_year(world: World) -> datetime:
    """A year and a day after the world was made."""
    written = (world.root / "data/8_scores/scores.parquet").stat().st_mtime
    return datetime.fromtimestamp(written, UTC).replace(
        hour=0, minute=0, second=0, microsecond=0
    ) + pd.Timedelta(days=367)


def everything(world: World) -> dict[str, int]:
    """Every file with rows or bytes, and the remote."""
    found = {}
    for base in (
        world.root / "data",
        world.root / ".dvc/cache/files",
        world.folder / "acme-churn-dvc",
    ):
        for path in (path for path in sorted(base.rglob("*")) if path.is_file()):
            rows = len(pd.read_parquet(path)) if path.suffix == ".parquet" else path.stat().st_size
            found[str(path.relative_to(world.folder))] = rows
    return found


@pytest.mark.flow
def test_a_year_later_exactly_the_table_is_deleted_and_the_dry_run_says_so(world: World) -> None:
    configure(world.root, {"retention.raw.period": "P18M", "retention.features.period": "P14M"})
    now = in_a_year(world)
    stores, before = world.stores, everything(world)
    planned = retention.plan(stores, now)
    assert everything(world) == before
    expected = by_hand(world, now)
    assert {(one.data_class, Path(one.place).name, one.count) for one in planned} >= expected
    done = world.churn("retain", "--apply", "--at", f"{now:%Y-%m-%d}", "--json")
    assert done.returncode == 0, done.stderr
    assert [Due.model_validate(one) for one in json.loads(done.stdout)] == planned
    after = everything(world)
    for one in planned:
        place = str((world.root / one.place).relative_to(world.folder)) if "/" in one.place else ""
        if one.unit == "rows":
            assert after[place] == before[place] - one.count
        elif one.unit == "object":
            assert place in before and place not in after
    deleted = {place for place in before if place not in after}
    assert deleted == {
        str((world.root / one.place).resolve().relative_to(world.folder))
        for one in planned
        if one.unit == "object"
    }
    touched = {
        str((world.root / one.place).relative_to(world.folder))
        for one in planned
        if one.unit == "rows"
    }
    same = {
        place for place in before if place.startswith("acme-churn/data/") and place not in touched
    }
    assert all(after[place] == before[place] for place in same if not place.endswith("source.json"))
    assert retention.plan(stores, now) == []


def by_hand(world: World, now: datetime) -> set[tuple[str, str, int]]:
    """What the table means, counted with pandas."""

    def older(place: str, column: str, months: int) -> int:
        times = pd.read_parquet(world.root / place)[column]
        limit = pd.Timestamp(back(now, f"P{months}M"))
        return int((times < (limit if times.dt.tz else limit.tz_localize(None))).sum())

    scores = pd.read_parquet(world.root / "data/8_scores/scores.parquet")
    groups = pd.read_parquet(world.root / "data/1_raw/groups.parquet")
    return {
        ("raw", "transactions.parquet", older("data/1_raw/transactions.parquet", "event_time", 18)),
        (
            "features",
            "snapshots.parquet",
            older("data/3_features/snapshots.parquet", "event_timestamp", 14),
        ),
        ("scores", "scores.parquet", len(scores)),
        ("groups", "groups.parquet", len(groups)),
    }


@pytest.mark.flow
def test_the_present_versions_the_production_model_and_young_decisions_stay(world: World) -> None:
    planned = retention.plan(world.stores, in_a_year(world))
    classes = {one.data_class for one in planned}
    assert not classes & {"decisions", "models", "runs", "notebooks", "backups"}
    with_old = [one for one in planned if one.data_class == "dvc_versions"]
    assert with_old, "the first version was replaced by the second a year ago"


@pytest.mark.flow
def test_decisions_runs_and_models_go_when_their_time_is_over(world: World) -> None:
    configure(
        world.root,
        {
            "retention.runs.period": "P1M",
            "retention.models.period": "P1M",
            "retention.decisions.period": "P6M",
        },
    )
    stores = world.stores
    now = in_a_year(world)
    mlflow.client(stores.tracking).delete_registered_model_alias("acme-churn", "candidate")
    planned = {one.data_class: one for one in retention.plan(stores, now)}
    assert planned["models"].place == "version 1" and planned["runs"].count == 1
    retention.apply(stores, now)
    assert not [path for path in (world.root / ".mlflow/artifacts").rglob("*") if path.is_file()]
    with closing(open_log(str(world.root / ".churn/decisions.db"))) as log:
        verdict = verify(log)
        assert verdict.holds and verdict.blanked == planned["decisions"].count > 100
    assert retention.plan(stores, now) == []
    ahead = [lambda: "2099-01-01T00:00:00.000000Z"] * 2
    with closing(DecisionLog(SQLite(world.root / ".churn/decisions.db"), *ahead)) as log:
        log.append([Draft("bundle", "bundle-2", None, "{}")])
    refused = world.churn("retain", "--apply")
    assert refused.returncode == 1 and "With a wrong clock" in refused.stderr


@pytest.mark.flow
def test_a_copied_project_does_not_delete_the_artifacts_of_the_original(
    made: World, tmp_path: Path
) -> None:
    shutil.copytree(made.folder, tmp_path / "copied", symlinks=True)
    copied = World(tmp_path / "copied", made.people)
    (run_id,) = [
        folder.name
        for folder in (made.root / ".mlflow/artifacts").iterdir()
        if folder.name != "models"
    ]
    mlflow_runs.delete(copied.settings.tracking, [run_id])
    assert not (copied.root / f".mlflow/artifacts/{run_id}").exists()
    assert (made.root / f".mlflow/artifacts/{run_id}/artifacts/model.json").is_file()


@pytest.mark.flow
def test_expired_purchases_do_not_come_back_when_the_file_is_read_again(world: World) -> None:
    configure(world.root, {"retention.raw.period": "P6M"})
    commit(world.root)
    retention.apply(world.stores, NOW)
    limit = pd.Timestamp(back(NOW, "P6M"))
    assert world.churn("data").returncode == 0
    rows = pd.read_parquet(world.root / "data/1_raw/transactions.parquet")
    assert len(rows) and rows["event_time"].min() >= limit


def test_reports_of_the_monitor_go_by_the_day_that_they_are_about(tmp_path: Path) -> None:
    from sovereign_ml.data_subjects.retention_local import OldReports

    for name in ("2023-01-31", "2023-02-02", "not-a-day"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "monitor.json").write_text("{}")  # fetched just now
    rule = RetentionSettings().monitor
    keeper = OldReports("monitor", rule, tmp_path, tmp_path)
    due = keeper.due(datetime(2026, 2, 1, 12, tzinfo=UTC))
    assert [(item.place, item.unit) for item in due] == [("2023-01-31", "report")]
    keeper.expire(due)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2023-02-02", "not-a-day"]


def test_old_reports_in_the_bucket_go_and_alarms_with_their_answers_stay(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from sovereign_ml.data_subjects import retention_servers
    from sovereign_ml.data_subjects.stores import s3_versions
    from sovereign_ml.monitoring.reporting.bucket_copy import MonitorCopy, reports_prefix

    written, prefix = datetime(2023, 1, 31, tzinfo=UTC), reports_prefix("acme-churn")
    names = ("2023-01-31/monitor.json", "alarms/A-2023-01-31-age.json")
    listed = [
        s3_versions.ObjectVersion(
            key=MonitorCopy("acme-churn", None)._key(name),  # type: ignore[arg-type]
            id=version,
            etag="",
            modified=written,
            latest=version == "2",
        )
        for name in names
        for version in ("1", "2")
    ]

    class Bucket:
        deleted: ClassVar[list[tuple[str, str]]] = []

        def __init__(self, _: object) -> None: ...

        def versions(self, wanted: str) -> list[s3_versions.ObjectVersion]:
            return [version for version in listed if version.key.startswith(wanted)]

        def delete(self, key: str, version: str) -> None:
            self.deleted.append((key.removeprefix(prefix), version))

    monkeypatch.setattr(retention_servers, "Objects", Bucket)
    rule, storage = RetentionSettings().monitor, ObjectStorage("", "", "", "path", tmp_path)
    keeper = retention_servers.OldObjects(
        "monitor", rule, tmp_path, storage, prefix, f"{prefix}alarms/"
    )
    assert keeper.due(written + timedelta(days=1000)) == []
    keeper.expire(keeper.due(written + timedelta(days=1200)))
    # Of an alarm that changed, the older versions go.
    assert Bucket.deleted == [(names[0], "1"), (names[0], "2"), (names[1], "1")]


def test_outputs_of_old_notebooks_are_emptied_and_their_code_stays(tmp_path: Path) -> None:
    from sovereign_ml.data_subjects.retention_local import NotebookOutputs

    path = tmp_path / "look.ipynb"
    cell = {
        "cell_type": "code",
        "source": ["1 + 1"],
        "outputs": [{"text": "2"}],
        "execution_count": 3,
    }
    path.write_text(json.dumps({"cells": [cell, {"cell_type": "markdown", "source": ["Hi"]}]}))
    rule = RetentionPeriod(period="P1M", start="written")
    keeper = NotebookOutputs("notebooks", rule, tmp_path, tmp_path)
    later = datetime.now(UTC) + timedelta(days=40)
    assert keeper.due(datetime.now(UTC)) == []
    keeper.expire(keeper.due(later))
    cells = json.loads(path.read_text())["cells"]
    assert cells[0] == cell | {"outputs": [], "execution_count": None} and cells[1]["source"] == [
        "Hi"
    ]
    assert keeper.due(later + timedelta(days=400)) == []


@pytest.mark.parametrize(
    ("now", "period", "then"),
    [
        ("2026-03-31", "P1M", "2026-02-28"),
        ("2024-02-29", "P1Y", "2023-02-28"),
        ("2026-01-15", "P2M", "2025-11-15"),
        ("2026-11-24", "P2Y6M", "2024-05-24"),
        ("2026-11-24", "P2W3D", "2026-11-07"),
    ],
)
def test_a_period_counts_back_in_the_calendar(now: str, period: str, then: str) -> None:
    assert back(datetime.fromisoformat(now), period) == datetime.fromisoformat(then)


@pytest.mark.parametrize("wrong", ["", "P", "24M", "forever", "P1.5Y", "PT5H", "P-1M"])
def test_a_period_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="ISO 8601"):
        RetentionPeriod(period=wrong, start="written")


def test_a_start_event_that_is_not_stored_is_refused() -> None:
    with pytest.raises(ValueError, match="only be 'purchase'"):
        RetentionSettings(raw=RetentionPeriod(period="P1M", start="written"))


@pytest.mark.parametrize(
    ("risk", "short", "refused"),
    [
        ("high_risk", "decisions", "decisions is P5M; the card says high risk"),
        ("high_risk", "reviews", "reviews is P5M; the card says high risk"),
        ("?", "decisions", "leaves the risk class open.*Answer .ai_act. first"),
        ("minimal", "decisions", ""),
        ("high_risk", "scores", ""),
        ("?", "", ""),
    ],
)
def test_a_log_of_a_high_risk_system_stays_for_six_months(
    risk: str, short: str, refused: str, tmp_path: Path
) -> None:
    (tmp_path / "card.json").write_text(json.dumps({"derived": {"ai_act": {"risk_class": risk}}}))
    start = {"decisions": "decided", "reviews": "reviewed", "scores": "written"}
    rules = {short: {"period": "P5M", "start": start[short]}} if short else {}
    policy = RetentionSettings.model_validate(rules)
    if refused:
        with pytest.raises(Refused, match=refused):
            retention.refuse_short_log(policy, tmp_path, NOW)
    else:
        retention.refuse_short_log(policy, tmp_path, NOW)


@pytest.mark.parametrize(
    ("days", "fits"),
    [(-3650, False), (-2, False), (0, True), (30, True), (33, False), (20_000, False)],
)
def test_a_clock_that_does_not_fit_what_is_on_record_deletes_nothing(
    days: int, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = datetime(2026, 11, 24, tzinfo=UTC)
    address = str(tmp_path / "decisions.db")
    with closing(
        DecisionLog(SQLite(Path(address)), *[lambda: f"{made:%Y-%m-%dT%H:%M:%S.%fZ}"] * 2)
    ) as log:
        log.append([Draft("decision", "case-1", "aaaaaaaa", "{}")])
    stores = SimpleNamespace(log=LogLocation("sqlite:///", address), root=tmp_path)
    monkeypatch.setattr(
        retention, "ask", lambda *_: f"{(made - timedelta(days=300)).timestamp():.0f}"
    )
    check = partial(retention.refuse_wrong_clock, stores, made + timedelta(days=days))
    if fits:
        check()
    else:
        with pytest.raises(Refused, match=r"of 2026-11-24\. With a wrong clock.* --at YYYY-MM-DD"):
            check()


def test_without_anything_on_record_no_clock_is_refused(tmp_path: Path) -> None:
    stores = SimpleNamespace(log=LogLocation("sqlite:///", ""), root=tmp_path)
    retention.refuse_wrong_clock(stores, NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize("content", ["[]", "7", '{"cells": 7}', '{"cells": ["text", null]}', "{"])
def test_a_file_that_is_no_notebook_ends_no_plan(tmp_path: Path, content: str) -> None:
    from sovereign_ml.data_subjects.retention_local import NotebookOutputs

    (tmp_path / "odd.ipynb").write_text(content)
    rule = RetentionPeriod(period="P1M", start="written")
    keeper = NotebookOutputs("notebooks", rule, tmp_path, tmp_path)
    assert keeper.due(datetime.now(UTC) + timedelta(days=40)) == []


@pytest.mark.parametrize(
    "folder",
    [".", "..", "/", "data/..", "data", "data/1_raw", "governance", ".git", "notes", "link"],
)
def test_a_folder_of_backups_that_holds_the_project_is_refused(tmp_path: Path, folder: str) -> None:
    root = tmp_path / "acme-churn"
    (root / "data/1_raw").mkdir(parents=True)
    (root / "notes").mkdir()
    (root / "notes/plan.md").write_text("tracked")
    (root / "link").symlink_to(root / "governance")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    subprocess.run(["git", "-C", str(root), "add", "notes"], check=True)
    with pytest.raises(Misuse, match="holds this project or a part of it"):
        retention._backups(root, folder)


def test_a_folder_of_backups_that_is_missing_is_no_empty_one(tmp_path: Path) -> None:
    root = tmp_path / "acme-churn"
    root.mkdir()
    for folder in ("backups", "../backups", str(tmp_path / "srv/backups")):
        with pytest.raises(Misuse, match="which is missing: mount its disk"):
            retention._backups(root, folder)
        (root / folder).mkdir(parents=True)
        assert retention._backups(root, folder) == root / folder
