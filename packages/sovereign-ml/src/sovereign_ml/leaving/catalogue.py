"""Which questions to ask of SageMaker, and under which path of the dump each answer is kept.

`churn leave fetch` and the script of `churn leave script` walk the same tree, so both write the same folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from string import Formatter

__all__ = ["QUESTIONS", "REGION", "SEARCHED", "ApiQuestion", "operation_of", "script"]

REGION = re.compile(r"[a-z]{2,4}(-[a-z]+){1,3}-\d")
SEARCHED = (
    *("Experiment", "ExperimentTrial", "ExperimentTrialComponent", "TrainingJob"),
    *("ModelPackageGroup", "ModelPackage", "ModelCard", "Pipeline", "PipelineExecution"),
    *("FeatureGroup", "FeatureMetadata", "Endpoint", "Model"),
)
"""Resources that `Search` returns as whole records."""


@dataclass(frozen=True)
class ApiQuestion:
    """One operation of the API. ``arguments`` may hold ``{names}`` that the questions above it bound.

    The answer goes to ``path``, if it has one. For each item under ``items`` of the answer, ``binds`` takes the
    value of ``key``, and ``then`` is asked.
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


def _each(operation: str, items: str, key: str, binds: str, *then: ApiQuestion) -> ApiQuestion:
    return ApiQuestion(operation, items=items, key=key, binds=binds, then=then)


