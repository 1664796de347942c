"""Import of a dump's experiments, trials and training jobs as MLflow runs with original times.

A run is imported once for each ARN. It is marked "importing" until it is complete, so that the next
call can delete an incomplete run and import it again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sovereign_ml.config.connections import Tracking
from sovereign_ml.data_subjects.stores import mlflow_runs
from sovereign_ml.data_subjects.stores.mlflow_runs import ARN_TAG
from sovereign_ml.errors import Misuse
from sovereign_ml.leaving.dump import Dump, Record, ms
from sovereign_ml.leaving.minimise import Minimiser, arn_mark, experiment_of, safe_keys
from sovereign_ml.registry import mlflow
from sovereign_ml.registry.mlflow import ImportedRun

STATE_TAG = "sagemaker.state"
LONGEST_JOB = timedelta(days=28)
"""Time after which SageMaker ends every job. A run that nothing changed for longer was killed."""
_TRACKED = ("tracking", "incomplete")
"""States of a run that the tracker of `churn leave tracker` writes, or wrote only in part."""
_STATUS = {"Completed": "FINISHED", "Failed": "FAILED", "Stopped": "KILLED", "Stopping": "KILLED"}
_LONGEST_VALUE = 6000
_CUT = "metric curve that SageMaker gave cut or not at all"
_SUMMARIES = ("Min", "Max", "Avg", "StdDev", "Count")


@dataclass
class Brought:
    """Counts of one call: imported, existing and repaired items, and skipped ones by reason."""

    imported: int = 0
    present: int = 0
    repaired: int = 0
    skipped: Counter[str] = field(default_factory=Counter)


def bring(
    dump: Dump,
    tracking: Tracking,
    minimiser: Minimiser,
    *,
    ended_after: datetime | None = None,
    only: str = "",
    progress: Callable[[int], object] = lambda _: None,
) -> Brought:
    """Write every finished run of the dump that was not imported yet.

    Runs that ended before ``ended_after`` are skipped: retention would delete them at once.
    ``only`` is SageMaker's name of one experiment. Raises Misuse if it has no run in the dump.
    """
    # This comes first, so that an incomplete run does not count as imported.
    result = Brought(repaired=clear_halves(tracking))
    present = {run.data.tags[ARN_TAG]: run for run in mlflow_runs.brought_runs(tracking)}
    imported: set[str] = set()
    cut = int(ended_after.timestamp() * 1000) if ended_after else 0
    experiments: set[str] = set()
    for source, run in past_runs(dump, tracking.project, minimiser):
        experiments.add(source)
        if only and source != only:
            continue
        before = present.get(run.tags[ARN_TAG])
        # A search that is paged while the account changes may list a record twice.
        if run.tags[ARN_TAG] in imported:
            continue
        if before is not None and not (run.status and _is_cut(tracking, before, run)):
            result.present += 1
        elif not run.status:
            result.skipped["not finished yet"] += 1
        elif not run.start:
            # MLflow would take the time of the import.
            result.skipped["without any time in the dump"] += 1
        elif run.end < cut:
            result.skipped["ended before the retention period of runs; --older brings it"] += 1
        else:
            if before is not None:
                # Nothing is lost if the call is killed here: the dump has the whole run.
                mlflow_runs.delete(tracking, [before.info.run_id])
                result.repaired += 1
            mlflow.bring_run(tracking, run, STATE_TAG)
            imported.add(run.tags[ARN_TAG])
            result.imported += 1
            progress(result.imported)
    if only and only not in experiments:
        more = f" and {len(experiments) - 10} more" if len(experiments) > 10 else ""
        some = (", ".join(sorted(experiments)[:10]) or "none") + more
        raise Misuse(f"No run of experiment {only!r}: the dump has {some}.")
    return result


def clear_halves(tracking: Tracking) -> int:
    """Delete incomplete runs of an interrupted call for good, and return their number."""
    halves = [
        run.info.run_id
        for run in mlflow_runs.brought_runs(tracking)
        if run.data.tags.get(STATE_TAG) not in ("done", *_TRACKED)
    ]
    mlflow_runs.delete(tracking, halves)
    return len(halves)


def _is_cut(tracking: Tracking, run: Any, whole: ImportedRun) -> bool:
    """Return whether the tracker wrote only a part of ``run``, and the dump has no fewer points."""
    if run.data.tags.get(STATE_TAG) not in _TRACKED:
        return False
    api = mlflow.client(tracking)
    names = run.data.metrics
    return sum(len(api.get_metric_history(run.info.run_id, n)) for n in names) <= len(whole.points)


def past_runs(dump: Dump, project: str, minimiser: Minimiser) -> Iterator[tuple[str, ImportedRun]]:
    """Yield each run with SageMaker's name of its experiment, without a status if unfinished."""
    homes = _experiments_of(dump)
    jobs = {row["TrainingJobArn"]: row for row in dump.found("TrainingJob")}
    curves = _curves(dump, minimiser)
    sources: set[str] = set()
    for row in dump.found("ExperimentTrialComponent"):
        source = row.get("Source", {}).get("SourceArn", "")
        job = jobs.get(source, Record())
        sources.add(source)
        name = row["TrialComponentName"]
        home = homes.get(name) or "unassigned"
        points = curves.get(name, [])
        # A metric with a curve already has its last value.
        drawn = {point[0] for point in points}
        last = _last_values(row.get("Metrics", ()), row) or _finals(job)
        points = points + [point for point in last if point[0] not in drawn]
        record = _component(row, job)
        if record["status"] == "InProgress" and record["end"] < ms(dump.made - LONGEST_JOB):
            record["status"] = "Stopped"
        yield home, _run(project, home, record, points, minimiser)
    for arn, job in jobs.items():
        # The others were imported above, with the component that they belong to.
        if arn not in sources:
            home = job.get("ExperimentConfig", {}).get("ExperimentName") or "training-jobs"
            yield home, _run(project, home, _job(job), _finals(job), minimiser)


