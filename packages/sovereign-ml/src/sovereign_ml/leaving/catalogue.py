"""Catalogue of the questions to SageMaker, each with the path of its answer in the dump.

`churn leave fetch` and the script of `churn leave script` walk the same tree, so both write the
same folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from string import Formatter

REGION = re.compile(r"[a-z]{2,4}(-[a-z]+){1,3}-\d")
SEARCHED = (
    *("Experiment", "ExperimentTrial", "ExperimentTrialComponent", "TrainingJob"),
    *("ModelPackageGroup", "ModelPackage", "ModelCard", "Pipeline", "PipelineExecution"),
    *("FeatureGroup", "FeatureMetadata", "Endpoint", "Model"),
)
"""Resources that `Search` returns as whole records."""


@dataclass(frozen=True)
class ApiQuestion:
    """One operation of the API. ``arguments`` may hold ``{names}`` bound by the questions above it.

    The answer is written to ``path``, if there is one. For each item under ``items`` of the answer,
    ``binds`` gets the value of ``key``, and the questions ``then`` are asked.
    """

    operation: str
    path: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    items: str = ""
    key: str = ""
    binds: str = ""
    then: tuple[ApiQuestion, ...] = ()

    @property
    def command(self) -> str:
        """Return the name of the operation on the command line."""
        return _dashed(self.operation)


def _dashed(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


def _each(
    operation: str, items: str, key: str, binds: str, *then: ApiQuestion, **arguments: str
) -> ApiQuestion:
    """Return a question that only lists names, for each of which ``then`` is asked."""
    return ApiQuestion(operation, arguments=arguments, items=items, key=key, binds=binds, then=then)


def _described(noun: str, items: str, path: str) -> ApiQuestion:
    """Return the question that lists a kind of resource and describes each, at ``path``."""
    key = f"{noun}Name"
    describe = ApiQuestion(f"Describe{noun}", f"{path}{{name}}.json", {key: "{name}"})
    return _each(f"List{noun}s", items, key, "name", describe)


QUESTIONS = (
    *(ApiQuestion("Search", f"search/{name}.json", {"Resource": name}) for name in SEARCHED),
    _described("ProcessingJob", "ProcessingJobSummaries", "processing-jobs/"),
    _each(
        *("ListModelCards", "ModelCardSummaries", "ModelCardName", "card"),
        _each(
            *("ListModelCardVersions", "ModelCardVersionSummaryList", "ModelCardVersion"),
            "version",
            ApiQuestion(
                "DescribeModelCard",
                "cards/{card}/{version}.json",
                {"ModelCardName": "{card}", "ModelCardVersion": "{version}"},
            ),
            ModelCardName="{card}",
        ),
    ),
    _each(
        *("ListModelPackageGroups", "ModelPackageGroupSummaryList", "ModelPackageGroupName"),
        "group",
        _each(
            # Without a group this operation lists only packages that have no version.
            *("ListModelPackages", "ModelPackageSummaryList", "ModelPackageArn", "arn"),
            ApiQuestion(
                "DescribeModelPackage",
                "packages/{group}/{arn##*/}.json",
                {"ModelPackageName": "{arn}"},
            ),
            ModelPackageGroupName="{group}",
        ),
    ),
    _each(
        *("ListPipelines", "PipelineSummaries", "PipelineName", "pipeline"),
        ApiQuestion(
            "DescribePipeline", "pipelines/{pipeline}.json", {"PipelineName": "{pipeline}"}
        ),
        ApiQuestion(
            "ListPipelineVersions",
            "pipelines/{pipeline}/versions.json",
            {"PipelineName": "{pipeline}"},
        ),
        ApiQuestion(
            "ListPipelineExecutions",
            "pipelines/{pipeline}/executions.json",
            {"PipelineName": "{pipeline}"},
            *("PipelineExecutionSummaries", "PipelineExecutionArn", "arn"),
            then=(
                ApiQuestion(
                    "ListPipelineExecutionSteps",
                    "pipelines/{pipeline}/steps/{arn##*/}.json",
                    {"PipelineExecutionArn": "{arn}"},
                ),
            ),
        ),
    ),
    _described("FeatureGroup", "FeatureGroupSummaries", "feature-groups/"),
    ApiQuestion(
        *("ListDomains", "studio/domains.json", {}, "Domains", "DomainId", "domain"),
        then=(
            ApiQuestion("DescribeDomain", "studio/domains/{domain}.json", {"DomainId": "{domain}"}),
            _each(
                *("ListUserProfiles", "UserProfiles", "UserProfileName", "profile"),
                ApiQuestion(
                    "DescribeUserProfile",
                    "studio/user-profiles/{domain}/{profile}.json",
                    {"DomainId": "{domain}", "UserProfileName": "{profile}"},
                ),
                DomainIdEquals="{domain}",
            ),
        ),
    ),
    # The progress counts this list. The question above only leads to the descriptions.
    ApiQuestion("ListUserProfiles", "studio/user-profiles.json"),
    ApiQuestion("ListSpaces", "studio/spaces.json"),
    ApiQuestion("ListApps", "studio/apps.json"),
    ApiQuestion("ListNotebookInstances", "studio/notebook-instances.json"),
    ApiQuestion("ListCodeRepositories", "studio/code-repositories.json"),
    _described("StudioLifecycleConfig", "StudioLifecycleConfigs", "lifecycle/studio-"),
    _described(
        *("NotebookInstanceLifecycleConfig", "NotebookInstanceLifecycleConfigs"),
        "lifecycle/notebook-",
    ),
    _described("Endpoint", "Endpoints", "endpoints/"),
    _described("EndpointConfig", "EndpointConfigs", "endpoint-configs/"),
    _described("MonitoringSchedule", "MonitoringScheduleSummaries", "monitoring/"),
    ApiQuestion("ListAssociations", "lineage.json"),
    ApiQuestion("ListMlflowTrackingServers", "mlflow/servers.json"),
    ApiQuestion("ListMlflowApps", "mlflow/apps.json"),
)
"""All questions of a dump. Those without a path only list names for the questions below them."""


def _flat(questions: tuple[ApiQuestion, ...]) -> Iterator[ApiQuestion]:
    for question in questions:
        yield question
        yield from _flat(question.then)


_PATTERNS = sorted(
    ((re.sub(r"\{[^}]*\}", "*", q.path), q.operation) for q in _flat(QUESTIONS) if q.path),
    key=lambda row: -len(row[0]),
)
# In older dumps the name of a lifecycle script does not tell its kind.
_PATTERNS.append(("lifecycle/*.json", ""))


def operation_of(path: str) -> str | None:
    """Return the operation of a file of the dump, "" if only its content tells, None if unknown."""
    for pattern, operation in _PATTERNS:
        # The * of fnmatch also stands for slashes, so the depth must agree too.
        if path.count("/") == pattern.count("/") and fnmatchcase(path, pattern):
            return operation
    return None


_HEAD = """\
#!/bin/sh
# Exports from SageMaker the data for `churn leave`. It lists and describes, and changes nothing.
# Run it where the AWS CLI has credentials:  sh leave.sh [FOLDER]
# The folder holds personal data: keep it outside the project, and delete it at the end.
set -u
umask 077
dump=${{1:-dump}}
region={region}
ask() {{ # ask PATH COMMAND...: write the answer to PATH, or list the command in refused.txt
  path="$dump/$1"; shift
  mkdir -p "${{path%/*}}"
  if aws --region "$region" --output json sagemaker "$@" > "$path.part" 2>> "$dump/errors.log"
  then mv "$path.part" "$path"
  else printf '%s\\n' "$*" >> "$dump/refused.txt"; rm -f "$path.part"; fi
}}
names() {{ # names QUERY COMMAND...
  query=$1; shift
  aws --region "$region" --output text sagemaker "$@" --query "$query" 2>> "$dump/errors.log" ||
    printf '%s\\n' "$*" >> "$dump/refused.txt"
}}
[ ! -e "$dump/about.json" ] || {{
  echo "$dump is a complete dump already: name a new folder." >&2
  exit 2
}}
mkdir -p "$dump"
rm -f "$dump/refused.txt" "$dump/errors.log"
began=$(date -u +%Y-%m-%dT%H:%M:%SZ)
"""
# about.json comes last: without it a folder is an interrupted dump, which every command refuses.
_TAIL = """\
printf '{"made": "%s", "tool": "%s", "region": "%s"}\\n' \\
  "$began" "$(aws --version 2>&1)" "$region" > "$dump/about.json"
