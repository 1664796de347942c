"""The compliance checklist: each rule fires on its case and on nothing else, and no finding repeats a value."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sagemaker_double import Account, arn, at, dumped, store
from small_project import load
from sovereign_ml.cli.main import application
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.leaving import progress
from sovereign_ml.leaving.checklist import PARTS, RULES, audit_dump
from sovereign_ml.leaving.dump import open_dump
from sovereign_ml.leaving.minimise import Minimiser

NOW = datetime(2026, 11, 21, tzinfo=UTC)
MADE = datetime(2026, 11, 20, tzinfo=UTC)
Record = dict[str, Any]
TOKEN = "ghp_" + "a1B2" * 9


def group() -> Record:
    own = {"KmsKeyId": "own"}
    return {
        "FeatureGroupName": "shops",
        "RecordIdentifierFeatureName": "shop",
        "EventTimeFeatureName": "event_time",
        "FeatureDefinitions": [{"FeatureName": "purchase_count_30d", "FeatureType": "Integral"}],
        "OfflineStoreConfig": {"S3StorageConfig": {"S3Uri": "s3://x", **own}},
        "OnlineStoreConfig": {
            "EnableOnlineStore": True,
            "SecurityConfig": own,
            "TtlDuration": {"Unit": "Days", "Value": 30},
        },
    }


def run() -> Record:
    return {
        "TrialComponentName": "v5",
        "TrialComponentArn": arn("experiment-trial-component", "v5"),
        "Status": {"PrimaryStatus": "Completed"},
        "StartTime": at(0),
        "EndTime": at(60),
        "Parameters": {"learning_rate": {"NumberValue": 0.1}},
    }


def card() -> Record:
    content = {"model_overview": {"model_name": "churn", "algorithm_type": "linear"}}
    return {
        "ModelCardName": "churn",
        "ModelCardArn": arn("model-card", "churn"),
        "ModelCardVersion": 1,
        "ModelCardStatus": "Draft",
        "Content": json.dumps(content),
        "CreationTime": at(0),
        "CreatedBy": {},
    }


def processing() -> Record:
    return {
        "ProcessingJobName": "job",
        "ProcessingJobArn": arn("processing-job", "job"),
        "ProcessingJobStatus": "Completed",
        "CreationTime": at(0),
        "Environment": {"MODE": "full"},
    }


def clean(folder: Path) -> Path:
    """A dump with one record of each kind that breaks no rule."""
    dumped(Account(runs=0).emptied(), folder, MADE)
    search(folder, "FeatureGroup", group())
    search(folder, "ExperimentTrialComponent", run())
    store(folder / "offline/shops", [("u1", 10, 11, 12, False, 1), ("u2", 10, 11, 12, False, 1)])
    rename(folder, "email", "shop")
    put(folder, "cards/churn/1.json", card())
    put(folder, "processing-jobs/job.json", processing())
    put(folder, "efs/200001/a.ipynb", {"cells": []})
    return folder


def rename(folder: Path, column: str, name: str) -> None:
    """Rename a column in every file of the offline store."""
    for path in (folder / "offline/shops").rglob("*.parquet"):
        table = pq.read_table(path)
        names = [name if old == column else old for old in table.column_names]
        pq.write_table(table.rename_columns(names), path)


def put(folder: Path, name: str, answer: Any) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(answer if isinstance(answer, str) else json.dumps(answer))


def search(folder: Path, resource: str, row: Record) -> None:
    members = {"ExperimentTrialComponent": "TrialComponent", "ExperimentTrial": "Trial"}
    member = members.get(resource, resource)
    put(folder, f"search/{resource}.json", {"Results": [{member: row}]})


Plant = Callable[[Path], None]


def a_group(**more: Any) -> Plant:
    return lambda folder: search(folder, "FeatureGroup", {**group(), **more})


def a_feature(name: str) -> Plant:
    return a_group(FeatureDefinitions=[{"FeatureName": name, "FeatureType": "String"}])


def a_run(**more: Any) -> Plant:
    return lambda folder: search(folder, "ExperimentTrialComponent", {**run(), **more})


def a_parameter(name: str, **value: Any) -> Plant:
    return a_run(Parameters={name: value})


def a_card(content: Record | None = None, **more: Any) -> Plant:
    row = {**card(), **more}
    if content is not None:
        row["Content"] = json.dumps(content)
    return lambda folder: put(folder, "cards/churn/1.json", row)


def a_job(**more: Any) -> Plant:
    return lambda folder: put(folder, "processing-jobs/job.json", {**processing(), **more})


def a_notebook(source: str) -> Plant:
    cell = {"cell_type": "code", "source": source, "outputs": []}
    return lambda folder: put(folder, "efs/200001/a.ipynb", {"cells": [cell]})


def an_endpoint(capture: bool) -> Plant:
    row = {
        "EndpointName": "live",
        "EndpointArn": arn("endpoint", "live"),
        "EndpointStatus": "InService",
        "EndpointConfigName": "c",
        "CreationTime": at(0),
        "LastModifiedTime": at(0),
    }
    more = {"DataCaptureConfig": {"EnableCapture": True}} if capture else {}
    return lambda folder: put(folder, "endpoints/live.json", {**row, **more})


def rows(*given: tuple[str, int, bool]) -> Plant:
    """An offline store with key, event time in seconds after 2026, and whether the row deletes."""

    def plant(folder: Path) -> None:
        described = {**group(), "RecordIdentifierFeatureName": "user_id"}
        search(folder, "FeatureGroup", described)
        store(folder / "offline/shops", [(k, s, s + 1, s + 2, gone, 1) for k, s, gone in given])

    return plant


CASES: list[tuple[str, Plant]] = [
    ("L01", a_group(RecordIdentifierFeatureName="user_id")),
    ("L02", a_feature("churn_risk_score")),
    ("L02", a_feature("lifetimeValueTier")),
    ("L03", a_feature("gdpr_consent_marketing")),
    ("L03", a_feature("opt_in")),
    ("L04", a_feature("pharmacy_orders")),
    ("L04", a_group(Description="orders of a pharmacy")),
    ("L04", a_group(Tags=[{"Key": "kind", "Value": "health"}])),
    ("L04", lambda folder: (a_group()(folder), search(folder, "FeatureMetadata", {
        "FeatureGroupName": "shops", "FeatureName": "a", "Parameters": [{"Key": "religion", "Value": "yes"}]}))[1]),
    ("L05", rows(("u1", 10, False), ("u1", 20, True))),
    ("L06", rows(("u1", -900 * 86_400, False))),
    ("L07", a_group(OnlineStoreConfig={"EnableOnlineStore": True, "SecurityConfig": {"KmsKeyId": "a"}})),
    ("L08", a_group(OfflineStoreConfig={"S3StorageConfig": {"S3Uri": "s3://x"}})),
    ("L09", lambda folder: put(folder, "offline/gone/data/a.parquet", "x")),
    ("L56", lambda folder: shutil.rmtree(folder / "offline")),
    ("L10", a_parameter("evaluation_cohort", StringValue="x")),
    ("L10", a_run(DisplayName="ranker-v12-eu-cohort")),
    ("L10", lambda folder: search(folder, "Experiment", {
        "ExperimentName": "e", "Tags": [{"Key": "audience", "Value": "x"}]})),
    ("L11", a_parameter("training_users", NumberValue=847293.0)),
    ("L12", a_parameter("training_data", StringValue="s3://prod-lake/x")),
    ("L13", a_parameter("customer", StringValue="12345")),
    ("L13", a_run(DisplayName="customer-12345678")),
    ("L13", a_run(DisplayName="run-of-patient-id-777123")),
    ("L13", lambda folder: search(folder, "Experiment", {
        "ExperimentName": "e", "Description": "ask jane.doe@acme.example"})),
    ("L13", lambda folder: search(folder, "ExperimentTrial", {
        "TrialName": "jane.doe@acme.example", "ExperimentName": "e"})),
    ("L14", a_run(Metrics=[{"MetricName": "auc_eu_cohort", "Last": 0.7, "TimeStamp": at(9)}])),
    ("L15", a_run(StartTime=1.6e9, EndTime=1.6e9)),
    ("L16", a_run(CreatedBy={"UserProfileName": "jane-doe"})),
    ("L20", a_notebook("df[df.user_id == 12345]")),
    ("L21", a_job(Environment={"TOKEN": TOKEN})),
    ("L21", lambda folder: put(folder, "lifecycle/studio-a.json", {
        "StudioLifecycleConfigName": "a",
        "StudioLifecycleConfigContent": base64.b64encode(f"export T='{TOKEN}'".encode()).decode()})),
    ("L21", a_run(Parameters={"db_password": {"StringValue": TOKEN}})),
    ("L21", a_run(SourceDetail={"TransformJob": {"Environment": {"TOKEN": TOKEN}}})),
    ("L21", lambda folder: search(folder, "Model", {
        "Model": {"ModelName": "m", "PrimaryContainer": {"Environment": {"TOKEN": TOKEN}}}})),
    ("L22", lambda folder: put(folder, "studio/spaces.json", {"Spaces": [{"SpaceName": "jane"}]})),
    ("L30", a_card({"training_details": {"training_observations": 847293}, "a": "b"})),
    ("L30", a_card({"intended_uses": {"purpose_of_model": "Keep customers"}, "a": "b"})),
    ("L31", a_card({"model_overview": {"model_owner": "jane.doe@acme.example"}})),
    ("L32", a_card({"model_overview": {"model_name": "churn"}})),
    ("L33", a_card(ModelCardStatus="Approved")),
    ("L40", a_job(Environment={"USER_COHORT": "eu"})),
    ("L40", a_job(ProcessingInputs=[{"InputName": "i", "DatasetDefinition": {"AthenaDatasetDefinition": {
        "QueryString": "SELECT * FROM t WHERE user_id = '12345'"}}}])),
    ("L40", a_job(AppSpecification={"ImageUri": "i", "ContainerEntrypoint": ["run.py", "--cohort", "eu"]})),
    ("L42", lambda folder: put(folder, "baselines/s/constraints.json", {"features": [{"string_constraints": {"domains": ["a"]}}]})),
    ("L43", lambda folder: search(folder, "PipelineExecution", {"PipelineParameters": [{"Name": "cohort", "Value": "x"}]})),
    ("L43", lambda folder: put(folder, "pipelines/p.json", {
        "PipelineName": "p", "PipelineDefinition": json.dumps(
            {"Steps": [], "Parameters": [{"Name": "segment", "DefaultValue": "eu"}]})})),
    ("L44", an_endpoint(capture=False)),
    ("L50", lambda folder: (folder / "mlflow/apps.json").unlink()),
]  # fmt: skip
TOGETHER = {"L05": {"L01"}, "L06": {"L01"}}
"""The rows of people are in a group whose key is a person's."""


