"""Reports and alarms in the bucket: nothing is lost between scheduled runs and the repository."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from monitor_reports import DAY, a_report, state
from small_project import churn
from sovereign_ml.config.connections import DataVersions, ObjectStorage
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.monitoring import alarms
from sovereign_ml.monitoring.reporting.bucket_copy import Exchange, MonitorCopy
from sovereign_ml.monitoring.reporting.stored_reports import newest_report
from sovereign_ml.storage import s3

STORAGE = ObjectStorage("http://127.0.0.1:9", "none", "bucket", "path", Path("none"))
NOW = datetime(2026, 6, 3, 12, tzinfo=UTC)
ALARM = f"A-{DAY}-missing"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A bucket in memory; the real client is used in the tests of the profile eu."""
    held: dict[str, bytes] = {}
    monkeypatch.setattr(s3, "etags", lambda _, prefix="": _etags(held, prefix))
    monkeypatch.setattr(s3, "read", lambda _, key: held[key])
    monkeypatch.setattr(s3, "write", lambda _, key, content: held.update({key: content}))
    return held


def _etags(held: dict[str, bytes], prefix: str) -> dict[str, str]:
    return {
        key: hashlib.md5(content, usedforsecurity=False).hexdigest()
        for key, content in held.items()
        if key.startswith(prefix)
    }


def copy_of(root: Path, remote: str = "eu") -> MonitorCopy:
    return MonitorCopy("acme-churn", DataVersions(root, "eu", remote, STORAGE))


def run_on_cluster(
    root: Path, status: str = "alarm", day: date = DAY, made_at: str = "2026-06-02T06:00:00Z"
) -> None:
    """Do what one scheduled run does around the measurement, on a disk of its own."""
    copy_of(root).sync()
    alarms.update(root, [state("missing", status)], day, "3")
    folder = root / "data/9_monitoring" / f"{day}"
    folder.mkdir(parents=True, exist_ok=True)
    waiting = tuple(alarms.unanswered(root))
    text = a_report(day=f"{day}", made_at=made_at, alarms=waiting).model_dump_json()
    for name, content in {"monitor.json": text, "monitor.html": "x", "metrics.prom": "y"}.items():
        (folder / name).write_text(content)
    copy_of(root).publish(f"{day}")


def answer(root: Path, action: str = "fix_data", at: datetime = NOW) -> None:
    usual: dict[str, Any] = {"by": "Ada Lovelace", "why": "Seen.", "until": None}
    alarms.answer(root, ALARM, action=action, now=at, **usual)


def test_an_answer_given_in_the_repository_reaches_the_next_scheduled_run(
    bucket: dict[str, bytes], tmp_path: Path
) -> None:
    run_on_cluster(tmp_path / "monday")
    here = tmp_path / "repository"
    exchange = copy_of(here).sync()
    assert exchange == Exchange((f"{DAY}",), (ALARM,), ())
    report = newest_report(here)
    assert report is not None
    assert [record.id for record in report.alarms] == [ALARM]
    answer(here)
    assert copy_of(here).sync() == Exchange((), (), (ALARM,))
    run_on_cluster(tmp_path / "tuesday", day=date(2026, 6, 2))
    (record,) = alarms.read_alarms(tmp_path / "tuesday")
    assert record.answer is not None
    assert alarms.unanswered(tmp_path / "tuesday") == []
    assert copy_of(here).sync().reports == ("2026-06-02",)
    assert copy_of(here).sync() == Exchange((), (), ())
    assert all(key.startswith("monitoring/acme-churn/") for key in bucket)


def test_an_alarm_that_ends_on_the_cluster_keeps_the_answer_of_the_repository(
    bucket: dict[str, bytes], tmp_path: Path
) -> None:
    run_on_cluster(tmp_path / "monday")
    here = tmp_path / "repository"
    copy_of(here).sync()
    answer(here)
    # The answer was not stored yet when the next run ended the alarm.
    run_on_cluster(tmp_path / "tuesday", "ok", date(2026, 6, 2))
    copy_of(here).sync()
    (record,) = alarms.read_alarms(here)
    assert (record.ended, record.answer is not None) == (date(2026, 6, 2), True)
    assert (
        f'"ended": "{record.ended}"'.encode()
        in bucket[f"monitoring/acme-churn/alarms/{ALARM}.json"]
    )


