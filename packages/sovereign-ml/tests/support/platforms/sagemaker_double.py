"""SageMaker on loopback. botocore's own shapes validate every question and every answer; a violation is kept."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from botocore.session import Session
from botocore.validate import ParamValidator

from loopback import Quiet, listening
from sovereign_ml.leaving.catalogue import QUESTIONS, SEARCHED, ApiQuestion
from sovereign_ml.leaving.offline_rows import OfflineGroup

ACCOUNT, REGION = "123456789012", "eu-central-1"
RUNTIME = ("sagemaker-featurestore-runtime", "sagemaker-metrics")
PAGE = 2
"""Items of a page: small, so that every list has several."""


CARD = ("ModelCardName", "ModelCardArn", "CreationTime", "ModelCardStatus")


def _only(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names}


def arn(kind: str, name: str) -> str:
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{kind}/{name}"


def at(seconds: float) -> float:
    return 1_780_000_000 + seconds


class Account:
    """What an account holds. ``violations`` must be empty at the end of a test."""

    def __init__(self, runs: int = 6) -> None:
        self.asked: list[str] = []
        self.violations: list[str] = []
        self.throttled = 0
        self.gone: set[str] = set()
        self.online: dict[str, dict[str, str]] = {}
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for name in SEARCHED}
        self.described: dict[tuple[str, str], dict[str, Any]] = {}
        for number in range(runs):
            self.add_run(number)
        self.add_group("user-features", "user_id")
        for version in (1, 2, 3):
            self.add_package(version)
            self.add_card(version)

    def add_run(self, number: int, **more: Any) -> None:
        name = f"churn-v{number}"
        if number % 3 == 0:
            trial = f"trial-{number}"
            self.rows["ExperimentTrial"].append(
                {
                    "TrialName": trial,
                    "TrialArn": arn("experiment-trial", trial),
                    "ExperimentName": "churn-model",
                    "TrialComponentSummaries": [],
                }
            )
        if not self.rows["Experiment"]:
            experiment = "churn-model"
            self.rows["Experiment"].append(
                {"ExperimentName": experiment, "ExperimentArn": arn("experiment", experiment)}
            )
        trial_row = self.rows["ExperimentTrial"][-1]
        trial_row["TrialComponentSummaries"].append({"TrialComponentName": name})
        status = ("Completed", "Failed", "Stopped")[number % 3]
        self.rows["ExperimentTrialComponent"].append(
            {
                "TrialComponentName": name,
                "DisplayName": name,
                "TrialComponentArn": arn("experiment-trial-component", name),
                "Status": {"PrimaryStatus": status, "Message": "row 7: user 12345 Jane Doe"},
                "StartTime": at(number * 60 + 0.123),
                "EndTime": at(number * 60 + 41.687),
                "CreatedBy": {"UserProfileName": "jane-doe"},
                "Parameters": {
                    "learning_rate": {"NumberValue": 0.0003},
                    "batch_size": {"NumberValue": 512.0},
                    "training_users": {"NumberValue": 847293.0},
                    "evaluation_cohort": {"StringValue": "gdpr-eu"},
                    "training_data": {"StringValue": "s3://prod-data-lake/eu/users.parquet"},
                    "contact": {"StringValue": "jane.doe@acme.example"},
                    **more,
                },
                "Metrics": [
                    {
                        "MetricName": "auc",
                        "SourceArn": arn("experiment-trial-component", name),
                        "TimeStamp": at(number * 60 + 40),
                        "Last": 0.5 + number / 100,
                        "Min": 0.1,
                        "Max": 0.9,
                        "Count": 3,
                    }
                ],
            }
        )

    def add_group(self, name: str, key: str, **more: Any) -> None:
        definitions = [
            {"FeatureName": key, "FeatureType": "String"},
            {"FeatureName": "event_time", "FeatureType": "String"},
            {"FeatureName": "purchase_count_30d", "FeatureType": "Integral"},
            {"FeatureName": "churn_risk_score", "FeatureType": "Fractional"},
            {"FeatureName": "gdpr_consent_marketing", "FeatureType": "String"},
        ]
        row = {
            "FeatureGroupArn": arn("feature-group", name),
            "FeatureGroupName": name,
            "RecordIdentifierFeatureName": key,
            "EventTimeFeatureName": "event_time",
            "FeatureDefinitions": definitions,
            "CreationTime": at(0),
            "OfflineStoreConfig": {
                "S3StorageConfig": {
                    "S3Uri": "s3://prod-features",
                    "ResolvedOutputS3Uri": f"s3://prod-features/{name}/data",
                }
            },
            "OnlineStoreConfig": {"EnableOnlineStore": True},
            **more,
        }
        self.rows["FeatureGroup"].append(row)
        self.described["DescribeFeatureGroup", name] = {**row, "NextToken": ""}
        self.online[name] = {f"u{number}": str(number) for number in range(250)}

    def add_package(self, version: int) -> None:
        package = arn("model-package", f"churn/{version}")
        if version == 1:
            self.rows["ModelPackageGroup"].append(
                {
                    "ModelPackageGroupName": "churn",
                    "ModelPackageGroupArn": arn("model-package-group", "churn"),
                    "ModelPackageGroupStatus": "Completed",
                    "CreationTime": at(0),
                    "CreatedBy": {},
                }
            )
        row = {
            "ModelPackageName": "churn",
            "ModelPackageGroupName": "churn",
            "ModelPackageVersion": version,
            "ModelPackageArn": package,
            "ModelPackageStatus": "Completed",
            "CreationTime": at(version),
            "ModelApprovalStatus": "Approved",
            "InferenceSpecification": {
                "Containers": [
                    {
                        "Image": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/churn:1",
                        "ModelDataUrl": f"s3://prod-models/{version}/model.pkl",
                    }
                ]
            },
            "ModelPackageStatusDetails": {"ValidationStatuses": []},
        }
        self.rows["ModelPackage"].append(row)
        self.described["DescribeModelPackage", package] = row

    def add_card(self, version: int) -> None:
        content = {
            "model_overview": {"model_name": "churn", "model_owner": "jane.doe@acme.example"},
            "intended_uses": {"purpose_of_model": "Keep customers"},
            "training_details": {"training_observations": 847293},
        }
        row = {
            "ModelCardArn": arn("model-card", "churn-card"),
            "ModelCardName": "churn-card",
            "ModelCardVersion": version,
            "Content": json.dumps(content),
            "ModelCardStatus": "Approved",
            "CreationTime": at(version),
            "CreatedBy": {},
        }
        self.rows["ModelCard"] = [row]
        self.described["DescribeModelCard", f"churn-card/{version}"] = row

    def emptied(self) -> Account:
        """The same account once everything in it is deleted."""
        self.described.clear()
        self.rows = {name: [] for name in self.rows}
        return self

    # What the API answers.

    def answer(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        if operation == "Search":
            name = asked["Resource"]
            member = {"ExperimentTrial": "Trial", "ExperimentTrialComponent": "TrialComponent"}
            rows = [{member.get(name, name): row} for row in self.rows[name]]
            return self._page("Results", rows, asked)
        if operation.startswith("Describe"):
            key = "/".join(str(value) for name, value in asked.items() if name != "NextToken")
            return self._definitions(self.described[operation, key], asked)
        if operation == "BatchGetMetrics":
            series = [
                {"Status": "Complete", "XAxisValues": [0, 1, 2], "MetricValues": [0.1, 0.2, 0.3]}
                for _ in asked["MetricQueries"]
            ]
            return {"MetricQueryResults": series}
        if operation == "ListRecords":
            ids = list(self.online[asked["FeatureGroupName"]])
            return self._page("RecordIdentifiers", ids, asked, 100)
        if operation == "BatchGetRecord":
            return self._records(asked["Identifiers"][0])
        return self._listed(operation, asked)

    def _page(
        self, name: str, rows: list[Any], asked: dict[str, Any], size: int = PAGE
    ) -> dict[str, Any]:
        start = int(asked.get("NextToken", 0))
        more = {"NextToken": str(start + size)} if start + size < len(rows) else {}
        return {name: rows[start : start + size], **more}

    def _definitions(self, row: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
        if "FeatureDefinitions" not in row:
            return row
        page = self._page("FeatureDefinitions", row["FeatureDefinitions"], asked, 3)
        return {**row, "NextToken": "", **page}

    def _records(self, asked: dict[str, Any]) -> dict[str, Any]:
        ids, group = asked["RecordIdentifiersValueAsString"], asked["FeatureGroupName"]
        done = ids[: max(1, len(ids) * 2 // 3)] if len(ids) > 3 else ids
        records = [
            {
                "FeatureGroupName": group,
                "RecordIdentifierValueAsString": name,
                "Record": [{"FeatureName": "n", "ValueAsString": self.online[group][name]}],
            }
            for name in done
        ]
        rest = ids[len(done) :]
        left = [{"FeatureGroupName": group, "RecordIdentifiersValueAsString": rest}] if rest else []
        return {"Records": records, "Errors": [], "UnprocessedIdentifiers": left}

    def _listed(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        arrays = {
            "ListFeatureGroups": [
                _only(row, "FeatureGroupName", "FeatureGroupArn", "CreationTime")
                for row in self.rows["FeatureGroup"]
            ],
            "ListModelPackageGroups": [
                {name: value for name, value in row.items() if name != "CreatedBy"}
                for row in self.rows["ModelPackageGroup"]
            ],
            "ListModelPackages": [
                _only(
                    row,
                    "ModelPackageArn",
                    "ModelPackageVersion",
                    "CreationTime",
                    "ModelPackageStatus",
                )
                for row in self.rows["ModelPackage"]
            ],
            "ListModelCards": [_only(row, *CARD) for row in self.rows["ModelCard"]],
            "ListModelCardVersions": [
                _only(row, *CARD, "ModelCardVersion")
                for (kind, _), row in self.described.items()
                if kind == "DescribeModelCard"
            ],
        }
        shape = MODELS["sagemaker"].operation_model(operation).output_shape
        names = [n for n, member in shape.members.items() if member.type_name == "list"]
        return self._page(names[0], arrays.get(operation, []), asked)


MODELS = {name: Session().get_service_model(name) for name in ("sagemaker", *RUNTIME)}


def _routes() -> list[tuple[str, str, re.Pattern[str], Any]]:
    routes = []
    for service in RUNTIME:
        for name in MODELS[service].operation_names:
            operation = MODELS[service].operation_model(name)
            path = re.sub(
                r"\{(\w+)\}", r"(?P<\1>[^/?]+)", operation.http["requestUri"].split("?")[0]
            )
            pattern = re.compile(path + r"(?:\?.*)?$")
            routes.append((name, operation.http["method"], pattern, operation))
    return routes


ROUTES = _routes()


@contextmanager
def sagemaker(account: Account) -> Iterator[str]:
    """The address of the API of ``account``."""

    class Handler(Quiet):
        def _asked(self) -> tuple[str, Any, dict[str, Any]]:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            if target := self.headers.get("x-amz-target"):
                name = target.removeprefix("SageMaker.")
                return name, MODELS["sagemaker"].operation_model(name), body
            for name, method, pattern, operation in ROUTES:
                if method == self.command and (match := pattern.match(self.path)):
                    return name, operation, {**match.groupdict(), **body}
            raise KeyError(self.path)

        def do_POST(self) -> None:
            name, operation, asked = self._asked()
            account.asked.append(f"{name} {json.dumps(asked, sort_keys=True)}")
            if account.throttled:
                account.throttled -= 1
                self._refuse("ThrottlingException", "Rate exceeded")
                return
            if name in account.gone:
                self._refuse("ResourceNotFound", "The resource does not exist.")
                return
            self._check(operation.input_shape, asked, f"question {name}")
            answer = account.answer(name, asked)
            self._check(operation.output_shape, answer, f"answer {name}")
            if account.violations:
                self._refuse("ValidationException", account.violations[-1])
                return
            self.reply(200, json.dumps(answer).encode())

        do_GET = do_POST  # noqa: N815

        def _check(self, shape: Any, value: dict[str, Any], what: str) -> None:
            report = ParamValidator().validate(value, shape)
            if report.has_errors():
                account.violations.append(f"{what}: {report.generate_report()}")

        def _refuse(self, code: str, message: str) -> None:
            self.reply(400, json.dumps({"__type": code, "message": message}).encode())

    with listening(Handler) as address:
        yield address


def dumped(account: Account, folder: Path, made: datetime | None = None) -> Path:
    """Write the dump of ``account`` as the CLI would, without a network."""

    def ask(question: ApiQuestion, bound: dict[str, str]) -> None:
        fill = _filler(bound)
        asked: dict[str, Any] = {k: fill(v) for k, v in question.arguments.items()}
        answer = account.answer(question.operation, asked)
        while answer.get("NextToken"):
            more = account.answer(question.operation, asked | {"NextToken": answer["NextToken"]})
            for name, value in more.items():
                if isinstance(value, list):
                    answer[name] = answer[name] + value
            answer["NextToken"] = more.get("NextToken", "")
        answer = {k: v for k, v in answer.items() if k != "NextToken"}
        if question.path:
            path = folder / fill(question.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(answer))
        for item in answer.get(question.items, ()) if question.then else ():
            for inner in question.then:
                ask(inner, {**bound, question.binds: str(item[question.key])})

    for question in QUESTIONS:
        ask(question, {})
    stamp = (made or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
    about = {"made": stamp, "tool": "aws-cli/2.31.0 Python/3.13", "region": REGION}
    (folder / "about.json").write_text(json.dumps(about))
    return folder


def _filler(bound: dict[str, str]) -> Callable[[str], str]:
    def fill(text: str) -> str:
        for name, value in bound.items():
            text = text.replace(f"{{{name}}}", value)
            text = text.replace(f"{{{name}##*/}}", value.rpartition("/")[2])
        return text

    return fill


Row = tuple[str, int, int, int, bool, int]
"""Key, event time, invocation and writing in seconds, deleted, value."""
START = datetime(2026, 1, 1, tzinfo=UTC)


def store(folder: Path, rows: list[Row], event: str = "iso") -> OfflineGroup:
    """Write rows as SageMaker does, in two files, with folders that look like columns."""

    def moment(seconds: int) -> datetime:
        return START + timedelta(seconds=seconds)

    def spelled(seconds: int) -> Any:
        if event == "seconds":
            return moment(seconds).timestamp()
        return moment(seconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    for part in (0, 1):
        chosen = rows[part::2]
        table = pa.table(
            {
                "user_id": pa.array([r[0] for r in chosen], pa.string()),
                "event_time": [spelled(r[1]) for r in chosen]
                or pa.array([], pa.float64() if event == "seconds" else pa.string()),
                "n": pa.array([None if r[4] else r[5] for r in chosen], pa.int64()),
                "email": pa.array(["jane@acme.example"] * len(chosen), pa.string()),
                "api_invocation_time": pa.array(
                    [moment(r[2]) for r in chosen], pa.timestamp("us", "UTC")
                ),
                "write_time": pa.array([moment(r[3]) for r in chosen], pa.timestamp("us", "UTC")),
                "is_deleted": pa.array([r[4] for r in chosen], pa.bool_()),
            }
        )
        path = folder / f"data/year=2026/month=0{part + 1}/rows_{part}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, use_deprecated_int96_timestamps=bool(part))
    kinds = {"n": "Integral", "email": "String"}
    return OfflineGroup("users", "user_id", "event_time", kinds, folder, True, False)