def found(
    folder: Path, person_keys: Sequence[str] = (), *, now: datetime = NOW, deleted: bool = False
) -> set[str]:
    findings = audit_dump(
        open_dump(folder, person_keys),
        Minimiser(bytes(32)),
        now=now,
        features_before=datetime(2025, 1, 1, tzinfo=UTC),
        runs_before=datetime(2026, 1, 1, tzinfo=UTC),
        recorded_as_deleted=deleted,
    )
    text = json.dumps([finding.where for finding in findings])
    assert not re.search(r"12345|847293|[Jj]ane|s3://|ghp_|prod-lake|123456789012", text)
    return {finding.rule for finding in findings}


def test_a_dump_that_breaks_nothing_has_no_finding(tmp_path: Path) -> None:
    assert found(clean(tmp_path / "dump")) == set()


@pytest.mark.parametrize(("rule", "plant"), CASES)
def test_each_rule_fires_on_its_case_alone(tmp_path: Path, rule: str, plant: Plant) -> None:
    folder = clean(tmp_path / "dump")
    plant(folder)
    assert found(folder) == {rule} | TOGETHER.get(rule, set())


def test_every_rule_has_a_case_and_what_capture_keeps_is_an_error(tmp_path: Path) -> None:
    of_waivers = {number for number, rule in RULES.items() if rule.part == "waivers"}
    assert {rule for rule, _ in CASES} | {"L41", "L54", "L55"} | of_waivers == RULES.keys()
    assert {rule.part for rule in RULES.values()} == PARTS.keys()
    folder = clean(tmp_path / "dump")
    an_endpoint(capture=True)(folder)
    assert found(folder) == {"L41", "L44"}
    an_endpoint(capture=False)(folder)
    config = {
        "EndpointConfigName": "c",
        "AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://x/y"}},
    }
    put(folder, "endpoint-configs/c.json", config)
    assert found(folder) == {"L41", "L44"}