def test_machines_that_opened_one_alarm_agree_on_its_text(
    bucket: dict[str, bytes], tmp_path: Path
) -> None:
    roots = [tmp_path / "first", tmp_path / "second"]
    for root, found in zip(roots, ("12 % missing", "11 % missing"), strict=True):
        measured = state("missing", "alarm").model_copy(update={"found": found})
        alarms.update(root, [measured], DAY, "3")
    for root in roots * 2:
        copy_of(root).sync()
    assert {alarms.read_alarms(root)[0].found for root in roots} == {"11 % missing"}
    for root in roots * 2:
        assert copy_of(root).sync() == Exchange((), (), ())


def test_of_two_answers_the_earlier_one_stays(bucket: dict[str, bytes], tmp_path: Path) -> None:
    run_on_cluster(tmp_path / "monday")
    first, second = tmp_path / "first", tmp_path / "second"
    for root, day, action in ((first, 3, "fix_data"), (second, 4, "retrain")):
        copy_of(root).sync()
        answer(root, action, datetime(2026, 6, day, tzinfo=UTC))
    for root in (second, first, second):
        copy_of(root).sync()
    for root in (first, second):
        (record,) = alarms.read_alarms(root)
        assert record.answer is not None
        assert record.answer.action == "fix_data"


@pytest.mark.parametrize("answered", ["1", "2"])
def test_an_answer_about_one_version_settles_no_alarm_of_another(
    bucket: dict[str, bytes], tmp_path: Path, answered: str
) -> None:
    roots = {"1": tmp_path / "first", "2": tmp_path / "second"}
    for version, root in roots.items():
        run_on_cluster(tmp_path / f"cluster{version}")
        (record,) = alarms.read_alarms(tmp_path / f"cluster{version}")
        bucket.clear()
        path = alarms.path_of(root, record)
        path.parent.mkdir(parents=True)
        path.write_text(alarms.text_of(record.model_copy(update={"model_version": version})))
    answer(roots[answered])
    for version in "1212":
        copy_of(roots[version]).sync()
    for root in roots.values():
        records = alarms.read_alarms(root)
        assert sorted(record.model_version for record in records) == ["1", "2"]
        assert [record.model_version for record in records if record.answer] == [answered]
        assert len({record.id for record in records}) == 2


@pytest.mark.parametrize("etag", ["the MD5", "of a storage with its own keys"])
def test_a_report_that_was_made_again_replaces_the_earlier_one_here(
    bucket: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, etag: str
) -> None:
    if etag != "the MD5":
        monkeypatch.setattr(s3, "etags", lambda _, prefix="": dict.fromkeys(bucket, etag))
    here = tmp_path / "repository"
    times = ("06:00", "07:30", "07:30", "05:00")
    newest = []
    for time in times:
        run_on_cluster(tmp_path / "cluster", made_at=f"2026-06-02T{time}:00Z")
        copy_of(here).sync()
        report = newest_report(here)
        assert report is not None
        newest.append(report.made_at[11:16])
    # The report of 05:00 is older than the one here, which stays.
    assert newest == ["06:00", "07:30", "07:30", "07:30"]
    assert (here / f"data/9_monitoring/{DAY}/monitor.html").read_text() == "x"


