"""The script that deletes a dump's resources, in the order that the API needs. It is only printed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sovereign_ml.errors import Refused
from sovereign_ml.leaving.dump import Dump
from sovereign_ml.leaving.progress import unknown_resources


def _word(text: str) -> str:
    """Return a name of AWS as a word of the shell. Raises Refused for an impossible name."""
    # A dump comes from another machine: a name must not become a command or an option.
    if not re.fullmatch(r"[\w:/.@+=,-]+", text) or text.startswith("-"):
        raise Refused(f"{text!r} cannot be a name of SageMaker: check the dump before deleting.")
    return text


def _prefix(uri: str, *below: str) -> str:
    """Return an address in S3 as a word of the shell. Raises Refused for an impossible one."""
    # Two slashes would be another prefix, of which nothing exists.
    address = "/".join([uri.rstrip("/"), *below])
    # A key may have any signs, such as a space. Without one it would be the whole bucket.
    if not re.fullmatch(r"s3://[\w.-]+/[^\x00-\x1f\x7f]+", address, re.ASCII | re.DOTALL):
        raise Refused(f"{uri!r} cannot be a place in S3: check the dump before deleting.")
    return shlex.quote(address)


def deletion_script(dump: Dump) -> str:
    """Return a script that deletes the dump's resources in the API's order. It is only printed."""
    # What has the same names in another region would be deleted.
    named, seen = dump.region, dump.region_of_records
    if not named or (seen and seen != named):
        raise Refused(
            f"{dump.folder}/about.json names {named or 'no region'}, and the ARNs of the dump "
            f'{seen or "none"}: set its "region" to the one that the dump was made in.'
        )
    region = _word(named)
    by_hand = [
        f"# By hand: {count} of {_word(kind.partition(' ')[0])}, for which no command is known here."
        for kind, count in unknown_resources(dump).items()
        if count
    ]
    by_hand += [f"# By hand: {line}" for line in _shared_places(dump)]
    commands = map("run {}".format, _deletions(dump))
    return "\n".join([_HEAD.format(region=region), *commands, *by_hand, _TAIL])


def count_of(script: str) -> int:
    """Return the number of commands in a deletion script."""
    return sum(line.startswith("run ") for line in script.splitlines())


def is_deletion_script(content: bytes) -> bool:
    """Return whether an earlier call wrote this file, whatever its account and region."""
    return content.startswith(_HEAD.partition("set -u")[0].encode())


# There is no `set -e`: a resource that somebody has deleted must not stop the others.
_HEAD = """\
#!/bin/sh
# Deletes the resources in the dump. Read it first, then run it where the AWS CLI has the rights.
# Metadata, rows and files are lost for good. After an interruption, run it again.
set -u
failed=0
run() {{ aws --region {region} "$@" || failed=$((failed + 1)); }}"""
_TAIL = """\
[ "$failed" -eq 0 ] || {
  echo "$failed commands failed, perhaps on deleted resources: make a new dump to check." >&2
  exit 1
}
"""


def _deletions(dump: Dump) -> Iterator[str]:
    search, below = dump.found, dump.below
    # A schedule uses its endpoint, and a live endpoint its configuration. So they go in this order.
    yield from _each(below("monitoring").values(), "monitoring-schedule", "MonitoringScheduleName")
    yield from _each(dump.endpoints().values(), "endpoint", "EndpointName")
    yield from _each(below("endpoint-configs").values(), "endpoint-config", "EndpointConfigName")
    # The search answers with a dashboard model, which contains the model.
    yield from _each((row.get("Model", row) for row in search("Model")), "model", "ModelName")
    yield from _each(dump.pipelines().values(), "pipeline", "PipelineName")
    for row in dump.answer("lineage.json").get("AssociationSummaries", ()):
        source, target = _word(row["SourceArn"]), _word(row["DestinationArn"])
        yield f"sagemaker delete-association --source-arn {source} --destination-arn {target}"
    # The API deletes no component that is in a trial, and no trial that has components.
    for trial in search("ExperimentTrial"):
        for row in trial.get("TrialComponentSummaries", ()):
            yield (
                f"sagemaker disassociate-trial-component --trial-name {_word(trial['TrialName'])} "
                f"--trial-component-name {_word(row['TrialComponentName'])}"
            )
    yield from _each(search("ExperimentTrialComponent"), "trial-component", "TrialComponentName")
    yield from _each(search("ExperimentTrial"), "trial", "TrialName")
    yield from _each(search("Experiment"), "experiment", "ExperimentName")
    for arn in dump.packages():
        yield f"sagemaker delete-model-package --model-package-name {_word(arn)}"
    yield from _each(search("ModelPackageGroup"), "model-package-group", "ModelPackageGroupName")
    yield from _each(dump.cards().values(), "model-card", "ModelCardName")
    for noun, key, jobs in (
        ("processing-job", "ProcessingJob", list(below("processing-jobs").values())),
        ("training-job", "TrainingJob", search("TrainingJob")),
    ):
        running = [row for row in jobs if row.get(f"{key}Status") in ("InProgress", "Stopping")]
        # A running job cannot be deleted.
        for row in running:
            name = f"--{noun}-name {_word(row[f'{key}Name'])}"
            yield f"sagemaker stop-{noun} {name}"
            yield f"sagemaker wait {noun}-completed-or-stopped {name}"
        yield from _each(jobs, noun, f"{key}Name")
    yield from _each(dump.feature_groups().values(), "feature-group", "FeatureGroupName")
    yield from _data_deletions(dump)
    yield from _studio_deletions(dump)


def _each(rows: Iterable[Mapping[str, Any]], noun: str, key: str) -> Iterator[str]:
    for row in rows:
        if name := row.get(key):
            yield f"sagemaker delete-{noun} --{noun}-name {_word(name)}"


def _data_deletions(dump: Dump) -> Iterator[str]:
    """Yield commands for data that stays when its group or endpoint is deleted.

    Old versions of objects need a lifecycle rule of the bucket.
    """
    for row in dump.feature_groups().values():
        store = row.get("OfflineStoreConfig", {})
        if uri := store.get("S3StorageConfig", {}).get("ResolvedOutputS3Uri"):
            yield f"s3 rm --recursive {_prefix(uri)}"
            # The metadata of an Iceberg table hold smallest and largest values of each column.
            if uri.rstrip("/").endswith("/data") and store.get("TableFormat") == "Iceberg":
                yield f"s3 rm --recursive {_prefix(uri.rstrip('/').removesuffix('data'), 'metadata')}"
        if table := store.get("DataCatalogConfig"):
            database, name = _word(table["Database"]), _word(table["TableName"])
            yield f"glue delete-table --database-name {database} --name {name}"
    for name, row in dump.endpoints().items():
        if uri := row.get("DataCaptureConfig", {}).get("DestinationS3Uri"):
            yield f"s3 rm --recursive {_prefix(uri, _word(name))}"


def _shared_places(dump: Dump) -> Iterator[str]:
    """Yield places with data of people that hold other files too, so that no command empties them."""
    for row in dump.below("endpoint-configs").values():
        output = row.get("AsyncInferenceConfig", {}).get("OutputConfig", {})
        for member in ("S3OutputPath", "S3FailurePath"):
            if member in output:
                place = re.sub(r"\s", " ", output[member])
                yield f"answers of an asynchronous endpoint, below {place}"


def _studio_deletions(dump: Dump) -> Iterator[str]:
    sm = "sagemaker"
    # A space or profile with an app cannot be deleted, nor a domain that has any of them.
    for row in dump.answer("studio/apps.json").get("Apps", ()):
        # A deleted app stays in the list for a day.
        if row.get("Status") == "Deleted":
            continue
        owner, name = "space", row.get("SpaceName")
        if not name:
            owner, name = "user-profile", row["UserProfileName"]
        yield (
            f"{sm} delete-app --domain-id {_word(row['DomainId'])} --{owner}-name {_word(name)} "
            f"--app-type {_word(row['AppType'])} --app-name {_word(row['AppName'])}"
        )
    for row in dump.answer("studio/spaces.json").get("Spaces", ()):
        domain, name = _word(row["DomainId"]), _word(row["SpaceName"])
        yield f"{sm} delete-space --domain-id {domain} --space-name {name}"
    for row in dump.answer("studio/user-profiles.json").get("UserProfiles", ()):
        domain, name = _word(row["DomainId"]), _word(row["UserProfileName"])
        yield f"{sm} delete-user-profile --domain-id {domain} --user-profile-name {name}"
    for row in dump.answer("studio/domains.json").get("Domains", ()):
        # By default the home directories would stay.
        yield (
            f"{sm} delete-domain --domain-id {_word(row['DomainId'])} "
            "--retention-policy HomeEfsFileSystem=Delete"
        )
    for row in dump.answer("studio/notebook-instances.json").get("NotebookInstances", ()):
        name = _word(row["NotebookInstanceName"])
        yield f"{sm} stop-notebook-instance --notebook-instance-name {name}"
        yield f"{sm} wait notebook-instance-stopped --notebook-instance-name {name}"
        yield f"{sm} delete-notebook-instance --notebook-instance-name {name}"
    rows = dump.answer("studio/code-repositories.json").get("CodeRepositorySummaryList", ())
    yield from _each(rows, "code-repository", "CodeRepositoryName")
    scripts = list(dump.below("lifecycle").values())
    yield from _each(scripts, "studio-lifecycle-config", "StudioLifecycleConfigName")
    yield from _each(
        *(scripts, "notebook-instance-lifecycle-config", "NotebookInstanceLifecycleConfigName")
    )
    for row in dump.answer("mlflow/servers.json").get("TrackingServerSummaries", ()):
        name = _word(row["TrackingServerName"])
        yield f"{sm} delete-mlflow-tracking-server --tracking-server-name {name}"
    for row in dump.answer("mlflow/apps.json").get("Summaries", ()):
        yield f"{sm} delete-mlflow-app --arn {_word(row['Arn'])}"