INNOCENT: list[Plant] = [
    # the older API writes an empty author
    a_run(CreatedBy={}, LastModifiedBy={}),
    a_run(DisplayName="customer-churn-2024"),
    a_run(DisplayName="customer-20260131"),
    a_run(DisplayName="bert-base-2024", Tags=[{"Key": "team", "Value": "core"}]),
    # the digest of an image is no e-mail address
    a_card({"model_overview": {"inference_environment": "sha256:" + "ab" * 32, "a": "b"}}),
    # a model of machines
    a_card(
        {
            "intended_uses": {"purpose_of_model": "Find worn bearings"},
            "training_details": {"training_observations": 9},
        }
    ),
    a_run(SourceDetail={"SourceArn": arn("training-job", "gone")}),
]


@pytest.mark.parametrize("plant", INNOCENT)
def test_what_only_looks_like_a_breach_is_none(tmp_path: Path, plant: Plant) -> None:
    folder = clean(tmp_path / "dump")
    plant(folder)
    assert found(folder) == set()


def test_a_marker_of_a_deleted_shop_is_no_deleted_person_unless_config_says_so(
    tmp_path: Path,
) -> None:
    folder = clean(tmp_path / "dump")
    rows(("u1", 10, False), ("u1", 20, True))(folder)
    search(folder, "FeatureGroup", group())
    rename(folder, "user_id", "shop")
    assert found(folder) == set()
    assert found(folder, ["shop"]) == {"L01", "L05"}