def _experiments_of(dump: Dump) -> dict[str, str]:
    """Return the experiment of each component, which is that of its first trial by name."""
    homes: dict[str, str] = {}
    for trial in sorted(dump.found("ExperimentTrial"), key=lambda row: str(row["TrialName"])):
        for summary in trial.get("TrialComponentSummaries", ()):
            name = summary.get("TrialComponentName", "")
            # A component may be in trials of several experiments, but a run of MLflow has only one.
            homes.setdefault(name, trial.get("ExperimentName", ""))
    for row in dump.found("ExperimentTrialComponent"):
        for parent in row.get("Parents", ()):
            homes.setdefault(row["TrialComponentName"], parent.get("ExperimentName", ""))
    return homes


def _component(row: Mapping[str, Any], job: Mapping[str, Any]) -> dict[str, Any]:
    # A job has its parameters as text only. The component's own ones may be numbers.
    parameters: dict[str, Any] = {**job.get("HyperParameters", {})}
    for name, value in row.get("Parameters", {}).items():
        parameters[name] = value.get("NumberValue", value.get("StringValue", ""))
    tags = {tag["Key"]: tag["Value"] for tag in row.get("Tags", ())}
    metadata = row.get("MetadataProperties", {})
    links = {
        f"{side}.{name}": artifact.get("Value", "")
        for side in ("InputArtifacts", "OutputArtifacts")
        for name, artifact in row.get(side, {}).items()
    }
    start = ms(row.get("StartTime")) or ms(row.get("CreationTime")) or 0
    return {
        "arn": row["TrialComponentArn"],
        "name": row.get("DisplayName") or row["TrialComponentName"],
        "start": start,
        "end": ms(row.get("EndTime")) or ms(row.get("LastModifiedTime")) or start,
        # A component made by hand has no status, but an EndTime once it is finished.
        "status": row.get("Status", {}).get("PrimaryStatus")
        or ("InProgress" if "EndTime" not in row and row.get("StartTime") else "Completed"),
        "params": parameters,
        "tags": tags,
        "links": links,
        "commit": metadata.get("CommitId", ""),
        "kind": row.get("Source", {}).get("SourceType", ""),
        "summaries": row.get("Metrics", ()),
        "staff": sum(bool(row.get(field)) for field in ("CreatedBy", "LastModifiedBy")),
        "free": int(bool(row.get("Status", {}).get("Message"))),
    }


def _job(job: Mapping[str, Any]) -> dict[str, Any]:
    start = ms(job.get("TrainingStartTime")) or ms(job.get("CreationTime")) or 0
    inputs = {
        f"InputArtifacts.{channel['ChannelName']}": uri
        for channel in job.get("InputDataConfig", ())
        if (uri := channel.get("DataSource", {}).get("S3DataSource", {}).get("S3Uri"))
    }
    model = job.get("ModelArtifacts", {}).get("S3ModelArtifacts")
    return {
        "arn": job["TrainingJobArn"],
        "name": job["TrainingJobName"],
        "start": start,
        "end": ms(job.get("TrainingEndTime")) or ms(job.get("LastModifiedTime")) or start,
        "status": job.get("TrainingJobStatus", "InProgress"),
        "params": {**job.get("HyperParameters", {}), **job.get("Environment", {})},
        "tags": {tag["Key"]: tag["Value"] for tag in job.get("Tags", ())},
        "links": inputs | ({"OutputArtifacts.model": model} if model else {}),
        "commit": "",
        "kind": "SageMakerTrainingJob",
        "summaries": (),
        "staff": 0,
        "free": int("FailureReason" in job),
    }


