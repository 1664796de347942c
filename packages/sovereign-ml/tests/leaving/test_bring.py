"""What is brought from a dump: runs with their own times, versions without an alias, cards, features without the deleted."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer
from botocore.session import Session
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient

from leave_commands import ONE_PROCESS
from sagemaker_double import START, Account, Row, dumped, store
from sealing import sealed
from small_project import KEY, PROGRAMS, load, make_clone
from sovereign_ml.cli.composition import project_stores
from sovereign_ml.cli.main import application
from sovereign_ml.data_subjects import erasure, retention
from sovereign_ml.data_subjects.stores import mlflow_runs
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.leaving import offline_rows, progress, registered, runs
from sovereign_ml.leaving.catalogue import QUESTIONS
from sovereign_ml.leaving.dump import ms, open_dump
from sovereign_ml.leaving.minimise import Minimiser
from sovereign_ml.leaving.offline_rows import OfflineGroup, bring_group
from sovereign_ml.privacy import suppression
from sovereign_ml.pseudonyms import pseudonyms
from sovereign_ml.registry import mlflow

KEYS = (bytes.fromhex(KEY),)
MADE = datetime(2026, 11, 20, tzinfo=UTC)


# Minimisation.


@pytest.mark.parametrize(
    ("name", "value", "brought"),
    [
        ("training_users", 847293.0, "100,000-999,999"),
        ("training_observations", "2847293", "1,000,000-9,999,999"),
        ("userCount", 847293.0, "100,000-999,999"),
        ("evaluation_cohort", "eu", None),
        ("USER_COHORT", "eu", None),
        ("INCLUDE_PII_FIELDS", "true", None),
        ("model_creator", "jane.doe@acme.example", None),
        ("RunName", "recommendation-model-v12-eu-cohort", None),
        ("customer", "12345", None),
        ("userId", "12345", None),
        ("note", "trained for the people who answered our mail in March", None),
        ("CreatedBy", "jane", None),
        ("FailureReason", "row 7", None),
        ("sagemaker_region", "eu-central-1", None),
        ("record", "8f14e45f-ceea-467f-a0e6-2f1b4d0c9c1a", None),
        ("filter", "WHERE user_id = '12345'", None),
        ("slice", "kunde-8123456", None),
        ("Owner", "Jane Doe", None),
        ("commit-author", "jdoe", None),
        ("DB_PASSWORD", "Sommer" + "2026!", None),
        ("awsSecretAccessKey", "wJalrXUtnFEMI/" + "K7MDENG/bPxRfiCY", None),
        ("HF_TOKEN", "short", None),
        ("registration_token", "a1b2c3d4" * 3, None),
        ("arguments", "--key " + "AKIA" + "IOSFODNN7ABCDEFG", None),
        ("connection", "Server=db;User Id=sa;Password=" + "Passw0rd", None),
        ("database", "postgresql://u:" + "p@h/db", None),
        ("pad_token", "<|reserved_special_token_17|>", "<|reserved_special_token_17|>"),
        ("tokenizer", "bert-base-uncased", "bert-base-uncased"),
        ("max_tokens", 512.0, "512"),
        ("secret_ratio", "0.5", "0.5"),
        ("USE_API_KEY", "true", "true"),
        ("key_column", "order_line", "order_line"),
        ("test", "alpha=1 sig=0.05", "alpha=1 sig=0.05"),
        ("train_dir", "/opt/ml/input/data/train", "/opt/ml/input/data/train"),
        ("data_version", "customer 20260131", "customer 20260131"),
        ("learning_rate", 0.0003, "0.0003"),
        ("batch_size", 512.0, "512"),
        ("architecture", "transformer", "transformer"),
        ("FEATURE_VERSION", "v3", "v3"),
        ("n_estimators", 200.0, "200"),
        ("min_users", 3.0, "3"),
        ("student_temperature", 2.0, "2"),
    ],
)
def test_a_parameter_is_brought_only_as_far_as_it_says_nothing_of_people(
    name: str, value: Any, brought: str | None
) -> None:
    rules = Minimiser(KEYS[0])
    assert rules.value(name, value) == brought
    assert Minimiser(KEYS[0], frozenset({name})).value(name, value) is not None


@pytest.mark.parametrize(
    "address",
    [
        *("s3://b/k", "arn:aws-eusc:s3:::b", "123456789012.dkr.ecr.x/y", "fs-0123abcd"),
        *("https://x.y", "123456789012.dkr-ecr.us-gov-west-1.on.aws/churn:1"),
        *("ip-10-0-1-23.cn-north-1.compute.internal", "/home/jdoe/churn.csv", "/Users/jane.doe/x"),
        *("C:\\Users\\jdoe\\x.csv", "\\\\nas01\\jane.doe\\x"),
    ],
)
def test_an_address_becomes_a_mark_that_stays_the_same(address: str) -> None:
    rules = Minimiser(KEYS[0])
    mark = rules.value("data", address)
    assert mark == rules.value("other", address)
    assert re.fullmatch(r"place-[0-9a-f]{8}", str(mark))
    assert rules.places == {mark: address}


def test_keys_that_mlflow_refuses_become_keys_of_their_own() -> None:
    names = ["a%b", "a$b", "..", ".", "/x", "x//y", "k" * 320, "k" * 319 + "x", "", "a/../b", "ä"]
    keys, originals = runs.safe_keys({name: str(n) for n, name in enumerate(names)})
    assert sorted(keys.values(), key=int) == [str(n) for n in range(len(names))]
    assert set(originals) == {key for key in keys if key not in names}
    for key in keys:
        assert re.fullmatch(r"[\w.\- /:]{1,250}", key, re.ASCII)
        assert str(os.path.normpath(key)) == key


# Runs and the registry.


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    return dumped(Account(runs=6), tmp_path / "dump")


def test_runs_keep_their_times_are_made_once_and_are_reached_by_erasure_and_retention(
    new_project: Any, dump: Path
) -> None:
    project = load(new_project())
    rules = Minimiser(KEYS[0])
    later = datetime.fromtimestamp(1_780_000_000 + 3600, UTC)
    old = runs.bring(open_dump(dump), project.tracking, rules, ended_after=later)
    assert (old.imported, sum(old.skipped.values())) == (0, 6)
    result = runs.bring(open_dump(dump), project.tracking, rules)
    assert (result.imported, result.present) == (6, 0)
    brought = {run.info.run_name: run for run in mlflow_runs.brought_runs(project.tracking)}
    for row in open_dump(dump).found("ExperimentTrialComponent"):
        run = brought[row["DisplayName"]]
        assert run.info.start_time == ms(row["StartTime"])
        assert run.info.end_time == ms(row["EndTime"])
        assert run.data.params.keys() == {
            *("learning_rate", "batch_size", "training_users", "training_data")
        }
        assert run.data.metrics == {"auc": row["Metrics"][0]["Last"]}
    statuses = [brought[f"churn-v{number}"].info.status for number in range(3)]
    assert statuses == ["FINISHED", "FAILED", "KILLED"]
    text = json.dumps([run.to_dictionary() for run in brought.values()])
    assert not re.search("s3://|jane|Jane|847293|gdpr|arn:aws|123456789012", text)
    # a run that was left half is made anew, and only that one
    half = brought["churn-v1"].info.run_id
    mlflow.client(project.tracking).set_tag(half, runs.STATE_TAG, "importing")
    again = runs.bring(open_dump(dump), project.tracking, Minimiser(KEYS[0]))
    assert (again.imported, again.present, again.repaired) == (1, 5, 1)
    once_more = runs.bring(open_dump(dump), project.tracking, Minimiser(KEYS[0]))
    assert (once_more.imported, once_more.present) == (0, 6)
    # retention and erasure see them
    end = datetime.fromtimestamp(brought["churn-v3"].info.end_time / 1000, UTC)
    assert len(mlflow_runs.old_runs(project.tracking, end, [])) == 3
    api, run_id = mlflow.client(project.tracking), brought["churn-v5"].info.run_id
    api.set_tag(run_id, "note", "a" * 30 + "person")
    traces = mlflow_runs.Runs(project.tracking).find(["a" * 30 + "person"])
    assert [trace.place for trace in traces] == [f"run {run_id}"]


def test_versions_get_no_alias_no_address_and_their_own_model(new_project: Any, dump: Path) -> None:
    project = load(new_project())
    result = registered.bring_packages(open_dump(dump), project.tracking, Minimiser(KEYS[0]))
    assert (result.imported, result.present) == (3, 0)
    again = registered.bring_packages(open_dump(dump), project.tracking, Minimiser(KEYS[0]))
    assert (again.imported, again.present) == (0, 3)
    api = mlflow.client(project.tracking)
    model = api.get_registered_model("acme-churn.sagemaker.churn")
    assert model.aliases == {}
    versions = mlflow_runs.brought_versions(project.tracking)
    assert [
        v.tags["sagemaker.version"] for v in sorted(versions, key=lambda v: int(v.version))
    ] == [*("1", "2", "3")]
    assert all(
        v.tags["sagemaker.approval"].startswith("Approved in SageMaker; not") for v in versions
    )
    assert not any("s3://" in str(v.source) + str(v.tags) for v in versions)
    record = mlflow.artifact(project.tracking, versions[0].run_id, "sagemaker.json")
    assert record["archives"][0]["pickle"] is True
    # retention counts from when SageMaker made them
    old = mlflow_runs.old_versions(project.tracking, datetime.fromtimestamp(1_780_000_002, UTC))
    assert [v.tags["sagemaker.version"] for v in old] == ["1"]


def test_each_card_becomes_suggestions_and_a_sanitised_one_says_so(tmp_path: Path) -> None:
    account = Account(runs=0)
    row = account.described["DescribeModelCard", "churn-card/2"]
    row["Content"] = json.dumps({"model_overview": {"model_name": "churn"}})
    dump = open_dump(dumped(account, tmp_path / "dump"))
    written, refused = registered.bring_cards(dump, tmp_path / "cards")
    assert refused == []
    assert [name for name, _ in written] == [f"churn-card-v{n}.toml" for n in (1, 2, 3)]
    assert {status for _, status in written} == {"Approved"}
    assert "jane.doe" not in (tmp_path / "cards/churn-card-v1.toml").read_text()
    assert "sanitised" in (tmp_path / "cards/churn-card-v2.toml").read_text()
    assert "sanitised" not in (tmp_path / "cards/churn-card-v1.toml").read_text()


# Features.


def oracle(rows: list[Row], frozen: int, barred: set[str]) -> set[tuple[str, int, int]]:
    """The same rule row by row, written without SQL."""
    tombs: dict[str, tuple[int, int, int]] = {}
    for key, at, api, written, deleted, _ in rows:
        if deleted:
            tombs[key] = max(tombs.get(key, (at, api, written)), (at, api, written))
    best: dict[tuple[str, int], tuple[int, int, bool, int]] = {}
    for key, at, api, written, deleted, value in rows:
        if written <= frozen:
            candidate = (api, written, deleted, value)
            if (key, at) not in best or candidate > best[key, at]:
                best[key, at] = candidate
    return {
        (key, at, value)
        for (key, at), (api, written, deleted, value) in best.items()
        if not deleted
        and key not in barred
        and (key not in tombs or (at, api, written) > tombs[key])
    }


def brought(group: OfflineGroup, output: Path, barred: set[str]) -> set[tuple[str, int, int]]:
    names = {pseudonyms([f"u{n}"], KEYS[0])[0]: f"u{n}" for n in range(500)}
    out = {name for name, key in names.items() if key in barred}
    done = bring_group(
        group, output, dump_time=MADE, keys=KEYS, barred=lambda given: set(given) & out
    )
    assert done.read == done.rows + sum(done.skipped.values())  # no row is lost without a reason
    table = pq.read_table(output / "users/rows.parquet").to_pylist()
    return {
        (names[r["customer_id"]], round((r["event_timestamp"].replace(tzinfo=UTC) - START).total_seconds()), r["n"])
        for r in table
    }  # fmt: skip


def planted(people: int, deletions: int, seed: int) -> list[Row]:
    """Rows with duplicates and late ones; of ``deletions`` people some come back, and some markers are old."""
    chance = random.Random(seed)
    rows: list[Row] = []
    for person in range(people):
        key = f"u{person}"
        for number in range(chance.randint(1, 4)):
            at = chance.randrange(0, 1000)
            late = chance.randrange(0, 400)
            rows.append((key, at, at + late, at + late + 5, False, chance.randrange(10**6)))
            if chance.random() < 0.1:
                rows.append((key, at, at + late + 1, at + late + 9, False, number))
        if person < deletions:
            at = chance.choice([200, 2000])
            rows.append((key, at, at + 3, at + 4, True, 0))
            if chance.random() < 0.2:
                rows.append((key, 3000, 3003, 3004, False, 7))
    chance.shuffle(rows)
    return rows


FROZEN = int((MADE - timedelta(minutes=15) - START).total_seconds())


@pytest.mark.parametrize("event", ["iso", "seconds"])
def test_rows_are_those_of_an_independent_oracle_and_none_of_110_deleted_comes_back(
    tmp_path: Path, event: str
) -> None:
    rows = planted(400, 110, seed=7)
    barred = {"u300", "u301"}
    rows.append(("u302", 50, FROZEN + 60, FROZEN + 61, False, 1))  # too young to be whole
    found = brought(store(tmp_path / "o", rows, event), tmp_path / "out", barred)
    assert found == oracle(rows, FROZEN, barred)
    last = {key: max(at for k, at, *_, deleted, _ in rows if k == key and deleted) for key, *_, deleted, _ in rows if deleted}  # fmt: skip
    assert len(last) == 110
    assert not [row for row in found if row[0] in last and row[1] < last[row[0]]]
    columns = pq.read_schema(tmp_path / "out/users/rows.parquet").names
    assert columns == ["customer_id", "event_timestamp", "created_timestamp", "n"]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([f"u{n}" for n in range(6)]),
            *(st.integers(0, 6) for _ in range(3)),
            st.booleans(),
            st.integers(0, 9),
        ),
        min_size=1,
        max_size=30,
        unique=True,
    ),
    st.sets(st.sampled_from([f"u{n}" for n in range(6)])),
)
def test_whatever_the_order_nobody_deleted_or_erased_comes_back(
    tmp_path: Path, rows: list[Row], barred: set[str]
) -> None:
    folder = tmp_path / str(time.monotonic_ns())
    found = brought(store(folder / "o", rows), folder / "out", barred)
    assert found == oracle(rows, FROZEN, barred)
    assert not {key for key, *_ in found} & barred


def test_erasure_and_retention_reach_the_rows_that_were_brought(tmp_path: Path) -> None:
    root = make_clone(tmp_path / "acme-churn")
    rows = [("u1", 0, 1, 2, False, 1), ("u2", 86_400, 86_401, 86_402, False, 2)]
    brought(store(root / "build/o", rows), root / "data/leaving", set())
    project = load(root)
    stores = project_stores(project)
    due = retention.plan(stores, START + timedelta(days=730.5))
    assert [(d.place, d.count) for d in due if d.data_class == "features"] == [
        ("data/leaving/users/rows.parquet", 1)
    ]
    name = pseudonyms(["u2"], KEYS[0])
    receipt = erasure.erase(stores, name)
    assert "data/leaving/users/rows.parquet" in [trace.place for trace in receipt.removed]
    assert pq.read_table(root / "data/leaving/users/rows.parquet").num_rows == 1
    # and the same dump brings them back neither here nor later
    stones = suppression.tombstones(project.suppression)
    group = store(root / "build/o", rows)
    done = bring_group(
        group,
        root / "data/leaving",
        dump_time=MADE,
        keys=KEYS,
        barred=lambda given: set(stones.among(given)),
    )
    assert (done.rows, done.skipped["erased, objected, restricted or withdrawn here"]) == (1, 1)


def test_what_would_bring_deleted_people_back_is_refused(tmp_path: Path) -> None:
    rows = planted(5, 2, seed=1)
    group = store(tmp_path / "o", rows)
    (tmp_path / "o/metadata").mkdir()
    (tmp_path / "o/metadata/00001.metadata.json").write_text("{}")
    with pytest.raises(Refused, match=r"Iceberg.*UNLOAD"):
        brought(group, tmp_path / "out", set())
    (tmp_path / "o/metadata/00001.metadata.json").unlink()
    for path in (tmp_path / "o").rglob("*.parquet"):
        pq.write_table(pq.read_table(path).drop(["is_deleted"]), path)
    with pytest.raises(Misuse, match="lacks is_deleted"):
        brought(group, tmp_path / "out", set())
    assert not (tmp_path / "out/users").exists()
    with pytest.raises(Misuse, match="is its key 'shop' a person's"):
        offline_rows.group_of(
            {"FeatureGroupName": "g", "RecordIdentifierFeatureName": "shop", "EventTimeFeatureName": "t"},
            tmp_path,
        )  # fmt: skip


# The commands, where nothing can leave.


def test_every_command_but_fetch_asks_no_network_and_finish_believes_only_a_later_dump(
    new_project: Any, tmp_path: Path
) -> None:
    root = new_project()
    made = datetime.now(UTC) - timedelta(minutes=30)
    folder = dumped(Account(runs=3), tmp_path / "dump", made)
    store(folder / "offline/user-features", planted(5, 2, seed=2))
    dumped(Account(runs=1), root / "dump")
    for path, text in (("dump/efs/1/a.ipynb", '{"cells": []}'), ("code/a.py", "import boto3")):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    commands = [
        (["script"], 0),
        (["tracker"], 0),
        (["tracker", "--environment"], 0),
        (["tracks", str(folder)], 1),
        (["audit", str(folder)], 1),
        (["runs", str(folder), "--older"], 0),
        (["runs", str(folder), "--experiment", "chrn"], 2),
        (["registry", str(folder)], 0),
        (["cards", str(folder)], 0),
        (["features", str(folder)], 0),
        (["features", str(folder), "--group", "users"], 2),
        (["notebooks", str(folder)], 0),
        (["pipelines", str(folder)], 0),
        (["audit", "--code", str(tmp_path / "code")], 1),
        (["parity", str(folder), "--endpoint", "churn"], 2),
        (["runs", "dump"], 1),
        (["runs", str(tmp_path / "none")], 2),
        (["finish", str(folder)], 1),
        (["finish", str(folder), "--script", "delete.sh"], 0),
        (["status"], 0),
    ]
    program = [str(PROGRAMS / "python"), "-c", ONE_PROCESS]
    done, asked = sealed(root, *program, json.dumps([words for words, _ in commands]))
    assert asked == {}, asked
    codes = done.stdout.splitlines()[-1]
    assert codes == " ".join(["codes", *(str(code) for _, code in commands)]), done.stderr
    assert "still in SageMaker" in done.stdout
    lines = done.stderr.splitlines()
    for line in (
        "No run of experiment 'chrn'",
        "No feature group users",
        "git would commit it",
        "no captured",
        "no run is in both",
    ):
        assert any(line in shown for shown in lines), done.stderr
    assert "Traceback" not in done.stderr
    script = (root / "delete.sh").read_text().splitlines()
    order = [next(n for n, line in enumerate(script) if word in line) for word in (
        *("disassociate-trial", "delete-trial-component", "delete-trial ", "delete-experiment"),
        *("delete-model-package ", "delete-model-package-group", "delete-feature-group", "s3 rm"),
    )]  # fmt: skip
    assert order == sorted(order)
    # a deletion that fails, because an interrupted call did it, stops none of the others
    (tmp_path / "aws").write_text('#!/bin/sh\necho "$*" >> "$LOG"\nexit 254\n')
    (tmp_path / "aws").chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{os.defpath}", "LOG": str(tmp_path / "log")}
    ran = subprocess.run(["sh", root / "delete.sh"], env=environ, capture_output=True, check=False)
    count = sum(line.startswith("run ") for line in script)
    assert (ran.returncode, len((tmp_path / "log").read_text().splitlines())) == (1, count)
    assert f"{count} commands failed" in ran.stderr.decode()
    report = (root / "governance/leaving/report.json").read_text()
    assert not re.search(r"jane|s3://|arn:aws|churn-v\d|123456789012", report)
    # the same dump proves nothing; a later one that still shows a card neither; an empty one does
    now = datetime.now(UTC)
    with pytest.raises(Refused, match="before the deletion script"):
        progress.finished(root, open_dump(folder), now)
    later, cards = now + timedelta(minutes=1), Account(runs=0).rows["ModelCard"]
    account = Account(runs=0).emptied()
    account.rows["ModelCard"] = cards
    with pytest.raises(Refused, match="1 model cards"):
        progress.finished(root, open_dump(dumped(account, tmp_path / "still", later)), now)
    account.rows["ModelCard"] = []
    progress.finished(root, open_dump(dumped(account, tmp_path / "empty", later)), now)
    assert json.loads((root / "governance/leaving/report.json").read_text())["state"] == "deleted"


@pytest.mark.parametrize("other", ["eu-west-1", "", None])
def test_an_empty_dump_of_another_region_shows_nothing_about_this_one(
    tmp_path: Path, other: str | None
) -> None:
    now, later = datetime.now(UTC), datetime.now(UTC) + timedelta(seconds=1)
    account = Account(runs=1)
    full = open_dump(dumped(account, tmp_path / "full", now - timedelta(hours=1)))
    progress.note(tmp_path, full, "script", {}, now - timedelta(minutes=30))
    progress.note_script(tmp_path, now - timedelta(minutes=30))
    folder = dumped(account.emptied(), tmp_path / "empty", now)
    about = json.loads((folder / "about.json").read_text())
    (folder / "about.json").write_text(json.dumps(about | {"region": other}))
    with pytest.raises(Refused, match="is about eu-central-1"):
        progress.finished(tmp_path, open_dump(folder), later)
    (folder / "about.json").write_text(json.dumps(about))
    progress.finished(tmp_path, open_dump(folder), later)
    assert progress.read(tmp_path)["state"] == "deleted"


def test_every_command_of_the_page_and_its_options_exist() -> None:
    page = next(Path(__file__).parents[4].glob("{{*}}/docs/leave-sagemaker.md"))
    text = page.read_text(encoding="utf-8")
    group = typer.main.get_command(application()).commands["leave"]  # type: ignore[attr-defined]
    named = re.findall(r"churn leave (\w+)([^`#|\n]*)", text)
    assert {name for name, _ in named} == set(group.commands)
    for name, words in named:
        options = {o for p in group.commands[name].params for o in p.opts}
        assert set(re.findall(r"--[\w-]+", words)) <= options, name


def test_nothing_is_left_only_if_every_list_of_the_dump_is_empty(tmp_path: Path) -> None:
    """Each list gets a row with what botocore requires of it; a list that is not counted would hide it."""
    model = Session().get_service_model("sagemaker")
    folder = dumped(Account(runs=0).emptied(), tmp_path / "dump")
    assert progress.remaining(open_dump(folder)) == {}
    only_told_elsewhere = {"search/PipelineExecution.json", "search/FeatureMetadata.json"}
    for question in QUESTIONS:
        if not question.path or question.path in only_told_elsewhere:
            continue
        shape = model.operation_model(question.operation).output_shape
        member = next(n for n, m in shape.members.items() if m.type_name == "list")
        before = (folder / question.path).read_text()
        (folder / question.path).write_text(json.dumps({member: [{}]}))
        assert sum(progress.remaining(open_dump(folder)).values()) == 1, question.path
        (folder / question.path).write_text(before)


class Killed(BaseException):
    """What ends a call in its middle, as a signal does."""


def test_a_call_that_is_killed_at_any_point_leaves_no_half_run_and_no_twin(
    new_project: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = load(new_project())
    dump = open_dump(dumped(Account(runs=3), tmp_path / "dump"))
    calls: list[str] = []
    limit = 10**6
    writes = ("create_experiment", "create_run", "log_batch", "log_dict", "set_terminated")
    writes += ("create_registered_model", "create_model_version")
    for name in writes:
        real = getattr(MlflowClient, name)

        def killed(*given: Any, real: Any = real, name: str = name, **named: Any) -> Any:
            calls.append(name)
            if len(calls) == limit:
                raise Killed
            return real(*given, **named)

        monkeypatch.setattr(MlflowClient, name, killed)

    def write(bring: Any) -> None:
        calls.clear()
        bring(dump, project.tracking, Minimiser(KEYS[0]))

    for bring in (runs.bring, registered.bring_packages):
        # each call is killed one write later than the one before, until one comes through
        for limit in range(1, 100):  # noqa: B007  `killed` reads it
            try:
                write(bring)
                break
            except Killed:
                continue
        assert limit > 7
    limit = 10**6
    brought = mlflow_runs.brought_runs(project.tracking)
    names = [*(f"churn-v{n}" for n in range(3)), *(f"churn {n}" for n in (1, 2, 3))]
    assert sorted(run.info.run_name for run in brought) == sorted(names)
    assert {run.data.tags[runs.STATE_TAG] for run in brought} == {"done"}
    assert {len(run.data.params) for run in brought} == {4, 0}
    assert len(mlflow_runs.brought_versions(project.tracking)) == 3
    for bring in (runs.bring, registered.bring_packages):
        write(bring)
        assert calls == []