QUESTIONS = (
    *(ApiQuestion("Search", f"search/{name}.json", {"Resource": name}) for name in SEARCHED),
    _each(
        *("ListProcessingJobs", "ProcessingJobSummaries", "ProcessingJobName", "job"),
        ApiQuestion(
            "DescribeProcessingJob", "processing-jobs/{job}.json", {"ProcessingJobName": "{job}"}
        ),
    ),
    _each(
        *("ListModelCards", "ModelCardSummaries", "ModelCardName", "card"),
        ApiQuestion(
            "ListModelCardVersions",
            arguments={"ModelCardName": "{card}"},
            items="ModelCardVersionSummaryList",
            key="ModelCardVersion",
            binds="version",
            then=(
                ApiQuestion(
                    "DescribeModelCard",
                    "cards/{card}/{version}.json",
                    {"ModelCardName": "{card}", "ModelCardVersion": "{version}"},
                ),
            ),
        ),
    ),
    _each(
        *("ListModelPackageGroups", "ModelPackageGroupSummaryList", "ModelPackageGroupName"),
        "group",
        ApiQuestion(
            "ListModelPackages",
            arguments={"ModelPackageGroupName": "{group}"},
            items="ModelPackageSummaryList",
            key="ModelPackageArn",
            binds="arn",
            then=(
                ApiQuestion(
                    "DescribeModelPackage",
                    "packages/{group}/{arn##*/}.json",
                    {"ModelPackageName": "{arn}"},
                ),
            ),
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
    _each(
        *("ListFeatureGroups", "FeatureGroupSummaries", "FeatureGroupName", "group"),
        ApiQuestion(
            "DescribeFeatureGroup", "feature-groups/{group}.json", {"FeatureGroupName": "{group}"}
        ),
    ),
    ApiQuestion(
        *("ListDomains", "studio/domains.json", {}, "Domains", "DomainId", "domain"),
        then=(
            ApiQuestion("DescribeDomain", "studio/domains/{domain}.json", {"DomainId": "{domain}"}),
            ApiQuestion(
                "ListUserProfiles",
                arguments={"DomainIdEquals": "{domain}"},
                items="UserProfiles",
                key="UserProfileName",
                binds="profile",
                then=(
                    ApiQuestion(
                        "DescribeUserProfile",
                        "studio/user-profiles/{domain}/{profile}.json",
                        {"DomainId": "{domain}", "UserProfileName": "{profile}"},
                    ),
                ),
            ),
        ),
    ),
    ApiQuestion("ListUserProfiles", "studio/user-profiles.json"),
    ApiQuestion("ListSpaces", "studio/spaces.json"),
    ApiQuestion("ListApps", "studio/apps.json"),
    ApiQuestion("ListNotebookInstances", "studio/notebook-instances.json"),
    ApiQuestion("ListCodeRepositories", "studio/code-repositories.json"),
    _each(
        *("ListStudioLifecycleConfigs", "StudioLifecycleConfigs", "StudioLifecycleConfigName"),
        "name",
        ApiQuestion(
            "DescribeStudioLifecycleConfig",
            "lifecycle/studio-{name}.json",
            {"StudioLifecycleConfigName": "{name}"},
        ),
    ),
    _each(
        "ListNotebookInstanceLifecycleConfigs",
        "NotebookInstanceLifecycleConfigs",
        "NotebookInstanceLifecycleConfigName",
        "name",
        ApiQuestion(
            "DescribeNotebookInstanceLifecycleConfig",
            "lifecycle/notebook-{name}.json",
            {"NotebookInstanceLifecycleConfigName": "{name}"},
        ),
    ),
    _each(
        *("ListEndpoints", "Endpoints", "EndpointName", "endpoint"),
        ApiQuestion(
            "DescribeEndpoint", "endpoints/{endpoint}.json", {"EndpointName": "{endpoint}"}
        ),
    ),
    _each(
        *("ListEndpointConfigs", "EndpointConfigs", "EndpointConfigName", "name"),
        ApiQuestion(
            "DescribeEndpointConfig",
            "endpoint-configs/{name}.json",
            {"EndpointConfigName": "{name}"},
        ),
    ),
    _each(
        *("ListMonitoringSchedules", "MonitoringScheduleSummaries", "MonitoringScheduleName"),
        "name",
        ApiQuestion(
            "DescribeMonitoringSchedule",
            "monitoring/{name}.json",
            {"MonitoringScheduleName": "{name}"},
        ),
    ),
    ApiQuestion("ListAssociations", "lineage.json"),
    ApiQuestion("ListMlflowTrackingServers", "mlflow/servers.json"),
    ApiQuestion("ListMlflowApps", "mlflow/apps.json"),
)
"""What a dump asks. Questions without a path only list the names that the ones below them need."""


def _flat(questions: tuple[ApiQuestion, ...]) -> Iterator[ApiQuestion]:
    for question in questions:
        yield question
        yield from _flat(question.then)


_PATTERNS = sorted(
    ((re.sub(r"\{[^}]*\}", "*", q.path), q.operation) for q in _flat(QUESTIONS) if q.path),
    key=lambda row: -len(row[0]),
)
# As older folders have it: the kind of a script that runs at the start is not in its name.
_PATTERNS.append(("lifecycle/*.json", ""))


def operation_of(path: str) -> str | None:
    """Return the operation whose answer a file of the dump holds, empty if its content says, None if unknown."""
    for pattern, operation in _PATTERNS:
        if path.count("/") == pattern.count("/") and fnmatchcase(path, pattern):
            return operation
    return None


_HEAD = """\
#!/bin/sh
# Takes out of SageMaker what `churn leave` reads. It only lists and describes; it changes nothing.
# Run it where the AWS CLI has credentials:  sh leave.sh [FOLDER]
# The folder holds personal data: keep it outside of the project, and delete it at the end.
set -u
umask 077
dump=${{1:-dump}}
region={region}
ask() {{ # ask PATH COMMAND...: the answer goes to PATH; what the CLI refuses is noted
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
  echo "$dump is a whole dump already: name a new folder." >&2
  exit 2
}}
mkdir -p "$dump"
rm -f "$dump/refused.txt" "$dump/errors.log"
began=$(date -u +%Y-%m-%dT%H:%M:%SZ)
"""
# Last: a folder without it is an interrupted dump, and every other command refuses it.
_TAIL = """\
printf '{"made": "%s", "tool": "%s", "region": "%s"}\\n' \\
  "$began" "$(aws --version 2>&1)" "$region" > "$dump/about.json"
[ ! -s "$dump/refused.txt" ] || { echo "Not answered:"; cat "$dump/refused.txt"; }
"""
_DATA = """\
# Data of people: the offline stores, and what endpoints captured.
copy() { # copy ADDRESS FOLDER
  case "$1" in s3://*) aws --region "$region" s3 sync --only-show-errors "$1" "$dump/$2" ||
    printf 's3 sync %s\\n' "$2" >> "$dump/refused.txt" ;; esac
}
for group in $(names 'FeatureGroupSummaries[].FeatureGroupName' list-feature-groups); do
  copy "$(names OfflineStoreConfig.S3StorageConfig.ResolvedOutputS3Uri \\
    describe-feature-group --feature-group-name "$group")" "offline/$group"
done
for endpoint in $(names 'Endpoints[].EndpointName' list-endpoints); do
  copy "$(names DataCaptureConfig.DestinationS3Uri \\
    describe-endpoint --endpoint-name "$endpoint")/$endpoint" "capture/$endpoint"
done
"""


def script(region: str, *, data: bool = False) -> str:
    """Return a POSIX script that writes the dump with the AWS CLI, and with ``data`` the rows of people too."""
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
    return '"' + re.sub(r"\{([^}]*)\}", r"${\1}", text) + '"'
