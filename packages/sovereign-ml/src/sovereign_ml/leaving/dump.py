"""The dump: a folder of AWS's answers as JSON, checked against botocore's shapes before use."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from sovereign_ml.errors import Misuse
from sovereign_ml.leaving.catalogue import QUESTIONS, SEARCHED, operation_of
from sovereign_ml.leaving.minimise import is_person_key

FRESH = timedelta(days=7)
MOST_SHOWN = 20
_CLOCKS = timedelta(hours=1)
"""Time by which the clock of the machine that made the dump may be ahead of ours."""
_OLD_CLI = {1: (1, 37), 2: (2, 23)}
"""Oldest versions of the CLI whose answers have all fields that are read (January 2025)."""
# The CLI of the dump may be older or newer than our botocore. These problems are only notes.
_MAY_LACK = {"missing required field", "unknown field", "empty input", "more than one input"}
_NOT_STORED = re.compile("[\x00\ud800-\udfff]")
_CONTENT = {
    "StudioLifecycleConfigName": "DescribeStudioLifecycleConfig",
    "NotebookInstanceLifecycleConfigName": "DescribeNotebookInstanceLifecycleConfig",
}


@cache
def service_model(name: str = "sagemaker") -> Any:
    """Return botocore's model of an AWS service, without the network."""
    from botocore.session import Session

    return Session().get_service_model(name)


def utc(value: Any) -> datetime | None:
    """Return a time of either CLI, seconds or ISO 8601, in UTC, or None for an empty value.

    Raises ValueError for anything else.
    """
    if value is None or value == "":
        return None
    if isinstance(value, int | float):
        try:
            return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=round(value * 1000))
        except OverflowError:
            raise ValueError(f"{value} is no time") from None
    text = str(value)
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return utc(float(text))
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def ms(value: Any) -> int | None:
    """Return a time of either CLI in milliseconds since 1970."""
    moment = utc(value)
    if moment is None:
        return None
    return (moment - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)


class Record(dict[str, Any]):
    """A record of an answer. Reading a missing member raises Misuse with the file's name."""

    file = ""

    def __missing__(self, name: str) -> Any:
        raise Misuse(
            f"{self.file}: a record lacks {name}, which SageMaker always gives: "
            "make the dump again."
        )

    def merged(self, other: Record) -> Record:
        """Return this record with the members of ``other``, which override its own."""
        record = Record({**self, **other})
        record.file = other.file or self.file
        return record