def test_an_old_dump_that_shows_people_is_told_and_one_after_the_deletion_is_an_error(
    tmp_path: Path,
) -> None:
    folder = clean(tmp_path / "dump")
    at_90, at_91 = MADE + timedelta(days=90), MADE + timedelta(days=91)
    assert found(folder, now=at_90) == {"L50"}
    assert found(folder, now=at_91) == {"L50", "L54"}
    assert found(folder, deleted=True) == {"L55"}
    # nothing that is about people, nothing to tell
    empty = dumped(Account(runs=0).emptied(), tmp_path / "empty", MADE)
    assert found(empty, now=at_91, deleted=True) == {"L50"}
    dump = open_dump(folder)
    for report, says in (
        ({}, False),
        ({"deleted_at": "2026-11-19", "evidence_made_at": "2026-11-19T10:00:00Z"}, True),
        ({"deleted_at": "2026-11-21", "evidence_made_at": "2026-11-20T10:00:00Z"}, False),
        ({"deleted_at": "2026-11-19"}, True),
    ):
        assert progress.contradicts_deletion(report, dump) is says


def test_the_command_answers_each_part_and_fails_only_on_errors(
    new_project: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    project = load(new_project())
    monkeypatch.setattr("sovereign_ml.cli.leave.look.load_settings", lambda _: project)
    monkeypatch.setattr("sovereign_ml.cli.leave.look.now", lambda: NOW)
    folder = clean(tmp_path / "dump")
    an_endpoint(capture=False)(folder)
    (tmp_path / "code").mkdir()
    (tmp_path / "code/a.py").write_text("import math\n")

    def call(*words: str) -> str:
        application()(["leave", "audit", *words], standalone_mode=False)
        return capsys.readouterr().out

    shown = call(str(folder), "--code", str(tmp_path / "code"))
    for title in PARTS.values():
        assert title in shown
    assert "Notebooks: nothing found" in shown
    assert "warning L44" in shown
    assert "No use of SageMaker or boto3 in 1 files" in shown
    a_group(RecordIdentifierFeatureName="user_id")(folder)
    (tmp_path / "code/a.py").write_text("import math\nimport boto3\n")
    with pytest.raises(Refused, match=r"1 errors of 2 findings; 1 uses .* in 1 of 1 files"):
        call(str(folder), "--code", str(tmp_path / "code"), "--json")
    answer = json.loads(capsys.readouterr().out)
    assert [row["rule"] for row in answer["findings"]] == ["L01", "L44"]
    assert answer["uses"][0]["line"] == 2
    with pytest.raises(Misuse, match="Nothing to look at"):
        call()