def test_a_report_that_nobody_can_read_replaces_none_and_is_replaced(
    bucket: dict[str, bytes], tmp_path: Path
) -> None:
    run_on_cluster(tmp_path / "monday")
    here = tmp_path / "repository"
    copy_of(here).sync()
    key, path = f"monitoring/acme-churn/{DAY}/monitor.json", f"data/9_monitoring/{DAY}/monitor.json"
    whole, bucket[key] = bucket[key], b"{"
    assert copy_of(here).sync().reports == ()
    assert (here / path).read_bytes() == whole
    (here / path).write_bytes(b"{}")
    bucket[key] = whole
    assert copy_of(here).sync().reports == (f"{DAY}",)
    assert (here / path).read_bytes() == whole


def test_a_report_that_was_half_stored_does_not_count(
    bucket: dict[str, bytes], tmp_path: Path
) -> None:
    run_on_cluster(tmp_path / "monday")
    del bucket[f"monitoring/acme-churn/{DAY}/monitor.json"]
    exchange = copy_of(tmp_path / "repository").sync()
    assert (exchange.reports, exchange.alarms_here) == ((), (ALARM,))


def test_a_run_that_was_killed_while_it_stores_leaves_no_report_without_its_alarms(
    bucket: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_on_cluster(tmp_path / "whole")
    stored = len(bucket)
    for writes in range(stored):
        bucket.clear()

        def write(_: object, key: str, content: bytes, limit: int = writes) -> None:
            if len(bucket) == limit:
                raise KeyboardInterrupt
            bucket[key] = content

        monkeypatch.setattr(s3, "write", write)
        with pytest.raises(KeyboardInterrupt):
            run_on_cluster(tmp_path / f"killed{writes}")
        here = tmp_path / f"here{writes}"
        copy_of(here).sync()
        report = newest_report(here)
        assert report is None or set(report.alarms) <= set(alarms.read_alarms(here))
        assert [record.id for record in alarms.read_alarms(here)] == ([ALARM] if writes else [])


def test_an_alarm_that_came_back_on_a_day_is_open_after_a_sync(
    bucket: dict[str, bytes], tmp_path: Path
) -> None:
    for status in ("alarm", "ok", "alarm"):
        run_on_cluster(tmp_path / "cluster", status)
    here = tmp_path / "repository"
    copy_of(here).sync()
    with pytest.raises(Refused, match=f"{ALARM}-again1"):
        alarms.refuse_training(here, DAY)


@pytest.mark.parametrize(
    ("key", "content"),
    [
        (f"alarms/{ALARM}.json", b"{"),
        ("alarms/A-2026-06-01-x.json", b""),
        ("alarms/A-1.json", None),
    ],
)
def test_a_broken_alarm_in_the_bucket_is_never_passed_over(
    bucket: dict[str, bytes], tmp_path: Path, key: str, content: bytes | None
) -> None:
    run_on_cluster(tmp_path / "monday")
    whole = bucket[f"monitoring/acme-churn/alarms/{ALARM}.json"]
    bucket[f"monitoring/acme-churn/{key}"] = whole if content is None else content
    with pytest.raises(Misuse, match=r"s3://bucket/monitoring/acme-churn/alarms/A-.*: "):
        copy_of(tmp_path / "repository").sync()


def test_the_command_says_what_to_do_in_a_profile_without_a_bucket(project: Path) -> None:
    done = churn(project, "monitor", "sync")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: Profile local has no bucket, so no scheduled run stores")


def test_a_profile_without_a_bucket_exchanges_nothing(
    bucket: dict[str, bytes], tmp_path: Path
) -> None:
    alarms.update(tmp_path, [state("missing", "alarm")], DAY, "3")
    assert copy_of(tmp_path, "local").sync() == Exchange((), (), ())
    copy_of(tmp_path, "local").publish(f"{DAY}")
    assert bucket == {}


def test_the_hidden_folder_of_a_killed_run_is_no_report(tmp_path: Path) -> None:
    folder = tmp_path / "data/9_monitoring/.2026-06-01.part"
    folder.mkdir(parents=True)
    (folder / "monitor.json").write_text(a_report().model_dump_json())
    assert newest_report(tmp_path) is None
    folder.rename(folder.with_name("2026-06-01"))
    assert newest_report(tmp_path) is not None