@dataclass(frozen=True)
class Dump:
    """A checked dump, with ``answers`` by path, and ``notes`` on tolerated deviations."""

    folder: Path
    about: dict[str, Any]
    answers: dict[str, Record]
    notes: tuple[str, ...] = field(default=())
    person_keys: frozenset[str] = frozenset()
    """Further names of keys of feature groups that are a person's, from config.toml."""

    def found(self, resource: str) -> list[Record]:
        """Return the complete records of ``resource`` from the search."""
        answer = self.answer(f"search/{resource}.json")
        member = {"ExperimentTrial": "Trial", "ExperimentTrialComponent": "TrialComponent"}
        name = member.get(resource, resource)
        rows = [row.get(name) for row in answer.get("Results", ())]
        return [row for row in rows if row]

    def answer(self, path: str) -> Record:
        """Return the answer at ``path``, or an empty record if the dump has none."""
        # A refused question has no file. `gaps` names it, so an empty answer hides nothing.
        return self.answers.get(path, Record())

    def below(self, folder: str) -> dict[str, Record]:
        """Return the answers whose path starts with ``folder``, in the order of their paths."""
        return {p: a for p, a in self.answers.items() if p.startswith(folder.rstrip("/") + "/")}

    def feature_groups(self) -> dict[str, Record]:
        """Return every feature group by name."""
        return self._both("FeatureGroup", "feature-groups", "FeatureGroupName")

    def endpoints(self) -> dict[str, Record]:
        """Return every endpoint by name."""
        return self._both("Endpoint", "endpoints", "EndpointName")

    def pipelines(self) -> dict[str, Record]:
        """Return every pipeline by name."""
        return self._both("Pipeline", "pipelines", "PipelineName")

    def packages(self) -> dict[str, Record]:
        """Return every model package by ARN."""
        return self._both("ModelPackage", "packages", "ModelPackageArn")

    def cards(self) -> dict[str, Record]:
        """Return every model card by name, in one of its versions."""
        return self._both("ModelCard", "cards", "ModelCardName")

    def _both(self, resource: str, folder: str, key: str) -> dict[str, Record]:
        """Return the records of a resource by ``key``, merged from search and descriptions.

        An account may refuse one of the two: IAM cannot limit a search to some resources.
        """
        records = {row[key]: row for row in self.found(resource)}
        for row in self.below(folder).values():
            # Deeper answers about a pipeline have no name, and a cut description is incomplete.
            if key in row and not row.get("NextToken"):
                records[row[key]] = records.get(row[key], Record()).merged(row)
        return dict(sorted(records.items()))

    def is_about_people(self, group: Record) -> bool:
        """Return whether the key of a feature group is a person's, by its name."""
        key = str(group.get("RecordIdentifierFeatureName", ""))
        return key in self.person_keys or is_person_key(key)

    @property
    def made(self) -> datetime:
        """Return the time of the dump (UTC). Raises Misuse if ``about.json`` has none."""
        moment = utc(self.about.get("made"))
        if moment is None:
            raise Misuse(f"{self.folder}/about.json does not say when the dump was made.")
        return moment

    @property
    def account(self) -> str:
        """Return a hash of the account's number, which identifies it, "" if no ARN has one."""
        own = self._most_frequent(r"arn:aws[\w-]*:sagemaker:[\w-]*:(\d{12}):")
        return hashlib.sha256(own.encode()).hexdigest()[:16] if own else ""

    @property
    def region(self) -> str:
        """Return the region that ``about.json`` names, "" if it names none."""
        return str(self.about.get("region") or "")

    @property
    def region_of_records(self) -> str:
        """Return the region of most ARNs, "" if no ARN has one."""
        return self._most_frequent(r"arn:aws[\w-]*:sagemaker:([a-z][\w-]+):\d{12}:")

    def _most_frequent(self, pattern: str) -> str:
        # Other accounts share models and feature groups, so the most frequent value is the own.
        values = Counter(
            value
            for answer in self.answers.values()
            for value in re.findall(pattern, json.dumps(answer))
        )
        return min(values, key=lambda value: (-values[value], value), default="")

    @property
    def digest(self) -> str:
        """Return a hash over the content of every answer."""
        # A copy with other spaces or another order of members is the same evidence.
        text = json.dumps(self.answers, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def gaps(self, now: datetime) -> list[str]:
        """Return reasons why the dump may be incomplete, such as its age or refused questions."""
        gaps = []
        if now - self.made > FRESH:
            # A waiver names this text, so it must be the same tomorrow.
            gaps.append(f"the dump is of {self.made:%Y-%m-%d}, more than {FRESH.days} days ago")
        if self.made - now > _CLOCKS:
            gaps.append("the dump was made in the future: correct the clock and make it again")
        lists = [q.path for q in QUESTIONS if q.path and "{" not in q.path]
        lacking = [path for path in lists if path not in self.answers]
        refused = self.folder / "refused.txt"
        if lacking:
            gaps.append(
                f"{len(lacking)} of {len(lists)} lists are not in the dump: {', '.join(lacking)}"
            )
        if refused.is_file() and (lines := refused.read_text(encoding="utf-8").splitlines()):
            gaps.append(
                f"{len(lines)} questions were refused or are unknown to the CLI: refused.txt"
            )
        if cli := re.search(r"aws-cli/(\d+)\.(\d+)", str(self.about.get("tool", ""))):
            version = (int(cli[1]), int(cli[2]))
            if version < _OLD_CLI.get(version[0], (0, 0)):
                gaps.append(
                    f"{cli[0]} drops fields that it does not know, such as ModelLifeCycle: "
                    "what is absent may only be unknown to it"
                )
        return gaps


def open_dump(folder: Path, person_keys: Iterable[str] = ()) -> Dump:
    """Return the dump in ``folder``. Raises Misuse with one line for each bad file."""
    if not folder.is_dir():
        raise Misuse(
            f"{folder} is no folder: make a dump with `churn leave script` or `churn leave fetch`."
        )
    answers: dict[str, Record] = {}
    problems: list[str] = []
    notes: list[str] = []
    about = Record()
    for path in sorted(folder.rglob("*.json")):
        name = path.relative_to(folder).as_posix()
        # A Mac writes ._Experiment.json beside Experiment.json on a disk of another system.
        if path.name.startswith("."):
            continue
        operation = operation_of(name)
        if operation is None and name.count("/") == 1 and name.startswith("search/"):
            # A resource that nothing here reads must still be counted.
            operation = "Search"
        is_known = name == "about.json" or name.startswith(("metrics/", "glue/"))
        # Rows, captured requests and notebooks are read by the commands that need them.
        if operation is None and not is_known:
            continue
        try:
            answer = _records(_parsed(path), name)
            if name == "about.json":
                about = answer
                utc(answer.get("made"))
            else:
                notes += [f"{name}: {note}" for note in _notes_on(operation or "", answer)]
                answers[name] = answer
        except RecursionError:
            problems.append(f"{name}: nested too deeply; an answer of AWS was expected")
        except ValueError as error:
            problems.append(f"{name}: {error}")
    # An incomplete description is harmless if the search has the whole group.
    searched = answers.get("search/FeatureGroup.json", Record()).get("Results", ())
    described = {row.get("FeatureGroup", {}).get("FeatureGroupName") for row in searched} - {None}
    problems += [
        f"{name}: the answer ends with NextToken, so it is incomplete; expected all pages "
        "(dump without --max-results)"
        for name, answer in answers.items()
        if answer.get("NextToken") and answer.get("FeatureGroupName") not in described
    ]
    if not about.get("made") and not problems:
        problems.append('about.json: not there or without "made"; expected {"made": "2026-…", …}')
    if not answers and not problems:
        problems.append(f"no answer of SageMaker; expected search/{SEARCHED[0]}.json and others")
    if problems:
        more = f"\n  … and {len(problems) - MOST_SHOWN} more" if len(problems) > MOST_SHOWN else ""
        first_problems = "\n  ".join(problems[:MOST_SHOWN])
        raise Misuse(f"{folder} is no usable dump:\n  {first_problems}{more}")
    return Dump(folder, about, answers, tuple(notes), frozenset(person_keys))


def _notes_on(operation: str, answer: Record) -> Iterator[str]:
    """Yield notes on missing or unknown members. Raises ValueError for a wrong type."""
    if "MetricQueryResults" in answer:
        # In botocore the metrics are a service of their own.
        shapes = service_model("sagemaker-metrics").operation_model("BatchGetMetrics")
        queries = {"MetricQueries": answer.get("MetricQueries", [])}
        yield from _held_to(shapes.input_shape, queries, "BatchGetMetrics asks")
        results = {"MetricQueryResults": answer["MetricQueryResults"]}
        yield from _held_to(shapes.output_shape, results, "BatchGetMetrics answers")
        return
    # In an answer of Glue only one address is read.
    if not operation and "Table" in answer:
        return
    if not operation and not answer:
        yield "the answer is empty"
        return
    operation = operation or next((_CONTENT[key] for key in _CONTENT if key in answer), "")
    if not operation:
        raise ValueError("unknown content; expected the answer of the operation of its folder")
    shape = service_model().operation_model(operation).output_shape
    # boto3 adds this member to every answer, and no shape has it.
    members = {key: value for key, value in answer.items() if key != "ResponseMetadata"}
    yield from _held_to(shape, members, f"{operation} answers")


def _held_to(shape: Any, members: dict[str, Any], source: str) -> Iterator[str]:
    from botocore.validate import ParamValidator

    try:
        report = ParamValidator().validate(members, shape)
    except RuntimeError as error:
        # botocore's error for a wrong time.
        raise ValueError(f"{error}; expected seconds or ISO 8601") from None
    # botocore's public interface has only one text of all errors together.
    for reason, where, details in report._errors:
        place = where.strip(".") or "top"
        if reason in _MAY_LACK or reason in ("invalid range", "invalid length"):
            word = details.get("missing_name") or details.get("required_name")
            word = word or details.get("unknown_param") or ""
            # botocore's model requires a NextToken, but the last page has none.
            if word != "NextToken":
                yield f"{place}: {reason} {word}".strip()
            continue
        valid = [_json_type(kind) for kind in details.get("valid_types", ())]
        expected = " or ".join(dict.fromkeys(valid)) or details.get("type_name", "its type")
        actual = _json_type(type(details.get("param")))
        raise ValueError(f"{place} is {actual}; expected {expected}, as {source}")
    _check_times(members, shape, "")


_JSON = {
    **{"dict": "an object", "Record": "an object", "list": "a list", "tuple": "a list"},
    **{"str": "text", "bool": "true or false"},
    **dict.fromkeys(("datetime", "timestamp-string"), "seconds or ISO 8601"),
}


def _json_type(kind: object) -> str:
    """Return JSON's name of a type that botocore names as ``<class 'list'>``."""
    name = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", str(kind))
    return _JSON.get(name, "a number")


def _check_times(value: Any, shape: Any, where: str) -> None:
    """Raise ValueError for a wrong time, because botocore's validator accepts some words."""
    kind = shape.type_name if shape is not None else ""
    if kind == "timestamp":
        try:
            utc(value)
        except (ValueError, OverflowError, TypeError):
            raise ValueError(f"{where} is no time; expected seconds or ISO 8601") from None
    elif kind == "structure" and isinstance(value, dict):
        for name, item in value.items():
            if name in shape.members:
                _check_times(item, shape.members[name], f"{where}.{name}".strip("."))
    # A list of texts holds no time, and some of these lists are long.
    elif kind == "list" and isinstance(value, list) and shape.member.type_name != "string":
        for item in value:
            _check_times(item, shape.member, f"{where}[]")


def whole_json(text: str) -> Any:
    """Return the value of a JSON text, with U+FFFD for half of a character and for NUL.

    A name that was cut within an emoji ends with half of one (a lone surrogate), which no file can
    hold. PostgreSQL takes no NUL. Raises ValueError.
    """
    value = json.loads(text)
    return _without_halves(value) if re.search(r"\\u(?:[dD]|0000)", text) else value


def _without_halves(value: Any) -> Any:
    if isinstance(value, dict):
        return {_without_halves(name): _without_halves(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_halves(item) for item in value]
    if isinstance(value, str):
        return _NOT_STORED.sub("\N{REPLACEMENT CHARACTER}", value)
    return value


def _parsed(path: Path) -> dict[str, Any]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ValueError(f"cannot be read ({reason}); expected a file of JSON") from None
    # PowerShell's `>` writes UTF-16.
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        answer = whole_json(raw.decode(encoding))
    except UnicodeDecodeError:
        raise ValueError("not UTF-8 text; expected JSON as the AWS CLI prints it") from None
    except json.JSONDecodeError as error:
        words = "empty" if not raw.strip() else f"not JSON (line {error.lineno}: {error.msg})"
        raise ValueError(f"{words}; expected JSON as the AWS CLI prints it") from None
    if not isinstance(answer, dict):
        raise ValueError(f"holds {_json_type(type(answer))}; expected an object")
    return answer


def _records(value: Any, file: str) -> Any:
    """Return the answer without nulls, which the older CLI writes for missing members.

    Among numbers a null is NaN, so that each value keeps its place.
    """
    if isinstance(value, dict):
        record = Record({k: _records(item, file) for k, item in value.items() if item is not None})
        record.file = file
        return record
    if isinstance(value, list):
        if any(isinstance(item, int | float) for item in value):
            return [math.nan if item is None else _records(item, file) for item in value]
        return [_records(item, file) for item in value if item is not None]
    return value
