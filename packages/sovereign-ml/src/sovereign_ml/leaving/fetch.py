"""Write a dump with boto3. Only this module reaches AWS and needs its credentials."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.leaving.catalogue import QUESTIONS, ApiQuestion
from sovereign_ml.privacy.tombstones import write_durably

_LISTED = ".listed"
"""Folder for answers that only list names, so that a repeated call asks nothing twice."""
_IDLE = 20
"""Number of consecutive answers without a record after which the online store is overloaded."""
_REFUSED = {
    *("AccessDeniedException", "UnknownOperationException", "ValidationException"),
    # Somebody deleted it after it was listed. The dump goes on and names it.
    *("ResourceNotFound", "ResourceNotFoundException"),
}


def fetch(folder: Path, region: str, *, endpoint: str = "", online: tuple[str, ...] = ()) -> int:
    """Ask every question of the catalogue, and return the number of questions asked.

    Answers in ``folder`` are not asked again, so the dump has the time of the first call. Each file
    is written as a whole. Until all are written, ``about.json`` has no time and the folder is no
    dump. ``endpoint`` replaces the addresses of AWS. The records of the feature groups ``online``
    are fetched too: they are data of people.
    """
    walk = _Walk(folder, _clients(region, endpoint))
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    about = _begun(folder / "about.json", region)
    for question in QUESTIONS:
        walk.ask(question, {})
    walk.curves()
    for group in online:
        walk.online(group)
    refused = "".join(f"{line}\n" for line in walk.refused)
    write_durably(folder / "refused.txt", refused, mode=0o600)
    _write(folder / "about.json", {**about, "made": about["began"]})
    for path in (folder / _LISTED).glob("*.json"):
        path.unlink()
    return walk.asked


def _begun(file: Path, region: str) -> dict[str, str]:
    """Record that a dump of ``region`` has begun, and return the content of ``about.json``."""
    before = _read(file) or {}
    if before and before.get("region") != region:
        raise Misuse(
            f"{file.parent} is a dump of region {before.get('region')}, not of {region}: "
            "name a new folder."
        )
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    # A complete dump of the script has only "made".
    began = str(before.get("began") or before.get("made") or now)
    about = {"began": began, "tool": "churn leave fetch", "region": region}
    _write(file, about)
    return about


def _clients(region: str, endpoint: str) -> dict[str, Any]:
    import boto3
    from botocore.config import Config

    config = Config(
        # The default of 3 attempts is too few for thousands of descriptions, which AWS throttles.
        retries={"mode": "standard", "total_max_attempts": 8},
        connect_timeout=10,
        read_timeout=60,
        parameter_validation=True,
    )
    session = boto3.Session(region_name=region)
    # Without this check the first question would fail, in words of boto3.
    if session.get_credentials() is None:
        raise Misuse(
            "No AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of a role that "
            "may only list and describe, or run the script of `churn leave script` where there "
            "are some."
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
        """Ask ``question`` and those below it, with the values ``bound`` to names above it."""
        arguments: dict[str, Any] = {
            name: _filled(value, bound) for name, value in question.arguments.items()
        }
        # This is the API's only argument that is a number.
        if "ModelCardVersion" in arguments:
            arguments["ModelCardVersion"] = int(arguments["ModelCardVersion"])
        words = "-".join([question.command, *map(str, arguments.values())])
        path = _filled(question.path, bound) or f"{_LISTED}/{words.replace('/', '_')}.json"
        answer = self._kept(path, question.operation, arguments)
        for item in answer.get(question.items, ()) if question.then else ():
            for inner in question.then:
                self.ask(inner, {**bound, question.binds: str(item[question.key])})

    def _kept(self, path: str, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the stored answer at ``path``, or else ask and store it."""
        file = self._inside(path)
        if stored := _read(file):
            return stored
        answer = self._call(operation, arguments)
        if answer is None:
            return {}
        _write(file, answer)
        return answer

    def _inside(self, path: str) -> Path:
        """Return the file ``path`` of the dump. Raises Refused if that is outside its folder."""
        file = self._folder / path
        if not file.resolve().is_relative_to(self._folder.resolve()):
            raise Refused(f"SageMaker named something '{path}': nothing is written there.")
        return file

    def _call(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
        """Return the answer with all its pages, or None if this role may not ask."""
        from botocore import xform_name

        method = xform_name(operation)

        def every_page() -> dict[str, Any]:
            if self._api.can_paginate(method):
                pages = self._api.get_paginator(method).paginate(**arguments)
                whole: dict[str, Any] = pages.build_full_result()
                return whole
            answer: dict[str, Any] = getattr(self._api, method)(**arguments)
            page = answer
            # botocore has no paginator for this operation.
            while operation == "DescribeFeatureGroup" and page.get("NextToken"):
                page = self._api.describe_feature_group(**arguments, NextToken=page["NextToken"])
                answer["FeatureDefinitions"] += page["FeatureDefinitions"]
            answer.pop("NextToken", None)
            return answer

        answer = self._answered(operation, arguments, every_page)
        if answer is not None:
            answer.pop("ResponseMetadata", None)
        return answer

    def _answered(
        self, operation: str, arguments: Mapping[str, Any], ask: Callable[[], dict[str, Any]]
    ) -> dict[str, Any] | None:
        """Return the result of ``ask``, or None if this role may not ask, which is recorded."""
        from botocore.exceptions import BotoCoreError, ClientError

        self.asked += 1
        try:
            return ask()
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code not in _REFUSED:
                raise Refused(_one_line(operation, error)) from None
            self.refused.append(f"{operation} {' '.join(map(str, arguments.values()))}: {code}")
            return None
        except BotoCoreError as error:
            raise Refused(_one_line(operation, error)) from None

    def curves(self) -> None:
        """Fetch the metric points of every trial component, 100 series per call."""
        answer = _read(self._folder / "search/ExperimentTrialComponent.json") or {}
        for row in (row["TrialComponent"] for row in answer.get("Results", ())):
            names = sorted({m["MetricName"] for m in row.get("Metrics", ()) if "MetricName" in m})
            target = self._inside(f"metrics/{row['TrialComponentName']}.json")
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
            # The API takes at most 100 queries in a call.
            for start in range(0, len(queries), 100):
                batch = {"MetricQueries": queries[start : start + 100]}
                series = self._answered(
                    *("BatchGetMetrics", {"of": row["TrialComponentName"]}),
                    partial(self._clients["sagemaker-metrics"].batch_get_metrics, **batch),
                )
                results += series["MetricQueryResults"] if series else []
            # An incomplete answer is not stored, so that the next call asks again.
            if len(results) == len(queries):
                _write(target, {"MetricQueries": queries, "MetricQueryResults": results})

    def online(self, group: str) -> None:
        """Fetch every record of the online store, 100 at a time, until all are processed."""
        api = self._clients["sagemaker-featurestore-runtime"]
        file = self._inside(f"online/{group}.jsonl")
        records: list[str] = []
        token: dict[str, str] = {}
        while True:
            request = {"FeatureGroupName": group, **token}
            page = self._answered(
                "ListRecords", {"of": group}, partial(api.list_records, **request)
            )
            if page is None:
                return
            pending = list(page["RecordIdentifiers"])
            idle = 0
            while pending:
                ids = {"FeatureGroupName": group, "RecordIdentifiersValueAsString": pending[:100]}
                answer = self._answered(
                    *("BatchGetRecord", {"of": group}),
                    partial(api.batch_get_record, Identifiers=[ids]),
                )
                if answer is None:
                    return
                if errors := answer.get("Errors"):
                    raise Refused(f"BatchGetRecord of {group}: {errors[0]['ErrorCode']}.")
                records += [json.dumps(record, default=str) for record in answer["Records"]]
                idle = 0 if answer["Records"] else idle + 1
                if idle > _IDLE:
                    raise Refused(f"BatchGetRecord of {group} does not process records: try later.")
                # An overloaded store leaves some keys unprocessed. They are asked again at the end.
                pending = pending[100:] + [
                    name
                    for row in answer["UnprocessedIdentifiers"]
                    for name in row["RecordIdentifiersValueAsString"]
                ]
            if not page.get("NextToken"):
                break
            token = {"NextToken": page["NextToken"]}
        # One write at the end: a part of the records must not look like all of them.
        write_durably(file, "".join(f"{record}\n" for record in records), mode=0o600)


def _filled(text: str, bound: Mapping[str, str]) -> str:
    for name, value in bound.items():
        text = text.replace(f"{{{name}}}", value)
        text = text.replace(f"{{{name}##*/}}", value.rpartition("/")[2])
    return text


def _read(file: Path) -> dict[str, Any] | None:
    """Return a stored answer, or None if there is none that can be read."""
    try:
        answer = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None


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
    return f"{operation}: {first}. Fetched answers are kept: repeat the command."