[ ! -s "$dump/refused.txt" ] || { echo "Not answered:"; cat "$dump/refused.txt"; }
"""
_DATA = """\
# Data of people: the offline stores, and the requests that endpoints captured.
copy() { # copy ADDRESS FOLDER
  case "$1" in s3://*) aws --region "$region" s3 sync --only-show-errors "$1" "$dump/$2" ||
    printf 's3 sync %s\\n' "$2" >> "$dump/refused.txt" ;; esac
}
for group in $(names 'FeatureGroupSummaries[].FeatureGroupName' list-feature-groups); do
  copy "$(names OfflineStoreConfig.S3StorageConfig.ResolvedOutputS3Uri \\
    describe-feature-group --feature-group-name "$group")" "offline/$group"
done
for endpoint in $(names 'Endpoints[].EndpointName' list-endpoints); do
  capture=$(names DataCaptureConfig.DestinationS3Uri \\
    describe-endpoint --endpoint-name "$endpoint")
  copy "${capture%/}/$endpoint" "capture/$endpoint"
done
"""


def script(region: str, *, data: bool = False) -> str:
    """Return a POSIX script that writes the dump with the AWS CLI, with ``data`` also of people."""
    lines = [_HEAD.format(region=region)]
    for question in QUESTIONS:
        lines += _lines(question, "")
    if data:
        lines.append(_DATA)
    return "\n".join([*lines, _TAIL])


def _lines(question: ApiQuestion, indent: str) -> Iterator[str]:
    words = [question.command]
    for name, value in question.arguments.items():
        words += [f"--{_dashed(name)}", _shell(value)]
    command = " ".join(words)
    if question.path:
        yield f"{indent}ask {_shell(question.path)} {command}"
    if question.then:
        query = f"'{question.items}[].{question.key}'"
        yield f"{indent}for {question.binds} in $(names {query} {command}); do"
        for inner in question.then:
            yield from _lines(inner, indent + "  ")
        yield f"{indent}done"


def _shell(text: str) -> str:
    """Return ``text`` as a word of the shell, its ``{names}`` as variables."""
    names = [name for _, name, _, _ in Formatter().parse(text) if name]
    if not names:
        return text
    # A POSIX shell cuts {arn##*/} itself. `fetch` does the same in Python.
    return '"' + re.sub(r"\{([^}]*)\}", r"${\1}", text) + '"'
