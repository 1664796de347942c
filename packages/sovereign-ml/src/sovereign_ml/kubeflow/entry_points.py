"""Functions that components call inside a task. Each turns on the egress guard first."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from sovereign_ml.config import settings as configuration
from sovereign_ml.data_subjects import bucket_sync
from sovereign_ml.data_subjects.bucket_sync import GovernanceCopy
from sovereign_ml.egress import allow_list
from sovereign_ml.monitoring.alarms import refuse_training
from sovereign_ml.monitoring.reporting.bucket_copy import MonitorCopy
from sovereign_ml.monitoring.reporting.daily import refuse_unanswered, run_and_tell
from sovereign_ml.monitoring.watch import Watch
from sovereign_ml.pipeline import flow, source
from sovereign_ml.project import load_project
from sovereign_ml.storage import dvc, s3

MONITOR_READERS = ("train", "card", "register")
"""The steps that read alarms and reports of the monitor."""


def run_step(verb: str, inputs: dict[str, str], output: str) -> None:
    """Run the step ``verb`` on Kubeflow's paths, with the settings of config.toml."""
    with allow_list.task(configuration.ENVIRONMENT):
        settings = configuration.load()
        project = load_project(settings.root)
        # Alarms are not in the image. Training on bad data is refused, and the card names them.
        if verb in MONITOR_READERS:
            MonitorCopy(settings.project.name, settings.data_versions).sync()
        if verb == "train":
            refuse_training(settings.root)
        # The image may be older than the newest erasure or objection.
        if verb in bucket_sync.READERS:
            GovernanceCopy(
                project=settings.project.name,
                versions=settings.data_versions,
                suppression=settings.suppression,
                source=settings.path("source"),
            ).fetch()
        step = project.step(verb)
        paths = [
            source.refresh(settings) if noun == "source" else Path(inputs[noun])
            for noun in step.reads
        ]
        values = flow.provided(settings, project)
        flow.run_on(step, project, values, paths, Path(output))


def fetch(version: str, output: str) -> None:
    """Fetch the folder with the DVC hash ``version`` from the remote of the profile."""
    with allow_list.task(configuration.ENVIRONMENT):
        dvc.fetch(configuration.load().storage, version, Path(output))


def watch(bundle: str, valid: str) -> None:
    """Run the monitor on Kubeflow's paths. Raises Refused while an alarm has no answer."""
    with allow_list.task(configuration.ENVIRONMENT, command="monitor"):
        settings = configuration.load()
        paths = settings.paths.model_copy(update={"bundle": Path(bundle), "valid": Path(valid)})
        settings = settings.model_copy(update={"paths": paths})
        project = load_project(settings.root)
        now = datetime.now(UTC)
        monitor = Watch(settings, project, Path(bundle))
        report, failed = run_and_tell(monitor, source.watched_until(settings, now), now)
        print(f"The monitor on {report.day}: {report.status}.")  # noqa: T201  the log of the task
        for line in failed:
            print(f"Not delivered: {line}", file=sys.stderr)  # noqa: T201
        refuse_unanswered(report, failed)


def write_record(state: str, job: str, error: str, revision: str, version: str) -> str:
    """Write the record of a run as JSON beside the data, and return its address."""
    with allow_list.task(configuration.ENVIRONMENT):
        settings = configuration.load()
        run = job.rpartition("/")[2]
        record = {
            "state": state,
            "run": run,
            "error": error,
            "git_commit": revision,
            "data_version": version,
            "finished": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "image": settings.pipeline.image,
        }
        key = f"pipeline-runs/{settings.project.name}/{run}.json"
        return s3.write_json(settings.storage, key, record)
