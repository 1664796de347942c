"""An account of another team, in another partition and region: the search was refused, and each record has what its age left in it.

Every command reads it where nothing can leave. What they say must be true of this account, not only of the one of the other tests.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from leave_commands import ONE_PROCESS
from sagemaker_double import Account, dumped
from sealing import sealed
from small_project import PROGRAMS
from sovereign_ml.errors import Refused
from sovereign_ml.leaving import deletion, progress
from sovereign_ml.leaving.dump import Dump, open_dump
from sovereign_ml.leaving.minimise import Minimiser
from warm_churn import churn

ARN = "arn:aws-eusc:sagemaker:eusc-de-east-1:210987654321:"
NOW = datetime.now(UTC).replace(microsecond=0)
TIME = "2026-10-01T08:00:00.123000-08:00"
WRITTEN = datetime(2026, 10, 2, tzinfo=UTC)
BUCKET = "s3://werk/mein ordner/offline-store/kunden-1700000000/data/"
STEPS = [
    *({"Name": f"teil-{n}", "Type": "Training", "Arguments": {}} for n in (1, 2, 3)),
    {"Name": "modell", "Type": "Model", "Arguments": {"X": [{"Get": f"Steps.teil-{n}.A"} for n in (1, 2, 3)]}},
    {"Name": "je-land", "Type": "ForEach", "DependsOn": ["modell"], "Arguments": {
        "Steps": [{"Name": "innen", "Type": "Processing", "Arguments": {}}]}},
]  # fmt: skip


def feature_group(name: str, key: str, **more: Any) -> dict[str, Any]:
    kinds = {key: "String", "Zeit": "String", "Umsatz": "Fractional", "Aktiv": "Boolean"}
    return {
        "FeatureGroupName": name,
        "FeatureGroupArn": f"{ARN}feature-group/{name}",
        "RecordIdentifierFeatureName": key,
        "EventTimeFeatureName": "Zeit",
        "FeatureDefinitions": [{"FeatureName": n, "FeatureType": t} for n, t in kinds.items()],
        "CreationTime": TIME,
        # an older CLI writes nulls, and the last page an empty token
        "NextToken": "",
        "OnlineStoreConfig": None,
        **more,
    }


OFFLINE = {"S3StorageConfig": {"S3Uri": "s3://werk", "ResolvedOutputS3Uri": BUCKET}}
COMPONENTS = [
    {"TrialComponentName": "ohne-zeit", "TrialComponentArn": f"{ARN}c/1", "Status": {"PrimaryStatus": "Completed"}},
    {"TrialComponentName": "ohne-ende", "TrialComponentArn": f"{ARN}c/2", "StartTime": 1790000000.001,
     "Status": {"PrimaryStatus": "Completed"}},
    {"TrialComponentName": "neu", "TrialComponentArn": f"{ARN}c/3", "StartTime": TIME, "EndTime": "2026-10-01T18:00:00.999999+01:00",
     "Status": {"PrimaryStatus": "Completed"}, "CreatedBy": {}, "Parameters": {
         f"p{n}": {"NumberValue": float(n)} for n in range(300)} | {"anzahl_kunden": {"NumberValue": 847293.0}}},
]  # fmt: skip
FILES: dict[str, Any] = {
    "search/ExperimentTrialComponent.json": {"Results": [{"TrialComponent": row} for row in COMPONENTS], "TotalHits": None},
    "feature-groups/kunden.json": feature_group("kunden", "KundenId", OfflineStoreConfig=OFFLINE),
    "feature-groups/nur-online.json": feature_group("nur-online", "KundenId", OnlineStoreConfig={"EnableOnlineStore": False}),
    "endpoints/srv.json": {
        **{"EndpointName": "srv", "EndpointArn": f"{ARN}endpoint/srv", "EndpointConfigName": "c", "EndpointStatus": "InService"},
        **{"CreationTime": TIME, "LastModifiedTime": TIME},
        "ProductionVariants": [{"VariantName": "v", "CurrentServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}],
        "DataCaptureConfig": {"EnableCapture": True, "CaptureStatus": "Started", "CurrentSamplingPercentage": 1,
                              "DestinationS3Uri": "s3://werk-cap/cap/", "KmsKeyId": ""}},
    "endpoint-configs/async.json": {
        **{"EndpointConfigName": "async", "EndpointConfigArn": f"{ARN}ec/async", "CreationTime": TIME},
        "AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://werk-async/out"}}},
    "packages/km/1.json": {
        **{"ModelPackageArn": f"{ARN}model-package/km/1", "ModelPackageGroupName": "km", "ModelPackageVersion": 1},
        **{"ModelPackageStatus": "Completed", "CreationTime": TIME},
        "ModelCard": {"ModelCardContent": "{}", "ModelCardStatus": "Draft"}},
    "pipelines/pl.json": {"PipelineName": "pl", "PipelineArn": f"{ARN}pipeline/pl", "PipelineDefinition": json.dumps({"Steps": STEPS})},
    "pipelines/pl/executions.json": {"PipelineExecutionSummaries": []},
    "processing-jobs/j.json": {
        "ProcessingJobName": "j", "ProcessingJobArn": f"{ARN}processing-job/j", "ProcessingJobStatus": "InProgress",
        "CreationTime": TIME},
    "studio/apps.json": {"Apps": [
        {"DomainId": "d", "UserProfileName": "jörg", "AppType": "JupyterLab", "AppName": "a", "Status": "Deleted"}]},
    "efs/200005/leer.ipynb": "",
}  # fmt: skip
ROWS: list[tuple[str, str, float | None, bool]] = [
    ("k1", "2026-10-01T08:00:00Z", 1.0, False),
    ("k1", "2026-09-01T08:00:00Z", None, True),  # a marker that is older than the record
    ("k2", "2026-10-01T08:00:00.123Z", 2.0, False),
    ("k2", "2026-10-01T09:00:00Z", None, True),
    ("k3", "2026-10-01T08:00:00+0100", 3.0, False),
    ("k4", "01/10/2026", 4.0, False),
    ("k5", "2026-10-01T08:00:00Z", 5.0, False),
    ("k5", "2026-10-01T09:00:00Z", None, True),
    ("k5", "2026-10-01T10:00:00Z", 6.0, False),  # who came back
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    dump = tmp_path / "dump"
    made = f"{NOW - timedelta(hours=1):%Y-%m-%dT%H:%M:%S+00:00}"
    about = {"made": made, "tool": "aws-cli/2.32.1", "region": "eusc-de-east-1"}
    for name, answer in {**FILES, "about.json": about, "refused.txt": "search\n"}.items():
        path = dump / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = answer if isinstance(answer, str) else json.dumps(answer)
        # PowerShell writes UTF-16
        path.write_text(text, encoding="utf-16" if name.startswith("packages/") else "utf-8")
    for number, (key, at, value, deleted) in enumerate(ROWS):
        path = dump / f"offline/kunden/data/{number}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        row = {"kundenid": key, "zeit": at, "umsatz": value, "aktiv": True, "is_deleted": deleted}
        row |= {"write_time": WRITTEN, "api_invocation_time": WRITTEN}
        columns = {n: pa.array([v], pa.float64() if n == "umsatz" else None) for n, v in row.items()}  # fmt: skip
        pq.write_table(pa.table(columns), path)
    return dump


def test_every_command_says_what_is_true_of_it(
    new_project: Any, folder: Path, tmp_path: Path
) -> None:
    root, script = new_project(), tmp_path / "delete.sh"
    commands = {
        ("audit", str(folder)): 1,
        ("runs", str(folder)): 0,
        ("registry", str(folder)): 0,
        ("cards", str(folder)): 0,
        ("features", str(folder)): 0,
        ("notebooks", str(folder)): 0,
        ("pipelines", str(folder)): 0,
        ("parity", str(folder)): 1,
        ("parity", str(folder), "--online"): 2,
        ("parity", str(folder), "--group", "nur-online"): 1,
        ("tracks", str(folder)): 1,
        ("finish", str(folder)): 1,
        ("finish", str(folder), "--script", str(script)): 0,
        ("status",): 0,
    }
    program = [str(PROGRAMS / "python"), "-c", ONE_PROCESS, json.dumps([*commands])]
    done, asked = sealed(root, *program)
    assert asked == {}
    assert "Traceback" not in done.stderr
    codes = done.stdout.splitlines()[-1]
    assert codes == " ".join(["codes", *map(str, commands.values())]), done.stderr
    for line in (
        "    kunden, 3 times",
        "2 made, 0 there already.",
        "  left: 1, without any time in the dump",
        "1 made, 0 there already.",
        "km-package-v1.toml: status 'Draft' in SageMaker, which approves nothing here",
        "nur-online: it has no offline store, so there are no rows to bring",
        "kunden: 3 of 9 rows, of 3 keys; 1 keys are deleted in SageMaker and stay out",
        "  left: 1, event time that cannot be read",
        "pl: 6 steps, 1 without a replacement here",
        "  still in SageMaker: 0-9 feature groups, data of people",
        "  still in SageMaker: 0-9 endpoints, data of people",
        "  still in SageMaker: 0-9 model packages",
    ):
        assert line in done.stdout.splitlines(), f"{line}\n{done.stdout}"
    for words in (
        "Note: 1 questions were refused or are unknown to the CLI",
        "no feature group with an online store",
        "nur-online: not compared: it has no offline store",
        "`churn leave finish DUMP --script FILE` writes it",
    ):
        assert words in done.stderr
    assert "L20" not in done.stdout  # an empty file holds nobody
    assert "| innen | Processing | je-land |" in (root / "governance/leaving/pipelines/pl.md").read_text()  # fmt: skip
    text = script.read_text()
    assert f"{text.count(chr(10) + 'run ')} commands are in" in done.stdout
    for line in (
        "run s3 rm --recursive 's3://werk/mein ordner/offline-store/kunden-1700000000/data'",
        "run s3 rm --recursive s3://werk-cap/cap/srv",
        "run sagemaker wait processing-job-completed-or-stopped --processing-job-name j",
        "# By hand: answers of an asynchronous endpoint, below s3://werk-async/out",
    ):
        assert line in text.splitlines()
    assert "delete-app" not in text
    report = (root / "governance/leaving/report.json").read_text()
    assert not any(word in report for word in ("k1", "jörg", "werk", "210987654321", "kunden"))


def test_a_deletion_script_that_was_not_written_is_not_on_record(
    new_project: Any, folder: Path, tmp_path: Path
) -> None:
    root, report = new_project(), "governance/leaving/report.json"
    (tmp_path / "a file").write_text("")
    (tmp_path / "a folder").mkdir()
    places = ("a folder", "a file/delete.sh", "a file", folder / "about.json")
    for place in (*(tmp_path / place for place in places), "/proc/delete.sh", ""):
        done = churn(root, "leave", "finish", str(folder), "--script", str(place))
        line = done.stderr.splitlines()[-1]
        assert (
            done.returncode == 2 and line.startswith("Error: ") and "Traceback" not in done.stderr
        )
        assert not (root / report).exists()
    assert sorted(path.name for path in tmp_path.glob(".*.part")) == []
    assert (tmp_path / "a file").read_text() == "" and "made" in (folder / "about.json").read_text()
    done = churn(root, "leave", "finish", "nowhere", "--script", "delete.sh")
    assert done.returncode == 2 and "nowhere is no folder: make a dump" in done.stderr
    # Another account than the one on record gets no script either.
    assert churn(root, "leave", "audit", str(folder)).returncode == 1
    stored = json.loads((root / report).read_text())
    (root / report).write_text(json.dumps(stored | {"account": "000000000000"}))
    script = tmp_path / "delete.sh"
    finish = ("leave", "finish", str(folder), "--script", str(script))
    done = churn(root, *finish)
    assert done.returncode == 1 and "another account" in done.stderr
    assert not script.exists() and "script_at" not in (root / report).read_text()
    (root / report).write_text(json.dumps(stored))
    # A script of an earlier call is written anew.
    assert [churn(root, *finish).returncode for _ in range(2)] == [0, 0]
    assert "script_at" in (root / report).read_text()


def test_an_empty_account_is_told_in_words(new_project: Any, tmp_path: Path) -> None:
    root, dump = new_project(), str(dumped(Account(runs=0).emptied(), tmp_path / "dump"))
    commands = {
        ("runs", dump): 0,
        ("features", dump): 0,
        ("parity", dump): 2,
        ("tracks", dump): 1,
        ("finish", dump, "--script", str(tmp_path / "delete.sh")): 0,
    }
    program = [str(PROGRAMS / "python"), "-c", ONE_PROCESS, json.dumps([*commands])]
    done, asked = sealed(root, *program)
    assert (asked, done.stdout.splitlines()) == (
        {},
        [
            "0 made, 0 there already.",
            "The dump has no feature group: there are no rows to bring.",
            "0 runs are in both tracks.",
            f"0 commands are in {tmp_path}/delete.sh. Read them before you run them.",
            " ".join(["codes", *map(str, commands.values())]),
        ],
    ), done.stderr


def changed(dump: Dump, **about: str) -> Dump:
    return Dump(dump.folder, {**dump.about, **about}, dump.answers)


def test_the_account_is_that_of_most_records_and_not_of_one_that_shares_a_model(
    folder: Path,
) -> None:
    before = open_dump(folder).account
    card = {"ModelCardArn": ARN.replace("210987654321", "999999999999") + "model-card/a"}
    path = folder / "cards/a/1.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"ModelCardName": "a", "ModelCardVersion": 1, **card}))
    assert open_dump(folder).account == before != ""


def test_a_dump_from_the_future_or_of_long_ago_deletes_nothing_and_proves_nothing(
    folder: Path,
) -> None:
    dump = open_dump(folder)
    future = changed(dump, made=f"{NOW + timedelta(days=2):%Y-%m-%dT%H:%M:%SZ}")
    assert "the dump was made in the future: correct the clock and make it again" in future.gaps(NOW)  # fmt: skip
    assert not any("future" in gap for gap in dump.gaps(NOW))
    for days, is_refused in ((90, False), (91, True)):
        old = changed(dump, made=f"{NOW - timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}")
        if is_refused:
            with pytest.raises(Refused, match="91 days old, and 90 are allowed"):
                progress.check_age(old, NOW)
        else:
            progress.check_age(old, NOW)


@pytest.mark.parametrize("uri", ["s3://werk", "s3://werk/", "s3://", "https://x/y", "s3://b/a\nrm", "-s3://b/a"])  # fmt: skip
def test_no_command_empties_a_whole_bucket_or_holds_another_command(folder: Path, uri: str) -> None:
    config = {"S3StorageConfig": {"S3Uri": uri, "ResolvedOutputS3Uri": uri}}
    group = feature_group("kunden", "KundenId", OfflineStoreConfig=config)
    (folder / "feature-groups/kunden.json").write_text(json.dumps(group))
    with pytest.raises(Refused, match="cannot be a place in S3"):
        deletion.deletion_script(open_dump(folder))


@pytest.mark.parametrize(
    ("name", "value", "brought"),
    [
        ("anzahl_kunden", 847293.0, "100,000-999,999"),
        ("nombre_utilisateurs", 847293.0, "100,000-999,999"),
        ("numero_clientes", 847293.0, "100,000-999,999"),
        ("kunde", "4711", None),
        ("zielgruppe", "x", None),
        ("einwilligung", "ja", None),
        ("lernrate", 0.1, "0.1"),
    ],
)
def test_words_for_people_are_known_in_other_languages_too(
    name: str, value: Any, brought: str | None
) -> None:
    assert Minimiser(bytes(32)).value(name, value) == brought


@pytest.mark.parametrize("uri", ["s3://w/a/g-1/data", "s3://w/a/g-1/data/", "s3://w/a/other"])
def test_the_metadata_of_an_iceberg_table_go_with_its_data(folder: Path, uri: str) -> None:
    config = {"S3StorageConfig": {"S3Uri": "s3://w", "ResolvedOutputS3Uri": uri}}
    config |= {"TableFormat": "Iceberg"}
    group = feature_group("kunden", "KundenId", OfflineStoreConfig=config)
    (folder / "feature-groups/kunden.json").write_text(json.dumps(group))
    lines = deletion.deletion_script(open_dump(folder)).splitlines()
    removed = [line.split()[-1] for line in lines if "s3 rm" in line and "s3://w/" in line]
    data = uri.rstrip("/")
    expected = [data, "s3://w/a/g-1/metadata"] if data.endswith("/data") else [data]
    assert removed == expected