def _run(
    project: str,
    home: str,
    record: Mapping[str, Any],
    points: list[tuple[str, float, int, int]],
    minimiser: Minimiser,
) -> ImportedRun:
    minimiser.left_out["employee"] += record["staff"]
    minimiser.left_out["free text"] += record["free"]
    params = minimiser.values(record["params"])
    tags = minimiser.values(
        {
            # MLflow and the import read these tags: one of the team would name another parent run,
            # or a state in which the next call deletes the run.
            f"tag.{k}" if k.startswith(("sagemaker.", "mlflow.")) else k: v
            for k, v in record["tags"].items()
            # AWS writes these itself, such as sagemaker:user-profile-arn with an employee's name.
            if not k.startswith(("sagemaker:", "aws:"))
        }
    )
    for summary in record["summaries"]:
        for stat in _SUMMARIES:
            if stat in summary:
                name = minimiser.metric(summary.get("MetricName", ""))
                tags[f"metric.{name}.{stat.lower()}"] = repr(summary[stat])
    keys, originals = safe_keys(params)
    # MLflow refuses times before 1970, and its databases refuse the same point twice.
    usable = [point for point in dict.fromkeys(points) if point[2] >= 0]
    dropped = len(points) - len(usable)
    minimiser.left_out["metric point that is there twice or before 1970"] += dropped
    named = {name: minimiser.metric(name) for name in dict.fromkeys(row[0] for row in usable)}
    metrics, renamed = safe_keys(dict.fromkeys(named.values(), ""))
    key_of = {renamed.get(key, key): key for key in metrics}
    tags |= {f"original.{key}": original for key, original in {**originals, **renamed}.items()}
    commit = str(record["commit"])
    # Another value may be any text.
    if re.fullmatch(r"[0-9a-f]{7,64}", commit):
        tags["sagemaker.commit"] = commit
    safe, _ = safe_keys(tags)
    return ImportedRun(
        experiment=experiment_of(project, home, minimiser),
        name=minimiser.title(record["name"]),
        start=record["start"],
        end=record["end"],
        status=_STATUS.get(record["status"], ""),
        params={key: _cut(value, minimiser) for key, value in keys.items()},
        points=[(key_of[named[row[0]]], *row[1:]) for row in usable],
        tags={
            **{key: _cut(value, minimiser, 4900) for key, value in safe.items()},
            ARN_TAG: arn_mark(record["arn"]),
            "sagemaker.kind": record["kind"] or "TrialComponent",
        },
        record={"links": minimiser.values(record["links"])},
    )


def _cut(value: str, minimiser: Minimiser, longest: int = _LONGEST_VALUE) -> str:
    # MLflow would cut the value too, but print its beginning.
    minimiser.left_out["end of a long value"] += len(value) > longest
    return value[:longest]


def _curves(dump: Dump, minimiser: Minimiser) -> dict[str, list[tuple[str, float, int, int]]]:
    """Return the metric points of each component, and count incomplete series."""
    curves: dict[str, list[tuple[str, float, int, int]]] = {}
    times = {
        row["TrialComponentName"]: ms(row.get("StartTime")) or ms(row.get("CreationTime")) or 0
        for row in dump.found("ExperimentTrialComponent")
    }
    for path, answer in dump.below("metrics").items():
        component = path.removeprefix("metrics/").removesuffix(".json")
        points = []
        queries, results = answer.get("MetricQueries", ()), answer.get("MetricQueryResults", ())
        # A series has no name, so of another number of them nobody knows whose they are.
        if len(queries) != len(results):
            minimiser.left_out[_CUT] += max(len(queries), len(results))
            continue
        for query, series in zip(queries, results, strict=True):
            steps, values = series.get("XAxisValues", ()), series.get("MetricValues", ())
            # The same holds for values and steps.
            fits = len(steps) == len(values)
            minimiser.left_out[_CUT] += series.get("Status", "Complete") != "Complete" or not fits
            on_time = query.get("XAxisType") == "Timestamp"
            for x, value in zip(steps, values, strict=True) if fits else ():
                step = 0 if on_time else int(x)
                # A time is given in seconds or milliseconds.
                at = int(x if x > 1e11 else x * 1000) if on_time else times.get(component, 0)
                points.append((query["MetricName"], float(value), at, step))
        curves[component] = points
    return curves


def _last_values(summaries: Any, row: Mapping[str, Any]) -> list[tuple[str, float, int, int]]:
    end = ms(row.get("EndTime")) or ms(row.get("CreationTime")) or 0
    return [
        (s["MetricName"], float(s["Last"]), ms(s.get("TimeStamp")) or end, 0)
        for s in summaries
        if "Last" in s and "MetricName" in s
    ]


def _finals(job: Mapping[str, Any]) -> list[tuple[str, float, int, int]]:
    end = ms(job.get("TrainingEndTime")) or 0
    return [
        (m["MetricName"], float(m["Value"]), ms(m.get("Timestamp")) or end, 0)
        for m in job.get("FinalMetricDataList", ())
        if "MetricName" in m and "Value" in m
    ]
