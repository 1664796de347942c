"""Dumps unlike the one of the tests: other partitions, nothing but names, odd names, twins, unknown kinds, cut files."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from small_project import load
from sovereign_ml.data_subjects.stores import mlflow_runs
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.leaving import checklist, deletion, pipelines, progress, registered, runs
from sovereign_ml.leaving.brought_notebooks import bring_notebooks
from sovereign_ml.leaving.dump import Dump, open_dump
from sovereign_ml.leaving.minimise import Minimiser

NOW = datetime(2026, 11, 27, tzinfo=UTC)
ABOUT = {"made": "2026-11-26T10:00:00Z", "tool": "aws-cli/2.31.0"}


def written(folder: Path, files: dict[str, Any], region: str) -> Path:
    for name, content in {**files, "about.json": {**ABOUT, "region": region}}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, encoding="utf-8-sig" if name.startswith("cards/") else "utf-8")
    return folder


def found(member: str, *rows: Any) -> dict[str, Any]:
    return {"Results": [{member: row} for row in rows]}


ESC = "arn:aws-eusc:sagemaker:eusc-de-east-1:000123456789:"
BARE = {
    "search/Experiment.json": {"Results": []},
    "search/ExperimentTrial.json": {},
    "search/ExperimentTrialComponent.json": found(
        "TrialComponent",
        {"TrialComponentName": "a", "TrialComponentArn": ESC + "c/a"},
        {},
        {
            **{"TrialComponentName": "b-ünï%", "TrialComponentArn": ESC + "c/b", "EndTime": -5},
            **{"StartTime": 0, "Status": {}, "Parents": [{}], "Tags": [], "Metrics": [{}]},
            "Parameters": {"": {"StringValue": ""}, "x": {}, "y" * 320: {"StringValue": "v" * 2500}},
            "Source": {"SourceArn": ESC + "training-job/gone"},
        },
    ),
    "search/TrainingJob.json": found(
        "TrainingJob",
        {"TrainingJobArn": ESC + "j/t", "TrainingJobName": "t"},
        {
            **{"TrainingJobArn": ESC + "j/u", "TrainingJobName": "u", "FinalMetricDataList": [{}]},
            "InputDataConfig": [{"ChannelName": "c", "DataSource": {}}],
        },
    ),
    "search/ModelPackage.json": found("ModelPackage", {"ModelPackageArn": ESC + "p/g/1"}),
    "search/ModelCard.json": found("ModelCard", {"ModelCardName": "c"}, {"ModelCardName": "e", "Content": "no"}),
    "search/Model.json": found("Model", {}),
    "search/FeatureMetadata.json": found("FeatureMetadata", {}),
    "pipelines/p.json": {"PipelineName": "p"},
    "endpoints/e.json": {"EndpointName": "e", "DataCaptureConfig": {}},
    "processing-jobs/j.json": {},
    "metrics/a.json": {},
}  # fmt: skip
CN = "arn:aws-cn:sagemaker:cn-northwest-1:123456789012:"
TWIN = {
    **{"TrialComponentName": "twin", "TrialComponentArn": CN + "c/twin"},
    **{"StartTime": "2025-03-01T08:00:00+08:00", "EndTime": "2025-03-01T09:00:00+08:00"},
    **{"Status": {"PrimaryStatus": "Completed"}, "SomethingNew": {"a": [1]}},
    "Parameters": {name: {"NumberValue": n} for n, name in enumerate(("a%b", "a$b", "A%B"))},
    "Metrics": [{"MetricName": "auc:ü", "Last": 0.5}, {"MetricName": "auc:ü", "Last": 0.6}],
}
STEPS = [{"Name": "a", "Type": "Athena", "Arguments": None, "DependsOn": None}]
ODD = {
    "search/ExperimentTrialComponent.json": found(
        *("TrialComponent", TWIN, TWIN),
        {**TWIN, "TrialComponentArn": CN + "c/new", "Status": {"PrimaryStatus": "Brandnew"}},
    ),
    "search/ExperimentTrial.json": found(
        "Trial",
        {**{"TrialName": "t", "ExperimentName": ".."}, "TrialComponentSummaries": [{"TrialComponentName": "twin"}]},
    ),
    "search/HyperParameterTuningJob.json": found("HyperParameterTuningJob", {}, {}),
    "search/ModelPackage.json": found(
        "ModelPackage",
        *({"ModelPackageArn": f"{CN}p/g/{n}", "ModelPackageGroupName": "g:/ü%", "ModelPackageVersion": n} for n in (2, 1, 2)),
    ),
    "pipelines/x.json": {
        "PipelineName": "x",
        "PipelineDefinition": json.dumps({"Steps": STEPS, "Parameters": None}),
    },
    "cards/c/3.json": {"ModelCardName": "c/../../x", "ModelCardVersion": 3, "Content": '{"model_overview": null}'},
    "clusters/c.json": {"ClusterName": "c"},
}  # fmt: skip


@pytest.mark.parametrize(("files", "region"), [(BARE, "eusc-de-east-1"), (ODD, "cn-northwest-1")])
def test_every_command_ends_or_refuses_in_words(
    tmp_path: Path, files: dict[str, Any], region: str
) -> None:
    dump = open_dump(written(tmp_path / "dump", files, region))
    ways: list[Callable[[Dump, Minimiser], object]] = [
        lambda d, m: list(runs.past_runs(d, "p", m)),
        lambda d, m: [registered._package_run(row, "g", "p", m) for row in registered.packages_of(d)],
        lambda d, _: registered.bring_cards(d, tmp_path / "cards"),
        lambda d, m: pipelines.write_pages(d, tmp_path / "pages", m),
        lambda d, m: checklist.audit_dump(d, m, now=NOW, features_before=NOW, runs_before=NOW),
        lambda d, _: deletion.deletion_script(d),
    ]  # fmt: skip
    refusals = []
    for way in ways:
        try:
            way(dump, Minimiser(bytes(32)))
        except (Misuse, Refused) as error:
            refusals.append(str(error))
    assert not any("\n" in line for line in refusals)
    # only a name that no shell should see is refused
    assert [line.split()[0] for line in refusals] == (["'b-ünï%'"] if files is BARE else [])
    assert len(dump.account) == 16
    assert not (tmp_path / "x-v3.toml").exists()


def test_a_record_that_is_listed_twice_is_brought_once(new_project: Any, tmp_path: Path) -> None:
    project = load(new_project())
    dump = open_dump(written(tmp_path / "dump", ODD, "cn-northwest-1"))
    for imported in (1, 0):
        result = runs.bring(dump, project.tracking, Minimiser(bytes(32)))
        assert result.imported == imported
        assert result.skipped == {"not finished yet": 1}
    assert registered.bring_packages(dump, project.tracking, Minimiser(bytes(32))).imported == 2
    run = next(r for r in mlflow_runs.brought_runs(project.tracking) if r.data.params)
    assert sorted(run.data.params.values()) == ["0", "1", "2"]


GOV = "arn:aws-us-gov:sagemaker:us-gov-west-1:123456789012:"
DONE = {
    **{"TrialComponentName": "a", "TrialComponentArn": GOV + "c/a", "StartTime": 1772352000},
    **{"EndTime": 1772355600, "Status": {"PrimaryStatus": "Completed"}},
}
QUERIES = [
    {
        **{"MetricName": name, "ResourceArn": DONE["TrialComponentArn"], "MetricStat": "Last"},
        **{"Period": "IterationNumber", "XAxisType": "IterationNumber"},
    }
    for name in ("auc", "loss")
]


@pytest.mark.parametrize(
    ("changed", "status"),
    [({}, "KILLED"), ({"LastModifiedTime": "2026-11-01"}, ""), ({"StartTime": "2026-11-25"}, "")],
)
def test_a_run_whose_notebook_died_is_brought_as_killed(
    tmp_path: Path, changed: dict[str, Any], status: str
) -> None:
    row = {**DONE, "Status": {"PrimaryStatus": "InProgress"}, "EndTime": None, **changed}
    files = {"search/ExperimentTrialComponent.json": found("TrialComponent", row)}
    dump = open_dump(written(tmp_path / "dump", files, "us-gov-west-1"))
    ((_, run),) = runs.past_runs(dump, "p", Minimiser(bytes(32)))
    assert run.status == status


def test_tags_of_the_team_are_no_tags_of_mlflow_or_of_the_import(
    new_project: Any, tmp_path: Path
) -> None:
    project = load(new_project())
    names = ("mlflow.runName", "mlflow.parentRunId", "sagemaker.state", "sagemaker.created_ms")
    tags = [{"Key": name, "Value": "other"} for name in names]
    files = {
        "search/ExperimentTrialComponent.json": found("TrialComponent", {**DONE, "Tags": tags})
    }
    dump = open_dump(written(tmp_path / "dump", files, "us-gov-west-1"))
    for imported in (1, 0):
        result = runs.bring(dump, project.tracking, Minimiser(bytes(32)))
        assert (result.imported, result.repaired) == (imported, 0)
    (run,) = mlflow_runs.brought_runs(project.tracking)
    assert run.info.run_name == "a"
    assert {name: run.data.tags.get(f"tag.{name}") for name in names} == dict.fromkeys(
        names, "other"
    )
    assert "mlflow.parentRunId" not in run.data.tags


@pytest.mark.parametrize(
    ("first", "steps", "left_out"),
    [
        # jq and browsers write NaN as null.
        ({"XAxisValues": [1, 2, 3], "MetricValues": [0.1, None, 0.3]}, {"auc": [1, 2, 3], "loss": [1]}, 0),
        ({"XAxisValues": [1, 2], "MetricValues": [0.1]}, {"loss": [1]}, 1),
        ({"XAxisValues": [1], "MetricValues": [None]}, {"loss": [1]}, 1),
        (None, {}, 2),
    ],
)  # fmt: skip
def test_no_point_of_a_curve_moves_to_another_step_or_metric(
    tmp_path: Path, first: Any, steps: dict[str, list[int]], left_out: int
) -> None:
    series = [first and {"Status": "Complete", **first}]
    series += [{"Status": "Complete", "XAxisValues": [1], "MetricValues": [0.9]}]
    files = {
        "search/ExperimentTrialComponent.json": found("TrialComponent", DONE),
        "metrics/a.json": {"MetricQueries": QUERIES, "MetricQueryResults": series},
    }
    minimiser = Minimiser(bytes(32))
    dump = open_dump(written(tmp_path / "dump", files, "us-gov-west-1"))
    ((_, run),) = runs.past_runs(dump, "p", minimiser)
    seen: dict[str, list[int]] = {}
    for name, _, _, step in run.points:
        seen.setdefault(name, []).append(step)
    assert seen == steps
    assert minimiser.left_out[runs._CUT] == left_out


@pytest.mark.parametrize("time", [float("nan"), "yesterday", 1772352000000])
def test_a_time_that_is_none_says_what_was_expected(tmp_path: Path, time: Any) -> None:
    row = {**DONE, "StartTime": time}
    files = {"search/ExperimentTrialComponent.json": found("TrialComponent", row)}
    with pytest.raises(Misuse, match=r"StartTime is (a number|text); expected seconds or ISO 8601"):
        open_dump(written(tmp_path / "dump", files, "us-gov-west-1"))


def test_a_model_that_is_not_packed_keeps_its_address() -> None:
    source = {"S3Uri": "s3://b/m/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    specification = {"Containers": [{"Image": "i", "ModelDataSource": {"S3DataSource": source}}]}
    row = {"ModelPackageArn": GOV + "p/g/1", "InferenceSpecification": specification}
    minimiser = Minimiser(bytes(32))
    run = registered._package_run(row, "g", "p", minimiser)
    assert [minimiser.places[each["archive"]] for each in run.record["archives"]] == ["s3://b/m/"]


@pytest.mark.parametrize("cut", ["churn \ud83d", "churn \x00"])
def test_a_text_that_was_cut_within_a_character_stops_no_command(tmp_path: Path, cut: str) -> None:
    row = {
        **{**DONE, "DisplayName": cut, "Parameters": {cut: {"StringValue": cut}}},
        **{"Tags": [{"Key": cut, "Value": cut}], "Metrics": [{"MetricName": cut, "Last": 0.5}]},
    }
    definition = json.dumps({"Steps": [{"Name": cut, "Type": "Training", "Arguments": {}}]})
    notebook = {"cells": [{"cell_type": "code", "source": f"print('{cut}')"}], "nbformat": 4}
    files = {
        "search/ExperimentTrialComponent.json": found("TrialComponent", row),
        "pipelines/p.json": {"PipelineName": "p", "PipelineDefinition": definition},
        "efs/jane/a.ipynb": notebook,
    }
    dump = open_dump(written(tmp_path / "dump", files, "us-gov-west-1"))
    assert len(dump.digest) == 64
    ((_, run),) = runs.past_runs(dump, "p", Minimiser(bytes(32)))
    assert run.params == {"churn _": "churn \N{REPLACEMENT CHARACTER}"}
    assert pipelines.write_pages(dump, tmp_path / "pages", Minimiser(bytes(32)))[1] == []
    assert bring_notebooks(dump.folder, tmp_path / "out", Minimiser(bytes(32))).imported == 1


def test_files_of_a_file_manager_are_no_answers_and_no_rows(tmp_path: Path) -> None:
    files = {"search/ExperimentTrialComponent.json": found("TrialComponent", DONE)}
    folder = written(tmp_path / "dump", files, "us-gov-west-1")
    before = open_dump(folder).digest
    for name in ("search/._Experiment.json", "search/.DS_Store", "offline/.DS_Store"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"\x00\x05\x16\x07")
    dump = open_dump(folder)
    assert dump.digest == before
    rules = Minimiser(bytes(32))
    seen = checklist.audit_dump(dump, rules, now=NOW, features_before=NOW, runs_before=NOW)
    assert "L09" not in {finding.rule for finding in seen}


@pytest.mark.parametrize("region", ["", "eu-central-1"])
def test_nothing_is_deleted_in_another_region_than_that_of_the_dump(
    tmp_path: Path, region: str
) -> None:
    files = {"search/ExperimentTrialComponent.json": found("TrialComponent", DONE)}
    dump = open_dump(written(tmp_path / "dump", files, region))
    with pytest.raises(Refused, match=rf"names {region or 'no region'}, .* us-gov-west-1: set"):
        deletion.deletion_script(dump)
    dump = open_dump(written(tmp_path / "dump", files, "us-gov-west-1"))
    assert "aws --region us-gov-west-1" in deletion.deletion_script(dump)


def test_what_the_product_does_not_know_counts_as_left(tmp_path: Path) -> None:
    dump = open_dump(written(tmp_path / "dump", ODD, "cn-northwest-1"))
    assert progress.remaining(dump)["HyperParameterTuningJob (not known here)"] == 2
    assert "# By hand: 2 of HyperParameterTuningJob" in deletion.deletion_script(dump)


@pytest.mark.parametrize("length", [1, 100, 5000])
def test_a_file_that_is_cut_anywhere_is_one_line(tmp_path: Path, length: int) -> None:
    rows = [{"TrainingJobArn": f"{CN}j/{n}", "TrainingJobName": f"j{n}"} for n in range(500)]
    text = json.dumps(found("TrainingJob", *rows))
    assert len(open_dump(written(tmp_path / "whole", {"search/TrainingJob.json": text}, "x")).found("TrainingJob")) == 500  # fmt: skip
    with pytest.raises(Misuse) as error:
        open_dump(written(tmp_path / "d", {"search/TrainingJob.json": text[:length]}, "x"))
    assert "search/TrainingJob.json: not JSON" in str(error.value).splitlines()[1]


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    folder = written(tmp_path / "d", BARE, "eu-central-1")
    (folder / "processing-jobs/gone.json").symlink_to(tmp_path / "nowhere")
    (folder / "search/Pipeline.json").mkdir()
    with pytest.raises(Misuse) as error:
        open_dump(folder)
    lines = str(error.value).splitlines()[1:]
    assert [line.split(" (")[0].strip() for line in lines] == [
        "processing-jobs/gone.json: cannot be read",
        "search/Pipeline.json: cannot be read",
    ]
