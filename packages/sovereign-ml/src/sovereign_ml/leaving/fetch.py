"""Write a dump with boto3: the only part of the wing that reaches AWS, and the only one that needs its credentials."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.leaving.catalogue import QUESTIONS, ApiQuestion
from sovereign_ml.privacy.tombstones import write_durably

__all__ = ["fetch"]

_LISTED = ".listed"
"""Answers of questions that only list names, kept so that an interrupted call asks nothing twice."""
_IDLE = 20
"""Answers without a record in a row after which the online store is taken as overloaded."""
_REFUSED = {"AccessDeniedException", "UnknownOperationException", "ValidationException"}


def fetch(folder: Path, region: str, *, endpoint: str = "", online: tuple[str, ...] = ()) -> int:
    """Ask every question of the catalogue; return how many were asked.

    What is in ``folder`` already is not asked again. Each file is written whole or not at all. ``endpoint`` replaces
    the addresses of AWS. The records of the feature groups ``online`` are fetched too: they are data of people.
    """
    walk = _Walk(folder, _clients(region, endpoint))
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for question in QUESTIONS:
        walk.ask(question, {})
    walk.curves()
    for group in online:
        walk.online(group)
    refused = "".join(f"{line}\n" for line in walk.refused)
    write_durably(folder / "refused.txt", refused, mode=0o600)
    about = {
        "made": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "tool": "churn leave fetch",
        "region": region,
    }
    write_durably(folder / "about.json", json.dumps(about) + "\n", mode=0o600)
    for path in (folder / _LISTED).glob("*.json"):
        path.unlink()
    return walk.asked


def _clients(region: str, endpoint: str) -> dict[str, Any]:
    import boto3
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard", "total_max_attempts": 8},
        connect_timeout=10,
        read_timeout=60,
        parameter_validation=True,
    )
    session = boto3.Session(region_name=region)
    if session.get_credentials() is None:
        raise Misuse(
            "No AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of a role that may only "
            "list and describe, or run the script of `churn leave script` where there are some."
        )
    names = ("sagemaker", "sagemaker-metrics", "sagemaker-featurestore-runtime")
    return {
        name: session.client(name, endpoint_url=endpoint or None, config=config) for name in names
    }


class _Walk:
    def __init__(self, folder: Path, clients: Mapping[str, Any]) -> None:
        self._folder, self._clients = folder, clients
        self._api = clients["sagemaker"]
        self.asked = 0
        self.refused: list[str] = []

    def ask(self, question: ApiQuestion, bound: Mapping[str, str]) -> None:
        """Ask ``question`` and those below it, with the names that the ones above ``bound``."""
        arguments: dict[str, Any] = {
            name: _filled(value, bound) for name, value in question.arguments.items()
        }
        if "ModelCardVersion" in arguments:
            arguments["ModelCardVersion"] = int(arguments["ModelCardVersion"])
        words = "-".join([question.command, *map(str, arguments.values())])
        path = _filled(question.path, bound) or f"{_LISTED}/{words.replace('/', '_')}.json"
        answer = self._kept(path, question.operation, arguments)
        for item in answer.get(question.items, ()) if question.then else ():
            for inner in question.then:
                self.ask(inner, {**bound, question.binds: str(item[question.key])})

    def _kept(self, path: str, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        file = self._folder / path
        if not file.resolve().is_relative_to(self._folder.resolve()):
            raise Refused(f"SageMaker named something '{path}': nothing is written there.")
        if file.is_file():
            kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            return kept
        answer = self._call(operation, arguments)
        if answer is None:
            return {}
        _write(file, answer)
        return answer

    def _call(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
        """Return the answer with all its pages; None if the account or this role does not answer."""
        from botocore import xform_name
        from botocore.exceptions import BotoCoreError, ClientError

        method = xform_name(operation)
        self.asked += 1
        try:
            if self._api.can_paginate(method):
                answer = self._api.get_paginator(method).paginate(**arguments).build_full_result()
            else:
                answer = getattr(self._api, method)(**arguments)
                pages = answer
                while operation == "DescribeFeatureGroup" and pages.get("NextToken"):
                    pages = self._api.describe_feature_group(
                        **arguments, NextToken=pages["NextToken"]
                    )
                    answer["FeatureDefinitions"] += pages["FeatureDefinitions"]
                answer.pop("NextToken", None)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code not in _REFUSED:
                raise Refused(_one_line(operation, error)) from None
            self.refused.append(f"{operation} {' '.join(map(str, arguments.values()))}: {code}")
            return None
        except BotoCoreError as error:
            raise Refused(_one_line(operation, error)) from None
        answer.pop("ResponseMetadata", None)
        result: dict[str, Any] = answer
        return result

    def curves(self) -> None:
        """Ask for the metric points of every trial component, 100 series a call."""
        file = self._folder / "search/ExperimentTrialComponent.json"
        rows = json.loads(file.read_text(encoding="utf-8"))["Results"] if file.is_file() else []
        for row in (row["TrialComponent"] for row in rows):
            names = sorted({m["MetricName"] for m in row.get("Metrics", ()) if "MetricName" in m})
            target = self._folder / f"metrics/{row['TrialComponentName']}.json"
            if not names or target.is_file():
                continue
            queries = [
                {
                    "MetricName": name,
                    "ResourceArn": row["TrialComponentArn"],
                    "MetricStat": "Last",
                    "Period": "IterationNumber",
                    "XAxisType": "IterationNumber",
                }
                for name in names
            ]
            results: list[dict[str, Any]] = []
            for start in range(0, len(queries), 100):
                self.asked += 1
                answer = self._clients["sagemaker-metrics"].batch_get_metrics(
                    MetricQueries=queries[start : start + 100]
                )
                results += answer["MetricQueryResults"]
            _write(target, {"MetricQueries": queries, "MetricQueryResults": results})

    def online(self, group: str) -> None:
        """Ask for every record of the online store, 100 at a time, until none is left unprocessed."""
        api, file = self._clients["sagemaker-featurestore-runtime"], self._folder / "online"
        records: list[str] = []
        token: dict[str, str] = {}
        while True:
            page = api.list_records(FeatureGroupName=group, **token)
            self.asked += 1
            wanted = list(page["RecordIdentifiers"])
            idle = 0
            while wanted:
                self.asked += 1
                answer = api.batch_get_record(
                    Identifiers=[
                        {"FeatureGroupName": group, "RecordIdentifiersValueAsString": wanted[:100]}
                    ]
                )
                if errors := answer.get("Errors"):
                    raise Refused(f"BatchGetRecord of {group}: {errors[0]['ErrorCode']}.")
                records += [json.dumps(record, default=str) for record in answer["Records"]]
                idle = 0 if answer["Records"] else idle + 1
                if idle > _IDLE:
                    raise Refused(
                        f"BatchGetRecord of {group} leaves records unprocessed: try later."
                    )
                wanted = wanted[100:] + [
                    name
                    for row in answer["UnprocessedIdentifiers"]
                    for name in row["RecordIdentifiersValueAsString"]
                ]
            if not page.get("NextToken"):
                break
            token = {"NextToken": page["NextToken"]}
        write_durably(file / f"{group}.jsonl", "".join(f"{r}\n" for r in records), mode=0o600)


def _filled(text: str, bound: Mapping[str, str]) -> str:
    for name, value in bound.items():
        text = text.replace(f"{{{name}}}", value)
        text = text.replace(f"{{{name}##*/}}", value.rpartition("/")[2])
    return text


def _write(file: Path, answer: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = json.dumps(answer, indent=4, ensure_ascii=False, default=_iso)
    write_durably(file, text + "\n", mode=0o600)


def _iso(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    raise TypeError(f"An answer of AWS holds {type(value).__name__}, which JSON does not.")


def _one_line(operation: str, error: Exception) -> str:
    first = str(error).strip().splitlines()[0]
    return f"{operation}: {first}. What was fetched stays; the same command goes on from here."
